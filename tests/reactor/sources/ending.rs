//! Sources end like connections, and harm nobody.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use mio::Interest;
use mio::unix::pipe;
use switchboard::testing::Peer;
use switchboard::{CloseReason, ConnId, Driver, DriverId, Hub, Origin};

use super::{App, Rig};

/// It always has more to read, and asks for it.
#[test]
fn f15_a_source_that_floods_takes_its_turn_like_all_others() {
    let mut rig = Rig::new();
    let (_sender, flooding) = rig.pipe();
    rig.app.on_ready = Some(Box::new(|hub, id, _, _| hub.again(id)));
    rig.reactor.hub().again(flooding);
    let mut peer = Peer::connect(&mut rig.reactor, rig.echo).unwrap();
    let (mut sender, other) = rig.pipe();
    rig.turns();
    for _ in 0..10 {
        let calls = rig.app.calls(flooding);
        rig.turn();
        assert_eq!(rig.app.calls(flooding), calls + 1);
    }
    rig.assert_echoes(&mut peer);
    sender.write_all(b"word").unwrap();
    rig.until("the other source", |app| app.calls(other) > 0);
}

/// Whoever starts a process at the same time, as another test may, has a copy of all descriptors for
/// a moment.
fn assert_nobody_reads(sender: &mut pipe::Sender) {
    for _ in 0..100_000 {
        match sender.write(b"word") {
            Ok(_) => std::thread::yield_now(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        }
    }
    panic!("somebody still reads");
}

#[test]
fn f19_a_panic_costs_that_source_and_nobody_else() {
    let mut rig = Rig::new();
    let (mut bad, first) = rig.pipe();
    let (mut good, second) = rig.pipe();
    let mut peer = Peer::connect(&mut rig.reactor, rig.echo).unwrap();
    rig.app.on_ready = Some(Box::new(move |_, id, _, _| {
        assert_ne!(id, first, "in a source of a test");
    }));
    bad.write_all(b"word").unwrap();
    good.write_all(b"word").unwrap();
    rig.until("both", |app| app.calls.len() == 2);
    assert_eq!(rig.reactor.hub().totals().panics, 1);
    assert!(
        rig.app.closed.is_empty(),
        "the application is not called again"
    );
    assert!(!rig.reactor.hub().is_open(first));
    assert_nobody_reads(&mut bad);
    rig.app.on_ready = None;
    good.write_all(b"word").unwrap();
    rig.until("the good one", |app| app.read == b"wordword");
    assert!(rig.reactor.hub().is_open(second));
    rig.assert_echoes(&mut peer);
    rig.assert_rests();
}

/// Both are ready in one batch of events; whichever comes first closes the other.
#[test]
fn f03_a_source_that_another_one_has_closed_is_not_called() {
    let mut rig = Rig::new();
    let (mut one, first) = rig.pipe();
    let (mut two, second) = rig.pipe();
    rig.turns();
    rig.app.on_ready = Some(Box::new(move |hub, id, _, _| {
        hub.close(if id == first { second } else { first });
    }));
    one.write_all(b"word").unwrap();
    two.write_all(b"word").unwrap();
    assert_eq!(rig.turn().events, 2);
    let [(called, _)] = rig.app.calls[..] else {
        panic!("one call, not {:?}", rig.app.calls)
    };
    let other = if called == first { second } else { first };
    assert_eq!(rig.app.closed, [(other, CloseReason::Local)]);
    rig.assert_rests();
    assert!(rig.reactor.hub().is_open(called));

    // Another one has its slot, and hears nothing of the past.
    let (_third, new) = rig.pipe();
    assert_eq!(new.index(), other.index());
    rig.turns();
    rig.reactor.hub().again(other);
    rig.reactor.hub().close(other);
    rig.turns();
    assert_eq!((rig.app.calls(new), rig.app.closed.len()), (0, 1));
}

#[test]
fn a_source_closed_before_its_first_turn_is_never_heard_of() {
    let mut rig = Rig::new();
    let (mut sender, id) = rig.pipe();
    sender.write_all(b"word").unwrap();
    rig.reactor.hub().close(id);
    rig.turns();
    assert!(rig.app.calls.is_empty() && rig.app.closed.is_empty());
    assert_nobody_reads(&mut sender);
}

#[test]
fn a_source_may_close_itself_and_stays_closed() {
    let mut rig = Rig::new();
    let (mut sender, id) = rig.pipe();
    rig.app.on_ready = Some(Box::new(|hub, id, _, _| {
        hub.abort(id);
        hub.again(id);
        hub.close(id);
    }));
    sender.write_all(b"word").unwrap();
    rig.until("the close", |app| !app.closed.is_empty());
    rig.assert_rests();
    assert_eq!(rig.app.calls(id), 1);
    assert_eq!(rig.app.closed, [(id, CloseReason::Aborted)]);
}

#[test]
fn a_shutdown_closes_sources_and_does_not_wait_for_those_that_do_not_count() {
    let mut rig = Rig::new();
    let (_sender, id) = rig.pipe();
    rig.turns();
    rig.reactor.hub().shutdown(Duration::from_secs(5));
    rig.reactor.run(&mut rig.app).unwrap();
    assert_eq!(rig.app.closed, [(id, CloseReason::Shutdown)]);

    /// Does not close anything by itself.
    struct Deaf;
    impl Driver<App> for Deaf {
        fn on_open(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: Origin) {}
        fn on_data(&mut self, _: &mut App, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
            data.len()
        }
        fn on_stop(&mut self, _: &mut App, _: &mut Hub, _: DriverId) {}
        fn on_close(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: CloseReason) {}
    }
    let deaf = rig.reactor.add_driver(Deaf);
    let (_sender, receiver) = pipe::new().unwrap();
    let hub = rig.reactor.hub();
    let id = hub.watch(receiver, Interest::READABLE, deaf).unwrap();
    hub.unref(id);
    hub.shutdown(Duration::from_secs(60));
    rig.reactor.run(&mut rig.app).unwrap();
    assert!(rig.reactor.hub().is_open(id));
}

/// The driver is one of senders. It is told in the log; nobody panics.
#[test]
fn a_source_of_another_type_than_its_drivers_harms_nobody() {
    let mut rig = Rig::new();
    let (mut sender, receiver) = pipe::new().unwrap();
    let driver = rig.senders;
    let hub = rig.reactor.hub();
    let id = hub.watch(receiver, Interest::READABLE, driver).unwrap();
    sender.write_all(b"word").unwrap();
    rig.assert_rests();
    assert!(rig.app.calls.is_empty());
    assert_eq!(rig.reactor.hub().totals().panics, 0);
    rig.reactor.hub().close(id);
    rig.turns();
    assert_eq!(rig.reactor.hub().count(driver), 0);
}

/// What is for connections does nothing to a source.
#[test]
fn a_source_is_nothing_to_send_to() {
    let mut rig = Rig::new();
    let (mut sender, id) = rig.pipe();
    rig.turns();
    let hub = rig.reactor.hub();
    assert_eq!(hub.send(id, b"word"), switchboard::Sent::Closed);
    hub.pause(id);
    hub.resume(id);
    hub.shutdown_write(id);
    hub.flush(id);
    hub.post(id, Box::new(()));
    sender.write_all(b"word").unwrap();
    rig.until("a word", |app| app.read == b"word");
    assert!(rig.reactor.hub().is_open(id));
}
