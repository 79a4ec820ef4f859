//! Peers that do not read, and applications that do not: what is kept for them is bounded, and
//! nobody else waits.

use std::net::TcpStream;

use switchboard::{
    CloseReason, Config, ConnId, Kind, Limits, Listen, Overflow, Publish, Published, Sent,
};

use crate::alone::alone;
use crate::support::{Rig, pattern, read_some, write_full};
use crate::util::{assert_echoes, assert_rests, echo, ready};

const KIB: usize = 1024;

fn limits(overflow: Overflow) -> Limits {
    Limits {
        high_water: 32 * KIB,
        low_water: 8 * KIB,
        max_backlog: 64 * KIB,
        overflow,
        ..Limits::default()
    }
}

fn rig_with(overflow: Overflow) -> Rig {
    let listen = Listen::tcp("127.0.0.1:0")
        .send_buffer(4096)
        .limits(limits(overflow));
    Rig::with(Config::default(), listen)
}

/// An echo for a client that only writes: it is read from no more once its answers back up.
#[test]
fn f21_answers_to_a_client_that_never_reads_stay_below_the_high_mark_and_one_read() {
    let listen = Listen::tcp("127.0.0.1:0")
        .send_buffer(4096)
        .receive_buffer(16 * KIB)
        .limits(limits(Overflow::Close));
    let mut rig = Rig::with(Config::default(), listen);
    rig.world.on_data = Some(Box::new(echo));
    let (mut other, _) = rig.connect();
    let (mut client, id) = rig.connect();
    let flood = pattern(16 << 20);
    let (mut sent, mut received) = (0, 0);
    let mut idle = 0;
    while idle < 20 {
        let taken = write_full(&mut client, &flood[sent..]);
        let turn = rig.turn();
        (sent, received) = (sent + taken, received + turn.bytes_read as usize);
        idle = if taken + turn.reads == 0 { idle + 1 } else { 0 };
        let backlog = rig.reactor.hub().backlog(id);
        assert!(backlog <= 32 * KIB + 64 * KIB, "{backlog} bytes");
    }
    assert!(sent > received, "it was all read");
    assert_rests(&mut rig);
    assert_echoes(&mut rig, &mut other);
    let echoed = rig.read_exactly(&mut client, sent);
    assert!(echoed == flood[..sent], "not as it was sent");
    assert_rests(&mut rig);
}

/// Messages that nobody asked for: each is taken or not, whole.
#[test]
fn f21_messages_to_a_client_that_never_reads_are_dropped_whole_at_the_mark() {
    let mut rig = rig_with(Overflow::Drop);
    let (mut client, id) = rig.connect();
    let mut expected = Vec::new();
    let mut dropped = 0;
    for number in 0..4_000_u32 {
        let message = [number.to_be_bytes().as_slice(), &pattern(996)].concat();
        match rig.reactor.hub().send(id, &message) {
            Sent::Dropped => dropped += 1,
            other @ (Sent::Closed | Sent::TooLarge) => panic!("{other:?}"),
            Sent::Accepted | Sent::Backlogged => expected.extend_from_slice(&message),
        }
        assert!(rig.reactor.hub().backlog(id) < 64 * KIB + message.len());
        rig.turn();
    }
    assert!(dropped > 1_000, "only {dropped} dropped");
    assert_eq!(rig.reactor.hub().totals().dropped, dropped);
    assert_eq!(rig.read_exactly(&mut client, expected.len()), expected);
    assert_rests(&mut rig);
    assert_eq!(rig.reactor.hub().send(id, b"again"), Sent::Accepted);
}

#[test]
fn f21_a_client_that_never_reads_is_closed_at_the_mark() {
    let mut rig = rig_with(Overflow::Close);
    let (client, id) = rig.connect();
    let message = pattern(KIB);
    for _ in 0..10_000 {
        if rig.reactor.hub().send(id, &message) == Sent::Closed {
            break;
        }
        assert!(rig.reactor.hub().backlog(id) <= 64 * KIB + KIB);
    }
    rig.turn();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Overflow)]);
    assert_eq!(rig.reactor.hub().backlog(id), 0);
    drop(client);
}

const HALF: usize = 50;
const BROADCASTS: usize = 1_000;

/// Half of the subscribers read, the other half never does.
#[test]
fn f22_a_broadcast_reaches_all_who_read_whatever_the_others_do() {
    alone(4096, || {
        let mut rig = rig_with(Overflow::Drop);
        let mut readers = subscribers(&mut rig);
        let deaf = subscribers(&mut rig);
        let mut received = vec![0; HALF];
        let mut missed = 0;
        for number in 0..BROADCASTS {
            let message = [number as u8; KIB];
            let published = publish(&mut rig, &message);
            assert_eq!(published.taken + published.missed, 2 * HALF);
            missed += published.missed;
            rig.turn();
            for ((client, _), received) in readers.iter_mut().zip(&mut received) {
                read_messages(client, received);
            }
            for (_, id) in &deaf {
                assert!(rig.reactor.hub().backlog(*id) < 65 * KIB);
            }
        }
        for ((client, _), received) in readers.iter_mut().zip(received) {
            let rest = rig.read_exactly(client, BROADCASTS * KIB - received);
            check(&rest, received);
        }
        assert!(missed > 0, "the deaf ones took everything");
        assert_eq!(rig.reactor.hub().totals().dropped, missed as u64);
        assert_rests(&mut rig);
    });
}

fn subscribers(rig: &mut Rig) -> Vec<(TcpStream, ConnId)> {
    let mut all: Vec<_> = (0..HALF).map(|_| rig.connect()).collect();
    for (client, id) in &mut all {
        rig.reactor.hub().subscribe(*id, "all");
        socket2::SockRef::from(&*client)
            .set_recv_buffer_size(4096)
            .unwrap();
    }
    all
}

fn publish(rig: &mut Rig, data: &[u8]) -> Published {
    rig.reactor.hub().publish(Publish {
        topic: "all",
        data,
        kind: Kind::Binary,
        except: None,
    })
}

/// Reads what there is of the stream in which the message with number n consists of bytes n.
fn read_messages(client: &mut TcpStream, received: &mut usize) {
    let mut buffer = [0; 8 * KIB];
    while let Some(read) = read_some(client, &mut buffer) {
        check(&buffer[..read], *received);
        *received += read;
    }
}

fn check(bytes: &[u8], from: usize) {
    for (at, byte) in bytes.iter().enumerate() {
        assert_eq!(*byte, ((from + at) / KIB) as u8, "byte {}", from + at);
    }
}

/// The kernel's window closes, and the reactor keeps nothing.
#[test]
fn f23_a_pause_lets_the_kernel_hold_a_flood_back() {
    let listen = Listen::tcp("127.0.0.1:0").receive_buffer(16 * KIB);
    let mut rig = Rig::with(Config::default(), listen);
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    let flood = pattern(16 << 20);
    let (mut sent, mut idle) = (0, 0);
    while idle < 50 {
        let taken = write_full(&mut client, &flood[sent..]);
        sent += taken;
        idle = if taken == 0 { idle + 1 } else { 0 };
        let turn = rig.turn();
        assert_eq!((turn.reads, turn.bytes_read), (0, 0));
        assert_eq!(ready(&mut rig.reactor), 0, "the loop spins");
    }
    assert!(sent < flood.len(), "the kernel took it all");
    assert_eq!(rig.reactor.hub().info(id).unwrap().bytes_read, 0);
    rig.reactor.hub().resume(id);
    rig.until("all of it", |world| world.data(id).len() == sent);
    assert!(rig.world.data(id) == flood[..sent], "not as it was sent");
}

/// Paused in the middle of each read: what is held never exceeds what one read brings.
#[test]
fn f23_bytes_held_through_pauses_are_bounded_and_none_is_lost() {
    const READ: usize = 4 * KIB;
    let config = Config {
        read_buffer: READ,
        read_budget: READ,
        ..Config::default()
    };
    let mut rig = Rig::with(config, "127.0.0.1:0");
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        assert!(data.len() <= 2 * READ, "{} bytes held", data.len());
        hub.pause(id);
        data.len().min(1_000)
    }));
    let (mut client, id) = rig.connect();
    let flood = pattern(400_000);
    let mut sent = 0;
    for _ in 0..5_000 {
        sent += write_full(&mut client, &flood[sent..]);
        rig.turn();
        let hub = rig.reactor.hub();
        let held = hub.info(id).unwrap().bytes_read as usize - rig.world.data(id).len();
        assert!(held <= 2 * READ, "{held} bytes held");
        rig.reactor.hub().resume(id);
        if rig.world.data(id).len() == flood.len() {
            break;
        }
    }
    assert!(rig.world.data(id) == flood, "not as it was sent");
    assert_eq!(rig.reactor.hub().totals().panics, 0);
}
