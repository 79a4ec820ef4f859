//! Dialling in the Unix domain: by a path, by a name without a file, and past a full backlog.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Dial, Listen, Protocol};

use crate::caller::{Rig, Scratch};

/// How long a full backlog is left alone.
const BACKLOG_DELAY: u64 = 10;

/// A listener whose backlog is full, and the clients that fill it.
fn full(path: &Path) -> (UnixListener, Vec<Socket>) {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(path).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut fillers = Vec::new();
    for _ in 0..64 {
        let filler = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        match filler.connect(&address) {
            Ok(()) => fillers.push(filler),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (listener.into(), fillers);
            }
        }
    }
    panic!("a backlog of 0 takes {} clients", fillers.len());
}

fn hears_hello(stream: &mut UnixStream) {
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
}

#[test]
fn a_path_is_dialled_and_carries_both_ways() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut rig = Rig::new();
    let id = rig.connect(Dial::unix(&path).ticket("mine"));
    assert!(rig.caller.opened.is_empty(), "in a later turn");
    rig.outcome();
    assert_eq!(rig.caller.opened, [(id, Some("mine"))]);
    let info = rig.reactor.hub().info(id).unwrap();
    assert_eq!(info.protocol, Protocol::Unix);
    assert_eq!((info.local_addr, info.peer_addr), (None, None));
    let (mut peer, _) = listener.accept().unwrap();
    hears_hello(&mut peer);
    peer.write_all(b"welcome").unwrap();
    rig.until("the answer", |caller| caller.received == b"welcome");
    drop(peer);
    rig.until("the close", |caller| !caller.closed.is_empty());
    assert_eq!(rig.caller.closed, [(id, CloseReason::Peer)]);
    rig.assert_empty();
}

/// The reactor at both ends.
#[test]
fn a_name_without_a_file_is_listened_on_and_dialled() {
    let name = format!("@switchboard-test-{}", std::process::id());
    let mut rig = Rig::new();
    let driver = rig.driver;
    let listening = rig.reactor.listen(Listen::unix(&name), driver).unwrap();
    assert_eq!(listening.local_addr.path(), Some(Path::new(&name)));
    assert_eq!(listening.local_addr.to_string(), name);
    assert!(!Path::new(&name).exists());
    rig.connect(Dial::unix(&name));
    rig.until("a hello each", |caller| caller.received == b"hellohello");
    assert_eq!(rig.caller.opened.len(), 2);

    // The name is free as soon as nobody listens.
    assert_eq!(
        rig.reactor
            .listen(Listen::unix(&name), driver)
            .unwrap_err()
            .kind(),
        ErrorKind::AddrInUse
    );
    rig.reactor.hub().close(listening.id);
    rig.turns();
    rig.reactor.listen(Listen::unix(&name), driver).unwrap();
}

#[test]
fn f29_a_path_without_a_listener_is_told() {
    let scratch = Scratch::new();
    let (absent, stale, file) = (
        scratch.at("absent"),
        scratch.at("stale"),
        scratch.at("file"),
    );
    drop(UnixListener::bind(&stale).unwrap());
    std::fs::write(&file, "text").unwrap();
    for (path, kind) in [
        (&absent, ErrorKind::NotFound),
        (&stale, ErrorKind::ConnectionRefused),
        (&file, ErrorKind::ConnectionRefused),
        (
            &PathBuf::from("@switchboard-test-of-nobody"),
            ErrorKind::ConnectionRefused,
        ),
    ] {
        let mut rig = Rig::new();
        let id = rig.connect(Dial::unix(path).ticket("mine"));
        assert!(rig.caller.failed.is_empty(), "in a later turn");
        rig.outcome();
        assert_eq!(rig.caller.failed[0].0, id);
        assert_eq!(rig.caller.failed[0].1, Some("mine"));
        let (told, text) = rig.error();
        assert_eq!(told, kind, "{text}");
        let begin = format!("cannot connect to unix {}: ", path.display());
        assert!(text.starts_with(&begin), "{text}");
        rig.assert_empty();
    }
}

#[test]
fn f29_a_path_too_long_is_told_and_one_that_just_fits_is_not_too_long() {
    let scratch = Scratch::new();
    let of_length = |length: usize| {
        let rest = length - scratch.path().as_os_str().len() - 1;
        scratch.at(&"x".repeat(rest))
    };
    let (longest, too_long) = (of_length(107), of_length(108));
    let listener = UnixListener::bind(&longest).unwrap();
    let mut rig = Rig::new();
    rig.connect(Dial::unix(&longest));
    rig.outcome();
    assert_eq!(rig.caller.opened.len(), 1);
    drop(listener);

    let mut rig = Rig::new();
    rig.connect(Dial::unix(&too_long));
    rig.outcome();
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(text.contains("at most 107 bytes"), "{text}");
    let driver = rig.driver;
    let error = rig
        .reactor
        .listen(Listen::unix(&too_long), driver)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("at most 107 bytes"), "{error}");
    assert!(
        error.to_string().starts_with("cannot listen on unix "),
        "{error}"
    );
}

#[test]
fn f29_a_full_backlog_is_tried_again_until_there_is_room() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let (listener, fillers) = full(&path);
    let mut rig = Rig::new();
    let id = rig.connect(Dial::unix(&path));
    for tried in 1..=5 {
        assert_eq!(
            rig.faults.count(Call::Connect),
            tried,
            "once for each pause"
        );
        rig.advance(BACKLOG_DELAY - 1);
        assert_eq!(rig.faults.count(Call::Connect), tried, "never early");
        rig.advance(1);
    }
    assert!(rig.caller.opened.is_empty() && rig.caller.failed.is_empty());
    for _ in &fillers {
        listener.accept().unwrap();
    }
    rig.advance(BACKLOG_DELAY);
    rig.until("the connection", |caller| !caller.opened.is_empty());
    assert_eq!(rig.caller.opened, [(id, None)]);
    hears_hello(&mut listener.accept().unwrap().0);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    let tried = rig.faults.count(Call::Connect);
    rig.advance(1_000);
    assert_eq!(rig.faults.count(Call::Connect), tried);
}

#[test]
fn f29_a_full_backlog_ends_at_the_deadline() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let (_listener, _fillers) = full(&path);
    let mut rig = Rig::new();
    rig.connect(Dial::unix(&path).deadline(Duration::from_millis(25)));
    for _ in 0..24 {
        rig.advance(1);
    }
    assert_eq!(rig.faults.count(Call::Connect), 3);
    assert!(rig.caller.failed.is_empty());
    rig.advance(1);
    let (kind, text) = rig.error();
    assert_eq!(kind, ErrorKind::TimedOut);
    let expected = format!("no answer from unix {} within 25ms", path.display());
    assert_eq!(text, expected);
    rig.assert_empty();
}

#[test]
fn f29_a_dial_that_waits_for_a_backlog_can_be_cancelled() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let (_listener, _fillers) = full(&path);
    let mut rig = Rig::new();
    let id = rig.connect(Dial::unix(&path));
    rig.reactor.hub().close(id);
    rig.outcome();
    assert_eq!(rig.error().0, ErrorKind::ConnectionAborted);
    rig.assert_empty();
    rig.advance(1_000);
    assert_eq!(rig.faults.count(Call::Connect), 1);
}

/// The listener goes while we wait for it.
#[test]
fn f29_a_full_backlog_whose_listener_goes_ends_in_a_refusal() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let (listener, _fillers) = full(&path);
    let mut rig = Rig::new();
    rig.connect(Dial::unix(&path));
    rig.turns();
    // Not only dropped: a child process that another test is starting has a copy for a moment.
    SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
    drop(listener);
    rig.advance(BACKLOG_DELAY);
    assert_eq!(rig.error().0, ErrorKind::ConnectionRefused);
    rig.assert_empty();
}

#[test]
fn f05_descriptors_exhausted_fail_a_path_and_nothing_else() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let _listener = UnixListener::bind(&path).unwrap();
    for call in [Call::Connect, Call::Register] {
        let mut rig = Rig::new();
        rig.faults.next(call, Fault::Errno(libc::EMFILE));
        rig.connect(Dial::unix(&path));
        rig.outcome();
        assert!(rig.error().1.contains("os error 24"), "{:?}", rig.error());
        rig.assert_empty();
        rig.connect(Dial::unix(&path));
        rig.outcome();
        assert_eq!(rig.caller.opened.len(), 1);
    }
}
