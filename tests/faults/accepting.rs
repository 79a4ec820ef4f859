//! Accepting when the kernel says no: whoever waits is served in the end, and nobody else suffers
//! meanwhile.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Config, Exhaustion, Listen};

use crate::alone::alone;
use crate::support::{Event, Rig, client, reset};
use crate::util::{assert_echoes, assert_rests, echo, turn_with, wait_until_acceptable};

const RETRY_AFTER: Duration = Duration::from_millis(100);
const JUST_BEFORE: Duration = Duration::from_millis(99);
const ONE_MILLI: Duration = Duration::from_millis(1);

/// An echo server with one client, for whose next ones the system has no descriptors.
fn exhausted(listen: Listen, errno: i32) -> (Rig, TcpStream) {
    let mut rig = Rig::with(Config::default(), listen);
    rig.world.on_data = Some(Box::new(echo));
    let (established, _) = rig.connect();
    rig.faults.always(Call::Accept, Fault::Errno(errno));
    (rig, established)
}

fn clients(address: SocketAddr, number: usize) -> Vec<TcpStream> {
    (0..number).map(|_| client(address)).collect()
}

fn wait_for_trouble(rig: &mut Rig) {
    turn_with(rig, "a failed accept", |turn| turn.accept_errors > 0);
    assert_rests(rig);
}

#[test]
fn f04_descriptors_exhausted_is_tried_again_by_timer_only() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        let (mut rig, mut established) = exhausted("127.0.0.1:0".into(), errno);
        let _waiting = clients(rig.listening.local_addr.ip().unwrap(), 5);
        wait_for_trouble(&mut rig);
        let mut tries = rig.faults.count(Call::Accept);
        for _ in 0..10 {
            rig.advance(JUST_BEFORE);
            for _ in 0..100 {
                rig.turn();
            }
            assert_eq!(rig.faults.count(Call::Accept), tries, "too early");
            rig.advance(ONE_MILLI);
            assert_rests(&mut rig);
            tries += 1;
            assert_eq!(rig.faults.count(Call::Accept), tries, "one try is due");
        }
        assert_echoes(&mut rig, &mut established);
    }
}

#[test]
fn f04_descriptors_exhausted_serves_all_who_waited_when_a_timer_finds_some() {
    let (mut rig, _established) = exhausted("127.0.0.1:0".into(), libc::EMFILE);
    let mut waiting = clients(rig.listening.local_addr.ip().unwrap(), 5);
    wait_for_trouble(&mut rig);
    rig.faults.clear(Call::Accept);
    assert_rests(&mut rig);
    assert_eq!(rig.world.opened().len(), 1);
    rig.advance(RETRY_AFTER);
    for client in &mut waiting {
        assert_echoes(&mut rig, client);
    }
}

/// The clock stands still: it is the close that brings the listener back.
#[test]
fn f04_descriptors_exhausted_serves_all_who_waited_when_a_connection_closes() {
    let (mut rig, established) = exhausted("127.0.0.1:0".into(), libc::EMFILE);
    let mut waiting = clients(rig.listening.local_addr.ip().unwrap(), 5);
    wait_for_trouble(&mut rig);
    rig.faults.clear(Call::Accept);
    reset(established);
    for client in &mut waiting {
        assert_echoes(&mut rig, client);
    }
}

/// A second shortage waits as the first did; the timer of the first is not the last one.
#[test]
fn f04_descriptors_exhausted_again_waits_again() {
    let (mut rig, mut established) = exhausted("127.0.0.1:0".into(), libc::EMFILE);
    for round in 0..3 {
        rig.faults.always(Call::Accept, Fault::Errno(libc::EMFILE));
        let mut late = client(rig.listening.local_addr.ip().unwrap());
        wait_for_trouble(&mut rig);
        assert_eq!(rig.world.opened().len(), 1 + round);
        rig.faults.clear(Call::Accept);
        rig.advance(RETRY_AFTER);
        assert_echoes(&mut rig, &mut late);
        rig.advance(RETRY_AFTER);
        assert_echoes(&mut rig, &mut established);
        assert_eq!(rig.world.closed().len(), round);
        reset(late);
        rig.until("the close", |world| world.closed().len() == round + 1);
    }
}

#[test]
fn f04_descriptors_exhausted_may_shed_those_who_come() {
    let listen = Listen::tcp("127.0.0.1:0").exhaustion(Exhaustion::Shed);
    let (mut rig, mut established) = exhausted(listen, libc::EMFILE);
    for mut turned_away in clients(rig.listening.local_addr.ip().unwrap(), 3) {
        assert_eq!(rig.read_to_end(&mut turned_away), b"");
    }
    assert_rests(&mut rig);
    assert_eq!(rig.reactor.hub().totals().refused, 3);
    assert_eq!(rig.world.opened().len(), 1, "nobody heard of them");
    assert_echoes(&mut rig, &mut established);
    rig.faults.clear(Call::Accept);
    let (mut late, _) = rig.connect();
    assert_echoes(&mut rig, &mut late);
}

/// One client's misfortune. The fault leaves the client in the backlog, so the turn that meets it
/// finds one.
#[test]
fn f07_one_failed_accept_does_not_keep_the_others_waiting() {
    let misfortunes = [
        libc::ECONNABORTED,
        libc::EPROTO,
        libc::ENETDOWN,
        libc::EPERM,
        libc::EINTR,
    ];
    for errno in misfortunes {
        let mut rig = Rig::new();
        rig.faults.next(Call::Accept, Fault::Errno(errno));
        rig.faults.next(Call::Accept, Fault::Errno(errno));
        let _clients = clients(rig.listening.local_addr.ip().unwrap(), 3);
        let turn = turn_with(&mut rig, "a failed accept", |turn| turn.accept_errors > 0);
        assert_eq!(turn.accept_errors, 2);
        assert!(turn.accepts > 0, "error {errno} ended the accepting");
        rig.until("the others", |world| world.opened().len() == 3);
        assert_rests(&mut rig);
    }
}

#[test]
fn f08_clients_that_reset_before_they_are_accepted_harm_nobody() {
    let mut rig = Rig::new();
    rig.world.on_data = Some(Box::new(echo));
    let address = rig.listening.local_addr.ip().unwrap();
    let mut healthy = Vec::new();
    for _ in 0..10 {
        reset(client(address));
        let mut hasty = client(address);
        hasty.write_all(b"too late").unwrap();
        reset(hasty);
        healthy.push(client(address));
    }
    for client in &mut healthy {
        assert_echoes(&mut rig, client);
    }
    let served = |rig: &mut Rig| rig.reactor.hub().count(rig.driver);
    rig.until("the others to close", |world| {
        world.closed().len() + 10 == world.opened().len()
    });
    assert_eq!(served(&mut rig), 10);
    for (_, reason) in rig.world.closed() {
        assert_eq!(reason, CloseReason::Reset);
    }
    rig.world.assert_orderly();
}

#[test]
fn f16_a_storm_of_clients_is_accepted_a_budget_at_a_time() {
    let config = Config {
        accept_budget: 4,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let (mut established, id) = rig.connect();
    rig.settle();
    established.write_all(b"me too").unwrap();
    let _storm = clients(rig.listening.local_addr.ip().unwrap(), 40);
    while rig.world.opened().len() < 41 {
        let turn = turn_with(&mut rig, "an accept", |turn| turn.accepts > 0);
        assert!(turn.accepts <= 4, "{turn:?}");
    }
    let served = |event: &Event| *event == Event::Data(id, b"me too".to_vec());
    let at = rig.world.events.iter().position(served).unwrap();
    assert!(at <= 9, "served after {at} events: the storm went first");
    assert_rests(&mut rig);
}

/// Were the backlog too short, the kernel would let the last ones wait for a retransmission of
/// their SYN.
#[test]
fn f17_a_burst_of_clients_before_the_first_turn_fits_into_the_backlog() {
    const BURST: usize = 500;
    alone(4096, || {
        let mut rig = Rig::new();
        rig.world.on_data = Some(Box::new(echo));
        let address = rig.listening.local_addr.ip().unwrap();
        let mut burst: Vec<_> = (0..BURST).map(|_| connecting(address)).collect();
        wait_until_acceptable(address, BURST);
        rig.until("all of them", |world| world.opened().len() == BURST);
        for client in &mut burst {
            assert_echoes(&mut rig, client);
        }
    });
}

/// A client that does not wait until the kernel has connected it.
fn connecting(address: SocketAddr) -> TcpStream {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), None).unwrap();
    if let Err(error) = socket.connect(&address.into()) {
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "{error}");
    }
    socket.into()
}

#[test]
fn f35_a_connection_that_cannot_be_registered_is_dropped_and_gives_its_place_back() {
    for errno in [libc::ENOMEM, libc::ENOSPC] {
        let listen = Listen::tcp("127.0.0.1:0")
            .max_connections(1)
            .max_per_source(1);
        let mut rig = Rig::with(Config::default(), listen);
        rig.world.on_data = Some(Box::new(echo));
        rig.faults.next(Call::Register, Fault::Errno(errno));
        let mut dropped = client(rig.listening.local_addr.ip().unwrap());
        assert_eq!(rig.read_to_end(&mut dropped), b"");
        assert_eq!(rig.world.events, []);
        assert_eq!(rig.reactor.hub().count(rig.driver), 0);
        assert_eq!(rig.reactor.hub().totals().accept_errors, 1);
        let (mut next, _) = rig.connect();
        assert_echoes(&mut rig, &mut next);
    }
}
