//! Sources are called when they are ready, and when they ask for it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use mio::Interest;
use mio::unix::pipe;
use switchboard::CloseReason;
use switchboard::source::Ready;

use super::{Descriptor, Rig};

#[test]
fn a_pipe_is_read_when_there_is_something_and_not_else() {
    let mut rig = Rig::new();
    let (mut sender, id) = rig.pipe();
    rig.turns();
    assert!(rig.app.calls.is_empty(), "nothing to read yet");
    for round in 1..=3 {
        sender.write_all(b"word").unwrap();
        rig.until("a word", |app| app.read.len() == 4 * round);
        rig.assert_rests();
        assert_eq!(rig.app.calls(id), round, "once for each edge");
    }
    let ready = rig.app.calls[0].1;
    assert!(ready.readable && !ready.writable && !ready.read_closed);
    assert_eq!(rig.app.read, b"wordwordword");
}

/// What was there before it was watched counts as well.
#[test]
fn a_pipe_is_read_to_its_end_and_closed_once() {
    let mut rig = Rig::new();
    let (mut sender, receiver) = pipe::new().unwrap();
    sender.write_all(b"last words").unwrap();
    drop(sender);
    let id = rig.watch(receiver);
    assert!(rig.app.calls.is_empty(), "in a later turn");
    rig.until("the end", |app| !app.closed.is_empty());
    rig.turns();
    assert_eq!(rig.app.read, b"last words");
    assert!(rig.app.calls[0].1.read_closed);
    assert_eq!(rig.app.closed, [(id, CloseReason::Local)]);
    let driver = rig.receivers;
    assert_eq!(rig.reactor.hub().count(driver), 0);
    assert!(!rig.reactor.hub().is_open(id));
}

#[test]
fn a_pipe_is_written_when_there_is_room() {
    let mut rig = Rig::new();
    let (sender, mut receiver) = pipe::new().unwrap();
    let driver = rig.senders;
    let hub = rig.reactor.hub();
    let id = hub.watch(sender, Interest::WRITABLE, driver).unwrap();
    rig.until("a full pipe", |app| app.written > 0);
    rig.assert_rests();
    assert!(rig.app.calls[0].1.writable);
    let (calls, written) = (rig.app.calls(id), rig.app.written);
    let mut read = vec![0; written];
    receiver.read_exact(&mut read).unwrap();
    rig.until("more", |app| app.written > written);
    assert_eq!(rig.app.calls(id), calls + 1);
    rig.assert_rests();
    drop(receiver);
    let driver = rig.senders;
    rig.until("an error", |app| app.calls(id) > calls + 1);
    rig.turns();
    assert_eq!(rig.reactor.hub().count(driver), 0);
}

#[test]
fn again_calls_once_more_in_the_next_turn() {
    let mut rig = Rig::new();
    let (mut sender, id) = rig.pipe();
    rig.app.on_ready = Some(Box::new(|hub, id, pipe, _| {
        let mut byte = [0];
        if pipe.read(&mut byte).is_ok() {
            hub.again(id);
            hub.again(id);
        }
    }));
    sender.write_all(b"abc").unwrap();
    rig.turn();
    while rig.app.calls(id) == 0 {
        rig.turn();
    }
    for calls in 1..=4 {
        assert_eq!(rig.app.calls(id), calls, "one call a turn");
        rig.turn();
    }
    rig.assert_rests();
    assert_eq!(rig.app.calls(id), 4, "until there is nothing more");
    assert_eq!(
        rig.app.calls[1].1,
        Ready::default(),
        "no event said anything"
    );
}

/// Readiness is an edge: who leaves something lying is not reminded.
#[test]
fn without_again_what_is_left_waits_for_the_next_edge() {
    let mut rig = Rig::new();
    let (mut sender, id) = rig.pipe();
    rig.app.on_ready = Some(Box::new(|_, _, pipe, _| {
        pipe.read_exact(&mut [0]).unwrap();
    }));
    sender.write_all(b"abc").unwrap();
    rig.until("the first byte", |app| !app.calls.is_empty());
    rig.assert_rests();
    assert_eq!(rig.app.calls(id), 1);
    sender.write_all(b"d").unwrap();
    rig.until("the second", |app| app.calls.len() == 2);
    rig.reactor.hub().again(id);
    rig.until("the third", |app| app.calls.len() == 3);
    rig.assert_rests();
}

#[test]
fn any_descriptor_can_be_watched_but_a_file_is_refused_clearly() {
    let mut rig = Rig::new();
    let driver = rig.descriptors;
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let hub = rig.reactor.hub();
    let id = hub
        .watch(Descriptor(near.into()), Interest::READABLE, driver)
        .unwrap();
    far.write_all(b"word").unwrap();
    rig.until("a word", |app| app.read == b"word");
    assert!(rig.app.calls(id) == 1);

    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    let hub = rig.reactor.hub();
    let refused = hub.watch(Descriptor(file.into()), Interest::READABLE, driver);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(hub.count(driver), 1, "it left nothing");
    rig.assert_rests();
}

#[test]
fn the_output_of_a_child_is_read() {
    let mut child = Command::new("sh")
        .args(["-c", "printf one; printf two"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rig = Rig::new();
    let output = pipe::Receiver::from(child.stdout.take().unwrap());
    output.set_nonblocking(true).unwrap();
    rig.watch(output);
    rig.until("the end", |app| !app.closed.is_empty());
    assert_eq!(rig.app.read, b"onetwo");
    child.wait().unwrap();
}
