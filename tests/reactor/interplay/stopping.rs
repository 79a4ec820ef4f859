//! The end of the reactor: at once, or in good order and within a deadline.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use switchboard::{CloseReason, Config, Limits, Listen, Owner};

use crate::support::{Event, Rig};
use crate::tools::{connect_small, count, fill, read_error, small_rig, turn_until};

const DEADLINE: Duration = Duration::from_secs(3);

#[test]
fn stop_lets_run_return_and_leaves_connections_as_they_are() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    for _ in 0..2 {
        rig.reactor.hub().stop();
        rig.reactor.run(&mut rig.world).unwrap();
        assert!(rig.reactor.hub().is_open(id));
    }
    assert_eq!(rig.world.events, [Event::Opened(id)]);
}

#[test]
fn a_shutdown_closes_the_listeners_at_once_and_lets_connections_finish() {
    // An address of its own: a port given back may be another test's a moment later.
    let listen = Listen::tcp("127.0.6.24:0").send_buffer(4096);
    let mut rig = Rig::with(Config::default(), listen);
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 50_000);
    rig.reactor.hub().shutdown(DEADLINE);
    assert!(!rig.reactor.hub().is_open(rig.listening.id));
    rig.turn();
    let address = rig.listening.local_addr.ip().unwrap();
    let refused = turn_until(&mut rig, |_| TcpStream::connect(address).err());
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(!rig.reactor.hub().is_open(id), "the driver has been told");
    assert_eq!(
        rig.read_to_end(&mut client),
        sent,
        "nothing acknowledged is lost"
    );
    drop(client);
    rig.reactor.run(&mut rig.world).unwrap();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Shutdown)]);
}

#[test]
fn what_is_left_at_the_deadline_of_a_shutdown_is_reset() {
    let mut rig = small_rig(Limits::default());
    let (mut client, id) = connect_small(&mut rig);
    fill(&mut rig, id, 50_000);
    rig.reactor.hub().shutdown(DEADLINE);
    rig.settle();
    rig.advance(DEADLINE - Duration::from_millis(1));
    assert_eq!(rig.world.closed(), []);
    rig.clock.advance(Duration::from_millis(1));
    rig.reactor.run(&mut rig.world).unwrap();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Shutdown)]);
    assert_eq!(
        read_error(&mut rig, &mut client),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_second_shutdown_replaces_the_deadline() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    rig.reactor.hub().shutdown(DEADLINE);
    rig.settle();
    rig.reactor.hub().shutdown(Duration::ZERO);
    rig.reactor.run(&mut rig.world).unwrap();
    assert_eq!(
        count(&rig.world, &Event::Closed(id, CloseReason::Shutdown)),
        1
    );
}

/// A connection that serves the process itself, such as one that brings signals.
#[test]
fn a_shutdown_does_not_wait_for_a_connection_that_is_unreferenced() {
    let mut rig = Rig::new();
    let (_signals, ours) = rig.connect();
    let (client, theirs) = rig.connect();
    rig.reactor.hub().unref(ours);
    rig.reactor.hub().shutdown(DEADLINE);
    rig.settle();
    drop(client);
    rig.reactor.run(&mut rig.world).unwrap();
    assert_eq!(rig.world.closed(), [(theirs, CloseReason::Shutdown)]);
}

/// While it drains, the loop goes on as ever: timers fire, and others are told what happens.
#[test]
fn timers_fire_while_a_shutdown_drains() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    let fired = Rc::new(Cell::new(0));
    let count = Rc::clone(&fired);
    rig.reactor.on_timer(move |_, hub, _| {
        count.set(count.get() + 1);
        hub.abort(id);
    });
    let second = Duration::from_secs(1);
    rig.reactor.hub().set_timer(Owner::App, second, 0);
    rig.reactor.hub().shutdown(DEADLINE);
    rig.settle();
    rig.clock.advance(second);
    rig.reactor.run(&mut rig.world).unwrap();
    assert_eq!(fired.get(), 1);
    assert_eq!(rig.world.closed(), [(id, CloseReason::Shutdown)]);
}

#[test]
fn a_shutdown_without_a_deadline_waits_for_the_last_connection() {
    let mut rig = Rig::new();
    let (client, id) = rig.connect();
    rig.reactor.hub().shutdown(Duration::MAX);
    rig.settle();
    drop(client);
    rig.reactor.run(&mut rig.world).unwrap();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Shutdown)]);
}
