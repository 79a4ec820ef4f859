//! Errors of the system: each is about a datagram, none is the end of a socket.

use switchboard::testing::{Call, Fault};
use switchboard::{Dial, Sent};

use crate::served::{MILLI, Peer, Served};

/// How long a socket is left alone that the system fails for no datagram's sake.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(100);

#[test]
fn a_datagram_that_the_system_refuses_is_dropped_and_told_once_a_turn() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let (_, other) = served.meet();
    served.rest();
    served.faults.always(Call::Send, Fault::Errno(libc::EPERM));
    for turn in 1..=3 {
        for _ in 0..5 {
            assert_eq!(served.hub().send(id, b"firewalled"), Sent::Dropped);
        }
        let hub = served.hub();
        assert_eq!((hub.totals().dropped, hub.backlog(id)), (5 * turn, 0));
        served.turn();
        let told = (id, Some(libc::EPERM));
        assert_eq!(served.app.failed(), vec![told; turn as usize]);
    }
    served.rest();
    assert_eq!(served.app.failed().len(), 3);
    // Each is told of its own.
    served.hub().send(id, b"x").ignore();
    served.hub().send(other, b"x").ignore();
    served.turn();
    let told = [id, other].map(|id| (id, Some(libc::EPERM)));
    assert_eq!(served.app.failed()[3..], told);
    served.faults.clear(Call::Send);
    served.assert_serves(&peer, id);
    assert_eq!(served.app.closed(), []);
    assert_eq!(peer.receive(), None, "a dropped one is not sent later");
}

/// In a callback as between turns; and told by the one that sent.
#[test]
fn a_refusal_in_a_callback_is_told_in_the_next_turn() {
    let mut served = Served::new();
    served.app.on_message = Some(Box::new(|cx, _| {
        assert_eq!(cx.send(b"a"), Sent::Dropped);
        assert_eq!(cx.send(b"b"), Sent::Dropped);
    }));
    served.faults.always(Call::Send, Fault::Errno(libc::EPERM));
    let peer = Peer::of(served.address);
    peer.send(b"x");
    served.until_arrived(1);
    assert_eq!(served.app.failed(), []);
    served.turn();
    let id = served.app.opened()[0];
    assert_eq!(served.app.failed(), [(id, Some(libc::EPERM))]);
    assert_eq!(served.hub().totals().panics, 0);
}

#[test]
fn a_refusal_is_told_of_bare_and_connected_sockets_too() {
    let mut served = Served::bare("127.0.0.1:0");
    let (socket, address, sessions) = (served.socket, served.address, served.sessions);
    let dialled = served.hub().connect(Dial::udp(address), sessions);
    served.rest();
    served.faults.always(Call::Send, Fault::Errno(libc::EPERM));
    assert_eq!(served.hub().send_to(socket, address, b"x"), Sent::Dropped);
    assert_eq!(served.hub().send(dialled, b"x"), Sent::Dropped);
    served.turn();
    let told = [socket, dialled].map(|id| (id, Some(libc::EPERM)));
    assert_eq!(served.app.failed(), told);
}

/// A network that is away for a moment: without an address to send to, nobody is meant.
#[test]
fn a_broadcast_without_permission_is_told() {
    let mut served = Served::bare("127.0.0.1:0");
    let (socket, port) = (served.socket, served.address.port());
    let everybody = ([127, 255, 255, 255], port).into();
    assert_eq!(served.hub().send_to(socket, everybody, b"x"), Sent::Dropped);
    served.turn();
    assert_eq!(served.app.failed(), [(socket, Some(libc::EACCES))]);
    assert!(served.hub().is_open(socket));
}

#[test]
fn whoever_closes_is_not_told_of_errors_before() {
    let mut served = Served::new();
    let (_, id) = served.meet();
    served.rest();
    served.faults.always(Call::Send, Fault::Errno(libc::EPERM));
    assert_eq!(served.hub().send(id, b"x"), Sent::Dropped);
    served.hub().close(id);
    served.rest();
    assert_eq!(
        (served.app.failed(), served.app.closed().len()),
        (vec![], 1)
    );
}

#[test]
fn an_interrupted_call_is_made_again() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    served.rest();
    served.faults.next(Call::Send, Fault::Errno(libc::EINTR));
    for _ in 0..3 {
        served.faults.next(Call::Receive, Fault::Errno(libc::EINTR));
    }
    served.assert_serves(&peer, id);
    assert_eq!(served.app.failed(), []);
}

/// Ten in a row, each for a datagram of its own, as far as anybody knows.
#[test]
fn f31_a_burst_of_errors_ends_nothing_and_costs_nothing() {
    let mut served = Served::bare("127.0.0.1:0");
    served.rest();
    for _ in 0..10 {
        let fault = Fault::Errno(libc::EHOSTUNREACH);
        served.faults.next(Call::Receive, fault);
    }
    let peer = Peer::of(served.address);
    peer.send(b"after all that");
    served.until_arrived(1);
    let told = (served.socket, Some(libc::EHOSTUNREACH));
    assert_eq!(served.app.failed(), [told; 10]);
    peer.send(b"and more");
    served.until_arrived(2);
    assert_eq!(served.app.closed(), []);
    served.rest();
}

/// A socket that only ever fails is looked at ten times a second; the loop sleeps in between, and
/// everybody else is served.
#[test]
fn f31_an_error_for_ever_does_not_keep_the_loop_awake() {
    let mut served = Served::new();
    let mut client = served.tcp_client();
    let (peer, id) = served.meet();
    served.rest();
    let before = served.receptions();
    served.faults.always(Call::Receive, Fault::Errno(libc::EIO));
    peer.send(b"unheard for now");
    // At rest the loop has nothing queued, and a clock that stands still brings nothing.
    served.turns("the error", |served| served.receptions() > before);
    served.rest();
    let tries = served.receptions() - before;
    assert!(tries <= 64, "{tries} receptions without a pause");
    for round in 2..=5 {
        served.advance(RETRY_AFTER - MILLI);
        served.rest();
        served.advance(MILLI);
        served.rest();
        let tried = served.receptions() - before;
        assert_eq!(tried, round * tries, "a round is due every 100 ms");
    }
    assert!(served.hub().is_open(id));
    served.faults.clear(Call::Receive);
    served.assert_echoes(&mut client);
    served.advance(RETRY_AFTER);
    served.until("the message", |app| app.of(id).len() == 2);
    served.assert_serves(&peer, id);
    assert_eq!(served.app.failed(), [], "no session is to blame");
    assert_eq!(served.app.closed(), []);
}

/// Shortage is not told as an error: it is over when it is over.
#[test]
fn f34_a_shortage_when_receiving_waits_for_a_timer() {
    for errno in [libc::ENOBUFS, libc::ENOMEM] {
        let mut served = Served::bare("127.0.0.1:0");
        served.rest();
        let before = served.receptions();
        served.faults.next(Call::Receive, Fault::Errno(errno));
        let peer = Peer::of(served.address);
        peer.send(b"patience");
        served.turns("the shortage", |served| served.receptions() > before);
        served.rest();
        served.advance(RETRY_AFTER - MILLI);
        served.rest();
        assert_eq!(served.receptions(), before + 1);
        assert_eq!(served.app.events, []);
        // It may send all the while.
        let (socket, address) = (served.socket, peer.address());
        assert_eq!(served.hub().send_to(socket, address, b"x"), Sent::Accepted);
        served.advance(MILLI);
        served.until_arrived(1);
        assert_eq!(served.app.failed(), []);
        served.rest();
    }
}
