//! How a connection ends: half closes, lingering, resets, and which reason is told.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Limits, Sent};

use crate::support::{Event, Rig, pattern, read_some};
use crate::tools::{assert_at_rest, connect_small, fill, read_error, small_rig, turn_until};

const LINGER: Duration = Duration::from_secs(5);
/// So many bytes that leave are progress.
const STEP: usize = 16 * 1024;
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn after_shutdown_write_the_peer_can_still_send() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    let hub = rig.reactor.hub();
    assert!(hub.send(id, b"that is all").is_taken());
    hub.shutdown_write(id);
    assert_eq!(hub.send(id, b"no more"), Sent::Closed);
    assert!(hub.is_open(id) && hub.wants_data(id));
    assert_eq!(rig.read_to_end(&mut client), b"that is all");
    for part in [&b"still "[..], b"talking"] {
        client.write_all(part).unwrap();
        rig.settle();
    }
    assert_eq!(rig.world.data(id), b"still talking");
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(rig.world.closed(), [(id, CloseReason::Peer)]);
    rig.world.assert_orderly();
}

/// The client has finished and reads: a large answer is written as it takes it, and the loop sleeps
/// in between.
#[test]
fn after_the_peers_end_an_open_side_can_still_send() {
    let mut rig = small_rig(Limits::default());
    rig.world.on_eof = Some(Box::new(|_, _, ()| {}));
    let (mut client, id) = connect_small(&mut rig);
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until("the end", |world| {
        world.events.last() == Some(&Event::Eof(id, Vec::new()))
    });
    assert_at_rest(&mut rig);
    let answer = fill(&mut rig, id, 50_000);
    assert_eq!(rig.read_exactly(&mut client, answer.len()), answer);
    assert!(rig.reactor.hub().is_open(id));
    assert_at_rest(&mut rig);
    rig.reactor.hub().close(id);
    let turn = rig.turn();
    assert_eq!(turn.closes, 1, "both sides have finished");
    assert_eq!(rig.world.closed(), [(id, CloseReason::Local)]);
    assert_eq!(rig.read_to_end(&mut client), b"");
    rig.world.assert_orderly();
}

#[test]
fn a_close_sends_what_is_queued_and_then_the_end() {
    let mut rig = small_rig(Limits::default());
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 50_000);
    let hub = rig.reactor.hub();
    hub.close(id);
    hub.close_for(id, CloseReason::Protocol);
    assert!(!hub.is_open(id));
    assert_eq!(hub.send(id, b"too late"), Sent::Closed);
    assert_eq!(rig.read_to_end(&mut client), sent);
    assert_eq!(rig.world.closed(), [], "the client may still be sending");
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(
        rig.world.closed(),
        [(id, CloseReason::Local)],
        "the first reason"
    );
}

#[test]
fn a_peer_that_never_finishes_is_waited_for_as_long_as_linger_says() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.reactor.hub().close(id);
    assert_eq!(rig.read_to_end(&mut client), b"");
    // That it goes on sending does not buy it time.
    rig.advance(LINGER - MILLI);
    client.write_all(b"and another thing").unwrap();
    rig.settle();
    assert_eq!(rig.world.closed(), []);
    rig.advance(MILLI);
    assert_eq!(rig.world.closed(), [(id, CloseReason::Local)]);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    assert_eq!(rig.world.data(id), b"");
}

/// While bytes are left to send, the patience counts from the last progress.
#[test]
fn lingering_begins_anew_with_every_byte_that_leaves() {
    let mut rig = small_rig(Limits::default());
    let (mut client, id) = connect_small(&mut rig);
    let sent = fill(&mut rig, id, 100_000);
    rig.reactor.hub().close(id);
    rig.settle();
    let mut received = 0;
    let steps = |rig: &mut Rig| rig.reactor.hub().backlog(id) / STEP;
    for _ in 0..3 {
        let before = steps(&mut rig);
        rig.advance(LINGER - MILLI);
        assert_eq!(rig.world.closed(), [], "it makes progress");
        // How much of it the kernel keeps, and for how long, is up to the kernel.
        while steps(&mut rig) == before {
            received += rig.read_exactly(&mut client, 1_000).len();
        }
        rig.settle();
    }
    assert!(received < sent.len());
    // Nor does the kernel take more by now, as it would when an acknowledgement comes late.
    rig.faults.always(Call::Send, Fault::Errno(libc::EAGAIN));
    rig.advance(LINGER - MILLI);
    assert_eq!(rig.world.closed(), []);
    rig.advance(MILLI);
    assert_eq!(
        rig.world.closed(),
        [(id, CloseReason::Local)],
        "it made none"
    );
    assert_eq!(
        read_error(&mut rig, &mut client),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_linger_of_zero_waits_for_nobody() {
    let limits = Limits {
        linger: Duration::ZERO,
        ..Limits::default()
    };
    let mut rig = small_rig(limits);
    let (mut client, id) = rig.connect();
    let hub = rig.reactor.hub();
    assert!(hub.send(id, b"bye").is_taken());
    hub.close(id);
    assert_eq!(rig.turn().closes, 1);
    assert_eq!(rig.world.closed(), [(id, CloseReason::Local)]);
    assert_eq!(rig.read_to_end(&mut client), b"bye");
}

#[test]
fn an_abort_is_a_reset_at_the_peer_and_immediate_here() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    let hub = rig.reactor.hub();
    assert!(hub.send(id, b"never sent").is_taken());
    hub.abort(id);
    assert!(!hub.is_open(id));
    assert_eq!(hub.send(id, b"nor this"), Sent::Closed);
    assert_eq!(rig.turn().closes, 1);
    assert_eq!(rig.world.closed(), [(id, CloseReason::Aborted)]);
    let error = read_error(&mut rig, &mut client);
    assert_eq!(error, ErrorKind::ConnectionReset);
}

#[test]
fn an_abort_ends_the_waiting_of_a_close() {
    let mut rig = Rig::new();
    let (_client, id) = rig.connect();
    rig.reactor.hub().close_for(id, CloseReason::Protocol);
    rig.settle();
    assert_eq!(rig.world.closed(), []);
    rig.reactor.hub().abort(id);
    rig.turn();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Protocol)]);
}

/// The reset comes while nothing of the connection is read: it must be noticed all the same.
#[test]
fn a_reset_is_noticed_while_paused() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    client.write_all(&pattern(1000)).unwrap();
    rig.settle();
    crate::support::reset(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
    assert_at_rest(&mut rig);
}

/// The peer's end was seen, our side was kept open, and then the peer vanishes.
#[test]
fn a_reset_after_the_peers_end_is_noticed() {
    let mut rig = Rig::new();
    rig.world.on_eof = Some(Box::new(|_, _, ()| {}));
    let (mut client, id) = rig.connect();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until("the end", |world| world.events.len() == 2);
    assert!(rig.reactor.hub().send(id, b"unread").is_taken());
    rig.settle();
    assert_eq!(read_some(&mut client, &mut [0; 2]), Some(2));
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
    rig.world.assert_orderly();
}

/// The opening of an adopted stream is told in the next turn, and its close never without it.
#[test]
fn a_stream_closed_before_it_was_opened_is_closed_in_order() {
    for abort in [true, false] {
        let mut rig = Rig::new();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let id = rig.reactor.adopt(ours, rig.driver).unwrap();
        match abort {
            true => rig.reactor.hub().abort(id),
            false => rig.reactor.hub().close(id),
        }
        drop(theirs);
        let driver = rig.driver;
        turn_until(&mut rig, |rig| {
            (rig.reactor.hub().count(driver) == 0).then_some(())
        });
        rig.world.assert_orderly();
        assert_eq!(rig.world.opened().len(), rig.world.closed().len());
    }
}
