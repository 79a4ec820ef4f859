//! Datagrams without sessions, and what a driver of one's own is told of them.

use std::net::SocketAddr;

use switchboard::Bind;
use switchboard::{CloseReason, Config, ConnId, Dial, Driver, Full, Hub, Origin, Reactor, Sent};

use crate::served::{Event, Peer, SECOND, Served};

#[test]
fn each_datagram_comes_with_its_socket_and_its_sender() {
    let mut served = Served::bare("127.0.0.1:0");
    let peers: Vec<_> = (0..3).map(|_| Peer::of(served.address)).collect();
    for peer in &peers {
        peer.send(b"a");
        peer.send(b"b");
    }
    served.until_arrived(6);
    let expected = peers.iter().flat_map(|peer| {
        [b"a", b"b"].map(|text| Event::Datagram(served.socket, peer.address(), text.to_vec()))
    });
    assert_eq!(served.app.events, expected.collect::<Vec<_>>());
    let socket = served.socket;
    assert_eq!(served.hub().sessions(socket), 0);
    assert_eq!(served.hub().totals().accepts, 0);
}

/// What one sends, all who were heard before receive.
#[test]
fn a_callback_sends_to_anyone() {
    let mut served = Served::bare("127.0.0.1:0");
    let mut known: Vec<SocketAddr> = Vec::new();
    served.app.on_datagram = Some(Box::new(move |hub, socket, from, datagram| {
        for other in &known {
            assert_eq!(hub.send_to(socket, *other, datagram), Sent::Accepted);
        }
        known.push(from);
    }));
    let peers: Vec<_> = (0..4).map(|_| Peer::of(served.address)).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.send(&[number as u8]);
        served.until_arrived(number + 1);
    }
    for (number, peer) in peers.iter().enumerate() {
        for later in number + 1..4 {
            assert_eq!(served.receive(peer), [later as u8]);
        }
        assert_eq!(peer.receive(), None);
    }
}

/// An answer comes from where the question went to: a connected peer hears nothing else.
#[test]
fn two_sockets_of_one_driver_answer_by_themselves() {
    let mut served = Served::bare("127.0.0.1:0");
    let second = served.reactor.bind("127.0.0.1:0", served.bare).unwrap();
    served.app.on_datagram = Some(Box::new(|hub, socket, from, datagram| {
        assert_eq!(hub.send_to(socket, from, datagram), Sent::Accepted);
    }));
    let one = Peer::of(served.address);
    let other = Peer::of(second.local_addr);
    one.send(b"to the first");
    other.send(b"to the second");
    assert_eq!(served.receive(&one), b"to the first");
    assert_eq!(served.receive(&other), b"to the second");
    // Each socket may be sent by, whichever was sent to.
    let (socket, address) = (served.socket, other.address());
    assert!(served.hub().send_to(socket, address, b"unheard").is_taken());
    assert!(
        served
            .hub()
            .send_to(second.id, address, b"heard")
            .is_taken()
    );
    assert_eq!(served.receive(&other), b"heard");
    served.hub().close(socket);
    served.rest();
    assert_eq!(served.app.closed(), [(socket, CloseReason::Local)]);
    other.send(b"and on");
    assert_eq!(served.receive(&other), b"and on");
}

#[test]
fn a_closed_socket_sends_nothing_and_is_told_of_once() {
    let mut served = Served::bare("127.0.0.1:0");
    let peer = Peer::of(served.address);
    let (socket, address) = (served.socket, peer.address());
    served.app.on_datagram = Some(Box::new(|hub, socket, from, _| {
        assert_eq!(hub.send_to(socket, from, b"farewell"), Sent::Accepted);
        hub.close_for(socket, CloseReason::Protocol);
        assert_eq!(hub.send_to(socket, from, b"?"), Sent::Closed);
    }));
    served.app.on_close = Some(Box::new(move |hub, socket| {
        assert_eq!(hub.send_to(socket, address, b"?"), Sent::Closed);
        assert!(hub.info(socket).is_some());
    }));
    peer.send(b"x");
    peer.send(b"unheard");
    served.until("the close", |app| !app.closed().is_empty());
    served.rest();
    assert_eq!(served.app.closed(), [(socket, CloseReason::Protocol)]);
    assert_eq!(served.app.arrived(), [b"x"]);
    assert_eq!(served.hub().send_to(socket, address, b"?"), Sent::Closed);
    assert_eq!(served.hub().send(socket, b"?"), Sent::Closed);
    assert_eq!(served.hub().info(socket), None);
    let driver = served.bare;
    assert_eq!(served.hub().count(driver), 0);
    assert_eq!(served.hub().totals().panics, 0);
    assert_eq!(served.receive(&peer), b"farewell");
    assert_eq!(peer.receive(), None);
}

/// Nobody is meant by it, which is the caller's mistake and nobody's end.
#[test]
fn a_send_without_an_address_by_an_unconnected_socket_is_dropped() {
    let mut served = Served::bare("127.0.0.1:0");
    let socket = served.socket;
    for dropped in 1..=3 {
        assert_eq!(served.hub().send(socket, b"to whom?"), Sent::Dropped);
        assert_eq!(served.hub().totals().dropped, dropped);
    }
    served.rest();
    assert_eq!(served.app.events, []);
    assert!(served.hub().is_open(socket));
}

#[test]
fn what_is_no_datagram_socket_sends_no_datagram() {
    let mut served = Served::new();
    let listening = served.reactor.listen("127.0.0.1:0", served.tcp).unwrap();
    let _client = served.tcp_client();
    let (address, tcp) = (served.address, served.tcp);
    let connection = served.hub().ids(tcp)[0];
    for id in [listening.id, connection] {
        assert_eq!(served.hub().send_to(id, address, b"?"), Sent::Closed);
        assert_eq!(served.hub().sessions(id), 0);
        assert_eq!(served.hub().open_session(id, address), None);
    }
}

#[test]
fn a_connected_socket_without_sessions_sends_and_receives() {
    let mut served = Served::bare("127.0.0.1:0");
    let peer = Peer::of(served.address);
    let bare = served.bare;
    let id = served.hub().connect(Dial::udp(peer.address()), bare);
    let local = served.hub().info(id).unwrap().local_addr.unwrap();
    peer.socket.connect(local).unwrap();
    peer.send(b"in");
    served.until_arrived(1);
    let expected = Event::Datagram(id, peer.address(), b"in".to_vec());
    assert_eq!(served.app.events, [expected]);
    assert!(served.hub().send(id, b"out").is_taken());
    assert_eq!(served.receive(&peer), b"out");
    served.hub().close(id);
    served.rest();
    assert_eq!(served.app.closed(), [(id, CloseReason::Local)]);
}

/// What a driver of one's own is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Bound(ConnId),
    Datagram(ConnId, SocketAddr),
    Closed(ConnId),
    Other(String),
}

/// Opens a session for whoever says hello.
struct Own;

impl Driver<Vec<Told>> for Own {
    fn on_open(&mut self, told: &mut Vec<Told>, _: &mut Hub, id: ConnId, origin: Origin) {
        told.push(match origin {
            Origin::Bound => Told::Bound(id),
            other => Told::Other(format!("{other:?}")),
        });
    }

    fn on_data(&mut self, told: &mut Vec<Told>, _: &mut Hub, _: ConnId, _: &mut [u8]) -> usize {
        told.push(Told::Other("on_data".to_owned()));
        0
    }

    fn on_datagram(
        &mut self,
        told: &mut Vec<Told>,
        hub: &mut Hub,
        id: ConnId,
        from: SocketAddr,
        data: &mut [u8],
    ) {
        told.push(Told::Datagram(id, from));
        if data == b"hello" {
            let session = hub.open_session(id, from);
            // The one that there is already is returned; with a session there is none.
            assert_eq!(hub.open_session(id, from), session);
        }
    }

    fn on_timer(&mut self, _: &mut Vec<Told>, _: &mut Hub, _: Option<ConnId>, _: u32) {
        panic!("on_timer");
    }

    fn on_close(&mut self, told: &mut Vec<Told>, _: &mut Hub, id: ConnId, _: CloseReason) {
        told.push(Told::Closed(id));
    }
}

/// A reactor with that driver, its socket, and peers.
struct Bench {
    reactor: Reactor<Vec<Told>>,
    told: Vec<Told>,
    clock: switchboard::Clock,
    socket: ConnId,
    address: SocketAddr,
}

impl Bench {
    fn new(bind: Bind) -> Self {
        let clock = switchboard::Clock::manual();
        let mut reactor = Reactor::new(Config {
            clock: clock.clone(),
            ..Config::default()
        })
        .unwrap();
        let driver = reactor.add_driver(Own);
        let bound = reactor.bind(bind, driver).unwrap();
        Self {
            reactor,
            told: Vec::new(),
            clock,
            socket: bound.id,
            address: bound.local_addr,
        }
    }

    fn until_told(&mut self, things: usize) {
        for _ in 0..1_000 {
            if self.told.len() >= things {
                return;
            }
            let wait = Some(std::time::Duration::from_millis(10));
            self.reactor.turn(&mut self.told, wait).unwrap();
        }
        panic!("told of {:?} only", self.told);
    }
}

#[test]
fn a_driver_hears_of_the_socket_then_of_strangers_then_of_its_sessions() {
    let mut bench = Bench::new("127.0.0.1:0".into());
    let (one, other) = (Peer::of(bench.address), Peer::of(bench.address));
    one.send(b"?");
    one.send(b"hello");
    one.send(b"more");
    other.send(b"hello");
    one.send(b"hello");
    bench.until_told(6);
    let (socket, (one, other)) = (bench.socket, (one.address(), other.address()));
    let hub = bench.reactor.hub();
    let first = hub.session(socket, one).unwrap();
    let second = hub.session(socket, other).unwrap();
    // A session is no socket.
    assert_eq!(hub.open_session(first, other), None);
    assert_eq!(
        bench.told,
        [
            Told::Bound(socket),
            Told::Datagram(socket, one),
            Told::Datagram(socket, one),
            Told::Datagram(first, one),
            Told::Datagram(socket, other),
            Told::Datagram(first, one),
        ]
    );
    // Sessions end before their socket.
    bench.told.clear();
    let hub = bench.reactor.hub();
    hub.close(socket);
    assert_eq!(hub.open_session(socket, one), None);
    bench.until_told(3);
    assert_eq!(bench.told.pop(), Some(Told::Closed(socket)));
    let both = [Told::Closed(first), Told::Closed(second)];
    assert!(both.iter().all(|closed| bench.told.contains(closed)));
}

/// Closed before its driver has heard of it, a socket was never there.
#[test]
fn a_socket_that_is_closed_at_once_is_not_told_of() {
    let mut bench = Bench::new("127.0.0.1:0".into());
    let driver = bench.reactor.hub().info(bench.socket).unwrap().driver;
    bench.reactor.hub().close(bench.socket);
    for _ in 0..5 {
        let wait = Some(std::time::Duration::ZERO);
        bench.reactor.turn(&mut bench.told, wait).unwrap();
    }
    assert_eq!(bench.told, []);
    assert_eq!(bench.reactor.hub().count(driver), 0);
}

/// A driver may open sessions of its own accord, within the bound.
#[test]
fn sessions_opened_without_a_datagram_are_bounded_too() {
    let bind = Bind::udp("127.0.0.1:0")
        .max_sessions(2)
        .when_full(Full::Refuse);
    let mut bench = Bench::new(bind);
    let socket = bench.socket;
    let peers: Vec<_> = (0..3).map(|_| Peer::of(bench.address)).collect();
    let hub = bench.reactor.hub();
    let opened: Vec<_> = peers
        .iter()
        .map(|peer| hub.open_session(socket, peer.address()))
        .collect();
    assert!(opened[0].is_some() && opened[1].is_some() && opened[2].is_none());
    assert_eq!((hub.sessions(socket), hub.totals().refused), (2, 1));
    assert!(hub.send(opened[1].unwrap(), b"guess who").is_taken());
    bench.until_told(1);
    assert_eq!(peers[1].receive(), Some(b"guess who".to_vec()));
}

/// Who was let in by one callback has nothing to do with what another one does.
#[test]
fn a_panic_of_the_socket_itself_ends_no_session_of_an_earlier_callback() {
    let mut bench = Bench::new("127.0.0.1:0".into());
    let (socket, peer) = (bench.socket, Peer::of(bench.address));
    peer.send(b"hello");
    bench.until_told(2);
    let session = bench.reactor.hub().session(socket, peer.address()).unwrap();
    let owner = switchboard::Owner::Conn(socket);
    bench.reactor.hub().set_timer(owner, SECOND, 1);
    bench.clock.advance(SECOND);
    let wait = Some(std::time::Duration::ZERO);
    let turn = bench.reactor.turn(&mut bench.told, wait).unwrap();
    assert_eq!(turn.panics, 1);
    assert!(bench.reactor.hub().is_open(socket));
    assert!(bench.reactor.hub().is_open(session));
}
