//! A client that stays connected, on a clock moved by hand.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use switchboard::tcp::{Client, Cx, Handler, Lines, Retry};
use switchboard::testing::{Clock, turn_until};
use switchboard::{CloseReason, Config, Dial, DriverId, Hub, Reactor};

use crate::support::own_address;

/// What befell the client, in order.
#[derive(Default)]
struct Log(Vec<String>);

impl Handler<Lines> for Log {
    type Conn = ();

    fn on_open(&mut self, cx: &mut Cx<'_, Lines>) -> Option<()> {
        let ticket = cx
            .take_ticket()
            .and_then(|ticket| ticket.downcast::<u32>().ok());
        self.0.push(format!("open {ticket:?}"));
        assert!(cx.take_ticket().is_none(), "a ticket is taken once");
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, (): &mut (), line: &[u8]) {
        self.0.push(format!("line {}", line.escape_ascii()));
        if line == b"leave" {
            cx.close();
        }
    }

    fn on_dial_failed(&mut self, _: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let ticket = ticket.and_then(|ticket| ticket.downcast::<u32>().ok());
        self.0.push(format!("failed {ticket:?} {:?}", error.kind()));
    }

    fn on_close(&mut self, _: &mut Cx<'_, Lines>, (): (), reason: CloseReason) {
        self.0.push(format!("close {reason:?}"));
    }
}

struct Rig {
    reactor: Reactor<Log>,
    log: Log,
    clock: Clock,
    driver: DriverId,
}

impl Rig {
    /// A client whose dials carry their number. Its pauses are without jitter: 1, 2, 4, 5, 5 s.
    fn new(address: SocketAddr, retry: Option<Retry>) -> Self {
        let clock = Clock::manual();
        let config = Config {
            clock: clock.clone(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).unwrap();
        let dials = Rc::new(Cell::new(0_u32));
        let mut client = Client::new(Lines::default(), move || {
            dials.set(dials.get() + 1);
            Dial::tcp(address).ticket(dials.get())
        });
        if let Some(retry) = retry {
            client = client.retry(retry);
        }
        let driver = client.start(&mut reactor);
        Self {
            reactor,
            log: Log::default(),
            clock,
            driver,
        }
    }

    fn expect(&mut self, events: &[&str]) {
        let what = format!("{events:?}");
        let count = events.len();
        turn_until(&mut self.reactor, &mut self.log, &what, |log| {
            log.0.len() >= count
        });
        self.settle();
        assert_eq!(self.log.0, events);
        self.log.0.clear();
    }

    /// Nothing happens, however often it turns.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.reactor
                .turn(&mut self.log, Some(Duration::ZERO))
                .unwrap();
        }
    }

    fn advance(&mut self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.settle();
    }
}

const EVEN: Retry = Retry {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(5),
    jitter: 0.0,
    attempts: None,
};

fn server() -> (TcpListener, SocketAddr) {
    let server = TcpListener::bind(own_address()).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_lost_connection_is_dialled_again_after_a_pause() {
    let (server, address) = server();
    let mut rig = Rig::new(address, Some(EVEN));
    let mut first = server.accept().unwrap().0;
    say(&mut first, "hello\n");
    rig.expect(&["open Some(1)", "line hello"]);

    drop(first);
    rig.expect(&["close Peer"]);
    rig.advance(999);
    assert_eq!(rig.log.0, [""; 0]);
    rig.advance(1);
    let _second = server.accept().unwrap().0;
    rig.expect(&["open Some(2)"]);
}

#[test]
fn pauses_grow_until_a_connection_is_made() {
    let (server, address) = server();
    drop(server);
    let mut rig = Rig::new(address, Some(EVEN));
    rig.expect(&["failed Some(1) ConnectionRefused"]);
    for (dial, pause) in [(2, 1), (3, 2), (4, 4), (5, 5), (6, 5)] {
        rig.advance(pause * 1_000 - 1);
        assert_eq!(rig.log.0, [""; 0], "dial {dial} comes too early");
        rig.advance(1);
        rig.expect(&[&format!("failed Some({dial}) ConnectionRefused")]);
    }
    let server = TcpListener::bind(address).unwrap();
    rig.advance(5_000);
    let stream = server.accept().unwrap().0;
    rig.expect(&["open Some(7)"]);
    drop((stream, server));
    rig.expect(&["close Peer"]);
    rig.advance(1_000);
    rig.expect(&["failed Some(8) ConnectionRefused"]);
}

#[test]
fn it_gives_up_after_the_last_attempt() {
    let (server, address) = server();
    drop(server);
    let retry = Retry {
        attempts: Some(2),
        ..EVEN
    };
    let mut rig = Rig::new(address, Some(retry));
    rig.expect(&["failed Some(1) ConnectionRefused"]);
    rig.advance(1_000);
    rig.expect(&["failed Some(2) ConnectionRefused"]);
    rig.advance(60_000);
    assert_eq!(rig.log.0, [""; 0]);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}

#[test]
fn without_retry_it_dials_once() {
    let (server, address) = server();
    drop(server);
    let mut rig = Rig::new(address, None);
    rig.expect(&["failed Some(1) ConnectionRefused"]);
    rig.advance(60_000);
    assert_eq!(rig.log.0, [""; 0]);
}

#[test]
fn what_we_close_ourselves_stays_closed() {
    let (server, address) = server();
    let mut rig = Rig::new(address, Some(EVEN));
    let mut stream = server.accept().unwrap().0;
    say(&mut stream, "leave\n");
    rig.expect(&["open Some(1)", "line leave"]);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    rig.expect(&["close Local"]);
    rig.advance(60_000);
    assert_eq!(rig.reactor.hub().count(rig.driver), 0);
    assert_eq!(rig.log.0, [""; 0]);
}

#[test]
fn a_shutdown_ends_it() {
    let (server, address) = server();
    let mut rig = Rig::new(address, Some(EVEN));
    let stream = server.accept().unwrap().0;
    rig.expect(&["open Some(1)"]);
    rig.reactor.hub().shutdown(Duration::from_secs(5));
    drop(stream);
    rig.reactor.run(&mut rig.log).unwrap();
    assert_eq!(rig.log.0, ["close Shutdown"]);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}
