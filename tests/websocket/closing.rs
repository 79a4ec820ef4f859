//! How a connection ends in good order: who closes first, with what, and what is heard and said
//! after that.

use std::net::Shutdown;
use std::time::Duration;

use switchboard::proto::websocket::OpCode;
use switchboard::websocket::{self, Code};
use switchboard::{CloseReason, Publish, Sent};

use crate::app::Ended;
use crate::far::{End, Far, Frame};
use crate::served::{MILLI, SECOND, Served};

/// The far end goes, and the connection ends by what it has said.
fn assert_clean(served: &mut Served, far: Far, code: Code, reason: &str) {
    let id = far.id;
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    let expected = Ended::clean(code, reason, CloseReason::Peer);
    assert_eq!(served.app.ended(id), Some(expected));
}

#[test]
fn the_peer_closes_and_is_answered_with_its_code() {
    let mut served = Served::quiet();
    for (code, reason, answered) in [
        (Code::NORMAL, "bye", Code::NORMAL),
        (Code::AWAY, "", Code::AWAY),
        (Code(4999), "\u{1f44b}", Code(4999)),
        (Code(3000), &"x".repeat(123), Code(3000)),
        (Code::NONE, "", Code::NORMAL),
    ] {
        let mut far = served.client();
        served.send(&mut far, &[Frame::close(code, reason)]);
        // The server ends the connection below, without waiting for the client to do it.
        let (frames, end) = served.read_to_end(&mut far);
        let expected = [Frame::close(answered, "")];
        assert_eq!((&frames[..], end), (&expected[..], End::Fin));
        assert_clean(&mut served, far, code, reason);
    }
    served.assert_nothing_left();
}

#[test]
fn who_hears_that_the_peer_closes_may_say_more_and_answer_otherwise() {
    let mut served = Served::quiet();
    served.app.on_peer_close = Some(Box::new(|cx, (code, reason)| {
        assert!(cx.send(&format!("{code} {reason}")).is_taken());
        if code == 4001 {
            cx.close(Code(4002), "ours");
        }
    }));
    for make in [Served::client, Served::dialled] {
        for (code, reason, words, answer) in [
            (
                Code(4000),
                "done",
                "4000 done",
                Frame::close(Code(4000), ""),
            ),
            (Code(4001), "", "4001 ", Frame::close(Code(4002), "ours")),
            (Code::NONE, "", "1005 ", Frame::close(Code::NORMAL, "")),
        ] {
            let mut far = make(&mut served);
            served.send(&mut far, &[Frame::close(code, reason)]);
            assert_eq!(served.frames(&mut far, 2), [Frame::text(words), answer]);
            // Of two, it is the server that ends the connection below.
            assert_clean(&mut served, far, code, reason);
        }
    }
    served.assert_nothing_left();
}

#[test]
fn who_closes_first_hears_of_no_close_but_the_last() {
    let mut served = Served::quiet();
    served.app.on_peer_close = Some(Box::new(|_, _| panic!("it was we who began")));
    let mut far = served.client();
    let id = far.id;
    websocket::close(served.hub(), id, Code::NORMAL, "");
    assert_eq!(served.frame(&mut far), Frame::close(Code::NORMAL, ""));
    served.send(&mut far, &[Frame::close(Code::NORMAL, "")]);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    assert!(served.app.ended(id).unwrap().clean);
    served.assert_nothing_left();
}

/// Without the automatic answer, and with pings.
fn by_hand() -> Served {
    Served::with(websocket::Options {
        auto_close: false,
        ping_interval: Some(4 * SECOND),
        ..websocket::Options::default()
    })
}

#[test]
fn an_answer_by_hand_may_wait_for_what_is_still_to_be_said() {
    let mut served = by_hand();
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        let id = far.id;
        served.app.on_message = Some(Box::new(|cx, _| {
            assert!(cx.send_fragment("one, ", false).is_taken());
        }));
        served.send(
            &mut far,
            &[Frame::text("go"), Frame::close(Code(4000), "enough")],
        );
        assert_eq!(
            served.frame(&mut far),
            Frame::new(OpCode::Text, false, "one, ")
        );
        // Whatever follows a close is ignored; nor is the peer asked for a sign of life.
        for _ in 0..9 {
            served.send(&mut far, &[Frame::text("ignored"), Frame::ping("ignored")]);
            served.advance(SECOND);
        }
        served.assert_silent(&mut far);
        assert_eq!(served.app.of(id), ["text go"]);
        served.app.on_post = Some(Box::new(|cx, ()| {
            assert!(cx.send_fragment("two", true).is_taken());
            cx.close(Code(4000), "so be it");
            assert_eq!(cx.send("too late"), Sent::Closed);
        }));
        served.hub().post(id, Box::new("finish"));
        let last = [
            Frame::new(OpCode::Continuation, true, "two"),
            Frame::close(Code(4000), "so be it"),
        ];
        assert_eq!(served.frames(&mut far, 2), last);
        assert_clean(&mut served, far, Code(4000), "enough");
    }
    served.assert_nothing_left();
}

/// Neither the time that was left for the answer nor a FIN is held against it.
#[test]
fn an_answer_by_hand_may_come_at_the_last_moment() {
    for finishes in [false, true] {
        for make in [Served::client, Served::dialled] {
            let mut served = by_hand();
            let mut far = make(&mut served);
            let id = far.id;
            served.send(&mut far, &[Frame::close(Code(4000), "enough")]);
            if finishes {
                far.stream.shutdown(Shutdown::Write).unwrap();
            }
            served.advance(10 * SECOND - MILLI);
            websocket::close(served.hub(), id, Code(4001), "");
            assert_eq!(served.frame(&mut far), Frame::close(Code(4001), ""));
            served.advance(SECOND);
            let (frames, end) = served.peek(&mut far);
            assert!(frames.is_empty() && end != Some(End::Reset), "{end:?}");
            assert_clean(&mut served, far, Code(4000), "enough");
            served.assert_nothing_left();
        }
    }
}

#[test]
fn whoever_ends_it_otherwise_has_not_closed_it() {
    let mut served = Served::quiet();
    served.app.on_peer_close = Some(Box::new(|cx, _| {
        cx.abort();
        cx.close(Code::NORMAL, "");
    }));
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        let id = far.id;
        served.send(&mut far, &[Frame::close(Code(4000), "enough")]);
        assert_eq!(served.read_to_end(&mut far), (vec![], End::Reset));
        let ended = served.app.ended(id).expect("the end");
        assert_eq!((ended.clean, ended.by), (false, CloseReason::Aborted));
    }
    served.assert_nothing_left();
}

#[test]
fn an_answer_by_hand_that_never_comes_ends_in_a_reset() {
    let mut served = by_hand();
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        let id = far.id;
        served.send(&mut far, &[Frame::close(Code(4000), "enough")]);
        served.advance(10 * SECOND - MILLI);
        served.assert_silent(&mut far);
        assert_eq!(served.app.ended(id), None);
        served.advance(MILLI);
        assert_eq!(served.read_to_end(&mut far), (vec![], End::Reset));
        let expected = Ended {
            clean: false,
            ..Ended::clean(Code(4000), "enough", CloseReason::Aborted)
        };
        assert_eq!(served.app.ended(id), Some(expected));
    }
    served.assert_nothing_left();
}

#[test]
fn we_close_and_the_peer_answers() {
    let mut served = Served::quiet();
    for (code, reason, sent) in [
        (Code::NORMAL, "bye", Frame::close(Code::NORMAL, "bye")),
        (Code(4000), "", Frame::close(Code(4000), "")),
        // What may not be sent is left out, and what is too long is cut between two characters.
        (Code::NONE, "lost", Frame::close(Code::NONE, "")),
        (Code::ABNORMAL, "lost", Frame::close(Code::NONE, "")),
        (
            Code(3000),
            &"\u{e9}".repeat(80),
            Frame::close(Code(3000), &"\u{e9}".repeat(61)),
        ),
    ] {
        served.app.on_message = None;
        let mut far = served.client();
        let (id, words) = (far.id, reason.to_owned());
        served.app.on_message = Some(Box::new(move |cx, _| cx.close(code, &words)));
        served.send(&mut far, &[Frame::text("close")]);
        assert_eq!(served.frame(&mut far), sent);
        // Our side stays open until the peer has said its own.
        served.assert_silent(&mut far);
        assert_eq!(served.app.ended(id), None);
        served.send(&mut far, &[Frame::close(Code(4001), "me too")]);
        assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
        assert_clean(&mut served, far, Code(4001), "me too");
    }
    served.assert_nothing_left();
}

#[test]
fn both_close_at_once() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    websocket::close(served.hub(), id, Code(4000), "ours");
    // It is on its way before ours is.
    let close = far.bytes(&[Frame::close(Code(4001), "theirs")]);
    far.write(&close);
    let (frames, end) = served.read_to_end(&mut far);
    assert_eq!(frames, [Frame::close(Code(4000), "ours")]);
    assert_eq!(end, End::Fin);
    assert_clean(&mut served, far, Code(4001), "theirs");
    served.assert_nothing_left();
}

#[test]
fn a_close_that_is_never_answered_is_waited_for_ten_seconds() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    websocket::close(served.hub(), id, Code(4000), "ours");
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), "ours"));
    // Whatever else the peer has to say meanwhile.
    for _ in 0..9 {
        served.advance(SECOND);
        served.send(&mut far, &[Frame::text("but"), Frame::ping("hear me")]);
    }
    served.advance(SECOND - MILLI);
    served.assert_silent(&mut far);
    assert_eq!(served.app.ended(id), None);
    served.advance(MILLI);
    let ended = served.app.ended(id).expect("the end");
    assert_eq!((ended.clean, ended.by), (false, CloseReason::Aborted));
    assert_eq!(served.read_to_end(&mut far).1, End::Reset);
    assert!(served.app.of(id).is_empty(), "{:?}", served.app.of(id));
    served.assert_nothing_left();
}

#[test]
fn how_long_is_up_to_the_options() {
    let mut served = Served::with(websocket::Options {
        close_timeout: Duration::from_millis(1_500),
        ..websocket::Options::default()
    });
    let mut far = served.client();
    websocket::close(served.hub(), far.id, Code::NORMAL, "");
    assert_eq!(served.frame(&mut far), Frame::close(Code::NORMAL, ""));
    served.advance(Duration::from_millis(1_499));
    served.assert_silent(&mut far);
    served.advance(MILLI);
    assert_eq!(served.read_to_end(&mut far).1, End::Reset);
}

#[test]
fn what_comes_after_our_close_is_not_listened_to() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    served.app.on_message = Some(Box::new(|cx, _| cx.close(Code::NORMAL, "")));
    let after = [
        Frame::text("close"),
        Frame::text("ignored"),
        Frame::ping("ignored"),
        Frame::pong("ignored"),
        Frame::binary([0; 300]),
    ];
    served.send(&mut far, &after);
    assert_eq!(served.frame(&mut far), Frame::close(Code::NORMAL, ""));
    served.send(&mut far, &after[1..]);
    served.assert_silent(&mut far);
    assert_eq!(served.app.of(id), ["text close"]);
    served.send(&mut far, &[Frame::close(Code::NORMAL, "")]);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
}

#[test]
fn the_close_is_the_last_frame_whoever_sends_in_the_same_callback() {
    let mut served = Served::quiet();
    let (mut far, mut other) = (served.client(), served.client());
    let (id, topic) = (far.id, "room");
    for member in [far.id, other.id] {
        assert!(served.hub().subscribe(member, topic));
    }
    let said = websocket::Prepared::new("prepared");
    served.app.on_message = Some(Box::new(move |cx, _| {
        if cx.id() != id {
            return;
        }
        assert!(cx.send("before").is_taken());
        cx.close(Code::NORMAL, "first");
        cx.close(Code(4000), "second");
        assert_eq!(cx.send("after"), Sent::Closed);
        assert_eq!(cx.send_prepared(&said), Sent::Closed);
        assert_eq!(cx.send_fragment("after", false), Sent::Closed);
        assert_eq!(cx.ping(b"after"), Sent::Closed);
        assert_eq!(websocket::send(cx.hub(), id, "after"), Sent::Closed);
        assert_eq!(websocket::send_prepared(cx.hub(), id, &said), Sent::Closed);
        let published = cx.publish(Publish {
            topic,
            data: b"to all",
            kind: switchboard::Kind::Text,
            except: None,
        });
        assert_eq!((published.taken, published.missed), (1, 1));
    }));
    served.send(&mut far, &[Frame::text("now"), Frame::ping("after")]);
    assert_eq!(served.frame(&mut other), Frame::text("to all"));
    // Others try in later turns.
    assert_eq!(websocket::send(served.hub(), id, "later"), Sent::Closed);
    websocket::close(served.hub(), id, Code(4000), "third");
    let expected = [Frame::text("before"), Frame::close(Code::NORMAL, "first")];
    assert_eq!(served.peek(&mut far), (expected.to_vec(), None));
    served.send(&mut far, &[Frame::close(Code::NORMAL, "")]);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
    served.assert_serves(&mut other);
}

#[test]
fn nothing_follows_the_answer_to_the_peers_close() {
    let mut served = Served::quiet();
    let (mut far, mut other) = (served.client(), served.client());
    let id = far.id;
    served.app.on_message = Some(Box::new(move |cx, _| {
        websocket::send(cx.hub(), id, "from another").ignore();
    }));
    served.app.on_close = Some(Box::new(move |cx, ()| {
        assert_eq!(cx.send("from the grave"), Sent::Closed);
        assert_eq!(websocket::send(cx.hub(), id, "the same"), Sent::Closed);
        cx.close(Code(4000), "");
    }));
    let close = far.bytes(&[Frame::close(Code::NORMAL, "")]);
    far.write(&close);
    served.send(&mut other, &[Frame::text("say something")]);
    let (frames, end) = served.read_to_end(&mut far);
    let closes = frames.iter().position(|frame| frame.payload == [3, 232]);
    assert_eq!(closes, Some(frames.len() - 1), "{frames:?}");
    assert_eq!(end, End::Fin);
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
}

#[test]
fn frames_behind_the_peers_close_are_not_frames_any_more() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    let mut bytes = far.bytes(&[Frame::close(Code::NORMAL, ""), Frame::text("more")]);
    bytes.extend_from_slice(b"\xff\xff and garbage");
    served.write(&mut far, &bytes);
    let (frames, end) = served.read_to_end(&mut far);
    assert_eq!(frames, [Frame::close(Code::NORMAL, "")]);
    assert_eq!(end, End::Fin);
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    assert!(served.app.ended(id).unwrap().clean && served.app.of(id).is_empty());
}

#[test]
fn a_server_ends_the_connection_below_and_a_client_waits_for_that() {
    let mut served = Served::quiet();
    let mut far = served.dialled();
    served.send(&mut far, &[Frame::close(Code(4000), "go")]);
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), ""));
    served.assert_silent(&mut far);
    served.advance(10 * SECOND - MILLI);
    served.assert_silent(&mut far);
    assert_clean(&mut served, far, Code(4000), "go");

    // But not for ever.
    let mut far = served.dialled();
    let id = far.id;
    served.send(&mut far, &[Frame::close(Code(4000), "go")]);
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), ""));
    served.advance(10 * SECOND);
    let ended = served.app.ended(id).expect("the end");
    assert_eq!((ended.code, ended.clean), (4000, true));
    served.assert_nothing_left();
}

#[test]
fn two_ends_of_ours_close_each_other() {
    let mut served = Served::quiet();
    for dialled_first in [false, true] {
        let (near, far) = served.pair();
        let first = if dialled_first { near } else { far };
        websocket::close(served.hub(), first, Code(4000), "enough");
        served.until("both ends", |app| {
            app.ended(near).is_some() && app.ended(far).is_some()
        });
        for id in [near, far] {
            let ended = served.app.ended(id).unwrap();
            assert!(ended.clean && ended.code == 4000, "{ended:?}");
            let words = if id == first { "" } else { "enough" };
            assert_eq!(ended.reason, words);
        }
    }
    served.assert_nothing_left();
}

#[test]
fn a_close_ends_a_pause_so_that_its_answer_is_heard() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, message| match message.as_bytes() {
        b"pause" => cx.pause(),
        _ => panic!("not while it is paused"),
    }));
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        let id = far.id;
        served.send(&mut far, &[Frame::text("pause"), Frame::text("more")]);
        websocket::close(served.hub(), id, Code::NORMAL, "done");
        assert_eq!(served.frame(&mut far), Frame::close(Code::NORMAL, "done"));
        let answer = far.bytes(&[Frame::close(Code::NORMAL, "")]);
        assert_eq!(far.write(&answer), answer.len());
        far.stream.shutdown(Shutdown::Write).unwrap();
        served.until("its end", |app| app.ended(id).is_some());
        assert!(served.app.ended(id).unwrap().clean);
    }
}
