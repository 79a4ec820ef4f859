//! Where deadlines, limits and the two ends meet: what is easily got wrong.

use switchboard::proto::websocket::OpCode::Text;
use switchboard::websocket::{self, Accept, Code, Upgrade};
use switchboard::{Kind, Limits, Overflow, Publish, Sent};

use crate::far::{Frame, request};
use crate::served::{MILLI, SECOND, Served};

#[test]
fn a_close_of_a_dialled_connection_is_waited_for_as_long_as_any_other() {
    let mut served = Served::quiet();
    let mut far = served.dialled();
    let id = far.id;
    served.advance(9 * SECOND);
    websocket::close(served.hub(), id, Code(4000), "");
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), ""));
    served.advance(SECOND);
    assert_eq!(served.app.ended(id), None, "ten seconds, not one");
    served.advance(9 * SECOND - MILLI);
    assert_eq!(served.app.ended(id), None);
}

#[test]
fn no_timer_is_left_of_a_dial_that_is_open() {
    let mut served = Served::quiet();
    let _far = served.dialled();
    assert_eq!(served.hub().pending_timers(), 0);
}

#[test]
fn who_is_left_is_still_looked_after_when_the_first_has_gone() {
    let mut served = Served::new();
    let first = served.client();
    served.advance(10 * SECOND);
    let mut second = served.client();
    served.leave(first);
    served.advance(15 * SECOND);
    for _ in 0..4 {
        served.advance(10 * SECOND);
    }
    assert_eq!(served.frame(&mut second), Frame::ping(""));
}

#[test]
fn who_never_says_a_word_is_pinged_after_the_interval() {
    let mut served = Served::new();
    let mut far = served.client();
    served.advance(25 * SECOND);
    assert_eq!(served.frame(&mut far), Frame::ping(""));
}

#[test]
fn a_pause_in_on_open_lasts() {
    let mut served = Served::quiet();
    served.app.on_open = Some(Box::new(|cx, _| {
        cx.pause();
        true
    }));
    let mut far = served.client();
    let bytes = far.bytes(&[Frame::text("too early")]);
    served.post(&mut far, &bytes);
    assert!(served.app.of(far.id).is_empty());
}

#[test]
fn nothing_is_sent_before_the_answer_to_the_handshake() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|hub, id, _| {
        hub.subscribe(id, "room");
        Upgrade::Later
    }));
    let mut far = served.stranger();
    served.post(&mut far, &request("/ws", ""));
    websocket::send(served.hub(), far.id, "too early").ignore();
    served.hub().publish(Publish {
        topic: "room",
        data: b"news",
        kind: Kind::Text,
        except: None,
    });
    websocket::decide(served.hub(), far.id, Accept::new());
    served.rest();
    let mut buffer = [0; 4096];
    let read = std::io::Read::read(&mut far.stream, &mut buffer).unwrap();
    assert!(
        buffer.starts_with(b"HTTP/1.1 101 "),
        "{}",
        buffer[..read].escape_ascii()
    );
}

#[test]
fn a_fragment_that_is_dropped_takes_its_message_with_it() {
    let mut served = Served::limited(Limits {
        overflow: Overflow::Drop,
        max_backlog: 100_000,
        full_duplex: true,
        ..Limits::default()
    });
    let mut far = served.client();
    let id = far.id;
    while websocket::send(served.hub(), id, &[0; 10_000][..]) != Sent::Dropped {
        served.rest();
    }
    served.app.on_message = Some(Box::new(|cx, _| {
        assert_eq!(cx.send_fragment("one", false), Sent::Dropped);
    }));
    served.send(&mut far, &[Frame::text("go")]);
    served.until("it", |app| !app.of(id).is_empty());
    served.turns("the end", |served| !served.hub().is_open(id));
}

#[test]
fn a_close_is_not_dropped() {
    let mut served = Served::limited(Limits {
        overflow: Overflow::Drop,
        max_backlog: 100_000,
        ..Limits::default()
    });
    let mut far = served.client();
    let id = far.id;
    let mut sent = 0;
    while websocket::send(served.hub(), id, &[0; 10_000][..]) != Sent::Dropped {
        sent += 1;
        served.rest();
    }
    websocket::close(served.hub(), id, Code(4000), "slow");
    served.rest();
    let frames = served.frames(&mut far, sent + 1);
    assert_eq!(frames[sent], Frame::close(Code(4000), "slow"));
}

#[test]
fn an_owed_pong_is_not_sent_behind_a_later_one() {
    let mut served = Served::limited(Limits {
        high_water: 2 << 20,
        low_water: 1,
        max_backlog: 16 << 20,
        full_duplex: true,
        ..Limits::default()
    });
    let mut far = served.client();
    let id = far.id;
    while websocket::send(served.hub(), id, &[0; 10_000][..]) != Sent::Backlogged {}
    served.rest();
    assert!(
        served.hub().backlog(id) > 2 << 20 || {
            while websocket::send(served.hub(), id, &[0; 10_000][..]) != Sent::Backlogged {}
            true
        }
    );
    served.send(&mut far, &[Frame::ping("first")]);
    served.until("it", |app| app.of(id).len() == 1);
    // Some is read, down to between the marks.
    let mut frames = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while served.hub().backlog(id) > 1 << 20 {
        if let Ok(read) = std::io::Read::read(&mut far.stream, &mut buffer) {
            far.hold(&buffer[..read]);
            frames.append(&mut far.frames());
        }
        served.turn();
    }
    assert!(served.hub().backlog(id) > 1);
    served.send(&mut far, &[Frame::ping("second")]);
    served.until("it", |app| app.of(id).len() >= 2);
    for _ in 0..200 {
        far.fill();
        frames.append(&mut far.frames());
        served.rest();
    }
    let pongs: Vec<_> = frames
        .into_iter()
        .filter(|f| f.payload.len() < 10)
        .collect();
    assert!(
        pongs == [Frame::pong("second")] || pongs == [Frame::pong("first"), Frame::pong("second")],
        "{pongs:?}"
    );
}

#[test]
fn what_we_said_is_how_it_ended_if_the_peer_said_nothing() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    websocket::close(served.hub(), id, Code(4000), "ours");
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), "ours"));
    served.advance(10 * SECOND);
    let ended = served.app.ended(id).unwrap();
    assert_eq!((ended.code, &*ended.reason), (4000, "ours"));
}

#[test]
fn a_handshake_that_meets_a_shutdown_does_not_outlive_it() {
    let mut served = Served::quiet();
    let mut far = served.stranger();
    let bytes = request("/ws", "");
    assert_eq!(far.write(&bytes), bytes.len());
    // In the turn that reads the handshake, the shutdown comes too; before the hand-over.
    let remote = served.reactor.remote();
    remote.post(|_, hub| hub.shutdown(60 * SECOND)).unwrap();
    let http = served.http;
    served.turns("the end or word of it", |served| {
        served.hub().count(http) == 0
    });
    served.rest();
    let mut buffer = [0; 4096];
    let read = std::io::Read::read(&mut far.stream, &mut buffer).unwrap_or(0);
    let text = buffer[..read].escape_ascii().to_string();
    assert!(
        read == 0 || text.starts_with("HTTP/1.1 503") || text.contains("\\x88"),
        "{text}"
    );
    drop(far);
    served.assert_nothing_left();
}

#[test]
fn a_dialled_member_of_a_topic_is_sent_what_its_server_can_read() {
    let mut served = Served::quiet();
    served.app.on_open = Some(Box::new(|cx, _| {
        cx.subscribe("room");
        true
    }));
    let (near, far) = served.pair();
    served.hub().publish(Publish {
        topic: "room",
        data: b"news",
        kind: Kind::Text,
        except: None,
    });
    served.rest();
    assert_eq!(served.app.ended(near), None);
    assert_eq!(served.app.ended(far), None);
    assert_eq!(served.app.of(near), ["text news"], "of the server");
}

#[test]
fn an_origin_on_the_list_may_be_written_in_capitals() {
    let mut served = Served::made(websocket::Options::default(), Limits::default(), |mount| {
        mount.origins(["https://App.example"])
    });
    served.client_of("/ws", "Origin: https://app.example\r\n");
}

#[test]
fn a_later_decision_has_a_deadline() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, _| Upgrade::Later));
    let mut far = served.stranger();
    served.post(&mut far, &request("/ws", ""));
    drop(far);
    for _ in 0..100 {
        served.advance(10 * SECOND);
    }
    let endpoint = served.endpoint;
    assert_eq!(
        served.hub().count(endpoint),
        0,
        "held although the client closed 1000 s ago"
    );
}

#[test]
fn an_incomplete_message_has_a_deadline() {
    let mut served = Served::new();
    let mut far = served.client();
    let id = far.id;
    served.send(&mut far, &[Frame::new(Text, false, "begun")]);
    for _ in 0..100 {
        served.advance(10 * SECOND);
        if !served.hub().is_open(id) {
            return;
        }
        served.send(&mut far, &[Frame::ping("")]);
        served.frames(&mut far, 1);
    }
    panic!("after 1000 s it is still collected");
}

#[test]
fn more_than_sixteen_kibibytes_behind_a_pause_wait() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, _| {
        let id = cx.id();
        cx.pause();
        cx.hub().resume(id);
    }));
    let mut far = served.client();
    let id = far.id;
    let many: Vec<_> = (0..30).map(|_| Frame::binary([0; 1_000])).collect();
    served.send(&mut far, &many);
    served.until("all", |app| app.of(id).len() == 30);
}
