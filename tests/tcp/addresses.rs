//! Where to listen: the ways to write an address, and what is said of those that are none.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use switchboard::tcp::{Framed, Lines};
use switchboard::{Config, Listen, Reactor};

use crate::options::on_ipv6;
use crate::served::{Parrot, Served};
use crate::support::client;

fn on(listen: impl Into<Listen>) -> Served<Parrot> {
    Served::on(listen, Parrot::default(), Framed::new(Lines::default()))
}

/// That somebody can be reached by `host` at the listener's port.
fn assert_answers(served: &mut Served<Parrot>, host: IpAddr) {
    let port = served.listening.local_addr.ip().unwrap().port();
    let mut client = client(SocketAddr::new(host, port));
    client.write_all(b"hello\n").unwrap();
    assert_eq!(served.read(&mut client, 6), b"hello\n");
}

/// The error of an address that cannot be listened on, as it reads.
fn error(listen: impl Into<Listen>) -> (ErrorKind, String) {
    let mut reactor: Reactor<Parrot> = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Framed::new(Lines::default()));
    let error: io::Error = reactor.listen(listen, driver).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn s0_05_port_0_lets_the_system_choose_and_tells_which() {
    let mut first = on("127.0.0.1:0");
    let second = on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let third = on(String::from("127.0.0.1:0"));
    let ports =
        [&first, &second, &third].map(|served| served.listening.local_addr.ip().unwrap().port());
    assert!(ports.iter().all(|port| *port != 0));
    assert!(ports[0] != ports[1] && ports[1] != ports[2]);
    assert_answers(&mut first, Ipv4Addr::LOCALHOST.into());
}

/// `('', 5000)` of the sources: every interface, by IPv4.
#[test]
fn s0_22_a_port_alone_means_every_interface() {
    let mut served = on(":0");
    assert_eq!(
        served.listening.local_addr.ip().unwrap().ip(),
        Ipv4Addr::UNSPECIFIED
    );
    assert_answers(&mut served, Ipv4Addr::LOCALHOST.into());
    assert_answers(&mut served, Ipv4Addr::new(127, 0, 0, 2).into());
}

#[test]
fn s3_11_a_name_is_resolved() {
    let mut served = on("localhost:0");
    let address = served.listening.local_addr.ip().unwrap();
    assert!(
        address.ip().is_loopback() && address.port() != 0,
        "{address}"
    );
    assert_answers(&mut served, address.ip());
}

#[test]
fn s0_05_an_ipv6_address_stands_in_brackets() {
    let Some(listen) = on_ipv6("[::1]:0", |listen| listen) else {
        return;
    };
    let mut served = on(listen);
    assert!(served.listening.local_addr.ip().unwrap().is_ipv6());
    let host = served.listening.local_addr.ip().unwrap().ip();
    assert_answers(&mut served, host);
    let id = served.reactor.hub().ids(served.driver)[0];
    let peer = served
        .reactor
        .hub()
        .info(id)
        .and_then(|info| info.peer_addr);
    assert_eq!(peer.map(|peer| peer.ip()), Some(host));
}

/// Whoever mistypes an address reads it again, and how it should look.
#[test]
fn s1_11_a_bad_address_is_named_with_what_was_expected() {
    for address in [
        "",
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:port",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        ":65536",
        "::1",
        "7000",
    ] {
        let (_, text) = error(address);
        assert!(text.contains(&format!("`{address}`")), "{text}");
        assert!(text.contains("expected HOST:PORT"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
    let (_, text) = error("evil\n\x1b[2J");
    assert!(text.contains("`evil\\n\\u{1b}[2J`"), "{text}");
}

#[test]
fn s1_01_a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for listen in [Listen::from(address), Listen::tcp(address.to_string())] {
        let (kind, text) = error(listen);
        assert_eq!(kind, ErrorKind::AddrInUse);
        assert!(text.contains(&address.to_string()), "{text}");
    }
}

/// 192.0.2.0/24 is set aside for documentation: no machine has an address of it.
#[test]
fn s1_11_an_address_of_another_machine_is_named() {
    let (kind, text) = error("192.0.2.1:0");
    assert_eq!(kind, ErrorKind::AddrNotAvailable);
    assert!(text.contains("192.0.2.1:0"), "{text}");
}

/// What failed has left nothing behind: the same reactor can listen elsewhere.
#[test]
fn s1_11_after_a_failure_another_address_can_be_tried() {
    let mut served = on("127.0.0.1:0");
    let taken = served.listening.local_addr.ip().unwrap();
    let again = served.reactor.listen(taken, served.driver);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    let other = served.reactor.listen("127.0.0.1:0", served.driver).unwrap();
    let mut client = client(other.local_addr.ip().unwrap());
    client.write_all(b"there\n").unwrap();
    assert_eq!(served.read(&mut client, 6), b"there\n");
    assert_answers(&mut served, taken.ip());
}
