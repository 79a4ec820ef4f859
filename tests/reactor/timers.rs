//! Timers of zero: they let the sockets have their turn.

use std::io::Write;
use std::time::Duration;

use switchboard::Owner;

use crate::support::{Event, Rig};
use crate::tools::count;

#[test]
fn t13_a_zero_timer_set_in_its_own_callback_fires_once_a_turn() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.world.on_timer = Some(Box::new(|hub, id, key| {
        let owner = Owner::Conn(id.unwrap());
        assert!(hub.set_timer(owner, Duration::ZERO, key).is_some());
    }));
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        hub.send(id, data).ignore();
        data.len()
    }));
    rig.reactor
        .hub()
        .set_timer(Owner::Conn(id), Duration::ZERO, 3);
    for round in 1..=10 {
        client.write_all(b"echo").unwrap();
        let turn = rig.turn();
        assert_eq!((turn.timers, turn.bytes_read), (1, 4));
        assert_eq!(count(&rig.world, &Event::Timer(Some(id), 3)), round);
    }
    assert_eq!(rig.read_exactly(&mut client, 40), b"echo".repeat(10));
    assert_eq!(rig.reactor.hub().pending_timers(), 1);
}

/// Two zero timers that set each other are no better.
#[test]
fn t13_zero_timers_that_set_each_other_alternate_by_turns() {
    let mut rig = Rig::new();
    let driver = rig.driver;
    rig.world.on_timer = Some(Box::new(move |hub, _, key| {
        hub.set_timer(Owner::Driver(driver), Duration::ZERO, 1 - key);
    }));
    rig.reactor
        .hub()
        .set_timer(Owner::Driver(driver), Duration::ZERO, 0);
    for _ in 0..6 {
        assert_eq!(rig.turn().timers, 1);
    }
    let fired = [0, 1, 0, 1, 0, 1].map(|key| Event::Timer(None, key));
    assert_eq!(rig.world.events, fired);
}
