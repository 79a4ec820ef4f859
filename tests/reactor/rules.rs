//! Rules of the source and of the loop's economy.
//!
//! T10, the nested event loop, cannot be provoked: a callback is lent the hub and never the
//! reactor, so there is no `turn` that it could call. What is tested is that the source keeps it
//! so.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use switchboard::testing::Call;
use switchboard::{CloseReason, Published, RemoteError, Sent, Timeout, tcp};

use crate::support::Rig;

/// Every source file with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn visit(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 10, "the sources are not where they were");
    found
}

/// The lines of a file that are neither comments nor documentation.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn t10_a_callback_has_no_way_to_a_turn() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (reactor, seam) = (source.join("reactor/mod.rs"), source.join("reactor/sys.rs"));
    let mut waits = 0;
    for (path, text) in sources() {
        let calls = |line: &&str| line.contains(".poll(") || line.contains(".turn(");
        let mut calls = code(&text).filter(calls);
        if path == reactor {
            waits = calls.count();
        } else if path != seam && !path.ends_with("src/testing.rs") {
            assert_eq!(calls.next(), None, "{path:?} waits");
        }
        let lent = path.ends_with("reactor/hub.rs") || path.ends_with("reactor/driver.rs");
        if lent || path.starts_with(source.join("net")) {
            // What is called before the loop runs may be given it; callbacks are not.
            let names = |line: &&str| line.contains("Reactor<") || line.contains("Reactor::");
            let sets_up = |line: &&str| line.contains("reactor: &mut Reactor<A>");
            let mut names = code(&text).filter(|line| names(line) && !sets_up(line));
            assert_eq!(names.next(), None, "{path:?} knows the reactor");
        }
    }
    assert!(waits > 0, "the loop is not where it was");
}

#[test]
fn t15_there_is_no_unsafe_code() {
    for (path, text) in sources() {
        if path.ends_with("src/lib.rs") {
            let forbids = code(&text).any(|line| line.trim() == "#![forbid(unsafe_code)]");
            assert!(forbids, "lib.rs permits unsafe code");
        }
        for word in ["unsafe {", "unsafe fn", "unsafe impl", "assume_init"] {
            let found = code(&text).find(|line| line.contains(word));
            assert_eq!(found, None, "{path:?}");
        }
    }
}

#[test]
fn t16_a_connection_is_registered_once_and_an_echo_costs_two_calls() {
    const CONNECTIONS: usize = 10;
    const ROUNDS: usize = 20;
    let mut rig = Rig::new();
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        for byte in data.iter() {
            hub.send(id, &[*byte]).ignore();
        }
        data.len()
    }));
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| rig.connect().0).collect();
    rig.settle();
    assert_eq!(rig.faults.count(Call::Register), CONNECTIONS);
    let before = [Call::Receive, Call::Send].map(|call| rig.faults.count(call));
    for _ in 0..ROUNDS {
        for client in &mut clients {
            client.write_all(b"echo").unwrap();
        }
        let turn = rig.turn();
        assert_eq!((turn.reads, turn.writes), (CONNECTIONS, CONNECTIONS));
        for client in &mut clients {
            assert_eq!(rig.read_exactly(client, 4), b"echo");
        }
    }
    rig.settle();
    let after = [Call::Receive, Call::Send].map(|call| rig.faults.count(call));
    assert_eq!(after, before.map(|calls| calls + CONNECTIONS * ROUNDS));
    assert_eq!(rig.faults.count(Call::Register), CONNECTIONS);
}

/// What is copied out of every call.
#[test]
fn t19_results_and_errors_stay_small() {
    assert_eq!(size_of::<Sent>(), 1);
    assert!(size_of::<CloseReason>() <= 16);
    assert!(size_of::<Timeout>() <= 16);
    assert!(size_of::<RemoteError>() <= 16);
    assert!(size_of::<Published>() <= 16);
    assert!(size_of::<tcp::line::Error>() <= 16);
    assert!(size_of::<tcp::length::Error>() <= 16);
    assert!(size_of::<Result<(), tcp::length::Error>>() <= 16);
}
