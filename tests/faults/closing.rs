//! Peers that finish, reset or vanish: each connection ends once, for the right reason, and takes
//! nothing with it.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Config, Kind, Limits, Listen, Owner, Publish, Timeout};

use crate::support::{Event, Rig, pattern, reset};
use crate::util::{assert_echoes, assert_rests, echo, has_closed};

const LONG: Duration = Duration::from_secs(60);

fn small_send_buffer() -> Rig {
    let listen = Listen::tcp("127.0.0.1:0").send_buffer(4096);
    Rig::with(Config::default(), listen)
}

#[test]
fn f10_a_reset_in_the_middle_of_a_write_ends_one_connection_and_frees_all_it_had() {
    let mut rig = small_send_buffer();
    rig.world.on_data = Some(Box::new(echo));
    let (mut other, other_id) = rig.connect();
    let (client, id) = rig.connect();
    let hub = rig.reactor.hub();
    hub.subscribe(id, "news");
    hub.subscribe(other_id, "news");
    hub.set_timer(Owner::Conn(id), LONG, 1);
    hub.set_timer(Owner::Conn(other_id), LONG, 2);
    hub.send(id, &pattern(900_000)).ignore();
    rig.settle();
    assert!(rig.reactor.hub().backlog(id) > 0, "all of it fitted");
    reset(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
    let hub = rig.reactor.hub();
    assert_eq!((hub.backlog(id), hub.count(rig.driver)), (0, 1));
    assert_eq!(hub.subscribers("news"), 1);
    assert_eq!(hub.pending_timers(), 1);
    let published = hub.publish(Publish {
        topic: "news",
        data: b"bad",
        kind: Kind::Text,
        except: None,
    });
    assert_eq!((published.taken, published.missed), (1, 0));
    assert_eq!(rig.read_exactly(&mut other, 3), b"bad");
    assert_echoes(&mut rig, &mut other);
    assert_rests(&mut rig);
    rig.world.assert_orderly();
}

#[test]
fn f10_each_error_of_a_socket_ends_its_connection_with_its_reason() {
    let timed_out = CloseReason::Failed(std::io::ErrorKind::TimedOut);
    for (call, errno, reason) in [
        (Call::Receive, libc::ECONNRESET, CloseReason::Reset),
        (Call::Receive, libc::ETIMEDOUT, timed_out),
        (Call::Send, libc::ECONNRESET, CloseReason::Reset),
        (Call::Send, libc::EPIPE, CloseReason::Reset),
        (Call::Send, libc::ETIMEDOUT, timed_out),
    ] {
        let mut rig = Rig::new();
        rig.world.on_data = Some(Box::new(echo));
        let (mut other, _) = rig.connect();
        let (mut client, id) = rig.connect();
        rig.faults.next(call, Fault::Errno(errno));
        client.write_all(b"hello").unwrap();
        rig.until("the close", |world| !world.closed().is_empty());
        assert_eq!(rig.world.closed(), [(id, reason)]);
        assert_echoes(&mut rig, &mut other);
        rig.world.assert_orderly();
    }
}

/// The FIN lies behind more than one turn's worth of messages, and behind answers that do not fit
/// into the kernel.
#[test]
fn f11_all_that_was_sent_before_a_half_close_is_answered() {
    let config = Config {
        read_buffer: 256,
        read_budget: 256,
        ..Config::default()
    };
    let listen = Listen::tcp("127.0.0.1:0").send_buffer(4096);
    let mut rig = Rig::with(config, listen);
    rig.world.on_data = Some(Box::new(echo));
    let (mut client, id) = rig.connect();
    let sent = pattern(50_000);
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.read_to_end(&mut client), sent);
    rig.until("the close", |world| has_closed(world, id));
    assert_eq!(rig.world.closed(), [(id, CloseReason::Peer)]);
    rig.world.assert_orderly();
}

/// A paused connection whose peer has finished is still held: its bytes come first when it is
/// resumed.
#[test]
fn f11_a_half_close_during_a_pause_waits_for_the_data_before_it() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_rests(&mut rig);
    assert_eq!(rig.world.events, [Event::Opened(id)]);
    rig.reactor.hub().resume(id);
    rig.until("the close", |world| has_closed(world, id));
    assert_eq!(rig.world.data(id), b"last words");
    rig.world.assert_orderly();
}

/// Nobody reads, so nobody would come upon the failure by reading, and no second edge will tell.
#[test]
fn f12_a_reset_ends_a_paused_connection_at_once() {
    for bytes in [&b""[..], b"unread"] {
        let mut rig = Rig::new();
        let (mut client, id) = rig.connect();
        rig.reactor.hub().pause(id);
        client.write_all(bytes).unwrap();
        assert_rests(&mut rig);
        reset(client);
        rig.until("the close", |world| has_closed(world, id));
        assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
        assert_rests(&mut rig);
    }
}

/// The same for one that is not read from since it takes nothing.
#[test]
fn f12_a_reset_ends_a_backlogged_connection_at_once() {
    let mut rig = small_send_buffer();
    let (client, id) = rig.connect();
    rig.reactor.hub().send(id, &pattern(900_000)).ignore();
    assert_rests(&mut rig);
    assert!(!rig.reactor.hub().wants_data(id), "not backlogged");
    reset(client);
    rig.until("the close", |world| has_closed(world, id));
    assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
    assert_rests(&mut rig);
}

#[test]
fn f12_a_reset_after_the_peer_has_finished_ends_the_half_that_we_keep_open() {
    let mut rig = Rig::new();
    rig.world.on_eof = Some(Box::new(|_, _, ()| {}));
    let (client, id) = rig.connect();
    client.shutdown(Shutdown::Write).unwrap();
    let eof = Event::Eof(id, Vec::new());
    rig.until("the FIN", |world| world.events.contains(&eof));
    assert_rests(&mut rig);
    assert_eq!(rig.world.closed(), []);
    reset(client);
    rig.until("the close", |world| has_closed(world, id));
    assert_eq!(rig.world.closed(), [(id, CloseReason::Reset)]);
    rig.world.assert_orderly();
}

/// Each event of such a socket says again that the peer has finished: that is no work.
#[test]
fn f12_a_peer_that_has_finished_and_reads_on_causes_no_spin() {
    let mut rig = small_send_buffer();
    rig.world.on_eof = Some(Box::new(|_, _, ()| {}));
    let (mut client, id) = rig.connect();
    client.shutdown(Shutdown::Write).unwrap();
    let eof = Event::Eof(id, Vec::new());
    rig.until("the FIN", |world| world.events.contains(&eof));
    let sent = pattern(900_000);
    rig.reactor.hub().send(id, &sent).ignore();
    assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
    assert_rests(&mut rig);
    rig.reactor.hub().close(id);
    assert_eq!(rig.read_to_end(&mut client), b"");
    rig.until("the close", |world| has_closed(world, id));
}

/// Nothing tells of a peer that is gone without a word, so the clock must.
#[test]
fn f27_a_peer_that_has_vanished_is_reaped_by_its_idle_time_out() {
    let limits = Limits {
        idle_timeout: Some(LONG),
        linger: Duration::from_secs(5),
        ..Limits::default()
    };
    let listen = Listen::tcp("127.0.0.1:0").limits(limits);
    let mut rig = Rig::with(Config::default(), listen);
    let (mut client, id) = rig.connect();
    client.write_all(b"hello").unwrap();
    rig.advance(LONG / 2);
    rig.until("the bytes", |world| world.data(id) == b"hello");
    rig.advance(LONG - Duration::from_millis(1));
    assert_rests(&mut rig);
    assert_eq!(rig.world.events.len(), 2, "too early");
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.world.events[2..], [Event::TimedOut(id, Timeout::Idle)]);
    // No FIN will come in answer to ours.
    rig.advance(Duration::from_secs(5));
    rig.turn();
    let reason = CloseReason::TimedOut(Timeout::Idle);
    assert_eq!(rig.world.closed(), [(id, reason)]);
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
}
