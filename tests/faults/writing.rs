//! Writes that the kernel takes in pieces: every byte once, in order, and nothing in the middle of
//! something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use switchboard::testing::{Call, Fault};
use switchboard::{Config, Limits, Listen};

use crate::support::{Rig, pattern, read_some};
use crate::util::{assert_rests, turn_with};

/// A short write means to the reactor that the kernel's buffer is full. Scripted, it is not, so no
/// edge will come when it no longer is: each byte from the client makes one, and is answered by a
/// message of its own.
#[test]
fn f13_writes_cut_short_at_any_length_keep_all_bytes_in_order() {
    for most in [1, 2, 3, 7, 100, 1_023, 4_096] {
        let mut rig = Rig::new();
        rig.world.on_data = Some(Box::new(|hub, id, data| {
            hub.send(id, b"<pong>").ignore();
            data.len()
        }));
        let (mut client, id) = rig.connect();
        rig.faults.always(Call::Send, Fault::Short(most));
        let mut expected = Vec::new();
        // Of both kinds: copied, and large enough to be shared, so that the writes are gathered
        // ones.
        for length in [10, 1_500, 20, 2_000] {
            let piece = pattern(length);
            expected.extend_from_slice(&piece);
            rig.reactor
                .hub()
                .send_shared(id, Bytes::from(piece))
                .ignore();
        }
        for _ in 0..5 {
            poke(&mut rig, &mut client);
            expected.extend_from_slice(b"<pong>");
        }
        rig.world.on_data = None;
        let mut received = Vec::new();
        while received.len() < expected.len() {
            poke(&mut rig, &mut client);
            let mut buffer = [0; 8192];
            while let Some(read) = read_some(&mut client, &mut buffer) {
                received.extend_from_slice(&buffer[..read]);
            }
        }
        assert!(received == expected, "at most {most} bytes a write");
    }
}

fn poke(rig: &mut Rig, client: &mut TcpStream) {
    client.write_all(b"p").unwrap();
    turn_with(rig, "a read", |turn| turn.reads > 0);
}

/// The kernel's own short writes: a small send buffer, and a client that reads a few bytes at a
/// time.
#[test]
fn f13_a_client_that_reads_a_few_bytes_at_a_time_gets_all_of_them() {
    let limits = Limits {
        max_backlog: 4 << 20,
        ..Limits::default()
    };
    let listen = Listen::tcp("127.0.0.1:0").send_buffer(1).limits(limits);
    let mut rig = Rig::with(Config::default(), listen);
    let (mut client, id) = rig.connect();
    let sent = pattern(1_000_000);
    for piece in sent.chunks(3_333) {
        let piece = Bytes::copy_from_slice(piece);
        rig.reactor.hub().send_shared(id, piece).ignore();
    }
    rig.turn();
    assert!(rig.reactor.hub().backlog(id) > 0, "all of it fitted");
    let mut received = Vec::new();
    let mut steps = (1..=200).cycle();
    while received.len() < sent.len() {
        let mut buffer = [0; 200];
        let step = steps.next().unwrap_or_default();
        match read_some(&mut client, &mut buffer[..step]) {
            Some(0) => panic!("the end after {} bytes", received.len()),
            Some(read) => received.extend_from_slice(&buffer[..read]),
            None => drop(turn_with(&mut rig, "a write", |turn| turn.writes > 0)),
        }
    }
    assert!(received == sent, "not as it was sent");
    assert_rests(&mut rig);
}

/// A budget of bytes written in one go neither starves others nor forgets the rest.
#[test]
fn f13_what_exceeds_the_write_budget_follows_without_an_edge() {
    let config = Config {
        write_budget: 1_000,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    let (mut client, id) = rig.connect();
    let sent = pattern(50_000);
    rig.reactor.hub().send(id, &sent).ignore();
    for _ in 0..50 {
        let turn = rig.turn();
        assert!(turn.bytes_written <= 2_000, "{turn:?}");
    }
    client.set_nonblocking(false).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut received = vec![0; sent.len()];
    client.read_exact(&mut received).expect("all bytes by now");
    assert_eq!(received, sent);
    assert_rests(&mut rig);
}
