//! Wake-ups from other threads: none is lost, none is idle, and the queue has an end.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard::{Config, Hub, Reactor, Remote, RemoteError};

use crate::support::Rig;

const THREADS: usize = 8;
const JOBS: usize = 20_000;

/// For each thread, how many of its jobs have run.
type Counts = Vec<usize>;

fn reactor(remote_capacity: usize, remote_budget: usize) -> Reactor<Counts> {
    let config = Config {
        remote_capacity,
        remote_budget,
        ..Config::default()
    };
    Reactor::new(config).unwrap()
}

/// Posts jobs that fail unless they run in the order in which they were posted. Returns how often
/// it met a full queue.
fn post_all(remote: &Remote<Counts>, thread: usize) -> usize {
    let mut full = 0;
    for number in 0..JOBS {
        let job = move |counts: &mut Counts, _: &mut Hub| {
            assert_eq!(counts[thread], number);
            counts[thread] += 1;
        };
        while let Err(error) = remote.post(job) {
            assert_eq!(error, RemoteError::Full);
            full += 1;
            std::thread::yield_now();
        }
    }
    full
}

/// Turns while all threads post, until all that they have posted has run.
fn storm(reactor: &mut Reactor<Counts>, remote_budget: usize) -> usize {
    let mut counts = vec![0; THREADS];
    let (done, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let remote = reactor.remote();
            let (done, full) = (&done, &full);
            scope.spawn(move || {
                full.fetch_add(post_all(&remote, thread), Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        // What is posted wakes the loop, so this time is never used up.
        let wait = Some(Duration::from_secs(10));
        while counts.iter().sum::<usize>() < THREADS * JOBS {
            let turn = reactor.turn(&mut counts, wait).unwrap();
            assert!(turn.events + turn.remote > 0, "a wake-up was lost");
            assert_eq!(turn.panics, 0, "out of order");
            assert!(turn.remote <= remote_budget, "{turn:?}");
        }
    });
    assert_eq!(done.into_inner(), THREADS);
    assert_eq!(counts, [JOBS; THREADS]);
    full.into_inner()
}

#[test]
fn f25_a_storm_of_jobs_runs_once_each_and_in_the_order_of_each_thread() {
    let mut reactor = reactor(THREADS * JOBS, 1_000);
    let full = storm(&mut reactor, 1_000);
    assert_eq!(full, 0);
    assert_still_wakes(&mut reactor);
}

#[test]
fn f25_a_full_queue_says_so_and_loses_nothing_that_it_took() {
    let mut reactor = reactor(16, 10);
    let full = storm(&mut reactor, 10);
    assert!(full > 0, "a queue of 16 was never full");
    assert_still_wakes(&mut reactor);
}

/// A turn that does not wait sees what was posted before it.
fn assert_still_wakes(reactor: &mut Reactor<Counts>) {
    let mut counts = vec![0];
    let remote = reactor.remote();
    for number in 1..=1_000 {
        remote.post(|counts, _| counts[0] += 1).unwrap();
        let turn = reactor.turn(&mut counts, Some(Duration::ZERO)).unwrap();
        assert_eq!((turn.remote, counts[0]), (1, number));
        let turn = reactor.turn(&mut counts, Some(Duration::ZERO)).unwrap();
        assert_eq!((turn.events, turn.remote), (0, 0), "an idle wake-up");
    }
}

#[test]
fn f25_the_capacity_is_exact_and_what_is_refused_never_runs() {
    let mut reactor = reactor(3, 10);
    let remote = reactor.remote();
    let mut counts = vec![0];
    for round in 1..=3 {
        for _ in 0..3 {
            remote.post(|counts, _| counts[0] += 1).unwrap();
        }
        let refused = remote.post(|counts, _| counts[0] += 1_000);
        assert_eq!(refused, Err(RemoteError::Full));
        reactor.turn(&mut counts, Some(Duration::ZERO)).unwrap();
        assert_eq!(counts[0], 3 * round);
    }
}

/// A thousand jobs, one wake-up: the poller reports one event.
#[test]
fn f25_many_jobs_between_two_turns_are_one_wake_up() {
    let mut reactor = reactor(10_000, 10_000);
    let remote = reactor.remote();
    let mut counts = vec![0];
    for _ in 0..1_000 {
        remote.post(|counts, _| counts[0] += 1).unwrap();
    }
    let turn = reactor.turn(&mut counts, Some(Duration::ZERO)).unwrap();
    assert_eq!((turn.events, turn.remote), (1, 1_000));
}

/// A job may post further jobs, even endlessly: each turn still ends, and sockets are served in
/// each.
#[test]
fn f25_jobs_that_post_jobs_leave_time_for_sockets() {
    let config = Config {
        remote_budget: 10,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let (mut client, id) = rig.connect();
    for _ in 0..20 {
        multiply(rig.reactor.remote());
    }
    for _ in 0..10 {
        assert_eq!(rig.turn().remote, 10);
    }
    client.write_all(b"hello").unwrap();
    rig.until("the bytes", |world| world.data(id) == b"hello");
    assert_eq!(rig.turn().remote, 10);
}

fn multiply(remote: Remote<crate::support::World>) {
    let again = remote.clone();
    remote.post(move |_, _| multiply(again)).unwrap();
}

#[test]
fn f25_jobs_for_a_reactor_that_has_gone_are_refused_and_dropped() {
    let reactor = reactor(10, 10);
    let remote = reactor.remote();
    let kept = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&kept);
    remote.post(move |_, _| drop(held)).unwrap();
    drop(reactor);
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
    assert_eq!(remote.post(|_, _| {}), Err(RemoteError::Closed));
}
