//! Limits of a listener: they hold, they count, and who had to wait or was refused may come when
//! there is room.

use switchboard::{Config, Listen};

use switchboard::testing::Call;

use crate::support::{Rig, client};
use crate::util::{assert_echoes, assert_rests, echo, finish};

fn echo_rig(listen: Listen) -> Rig {
    let mut rig = Rig::with(Config::default(), listen);
    rig.world.on_data = Some(Box::new(echo));
    rig
}

#[test]
fn f16_at_the_most_connections_others_wait_without_a_spin() {
    let mut rig = echo_rig(Listen::tcp("127.0.0.1:0").max_connections(2));
    let (first, id) = rig.connect();
    let (mut second, _) = rig.connect();
    let mut third = client(rig.listening.local_addr.ip().unwrap());
    let mut fourth = client(rig.listening.local_addr.ip().unwrap());
    assert_rests(&mut rig);
    let tries = rig.faults.count(Call::Accept);
    for _ in 0..100 {
        rig.turn();
    }
    assert_eq!(rig.faults.count(Call::Accept), tries);
    assert_eq!(rig.world.opened().len(), 2);
    finish(&mut rig, first, id);
    assert_echoes(&mut rig, &mut third);
    assert_rests(&mut rig);
    assert_eq!(rig.world.opened().len(), 3, "one place, one client");
    let id = rig.world.opened()[1];
    assert_echoes(&mut rig, &mut second);
    finish(&mut rig, second, id);
    assert_echoes(&mut rig, &mut fourth);
}

/// What another listener's connections do is of no concern to a full one.
#[test]
fn f16_the_most_connections_are_counted_by_listener() {
    let mut rig = echo_rig(Listen::tcp("127.0.0.1:0").max_connections(1));
    let other = rig.reactor.listen("127.0.0.1:0", rig.driver).unwrap();
    let (_first, _) = rig.connect();
    let _waiting = client(rig.listening.local_addr.ip().unwrap());
    assert_rests(&mut rig);
    for round in 0..3 {
        let elsewhere = client(other.local_addr.ip().unwrap());
        rig.until("one elsewhere", |world| world.opened().len() == 2 + round);
        let id = *rig.world.opened().last().unwrap();
        finish(&mut rig, elsewhere, id);
    }
    assert_rests(&mut rig);
    assert_eq!(rig.reactor.hub().count(rig.driver), 1);
}

#[test]
fn f16_a_source_that_holds_its_share_is_refused_and_counted() {
    let mut rig = echo_rig(Listen::tcp("127.0.0.1:0").max_per_source(2));
    let (first, id) = rig.connect();
    let (_second, _) = rig.connect();
    for refused in 1..=3 {
        let mut third = client(rig.listening.local_addr.ip().unwrap());
        assert_eq!(rig.read_to_end(&mut third), b"");
        rig.turn();
        assert_eq!(rig.reactor.hub().totals().refused, refused);
    }
    assert_eq!(rig.world.opened().len(), 2);
    finish(&mut rig, first, id);
    let (mut next, _) = rig.connect();
    assert_echoes(&mut rig, &mut next);
    let mut one_more = client(rig.listening.local_addr.ip().unwrap());
    assert_eq!(rig.read_to_end(&mut one_more), b"");
}

/// Those refused do not use up the places of others.
#[test]
fn f16_refused_clients_hold_no_place() {
    let listen = Listen::tcp("127.0.0.1:0")
        .max_per_source(1)
        .max_connections(2);
    let mut rig = echo_rig(listen);
    let (_first, _) = rig.connect();
    for _ in 0..5 {
        let mut refused = client(rig.listening.local_addr.ip().unwrap());
        assert_eq!(rig.read_to_end(&mut refused), b"");
    }
    let mut other = from_another_source(&rig);
    assert_echoes(&mut rig, &mut other);
}

/// All of 127.0.0.0/8 is this host.
fn from_another_source(rig: &Rig) -> std::net::TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: std::net::SocketAddr = "127.0.0.2:0".parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket
        .connect(&rig.listening.local_addr.ip().unwrap().into())
        .unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}
