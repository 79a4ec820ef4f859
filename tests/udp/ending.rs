//! A reactor that serves UDP comes to its end: in good order, and once.

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Dial};

use crate::served::{Event, SECOND, Served};
use crate::support::own_address;

/// The deadline is nowhere near: the clock stands still.
#[test]
fn a_shutdown_closes_sessions_and_sockets_and_ends_the_loop() {
    let mut served = Served::bound(own_address());
    let peers: Vec<_> = (0..5).map(|_| served.meet()).collect();
    let bare = served.reactor.bind("127.0.0.1:0", served.bare).unwrap();
    let (address, sessions) = (served.address, served.sessions);
    let dialled = served.hub().connect(Dial::udp(address), sessions);
    served.until("the socket", |app| app.opened().contains(&dialled));
    served.hub().shutdown(60 * SECOND);
    peers[0].0.send(b"too late");
    let drivers = [served.sessions, served.bare];
    served.turns("the end of all", |served| {
        drivers
            .iter()
            .all(|driver| served.hub().count(*driver) == 0)
    });
    served.reactor.run(&mut served.app).unwrap();
    let mut closed = served.app.closed();
    closed.sort_by_key(|(id, _)| *id);
    let mut expected: Vec<_> = peers.iter().map(|(_, id)| *id).collect();
    expected.extend([bare.id, dialled]);
    expected.sort();
    assert_eq!(
        closed,
        expected
            .into_iter()
            .map(|id| (id, CloseReason::Shutdown))
            .collect::<Vec<_>>()
    );
    assert_eq!(served.hub().pending_timers(), 0);
    assert_eq!(served.app.arrived().len(), 5);
    served.bind_again(address);
}

/// As an application would.
#[test]
fn a_callback_may_shut_the_server_down() {
    let mut served = Served::new();
    served.app.on_message = Some(Box::new(|cx, message| {
        if message == b"quit" {
            assert!(cx.send(b"as you wish").is_taken());
            cx.hub().shutdown(60 * SECOND);
        }
    }));
    let (peer, id) = served.meet();
    peer.send(b"quit");
    served.until("the close", |app| !app.closed().is_empty());
    assert_eq!(served.app.closed(), [(id, CloseReason::Shutdown)]);
    let sessions = served.sessions;
    assert_eq!(served.hub().count(sessions), 0);
    served.reactor.run(&mut served.app).unwrap();
    assert_eq!(served.receive(&peer), b"as you wish");
}

/// What waits in its queue is offered to the kernel once more.
#[test]
fn a_shutdown_sends_what_waits() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    served.rest();
    served.faults.next(Call::Send, Fault::Errno(libc::EAGAIN));
    assert!(served.hub().send(id, b"last words").is_taken());
    served.hub().shutdown(SECOND);
    served.until("the close", |app| !app.closed().is_empty());
    assert_eq!(served.receive(&peer), b"last words");
}

/// Without a shutdown they stay as they are.
#[test]
fn a_stop_closes_nothing() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    served.hub().stop();
    served.reactor.run(&mut served.app).unwrap();
    assert_eq!(served.app.closed(), []);
    served.assert_serves(&peer, id);
}

/// A socket that a shutdown shall not wait for does not keep it, and is closed all the same.
#[test]
fn a_shutdown_does_not_wait_for_what_is_unreferenced() {
    let mut served = Served::new();
    let socket = served.socket;
    served.hub().unref(socket);
    served.hub().shutdown(60 * SECOND);
    served.turn();
    served.reactor.run(&mut served.app).unwrap();
    assert_eq!(served.app.events, [] as [Event; 0]);
    let sessions = served.sessions;
    assert_eq!(served.hub().count(sessions), 0);
}

/// A reactor that is dropped takes its sockets along.
#[test]
fn a_dropped_reactor_leaves_no_socket() {
    let served = Served::bound(own_address());
    let address = served.address;
    drop(served);
    Served::new().bind_again(address);
}
