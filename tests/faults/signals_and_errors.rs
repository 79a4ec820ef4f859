//! System calls that fail for a moment, for one connection, or for good.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Config, ConnId, Listen, Owner};

use crate::support::{Event, Rig, pattern};
use crate::util::{assert_echoes, assert_rests, echo, has_closed, turn_with};

const RETRY_AFTER: Duration = Duration::from_millis(100);
const JUST_BEFORE: Duration = Duration::from_millis(99);
const ONE_MILLI: Duration = Duration::from_millis(1);

fn times(rig: &Rig, number: usize, call: Call, errno: i32) {
    for _ in 0..number {
        rig.faults.next(call, Fault::Errno(errno));
    }
}

#[test]
fn f06_an_interrupted_poll_is_a_turn_without_events() {
    let mut rig = Rig::new();
    let driver = Owner::Driver(rig.driver);
    rig.reactor.hub().set_timer(driver, ONE_MILLI, 7);
    let (mut client, id) = rig.connect();
    client.write_all(b"hello").unwrap();
    times(&rig, 1, Call::Poll, libc::EINTR);
    let turn = rig.advance(ONE_MILLI);
    assert_eq!((turn.events, turn.timers), (0, 1));
    assert_eq!(rig.world.events.last(), Some(&Event::Timer(None, 7)));
    rig.until("the bytes", |world| world.data(id) == b"hello");
}

#[test]
fn f06_an_interrupted_read_is_made_again_without_an_edge() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    times(&rig, 3, Call::Receive, libc::EINTR);
    client.write_all(b"hello").unwrap();
    rig.until("the bytes", |world| world.data(id) == b"hello");
    assert_rests(&mut rig);
}

#[test]
fn f06_an_interrupted_write_is_made_again() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    times(&rig, 3, Call::Send, libc::EINTR);
    rig.reactor.hub().send(id, b"hello").ignore();
    assert_eq!(rig.read_exactly(&mut client, 5), b"hello");
    assert_eq!(rig.faults.count(Call::Send), 4);
    assert_rests(&mut rig);
}

/// A connection whose peer is gone for good, which the reactor has yet to find out.
fn abandoned() -> (Rig, ConnId) {
    let mut rig = Rig::new();
    rig.world.on_eof = Some(Box::new(|_, _, ()| {}));
    let (client, id) = rig.connect();
    drop(client);
    let eof = Event::Eof(id, Vec::new());
    rig.until("the end of input", |world| world.events.contains(&eof));
    // What is sent to a closed socket is answered by a reset.
    rig.reactor.hub().send(id, b"anybody there?").ignore();
    rig.reactor.hub().flush(id);
    (rig, id)
}

/// `write` and `sendmsg` to a peer that has gone raise SIGPIPE unless told not to, and that ends a
/// process that has not asked for anything else.
#[test]
fn f09_writing_to_a_peer_that_has_gone_is_a_close_and_no_signal() {
    let signalled = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(libc::SIGPIPE, Arc::clone(&signalled)).unwrap();
    for gathered in [false, true] {
        let (mut rig, id) = abandoned();
        // The reset travels at its own pace: the first write after it meets EPIPE.
        for _ in 0..1_000 {
            let hub = rig.reactor.hub();
            hub.send(id, b"plain").ignore();
            if gathered {
                hub.send_shared(id, Bytes::from(pattern(5_000))).ignore();
            }
            hub.flush(id);
            if !hub.is_open(id) {
                break;
            }
        }
        assert!(!rig.reactor.hub().is_open(id), "no write has failed");
        rig.turn();
        assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
        assert!(!signalled.load(Ordering::SeqCst), "gathered: {gathered}");
    }
}

/// No buffers for sending: that is no fault of this connection. A timer tries again; nothing is
/// lost, nothing spins.
#[test]
fn f34_a_shortage_while_sending_is_tried_again_by_timer() {
    for errno in [libc::ENOBUFS, libc::ENOMEM] {
        let mut rig = Rig::new();
        let (mut client, id) = rig.connect();
        times(&rig, 2, Call::Send, errno);
        let sent = pattern(30_000);
        rig.reactor.hub().send(id, &sent[..20_000]).ignore();
        rig.turn();
        for tries in 1..=2 {
            rig.reactor
                .hub()
                .send(id, &sent[15_000 + 5_000 * tries..][..5_000])
                .ignore();
            assert_rests(&mut rig);
            rig.advance(JUST_BEFORE);
            assert_rests(&mut rig);
            assert_eq!(rig.faults.count(Call::Send), tries);
            rig.advance(ONE_MILLI);
            rig.turn();
        }
        assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
        assert_rests(&mut rig);
        assert_eq!(rig.reactor.hub().pending_timers(), 0);
    }
}

#[test]
fn f34_a_shortage_while_receiving_is_tried_again_by_timer() {
    for errno in [libc::ENOBUFS, libc::ENOMEM] {
        let mut rig = Rig::new();
        rig.world.on_data = Some(Box::new(echo));
        let (mut client, id) = rig.connect();
        let (mut other, _) = rig.connect();
        times(&rig, 2, Call::Receive, errno);
        client.write_all(b"hello").unwrap();
        turn_with(&mut rig, "a read", |turn| turn.reads > 0);
        for tries in 1..=2 {
            rig.advance(JUST_BEFORE);
            assert_rests(&mut rig);
            assert_eq!(rig.faults.count(Call::Receive), tries);
            rig.advance(ONE_MILLI);
            rig.turn();
        }
        rig.until("the bytes", |world| world.data(id) == b"hello");
        assert_eq!(rig.read_exactly(&mut client, 5), b"hello");
        assert_echoes(&mut rig, &mut other);
        assert_eq!(rig.reactor.hub().pending_timers(), 0);
    }
}

/// The shortage is met while throwing away what the peer of a closing connection still sends.
#[test]
fn f34_a_shortage_while_closing_does_not_keep_the_last_bytes_back() {
    let listen = Listen::tcp("127.0.0.1:0").send_buffer(4096);
    let mut rig = Rig::with(Config::default(), listen);
    let (mut client, id) = rig.connect();
    let sent = pattern(900_000);
    rig.reactor.hub().send(id, &sent).ignore();
    rig.reactor.hub().close(id);
    rig.settle();
    assert!(rig.reactor.hub().backlog(id) > 0, "all of it fitted");
    times(&rig, 1, Call::Receive, libc::ENOMEM);
    client.write_all(b"unwanted").unwrap();
    turn_with(&mut rig, "a read", |turn| turn.reads > 0);
    rig.advance(RETRY_AFTER);
    assert_eq!(rig.read_to_end(&mut client), sent);
    drop(client);
    rig.until("the close", |world| has_closed(world, id));
    assert_eq!(rig.world.closed(), [(id, CloseReason::Local)]);
}

/// A poller that fails is the loop's own failure, and the one thing that a turn returns as an
/// error.
#[test]
fn f35_a_failing_poller_is_reported_and_may_be_tried_again() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    client.write_all(b"hello").unwrap();
    times(&rig, 1, Call::Poll, libc::EBADF);
    let wait = Some(Duration::ZERO);
    let error = rig.reactor.turn(&mut rig.world, wait).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    times(&rig, 1, Call::Poll, libc::EBADF);
    let error = rig.reactor.run(&mut rig.world).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    rig.until("the bytes", |world| world.data(id) == b"hello");
}
