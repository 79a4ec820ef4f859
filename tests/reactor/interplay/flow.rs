//! Pausing and back pressure: each step of the ladder, and how the two go together.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Limits, Overflow, Sent};

use crate::support::{Event, Rig, pattern, write_full};
use crate::tools::{assert_at_rest, connect_small, count, fill, read_error, read_now, small_rig};

fn ladder() -> Limits {
    Limits {
        high_water: 30_000,
        low_water: 10_000,
        max_backlog: 60_000,
        ..Limits::default()
    }
}

#[test]
fn a_paused_connection_delivers_nothing_until_it_resumes() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    client.write_all(b"while paused").unwrap();
    drop(client);
    rig.settle();
    assert_at_rest(&mut rig);
    assert_eq!(rig.world.events, [Event::Opened(id)]);
    assert!(!rig.reactor.hub().wants_data(id));
    rig.reactor.hub().resume(id);
    rig.until("the close", |world| !world.closed().is_empty());
    let expected = [
        Event::Opened(id),
        Event::Data(id, b"while paused".to_vec()),
        Event::Eof(id, Vec::new()),
        Event::Closed(id, CloseReason::Peer),
    ];
    assert_eq!(rig.world.events, expected);
}

#[test]
fn bytes_not_consumed_come_again_before_those_that_follow() {
    let mut rig = Rig::new();
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        hub.pause(id);
        data.len().min(4)
    }));
    let (mut client, id) = rig.connect();
    client.write_all(b"one two ").unwrap();
    rig.settle();
    client.write_all(b"tri fou ").unwrap();
    for part in ["one ", "one two ", "one two tri ", "one two tri fou "] {
        rig.settle();
        assert_eq!(rig.world.data(id), part.as_bytes());
        rig.reactor.hub().resume(id);
    }
    assert_at_rest(&mut rig);
}

/// Between reads of a paused connection nobody else is held up, and its peer is by TCP's own flow
/// control.
#[test]
fn a_paused_flood_is_held_back_by_its_own_window() {
    let mut rig = Rig::new();
    let (mut flood, id) = rig.connect();
    rig.reactor.hub().pause(id);
    let chunk = pattern(1 << 20);
    let mut sent = 0;
    while write_full(&mut flood, &chunk) > 0 {
        sent += chunk.len();
        assert!(sent < 64 << 20, "the window never closes");
        rig.turn();
    }
    let (mut other, quiet) = rig.connect();
    other.write_all(b"hello").unwrap();
    rig.until("the other's data", |world| world.data(quiet) == b"hello");
    assert_eq!(rig.world.data(id), b"");
}

#[test]
fn above_the_high_mark_a_send_says_so_and_reading_stops_until_one_drain() {
    let mut rig = small_rig(ladder());
    let (mut client, id) = connect_small(&mut rig);
    let mut sent = Vec::new();
    let mut steps = Vec::new();
    for number in 0..45_u8 {
        let hub = rig.reactor.hub();
        steps.push(hub.send(id, &[number; 1000]));
        let backlogged = hub.backlog(id) > 30_000;
        assert_eq!(steps.last() == Some(&Sent::Backlogged), backlogged);
        assert_eq!(hub.wants_data(id), !backlogged);
        sent.extend([number; 1000]);
    }
    assert_eq!(steps.last(), Some(&Sent::Backlogged));
    let calls = rig.faults.count(Call::Send);
    assert_eq!(rig.reactor.hub().send(id, b"end"), Sent::Backlogged);
    sent.extend(b"end");
    // A turn that sees no event: an acknowledgement that comes late makes some room.
    rig.faults.next(Call::Poll, Fault::Errno(libc::EINTR));
    rig.turn();
    let tried = rig.faults.count(Call::Send) - calls;
    assert_eq!(tried, 0, "the socket is known to be full");
    client.write_all(b"not yet").unwrap();
    rig.settle();
    assert_at_rest(&mut rig);
    assert_eq!(rig.world.events, [Event::Opened(id)]);

    // What is pending above the low mark keeps the stop; reading resumes only below it.
    let marks = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&marks);
    rig.world.on_drain = Some(Box::new(move |hub, id, ()| {
        seen.borrow_mut().push(hub.backlog(id));
        assert!(hub.wants_data(id));
    }));
    assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
    rig.settle();
    assert!(marks.borrow().len() == 1 && marks.borrow()[0] <= 10_000);
    let expected = [
        Event::Opened(id),
        Event::Drained(id),
        Event::Data(id, b"not yet".to_vec()),
    ];
    assert_eq!(rig.world.events, expected);
}

#[test]
fn resuming_does_not_overrule_back_pressure_nor_a_drain_a_pause() {
    let mut rig = small_rig(ladder());
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 31_000);
    client.write_all(b"held").unwrap();
    let hub = rig.reactor.hub();
    hub.pause(id);
    hub.resume(id);
    rig.settle();
    assert_eq!(rig.world.data(id), b"", "it is backlogged");
    rig.reactor.hub().pause(id);
    assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
    rig.settle();
    assert_eq!(count(&rig.world, &Event::Drained(id)), 1);
    assert_eq!(rig.world.data(id), b"", "it is paused");
    rig.reactor.hub().resume(id);
    rig.until("the data", |world| world.data(id) == b"held");
}

/// Each drain lets `on_drain` fill the outbox anew: it is called once for each time.
#[test]
fn a_producer_fed_by_on_drain_sends_everything() {
    let mut rig = small_rig(ladder());
    let (mut client, id) = connect_small(&mut rig);
    let all = pattern(300_000);
    let (data, mut at) = (all.clone(), 0);
    let mut produce = move |hub: &mut switchboard::Hub, id| {
        while at < data.len() {
            at += 1000;
            if hub.send(id, &data[at - 1000..at]) == Sent::Backlogged {
                break;
            }
        }
    };
    produce(rig.reactor.hub(), id);
    rig.world.on_drain = Some(Box::new(move |hub, id, ()| produce(hub, id)));
    assert_eq!(rig.read_exactly(&mut client, all.len()), all);
    let drains = count(&rig.world, &Event::Drained(id));
    assert!((10..=16).contains(&drains), "{drains} drains of 20 kB each");
    assert_at_rest(&mut rig);
}

#[test]
fn at_the_maximum_the_policy_close_resets() {
    let mut rig = small_rig(ladder());
    let (mut client, id) = connect_small(&mut rig);
    fill(&mut rig, id, 60_000);
    let hub = rig.reactor.hub();
    assert!(hub.is_open(id), "the maximum itself is allowed");
    assert_eq!(hub.send(id, b"one too many"), Sent::Closed);
    assert!(!hub.is_open(id));
    rig.turn();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Overflow)]);
    assert_eq!(
        read_error(&mut rig, &mut client),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn at_the_maximum_the_policy_drop_drops_whole_messages_and_counts_them() {
    let limits = Limits {
        overflow: Overflow::Drop,
        ..ladder()
    };
    let mut rig = small_rig(limits);
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 60_000);
    let hub = rig.reactor.hub();
    let backlog = hub.backlog(id);
    for _ in 0..3 {
        assert_eq!(hub.send(id, b"lost"), Sent::Dropped);
        assert_eq!(hub.send_shared(id, vec![0; 9000].into()), Sent::Dropped);
    }
    assert_eq!((hub.backlog(id), hub.totals().dropped), (backlog, 6));
    assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
    assert_eq!(rig.reactor.hub().send(id, b"kept"), Sent::Accepted);
    assert_eq!(rig.read_exactly(&mut client, 4), b"kept");
    assert_eq!(rig.world.closed(), []);
}

#[test]
fn a_connection_may_have_limits_of_its_own() {
    let mut rig = small_rig(ladder());
    let (_first, strict) = connect_small(&mut rig);
    let (_second, common) = connect_small(&mut rig);
    let hub = rig.reactor.hub();
    let limits = Limits {
        max_backlog: 0,
        ..ladder()
    };
    hub.set_limits(strict, limits);
    assert_eq!(hub.limits(strict), Some(limits));
    assert_eq!(hub.limits(common), Some(ladder()));
    assert_eq!(hub.send(strict, b"x"), Sent::Closed);
    assert_eq!(hub.send(common, b"x"), Sent::Accepted);
}

#[test]
fn try_write_takes_what_the_kernel_takes_and_queues_nothing() {
    let mut rig = small_rig(Limits::default());
    let (mut client, id) = connect_small(&mut rig);
    let data = pattern(100_000);
    let hub = rig.reactor.hub();
    let taken = hub.try_write(id, &data).unwrap();
    assert!(taken > 0 && taken < data.len(), "{taken} bytes");
    assert_eq!(hub.backlog(id), 0);
    assert_eq!(hub.try_write(id, b"full"), Some(0));
    assert_eq!(rig.read_exactly(&mut client, taken), data[..taken]);
    rig.settle();
    assert_eq!(read_now(&mut client), b"");

    // Bytes never overtake each other.
    let hub = rig.reactor.hub();
    assert!(hub.send(id, b"queued ").is_taken());
    assert_eq!(hub.try_write(id, b"too soon"), Some(0));
    hub.flush(id);
    assert_eq!(hub.try_write(id, b"direct"), Some(6));
    assert_eq!(rig.read_exactly(&mut client, 13), b"queued direct");
    let hub = rig.reactor.hub();
    hub.close(id);
    assert_eq!(hub.try_write(id, b"closed"), None);
}
