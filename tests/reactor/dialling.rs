//! Outgoing connections: made, refused, unanswered, cancelled.

use std::any::Any;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use switchboard::testing::{Call, Fault, Faults};
use switchboard::{
    Clock, CloseReason, Config, ConnId, Dial, Driver, DriverId, Hub, Origin, Reactor,
};

use crate::support::deserted;

/// What happened to dials, and how often a failed one is tried again at once.
#[derive(Default)]
struct Caller {
    opened: Vec<(ConnId, Option<&'static str>)>,
    failed: Vec<(ConnId, Option<&'static str>, io::Error)>,
    received: Vec<u8>,
    closed: Vec<(ConnId, CloseReason)>,
    redial: Option<(SocketAddr, DriverId)>,
}

struct Dialler;

fn text(ticket: Option<Box<dyn Any>>) -> Option<&'static str> {
    ticket.map(|ticket| {
        *ticket
            .downcast::<&'static str>()
            .expect("the ticket that was given")
    })
}

impl Driver<Caller> for Dialler {
    fn on_open(&mut self, caller: &mut Caller, hub: &mut Hub, id: ConnId, origin: Origin) {
        let Origin::Dialled { ticket } = origin else {
            panic!("{origin:?}")
        };
        caller.opened.push((id, text(ticket)));
        hub.send(id, b"hello").ignore();
    }

    fn on_data(&mut self, caller: &mut Caller, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        caller.received.extend_from_slice(data);
        data.len()
    }

    fn on_dial_failed(
        &mut self,
        caller: &mut Caller,
        hub: &mut Hub,
        id: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        caller.failed.push((id, text(ticket), error));
        if let Some((address, driver)) = caller.redial {
            hub.connect(address, driver);
        }
    }

    fn on_close(&mut self, caller: &mut Caller, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        caller.closed.push((id, reason));
        if let Some((address, driver)) = caller.redial {
            hub.connect(address, driver);
        }
    }
}

struct Rig {
    reactor: Reactor<Caller>,
    caller: Caller,
    driver: DriverId,
    clock: Clock,
    faults: Faults,
}

impl Rig {
    fn new() -> Self {
        let (clock, faults) = (Clock::manual(), Faults::default());
        let config = Config {
            clock: clock.clone(),
            faults: Some(faults.clone()),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).unwrap();
        let driver = reactor.add_driver(Dialler);
        Self {
            reactor,
            caller: Caller::default(),
            driver,
            clock,
            faults,
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Caller) -> bool) {
        for _ in 0..1_000 {
            if done(&self.caller) {
                return;
            }
            let wait = Some(Duration::from_millis(10));
            self.reactor.turn(&mut self.caller, wait).unwrap();
        }
        panic!("waited in vain for {what}");
    }

    fn connect(&mut self, dial: impl Into<Dial>) -> ConnId {
        let driver = self.driver;
        self.reactor.hub().connect(dial, driver)
    }
}

/// The handshake, the bytes and the end are all there before the loop looks: the event that says
/// that the connection is made says all of it, and is the last one.
#[test]
fn f29_a_server_that_speaks_and_leaves_at_once_is_heard_to_its_end() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([server.local_addr().unwrap()]));
    let (mut peer, _) = server.accept().unwrap();
    peer.write_all(b"good day").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    rig.until("the end", |caller| !caller.closed.is_empty());
    assert_eq!(rig.caller.received, b"good day");
    assert_eq!(rig.caller.closed, [(id, CloseReason::Peer)]);
}

#[test]
fn a_dial_opens_with_its_ticket_and_carries_both_ways() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([server.local_addr().unwrap()]).ticket("mine"));
    rig.until("the connection", |caller| !caller.opened.is_empty());
    assert_eq!(rig.caller.opened, [(id, Some("mine"))]);
    let (mut peer, _) = server.accept().unwrap();
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    peer.write_all(b"welcome").unwrap();
    rig.until("the answer", |caller| caller.received == b"welcome");
    drop(peer);
    rig.until("the close", |caller| {
        caller.closed == [(id, CloseReason::Peer)]
    });
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}

#[test]
fn f29_a_refused_dial_fails_by_a_callback_and_never_closes() {
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([deserted()]).ticket("mine"));
    rig.until("the failure", |caller| !caller.failed.is_empty());
    let (failed, ticket, error) = &rig.caller.failed[0];
    assert_eq!(
        (*failed, *ticket, error.kind()),
        (id, Some("mine"), ErrorKind::ConnectionRefused)
    );
    assert!(rig.caller.opened.is_empty() && rig.caller.closed.is_empty());
    assert!(!rig.reactor.hub().is_open(id));
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}

#[test]
fn f29_addresses_are_tried_in_turn() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([
        deserted(),
        deserted(),
        server.local_addr().unwrap(),
    ]));
    rig.until("the connection", |caller| !caller.opened.is_empty());
    assert_eq!(rig.caller.opened, [(id, None)]);
    assert!(rig.caller.failed.is_empty());
}

/// A listener whose backlog is full leaves further clients unanswered, as a lost SYN would.
#[test]
fn f29_an_unanswered_dial_ends_at_its_deadline_and_not_before() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut rig = Rig::new();
    // The first few are completed by the kernel; those behind them wait.
    let dials: Vec<_> = (0..8)
        .map(|_| rig.connect(Dial::tcp([address]).deadline(Duration::from_secs(3))))
        .collect();
    rig.until("the backlog to be full", |caller| !caller.opened.is_empty());
    rig.clock.advance(Duration::from_millis(2_999));
    rig.reactor
        .turn(&mut rig.caller, Some(Duration::ZERO))
        .unwrap();
    assert!(rig.caller.failed.is_empty(), "never early");
    rig.clock.advance(Duration::from_millis(1));
    rig.until("the deadline", |caller| {
        caller.opened.len() + caller.failed.len() == dials.len()
    });
    let (_, _, error) = rig
        .caller
        .failed
        .first()
        .expect("a backlog of 0 takes no eight clients");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn f05_descriptors_exhausted_fail_the_dial_and_nothing_else() {
    let mut rig = Rig::new();
    rig.faults.next(Call::Connect, Fault::Errno(libc::EMFILE));
    let id = rig.connect(deserted());
    rig.until("the failure", |caller| !caller.failed.is_empty());
    assert_eq!(rig.caller.failed[0].0, id);
    let text = rig.caller.failed[0].2.to_string();
    assert!(text.contains("os error 24"), "{text}");
}

#[test]
fn a_dial_can_be_cancelled() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp([server.local_addr().unwrap()]).ticket("mine"));
    rig.reactor.hub().close(id);
    rig.until("the failure", |caller| !caller.failed.is_empty());
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    assert_eq!(rig.caller.failed[0].2.kind(), ErrorKind::ConnectionAborted);
    assert!(rig.caller.opened.is_empty());
}

#[test]
fn no_address_is_a_failure_and_not_a_panic() {
    let mut rig = Rig::new();
    rig.connect(Dial::tcp([]));
    rig.until("the failure", |caller| !caller.failed.is_empty());
    assert_eq!(rig.caller.failed[0].2.kind(), ErrorKind::InvalidInput);
}

/// `on_close` dials, the dial fails at once, and its callback dials again: each turn still ends, and
/// one turn brings at most one of those failures.
#[test]
fn t23_a_dial_that_fails_at_once_and_is_repeated_lets_turns_end() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new();
    let id = rig.connect(server.local_addr().unwrap());
    rig.until("the connection", |caller| !caller.opened.is_empty());
    rig.caller.redial = Some((deserted(), rig.driver));
    rig.faults
        .always(Call::Connect, Fault::Errno(libc::ENETUNREACH));
    rig.reactor.hub().abort(id);
    for turn in 0..100 {
        rig.reactor
            .turn(&mut rig.caller, Some(Duration::ZERO))
            .unwrap();
        assert_eq!(rig.caller.failed.len(), turn, "one failure a turn");
    }
}
