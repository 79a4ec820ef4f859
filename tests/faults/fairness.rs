//! One connection that never falls silent, and many that say little.

use std::io::Write;
use std::time::Duration;

use switchboard::Config;

use crate::alone::alone;
use crate::support::{Rig, write_full};
use crate::util::{Numbers, echo, ready};

const BUDGET: usize = 4 * 1024;
const QUIET: usize = 100;

/// In each turn the firehose gets its budget, and everybody else who has something to say is heard.
#[test]
fn f15_a_firehose_does_not_starve_quiet_connections() {
    alone(4096, || {
        let config = Config {
            read_budget: BUDGET,
            ..Config::default()
        };
        let mut rig = Rig::with(config, "127.0.0.1:0");
        let (mut firehose, greedy) = rig.connect();
        let mut quiet: Vec<_> = (0..QUIET).map(|_| rig.connect()).collect();
        rig.world.on_data = Some(Box::new(move |hub, id, data| {
            if id == greedy {
                data.len()
            } else {
                echo(hub, id, data)
            }
        }));
        let flood = vec![0; 1 << 20];
        write_full(&mut firehose, &flood);
        rig.turn();
        for _ in 0..5 {
            for (client, _) in &mut quiet {
                client.write_all(b"q").unwrap();
            }
            let mut unanswered: Vec<_> = quiet.iter_mut().map(|(client, _)| client).collect();
            for _ in 0..1_000 {
                write_full(&mut firehose, &flood);
                let turn = rig.turn();
                assert!(turn.bytes_read <= (BUDGET + QUIET) as u64, "{turn:?}");
                assert!(
                    ready(&mut rig.reactor) <= 1,
                    "somebody waits for the next turn"
                );
                let mut byte = [0];
                unanswered
                    .retain_mut(|client| crate::support::read_some(client, &mut byte).is_none());
                if unanswered.is_empty() {
                    break;
                }
            }
            assert!(unanswered.is_empty(), "{} starve", unanswered.len());
        }
        assert_eq!(
            ready(&mut rig.reactor),
            1,
            "the firehose should still be at it"
        );
    });
}

/// All of them have more than a budget: they take turns, and none gets ahead of the others by more
/// than one budget.
#[test]
fn f15_connections_that_all_have_much_to_say_take_turns() {
    let config = Config {
        read_budget: BUDGET,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let mut all: Vec<_> = (0..10).map(|_| rig.connect()).collect();
    for (client, id) in &mut all {
        rig.reactor.hub().pause(*id);
        client.write_all(&vec![0; 10 * BUDGET]).unwrap();
    }
    rig.settle();
    for (_, id) in &all {
        rig.reactor.hub().resume(*id);
    }
    for turns in 1..=10 {
        rig.turn();
        for (_, id) in &all {
            assert_eq!(rig.world.data(*id).len(), turns * BUDGET);
        }
    }
}

/// Timers fire in every turn that is due for them, however much there is to read.
#[test]
fn f15_a_firehose_does_not_starve_timers() {
    let config = Config {
        read_budget: BUDGET,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let (mut firehose, _) = rig.connect();
    let flood = vec![0; 1 << 20];
    let owner = switchboard::Owner::Driver(rig.driver);
    let mut numbers = Numbers::new(1);
    for _ in 0..100 {
        write_full(&mut firehose, &flood);
        let after = Duration::from_millis(1 + numbers.below(20));
        rig.reactor.hub().set_timer(owner, after, 0);
        assert_eq!(rig.advance(after).timers, 1);
    }
}
