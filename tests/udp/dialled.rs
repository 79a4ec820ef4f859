//! Sockets that are connected to one peer.

use std::net::{SocketAddr, UdpSocket};

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, ConnId, Dial, Peer as Whom, Protocol, Sent};

use crate::served::{Event, Peer, Served};
use crate::support::own_address;

/// A socket connected to a peer, which hears of it; and that peer.
fn dialled(served: &mut Served) -> (Peer, ConnId) {
    let peer = Peer::of(served.address);
    let id = open(served, Dial::udp(peer.address()));
    let local = served.hub().info(id).unwrap().local_addr.unwrap();
    peer.socket.connect(local).unwrap();
    (peer, id)
}

fn open(served: &mut Served, dial: Dial) -> ConnId {
    let sessions = served.sessions;
    let id = served.hub().connect(dial, sessions);
    served.until("the socket", |app| app.opened().contains(&id));
    id
}

#[test]
fn a_dial_opens_with_its_ticket_and_is_a_session_by_itself() {
    let mut served = Served::new();
    let peer = Peer::of(served.address);
    let dial = Dial::udp(peer.address()).ticket("for the archive");
    let sessions = served.sessions;
    let id = served.hub().connect(dial, sessions);
    assert_eq!(served.app.events, [], "never at once");
    served.turn();
    assert_eq!(served.app.events, [Event::Opened(id)]);
    assert_eq!(served.app.tickets, ["for the archive"]);
    let info = served.hub().info(id).unwrap();
    assert_eq!(info.protocol, Protocol::Udp);
    assert_eq!(info.peer_addr, Some(peer.address()));
    assert_eq!(
        served.hub().pending_timers(),
        0,
        "the dial's deadline is off"
    );
    peer.socket.connect(info.local_addr.unwrap()).unwrap();
    served.assert_serves(&peer, id);
    let info = served.hub().info(id).unwrap();
    assert_eq!((info.bytes_read, info.bytes_written), (12, 10));
    served.hub().close(id);
    served.rest();
    assert_eq!(served.app.closed(), [(id, CloseReason::Local)]);
    assert_eq!(served.hub().send(id, b"?"), Sent::Closed);
    assert_eq!(served.hub().count(sessions), 1);
}

#[test]
fn only_the_peer_is_heard() {
    let mut served = Served::new();
    let (peer, id) = dialled(&mut served);
    let local = served.hub().info(id).unwrap().local_addr.unwrap();
    let stranger = Peer::of(local);
    for _ in 0..5 {
        // It may hear by now that nobody listens.
        let _ = stranger.socket.send(b"psst");
    }
    served.assert_serves(&peer, id);
    assert_eq!(served.app.of(id), [b"still there?"]);
    assert_eq!(served.app.opened(), [id]);
    assert_eq!(served.hub().open_session(id, stranger.address()), None);
}

#[test]
fn a_dial_may_choose_its_own_address() {
    let mut served = Served::new();
    let peer = Peer::of(served.address);
    let own = own_address();
    let id = open(&mut served, Dial::udp(peer.address()).local_addr(own));
    let local = served.hub().info(id).unwrap().local_addr.unwrap();
    assert_eq!(local.ip(), own.ip());
    peer.socket.connect(local).unwrap();
    served.assert_serves(&peer, id);
}

#[test]
fn a_name_is_resolved_and_its_first_address_taken() {
    let mut served = Served::new();
    let port = served.address.port();
    let id = open(&mut served, Dial::udp(format!("localhost:{port}").as_str()));
    let peer = served.hub().info(id).unwrap().peer_addr.unwrap();
    assert!(peer.ip().is_loopback());
    assert_eq!(peer.port(), port);
}

/// One of them is refused at once; the next one is as good.
#[test]
fn a_dial_of_several_addresses_takes_the_first_that_can_be() {
    let mut served = Served::new();
    served
        .faults
        .next(Call::Connect, Fault::Errno(libc::ENETUNREACH));
    let peers = [Peer::of(served.address), Peer::of(served.address)];
    let addresses = [peers[0].address(), peers[1].address()];
    let id = open(&mut served, Dial::udp(addresses).ticket("t"));
    let info = served.hub().info(id).unwrap();
    assert_eq!(info.peer_addr, Some(addresses[1]));
    assert_eq!(served.app.tickets, ["t"]);
}

#[test]
fn a_dial_that_cannot_be_is_told_with_its_ticket() {
    let mut served = Served::new();
    let sessions = served.sessions;
    for call in [Call::Connect, Call::Register] {
        served.app.events.clear();
        served.faults.next(call, Fault::Errno(libc::EMFILE));
        let dial = Dial::udp(served.address).ticket("mine");
        served.hub().connect(dial, sessions);
        assert_eq!(served.app.events, [], "never at once");
        served.until("the bad news", |app| !app.events.is_empty());
        let [Event::DialFailed(Some("mine"), text)] = &served.app.events[..] else {
            panic!("{:?}", served.app.events);
        };
        let whom = format!("udp {}", served.address);
        assert!(text.contains(&whom), "{text}");
        served.rest();
        assert_eq!(served.hub().count(sessions), 1);
        assert_eq!(served.hub().pending_timers(), 0);
    }
    let nobody: Vec<SocketAddr> = Vec::new();
    let nobody = Dial::udp(Whom::from(nobody));
    served.hub().connect(nobody, sessions);
    served.until("the bad news", |app| app.events.len() == 2);
}

/// Whoever dials is told how it ended, by a call with the ticket.
#[test]
fn a_dial_that_is_cancelled_is_told_as_one_that_failed() {
    let mut served = Served::new();
    let sessions = served.sessions;
    let dial = Dial::udp(served.address).ticket("mine");
    let id = served.hub().connect(dial, sessions);
    served.hub().close(id);
    assert!(!served.hub().is_open(id));
    served.rest();
    let [Event::DialFailed(Some("mine"), _)] = &served.app.events[..] else {
        panic!("{:?}", served.app.events);
    };
    assert_eq!(served.hub().count(sessions), 1);
}

/// An address at which nobody is, nor was: what is closed may live on for a moment, in a child
/// process that another test is starting. And what keeps its port from those who want it on all
/// addresses.
fn nobody() -> (UdpSocket, SocketAddr) {
    let held = UdpSocket::bind(own_address()).unwrap();
    let mut whom = own_address();
    whom.set_port(held.local_addr().unwrap().port());
    (held, whom)
}

#[test]
fn f31_a_peer_that_is_not_there_is_an_error_and_not_the_end() {
    let mut served = Served::new();
    let (_held, whom) = nobody();
    let id = open(&mut served, Dial::udp(whom));
    let refused = (id, Some(libc::ECONNREFUSED));
    for errors in 1..=200 {
        assert_eq!(served.hub().send(id, b"anybody?"), Sent::Accepted);
        served.until("the error", |app| app.failed().len() == errors);
        assert_eq!(served.app.failed()[errors - 1], refused);
        served.rest();
    }
    assert_eq!(served.app.closed(), []);
    assert!(served.hub().is_open(id));
    // The peer appears, and all is well.
    let own = served.hub().info(id).unwrap().local_addr.unwrap();
    let peer = Peer::at(whom, own);
    let errors = served.app.failed().len();
    served.assert_serves(&peer, id);
    assert_eq!(served.app.failed().len(), errors);
}

/// The kernel tells it instead of sending: what was to be sent then has to be sent again.
#[test]
fn f31_an_error_of_an_earlier_datagram_costs_no_later_one() {
    let mut served = Served::new();
    let (_held, whom) = nobody();
    let id = open(&mut served, Dial::udp(whom));
    let own = served.hub().info(id).unwrap().local_addr.unwrap();
    assert_eq!(served.hub().send(id, b"lost"), Sent::Accepted);
    let peer = Peer::at(whom, own);
    assert_eq!(served.hub().send(id, b"not lost"), Sent::Accepted);
    assert_eq!(served.receive(&peer), b"not lost");
    served.rest();
    assert_eq!(served.app.failed(), [(id, Some(libc::ECONNREFUSED))]);
    assert_eq!(served.hub().totals().dropped, 0);
    served.assert_serves(&peer, id);
}

/// Nobody in particular is meant by an error of a socket that serves many, so it has none of these.
#[test]
fn f31_clients_that_have_gone_do_not_disturb_a_server() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let gone: Vec<_> = (0..20).map(|_| served.meet().1).collect();
    for _ in 0..5 {
        for id in &gone {
            assert_eq!(served.hub().send(*id, b"where are you?"), Sent::Accepted);
        }
        served.rest();
        served.assert_serves(&peer, id);
    }
    assert_eq!(served.app.failed(), []);
    assert_eq!(served.app.closed(), []);
    served.meet();
}

/// Not that it could be: but if it were, nobody else should suffer.
#[test]
fn f31_a_refusal_told_to_a_server_ends_nothing() {
    for errno in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ECONNRESET] {
        let mut served = Served::new();
        let (peer, id) = served.meet();
        served.rest();
        for _ in 0..3 {
            served.faults.next(Call::Receive, Fault::Errno(errno));
        }
        served.assert_serves(&peer, id);
        assert_eq!(served.app.closed(), []);
    }
}
