//! What is sent, from where, in which order, and how it looks on the wire.

use std::collections::HashSet;

use switchboard::proto::websocket::OpCode::{Binary, Continuation, Text};
use switchboard::websocket::{self, Code, Message, Prepared};
use switchboard::{Kind, Owner, Publish, Sent};

use crate::far::Frame;
use crate::served::{SECOND, Served};

#[test]
fn messages_are_text_or_binary_of_any_length() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, message| assert!(cx.send(message).is_taken())));
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 200_000] {
            let data = crate::support::pattern(length);
            served.send(&mut far, &[Frame::binary(&data)]);
            assert_eq!(served.frame(&mut far), Frame::binary(&data), "{length}");
            let text = "x".repeat(length);
            served.send(&mut far, &[Frame::text(&text)]);
            assert_eq!(served.frame(&mut far), Frame::text(&text), "{length}");
        }
    }
}

#[test]
fn what_one_callback_sends_leaves_in_its_order_by_one_write() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, _| {
        cx.subscribe("room");
        let id = cx.id();
        cx.send("1").ignore();
        cx.publish(Publish {
            topic: "room",
            data: b"2",
            kind: Kind::Text,
            except: None,
        });
        websocket::send(cx.hub(), id, &b"3"[..]).ignore();
        cx.send_prepared(&Prepared::new("4")).ignore();
        cx.send_fragment("5", true).ignore();
        cx.ping(b"6").ignore();
        cx.send(&String::from("7")).ignore();
    }));
    let mut far = served.client();
    let bytes = far.bytes(&[Frame::text("go")]);
    assert_eq!(far.write(&bytes), bytes.len());
    let mut writes = 0;
    served.turns("the answers to leave", |served| {
        writes += served.turn().writes;
        writes > 0
    });
    assert_eq!(writes, 1);
    let expected = [
        Frame::text("1"),
        Frame::text("2"),
        Frame::binary("3"),
        Frame::text("4"),
        Frame::text("5"),
        Frame::ping("6"),
        Frame::text("7"),
    ];
    assert_eq!(served.frames(&mut far, 7), expected);
    assert_eq!(served.turn().writes, 0);
}

#[test]
fn a_message_may_be_sent_in_fragments() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, message| match message {
        Message::Text("begin") => {
            assert!(cx.send_fragment("one", false).is_taken());
            // Only control frames fit in between.
            assert_eq!(cx.send("no"), Sent::Dropped);
            assert_eq!(cx.send_prepared(&Prepared::new("no")), Sent::Dropped);
            assert!(cx.ping(b"within").is_taken());
        }
        Message::Text("more") => assert!(cx.send_fragment("", false).is_taken()),
        Message::Text("end") => {
            assert!(cx.send_fragment("two", true).is_taken());
            assert!(cx.send("after").is_taken());
            assert!(cx.send_fragment(&b"three"[..], false).is_taken());
            assert!(cx.send_fragment(&b"four"[..], true).is_taken());
        }
        other => panic!("{other:?}"),
    }));
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        for word in ["begin", "more", "end"] {
            served.send(&mut far, &[Frame::text(word), Frame::ping(word)]);
        }
        let expected = [
            Frame::new(Text, false, "one"),
            Frame::ping("within"),
            Frame::pong("begin"),
            Frame::new(Continuation, false, ""),
            Frame::pong("more"),
            Frame::new(Continuation, true, "two"),
            Frame::text("after"),
            Frame::new(Binary, false, "three"),
            Frame::new(Continuation, true, "four"),
            Frame::pong("end"),
        ];
        assert_eq!(served.frames(&mut far, expected.len()), expected);
    }
}

#[test]
fn a_close_within_a_message_ends_both() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, _| {
        cx.send_fragment("half", false).ignore();
        cx.close(Code::INTERNAL, "lost the rest");
    }));
    let mut far = served.client();
    served.send(&mut far, &[Frame::text("go")]);
    let expected = [
        Frame::new(Text, false, "half"),
        Frame::close(Code::INTERNAL, "lost the rest"),
    ];
    assert_eq!(served.frames(&mut far, 2), expected);
}

#[test]
fn masks_of_a_client_differ_and_a_server_has_none() {
    let mut served = Served::quiet();
    served.app.on_open = Some(Box::new(|cx, _| {
        for _ in 0..1_000 {
            assert!(cx.send("the same").is_taken());
        }
        true
    }));
    let mut keys = HashSet::new();
    for _ in 0..2 {
        let mut far = served.dialled();
        let frames = served.frames(&mut far, 1_000);
        assert!(frames.iter().all(|frame| *frame == Frame::text("the same")));
        keys.extend(far.keys.iter().copied());
    }
    // Of two thousand random ones hardly any two are the same.
    assert!(keys.len() > 1_990, "{} keys", keys.len());
    // And those of a close and a ping have keys, too: the far end insists.
    let mut far = served.client();
    served.frames(&mut far, 1_000);
    assert_eq!(far.keys, [[0; 4]; 0]);
}

#[test]
fn whoever_knows_an_id_may_send_to_it_and_close_it() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let mut other = served.client();
    let id = far.id;
    // Another connection.
    served.app.on_message = Some(Box::new(move |cx, message| {
        assert!(websocket::send(cx.hub(), id, message).is_taken());
    }));
    served.send(&mut other, &[Frame::text("a"), Frame::binary("b")]);
    assert_eq!(
        served.frames(&mut far, 2),
        [Frame::text("a"), Frame::binary("b")]
    );
    // A page of HTTP.
    served.app.on_get = Some(Box::new(move |hub| {
        let said = Prepared::new("c");
        assert!(websocket::send_prepared(hub, id, &said).is_taken());
    }));
    let mut page = served.stranger();
    served.write(&mut page, &crate::far::bare_request("/", ""));
    assert_eq!(served.frame(&mut far), Frame::text("c"));
    // A timer of the application.
    served.reactor.on_timer(move |_, hub, _| {
        assert!(websocket::send(hub, id, "d").is_taken());
    });
    served.hub().set_timer(Owner::App, SECOND, 0);
    served.advance(SECOND);
    assert_eq!(served.frame(&mut far), Frame::text("d"));
    // Another thread.
    let remote = served.reactor.remote();
    let thread = std::thread::spawn(move || {
        let posted = remote.post(move |_, hub| websocket::send(hub, id, "e").ignore());
        posted.and_then(|()| remote.post(move |_, hub| websocket::close(hub, id, Code(4000), "f")))
    });
    thread.join().unwrap().unwrap();
    let expected = [Frame::text("e"), Frame::close(Code(4000), "f")];
    assert_eq!(served.frames(&mut far, 2), expected);
    // Twice is once.
    websocket::close(served.hub(), id, Code(4001), "");
    served.send(&mut far, &[Frame::close(Code(4000), "")]);
    let (frames, _) = served.read_to_end(&mut far);
    assert_eq!(frames, []);
}

#[test]
fn a_close_from_elsewhere_is_the_same_in_every_callback() {
    let mut served = Served::quiet();
    let mut closer = served.client();
    for word in ["ping", "pong", "text"] {
        let mut far = served.client();
        let id = far.id;
        let hook = move |cx: &mut websocket::Cx<'_>, ()| {
            websocket::close(cx.hub(), id, Code(4000), "go");
        };
        let frame = match word {
            "ping" => Frame::ping(""),
            "pong" => Frame::pong(""),
            _ => Frame::text(""),
        };
        served.app.on_ping = None;
        served.app.on_pong = None;
        match word {
            "ping" => served.app.on_ping = Some(Box::new(hook)),
            "pong" => served.app.on_pong = Some(Box::new(hook)),
            _ => served.app.on_message = Some(Box::new(move |cx, _| hook(cx, ()))),
        }
        served.send(&mut closer, &[frame]);
        assert_eq!(served.frame(&mut far), Frame::close(Code(4000), "go"));
        served.app.on_message = None;
        served.leave(far);
    }
}

#[test]
fn timers_and_posts_come_to_their_connection() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, _| {
        cx.set_timer(SECOND, 7);
        assert_eq!(cx.set_timer(SECOND, u32::MAX), None, "the endpoint's own");
    }));
    served.app.on_timer = Some(Box::new(|cx, key| {
        let id = cx.id();
        cx.send(&format!("timer {key}")).ignore();
        cx.hub().post(id, Box::new("a word"));
    }));
    served.app.on_post = Some(Box::new(|cx, ()| cx.send("posted").ignore()));
    let mut far = served.client();
    served.send(&mut far, &[Frame::text("go")]);
    served.advance(SECOND);
    let expected = [Frame::text("timer 7"), Frame::text("posted")];
    assert_eq!(served.frames(&mut far, 2), expected);
    assert_eq!(
        served.app.of(far.id),
        ["text go", "timer 7", "posted a word"]
    );
    // Those of a connection that has gone do not come.
    served.send(&mut far, &[Frame::text("go")]);
    served.leave(far);
    served.assert_nothing_left();
}
