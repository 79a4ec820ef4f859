//! Edge-triggered readiness: nothing that has arrived is left lying, and nothing to be sent waits
//! for an edge that has been.

use std::io::Write;
use std::net::TcpStream;

use switchboard::{Config, ConnId, Listen};

use crate::support::{Rig, client, pattern};
use crate::util::{assert_echoes, assert_rests, echo, turn_with};

const BUDGET: usize = 16;

fn rig_with(read_buffer: usize, read_budget: usize) -> Rig {
    let config = Config {
        read_buffer,
        read_budget,
        ..Config::default()
    };
    Rig::with(config, "127.0.0.1:0")
}

/// The client sends, and falls silent: whatever comes of it must come without a further edge.
fn send_and_receive(rig: &mut Rig, client: &mut TcpStream, id: ConnId, sent: &[u8]) {
    rig.world.events.clear();
    client.write_all(sent).unwrap();
    rig.until("all bytes", |world| world.data(id).len() >= sent.len());
    assert_eq!(rig.world.data(id), sent);
}

#[test]
fn f01_reads_of_every_size_around_the_budget_are_complete() {
    for read_buffer in [5, BUDGET - 1, BUDGET, BUDGET + 1, 64] {
        let mut rig = rig_with(read_buffer, BUDGET);
        let (mut client, id) = rig.connect();
        for size in 1..=3 * BUDGET {
            send_and_receive(&mut rig, &mut client, id, &pattern(size));
        }
        assert_rests(&mut rig);
    }
}

#[test]
fn f01_no_turn_reads_more_than_the_budget() {
    let mut rig = rig_with(5, BUDGET);
    let (mut client, id) = rig.connect();
    client.write_all(&pattern(10 * BUDGET)).unwrap();
    while rig.world.data(id).len() < 10 * BUDGET {
        let turn = turn_with(&mut rig, "a read", |turn| turn.reads > 0);
        assert!(turn.bytes_read <= BUDGET as u64, "{turn:?}");
    }
}

#[test]
fn f01_what_arrives_during_a_pause_is_there_after_it() {
    let mut rig = rig_with(5, BUDGET);
    let (mut client, id) = rig.connect();
    for size in 1..=3 * BUDGET {
        rig.world.events.clear();
        rig.reactor.hub().pause(id);
        client.write_all(&pattern(size)).unwrap();
        // The edge comes and goes while nobody listens.
        turn_with(&mut rig, "the edge", |turn| turn.events > 0);
        assert_rests(&mut rig);
        assert_eq!(rig.world.data(id), b"");
        rig.reactor.hub().resume(id);
        rig.until("all bytes", |world| world.data(id).len() == size);
        assert_eq!(rig.world.data(id), pattern(size));
    }
}

/// Pausing in the middle of what one read has brought, and resuming with nothing new to come.
#[test]
fn f01_a_pause_in_the_middle_of_a_read_loses_nothing() {
    for size in 2..=3 * BUDGET {
        let mut rig = rig_with(64, BUDGET);
        rig.world.on_data = Some(Box::new(|hub, id, data| {
            hub.pause(id);
            data.len().min(2)
        }));
        let (mut client, id) = rig.connect();
        client.write_all(&pattern(size)).unwrap();
        for taken in 1..=size.div_ceil(2) {
            let so_far = size.min(2 * taken);
            rig.until("two bytes more", |world| world.data(id).len() >= so_far);
            assert_eq!(rig.world.data(id), pattern(size)[..so_far]);
            rig.reactor.hub().resume(id);
        }
        assert_rests(&mut rig);
    }
}

/// A parser that waits for more keeps what it has, however small the budget, and is not asked again
/// until then.
#[test]
fn f01_an_unfinished_message_is_kept_and_causes_no_spin() {
    let mut rig = rig_with(4, BUDGET);
    rig.world.on_data = Some(Box::new(|_, _, data| {
        let end = data.iter().position(|byte| *byte == b'.');
        end.map_or(0, |end| end + 1)
    }));
    let (mut client, id) = rig.connect();
    let message = [vec![b'a'; 5 * BUDGET], vec![b'.']].concat();
    for byte in &message[..message.len() - 1] {
        client.write_all(&[*byte]).unwrap();
        turn_with(&mut rig, "a read", |turn| turn.reads > 0);
        assert_eq!(rig.world.data(id), b"");
    }
    assert_rests(&mut rig);
    client.write_all(b".").unwrap();
    rig.until("the message", |world| !world.data(id).is_empty());
    assert_eq!(rig.world.data(id), message);
}

/// Nor does the first one wait for the edge that every new connection reports.
#[test]
fn f02_a_write_in_on_open_leaves_in_the_same_turn() {
    let mut rig = Rig::new();
    rig.world.on_open = Some(Box::new(|hub, id, ()| hub.send(id, b"welcome").ignore()));
    let mut client = client(rig.listening.local_addr.ip().unwrap());
    let turn = turn_with(&mut rig, "an accept", |turn| turn.accepts > 0);
    assert_eq!(turn.bytes_written, 7);
    assert_eq!(rig.read_exactly(&mut client, 7), b"welcome");
}

/// The edge that said "writable" is long past when there is something to write.
#[test]
fn f02_a_write_after_a_long_idle_time_needs_no_edge() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    for message in ["one", "two", "three"] {
        assert_rests(&mut rig);
        rig.reactor.hub().send(id, message.as_bytes()).ignore();
        assert_eq!(
            rig.read_exactly(&mut client, message.len()),
            message.as_bytes()
        );
    }
}

/// The send buffer was full and has emptied while nothing was left to send: that edge too is past.
#[test]
fn f02_a_write_after_a_full_buffer_has_drained_needs_no_edge() {
    let listen = Listen::tcp("127.0.0.1:0").send_buffer(4096);
    let mut rig = Rig::with(Config::default(), listen);
    rig.world.on_data = Some(Box::new(echo));
    let (mut client, id) = rig.connect();
    let sent = pattern(900_000);
    rig.reactor.hub().send(id, &sent).ignore();
    rig.turn();
    assert!(rig.reactor.hub().backlog(id) > 0, "all of it fitted");
    assert_eq!(rig.read_exactly(&mut client, sent.len()), sent);
    assert_rests(&mut rig);
    assert_echoes(&mut rig, &mut client);
}
