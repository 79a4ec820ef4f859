//! Timers and time-outs: never early, cancelled for good, and fair to whoever has answered in time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use switchboard::{CloseReason, Config, Limits, Listen, Owner, TimerId};

use crate::support::{Event, Rig};
use crate::util::{Numbers, assert_rests, ready, turn_with, wait_until_received};

const MILLI: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(30);

fn app_timer(rig: &mut Rig, after: Duration, key: u32) -> TimerId {
    let owner = Owner::Driver(rig.driver);
    rig.reactor.hub().set_timer(owner, after, key).unwrap()
}

fn fired(rig: &Rig) -> Vec<u32> {
    let key = |event: &Event| match event {
        Event::Timer(_, key) => Some(*key),
        _ => None,
    };
    rig.world.events.iter().filter_map(key).collect()
}

/// Two thousand timers, some set while others fire, on a clock that moves by fractions of a
/// millisecond.
#[test]
fn f18_timers_are_never_early_and_late_by_less_than_a_millisecond_and_a_turn() {
    const STEP: Duration = Duration::from_micros(700);
    let mut rig = Rig::new();
    let due: Rc<RefCell<HashMap<u32, Instant>>> = Rc::default();
    let (clock, waiting) = (rig.clock.clone(), Rc::clone(&due));
    rig.world.on_timer = Some(Box::new(move |_, _, key| {
        let (at, now) = (waiting.borrow_mut().remove(&key).unwrap(), clock.now());
        assert!(now >= at, "{:?} early", at - now);
        assert!(now < at + MILLI + STEP, "{:?} late", now - at);
    }));
    let mut numbers = Numbers::new(18);
    for key in 0..2_000 {
        let after = Duration::from_micros(numbers.below(300_000));
        due.borrow_mut().insert(key, rig.clock.now() + after);
        app_timer(&mut rig, after, key);
        if key % 4 == 0 {
            rig.advance(STEP);
        }
    }
    while !due.borrow().is_empty() {
        rig.advance(STEP);
    }
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    assert_eq!(rig.reactor.hub().totals().panics, 0);
}

#[test]
fn f18_a_million_timers_come_and_go() {
    const MANY: u32 = 1_000_000;
    let mut rig = Rig::new();
    let mut numbers = Numbers::new(1);
    let timers: Vec<_> = (0..MANY)
        .map(|key| app_timer(&mut rig, MILLI * (1 + numbers.below(100_000) as u32), key))
        .collect();
    assert_eq!(rig.reactor.hub().pending_timers(), MANY as usize);
    for (number, timer) in timers.iter().enumerate() {
        if number % 1_000 != 0 {
            assert!(rig.reactor.hub().cancel_timer(*timer));
        }
    }
    assert_eq!(rig.reactor.hub().pending_timers(), 1_000);
    rig.advance(100 * Duration::from_secs(1));
    assert_eq!(fired(&rig).len(), 1_000);
    assert!(fired(&rig).iter().all(|key| key % 1_000 == 0));
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    for timer in timers {
        assert!(!rig.reactor.hub().cancel_timer(timer), "cancelled twice");
    }
}

/// Timers of connections end with them, and cancelling them later is harmless.
#[test]
fn f18_timers_of_a_connection_end_with_it() {
    let mut rig = Rig::new();
    let (client, id) = rig.connect();
    let timers: Vec<_> = (0..1_000)
        .map(|key| {
            rig.reactor
                .hub()
                .set_timer(Owner::Conn(id), MILLI * key, key)
        })
        .collect();
    rig.reactor.hub().abort(id);
    rig.turn();
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    rig.advance(IDLE);
    assert_eq!(fired(&rig), []);
    for timer in timers {
        assert!(!rig.reactor.hub().cancel_timer(timer.unwrap()));
    }
    assert_eq!(rig.reactor.hub().set_timer(Owner::Conn(id), MILLI, 0), None);
    drop(client);
}

fn impatient() -> Listen {
    let limits = Limits {
        idle_timeout: Some(IDLE),
        read_timeout: Some(IDLE),
        ..Limits::default()
    };
    Listen::tcp("127.0.0.1:0").limits(limits)
}

/// The process was stopped for a minute; the answers came in time, and lie in the receive queues.
fn answered_during_a_stall(config: Config, connections: usize) -> Rig {
    let mut rig = Rig::with(config, impatient());
    let mut all: Vec<_> = (0..connections).map(|_| rig.connect()).collect();
    rig.settle();
    for (client, _) in &mut all {
        client.write_all(b"pong").unwrap();
    }
    wait_until_received(rig.listening.local_addr.ip().unwrap(), connections);
    rig.clock.advance(2 * IDLE);
    rig.until("all answers", |world| {
        let data = |event: &&Event| matches!(event, Event::Data(..));
        world.events.iter().filter(data).count() >= connections
    });
    rig
}

fn time_outs(rig: &Rig) -> usize {
    let timed_out = |event: &&Event| matches!(event, Event::TimedOut(..));
    rig.world.events.iter().filter(timed_out).count()
}

#[test]
fn f18_after_a_stall_sockets_are_read_before_time_outs_are_looked_at() {
    let rig = answered_during_a_stall(Config::default(), 20);
    assert_eq!(time_outs(&rig), 0);
}

/// More sockets have an answer than the poller reports at a time.
#[test]
fn f18_after_a_stall_all_sockets_are_read_before_time_outs_are_looked_at() {
    let config = Config {
        events: 4,
        ..Config::default()
    };
    let rig = answered_during_a_stall(config, 20);
    assert_eq!(time_outs(&rig), 0);
}

/// So that a heartbeat, which a driver has timers of its own for, is not missed either.
#[test]
fn f18_after_a_stall_each_socket_is_read_before_its_own_timers_fire() {
    let config = Config {
        events: 4,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let mut all: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    rig.settle();
    for (client, id) in &mut all {
        client.write_all(b"pong").unwrap();
        rig.reactor.hub().set_timer(Owner::Conn(*id), IDLE, 1);
    }
    wait_until_received(rig.listening.local_addr.ip().unwrap(), all.len());
    rig.clock.advance(2 * IDLE);
    rig.settle();
    for (_, id) in all {
        let at = |event: Event| rig.world.events.iter().position(|other| *other == event);
        let answered = at(Event::Data(id, b"pong".to_vec())).unwrap();
        assert!(answered < at(Event::Timer(Some(id), 1)).unwrap());
    }
}

/// After a stall a periodic timer fires once, and not once for each time that it has missed.
#[test]
fn f18_after_a_stall_a_periodic_timer_does_not_make_up_for_lost_time() {
    let mut rig = Rig::new();
    rig.world.on_timer = Some(Box::new(|hub, id, key| {
        let owner = Owner::Conn(id.unwrap());
        hub.set_timer(owner, 10 * MILLI, key);
    }));
    let (_client, id) = rig.connect();
    let hub = rig.reactor.hub();
    hub.set_timer(Owner::Conn(id), 10 * MILLI, 1);
    rig.advance(Duration::from_secs(60));
    assert_rests(&mut rig);
    assert_eq!(fired(&rig), [1]);
    rig.advance(10 * MILLI);
    assert_eq!(fired(&rig), [1, 1]);
}

/// One that is set to nothing within its own callback waits for the next turn, and lets sockets be
/// served.
#[test]
fn f18_a_timer_of_no_time_fires_once_a_turn() {
    let mut rig = Rig::new();
    rig.world.on_timer = Some(Box::new(|hub, id, key| {
        hub.set_timer(Owner::Conn(id.unwrap()), Duration::ZERO, key);
    }));
    let (mut client, id) = rig.connect();
    rig.reactor
        .hub()
        .set_timer(Owner::Conn(id), Duration::ZERO, 1);
    for _ in 0..10 {
        assert_eq!(rig.turn().timers, 1);
    }
    client.write_all(b"hello").unwrap();
    rig.until("the bytes", |world| world.data(id) == b"hello");
}

/// Both are due in this turn, and the first to fire cancels the second.
#[test]
fn f18_a_timer_cancelled_by_another_that_is_due_with_it_does_not_fire() {
    let mut rig = Rig::new();
    let second: Rc<RefCell<Option<TimerId>>> = Rc::default();
    let victim = Rc::clone(&second);
    let cancelled = Rc::new(RefCell::new(Vec::new()));
    let results = Rc::clone(&cancelled);
    rig.world.on_timer = Some(Box::new(move |hub, _, _| {
        let timer = victim.borrow_mut().take();
        let mut results = results.borrow_mut();
        results.extend(timer.map(|timer| hub.cancel_timer(timer)));
    }));
    app_timer(&mut rig, MILLI, 1);
    *second.borrow_mut() = Some(app_timer(&mut rig, 2 * MILLI, 2));
    app_timer(&mut rig, 3 * MILLI, 3);
    rig.advance(5 * MILLI);
    rig.turn();
    assert_eq!(fired(&rig), [1, 3]);
    assert_eq!(*cancelled.borrow(), [true]);
}

/// Much time may pass between the set-up of a reactor, or any turn, and the next.
#[test]
fn f18_a_timer_set_between_turns_is_not_early() {
    let mut rig = Rig::new();
    rig.clock.advance(Duration::from_secs(10));
    app_timer(&mut rig, Duration::from_secs(1), 1);
    rig.turn();
    assert_eq!(fired(&rig), []);
    rig.advance(Duration::from_secs(1));
    assert_eq!(fired(&rig), [1]);
}

#[test]
fn f18_a_timer_may_be_set_for_the_end_of_time() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    for owner in [Owner::Conn(id), Owner::App, Owner::Driver(rig.driver)] {
        rig.reactor.hub().set_timer(owner, Duration::MAX, 1);
    }
    rig.advance(IDLE);
    assert_rests(&mut rig);
    assert_eq!(fired(&rig), []);
    rig.reactor.hub().shutdown(Duration::MAX);
    rig.turn();
    assert_eq!(ready(&mut rig.reactor), 0);
}

/// A connection that was aborted in this turn hears of no time-out that passes in it.
#[test]
fn f18_no_time_out_comes_after_an_abort() {
    let limits = Limits {
        lifetime: Some(IDLE),
        ..Limits::default()
    };
    let listen = Listen::tcp("127.0.0.1:0").limits(limits);
    let mut rig = Rig::with(Config::default(), listen);
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        hub.abort(id);
        data.len()
    }));
    let (mut client, id) = rig.connect();
    client.write_all(b"hello").unwrap();
    wait_until_received(rig.listening.local_addr.ip().unwrap(), 1);
    rig.clock.advance(IDLE);
    turn_with(&mut rig, "the close", |turn| turn.closes > 0);
    assert_eq!(
        rig.world.events,
        [
            Event::Opened(id),
            Event::Data(id, b"hello".to_vec()),
            Event::Closed(id, CloseReason::Aborted),
        ]
    );
}

/// Two time-outs pass in one turn, and whoever hears of the first moves the second.
#[test]
fn f18_time_outs_that_pass_in_one_turn_leave_no_timer_behind() {
    let mut rig = Rig::with(Config::default(), impatient());
    let all = [rig.connect(), rig.connect()];
    let ids = [all[0].1, all[1].1];
    rig.world.on_timeout = Some(Box::new(move |hub, _, _| {
        for id in ids {
            let limits = Limits {
                idle_timeout: Some(100 * IDLE),
                ..Limits::default()
            };
            hub.set_limits(id, limits);
        }
    }));
    rig.advance(IDLE);
    assert!(time_outs(&rig) > 0);
    assert_eq!(rig.reactor.hub().pending_timers(), 2, "one each");
    for id in ids {
        rig.reactor.hub().abort(id);
    }
    rig.turn();
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}
