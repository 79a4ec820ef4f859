//! Many messages in one read, when the first of them says stop: the rest waits, and comes in order.

use std::io::Write;
use std::time::Duration;

use switchboard::tcp::{Cx, Framed, Handler, Lines};
use switchboard::{CloseReason, ConnId, Limits, Listen, Sent};

use crate::served::Served;

/// How many lines come at once: far less than one read can bring.
const LINES: usize = 5_000;

/// What is done at each line, beside taking it down.
#[derive(Default)]
enum Then {
    #[default]
    Nothing,
    Pause,
    PauseFor(Duration),
    Close,
    Abort,
    /// Answers with this many bytes.
    Answer(usize),
}

#[derive(Default)]
struct Taker {
    taken: Vec<String>,
    then: Then,
    drains: usize,
    backlogged: usize,
    closed: Vec<CloseReason>,
}

impl Handler<Lines> for Taker {
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, Lines>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, (): &mut (), line: &[u8]) {
        self.taken.push(String::from_utf8_lossy(line).into_owned());
        match self.then {
            Then::Nothing => {}
            Then::Pause => cx.pause(),
            Then::PauseFor(time) => {
                cx.pause();
                assert!(cx.set_timer(time, 0).is_some());
            }
            Then::Close => cx.close(),
            Then::Abort => cx.abort(),
            Then::Answer(bytes) => {
                let sent = cx.send(&vec![line[0]; bytes]);
                assert!(sent.is_taken());
                self.backlogged += usize::from(sent == Sent::Backlogged);
            }
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, Lines>, (): &mut (), _: u32) {
        cx.resume();
    }

    fn on_drain(&mut self, _: &mut Cx<'_, Lines>, (): &mut ()) {
        self.drains += 1;
    }

    fn on_close(&mut self, _: &mut Cx<'_, Lines>, (): (), reason: CloseReason) {
        self.closed.push(reason);
    }
}

fn taker(then: Then) -> Served<Taker> {
    let app = Taker {
        then,
        ..Taker::default()
    };
    Served::new(app, Framed::new(Lines::default()))
}

/// `0` to `LINES - 1`, a number a line.
fn numbers() -> Vec<String> {
    (0..LINES).map(|number| number.to_string()).collect()
}

fn text() -> Vec<u8> {
    let mut text = numbers().join("\n").into_bytes();
    text.push(b'\n');
    assert!(text.len() < 64 * 1024, "one read brings all of it");
    text
}

/// A client that has sent all lines, of which the first has been taken.
fn send_all(served: &mut Served<Taker>) -> (std::net::TcpStream, ConnId) {
    let (mut client, id) = served.connect();
    client.write_all(&text()).unwrap();
    served.until("the first line", |app| !app.taken.is_empty());
    (client, id)
}

#[test]
fn t22_pausing_in_the_first_of_many_lines_holds_the_rest() {
    let mut served = taker(Then::Pause);
    let (_client, id) = send_all(&mut served);
    served.turn();
    served.turn();
    assert_eq!(served.app.taken, ["0"]);

    served.reactor.hub().resume(id);
    served.turn();
    served.turn();
    assert_eq!(
        served.app.taken,
        ["0", "1"],
        "and the next one pauses again"
    );

    served.app.then = Then::Nothing;
    served.reactor.hub().resume(id);
    served.until("the rest", |app| app.taken.len() == LINES);
    assert_eq!(served.app.taken, numbers());
}

/// The peer has finished before anything is resumed: the end comes behind the lines, not before.
#[test]
fn t22_the_rest_comes_before_the_end_of_the_stream() {
    let mut served = taker(Then::Pause);
    let (client, id) = send_all(&mut served);
    drop(client);
    served.turn();
    assert!(served.app.closed.is_empty());
    served.app.then = Then::Nothing;
    served.reactor.hub().resume(id);
    served.until("the close", |app| !app.closed.is_empty());
    assert_eq!(served.app.taken, numbers());
    assert_eq!(served.app.closed, [CloseReason::Peer]);
}

/// Half a line is held back too, and grows together with what follows it.
#[test]
fn t22_what_arrives_while_paused_is_appended() {
    let mut served = taker(Then::Pause);
    let (mut client, id) = served.connect();
    client.write_all(b"one\ntwo\nthr").unwrap();
    served.until("the first line", |app| !app.taken.is_empty());
    served.app.then = Then::Nothing;
    client.write_all(b"ee\nfour\n").unwrap();
    served.turn();
    assert_eq!(served.app.taken, ["one"]);
    served.reactor.hub().resume(id);
    served.until("the rest", |app| app.taken.len() == 4);
    assert_eq!(served.app.taken, ["one", "two", "three", "four"]);
}

#[test]
fn t22_resuming_by_a_timer_needs_no_further_bytes() {
    let mut served = taker(Then::PauseFor(Duration::from_secs(1)));
    let (_client, _) = send_all(&mut served);
    for line in 1..10 {
        served.turn();
        assert_eq!(served.app.taken.len(), line, "none before its time");
        served.advance(Duration::from_secs(1));
        served.turn();
    }
    assert_eq!(served.app.taken, numbers()[..10]);
}

#[test]
fn t22_closing_in_the_first_of_many_lines_drops_the_rest() {
    for (then, reason) in [
        (Then::Close, CloseReason::Local),
        (Then::Abort, CloseReason::Aborted),
    ] {
        let mut served = taker(then);
        let (client, _) = send_all(&mut served);
        drop(client);
        served.until("the close", |app| !app.closed.is_empty());
        assert_eq!(served.app.taken, ["0"]);
        assert_eq!(served.app.closed, [reason]);
    }
}

/// Answers that nobody reads stop the questions; reading them lets the rest come, and none is lost.
#[test]
fn t22_a_full_outbox_in_the_midst_of_many_lines_stops_them() {
    let limits = Limits {
        high_water: 32 * 1024,
        low_water: 8 * 1024,
        ..Limits::default()
    };
    let listen = Listen::tcp("127.0.0.1:0").limits(limits).send_buffer(4096);
    let app = Taker {
        then: Then::Answer(10_000),
        ..Taker::default()
    };
    let mut served = Served::on(listen, app, Framed::new(Lines::default()));
    let (mut client, id) = send_all(&mut served);
    served.turns("the reading to stop", |served| {
        !served.reactor.hub().wants_data(id)
    });
    assert!(served.app.taken.len() < LINES);
    assert!(served.reactor.hub().backlog(id) < 32 * 1024 + 10_001);

    let received = served.read(&mut client, LINES * 10_001);
    assert_eq!(served.app.taken, numbers());
    let answers = received.chunks(10_001).map(|answer| answer[0]);
    assert!(answers.eq(numbers().iter().map(|line| line.as_bytes()[0])));
    served.turns("the last drain", |served| {
        served.app.drains == served.app.backlogged
    });
    assert!(
        served.app.drains > 0,
        "once for each time that a send said so"
    );
}

/// Says goodbye when the reactor shuts down, and leaves the rest to its clients.
#[derive(Default)]
struct Polite {
    /// Closes by itself after that.
    closes: bool,
}

impl Handler<Lines> for Polite {
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, Lines>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, (): &mut (), line: &[u8]) {
        cx.send(line).ignore();
    }

    fn on_stop(&mut self, cx: &mut Cx<'_, Lines>, (): &mut ()) {
        cx.send(b"goodbye").ignore();
        if self.closes {
            cx.close();
        }
    }
}

#[test]
fn a_last_word_may_be_said_at_a_shutdown() {
    for closes in [true, false] {
        let mut served = Served::new(Polite { closes }, Framed::new(Lines::default()));
        let (mut client, id) = served.connect();
        served.reactor.hub().shutdown(Duration::from_secs(5));
        let goodbye = served.read(&mut client, 8);
        assert_eq!(goodbye, b"goodbye\n");
        if closes {
            assert_eq!(served.read_to_end(&mut client), b"", "the end");
            continue;
        }
        // Who does not close is still served, until the deadline.
        client.write_all(b"and you?\n").unwrap();
        assert_eq!(served.read(&mut client, 9), b"and you?\n");
        served.clock.advance(Duration::from_secs(5));
        served.turns("the end", |served| !served.reactor.hub().is_open(id));
    }
}
