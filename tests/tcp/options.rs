//! Every option of a listening socket, asked of the system on the connection that was accepted, or
//! seen by what it does.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{SockRef, Socket};
use switchboard::tcp::{Framed, Lines};
use switchboard::{Config, Listen, Listening, Reactor};

use crate::served::{Parrot, Served};
use crate::support::own_address;

/// A listener with these options, one client that has been accepted, and its socket in the reactor.
struct Pair {
    served: Served<Parrot>,
    client: TcpStream,
    accepted: Socket,
}

impl Pair {
    fn new(listen: Listen) -> Self {
        let driver = Framed::new(Lines::default());
        let mut served = Served::on(listen, Parrot::default(), driver);
        let (client, id) = served.connect();
        let descriptor = served.reactor.hub().descriptor(id).expect("it is open");
        let accepted = SockRef::from(&descriptor)
            .try_clone()
            .expect("a descriptor");
        Self {
            served,
            client,
            accepted,
        }
    }

    /// Shows `look` the reactor's socket of this connection.
    fn look<T>(&self, look: impl Fn(&Socket) -> T) -> T {
        look(&self.accepted)
    }
}

fn listen() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

fn reactor() -> Reactor<Parrot> {
    Reactor::new(Config::default()).expect("a poller")
}

fn try_listen(listen: Listen) -> std::io::Result<Listening> {
    let mut reactor = reactor();
    let driver = reactor.add_driver(Framed::new(Lines::default()));
    reactor.listen(listen, driver)
}

#[test]
fn s0_09_nodelay_is_on_unless_it_is_switched_off() {
    assert!(Pair::new(listen()).look(|socket| socket.tcp_nodelay().unwrap()));
    let off = Pair::new(listen().nodelay(false));
    assert!(!off.look(|socket| socket.tcp_nodelay().unwrap()));
}

#[test]
fn f27_keepalive_is_off_unless_it_is_switched_on() {
    assert!(!Pair::new(listen()).look(|socket| socket.keepalive().unwrap()));
    let on = Pair::new(listen().keepalive(Some(Duration::from_secs(77))));
    assert!(on.look(|socket| socket.keepalive().unwrap()));
    assert_eq!(
        on.look(|socket| socket.tcp_keepalive_time().unwrap())
            .as_secs(),
        77
    );
    let off = Pair::new(
        listen()
            .keepalive(Some(Duration::from_secs(77)))
            .keepalive(None),
    );
    assert!(!off.look(|socket| socket.keepalive().unwrap()));
}

/// The probes alone switch it on too, and do not undo the time that was set before.
#[test]
fn f27_keepalive_has_its_three_times() {
    let probes = |listen: Listen| listen.keepalive_probes(Duration::from_secs(11), 4);
    let times = |pair: &Pair| {
        pair.look(|socket| {
            let interval = socket.tcp_keepalive_interval().unwrap().as_secs();
            (interval, socket.tcp_keepalive_retries().unwrap())
        })
    };
    let alone = Pair::new(probes(listen()));
    assert!(alone.look(|socket| socket.keepalive().unwrap()));
    assert_eq!(times(&alone), (11, 4));

    let both = Pair::new(probes(listen().keepalive(Some(Duration::from_secs(77)))));
    assert_eq!(times(&both), (11, 4));
    assert_eq!(
        both.look(|socket| socket.tcp_keepalive_time().unwrap())
            .as_secs(),
        77
    );
}

/// Linux tells the double of what was asked for, since it counts its own records in.
#[test]
fn s0_09_the_sizes_of_the_buffers_can_be_set() {
    let sizes = |pair: &Pair| {
        pair.look(|socket| {
            let receive = socket.recv_buffer_size().unwrap();
            (receive, socket.send_buffer_size().unwrap())
        })
    };
    let set = Pair::new(listen().receive_buffer(20_000).send_buffer(30_000));
    assert_eq!(sizes(&set), (40_000, 60_000));
    let default = sizes(&Pair::new(listen()));
    assert!(default.0 != 40_000 && default.1 != 60_000);
}

#[cfg(target_os = "linux")]
#[test]
fn f27_unacknowledged_bytes_can_have_a_time_out() {
    let patience = Duration::from_millis(4_321);
    let set = Pair::new(listen().user_timeout(patience));
    assert_eq!(
        set.look(|socket| socket.tcp_user_timeout().unwrap()),
        Some(patience)
    );
    let default = Pair::new(listen());
    assert_ne!(
        default.look(|socket| socket.tcp_user_timeout().unwrap()),
        Some(patience)
    );
}

/// Two listeners on one port, and clients find both of them.
#[test]
fn s1_01_reuse_port_shares_a_port_and_without_it_none_is_shared() {
    let mut served = Served::on(
        listen().reuse_port(true),
        Parrot::default(),
        Framed::new(Lines::default()),
    );
    let address = served.listening.local_addr.ip().unwrap();
    let again = || Listen::from(address);
    let refused = try_listen(again()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);

    let second = served.reactor.add_driver(Framed::new(Lines::default()));
    let shared = served.reactor.listen(again().reuse_port(true), second);
    assert_eq!(shared.unwrap().local_addr.ip().unwrap(), address);
    let clients: Vec<_> = (0..64).map(|_| served.client()).collect();
    served.turns("all clients to be accepted", |served| {
        served.reactor.hub().totals().accepts == 64
    });
    let first = served.reactor.hub().count(served.driver);
    assert_eq!(first + served.reactor.hub().count(second), 64);
    assert!((1..64).contains(&first), "{first} of 64 came to the first");
    drop(clients);
}

/// Our side closes first and lingers in TIME_WAIT, which is no obstacle to a restarted server.
#[test]
fn f28_a_port_can_be_used_again_at_once() {
    let leave_time_wait = || {
        let mut pair = Pair::new(own_address().into());
        let address = pair.served.listening.local_addr.ip().unwrap();
        for id in pair.served.reactor.hub().ids(pair.served.driver) {
            pair.served.reactor.hub().close(id);
        }
        pair.served.read_to_end(&mut pair.client);
        drop(pair.client);
        pair.served.until("the close", |app| app.closed.len() == 1);
        address
    };
    let again = try_listen(Listen::from(leave_time_wait()));
    assert!(again.is_ok(), "{again:?}");
    let refused = try_listen(Listen::from(leave_time_wait()).reuse_address(false));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::AddrInUse);
}

/// One client more than the backlog is completed, and those behind it are still knocking.
#[test]
fn s1_12_the_backlog_bounds_the_clients_that_wait_to_be_accepted() {
    let knocking = |backlog: u32| {
        let listening = Served::on(
            listen().backlog(backlog),
            Parrot::default(),
            Framed::new(Lines::default()),
        );
        let address = listening.listening.local_addr.ip().unwrap();
        let clients: Vec<_> = (0..6).map(|_| knock(address)).collect();
        clients
            .iter()
            .filter(|client| client.peer_addr().is_err())
            .count()
    };
    assert_eq!(knocking(1), 4);
    assert_eq!(knocking(100), 0);
}

/// A client that does not wait to be let in.
fn knock(address: SocketAddr) -> Socket {
    let domain = socket2::Domain::for_address(address);
    let socket = Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    if let Err(error) = socket.connect(&address.into()) {
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
    }
    socket
}

#[test]
fn s0_05_only_v6_decides_whether_ipv4_clients_come_in_too() {
    let Some(both) = on_ipv6("[::]:0", |listen| listen.only_v6(false)) else {
        return;
    };
    let mut served = Served::on(both, Parrot::default(), Framed::new(Lines::default()));
    let port = served.listening.local_addr.ip().unwrap().port();
    let mut client = crate::support::client((Ipv4Addr::LOCALHOST, port).into());
    assert_eq!(
        served.exchange(&mut client, [&b"mapped\n"[..]]),
        b"mapped\n"
    );

    // Asked of the system, as another test may listen at this port by IPv4.
    for only in [true, false] {
        let listen = Listen::tcp("[::]:0").only_v6(only);
        let pair = Pair::new(listen);
        assert_eq!(pair.look(|socket| socket.only_v6().unwrap()), only);
    }
}

/// With an IPv4 address the option means nothing, and is not refused.
#[test]
fn s0_05_only_v6_is_no_matter_for_ipv4() {
    Pair::new(listen().only_v6(true));
}

/// The options, unless this machine has no IPv6.
pub(crate) fn on_ipv6(address: &str, set: impl FnOnce(Listen) -> Listen) -> Option<Listen> {
    match std::net::TcpListener::bind("[::1]:0") {
        Ok(_) => Some(set(Listen::tcp(address))),
        Err(error) => {
            eprintln!("skipped: this machine has no IPv6: {error}");
            None
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn s0_05_a_listener_can_be_bound_to_an_interface() {
    let missing = try_listen(listen().bind_device("no-such-device"));
    let error = missing.unwrap_err();
    if error.kind() == ErrorKind::PermissionDenied {
        return eprintln!("skipped: binding to an interface is not permitted: {error}");
    }
    assert!(error.to_string().contains("127.0.0.1:0"), "{error}");
    let pair = Pair::new(listen().bind_device("lo"));
    let device = pair.look(|socket| socket.device().unwrap());
    assert_eq!(device.as_deref(), Some(&b"lo"[..]));
    let default = Pair::new(listen());
    assert_eq!(default.look(|socket| socket.device().unwrap()), None);
}

/// The connections of one listener are under its limits, those of another under the reactor's.
#[test]
fn s1_13_limits_are_those_of_the_listener() {
    let limits = switchboard::Limits {
        max_backlog: 12_345,
        ..switchboard::Limits::default()
    };
    let mut own = Pair::new(listen().limits(limits));
    let id = own.served.reactor.hub().ids(own.served.driver)[0];
    assert_eq!(own.served.reactor.hub().limits(id), Some(limits));

    let mut default = Pair::new(listen());
    let id = default.served.reactor.hub().ids(default.served.driver)[0];
    let standard = switchboard::Limits::default();
    assert_eq!(default.served.reactor.hub().limits(id), Some(standard));
    assert_ne!(limits, standard);
}
