//! The tools for tests of one's own: what they accept, and what they object to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use switchboard::tcp::{Cx, Event, Framed, Handler, Lines, Service, Text, text};
use switchboard::testing::{Script, Split};
use switchboard::{Config, DriverId, Reactor};

/// Answers each line with its length, and leaves at an empty one.
struct Lengths;

impl Handler<Lines> for Lengths {
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, Lines>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, (): &mut (), line: &[u8]) {
        match line.len() {
            0 => cx.close(),
            length => cx.send(length.to_string().as_bytes()).ignore(),
        }
    }
}

fn lengths() -> (Reactor<Lengths>, DriverId) {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Framed::new(Lines::default()));
    (reactor, driver)
}

/// What the script panics with.
fn objection(script: &Script, split: Split) -> String {
    let (mut reactor, driver) = lengths();
    let played = catch_unwind(AssertUnwindSafe(|| {
        script
            .play(&mut reactor, &mut Lengths, driver, split)
            .unwrap();
    }));
    let payload = played.expect_err("the script to object");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_right_answer_passes_however_it_is_split() {
    let (mut reactor, driver) = lengths();
    Script::new()
        .send("abc\n")
        .expect("3\n")
        .send("de\nf\r\n\n")
        .expect("2\n1\n")
        .expect_end()
        .play_split(&mut reactor, &mut Lengths, driver)
        .unwrap();
    assert_eq!(reactor.hub().count(driver), 0, "a connection was left open");
}

#[test]
fn a_wrong_answer_is_shown_with_its_place() {
    let script = Script::new().send("abc\n").expect("4\n");
    for split in [Split::Whole, Split::Bytes, Split::At(2)] {
        let text = objection(&script, split);
        let place = format!("step 2 of the script, {split:?}");
        assert_eq!(text, format!("{place}: expected `4\\n`, received `3\\n`"));
    }
}

#[test]
fn an_early_end_and_a_surplus_are_shown() {
    let early = Script::new().send("abc\n\n").expect("3\n3\n");
    assert_eq!(
        objection(&early, Split::Whole),
        "the end after 2 of 4 bytes: `3\\n`"
    );
    let surplus = Script::new().send("abc\n\n").expect_end();
    let text = objection(&surplus, Split::Whole);
    assert_eq!(
        text,
        "step 2 of the script, Whole: expected ``, received `3\\n`"
    );
}

/// Counts characters, whatever bytes they arrive in.
#[derive(Default)]
struct Characters;

impl Service<(), Text> for Characters {
    type Conn = usize;

    fn on_open(&mut self, _: &mut (), _: &mut Cx<'_, Text>) -> Option<usize> {
        Some(0)
    }

    fn on_event(
        &mut self,
        _: &mut (),
        cx: &mut Cx<'_, Text>,
        count: &mut usize,
        event: Event<'_, Text>,
    ) {
        match event {
            Event::Message(text) => *count += text.chars().count(),
            Event::Eof => {
                cx.send(&count.to_string()).ignore();
                cx.close();
            }
            Event::Error(text::Error { byte }) => cx.send(&format!("{count} {byte:x?}")).ignore(),
            other => other.by_default(cx),
        }
    }
}

#[test]
fn s2_07_text_is_decoded_across_reads() {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Framed::with_service(Text, Characters));
    let plays = [
        (Script::new().send("aé服务端🎧z").finish().expect("7")),
        (Script::new().send(b"a\xc3\xa9\xff").expect("2 Some(ff)")),
        (Script::new().send(b"a\xe6\x9c").finish().expect("1 None")),
        (Script::new().finish().expect("0")),
    ];
    for script in plays {
        let script = script.expect_end();
        script.play_split(&mut reactor, &mut (), driver).unwrap();
    }
}
