//! Where a socket is bound, with which options, and what is said when it cannot be.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use socket2::SockRef;
use switchboard::{Bind, Bound, Interface};

use crate::served::{Peer, Served};
use crate::support::own_address;

fn refusal(served: &mut Served, bind: impl Into<Bind>) -> (ErrorKind, String) {
    let error = served.reactor.bind(bind, served.sessions).unwrap_err();
    (error.kind(), error.to_string())
}

fn bind(served: &mut Served, bind: impl Into<Bind>) -> Bound {
    served.reactor.bind(bind, served.sessions).expect("a port")
}

#[test]
fn an_address_may_be_text_or_one() {
    let mut served = Served::new();
    let [text, string, port_only, address, name]: [Bind; 5] = [
        "127.0.0.1:0".into(),
        String::from("127.0.0.1:0").into(),
        ":0".into(),
        SocketAddr::from(([127, 0, 0, 1], 0)).into(),
        "localhost:0".into(),
    ];
    for shape in [text, string, port_only, address, name] {
        let bound = bind(&mut served, shape);
        assert_ne!(bound.local_addr.port(), 0, "the port that the system chose");
        let info = served.hub().info(bound.id).unwrap();
        assert_eq!(info.local_addr, Some(bound.local_addr));
        let port = bound.local_addr.port();
        let (own, address) = match bound.local_addr {
            SocketAddr::V4(_) => ("127.0.0.1:0", SocketAddr::from(([127, 0, 0, 1], port))),
            SocketAddr::V6(address) => ("[::1]:0", address.into()),
        };
        let peer = Peer::at(own.parse().unwrap(), address);
        peer.send(b"hello");
        served.turns("the session", |served| {
            served.hub().session(bound.id, peer.address()).is_some()
        });
    }
}

#[test]
fn an_address_in_use_is_named_by_the_error() {
    let mut served = Served::bound(own_address());
    let address = served.address;
    let (kind, text) = refusal(&mut served, address);
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert!(text.contains(&format!("udp {address}")), "{text}");
    let (peer, id) = served.meet();
    served.assert_serves(&peer, id);
    // TCP has ports of its own.
    served.reactor.listen(address, served.tcp).unwrap();
}

#[test]
fn what_is_no_address_is_said_to_be_none() {
    let mut served = Served::new();
    for text in [
        "",
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:port",
        "127.0.0.1:70000",
        "[::1]",
    ] {
        let (_, said) = refusal(&mut served, text);
        assert!(said.contains("cannot bind udp"), "{said}");
        assert!(said.contains(&format!("`{text}`")), "{said}");
    }
    // Not ours, although an address: TEST-NET-3.
    let (kind, said) = refusal(&mut served, "203.0.113.1:0");
    assert_eq!(kind, ErrorKind::AddrNotAvailable);
    assert!(said.contains("203.0.113.1:0"), "{said}");
    let sessions = served.sessions;
    assert_eq!(
        served.hub().count(sessions),
        1,
        "nothing is left of the attempts"
    );
}

#[test]
fn a_callback_may_bind() {
    let mut served = Served::new();
    let driver = served.sessions;
    served.app.on_message = Some(Box::new(move |cx, message| {
        if message == b"hello" {
            let bound = cx.hub().bind("127.0.0.1:0", driver).unwrap();
            let port = bound.local_addr.port().to_be_bytes();
            assert!(cx.send(&port).is_taken());
        }
    }));
    let (peer, _) = served.meet();
    let port = served.receive(&peer).try_into().map(u16::from_be_bytes);
    let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap()));
    let other = Peer::of(address);
    other.send(b"knock");
    served.until_arrived(2);
}

/// Bound by somebody else, before or with more rights; whatever waits in it is received.
#[test]
fn a_socket_that_exists_already_is_taken_as_it_is() {
    let mut served = Served::new();
    let ready = UdpSocket::bind(own_address()).unwrap();
    ready.set_ttl(33).unwrap();
    let address = ready.local_addr().unwrap();
    let peer = Peer::of(address);
    peer.send(b"early");
    let bound = bind(&mut served, Bind::from(ready).ttl(44));
    assert_eq!(bound.local_addr, address);
    served.until_arrived(1);
    let descriptor = served.reactor.hub().descriptor(bound.id).unwrap();
    let socket = SockRef::from(&descriptor);
    assert_eq!(socket.ttl_v4().unwrap(), 33);
    assert!(socket.nonblocking().unwrap());
    let id = served.hub().session(bound.id, peer.address()).unwrap();
    served.assert_serves(&peer, id);
    // With it the port is given up.
    served.hub().close(bound.id);
    served.rest();
    served.bind_again(address);
}

#[test]
fn a_port_may_be_shared_by_those_who_agree() {
    let mut served = Served::new();
    for shared in [Bind::reuse_port, Bind::reuse_address] {
        let asked = |address: SocketAddr| shared(address.into(), true);
        let first = bind(&mut served, asked(own_address()));
        let second = bind(&mut served, asked(first.local_addr));
        assert_eq!(first.local_addr, second.local_addr);
        assert_ne!(first.id, second.id);
        // Not by whoever did not ask for it.
        let (kind, _) = refusal(&mut served, first.local_addr);
        assert_eq!(kind, ErrorKind::AddrInUse);
    }
    // The kernel spreads peers over those who share the port, and keeps each where it is.
    let port = Bind::from(own_address()).reuse_port(true);
    let first = bind(&mut served, port);
    let address = first.local_addr;
    let second = bind(&mut served, Bind::from(address).reuse_port(true));
    let peers: Vec<_> = (0..64).map(|_| Peer::of(address)).collect();
    for _ in 0..2 {
        for peer in &peers {
            peer.send(b"hello");
        }
        served.rest();
    }
    let hub = served.hub();
    let [one, other] = [first, second].map(|bound| hub.sessions(bound.id));
    assert_eq!(one + other, 64, "each peer has one session");
    assert!(one > 0 && other > 0, "{one} and {other}");
}

#[test]
fn options_reach_the_socket() {
    let mut served = Served::new();
    let options = Bind::udp("127.0.0.1:0")
        .broadcast(true)
        .ttl(7)
        .receive_buffer(32 * 1024)
        .send_buffer(48 * 1024)
        .multicast_interface(Interface::Address([127, 0, 0, 1].into()))
        .multicast_ttl(9)
        .multicast_loop(false)
        .bind_device("lo");
    let set = bind(&mut served, options).id;
    let unset = served.socket;
    let look = |served: &mut Served, id| {
        let descriptor = served.reactor.hub().descriptor(id).unwrap();
        let socket = SockRef::from(&descriptor);
        let numbers = [
            socket.ttl_v4().unwrap(),
            socket.multicast_ttl_v4().unwrap(),
            u32::from(socket.multicast_loop_v4().unwrap()),
            u32::from(socket.broadcast().unwrap()),
            u32::from(socket.multicast_all_v4().unwrap()),
            u32::from(socket.multicast_if_v4().unwrap()),
        ];
        (numbers, socket.device().unwrap())
    };
    let device = Some(b"lo".to_vec());
    let loopback = 0x7f00_0001;
    assert_eq!(look(&mut served, set), ([7, 9, 0, 1, 0, loopback], device));
    assert_eq!(look(&mut served, unset), ([64, 1, 1, 0, 0, 0], None));
    let descriptor = served.reactor.hub().descriptor(set).unwrap();
    let socket = SockRef::from(&descriptor);
    // Linux doubles what it is asked for.
    assert_eq!(socket.recv_buffer_size().unwrap(), 2 * 32 * 1024);
    assert_eq!(socket.send_buffer_size().unwrap(), 2 * 48 * 1024);
}

#[test]
fn options_of_ipv6_reach_the_socket() {
    let mut served = Served::new();
    let Ok(_) = UdpSocket::bind("[::1]:0") else {
        return println!("skipped: no IPv6 here");
    };
    let options = Bind::udp("[::]:0")
        .only_v6(true)
        .ttl(7)
        .multicast_interface(Interface::Index(1))
        .multicast_ttl(9)
        .multicast_loop(false);
    let set = bind(&mut served, options);
    let descriptor = served.reactor.hub().descriptor(set.id).unwrap();
    let socket = SockRef::from(&descriptor);
    let numbers = [
        socket.unicast_hops_v6().unwrap(),
        socket.multicast_hops_v6().unwrap(),
        socket.multicast_if_v6().unwrap(),
    ];
    assert_eq!(numbers, [7, 9, 1]);
    let flags = [
        socket.only_v6().unwrap(),
        socket.multicast_loop_v6().unwrap(),
        socket.multicast_all_v6().unwrap(),
    ];
    assert_eq!(flags, [true, false, false]);

    let both = bind(&mut served, Bind::udp("[::]:0").only_v6(false));
    let port = both.local_addr.port();
    let four = Peer::of(([127, 0, 0, 1], port).into());
    let six = Peer::at(
        "[::1]:0".parse().unwrap(),
        ([0, 0, 0, 0, 0, 0, 0, 1], port).into(),
    );
    served.app.on_message = Some(Box::new(|cx, message| {
        assert!(cx.send(message).is_taken());
    }));
    for peer in [four, six] {
        peer.send(b"whichever way");
        assert_eq!(served.receive(&peer), b"whichever way");
    }
}

/// What a family has no such thing for is said, and not ignored.
#[test]
fn options_that_do_not_fit_are_refused() {
    let mut served = Served::new();
    let index = Bind::udp("127.0.0.1:0").multicast_interface(Interface::Index(1));
    let (kind, said) = refusal(&mut served, index);
    assert_eq!(kind, ErrorKind::InvalidInput, "{said}");
    assert!(said.contains("127.0.0.1:0"), "{said}");
    let device = Bind::udp("127.0.0.1:0").bind_device("nosuchdevice0");
    let (_, said) = refusal(&mut served, device);
    assert!(said.contains("127.0.0.1:0"), "{said}");
    let group = Bind::udp("127.0.0.1:0").join([10, 0, 0, 1], Interface::Any);
    let (_, said) = refusal(&mut served, group);
    assert!(said.contains("cannot join 10.0.0.1"), "{said}");
}
