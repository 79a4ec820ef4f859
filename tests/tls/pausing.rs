//! Row 2: what is not read for the application is not read from the kernel, and nothing is lost by
//! that.

use std::cell::RefCell;
use std::rc::Rc;

use switchboard::{CloseReason, ConnId, Driver, Hub, Origin};

use crate::far::{Far, client_config};
use crate::near::{Near, echo};
use crate::support::{Event, Recorder, World, pattern};

/// What one read brings at most.
const READ: u64 = 64 * 1024;

/// Everything that was delivered for a connection, as the application has consumed it.
fn delivered(near: &Near, id: ConnId) -> Vec<u8> {
    near.world.data(id)
}

#[test]
fn tls2_a_paused_application_is_not_read_for() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(|hub, id, _| {
        hub.pause(id);
        0
    }));
    let (mut far, id) = near.client();
    let before = near.hub().totals().bytes_read;
    let said = pattern(8 << 20);
    far.say(&said);
    near.rest_with(&mut far);
    assert!(
        far.unsent() > 0,
        "so much that the kernel does not take it all"
    );
    let read = near.hub().totals().bytes_read - before;
    assert!(0 < read && read <= READ, "{read} bytes were read");
    assert_eq!(delivered(&near, id), b"");
    near.world.on_data = None;
    near.hub().resume(id);
    near.both(&mut far, "the rest", |near, _| {
        near.hub().totals().bytes_read - before > said.len() as u64
    });
    near.rest_with(&mut far);
    assert!(delivered(&near, id) == said, "all of it, in order");
}

#[test]
fn tls2_pausing_before_the_first_byte_keeps_it_in_the_kernel() {
    let mut near = Near::new();
    near.world.on_open = Some(Box::new(|hub, id, ()| hub.pause(id)));
    let (mut far, id) = near.client();
    let before = near.hub().totals().bytes_read;
    far.say(&pattern(100_000));
    near.rest_with(&mut far);
    assert_eq!(near.hub().totals().bytes_read, before);
    near.hub().resume(id);
    near.both(&mut far, "the data", |near, _| {
        delivered(near, id) == pattern(100_000)
    });
}

/// A thousand records in one segment, of which the application takes 25 bytes at a time.
#[test]
fn tls2_pausing_amidst_records_loses_and_doubles_nothing() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(|hub, id, data| {
        hub.pause(id);
        data.len().min(25)
    }));
    let (mut far, id) = near.client();
    let said = pattern(10_000);
    let records: Vec<_> = said
        .chunks(10)
        .flat_map(|piece| far.records(piece))
        .collect();
    crate::far::post(&far.stream, &records);
    near.rest();
    for resumed in 1..=said.len() / 25 {
        assert_eq!(delivered(&near, id), said[..25 * resumed]);
        near.hub().resume(id);
        near.turn();
    }
    near.rest();
    assert_eq!(delivered(&near, id), said);
}

#[test]
fn tls2_a_driver_may_consume_a_part() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(|_, _, data| data.len() / 7 * 7));
    let (mut far, id) = near.client();
    let said = pattern(100_002);
    for piece in said.chunks(1_000) {
        far.say(piece);
        near.rest_with(&mut far);
    }
    assert_eq!(delivered(&near, id), said[..said.len() / 7 * 7]);
    far.tls.send_close_notify();
    near.both(&mut far, "the end", |near, _| {
        near.world
            .events
            .contains(&Event::Eof(id, said[said.len() / 7 * 7..].to_vec()))
    });
}

#[test]
fn tls2_more_than_a_driver_allows_is_not_kept() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(|_, _, _| 0));
    let (mut far, id) = near.client();
    far.say(&pattern(64 * 1024));
    near.rest_with(&mut far);
    assert_eq!(near.reason(id), None, "as much as it allows");
    far.say(b"x");
    assert_eq!(near.closed(&mut far, id), CloseReason::Unconsumed);
    assert!(far.notified, "and it is told in order");
}

/// Gets connections from the other driver.
struct Heir(Rc<RefCell<Vec<u8>>>);

impl Driver<World> for Heir {
    fn on_open(&mut self, _: &mut World, hub: &mut Hub, id: ConnId, _: Origin) {
        hub.send(id, b"welcome").ignore();
    }

    fn on_data(&mut self, _: &mut World, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        self.0.borrow_mut().extend_from_slice(data);
        data.len()
    }

    fn on_eof(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        Recorder.on_eof(world, hub, id, rest);
    }

    fn on_close(&mut self, _: &mut World, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

fn hand_over(near: &mut Near, send: impl FnOnce(&mut Far)) -> Vec<u8> {
    let taken = Rc::default();
    let heir = near.reactor.add_driver(Heir(Rc::clone(&taken)));
    near.world.on_data = Some(Box::new(move |hub, id, _| {
        hub.hand_over(id, heir);
        3
    }));
    let (mut far, id) = near.client();
    send(&mut far);
    near.both(&mut far, "a word of the heir", |_, far| {
        far.received == b"welcome"
    });
    near.rest_with(&mut far);
    assert_eq!(delivered(near, id), b"one");
    assert_eq!(near.hub().driver(id), Some(heir));
    taken.take()
}

#[test]
fn tls2_a_connection_is_handed_over_with_what_was_not_consumed() {
    let mut near = Near::new();
    let taken = hand_over(&mut near, |far| far.say(b"one, two"));
    assert_eq!(taken, b", two");
    let said = pattern(300_000);
    let taken = hand_over(&mut near, |far| {
        far.say(b"one");
        far.say(&said);
    });
    assert!(taken == said, "all of it, in order");
}

/// Has the handshake go on to the client's last flight; that with data behind it.
fn last_flight(near: &mut Near, far: &mut Far, data: &[u8]) -> Vec<u8> {
    near.turns("the last flight", |_| {
        far.pull();
        if far.tls.is_handshaking() {
            far.push();
        }
        !far.tls.is_handshaking()
    });
    far.records(data)
}

/// The record with the end of the handshake is followed by others in the same segment: they wait
/// for the application as what follows later does.
#[test]
fn tls2_data_right_behind_the_handshake_waits_for_a_paused_application() {
    let mut near = Near::new();
    near.world.on_open = Some(Box::new(|hub, id, ()| hub.pause(id)));
    let mut far = near.stranger(client_config());
    let last = last_flight(&mut near, &mut far, b"early bird");
    crate::far::post(&far.stream, &last);
    near.rest();
    let id = near.world.opened()[0];
    assert_eq!(near.told(id), [""; 0]);
    near.world.on_data = Some(Box::new(echo));
    near.hub().resume(id);
    near.both(&mut far, "the echo", |_, far| far.received == b"early bird");
}

/// The same for whoever gives the connection away before anything was read.
#[test]
fn tls2_data_right_behind_the_handshake_goes_to_the_heir() {
    let mut near = Near::new();
    let taken = Rc::default();
    let heir = near.reactor.add_driver(Heir(Rc::clone(&taken)));
    near.world.on_open = Some(Box::new(move |hub, id, ()| hub.hand_over(id, heir)));
    let mut far = near.stranger(client_config());
    let last = last_flight(&mut near, &mut far, b"early bird");
    crate::far::post(&far.stream, &last);
    near.both(&mut far, "a word of the heir", |_, far| {
        far.received == b"welcome"
    });
    near.rest_with(&mut far);
    assert_eq!(taken.take(), b"early bird");
}
