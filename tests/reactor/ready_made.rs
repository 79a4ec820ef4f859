//! Sockets that exist already: taken in as they are, put into non-blocking mode, and refused or
//! closed if they are of the wrong kind.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use switchboard::testing::{Call, Fault};
use switchboard::{Address, CloseReason, Listen};

use crate::caller::{Rig, Scratch, server};

/// Whether the open file behind a descriptor, which its clones share, is in non-blocking mode.
fn is_nonblocking(descriptor: &impl AsRawFd) -> bool {
    let info = format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd());
    let info = std::fs::read_to_string(info).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = i32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
    flags & libc::O_NONBLOCK != 0
}

#[test]
fn a_tcp_listener_of_the_standard_library_is_served() {
    let (listener, address) = server();
    let ours = listener.try_clone().unwrap();
    assert!(!is_nonblocking(&ours));
    let mut rig = Rig::new();
    let driver = rig.driver;
    let listening = rig.reactor.listen(listener, driver).unwrap();
    assert_eq!(listening.local_addr, Address::Ip(address));
    assert!(
        is_nonblocking(&ours),
        "or a client that has gone would block the loop"
    );
    let mut client = TcpStream::connect(address).unwrap();
    rig.until("the client", |caller| caller.opened.len() == 1);
    let mut hello = [0; 5];
    client.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
}

/// Its file is somebody else's.
#[test]
fn a_unix_listener_of_the_standard_library_is_served_and_its_file_stays() {
    let scratch = Scratch::new();
    let path = scratch.at("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let ours = listener.try_clone().unwrap();
    let mut rig = Rig::new();
    let driver = rig.driver;
    let listening = rig.reactor.listen(listener, driver).unwrap();
    assert_eq!(listening.local_addr, Address::Unix(path.clone()));
    assert!(is_nonblocking(&ours));
    let mut client = UnixStream::connect(&path).unwrap();
    rig.until("the client", |caller| caller.opened.len() == 1);
    client.write_all(b"word").unwrap();
    rig.until("a word", |caller| caller.received == b"word");
    drop(rig);
    assert!(path.exists());
}

/// A clone of the setting is a clone of the socket: each of two reactors gets clients of it.
#[test]
fn a_ready_made_listener_can_be_listened_on_twice() {
    let (listener, address) = server();
    let listen = Listen::from(listener).max_connections(1);
    let (mut first, mut second) = (Rig::new(), Rig::new());
    let driver = first.driver;
    first.reactor.listen(listen.clone(), driver).unwrap();
    let driver = second.driver;
    second.reactor.listen(listen, driver).unwrap();
    let _clients = [
        TcpStream::connect(address).unwrap(),
        TcpStream::connect(address).unwrap(),
    ];
    first.until("one client", |caller| caller.opened.len() == 1);
    first.turns();
    assert_eq!(first.caller.opened.len(), 1);
    second.until("the other client", |caller| caller.opened.len() == 1);
}

#[test]
fn streams_of_the_standard_library_are_adopted_in_non_blocking_mode() {
    let (listener, address) = server();
    let mut client = TcpStream::connect(address).unwrap();
    let accepted = listener.accept().unwrap().0;
    let (near, mut far) = UnixStream::pair().unwrap();
    let (tcp, unix) = (accepted.try_clone().unwrap(), near.try_clone().unwrap());
    assert!(!is_nonblocking(&tcp) && !is_nonblocking(&unix));
    let mut rig = Rig::new();
    let driver = rig.driver;
    let first = rig.reactor.adopt(accepted, driver).unwrap();
    let second = rig.reactor.adopt(near, driver).unwrap();
    assert!(is_nonblocking(&tcp) && is_nonblocking(&unix));
    assert!(rig.caller.opened.is_empty(), "in the next turn");
    rig.turns();
    assert_eq!(rig.caller.opened, [(first, None), (second, None)]);
    assert_eq!(rig.addresses(first).1, client.local_addr().ok());
    assert_eq!(rig.addresses(second), (None, None));
    for stream in [&mut client as &mut dyn ReadWrite, &mut far] {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        stream.write_all(b"word").unwrap();
    }
    rig.until("a word each", |caller| caller.received == b"wordword");
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// What was sent before is not lost.
#[test]
fn an_adopted_stream_is_read_from_its_first_byte_to_its_end() {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"early").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let mut rig = Rig::new();
    let driver = rig.driver;
    let id = rig.reactor.adopt(near, driver).unwrap();
    rig.until("the end", |caller| !caller.closed.is_empty());
    assert_eq!(rig.caller.received, b"early");
    assert_eq!(rig.caller.closed, [(id, CloseReason::Peer)]);
    let mut hello = Vec::new();
    far.read_to_end(&mut hello).unwrap();
    assert_eq!(hello, b"hello");
    rig.assert_empty();
}

#[test]
fn an_adopted_stream_that_is_closed_before_its_turn_is_never_heard_of() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut rig = Rig::new();
    let driver = rig.driver;
    let id = rig.reactor.adopt(near, driver).unwrap();
    rig.reactor.hub().abort(id);
    rig.turns();
    assert!(rig.caller.opened.is_empty() && rig.caller.closed.is_empty());
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    rig.assert_empty();
}

/// A TCP socket that is connected to nobody.
#[test]
fn an_adopted_stream_without_a_peer_ends_by_an_error() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let mut rig = Rig::new();
    let driver = rig.driver;
    let id = rig.reactor.adopt(TcpStream::from(socket), driver).unwrap();
    rig.until("the close", |caller| !caller.closed.is_empty());
    assert_eq!(rig.caller.opened, [(id, None)]);
    let [(closed, reason)] = rig.caller.closed[..] else {
        panic!("{:?}", rig.caller.closed)
    };
    assert_eq!(closed, id);
    let allowed = [
        CloseReason::Reset,
        CloseReason::Failed(ErrorKind::NotConnected),
    ];
    assert!(allowed.contains(&reason), "{reason:?}");
    rig.assert_empty();
}

#[test]
fn a_listener_of_another_family_than_its_type_says_is_refused() {
    let scratch = Scratch::new();
    let unix = UnixListener::bind(scratch.at("sock")).unwrap();
    let mut rig = Rig::new();
    let driver = rig.driver;
    let error = rig
        .reactor
        .listen(TcpListener::from(OwnedFd::from(unix)), driver)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let (tcp, _) = server();
    let error = rig
        .reactor
        .listen(UnixListener::from(OwnedFd::from(tcp)), driver)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    rig.assert_empty();
}

const RETRY: u64 = 100;

/// No client's misfortune, but the listener's own: waiting would not help, nor would spinning.
#[test]
fn f07_accepting_that_fails_for_ever_waits_between_its_tries() {
    for number in [libc::EINVAL, libc::EOPNOTSUPP, libc::EBADF, libc::EPROTO] {
        let (listener, address) = server();
        let mut rig = Rig::new();
        let driver = rig.driver;
        rig.faults.always(Call::Accept, Fault::Errno(number));
        let listening = rig.reactor.listen(listener, driver).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        rig.until("the first tries", {
            let faults = rig.faults.clone();
            move |_| faults.count(Call::Accept) > 0
        });
        rig.turns();
        let first = rig.faults.count(Call::Accept);
        assert!(first <= 64, "{first} tries");
        assert_rests(&mut rig);
        for round in 1..=10 {
            rig.advance(RETRY - 1);
            assert_eq!(
                rig.faults.count(Call::Accept),
                first + round - 1,
                "never early"
            );
            rig.advance(1);
            assert_eq!(
                rig.faults.count(Call::Accept),
                first + round,
                "one try a pause"
            );
            assert_rests(&mut rig);
        }
        rig.faults.clear(Call::Accept);
        rig.advance(RETRY);
        rig.until("the client", |caller| !caller.opened.is_empty());
        rig.reactor.hub().close(listening.id);
        rig.turns();
    }
}

/// Once one client was accepted, the next failures are clients' again.
#[test]
fn f07_a_success_forgives_the_failures_before_it() {
    let (listener, address) = server();
    let mut rig = Rig::new();
    let driver = rig.driver;
    rig.reactor.listen(listener, driver).unwrap();
    for _ in 0..3 {
        for _ in 0..63 {
            let aborted = Fault::Errno(libc::ECONNABORTED);
            rig.faults.next(Call::Accept, aborted);
        }
        let before = rig.caller.opened.len();
        let _client = TcpStream::connect(address).unwrap();
        rig.until("the client", |caller| caller.opened.len() > before);
    }
}

/// A socket that was bound and never told to listen. Its `accept` is EINVAL, and the poller says
/// that it is ready.
#[test]
fn f07_a_listener_that_does_not_listen_is_tried_now_and_then_and_can_be_closed() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let mut rig = Rig::new();
    let driver = rig.driver;
    let listening = rig
        .reactor
        .listen(TcpListener::from(socket), driver)
        .unwrap();
    rig.turns();
    let first = rig.faults.count(Call::Accept);
    assert!((1..=64).contains(&first), "{first} tries");
    assert_rests(&mut rig);
    rig.advance(RETRY);
    assert_eq!(rig.faults.count(Call::Accept), first + 1);
    assert_rests(&mut rig);
    rig.reactor.hub().close(listening.id);
    rig.advance(RETRY);
    assert_eq!(rig.faults.count(Call::Accept), first + 1);
    rig.assert_empty();
}

/// The loop would sleep.
fn assert_rests(rig: &mut Rig) {
    let turn = rig.reactor.turn(&mut rig.caller, Some(Duration::ZERO));
    assert_eq!(turn.unwrap().events, 0);
    let hub = format!("{:?}", rig.reactor.hub());
    assert!(hub.contains("ready: 0,"), "the loop spins: {hub}");
}

/// What the application says first meets a peer that has gone, and must not cost what that said.
/// (By TCP the answer is a reset, which takes everything with it.)
#[test]
fn f11_a_unix_peer_that_has_spoken_and_gone_is_heard_though_we_speak_first() {
    let mut rig = Rig::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"command").unwrap();
    drop(far);
    let driver = rig.driver;
    let id = rig.reactor.hub().adopt(near, driver).unwrap();
    rig.until("the end", |caller| !caller.closed.is_empty());
    assert_eq!(rig.caller.received, b"command");
    assert_eq!(rig.caller.closed, [(id, CloseReason::Peer)]);
}
