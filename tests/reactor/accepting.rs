//! Accepting: a listener survives every error, and whoever is refused leaves nothing behind.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Config, ConnId, DriverId, Limits, Listening, Reactor, tcp};

use crate::support::{Rig, client};
use crate::tools::assert_at_rest;

const RETRY: Duration = Duration::from_millis(100);

/// The backlog of a listener that ran out of descriptors causes no further edge.
#[test]
fn t04_a_listener_out_of_descriptors_waits_and_tries_again() {
    let mut rig = Rig::new();
    rig.faults.always(Call::Accept, Fault::Errno(libc::EMFILE));
    let address = rig.listening.local_addr.ip().unwrap();
    let _clients = [client(address), client(address), client(address)];
    rig.settle();
    let tried = rig.faults.count(Call::Accept);
    assert!((1..=3).contains(&tried), "one try for an edge, not {tried}");
    rig.faults.clear(Call::Accept);
    for _ in 0..20 {
        rig.turn();
    }
    rig.advance(RETRY - Duration::from_millis(1));
    assert_eq!(rig.faults.count(Call::Accept), tried, "the loop spins");
    rig.clock.advance(Duration::from_millis(1));
    rig.until("all clients", |world| world.opened().len() == 3);
    assert_at_rest(&mut rig);
}

#[test]
fn t04_a_connection_that_closes_lets_a_listener_try_at_once() {
    let mut rig = Rig::new();
    let (open, _) = rig.connect();
    rig.faults.next(Call::Accept, Fault::Errno(libc::ENFILE));
    let _waiting = client(rig.listening.local_addr.ip().unwrap());
    rig.settle();
    assert_eq!(rig.world.opened().len(), 1);
    drop(open);
    rig.until("the client in the backlog", |world| {
        world.opened().len() == 2
    });
}

/// One client's misfortune is not the next one's.
#[test]
fn t04_accepting_goes_on_after_a_connection_that_was_aborted() {
    let mut rig = Rig::new();
    for number in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::EINTR] {
        rig.faults.next(Call::Accept, Fault::Errno(number));
    }
    let _client = client(rig.listening.local_addr.ip().unwrap());
    rig.until("the client", |world| world.opened().len() == 1);
}

/// Turns away its first client after having made use of it.
#[derive(Default)]
struct Bouncer {
    opened: Vec<ConnId>,
    called: usize,
}

impl tcp::Handler for Bouncer {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        self.opened.push(cx.id());
        assert!(cx.subscribe("hall"));
        assert!(cx.set_timer(Duration::from_secs(1), 1).is_some());
        cx.send(b"full").ignore();
        (self.opened.len() > 1).then_some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), message: &[u8]) {
        self.called += 1;
        cx.send(message).ignore();
    }

    fn on_timer(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), _: u32) {
        self.called += 1;
    }

    fn on_close(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>, (): (), _: CloseReason) {
        self.called += 1;
    }
}

fn bouncer() -> (Reactor<Bouncer>, DriverId, Listening) {
    let config = Config {
        limits: Limits {
            idle_timeout: Some(Duration::from_secs(60)),
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut reactor = Reactor::new(config).unwrap();
    let driver = reactor.add_driver(tcp::Framed::raw());
    let listening = reactor.listen("127.0.0.1:0", driver).unwrap();
    (reactor, driver, listening)
}

#[test]
fn t07_a_connection_refused_in_on_open_leaves_nothing_behind() {
    let (mut reactor, driver, listening) = bouncer();
    let mut app = Bouncer::default();
    let mut refused = client(listening.local_addr.ip().unwrap());
    refused.write_all(b"hello").unwrap();
    for _ in 0..100 {
        reactor
            .turn(&mut app, Some(Duration::from_millis(1)))
            .unwrap();
        if reactor.hub().totals().closes == 1 {
            break;
        }
    }
    assert_eq!(app.opened.len(), 1);
    assert_eq!(app.called, 0, "who was refused is not heard of again");
    // Blocks until the reset has arrived.
    refused.set_nonblocking(false).unwrap();
    refused
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(
        refused.read(&mut [0; 16]).map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionReset)
    );
    let hub = reactor.hub();
    assert_eq!((hub.count(driver), hub.ids(driver)), (0, vec![]));
    assert_eq!((hub.pending_timers(), hub.subscribers("hall")), (0, 0));
    assert_eq!(hub.info(app.opened[0]), None);

    let mut taken = client(listening.local_addr.ip().unwrap());
    taken.write_all(b"hello").unwrap();
    for _ in 0..100 {
        if app.called == 1 {
            break;
        }
        reactor
            .turn(&mut app, Some(Duration::from_millis(1)))
            .unwrap();
    }
    assert_eq!(
        app.opened[1].index(),
        app.opened[0].index(),
        "the slot is free"
    );
    let mut buffer = [0; 16];
    let read = taken.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..read], b"fullhello");
}
