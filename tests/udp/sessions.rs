//! A session: it opens with the first datagram of an address, has those that follow, and ends once.

use std::cell::Cell;
use std::rc::Rc;

use switchboard::{CloseReason, ConnId, Hub, Info, Owner, Protocol, Sent};

use crate::served::{Event, MILLI, Peer, SECOND, Served};
use crate::support::own_address;

#[test]
fn the_first_datagram_opens_a_session_and_those_that_follow_are_its_own() {
    let mut served = Served::new();
    let peer = Peer::of(served.address);
    for text in ["one", "two", "three"] {
        peer.send(text.as_bytes());
    }
    served.until_arrived(3);
    let id = served.app.opened()[0];
    assert_eq!(
        served.app.events,
        [
            Event::Opened(id),
            Event::Message(id, b"one".to_vec()),
            Event::Message(id, b"two".to_vec()),
            Event::Message(id, b"three".to_vec()),
        ]
    );
    peer.send(b"four");
    served.until_arrived(4);
    assert_eq!(served.app.of(id).len(), 4);
    assert_eq!(served.hub().totals().accepts, 1);
}

#[test]
fn each_peer_has_a_session_of_its_own() {
    let mut served = Served::new();
    let (one, first) = served.meet();
    let (other, second) = served.meet();
    assert_ne!(first, second);
    for _ in 0..3 {
        served.assert_serves(&other, second);
        served.assert_serves(&one, first);
    }
    let expected = |id: ConnId| {
        served.app.of(id)
            == [
                &b"hello"[..],
                b"still there?",
                b"still there?",
                b"still there?",
            ]
    };
    assert!(expected(first) && expected(second));
    assert_eq!((one.receive(), other.receive()), (None, None));
}

/// One peer, two of our sockets: two conversations.
#[test]
fn sockets_of_one_driver_have_sessions_of_their_own() {
    let mut served = Served::new();
    let bound = served.reactor.bind("127.0.0.1:0", served.sessions).unwrap();
    let (peer, first) = served.meet();
    peer.socket.connect(bound.local_addr).unwrap();
    peer.send(b"you too");
    served.until_arrived(2);
    let second = served.hub().session(bound.id, peer.address()).unwrap();
    assert_ne!(first, second);
    assert_eq!(served.app.of(second), [b"you too"]);
    assert!(served.hub().send(second, b"from the second").is_taken());
    assert_eq!(served.receive(&peer), b"from the second");
    let socket = served.socket;
    served.hub().close(socket);
    served.rest();
    assert_eq!(served.app.closed(), [(first, CloseReason::Local)]);
    served.assert_serves(&peer, second);
}

/// The state is lent for each message of its session, and comes back at the end.
#[test]
fn the_state_of_a_session_is_its_own() {
    let mut served = Served::new();
    let (one, first) = served.meet();
    let (other, second) = served.meet();
    for _ in 0..3 {
        one.send(b"1");
    }
    other.send(b"2");
    served.until_arrived(6);
    served.hub().close(second);
    served.turn();
    served.hub().close(first);
    served.turn();
    assert_eq!(served.app.counts, [2, 4]);
}

#[test]
fn what_is_known_of_a_session_and_of_its_socket() {
    let mut served = Served::new();
    served.advance(SECOND);
    let (peer, id) = served.meet();
    served.assert_serves(&peer, id);
    served.advance(1_500 * MILLI);
    let (socket, sessions) = (served.socket, served.sessions);
    let (local, remote) = (Some(served.address), Some(peer.address()));
    let hub = served.hub();
    let told = |info: Info| {
        let Info {
            protocol, driver, ..
        } = info;
        assert_eq!((protocol, driver), (Protocol::Udp, sessions));
        let traffic = (info.bytes_read, info.bytes_written);
        (info.local_addr, info.peer_addr, traffic, info.age)
    };
    let (age, life) = (1_500 * MILLI, 2_500 * MILLI);
    let traffic = (17, 10);
    assert_eq!(told(hub.info(id).unwrap()), (local, remote, traffic, age));
    let info = hub.info(socket).unwrap();
    assert_eq!(told(info), (local, None, traffic, life));
    assert_eq!((hub.count(sessions), hub.sessions(socket)), (2, 1));
    let mut ids = hub.ids(sessions);
    ids.sort();
    assert_eq!(ids, [socket, id]);
    assert_eq!(hub.session(socket, peer.address()), Some(id));
    assert_eq!(hub.session(socket, local.unwrap()), None);
    // A session is no socket, and has none.
    assert_eq!(
        (hub.session(id, peer.address()), hub.sessions(id)),
        (None, 0)
    );
}

#[test]
fn a_datagram_after_the_close_opens_another_session() {
    let mut served = Served::new();
    served.app.on_message = Some(Box::new(|cx, message| {
        if message == b"bye" {
            cx.close();
            assert_eq!(cx.send(b"too late"), Sent::Closed);
        }
    }));
    let peer = Peer::of(served.address);
    for text in ["hello", "bye", "again"] {
        peer.send(text.as_bytes());
    }
    served.until_arrived(3);
    served.rest();
    let [first, second] = served.app.opened()[..] else {
        panic!("{:?}", served.app.events);
    };
    assert_eq!(served.app.of(first), [&b"hello"[..], b"bye"]);
    assert_eq!(served.app.of(second), [b"again"]);
    assert_eq!(served.app.closed(), [(first, CloseReason::Local)]);
    let (socket, address) = (served.socket, peer.address());
    assert_eq!(served.hub().session(socket, address), Some(second));
    served.assert_serves(&peer, second);
    assert_eq!(peer.receive(), None);
}

/// Its peer hears what was sent before, and the name is of no use afterwards.
#[test]
fn a_session_that_was_closed_is_gone() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let hub = served.hub();
    assert!(hub.send(id, b"farewell").is_taken());
    hub.close_for(id, CloseReason::Protocol);
    hub.close(id);
    assert_eq!(hub.send(id, b"one more"), Sent::Closed);
    assert!(!hub.is_open(id));
    served.rest();
    assert_eq!(served.receive(&peer), b"farewell");
    let closed = [(id, CloseReason::Protocol)];
    assert_eq!(served.app.closed(), closed, "the first reason, once");
    let (socket, sessions, address) = (served.socket, served.sessions, served.address);
    let hub = served.hub();
    assert_eq!(hub.info(id), None);
    assert_eq!(hub.send(id, b"?"), Sent::Closed);
    assert_eq!(hub.send_to(id, address, b"?"), Sent::Closed);
    assert_eq!(hub.set_timer(Owner::Conn(id), SECOND, 1), None);
    assert!(!hub.subscribe(id, "news"));
    hub.post(id, Box::new("nobody"));
    hub.close(id);
    assert_eq!((hub.count(sessions), hub.sessions(socket)), (1, 0));
    assert_eq!(hub.pending_timers(), 0);
    served.rest();
    assert_eq!(served.app.closed(), closed);
    assert_eq!(peer.receive(), None);
}

/// In `on_close` a session is still known, and cannot be sent to.
#[test]
fn in_its_close_a_session_is_known_for_the_last_time() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let (local, remote) = (Some(served.address), Some(peer.address()));
    let looked = Rc::new(Cell::new(false));
    let look = Rc::clone(&looked);
    served.app.on_close = Some(Box::new(move |hub: &mut Hub, closed| {
        let info = hub.info(closed).unwrap();
        assert_eq!((info.local_addr, info.peer_addr), (local, remote));
        assert_eq!(hub.send(closed, b"?"), Sent::Closed);
        look.set(true);
    }));
    // Even when its socket goes with it.
    let socket = served.socket;
    served.hub().close(socket);
    served.rest();
    assert_eq!(served.app.closed(), [(id, CloseReason::Local)]);
    assert!(looked.get());
    assert_eq!(served.hub().totals().panics, 0);
    assert_eq!(peer.receive(), None);
}

#[test]
fn closing_the_socket_closes_all_its_sessions_once() {
    let mut served = Served::bound(own_address());
    let peers: Vec<_> = (0..20).map(|_| served.meet()).collect();
    let (socket, sessions) = (served.socket, served.sessions);
    served.hub().close_for(socket, CloseReason::Protocol);
    // They have ended already; only the calls are to come.
    let hub = served.hub();
    assert!(peers.iter().all(|(_, id)| !hub.is_open(*id)));
    assert_eq!(hub.sessions(socket), 0);
    served.rest();
    let mut closed = served.app.closed();
    closed.sort_by_key(|(id, _)| *id);
    let mut expected: Vec<_> = peers
        .iter()
        .map(|(_, id)| (*id, CloseReason::Protocol))
        .collect();
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(closed, expected);
    let hub = served.hub();
    assert_eq!((hub.count(sessions), hub.pending_timers()), (0, 0));
    assert_eq!(hub.info(socket), None);
    assert_eq!(
        hub.send_to(socket, peers[0].0.address(), b"?"),
        Sent::Closed
    );
    served.bind_again(served.address);
}

/// What comes behind the datagram in whose callback the socket is closed is for nobody.
#[test]
fn a_socket_that_is_closed_in_a_callback_receives_no_more() {
    let mut served = Served::new();
    let socket = served.socket;
    served.app.on_message = Some(Box::new(move |cx, _| cx.hub().close(socket)));
    let peers: Vec<_> = (0..3).map(|_| Peer::of(served.address)).collect();
    for peer in &peers {
        peer.send(b"first");
        peer.send(b"second");
    }
    served.until("the close", |app| !app.closed().is_empty());
    served.rest();
    assert_eq!(served.app.arrived(), [b"first"]);
    assert_eq!(served.app.closed().len(), 1);
}

/// `None` refuses: nothing is told of it, and nothing is kept.
#[test]
fn a_handler_that_refuses_a_session_is_asked_again_by_the_next_datagram() {
    let mut served = Served::new();
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    served.app.on_open = Some(Box::new(move |_| {
        count.set(count.get() + 1);
        count.get() > 2
    }));
    let peer = Peer::of(served.address);
    for text in ["one", "two", "three", "four"] {
        peer.send(text.as_bytes());
        served.rest();
    }
    let id = served.app.opened()[0];
    assert_eq!(served.app.of(id), [&b"three"[..], b"four"]);
    assert_eq!(served.app.closed(), []);
    assert_eq!(asked.get(), 3);
    let (socket, sessions) = (served.socket, served.sessions);
    let hub = served.hub();
    assert_eq!((hub.count(sessions), hub.sessions(socket)), (2, 1));
    assert_eq!(hub.pending_timers(), 1, "the idle time-out of one session");
}

#[test]
fn a_session_that_closes_itself_when_it_opens_has_no_message() {
    let mut served = Served::new();
    served.app.on_open = Some(Box::new(|cx| {
        assert!(cx.send(b"go away").is_taken());
        cx.close_for(CloseReason::Protocol);
        true
    }));
    let peer = Peer::of(served.address);
    peer.send(b"hello");
    served.until("the close", |app| !app.closed().is_empty());
    let id = served.app.opened()[0];
    let expected = [Event::Opened(id), Event::Closed(id, CloseReason::Protocol)];
    assert_eq!(served.app.events, expected);
    assert_eq!(served.receive(&peer), b"go away");
}
