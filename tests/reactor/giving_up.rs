//! Dials that end before they are answered: by their deadline, by whoever asked for them, with the
//! reactor. And what dials carry and ask for.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard::tcp::{Cx, Framed, Handler, Raw};
use switchboard::testing::turn_until;
use switchboard::{Config, Dial, Hub, Limits, Reactor};

use crate::caller::{Rig, Silent, server};
use crate::support::deserted;

#[test]
fn f29_a_deadline_passes_once_and_says_how_long_it_was() {
    let silent = Silent::new();
    let mut rig = Rig::new();
    let dial = Dial::tcp(silent.address).deadline(Duration::from_millis(1_500));
    let id = rig.connect(dial.ticket("mine"));
    rig.advance(1_499);
    assert!(rig.caller.failed.is_empty(), "never early");
    rig.advance(1);
    let (failed, ticket, _) = &rig.caller.failed[0];
    assert_eq!((*failed, *ticket), (id, Some("mine")));
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::TimedOut);
    let expected = format!("no answer from tcp {} within 1.5s", silent.address);
    assert_eq!(text, expected);
    rig.until("the socket to be closed", |_| silent.waiting() == 0);
    rig.assert_empty();
    rig.advance(60_000);
    assert_eq!(rig.caller.failed.len(), 1);
}

#[test]
fn f29_without_a_deadline_of_its_own_a_dial_has_ten_seconds() {
    let silent = Silent::new();
    let mut rig = Rig::new();
    rig.connect(silent.address);
    rig.advance(9_999);
    assert!(rig.caller.failed.is_empty());
    rig.advance(1);
    assert!(rig.error().1.ends_with("within 10s"));
}

/// Addresses that fail at once are no way past it, and more of them do not prolong it.
#[test]
fn f29_one_deadline_is_for_all_addresses() {
    let silent: Vec<Silent> = (0..4).map(|_| Silent::new()).collect();
    let addresses: Vec<SocketAddr> = silent.iter().map(|silent| silent.address).collect();
    let mut rig = Rig::new();
    rig.connect(Dial::tcp(addresses).deadline(Duration::from_millis(600)));
    rig.advance(250);
    rig.advance(250);
    rig.advance(99);
    assert!(rig.caller.failed.is_empty());
    rig.advance(1);
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::TimedOut);
    assert!(text.contains(&silent[2].address.to_string()), "{text}");
    assert_eq!(silent[3].waiting(), 0, "its turn never came");
    rig.assert_empty();
}

/// It was there in time: what the kernel has made is looked at before the clock.
#[test]
fn f29_an_answer_at_the_deadline_is_in_time() {
    let (server, address) = server();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp(address).deadline(Duration::from_secs(1)));
    let _answered = server.accept().unwrap();
    rig.clock.advance(Duration::from_secs(5));
    rig.outcome();
    assert_eq!(rig.caller.opened, [(id, None)]);
}

#[test]
fn f29_cancelling_closes_all_that_was_begun() {
    let silent = [Silent::new(), Silent::new()];
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([silent[0].address, silent[1].address]).ticket("mine"));
    rig.advance(250);
    for silent in &silent {
        rig.until("the sockets", |_| silent.waiting() == 1);
    }
    rig.reactor.hub().close(id);
    rig.reactor.hub().abort(id);
    rig.reactor.hub().close(id);
    rig.outcome();
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    assert_eq!(
        rig.error(),
        (ErrorKind::ConnectionAborted, "cancelled".to_owned())
    );
    for silent in &silent {
        rig.until("the sockets to be closed", |_| silent.waiting() == 0);
    }
    rig.assert_empty();
}

/// The connection is there, but the loop has not looked.
#[test]
fn f29_cancelling_comes_before_an_answer_that_nobody_has_seen() {
    let (server, address) = server();
    let mut rig = Rig::new();
    let id = rig.connect(address);
    rig.reactor.hub().abort(id);
    rig.outcome();
    assert_eq!(rig.error().0, ErrorKind::ConnectionAborted);
    rig.assert_empty();
    drop(server);
}

#[test]
fn f29_a_dial_is_nothing_to_send_to_or_look_at() {
    let silent = Silent::new();
    let mut rig = Rig::new();
    let id = rig.connect(silent.address);
    rig.turns();
    let driver = rig.driver;
    let hub = rig.reactor.hub();
    assert_eq!(hub.send(id, b"early"), switchboard::Sent::Closed);
    assert_eq!(hub.info(id), None);
    assert_eq!((hub.count(driver), hub.ids(driver)), (0, vec![]));
    hub.shutdown_write(id);
    hub.pause(id);
    hub.resume(id);
    hub.again(id);
    hub.hand_over(id, driver);
    hub.unref(id);
    hub.flush(id);
    rig.turns();
    assert!(rig.caller.failed.is_empty() && rig.caller.opened.is_empty());
    rig.until("it to go on", |_| silent.waiting() == 1);
}

#[test]
fn f29_a_shutdown_cancels_dials_and_tells() {
    let silent = Silent::new();
    let mut rig = Rig::new();
    rig.connect(Dial::tcp(silent.address).ticket("mine"));
    rig.turns();
    rig.reactor.hub().shutdown(Duration::from_secs(5));
    rig.reactor.run(&mut rig.caller).unwrap();
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    assert_eq!(rig.error().0, ErrorKind::ConnectionAborted);
    rig.assert_empty();
}

/// `stop` ends `run` and nothing else.
#[test]
fn f29_a_dial_outlives_a_stop() {
    let (server, address) = server();
    let mut rig = Rig::new();
    rig.reactor.hub().stop();
    let id = rig.connect(address);
    rig.reactor.run(&mut rig.caller).unwrap();
    rig.until("the connection", |caller| !caller.opened.is_empty());
    assert_eq!(rig.caller.opened, [(id, None)]);
    drop(server);
}

#[test]
fn f29_a_dropped_reactor_leaves_no_dial() {
    let silent = Silent::new();
    let mut rig = Rig::new();
    rig.connect(silent.address);
    rig.until("the socket", |_| silent.waiting() == 1);
    drop(rig);
    let mut other = Rig::new();
    other.until("the socket to be closed", |_| silent.waiting() == 0);
}

#[test]
fn a_dial_comes_from_the_address_that_was_asked_for() {
    let (server, address) = server();
    let mut rig = Rig::new();
    let local = SocketAddr::from(([127, 0, 0, 2], 0));
    let id = rig.connect(Dial::tcp(address).local_addr(local));
    rig.outcome();
    let ours = rig.addresses(id).0.expect("our address");
    assert_eq!(ours.ip(), local.ip());
    assert_ne!(ours.port(), 0);
    assert_eq!(server.accept().unwrap().1, ours);
}

/// 192.0.2.0/24 is set aside for documentation: no machine has an address of it.
#[test]
fn f29_an_address_of_ours_that_is_not_ours_fails_clearly() {
    let (_server, address) = server();
    let mut rig = Rig::new();
    rig.connect(Dial::tcp(address).local_addr(([192, 0, 2, 1], 0).into()));
    rig.outcome();
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::AddrNotAvailable);
    assert!(text.contains(&address.to_string()), "{text}");
    rig.assert_empty();
}

/// Two relays that stop reading while they are backlogged would wait for each other for ever.
#[test]
fn a_dialled_connection_is_full_duplex_unless_it_is_told_otherwise() {
    let (server, address) = server();
    let ours = Limits {
        high_water: 1_000,
        ..Limits::default()
    };
    let mut rig = Rig::with(Config {
        limits: ours,
        ..Config::default()
    });
    let id = rig.connect(address);
    rig.outcome();
    let full_duplex = Limits {
        full_duplex: true,
        ..ours
    };
    assert_eq!(rig.reactor.hub().limits(id), Some(full_duplex));
    let id = rig.connect(Dial::tcp(address).limits(Limits::default()));
    rig.outcome();
    assert_eq!(rig.reactor.hub().limits(id), Some(Limits::default()));
    drop(server);
}

/// What handlers were given.
#[derive(Default)]
struct Tickets(Vec<Option<String>>);

impl Handler<Raw> for Tickets {
    type Conn = ();

    fn on_open(&mut self, cx: &mut Cx<'_, Raw>) -> Option<()> {
        for _ in 0..2 {
            let ticket = cx.take_ticket().and_then(|ticket| ticket.downcast().ok());
            self.0.push(ticket.map(|ticket| *ticket));
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Raw>, (): &mut (), _: &[u8]) {
        assert!(cx.take_ticket().is_none());
    }

    fn on_dial_failed(
        &mut self,
        _: &mut Hub,
        ticket: Option<Box<dyn std::any::Any>>,
        _: std::io::Error,
    ) {
        let ticket = ticket.and_then(|ticket| ticket.downcast().ok());
        self.0.push(ticket.map(|ticket| *ticket));
    }
}

#[test]
fn a_ticket_reaches_the_handler_once() {
    let (server, address) = server();
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Framed::raw());
    let mut tickets = Tickets::default();
    let mut dial = |dial: Dial, calls: usize| {
        reactor.hub().connect(dial, driver);
        turn_until(&mut reactor, &mut tickets, "the ticket", |tickets| {
            tickets.0.len() >= calls
        });
    };
    dial(Dial::tcp(address).ticket("mine".to_owned()), 2);
    dial(Dial::tcp(address), 4);
    drop(server);
    dial(Dial::tcp(deserted()).ticket("back".to_owned()), 5);
    let expected = [Some("mine"), None, None, None, Some("back")];
    assert_eq!(tickets.0, expected.map(|ticket| ticket.map(str::to_owned)));
}
