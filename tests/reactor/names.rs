//! Names: resolved on a thread of the pool, while the loop goes on.

use std::io::ErrorKind;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use switchboard::testing::{Call, Peer};
use switchboard::{Config, Dial};

use crate::caller::{Rig, server};

/// A name that the resolver refuses without asking anybody: no label has 64 letters.
fn unknown() -> String {
    format!("{}.invalid:80", "a".repeat(64))
}

/// A rig whose only thread for what blocks is busy until something is sent.
fn busy(waiting: usize) -> (Rig, Sender<()>) {
    let mut rig = Rig::with(Config {
        blocking_threads: 1,
        blocking_queue: waiting,
        ..Config::default()
    });
    let (began, has_begun) = channel();
    let (end, ended) = channel::<()>();
    let work = move || {
        began.send(()).unwrap();
        // Or the test has failed.
        let _ = ended.recv();
    };
    rig.reactor.hub().spawn_blocking(work, |_, ()| {}).unwrap();
    has_begun.recv().unwrap();
    (rig, end)
}

#[test]
fn f29_a_name_is_resolved_and_dialled() {
    let (server, address) = server();
    let mut rig = Rig::new();
    let name = format!("localhost:{}", address.port());
    let id = rig.connect(Dial::tcp(name).ticket("mine"));
    assert_eq!(rig.faults.count(Call::Connect), 0);
    rig.outcome();
    assert_eq!(rig.caller.opened, [(id, Some("mine"))]);
    assert_eq!(rig.addresses(id).1, Some(address));
    drop(server);
}

/// While the resolver is stuck the loop serves others.
#[test]
fn f29_a_name_is_never_resolved_on_the_loop() {
    let (server, address) = server();
    let (mut rig, end) = busy(8);
    let id = rig.connect(format!("localhost:{}", address.port()).as_str());
    let mut other = Peer::connect(&mut rig.reactor, rig.driver).unwrap();
    let hello = other.receive(&mut rig.reactor, &mut rig.caller, 5);
    assert_eq!(hello, b"hello");
    rig.turns();
    assert_eq!(rig.caller.opened, [(other.id, None)]);
    assert_eq!(
        rig.faults.count(Call::Connect),
        0,
        "nobody knows whom to dial"
    );
    end.send(()).unwrap();
    rig.outcome();
    assert_eq!(rig.caller.opened[1], (id, None));
    drop(server);
}

#[test]
fn f29_a_name_without_an_address_is_told_with_its_ticket() {
    let mut rig = Rig::new();
    let id = rig.connect(Dial::tcp(unknown()).ticket("mine"));
    rig.outcome();
    assert_eq!(rig.caller.failed[0].0, id);
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    let (_, text) = rig.error();
    let begin = format!("cannot resolve `{}`: ", unknown());
    assert!(text.starts_with(&begin), "{text}");
    assert_eq!(rig.faults.count(Call::Connect), 0);
    rig.assert_empty();
}

#[test]
fn f29_what_is_no_name_and_port_is_told_how_it_should_look() {
    for name in [
        "",
        "localhost",
        "127.0.0.1",
        "localhost:port",
        "localhost:65536",
    ] {
        let mut rig = Rig::new();
        rig.connect(name);
        rig.outcome();
        let (kind, text) = rig.error();
        assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
        assert!(
            text.contains(&format!("`{name}` (expected HOST:PORT")),
            "{text}"
        );
        rig.assert_empty();
    }
}

#[test]
fn f29_the_deadline_counts_while_a_name_is_resolved() {
    let (mut rig, end) = busy(8);
    rig.connect(Dial::tcp("localhost:7").deadline(Duration::from_secs(2)));
    rig.advance(1_999);
    assert!(rig.caller.failed.is_empty(), "never early");
    rig.advance(1);
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::TimedOut);
    assert_eq!(
        text,
        "no answer from the resolver about `localhost:7` within 2s"
    );
    rig.assert_empty();
    assert_answer_is_ignored(rig, &end);
}

#[test]
fn f29_a_dial_cancelled_while_its_name_is_resolved_dials_nobody() {
    let (mut rig, end) = busy(8);
    let id = rig.connect(Dial::tcp("localhost:7").ticket("mine"));
    rig.turns();
    rig.reactor.hub().close(id);
    rig.outcome();
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    assert_eq!(
        rig.error(),
        (ErrorKind::ConnectionAborted, "cancelled".to_owned())
    );
    rig.assert_empty();
    assert_answer_is_ignored(rig, &end);
}

/// Another dial has the slot by the time that the answer comes.
#[test]
fn f29_an_answer_that_comes_late_is_not_taken_for_another_dial() {
    let (mut rig, end) = busy(8);
    let first = rig.connect("localhost:7");
    rig.reactor.hub().close(first);
    rig.outcome();
    let second = rig.connect(unknown().as_str());
    assert_eq!(second.index(), first.index(), "the slot is used again");
    end.send(()).unwrap();
    rig.outcome();
    assert_eq!(rig.caller.failed[1].0, second);
    let text = rig.caller.failed[1].2.to_string();
    assert!(text.contains(&unknown()), "{text}");
    assert_eq!(rig.faults.count(Call::Connect), 0);
}

#[test]
fn f29_when_the_pool_is_full_a_name_fails_clearly_and_an_address_does_not() {
    let (server, address) = server();
    let (mut rig, end) = busy(1);
    rig.reactor.hub().spawn_blocking(|| (), |_, ()| {}).unwrap();
    rig.connect("localhost:7");
    rig.outcome();
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::WouldBlock);
    assert_eq!(
        text,
        "cannot resolve the name: 1 jobs are waiting for a thread"
    );
    let id = rig.connect(address.to_string().as_str());
    rig.outcome();
    assert_eq!(rig.caller.opened, [(id, None)], "no thread is needed");
    end.send(()).unwrap();
    drop(server);
}

#[test]
fn f29_a_shutdown_does_not_wait_for_the_resolver() {
    let (mut rig, end) = busy(8);
    rig.connect(Dial::tcp("localhost:7").ticket("mine"));
    rig.reactor.hub().shutdown(Duration::from_secs(60));
    rig.reactor.run(&mut rig.caller).unwrap();
    assert_eq!(rig.caller.failed[0].1, Some("mine"));
    assert_eq!(rig.error().0, ErrorKind::ConnectionAborted);
    rig.assert_empty();
    assert_answer_is_ignored(rig, &end);
}

/// Lets the thread go on. One job more tells that the answer has come and been looked at: there is
/// one thread, and results are taken up in their order.
fn assert_answer_is_ignored(mut rig: Rig, end: &Sender<()>) {
    let (told, answered) = channel();
    let then = move |_: &mut switchboard::Hub, ()| told.send(()).unwrap();
    rig.reactor.hub().spawn_blocking(|| (), then).unwrap();
    end.send(()).unwrap();
    let failures = rig.caller.failed.len();
    rig.until("the answer", |_| answered.try_recv().is_ok());
    rig.turns();
    assert_eq!(rig.faults.count(Call::Connect), 0);
    assert_eq!(rig.caller.failed.len(), failures);
    assert!(rig.caller.opened.is_empty());
    rig.assert_empty();
}
