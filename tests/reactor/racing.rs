//! Several addresses of one peer: tried in turn, and raced. The first that answers wins.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Dial};

use crate::caller::{Deserted, Rig, Silent, server};

/// RFC 8305, section 5.
const ATTEMPT_DELAY: u64 = 250;

#[test]
fn f29_an_address_without_an_answer_keeps_the_next_one_waiting_for_a_moment() {
    let silent = Silent::new();
    let (server, address) = server();
    let mut rig = Rig::new();
    let id = rig.connect([silent.address, address]);
    rig.advance(ATTEMPT_DELAY - 1);
    assert_eq!(rig.faults.count(Call::Connect), 1, "never early");
    assert!(rig.caller.opened.is_empty());
    rig.advance(1);
    assert_eq!(rig.faults.count(Call::Connect), 2);
    rig.until("the second address", |caller| !caller.opened.is_empty());
    rig.turns();
    assert_eq!(rig.caller.opened, [(id, None)]);
    assert_eq!(rig.addresses(id).1, Some(address));
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    drop(server);
}

/// Each next address waits for the one before it, and earlier ones stay in the race.
#[test]
fn f29_addresses_without_an_answer_are_tried_one_every_moment() {
    let silent = [Silent::new(), Silent::new(), Silent::new()];
    let mut rig = Rig::new();
    rig.connect(Dial::tcp([
        silent[0].address,
        silent[1].address,
        silent[2].address,
    ]));
    for tried in 1..=3 {
        assert_eq!(rig.faults.count(Call::Connect), tried);
        rig.advance(ATTEMPT_DELAY - 1);
        assert_eq!(rig.faults.count(Call::Connect), tried);
        rig.advance(1);
    }
    rig.advance(5_000);
    assert_eq!(rig.faults.count(Call::Connect), 3, "each once");
    assert!(rig.caller.failed.is_empty());
    for silent in &silent {
        rig.until("what may still be answered", |_| silent.waiting() == 1);
    }
}

#[test]
fn f29_the_losers_of_a_race_are_closed() {
    let silent = [Silent::new(), Silent::new()];
    let (server, address) = server();
    let mut rig = Rig::new();
    let id = rig.connect([silent[0].address, silent[1].address, address]);
    rig.advance(ATTEMPT_DELAY);
    rig.advance(ATTEMPT_DELAY);
    rig.until("the third address", |caller| !caller.opened.is_empty());
    assert_eq!(rig.addresses(id).1, Some(address));
    for silent in &silent {
        rig.until("the loser to be closed", |_| silent.waiting() == 0);
    }
    drop(server);
}

/// Both have answered by the time that the loop looks.
#[test]
fn f29_of_two_that_answer_at_once_one_is_opened_and_the_other_closed() {
    let (first, winner) = server();
    let (second, loser) = server();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([winner, loser]).ticket("mine"));
    // A turn that sees no event, but the time.
    rig.faults.next(Call::Poll, Fault::Errno(libc::EINTR));
    rig.clock.advance(Duration::from_millis(ATTEMPT_DELAY));
    let turn = rig.reactor.turn(&mut rig.caller, Some(Duration::ZERO));
    assert_eq!(turn.unwrap().events, 0);
    assert_eq!(rig.faults.count(Call::Connect), 2);
    assert!(rig.caller.opened.is_empty());
    let (mut won, mut lost) = (first.accept().unwrap().0, second.accept().unwrap().0);

    rig.outcome();
    assert_eq!(rig.caller.opened, [(id, Some("mine"))]);
    assert_eq!(rig.addresses(id).1, Some(winner));
    let mut hello = [0; 5];
    won.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    assert_eq!(lost.read(&mut hello).unwrap(), 0, "closed without a word");
    drop(won);
    rig.until("the close", |caller| !caller.closed.is_empty());
    assert_eq!(rig.caller.closed, [(id, CloseReason::Peer)]);
    rig.assert_empty();
}

#[test]
fn f29_a_refused_address_makes_way_for_the_next_at_once() {
    let refused = [Deserted::new(), Deserted::new()];
    let (server, address) = server();
    let mut rig = Rig::new();
    let id = rig.connect([refused[0].address, refused[1].address, address]);
    rig.outcome();
    assert_eq!(rig.caller.opened, [(id, None)]);
    assert_eq!(rig.addresses(id).1, Some(address));
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    drop(server);
}

/// The first packet to it is lost, and by the second nobody listens any more; so the refusal comes
/// as an event. That takes the kernel a second.
#[test]
fn f29_a_refusal_that_comes_late_makes_way_at_once_too() {
    let late = Silent::new();
    let refusing = late.address;
    let (server, address) = server();
    let mut rig = Rig::new();
    let id = rig.connect([refusing, address]);
    rig.turns();
    assert_eq!(rig.faults.count(Call::Connect), 1);
    drop(late);
    rig.until("the second address", |caller| !caller.opened.is_empty());
    assert_eq!(rig.caller.opened, [(id, None)]);
    assert_eq!(rig.addresses(id).1, Some(address));
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    drop(server);
}

/// A refusal among the unanswered ones ends nothing.
#[test]
fn f29_the_last_address_refused_leaves_the_others_their_time() {
    let (silent, refused) = (Silent::new(), Deserted::new());
    let mut rig = Rig::new();
    rig.faults.next(Call::Connect, Fault::Pass);
    let refusal = Fault::Errno(libc::ECONNREFUSED);
    rig.faults.next(Call::Connect, refusal);
    rig.connect(Dial::tcp([silent.address, refused.address]).deadline(Duration::from_secs(3)));
    rig.advance(ATTEMPT_DELAY);
    rig.advance(2_749);
    assert_eq!(rig.faults.count(Call::Connect), 2);
    assert!(rig.caller.failed.is_empty());
    rig.advance(1);
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::TimedOut);
    let expected = format!("no answer from tcp {} within 3s", silent.address);
    assert_eq!(text, expected);
    rig.until("the sockets to be closed", |_| silent.waiting() == 0);
    rig.assert_empty();
}

#[test]
fn f29_when_all_are_refused_there_is_one_error_and_it_names_one_of_them() {
    let refused = [Deserted::new(), Deserted::new(), Deserted::new()];
    let mut rig = Rig::new();
    let addresses: Vec<SocketAddr> = refused.iter().map(|refused| refused.address).collect();
    rig.connect(Dial::tcp(addresses.clone()).ticket("mine"));
    rig.outcome();
    assert_eq!(rig.faults.count(Call::Connect), 3);
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    let begin = format!("cannot connect to tcp {}: ", addresses[2]);
    assert!(text.starts_with(&begin), "{text}");
    rig.assert_empty();
}

/// Whatever may go wrong with one address: the next one may be better.
#[test]
fn f29_an_address_that_cannot_be_tried_makes_way_for_the_next() {
    for number in [
        libc::EADDRNOTAVAIL,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EAFNOSUPPORT,
        libc::EACCES,
    ] {
        let (server, address) = server();
        let mut rig = Rig::new();
        rig.faults.next(Call::Connect, Fault::Errno(number));
        let id = rig.connect([address, address]);
        rig.outcome();
        assert_eq!(rig.caller.opened, [(id, None)]);
        assert_eq!(rig.faults.count(Call::Connect), 2);
        drop(server);
    }
}

#[test]
fn f29_an_error_of_the_only_address_is_told() {
    for (number, kind) in [
        (libc::EADDRNOTAVAIL, ErrorKind::AddrNotAvailable),
        (libc::EHOSTUNREACH, ErrorKind::HostUnreachable),
        (libc::ENETUNREACH, ErrorKind::NetworkUnreachable),
    ] {
        let mut rig = Rig::new();
        rig.faults.next(Call::Connect, Fault::Errno(number));
        rig.connect("127.0.0.1:7");
        assert!(rig.caller.failed.is_empty(), "in a later turn");
        rig.outcome();
        let (told, text) = rig.error();
        assert_eq!(told, kind);
        assert!(text.contains("127.0.0.1:7"), "{text}");
        rig.assert_empty();
    }
}
