//! Timers: their order, their owners, and when they end.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use switchboard::{Owner, TimerId};

use crate::support::{Event, Rig};
use crate::tools::count;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn keys(rig: &Rig) -> Vec<u32> {
    let key = |event: &Event| match event {
        Event::Timer(_, key) => Some(*key),
        _ => None,
    };
    rig.world.events.iter().filter_map(key).collect()
}

#[test]
fn timers_fire_by_deadline_and_then_in_the_order_in_which_they_were_set() {
    let mut rig = Rig::new();
    let owner = Owner::Driver(rig.driver);
    let hub = rig.reactor.hub();
    for (after, key) in [(30, 5), (10, 1), (20, 3), (10, 2), (20, 4), (30, 6)] {
        hub.set_timer(owner, MILLI * after, key);
    }
    rig.advance(MILLI * 9);
    assert_eq!(keys(&rig), []);
    rig.advance(MILLI);
    assert_eq!(keys(&rig), [1, 2]);
    rig.advance(SECOND);
    assert_eq!(keys(&rig), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn each_owner_hears_of_its_own_timers() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    let second = rig.reactor.add_driver(crate::support::Recorder);
    let app = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&app);
    rig.reactor.on_timer(move |world, hub, key| {
        assert_eq!(world.events.len(), 1, "the application is lent as well");
        assert!(hub.is_open(id));
        heard.borrow_mut().push(key);
    });
    let owners = [
        (Owner::App, 1),
        (Owner::Conn(id), 2),
        (Owner::Driver(rig.driver), 3),
        (Owner::Driver(second), 4),
    ];
    for (owner, key) in owners {
        assert!(rig.reactor.hub().set_timer(owner, SECOND, key).is_some());
    }
    assert_eq!(rig.advance(SECOND).timers, 4);
    assert_eq!(*app.borrow(), [1]);
    let expected = [
        Event::Timer(Some(id), 2),
        Event::Timer(None, 3),
        Event::Timer(None, 4),
    ];
    assert_eq!(rig.world.events[1..], expected);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    let hub = rig.reactor.hub();
    let kept = hub.set_timer(Owner::Conn(id), SECOND, 1).unwrap();
    let cancelled = hub.set_timer(Owner::Conn(id), SECOND, 2).unwrap();
    assert!(hub.cancel_timer(cancelled));
    assert!(!hub.cancel_timer(cancelled), "once");
    rig.advance(SECOND);
    assert_eq!(keys(&rig), [1]);
    assert!(!rig.reactor.hub().cancel_timer(kept), "it has fired");
}

/// Both are due in the same turn; the first one's callback has the last word about the second.
#[test]
fn a_timer_cancelled_by_another_that_is_due_with_it_does_not_fire() {
    let mut rig = Rig::new();
    let owner = Owner::Driver(rig.driver);
    let second: Rc<RefCell<Option<TimerId>>> = Rc::default();
    let victim = Rc::clone(&second);
    rig.world.on_timer = Some(Box::new(move |hub, _, key| {
        if key == 1 {
            let victim = victim.borrow().unwrap();
            assert!(hub.cancel_timer(victim), "it has not fired yet");
        }
    }));
    let hub = rig.reactor.hub();
    hub.set_timer(owner, SECOND, 1);
    *second.borrow_mut() = hub.set_timer(owner, SECOND, 2);
    rig.advance(SECOND);
    assert_eq!(rig.reactor.hub().totals().panics, 0);
    assert_eq!(keys(&rig), [1]);
}

#[test]
fn a_connection_closed_by_a_timer_hears_of_none_that_is_due_with_it() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    rig.world.on_timer = Some(Box::new(|hub, id, _| hub.abort(id.unwrap())));
    let hub = rig.reactor.hub();
    hub.set_timer(Owner::Conn(id), SECOND, 1);
    hub.set_timer(Owner::Conn(id), SECOND, 2);
    let turn = rig.advance(SECOND);
    assert_eq!((keys(&rig), turn.stale), (vec![1], 1));
    rig.world.assert_orderly();
}

#[test]
fn a_connections_timers_end_when_it_begins_to_close() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    let hub = rig.reactor.hub();
    hub.set_timer(Owner::Conn(id), SECOND, 1);
    hub.close(id);
    assert!(hub.set_timer(Owner::Conn(id), SECOND, 2).is_none());
    rig.advance(SECOND);
    assert_eq!(keys(&rig), []);
    rig.reactor.hub().abort(id);
    rig.turn();
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}

/// A late heartbeat that lies in the receive queue is read before the timer that would punish it.
#[test]
fn sockets_are_read_before_timers_fire() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    let timer = rig
        .reactor
        .hub()
        .set_timer(Owner::Conn(id), SECOND, 1)
        .unwrap();
    rig.world.on_data = Some(Box::new(move |hub, _, data| {
        assert!(hub.cancel_timer(timer), "it has fired before");
        data.len()
    }));
    client.write_all(b"pong").unwrap();
    rig.advance(SECOND);
    assert_eq!(rig.world.data(id), b"pong");
    assert_eq!(keys(&rig), []);
}

/// The time that a callback sees is the turn's, and timers count from it.
#[test]
fn all_callbacks_of_a_turn_share_one_instant() {
    let mut rig = Rig::new();
    let clock = rig.clock.clone();
    let start = rig.clock.now();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    rig.world.on_timer = Some(Box::new(move |hub, _, _| {
        clock.advance(SECOND);
        log.borrow_mut().push(hub.now() - start);
    }));
    let owner = Owner::Driver(rig.driver);
    let hub = rig.reactor.hub();
    hub.set_timer(owner, SECOND, 1);
    hub.set_timer(owner, SECOND, 2);
    rig.advance(SECOND);
    assert_eq!(*seen.borrow(), [SECOND, SECOND]);
    assert_eq!(count(&rig.world, &Event::Timer(None, 2)), 1);
}

/// The hub is there between turns as well, long after the last one: a timer set then must not be
/// early.
#[test]
fn a_timer_set_between_turns_counts_from_then() {
    let mut rig = Rig::new();
    let owner = Owner::Driver(rig.driver);
    rig.turn();
    rig.clock.advance(SECOND * 10);
    rig.reactor.hub().set_timer(owner, SECOND, 1);
    rig.turn();
    assert_eq!(keys(&rig), [], "it fires early");
    rig.advance(SECOND);
    assert_eq!(keys(&rig), [1]);
}

#[test]
fn a_timer_of_any_duration_can_be_set() {
    let mut rig = Rig::new();
    let owner = Owner::Driver(rig.driver);
    let timer = rig.reactor.hub().set_timer(owner, Duration::MAX, 1);
    rig.advance(SECOND);
    assert_eq!(keys(&rig), []);
    assert!(rig.reactor.hub().cancel_timer(timer.unwrap()));
}
