//! The end of a turn: flushing and closing come to an end, and nothing is left for an unrelated
//! event.

use std::time::Duration;

use switchboard::{CloseReason, ConnId, Hub, Kind, Owner, Publish};

use crate::support::{Event, Rig, reset};
use crate::tools::{assert_at_rest, read_now};

fn publish(hub: &mut Hub, data: &[u8]) {
    hub.publish(Publish {
        topic: "room",
        data,
        kind: Kind::Binary,
        except: None,
    });
}

/// A rig whose connections all join `room`.
fn rig_with_room() -> Rig {
    let mut rig = Rig::new();
    rig.world.on_open = Some(Box::new(|hub, id, ()| {
        assert!(hub.subscribe(id, "room"));
    }));
    rig
}

#[test]
fn t02_what_on_close_broadcasts_leaves_in_the_same_turn() {
    let mut rig = rig_with_room();
    rig.world.on_close = Some(Box::new(|hub, id, _| {
        publish(hub, format!("{id} left\n").as_bytes());
    }));
    let (leaving, left) = rig.connect();
    let (mut second, _) = rig.connect();
    let (mut third, _) = rig.connect();
    drop(leaving);
    rig.until("the close", |world| !world.closed().is_empty());
    // Loopback delivers at once, so no further turn is needed to see what was sent.
    let expected = format!("{left} left\n").into_bytes();
    assert_eq!(read_now(&mut second), expected);
    assert_eq!(read_now(&mut third), expected);
}

/// Each `on_close` aborts the next connection and tells the rest: flushing and closing alternate.
#[test]
fn t02_closings_that_cause_each_other_all_happen_in_one_turn() {
    let mut rig = rig_with_room();
    let (first, _) = rig.connect();
    let (second, next) = rig.connect();
    let (mut third, _) = rig.connect();
    rig.world.on_close = Some(Box::new(move |hub, id, _| {
        hub.abort(next);
        publish(hub, format!("{id} left\n").as_bytes());
    }));
    reset(first);
    rig.until("a close", |world| !world.closed().is_empty());
    let ids = rig.world.opened();
    let reasons = [(ids[0], CloseReason::Reset), (next, CloseReason::Aborted)];
    assert_eq!(rig.world.closed(), reasons);
    let expected = format!("{} left\n{next} left\n", ids[0]);
    assert_eq!(read_now(&mut third), expected.as_bytes());
    drop(second);
}

#[test]
fn t09_closing_everybody_inside_on_close_closes_each_once() {
    let mut rig = rig_with_room();
    let clients: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    let ids: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    let all = ids.clone();
    rig.world.on_close = Some(Box::new(move |hub, id, _| {
        hub.unsubscribe(id, "room");
        publish(hub, b"going");
        for other in &all {
            hub.unsubscribe(*other, "room");
            hub.close(*other);
            hub.abort(*other);
            hub.abort(*other);
            hub.shutdown_write(*other);
            hub.resume(*other);
        }
    }));
    rig.reactor.hub().abort(ids[7]);
    let turn = rig.turn();
    assert_eq!(turn.closes, 20);
    assert_eq!(rig.world.closed().len(), 20);
    rig.world.assert_orderly();
    let driver = rig.driver;
    let hub = rig.reactor.hub();
    assert_eq!((hub.count(driver), hub.subscribers("room")), (0, 0));
    assert_eq!(hub.pending_timers(), 0);
    assert_at_rest(&mut rig);
}

/// The hub calls nobody: whatever a callback asks for, no other callback runs before it has
/// returned.
#[test]
fn t09_no_callback_runs_inside_another() {
    let mut rig = rig_with_room();
    let clients: Vec<_> = (0..4).map(|_| rig.connect()).collect();
    let ids: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    let driver = rig.driver;
    let inside = std::rc::Rc::new(std::cell::Cell::new(false));
    let provoke = move |hub: &mut Hub, id: ConnId| {
        assert!(!inside.replace(true), "called inside another callback");
        for other in ids.iter().filter(|other| **other != id) {
            hub.send(*other, b"x").ignore();
            hub.flush(*other);
            hub.post(*other, Box::new(()));
            hub.set_timer(Owner::Conn(*other), Duration::ZERO, 1);
            hub.abort(*other);
        }
        hub.set_timer(Owner::Driver(driver), Duration::ZERO, 1);
        publish(hub, b"y");
        hub.post(id, Box::new(()));
        hub.hand_over(id, driver);
        hub.abort(id);
        inside.set(false);
    };
    let provoke = std::rc::Rc::new(provoke);
    let (again, last) = (provoke.clone(), provoke.clone());
    rig.world.on_post = Some(Box::new(move |hub, id, _| provoke(hub, id)));
    rig.world.on_close = Some(Box::new(move |hub, id, _| again(hub, id)));
    rig.world.on_timer = Some(Box::new(move |hub, id, _| {
        if let Some(id) = id {
            last(hub, id);
        }
    }));
    rig.reactor.hub().post(clients[0].1, Box::new(()));
    rig.settle();
    assert_eq!(rig.world.closed().len(), 4);
    assert_eq!(rig.reactor.hub().totals().panics, 0);
    rig.world.assert_orderly();
}

/// Zero timers and posts made while settling wait for the next turn; closings follow in this one.
#[test]
fn t23_a_turn_ends_whatever_on_close_starts() {
    const CONNECTIONS: usize = 30;
    let mut rig = Rig::new();
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| rig.connect()).collect();
    let (_stays, witness) = rig.connect();
    let ids: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    let driver = rig.driver;
    rig.world.on_close = Some(Box::new(move |hub, id, _| {
        assert!(
            hub.set_timer(Owner::Conn(id), Duration::ZERO, 9).is_none(),
            "a timer of a closed connection"
        );
        assert!(
            hub.set_timer(Owner::Driver(driver), Duration::ZERO, 1)
                .is_some()
        );
        hub.post(witness, Box::new(()));
        hub.post(id, Box::new(()));
        let next = ids.iter().find(|other| hub.is_open(**other));
        if let Some(next) = next {
            hub.abort(*next);
        }
    }));
    rig.world.on_timer = Some(Box::new(move |hub, _, key| {
        hub.set_timer(Owner::Driver(driver), Duration::ZERO, key);
    }));
    rig.world.on_post = Some(Box::new(|hub, id, _| hub.post(id, Box::new(()))));
    let count = |rig: &Rig, event: Event| {
        rig.world
            .events
            .iter()
            .filter(|other| **other == event)
            .count()
    };

    rig.reactor.hub().abort(clients[0].1);
    let turn = rig.turn();
    assert_eq!((turn.closes, turn.timers), (CONNECTIONS, 0));
    assert_eq!(count(&rig, Event::Posted(witness)), 0);
    for round in 1..=3 {
        let turn = rig.turn();
        assert_eq!(turn.timers, CONNECTIONS, "one round a turn");
        assert_eq!(turn.stale, if round == 1 { CONNECTIONS } else { 0 });
        assert_eq!(count(&rig, Event::Posted(witness)), round * CONNECTIONS);
    }
    rig.world.assert_orderly();
}
