//! Time-outs: what counts as activity, what lets them stand still, and who may put them off.

use std::io::Write;
use std::time::Duration;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Limits, Timeout};

use crate::support::{Event, Rig, pattern};
use crate::tools::{connect_small, count, fill, small_rig, turn_until};

const PATIENCE: Duration = Duration::from_secs(10);
const MILLI: Duration = Duration::from_millis(1);

fn idle() -> Limits {
    Limits {
        idle_timeout: Some(PATIENCE),
        ..Limits::default()
    }
}

fn read() -> Limits {
    Limits {
        read_timeout: Some(PATIENCE),
        high_water: 20_000,
        low_water: 10_000,
        ..Limits::default()
    }
}

/// Steps of four seconds.
fn step(rig: &mut Rig) {
    rig.advance(Duration::from_secs(4));
    rig.settle();
}

#[test]
fn each_time_out_closes_when_it_has_passed_and_not_before() {
    let lifetime = Limits {
        lifetime: Some(PATIENCE),
        ..Limits::default()
    };
    let cases = [
        (idle(), Timeout::Idle),
        (read(), Timeout::Read),
        (lifetime, Timeout::Lifetime),
    ];
    for (limits, timeout) in cases {
        let mut rig = small_rig(limits);
        let (client, id) = rig.connect();
        rig.advance(PATIENCE - MILLI);
        assert_eq!(rig.world.events, [Event::Opened(id)], "early: {timeout:?}");
        rig.advance(MILLI);
        assert_eq!(rig.world.events[1..], [Event::TimedOut(id, timeout)]);
        drop(client);
        rig.until("the close", |world| !world.closed().is_empty());
        assert_eq!(rig.world.closed(), [(id, CloseReason::TimedOut(timeout))]);
        assert_eq!(rig.reactor.hub().pending_timers(), 0);
    }
}

#[test]
fn bytes_received_begin_idle_and_read_patience_anew_and_not_the_lifetime() {
    let limits = Limits {
        lifetime: Some(Duration::from_secs(30)),
        idle_timeout: Some(PATIENCE),
        ..read()
    };
    let mut rig = small_rig(limits);
    let (mut client, id) = rig.connect();
    for _ in 0..7 {
        step(&mut rig);
        client.write_all(b"x").unwrap();
        rig.until("the byte", |world| {
            matches!(world.events.last(), Some(Event::Data(..)))
        });
        rig.world.events.clear();
    }
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.world.events, [Event::TimedOut(id, Timeout::Lifetime)]);
}

/// An answer that was late but lies in the receive queue when its time is over still counts.
#[test]
fn what_is_read_in_the_turn_in_which_the_time_is_over_counts() {
    let mut rig = small_rig(read());
    let (mut client, id) = rig.connect();
    rig.clock.advance(PATIENCE);
    client.write_all(b"just in time").unwrap();
    rig.turn();
    rig.settle();
    assert_eq!(rig.world.data(id), b"just in time");
    assert_eq!(count(&rig.world, &Event::TimedOut(id, Timeout::Read)), 0);
    rig.advance(PATIENCE);
    assert_eq!(count(&rig.world, &Event::TimedOut(id, Timeout::Read)), 1);
}

/// Of two silent peers only the one that we would have heard is at fault.
#[test]
fn silence_is_no_fault_while_paused() {
    for limits in [idle(), read()] {
        let mut rig = small_rig(limits);
        let (_client, id) = rig.connect();
        rig.reactor.hub().pause(id);
        for _ in 0..5 {
            step(&mut rig);
        }
        assert_eq!(rig.world.events, [Event::Opened(id)]);
        rig.reactor.hub().resume(id);
        rig.advance(PATIENCE - MILLI);
        assert_eq!(rig.world.events, [Event::Opened(id)], "it begins anew");
        rig.advance(MILLI);
        assert_eq!(rig.world.events.len(), 2, "but it does begin");
    }
}

/// The same for the stop that the reactor makes of its own accord, while the backlog is above its
/// marks.
#[test]
fn silence_is_no_fault_while_a_backlog_stops_the_reading() {
    let mut rig = small_rig(read());
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 25_000);
    assert!(!rig.reactor.hub().wants_data(id), "reading has stopped");
    rig.advance(PATIENCE - MILLI);
    assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
    rig.settle();
    assert_eq!(rig.world.events, [Event::Opened(id), Event::Drained(id)]);
    rig.advance(MILLI);
    let silent = count(&rig.world, &Event::TimedOut(id, Timeout::Read));
    assert_eq!(silent, 0, "we have been listening for a millisecond only");
    rig.advance(PATIENCE - MILLI);
    assert_eq!(count(&rig.world, &Event::TimedOut(id, Timeout::Read)), 1);
}

#[test]
fn progress_in_writing_is_activity_and_a_backlog_that_does_not_move_is_none() {
    let mut rig = small_rig(idle());
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 60_000);
    rig.settle();
    let mut received = 0;
    for _ in 0..4 {
        let owed = rig.reactor.hub().backlog(id);
        rig.clock.advance(Duration::from_secs(4));
        received += rig.read_exactly(&mut client, 10_000).len();
        // The kernel may be late to say that there is room.
        turn_until(&mut rig, |rig| {
            (rig.reactor.hub().backlog(id) < owed).then_some(())
        });
        rig.settle();
    }
    assert_eq!(rig.world.closed(), [], "16 s with progress");
    assert!(received < sent.len());
    // Nor does the kernel take more by now, as it would when an acknowledgement comes late.
    rig.faults.always(Call::Send, Fault::Errno(libc::EAGAIN));
    rig.advance(PATIENCE - MILLI);
    assert_eq!(count(&rig.world, &Event::TimedOut(id, Timeout::Idle)), 0);
    rig.advance(MILLI);
    assert_eq!(count(&rig.world, &Event::TimedOut(id, Timeout::Idle)), 1);
}

/// Writing says nothing of the peer's own voice.
#[test]
fn progress_in_writing_does_not_excuse_a_silent_peer() {
    let mut rig = small_rig(read());
    let (mut client, id) = rig.connect();
    for _ in 0..2 {
        step(&mut rig);
        assert!(rig.reactor.hub().send(id, &pattern(100)).is_taken());
        rig.read_exactly(&mut client, 100);
    }
    rig.advance(Duration::from_secs(2));
    assert_eq!(count(&rig.world, &Event::TimedOut(id, Timeout::Read)), 1);
}

#[test]
fn a_time_out_that_is_put_off_gives_the_same_time_again() {
    let mut rig = small_rig(idle());
    rig.world.on_timeout = Some(Box::new(|_, _, _| {}));
    let (_client, id) = rig.connect();
    for round in 1..=3 {
        rig.advance(PATIENCE - MILLI);
        assert_eq!(
            count(&rig.world, &Event::TimedOut(id, Timeout::Idle)),
            round - 1
        );
        rig.advance(MILLI);
        assert_eq!(
            count(&rig.world, &Event::TimedOut(id, Timeout::Idle)),
            round
        );
    }
    assert!(rig.reactor.hub().is_open(id));
}

#[test]
fn the_end_of_a_lifetime_cannot_be_put_off() {
    let limits = Limits {
        lifetime: Some(PATIENCE),
        ..Limits::default()
    };
    let mut rig = small_rig(limits);
    rig.world.on_timeout = Some(Box::new(|hub, id, _| hub.send(id, b"time!").ignore()));
    let (mut client, id) = rig.connect();
    rig.advance(PATIENCE);
    assert!(!rig.reactor.hub().is_open(id));
    assert_eq!(rig.read_to_end(&mut client), b"time!");
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    let reason = CloseReason::TimedOut(Timeout::Lifetime);
    assert_eq!(rig.world.closed(), [(id, reason)]);
}

#[test]
fn limits_given_later_count_from_what_happened_last() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    rig.advance(PATIENCE / 2);
    rig.reactor.hub().set_limits(id, idle());
    rig.advance(PATIENCE / 2 - MILLI);
    assert_eq!(rig.world.events.len(), 1);
    rig.advance(MILLI);
    assert_eq!(rig.world.events[1..], [Event::TimedOut(id, Timeout::Idle)]);
}

/// Both are due in the same turn: who was aborted by the first one's callback hears of nothing but
/// its close.
#[test]
fn an_aborted_connection_is_not_told_of_its_time_out() {
    let mut rig = small_rig(idle());
    let (_first, one) = rig.connect();
    let (_second, two) = rig.connect();
    rig.world.on_timeout = Some(Box::new(move |hub, _, _| {
        hub.abort(one);
        hub.abort(two);
    }));
    rig.advance(PATIENCE);
    let told = [one, two].map(|id| count(&rig.world, &Event::TimedOut(id, Timeout::Idle)));
    assert_eq!(told.iter().sum::<usize>(), 1, "{:?}", rig.world.events);
    assert_eq!(rig.world.closed().len(), 2);
}

#[test]
fn a_patience_without_end_is_allowed() {
    let endless = Some(Duration::MAX);
    let limits = Limits {
        lifetime: endless,
        idle_timeout: endless,
        read_timeout: endless,
        linger: Duration::MAX,
        ..Limits::default()
    };
    let mut rig = small_rig(limits);
    let (_client, id) = rig.connect();
    rig.advance(Duration::from_secs(1_000_000));
    rig.reactor.hub().close(id);
    rig.advance(Duration::from_secs(1_000_000));
    assert_eq!(rig.world.events, [Event::Opened(id)]);
}
