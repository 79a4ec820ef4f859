//! Jobs that block, on threads of their own, and what is done with their results.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use switchboard::testing::Peer;
use switchboard::{Config, Hub, Sent};

use crate::caller::Rig;

fn rig(threads: usize, queue: usize) -> Rig {
    Rig::with(Config {
        blocking_threads: threads,
        blocking_queue: queue,
        ..Config::default()
    })
}

/// A job that runs until it is told to end, and tells when it has begun.
struct Gate {
    began: Receiver<()>,
    end: Sender<()>,
}

impl Gate {
    fn new() -> (Self, impl FnOnce() + Send + 'static) {
        let (begin, began) = channel();
        let (end, ended) = channel();
        let work = move || {
            begin.send(()).unwrap();
            // Or the test has failed.
            let _ = ended.recv();
        };
        (Self { began, end }, work)
    }

    /// Occupies a thread of the pool.
    fn occupy(hub: &mut Hub) -> Self {
        let (gate, work) = Self::new();
        hub.spawn_blocking(work, |_, ()| {}).unwrap();
        gate.began.recv().unwrap();
        gate
    }
}

/// What nothing but the loop's thread may touch.
type List<T> = Rc<RefCell<Vec<T>>>;

/// A list that results are put into.
fn list<T>() -> (List<T>, List<T>) {
    let list = Rc::new(RefCell::new(Vec::new()));
    (Rc::clone(&list), list)
}

#[test]
fn work_runs_on_another_thread_and_its_result_comes_to_the_loop() {
    let mut rig = Rig::new();
    let (results, all) = list();
    let work = || thread::current().id();
    let then = move |_: &mut Hub, worker| {
        results.borrow_mut().push((worker, thread::current().id()));
    };
    rig.reactor.hub().spawn_blocking(work, then).unwrap();
    assert!(all.borrow().is_empty(), "in a later turn");
    rig.until("the result", |_| !all.borrow().is_empty());
    rig.turns();
    let [(worker, taker)] = all.borrow()[..] else {
        panic!("one result, and once")
    };
    assert_eq!(taker, thread::current().id());
    assert_ne!(worker, taker);
}

/// Nothing else happens, and it would sleep for longer than the test may take.
#[test]
fn a_result_wakes_a_loop_that_sleeps() {
    let mut rig = Rig::new();
    let (gate, work) = Gate::new();
    let (results, all) = list();
    let then = move |_: &mut Hub, ()| results.borrow_mut().push(());
    rig.reactor.hub().spawn_blocking(work, then).unwrap();
    gate.began.recv().unwrap();
    let opener = thread::spawn(move || gate.end.send(()).unwrap());
    let wait = Some(Duration::from_secs(60));
    let turn = rig.reactor.turn(&mut rig.caller, wait).unwrap();
    assert_eq!((turn.events, all.borrow().len()), (1, 1));
    opener.join().unwrap();
}

#[test]
fn while_a_job_blocks_connections_are_served() {
    let mut rig = rig(1, 8);
    let gate = Gate::occupy(rig.reactor.hub());
    let mut peer = Peer::connect(&mut rig.reactor, rig.driver).unwrap();
    let hello = peer.receive(&mut rig.reactor, &mut rig.caller, 5);
    assert_eq!(hello, b"hello");
    gate.end.send(()).unwrap();
}

#[test]
fn a_job_that_panics_costs_its_result_and_nothing_else() {
    let mut rig = rig(1, 8);
    let (results, all) = list();
    let (also, kept) = (Rc::clone(&results), Rc::clone(&results));
    let hub = rig.reactor.hub();
    hub.spawn_blocking(
        || -> u8 { panic!("in a job of a test") },
        move |_, result| {
            kept.borrow_mut().push(result);
        },
    )
    .unwrap();
    hub.spawn_blocking(|| 2, move |_, result| also.borrow_mut().push(result))
        .unwrap();
    rig.until("the job after it", |_| !all.borrow().is_empty());
    assert_eq!(*all.borrow(), [2], "the only thread has lived on");
    drop(results);
    assert_eq!(
        Rc::strong_count(&all),
        1,
        "what would have followed is gone"
    );
}

#[test]
fn a_panic_in_what_follows_costs_nothing_else() {
    let mut rig = rig(1, 8);
    let (results, all) = list();
    let mut peer = Peer::connect(&mut rig.reactor, rig.driver).unwrap();
    let hub = rig.reactor.hub();
    hub.spawn_blocking(|| (), |_, ()| panic!("after a job of a test"))
        .unwrap();
    hub.spawn_blocking(|| 2, move |_, result| results.borrow_mut().push(result))
        .unwrap();
    rig.until("the job after it", |_| !all.borrow().is_empty());
    assert_eq!(rig.reactor.hub().totals().panics, 1);
    let hello = peer.receive(&mut rig.reactor, &mut rig.caller, 5);
    assert_eq!(hello, b"hello");
}

#[test]
fn a_full_queue_refuses_clearly_and_only_while_it_is_full() {
    let mut rig = rig(1, 2);
    let gate = Gate::occupy(rig.reactor.hub());
    let done = Rc::new(Cell::new(0));
    let submit = |hub: &mut Hub| {
        let done = Rc::clone(&done);
        hub.spawn_blocking(|| (), move |_, ()| done.set(done.get() + 1))
    };
    submit(rig.reactor.hub()).unwrap();
    submit(rig.reactor.hub()).unwrap();
    for _ in 0..3 {
        let error = submit(rig.reactor.hub()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(error.to_string(), "2 jobs are waiting for a thread");
    }
    assert_eq!(Rc::strong_count(&done), 3, "what was refused is gone");
    gate.end.send(()).unwrap();
    rig.until("those that were taken", |_| done.get() == 2);
    submit(rig.reactor.hub()).unwrap();
    rig.until("one more", |_| done.get() == 3);
    rig.turns();
    assert_eq!(done.get(), 3);
}

/// Each of the first two waits for the other.
#[test]
fn jobs_run_side_by_side_on_as_many_threads_as_there_may_be() {
    let mut rig = rig(2, 8);
    let barrier = Arc::new(Barrier::new(2));
    let done = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let (barrier, done) = (Arc::clone(&barrier), Rc::clone(&done));
        let work = move || {
            barrier.wait();
        };
        let then = move |_: &mut Hub, ()| done.set(done.get() + 1);
        rig.reactor.hub().spawn_blocking(work, then).unwrap();
    }
    rig.until("both", |_| done.get() == 2);

    let gates = [0; 2].map(|_| Gate::occupy(rig.reactor.hub()));
    let (third, work) = Gate::new();
    rig.reactor.hub().spawn_blocking(work, |_, ()| {}).unwrap();
    rig.turns();
    assert!(third.began.try_recv().is_err(), "two threads, two jobs");
    gates[1].end.send(()).unwrap();
    third.began.recv().unwrap();
    third.end.send(()).unwrap();
    gates[0].end.send(()).unwrap();
}

#[test]
fn one_thread_takes_jobs_in_their_order() {
    let mut rig = rig(1, 100);
    let (results, all) = list();
    for number in 0..100 {
        let results = Rc::clone(&results);
        let then = move |_: &mut Hub, number| results.borrow_mut().push(number);
        rig.reactor
            .hub()
            .spawn_blocking(move || number, then)
            .unwrap();
    }
    rig.until("all results", |_| all.borrow().len() == 100);
    assert_eq!(*all.borrow(), (0..100).collect::<Vec<_>>());
}

#[test]
fn of_many_jobs_on_many_threads_each_result_comes_once() {
    let mut rig = rig(4, 2_000);
    let ran = Arc::new(AtomicUsize::new(0));
    let (results, all) = list();
    for number in 0..2_000 {
        let (ran, results) = (Arc::clone(&ran), Rc::clone(&results));
        let work = move || {
            ran.fetch_add(1, Ordering::Relaxed);
            number
        };
        let then = move |_: &mut Hub, number| results.borrow_mut().push(number);
        rig.reactor.hub().spawn_blocking(work, then).unwrap();
    }
    rig.until("all results", |_| all.borrow().len() == 2_000);
    rig.turns();
    all.borrow_mut().sort_unstable();
    assert_eq!(*all.borrow(), (0..2_000).collect::<Vec<_>>());
    assert_eq!(ran.load(Ordering::Relaxed), 2_000);
}

/// One after the other, as a file that is read piece by piece.
#[test]
fn what_follows_a_job_may_ask_for_the_next() {
    fn next(hub: &mut Hub, left: usize) {
        if left == 0 {
            return hub.stop();
        }
        hub.spawn_blocking(move || left - 1, next).unwrap();
    }
    let mut rig = rig(1, 1);
    next(rig.reactor.hub(), 50);
    rig.reactor.run(&mut rig.caller).unwrap();
}

/// Whoever the job was for has gone, and another connection has its slot.
#[test]
fn a_result_for_a_connection_that_has_gone_reaches_nobody_else() {
    let mut rig = rig(1, 8);
    let peer = Peer::connect(&mut rig.reactor, rig.driver).unwrap();
    let id = peer.id;
    rig.turns();
    let (gate, work) = Gate::new();
    let (results, all) = list();
    let then = move |hub: &mut Hub, ()| results.borrow_mut().push(hub.send(id, b"the result"));
    rig.reactor.hub().spawn_blocking(work, then).unwrap();
    rig.reactor.hub().abort(id);
    rig.turns();
    let mut other = Peer::connect(&mut rig.reactor, rig.driver).unwrap();
    assert_eq!(other.id.index(), id.index(), "the slot is used again");
    gate.end.send(()).unwrap();
    rig.until("the result", |_| !all.borrow().is_empty());
    assert_eq!(*all.borrow(), [Sent::Closed]);
    rig.reactor.hub().close(other.id);
    other.finish();
    let heard = other.receive_to_end(&mut rig.reactor, &mut rig.caller);
    assert_eq!(heard, b"hello");
}

#[test]
fn a_stop_does_not_wait_for_jobs_and_their_results_come_when_it_runs_again() {
    let mut rig = rig(1, 8);
    let (gate, work) = Gate::new();
    let done = Rc::new(Cell::new(false));
    let then = {
        let done = Rc::clone(&done);
        move |hub: &mut Hub, ()| {
            done.set(true);
            hub.stop();
        }
    };
    rig.reactor.hub().spawn_blocking(work, then).unwrap();
    rig.reactor.hub().stop();
    rig.reactor.run(&mut rig.caller).unwrap();
    rig.reactor.hub().shutdown(Duration::from_secs(60));
    rig.reactor.run(&mut rig.caller).unwrap();
    assert!(!done.get());
    gate.end.send(()).unwrap();
    rig.reactor.run(&mut rig.caller).unwrap();
    assert!(done.get());
}

/// A thread that blocks cannot be stopped. What it brings in the end is nobody's.
#[test]
fn a_dropped_reactor_waits_for_no_job_and_begins_none() {
    let mut rig = rig(1, 8);
    let (begin, began) = channel();
    let (end, ended) = channel::<()>();
    let (finish, finished) = channel();
    let told = Rc::new(());
    let work = move || {
        begin.send(()).unwrap();
        let _ = ended.recv();
        finish.send(()).unwrap();
    };
    let kept = Rc::clone(&told);
    let then = move |_: &mut Hub, ()| panic!("{kept:?}: nobody is there to be told");
    rig.reactor.hub().spawn_blocking(work, then).unwrap();
    began.recv().unwrap();
    let (waiting, never) = channel::<()>();
    let work = move || waiting.send(()).unwrap();
    rig.reactor.hub().spawn_blocking(work, |_, ()| {}).unwrap();
    drop(rig);
    assert_eq!(
        Rc::strong_count(&told),
        1,
        "what would have followed is gone"
    );
    assert!(never.recv().is_err(), "dropped before it has begun");
    end.send(()).unwrap();
    finished.recv().unwrap();
}

/// What the sequel of a job keeps is dropped with it, and may panic in that.
#[test]
fn f19_a_sequel_that_panics_when_it_is_dropped_costs_nothing_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped in a test");
        }
    }
    let mut rig = rig(1, 4);
    let (kept, list) = list();
    let hub = rig.reactor.hub();
    let bomb = Bomb;
    hub.spawn_blocking(|| panic!("in a job of a test"), move |_, ()| drop(bomb))
        .unwrap();
    hub.spawn_blocking(|| 7, move |_, seven| kept.borrow_mut().push(seven))
        .unwrap();
    rig.until("the other job", |_| !list.borrow().is_empty());
    assert_eq!(*list.borrow(), [7]);
}
