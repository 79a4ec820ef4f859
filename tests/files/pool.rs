//! When all threads of the pool are busy, and no more work can wait for them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use switchboard::Config;

use crate::mounts::Site;
use crate::served::{End, request};
use crate::support::pattern;

/// Gives the pool as much work as it takes, all of which waits for what is returned to go.
fn fill(site: &mut Site) -> Sender<()> {
    let (gate, opened) = channel::<()>();
    let opened = Arc::new(Mutex::new(opened));
    let running = Arc::new(AtomicUsize::new(0));
    let submit = |site: &mut Site| {
        let (opened, running) = (Arc::clone(&opened), Arc::clone(&running));
        let work = move || {
            running.fetch_add(1, Ordering::SeqCst);
            let opened = opened.lock();
            // The other end goes without having said anything.
            let _ = opened.map(|opened| opened.recv().is_err());
        };
        site.served.hub().spawn_blocking(work, |_, ()| {}).is_ok()
    };
    let threads = Config::default().blocking_threads;
    for _ in 0..threads {
        assert!(submit(site));
    }
    site.served.turns("all threads to be busy", |_| {
        running.load(Ordering::SeqCst) == threads
    });
    let mut waiting = 0;
    while submit(site) {
        waiting += 1;
    }
    assert_eq!(waiting, Config::default().blocking_queue);
    gate
}

/// Lets all of that work end.
fn open(site: &mut Site, gate: Sender<()>) {
    drop(gate);
    // What comes last ends last.
    let ended = Rc::new(Cell::new(false));
    site.served.turns("room in the queue", |served| {
        let then = Rc::clone(&ended);
        let last = served
            .hub()
            .spawn_blocking(|| (), move |_, ()| then.set(true));
        last.is_ok()
    });
    site.served.turns("the work to end", |_| ended.get());
}

#[test]
fn who_asks_for_a_file_then_is_told_to_come_again() {
    let mut site = Site::new();
    site.folder.file("a", "x");
    let gate = fill(&mut site);
    let mut client = site.served.connect();
    for _ in 0..3 {
        site.served
            .write(&mut client, &request("GET /files/a", "", ""));
        let answer = site.served.read_answer(&mut client);
        assert_eq!(
            (answer.status, answer.field("retry-after")),
            (503, Some("1"))
        );
        assert!(!answer.closes());
    }
    open(&mut site, gate);
    site.served
        .write(&mut client, &request("GET /files/a", "", ""));
    assert_eq!(site.served.read_answer(&mut client).text(), "x");
}

#[test]
fn who_waits_in_the_queue_is_served_when_it_moves() {
    let mut site = Site::new();
    site.folder.file("a", pattern(300_000));
    let mut clients: Vec<_> = (0..20).map(|_| site.served.connect()).collect();
    for client in &mut clients {
        site.served.write(client, &request("GET /files/a", "", ""));
    }
    for client in &mut clients {
        assert!(site.served.read_answer(client).body == pattern(300_000));
    }
}

#[test]
fn a_file_whose_next_piece_cannot_be_read_is_cut_off() {
    let mut site = Site::new();
    site.folder.zeros("large", 64 << 20);
    site.folder.file("small", "small");
    let (mut client, _) = site.slow("/files/large");
    let gate = fill(&mut site);
    let (received, end) = site.served.read_to_end(&mut client);
    assert_eq!(end, End::Reset);
    assert!(received.len() < 64 << 20);
    assert_eq!(site.served.app.aborted, 1);
    open(&mut site, gate);
    assert_eq!(site.get("/files/small", "").text(), "small");
}
