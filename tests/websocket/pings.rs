//! Signs of life: what is answered, what is asked for, and when.

use switchboard::CloseReason;
use switchboard::Limits;
use switchboard::Sent;
use switchboard::proto::websocket::OpCode;
use switchboard::websocket;

use crate::far::{End, Far, Frame};
use crate::served::{MILLI, SECOND, Served};
use crate::support::read_some;

/// How long somebody may be silent.
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(25);

/// A connection that said its last word a millisecond before it was looked at.
fn silent(served: &mut Served, make: impl FnOnce(&mut Served) -> Far) -> Far {
    let mut far = make(served);
    served.advance(INTERVAL - MILLI);
    served.send(&mut far, &[Frame::pong("")]);
    served.advance(MILLI);
    served.assert_silent(&mut far);
    far
}

#[test]
fn w08_a_ping_is_answered_with_its_own_payload() {
    let mut served = Served::quiet();
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        for length in [0, 1, 2, 100, 124, 125] {
            let payload: Vec<u8> = (0..length).map(|at| at * 2 + 1).collect();
            served.send(&mut far, &[Frame::ping(&payload)]);
            assert_eq!(served.frame(&mut far), Frame::pong(&payload));
        }
        // Each of them, also within a message.
        let many: Vec<_> = (0..10).map(|at| Frame::ping([at])).collect();
        let mut frames = vec![Frame::new(OpCode::Text, false, "a")];
        frames.extend(many.clone());
        served.send(&mut far, &frames);
        let answers: Vec<_> = (0..10).map(|at| Frame::pong([at])).collect();
        assert_eq!(served.frames(&mut far, 10), answers);
    }
}

#[test]
fn a_ping_may_be_answered_by_hand_or_not_at_all() {
    let mut served = Served::with(websocket::Options {
        auto_pong: false,
        ping_interval: None,
        ..websocket::Options::default()
    });
    for make in [Served::client, Served::dialled] {
        served.app.on_ping = None;
        let mut far = make(&mut served);
        let id = far.id;
        served.send(&mut far, &[Frame::ping("one")]);
        served.assert_silent(&mut far);
        served.app.on_ping = Some(Box::new(|cx, ()| {
            cx.pong(b"two").ignore();
            cx.pong(&[b'x'; 200]).ignore();
        }));
        served.send(&mut far, &[Frame::ping("two")]);
        let answers = [Frame::pong("two"), Frame::pong([b'x'; 125])];
        assert_eq!(served.frames(&mut far, 2), answers);
        assert_eq!(served.app.of(id), ["ping one", "ping two"]);
        served.leave(far);
    }
    served.assert_nothing_left();
}

#[test]
fn a_pong_comes_to_who_has_asked() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, _| {
        cx.ping(b"there?").ignore();
        cx.ping(&[b'x'; 200]).ignore();
    }));
    let mut far = served.client();
    let id = far.id;
    served.send(&mut far, &[Frame::text("ask")]);
    let cut = Frame::ping([b'x'; 125]);
    assert_eq!(served.frames(&mut far, 2), [Frame::ping("there?"), cut]);
    // Asked for or not.
    served.send(&mut far, &[Frame::pong("there?"), Frame::pong("anyway")]);
    served.until("both", |app| app.of(id).len() == 3);
    assert_eq!(served.app.of(id)[1..], ["pong there?", "pong anyway"]);
    served.assert_silent(&mut far);
}

#[test]
fn who_is_silent_is_pinged_and_who_stays_silent_is_reset() {
    let mut served = Served::new();
    for make in [Served::client, Served::dialled] {
        let mut far = silent(&mut served, make);
        let id = far.id;
        served.advance(INTERVAL - MILLI);
        served.assert_silent(&mut far);
        served.advance(MILLI);
        assert_eq!(served.frame(&mut far), Frame::ping(""));
        served.advance(INTERVAL - MILLI);
        served.assert_silent(&mut far);
        served.advance(MILLI);
        assert_eq!(served.read_to_end(&mut far), (vec![], End::Reset));
        let ended = served.app.ended(id).expect("the end");
        assert_eq!((ended.code, ended.clean), (1006, false));
        assert_eq!(ended.by, CloseReason::Aborted);
    }
    served.assert_nothing_left();
}

#[test]
fn any_sign_of_life_will_do() {
    let mut served = Served::new();
    let mut far = silent(&mut served, Served::client);
    let part = Frame::text("in parts").bytes(Some([1, 2, 3, 4]));
    let (head, rest) = part.split_at(7);
    let pong = far.bytes(&[Frame::pong("")]);
    let text = far.bytes(&[Frame::text("busy")]);
    for sign in [&pong[..], &text, head, rest] {
        served.advance(INTERVAL);
        assert_eq!(served.frame(&mut far), Frame::ping(""));
        served.advance(INTERVAL - MILLI);
        served.write(&mut far, sign);
        served.advance(MILLI);
        served.assert_silent(&mut far);
    }
    assert_eq!(served.app.closed(), []);
    served.assert_serves(&mut far);
}

#[test]
fn who_talks_is_never_pinged() {
    let mut served = Served::new();
    let mut far = served.client();
    for _ in 0..20 {
        served.advance(INTERVAL - MILLI);
        served.send(&mut far, &[Frame::text("busy")]);
        served.assert_silent(&mut far);
    }
}

#[test]
fn what_we_send_is_no_sign_of_the_peers_life() {
    let mut served = Served::new();
    let mut far = silent(&mut served, Served::client);
    let id = far.id;
    for _ in 0..2 {
        served.advance(INTERVAL / 2);
        websocket::send(served.hub(), id, "news").ignore();
    }
    let expected = [Frame::text("news"), Frame::ping(""), Frame::text("news")];
    let (mut found, _) = served.peek(&mut far);
    found.sort_by_key(|frame| frame.opcode == OpCode::Text);
    assert_eq!(found[0], Frame::ping(""));
    assert_eq!(found.len(), expected.len());
    served.advance(INTERVAL);
    assert_eq!(served.read_to_end(&mut far).1, End::Reset);
}

#[test]
fn whom_we_do_not_read_we_cannot_hear() {
    let mut served = Served::new();
    served.app.on_message = Some(Box::new(|cx, _| cx.pause()));
    let mut far = served.client();
    let id = far.id;
    served.send(&mut far, &[Frame::text("wait"), Frame::text("for me")]);
    for _ in 0..20 {
        served.advance(INTERVAL);
        served.assert_silent(&mut far);
    }
    assert_eq!(served.app.of(id), ["text wait"]);
    served.app.on_message = None;
    served.hub().resume(id);
    served.until("the rest", |app| app.of(id).len() == 2);
    served.assert_serves(&mut far);
}

#[test]
fn each_is_looked_after_at_its_own_time() {
    let mut served = Served::new();
    let mut first = served.client();
    served.advance(10 * SECOND);
    let mut second = served.client();
    served.advance(15 * SECOND - MILLI);
    served.send(&mut first, &[Frame::pong("")]);
    served.advance(MILLI);
    served.advance(10 * SECOND - MILLI);
    served.send(&mut second, &[Frame::pong("")]);
    served.advance(MILLI);
    // Both had been heard when they were looked at.
    served.assert_silent(&mut first);
    served.advance(15 * SECOND);
    assert_eq!(served.frame(&mut first), Frame::ping(""));
    served.assert_silent(&mut second);
    served.advance(10 * SECOND);
    assert_eq!(served.frame(&mut second), Frame::ping(""));
    served.send(&mut second, &[Frame::pong("")]);
    served.advance(15 * SECOND);
    assert_eq!(served.read_to_end(&mut first).1, End::Reset);
    served.advance(10 * SECOND);
    served.assert_serves(&mut second);
}

#[test]
fn nobody_need_be_pinged() {
    let mut served = Served::quiet();
    let mut far = served.client();
    assert_eq!(served.hub().pending_timers(), 0);
    served.advance(1_000 * SECOND);
    served.assert_silent(&mut far);
    served.assert_serves(&mut far);
}

/// Sends until nothing more is taken by the kernel, and then beyond the high mark.
fn block(served: &mut Served, far: &Far) -> usize {
    let mut sent = 0;
    loop {
        sent += 1;
        let taken = websocket::send(served.hub(), far.id, &[0_u8; 30_000][..]);
        assert!(taken.is_taken(), "{taken:?}");
        served.rest();
        if taken == Sent::Backlogged {
            let (id, high) = (far.id, Limits::default().high_water);
            assert!(served.hub().backlog(id) > high);
            return sent;
        }
    }
}

#[test]
fn w06_to_who_does_not_read_only_the_last_pong_is_owed() {
    let mut served = Served::limited(Limits {
        full_duplex: true,
        max_backlog: 16 << 20,
        ..Limits::default()
    });
    let mut far = served.client();
    let id = far.id;
    let sent = block(&mut served, &far);
    let before = served.hub().backlog(id);
    let pings: Vec<_> = (0..1_000_u32)
        .map(|at| Frame::ping(at.to_be_bytes()))
        .collect();
    served.send(&mut far, &pings);
    served.until("the pings", |app| app.of(id).len() == 1_000);
    assert!(served.hub().backlog(id) <= before, "something is kept");
    // It reads again.
    let frames = served.frames(&mut far, sent + 1);
    assert_eq!(frames[sent], Frame::pong(999_u32.to_be_bytes()));
    served.assert_silent(&mut far);
    assert_eq!(served.app.of(id).last().unwrap(), "drained");
    served.send(&mut far, &[Frame::ping("1"), Frame::ping("2")]);
    assert_eq!(
        served.frames(&mut far, 2),
        [Frame::pong("1"), Frame::pong("2")]
    );
}

#[test]
fn w07_who_asks_and_does_not_read_is_not_listened_to() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    let (payload, count) = ([7; 125], 100_000);
    let all = far.bytes(&vec![Frame::ping(payload); count]);
    let (mut written, mut stuck) = (0, 0);
    while stuck < 3 {
        let taken = far.write(&all[written..]);
        written += taken;
        stuck = if taken == 0 { stuck + 1 } else { 0 };
        served.rest();
        let most = Limits::default().high_water + 2 * 127;
        assert!(served.hub().backlog(id) <= most, "{written} bytes pinged");
    }
    assert!(written < all.len(), "the kernel took it all");
    // Not one is lost.
    let mut answers = Vec::new();
    served.turns("all answers", |_| {
        written += far.write(&all[written..]);
        let (_, end) = far.fill();
        answers.append(&mut far.frames());
        assert_eq!(end, None, "after {} answers", answers.len());
        answers.len() == count
    });
    assert!(answers.iter().all(|frame| *frame == Frame::pong(payload)));
}

#[test]
fn an_interval_beyond_all_time_is_for_ever() {
    let mut served = Served::with(websocket::Options {
        ping_interval: Some(std::time::Duration::MAX),
        ..websocket::Options::default()
    });
    for make in [Served::client, Served::dialled] {
        let mut far = make(&mut served);
        served.advance(INTERVAL * 1_000);
        served.assert_silent(&mut far);
        served.assert_serves(&mut far);
    }
}

/// Limits may change while a pong is owed.
#[test]
fn a_pong_is_owed_only_where_on_drain_will_follow() {
    let mut served = Served::limited(Limits {
        high_water: 1 << 20,
        max_backlog: 16 << 20,
        ..Limits::default()
    });
    let mut far = served.client();
    let (id, mut sent) = (far.id, 0);
    while served.hub().backlog(id) <= Limits::default().high_water {
        sent += 1;
        assert!(websocket::send(served.hub(), id, &[0; 30_000][..]).is_taken());
        served.rest();
    }
    served.hub().set_limits(id, Limits::default());
    let ping = far.bytes(&[Frame::ping("there?")]);
    served.post(&mut far, &ping);
    assert_eq!(served.app.of(id), ["ping there?"]);
    let frames = served.frames(&mut far, sent + 1);
    assert_eq!(frames[sent], Frame::pong("there?"));
}

/// It may also talk, as long as it is listened to.
#[test]
fn who_takes_nothing_of_what_waits_for_it_is_reset() {
    for full_duplex in [false, true] {
        let mut served = Served::made(
            websocket::Options::default(),
            Limits {
                full_duplex,
                max_backlog: 16 << 20,
                ..Limits::default()
            },
            |mount| mount,
        );
        let mut far = served.client();
        let id = far.id;
        block(&mut served, &far);
        while served.hub().backlog(id) < 12 << 20 {
            assert!(websocket::send(served.hub(), id, &[0; 30_000][..]).is_taken());
        }
        let busy = far.bytes(&[Frame::text("busy")]);
        let look = |served: &mut Served, far: &mut Far| {
            far.write(&busy);
            served.advance(INTERVAL);
        };
        look(&mut served, &mut far);
        // Whoever takes something, however little, stays.
        for _ in 0..2 {
            let before = served.hub().bytes_written(id);
            served.turns("that it takes something", |served| {
                read_some(&mut far.stream, &mut [0; 65_536]);
                served.hub().bytes_written(id) > before
            });
            look(&mut served, &mut far);
            assert!(served.hub().is_open(id) && served.hub().backlog(id) > 0);
        }
        // What was read may go on making room in the kernel for a while.
        served.turns("the end", |served| {
            look(served, &mut far);
            !served.hub().is_open(id)
        });
        let ended = served.app.ended(id).expect("the end");
        assert_eq!((ended.clean, ended.by), (false, CloseReason::Aborted));
    }
}

/// Each look finds it within a message, but never the same one.
#[test]
fn who_sends_one_message_after_the_other_does_not_stall() {
    let mut served = Served::new();
    let mut far = served.client();
    let frame = far.bytes(&[Frame::binary([7; 10_000])]);
    let mut cut = 100;
    served.write(&mut far, &frame[..cut]);
    for _ in 0..12 {
        served.advance(INTERVAL);
        // The rest of this one, and a little more of the next than there was of it.
        served.write(&mut far, &frame[cut..]);
        cut += 100;
        served.write(&mut far, &frame[..cut]);
    }
    served.rest();
    assert_eq!(served.app.of(far.id).len(), 12);
    assert_eq!(served.app.closed(), []);
}

#[test]
fn no_interval_at_all_is_a_short_one() {
    let mut served = Served::with(websocket::Options {
        ping_interval: Some(std::time::Duration::ZERO),
        ..websocket::Options::default()
    });
    served.app.on_message = Some(Box::new(|cx, _| cx.pause()));
    let mut far = served.client();
    served.send(&mut far, &[Frame::text("wait")]);
    served.advance(SECOND);
    assert!(served.hub().is_open(far.id));
}
