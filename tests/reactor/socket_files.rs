//! Listening at a path: whose file it is, who may connect, and what becomes of it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use socket2::SockRef;
use switchboard::{Address, Limits, Listen, Listening, Protocol};

use crate::caller::{Rig, Scratch};

fn listen(rig: &mut Rig, listen: Listen) -> std::io::Result<Listening> {
    let driver = rig.driver;
    rig.reactor.listen(listen, driver)
}

/// What it says to whoever wants to listen at this path.
fn refusal(path: &Path) -> (ErrorKind, String) {
    let error = listen(&mut Rig::new(), Listen::unix(path)).unwrap_err();
    let text = error.to_string();
    let begin = format!("cannot listen on unix {}: ", path.display());
    assert!(text.starts_with(&begin), "{text}");
    (error.kind(), text)
}

/// That the reactor serves this path, and nobody else does. Whoever has looked if somebody listens
/// there was a client, too.
fn assert_serves(rig: &mut Rig, path: &Path) {
    let opened = rig.caller.opened.len();
    let mut client = UnixStream::connect(path).unwrap();
    rig.until("the client", |caller| caller.opened.len() > opened);
    let mut hello = [0; 5];
    client.read_exact(&mut hello).unwrap();
    client.write_all(b"word").unwrap();
    rig.until("a word", |caller| caller.received.ends_with(b"word"));
    drop(client);
    let closed = rig.caller.closed.len();
    rig.until("its end", |caller| caller.closed.len() > closed);
}

#[test]
fn a_path_is_listened_on_and_its_file_goes_with_the_listener() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut rig = Rig::new();
    let listening = listen(&mut rig, Listen::unix(&path)).unwrap();
    assert_eq!(listening.local_addr, Address::Unix(path.clone()));
    assert_eq!(listening.local_addr.ip(), None);
    assert_serves(&mut rig, &path);
    let mut client = UnixStream::connect(&path).unwrap();
    rig.until("another client", |caller| caller.opened.len() == 2);

    rig.reactor.hub().close(listening.id);
    rig.turns();
    assert!(!path.exists());
    // Its connections live on.
    client.write_all(b"still here").unwrap();
    rig.until("a word", |caller| caller.received.ends_with(b"still here"));
    let id = rig.caller.opened[1].0;
    let info = rig.reactor.hub().info(id).unwrap();
    assert_eq!((info.protocol, info.peer_addr), (Protocol::Unix, None));
}

#[test]
fn the_file_goes_at_a_shutdown_and_with_the_reactor() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut rig = Rig::new();
    listen(&mut rig, Listen::unix(&path)).unwrap();
    rig.reactor
        .hub()
        .shutdown(std::time::Duration::from_secs(1));
    rig.reactor.run(&mut rig.caller).unwrap();
    assert!(!path.exists());

    listen(&mut rig, Listen::unix(&path)).unwrap();
    rig.reactor.hub().stop();
    rig.reactor.run(&mut rig.caller).unwrap();
    assert!(path.exists(), "a stop leaves everything as it is");
    assert_serves(&mut rig, &path);
    drop(rig);
    assert!(!path.exists());
}

#[test]
fn mode_bits_are_those_that_were_asked_for() {
    let scratch = Scratch::new();
    for mode in [0o600, 0o660, 0o666, 0o777] {
        let path = scratch.at("sock");
        let mut rig = Rig::new();
        listen(&mut rig, Listen::unix(&path).mode(mode)).unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{mode:o}");
    }
}

#[test]
fn a_file_that_a_crash_has_left_is_replaced() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    // Closing it leaves the file. A child process that another test is starting may have a copy for
    // a moment, so it is told to listen no more.
    let crashed = UnixListener::bind(&path).unwrap();
    SockRef::from(&crashed).shutdown(Shutdown::Both).unwrap();
    drop(crashed);
    assert!(path.exists());
    let mut rig = Rig::new();
    listen(&mut rig, Listen::unix(&path)).unwrap();
    assert_serves(&mut rig, &path);
}

#[test]
fn a_path_at_which_another_listens_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut rig = Rig::new();
    listen(&mut rig, Listen::unix(&path)).unwrap();
    let inode = fs::symlink_metadata(&path).unwrap().ino();
    for _ in 0..2 {
        let (kind, text) = refusal(&path);
        assert_eq!(kind, ErrorKind::AddrInUse);
        assert!(text.ends_with("another process listens there"), "{text}");
    }
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode);
    assert_serves(&mut rig, &path);
}

/// Probing must not hang, and a full backlog is no sign of death.
#[test]
fn a_path_whose_listener_is_too_busy_to_accept_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut rig = Rig::new();
    listen(&mut rig, Listen::unix(&path).backlog(0)).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let (kind, _) = refusal(&path);
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert!(path.exists());
}

#[test]
fn whatever_else_is_in_the_way_is_left_alone() {
    let scratch = Scratch::new();
    let (file, directory, link, dangling) = (
        scratch.at("file"),
        scratch.at("directory"),
        scratch.at("link"),
        scratch.at("dangling"),
    );
    fs::write(&file, "precious").unwrap();
    fs::create_dir(&directory).unwrap();
    symlink(&file, &link).unwrap();
    symlink(scratch.at("nowhere"), &dangling).unwrap();
    for path in [&file, &directory, &link, &dangling] {
        let (kind, text) = refusal(path);
        assert_eq!(kind, ErrorKind::AlreadyExists);
        assert!(
            text.contains("a file that is not a socket is in the way"),
            "{text}"
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(directory.is_dir());
    assert_eq!(fs::read_link(&link).unwrap(), file);
    assert_eq!(fs::read_link(&dangling).unwrap(), scratch.at("nowhere"));
}

/// A socket of another kind is somebody's, too.
#[test]
fn a_datagram_socket_in_the_way_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let (theirs, ours) = (
        UnixDatagram::bind(&path).unwrap(),
        UnixDatagram::unbound().unwrap(),
    );
    let (kind, _) = refusal(&path);
    assert_eq!(kind, ErrorKind::AddrInUse);
    ours.send_to(b"word", &path).unwrap();
    let mut word = [0; 4];
    theirs.recv(&mut word).unwrap();
    assert_eq!(&word, b"word");
}

#[test]
fn a_path_in_no_directory_is_told() {
    let scratch = Scratch::new();
    let (kind, _) = refusal(&scratch.at("absent/sock"));
    assert_eq!(kind, ErrorKind::NotFound);
    fs::write(scratch.at("file"), "").unwrap();
    let (kind, _) = refusal(&scratch.at("file/sock"));
    assert_eq!(kind, ErrorKind::NotADirectory);
}

/// As when a new version starts before the old one has ended.
#[test]
fn the_file_of_a_successor_stays() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut old = Rig::new();
    listen(&mut old, Listen::unix(&path)).unwrap();
    // Not removed but moved away: its inode is not used again for the next file.
    fs::rename(&path, scratch.at("old")).unwrap();
    let mut new = Rig::new();
    listen(&mut new, Listen::unix(&path)).unwrap();
    drop(old);
    assert!(path.exists());
    assert_serves(&mut new, &path);
    drop(new);
    assert!(!path.exists());
}

#[test]
fn a_file_that_has_gone_already_is_no_trouble() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut rig = Rig::new();
    let listening = listen(&mut rig, Listen::unix(&path)).unwrap();
    fs::remove_file(&path).unwrap();
    rig.reactor.hub().close(listening.id);
    rig.turns();
    rig.assert_empty();
}

/// The options of listeners hold for paths, too.
#[test]
fn connections_of_a_path_are_counted_and_limited() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let mut rig = Rig::new();
    let limits = Limits {
        lifetime: Some(std::time::Duration::from_secs(1)),
        ..Limits::default()
    };
    let one = Listen::unix(&path).max_connections(1).limits(limits);
    listen(&mut rig, one).unwrap();
    let _clients = [
        UnixStream::connect(&path).unwrap(),
        UnixStream::connect(&path).unwrap(),
    ];
    rig.until("a client", |caller| !caller.opened.is_empty());
    rig.turns();
    assert_eq!(rig.caller.opened.len(), 1);
    rig.clock.advance(std::time::Duration::from_secs(1));
    rig.turns();
    rig.clock.advance(limits.linger);
    rig.until("the other one", |caller| caller.opened.len() == 2);
    assert_eq!(rig.caller.closed.len(), 1);
}
