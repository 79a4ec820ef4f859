//! Silence ends a session, for want of any other end. The clock is moved by hand.

use std::time::Duration;

use switchboard::{Bind, CloseReason, Config, ConnId, Dial, Limits, Timeout};

use crate::served::{Event, MILLI, Peer, SECOND, Served};

const IDLE: CloseReason = CloseReason::TimedOut(Timeout::Idle);

fn idle(after: Duration) -> Limits {
    Limits {
        idle_timeout: Some(after),
        ..Limits::default()
    }
}

/// Its session ends for this reason when so much time has passed, and not a millisecond earlier.
fn assert_ends(served: &mut Served, id: ConnId, after: Duration, reason: CloseReason) {
    served.advance(after - MILLI);
    served.rest();
    assert_eq!(served.app.closed(), [], "too early");
    served.advance(MILLI);
    assert_eq!(served.app.closed(), [(id, reason)]);
}

#[test]
fn a_session_ends_after_a_minute_of_silence() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    assert_ends(&mut served, id, 60 * SECOND, IDLE);
    assert_eq!(served.app.events[2], Event::TimedOut(id, Timeout::Idle));
    let (socket, sessions) = (served.socket, served.sessions);
    let hub = served.hub();
    assert_eq!((hub.sessions(socket), hub.count(sessions)), (0, 1));
    assert_eq!(hub.pending_timers(), 0);
    // The next datagram is the first of another one.
    peer.send(b"sorry");
    served.until_arrived(2);
    let again = served.app.opened()[1];
    assert_ne!(again, id);
    assert_eq!(served.app.of(again), [b"sorry"]);
}

#[test]
fn limits_of_the_socket_or_of_the_reactor_come_before_the_minute() {
    let bind = Bind::udp("127.0.0.1:0").limits(idle(3 * SECOND));
    let mut served = Served::bound(bind.clone());
    let (_peer, id) = served.meet();
    assert_ends(&mut served, id, 3 * SECOND, IDLE);

    let config = Config {
        limits: idle(7 * SECOND),
        ..Config::default()
    };
    let mut served = Served::with(config.clone(), "127.0.0.1:0");
    let (_peer, id) = served.meet();
    assert_ends(&mut served, id, 7 * SECOND, IDLE);

    let mut served = Served::with(config, bind);
    let (_peer, id) = served.meet();
    assert_ends(&mut served, id, 3 * SECOND, IDLE);
}

/// Whoever states limits without an idle time-out means it.
#[test]
fn without_an_idle_time_out_a_session_lives_on() {
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").limits(Limits::default()));
    let (peer, id) = served.meet();
    assert_eq!(served.hub().pending_timers(), 0);
    for _ in 0..24 {
        served.advance(3_600 * SECOND);
    }
    served.assert_serves(&peer, id);
    assert_eq!(served.app.opened(), [id]);
}

#[test]
fn what_comes_and_what_goes_postpones_the_end() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    for _ in 0..3 {
        served.advance(59 * SECOND);
        peer.send(b"");
        let arrived = served.app.arrived().len();
        served.until_arrived(arrived + 1);
    }
    for _ in 0..3 {
        served.advance(59 * SECOND);
        assert!(served.hub().send(id, b"are you there?").is_taken());
    }
    served.rest();
    assert_ends(&mut served, id, 60 * SECOND, IDLE);
}

/// The silence of one is not broken by another on the same socket.
#[test]
fn each_session_has_a_time_of_its_own() {
    let mut served = Served::new();
    let (_silent, first) = served.meet();
    served.advance(30 * SECOND);
    let (talker, second) = served.meet();
    served.advance(29 * SECOND);
    served.assert_serves(&talker, second);
    served.advance(SECOND);
    assert_eq!(served.app.closed(), [(first, IDLE)]);
    served.advance(58 * SECOND);
    assert_eq!(served.app.closed().len(), 1);
    served.advance(SECOND);
    assert_eq!(served.app.closed()[1..], [(second, IDLE)]);
}

#[test]
fn a_handler_may_keep_a_silent_session() {
    let mut served = Served::new();
    served.app.on_timeout = Some(Box::new(|cx| cx.send(b"still there?").ignore()));
    let (peer, id) = served.meet();
    for rounds in 1..=3 {
        served.advance(60 * SECOND - MILLI);
        assert_eq!(served.app.events.len(), 1 + rounds);
        served.advance(MILLI);
        let told = Event::TimedOut(id, Timeout::Idle);
        assert_eq!(served.app.events.last(), Some(&told));
        assert_eq!(served.receive(&peer), b"still there?");
    }
    served.app.on_timeout = None;
    served.advance(60 * SECOND);
    assert_eq!(served.app.closed(), [(id, IDLE)]);
}

/// The end of its lifetime cannot be put off, neither by talking nor by the handler.
#[test]
fn a_session_ends_with_its_lifetime() {
    let limits = Limits {
        lifetime: Some(10 * SECOND),
        ..idle(3 * SECOND)
    };
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").limits(limits));
    served.app.on_timeout = Some(Box::new(|_| {}));
    let (peer, id) = served.meet();
    for _ in 0..4 {
        served.advance(2 * SECOND);
        served.assert_serves(&peer, id);
    }
    let reason = CloseReason::TimedOut(Timeout::Lifetime);
    assert_ends(&mut served, id, 2 * SECOND, reason);
}

/// Unlike the idle time-out, this one is about the peer alone.
#[test]
fn what_goes_does_not_postpone_a_read_time_out() {
    let limits = Limits {
        read_timeout: Some(4 * SECOND),
        ..Limits::default()
    };
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").limits(limits));
    let (peer, id) = served.meet();
    served.advance(3 * SECOND);
    served.assert_serves(&peer, id);
    served.advance(3 * SECOND);
    assert!(served.hub().send(id, b"hello?").is_taken());
    assert_ends(
        &mut served,
        id,
        SECOND,
        CloseReason::TimedOut(Timeout::Read),
    );
}

#[test]
fn one_session_may_have_limits_of_its_own() {
    let mut served = Served::new();
    let (_one, first) = served.meet();
    let (_other, second) = served.meet();
    served.advance(SECOND);
    served.hub().set_limits(first, idle(5 * SECOND));
    assert_eq!(served.hub().limits(first), Some(idle(5 * SECOND)));
    assert_eq!(served.hub().limits(second), Some(idle(60 * SECOND)));
    assert_ends(&mut served, first, 4 * SECOND, IDLE);
    served.advance(55 * SECOND);
    assert_eq!(served.app.closed()[1..], [(second, IDLE)]);
}

/// The socket itself has no peer to fall silent.
#[test]
fn a_bound_socket_does_not_end_by_silence() {
    let limits = Limits {
        lifetime: Some(SECOND),
        read_timeout: Some(SECOND),
        ..idle(SECOND)
    };
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").limits(limits));
    for _ in 0..5 {
        served.advance(SECOND);
    }
    served.meet();
}

#[test]
fn a_connected_socket_ends_by_the_limits_of_its_dial() {
    let mut served = Served::new();
    let peer = Peer::of(served.address);
    let dial = Dial::udp(peer.address()).limits(idle(2 * SECOND));
    let sessions = served.sessions;
    let id = served.hub().connect(dial, sessions);
    served.turn();
    served.advance(SECOND);
    peer.socket
        .connect(served.hub().info(id).unwrap().local_addr.unwrap())
        .unwrap();
    served.assert_serves(&peer, id);
    assert_ends(&mut served, id, 2 * SECOND, IDLE);
    assert_eq!(served.hub().info(id), None);
}
