//! A paused socket leaves what comes to the kernel; going on needs no new edge.

use switchboard::{Bind, CloseReason, Dial, Limits, Timeout};

use crate::served::{Peer, SECOND, Served};

#[test]
fn a_paused_socket_receives_nothing_until_it_is_resumed() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let socket = served.socket;
    served.hub().pause(socket);
    for text in ["one", "two"] {
        peer.send(text.as_bytes());
    }
    Peer::of(served.address).send(b"a stranger");
    served.rest();
    let before = served.receptions();
    served.advance(SECOND);
    served.rest();
    assert_eq!(
        (served.app.arrived().len(), served.receptions()),
        (1, before)
    );
    // It sends as ever.
    assert!(served.hub().send(id, b"wait").is_taken());
    assert_eq!(served.receive(&peer), b"wait");
    served.hub().resume(socket);
    let turn = served.turn();
    assert_eq!(turn.events, 0, "no new edge");
    assert_eq!(served.app.of(id), [&b"hello"[..], b"one", b"two"]);
    assert_eq!(served.app.opened().len(), 2);
    served.rest();
    served.hub().resume(socket);
    served.rest();
    served.assert_serves(&peer, id);
}

/// What is behind the datagram in whose callback it is paused stays where it is.
#[test]
fn a_socket_may_be_paused_in_a_callback() {
    let mut served = Served::new();
    let socket = served.socket;
    served.app.on_message = Some(Box::new(move |cx, _| cx.hub().pause(socket)));
    let peer = Peer::of(served.address);
    for number in 0..5 {
        peer.send(&[number]);
    }
    for number in 1..=5 {
        served.until_arrived(number);
        served.rest();
        assert_eq!(served.app.arrived().len(), number);
        served.hub().resume(socket);
    }
    served.rest();
}

/// Nobody can pause for himself alone on a socket that all share.
#[test]
fn a_session_cannot_be_paused() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    served.hub().pause(id);
    served.assert_serves(&peer, id);
    served.hub().resume(id);
    served.rest();
}

/// Before it is announced, a socket may be told not to begin.
#[test]
fn a_socket_may_be_paused_before_it_begins() {
    let mut served = Served::new();
    let socket = served.socket;
    served.hub().pause(socket);
    let peer = Peer::of(served.address);
    peer.send(b"early");
    served.rest();
    assert_eq!(served.app.events, []);
    served.hub().resume(socket);
    served.until_arrived(1);
}

#[test]
fn a_paused_socket_can_be_closed() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let socket = served.socket;
    served.hub().pause(socket);
    peer.send(b"unheard");
    served.rest();
    served.hub().close(socket);
    served.rest();
    assert_eq!(served.app.closed(), [(id, CloseReason::Local)]);
    assert_eq!(served.app.arrived().len(), 1);
}

/// Silence that we have brought about ourselves is no fault of the peer.
#[test]
fn a_pause_is_not_the_peers_silence() {
    let limits = Limits {
        read_timeout: Some(10 * SECOND),
        idle_timeout: Some(20 * SECOND),
        ..Limits::default()
    };
    let mut served = Served::bound(Bind::udp("127.0.0.1:0").limits(limits));
    let (peer, session) = served.meet();
    let other = Peer::of(served.address);
    let sessions = served.sessions;
    let dial = Dial::udp(other.address()).limits(limits);
    let dialled = served.hub().connect(dial, sessions);
    served.rest();
    let local = served.hub().info(dialled).unwrap().local_addr.unwrap();
    other.socket.connect(local).unwrap();
    let socket = served.socket;
    for id in [socket, dialled] {
        served.hub().pause(id);
    }
    for _ in 0..10 {
        peer.send(b"here I am");
        other.send(b"here I am");
        served.advance(9 * SECOND);
    }
    served.rest();
    assert_eq!(served.app.closed(), []);
    for id in [socket, dialled] {
        served.hub().resume(id);
    }
    served.until("the messages", |app| app.of(dialled).len() == 10);
    assert_eq!(served.app.of(session).len(), 11);
    // From here on it is theirs again.
    served.advance(9 * SECOND);
    assert_eq!(served.app.closed(), []);
    served.advance(SECOND);
    let reason = CloseReason::TimedOut(Timeout::Read);
    let mut closed = served.app.closed();
    closed.sort_by_key(|(id, _)| *id != session);
    assert_eq!(closed, [(session, reason), (dialled, reason)]);
}
