//! Writing: a peer that reads slowly, or not at all, costs nobody else anything.

use std::io::Write;
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use switchboard::testing::Call;
use switchboard::{Limits, Overflow, Sent};

use crate::support::{Rig, pattern, read_some, write_full};
use crate::tools::{assert_at_rest, connect_small, fill, messages, small_rig};

fn patient() -> Limits {
    Limits {
        high_water: 128 << 20,
        max_backlog: 128 << 20,
        ..Limits::default()
    }
}

#[test]
fn t05_a_client_that_never_reads_holds_nobody_up() {
    let limits = Limits {
        max_backlog: 100_000,
        overflow: Overflow::Drop,
        ..Limits::default()
    };
    let mut rig = small_rig(limits);
    let (_slow, stuck) = connect_small(&mut rig);
    let (mut quick, pinging) = rig.connect();
    let flood = pattern(10_000);
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        // Each ping makes the server send 100 kB to the one who never reads.
        for _ in 0..10 {
            hub.send(stuck, &flood).ignore();
        }
        hub.send(id, data).ignore();
        data.len()
    }));
    let mut calls = 0;
    for round in 0..20 {
        quick.write_all(b"ping").unwrap();
        assert_eq!(rig.read_exactly(&mut quick, 4), b"ping");
        let backlog = rig.reactor.hub().backlog(stuck);
        assert!(backlog < 110_000, "{backlog} bytes: one message beyond");
        if round == 2 {
            assert!(backlog >= 100_000, "the slow one's backlog is full");
            calls = rig.faults.count(Call::Send);
        }
    }
    assert_eq!(
        rig.faults.count(Call::Send) - calls,
        17,
        "one send for each ping, and none for the socket known to be full"
    );
    assert_eq!(rig.world.data(pinging).len(), 80);
}

/// An answer given while reading, with no room to send it: it waits its turn behind what waits
/// already.
#[test]
fn t06_an_answer_given_in_on_data_waits_while_the_peers_window_is_closed() {
    let mut rig = small_rig(patient());
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        assert_eq!(hub.send(id, data), Sent::Accepted);
        data.len()
    }));
    let (mut shut, id) = connect_small(&mut rig);
    let (mut other, _) = rig.connect();
    let mut expected = fill(&mut rig, id, 50_000);
    for number in 0..50 {
        let ping = format!("ping {number};");
        shut.write_all(ping.as_bytes()).unwrap();
        expected.extend_from_slice(ping.as_bytes());
        other.write_all(b"still there?").unwrap();
        assert_eq!(rig.read_exactly(&mut other, 12), b"still there?");
    }
    let asked = rig.world.data(id);
    assert!(expected.ends_with(&asked) && asked.ends_with(b"ping 49;"));
    assert!(rig.reactor.hub().backlog(id) > 10_000 + asked.len());
    assert_eq!(rig.read_exactly(&mut shut, expected.len()), expected);
    assert_at_rest(&mut rig);
}

/// Header, body and end are pieces of their own, some copied and some shared, and the socket takes
/// a little at a time.
#[test]
fn t11_messages_of_several_pieces_never_interleave() {
    const ROUNDS: usize = 40;
    let mut rig = small_rig(patient());
    let (mut target, reader) = connect_small(&mut rig);
    let (mut left, first) = rig.connect();
    let (mut right, _) = rig.connect();
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        let who = if id == first { b'a' } else { b'b' };
        for number in data.iter() {
            let length = usize::from(*number) * 150;
            hub.send(reader, &[who, *number]).ignore();
            hub.send_shared(reader, Bytes::from(vec![who; length]))
                .ignore();
            hub.send_with(reader, |out| out.push(b'.')).ignore();
        }
        data.len()
    }));
    let mut stream = Vec::new();
    let mut buffer = vec![0; 3000];
    for number in 0..ROUNDS as u8 {
        left.write_all(&[number]).unwrap();
        right.write_all(&[number]).unwrap();
        rig.turn();
        let read = read_some(&mut target, &mut buffer).unwrap_or(0);
        stream.extend_from_slice(&buffer[..read]);
    }
    let total: usize = (0..ROUNDS).map(|number| 2 * (3 + number * 150)).sum();
    let rest = total - stream.len();
    stream.extend(rig.read_exactly(&mut target, rest));

    let (mut at, mut next) = (0, [0_u8; 2]);
    while at < stream.len() {
        let (who, number) = (stream[at], stream[at + 1]);
        let next = &mut next[usize::from(who - b'a')];
        assert_eq!(number, *next, "in the order in which each was told");
        *next += 1;
        let end = at + 2 + usize::from(number) * 150;
        assert!(stream[at + 2..end].iter().all(|byte| *byte == who));
        assert_eq!(stream[end], b'.');
        at = end + 1;
    }
    assert_eq!(next, [ROUNDS as u8; 2]);
}

/// If each write moved what is left to the front, this would move 64 MB some ten thousand times.
#[test]
fn t18_a_long_backlog_drains_through_a_small_buffer() {
    const TIMES: usize = 1024;
    let mut rig = Rig::with(
        switchboard::Config {
            limits: patient(),
            ..switchboard::Config::default()
        },
        "127.0.0.1:0",
    );
    let (ours, theirs) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&ours)
        .set_send_buffer_size(1024)
        .unwrap();
    theirs.set_nonblocking(true).unwrap();
    let id = rig.reactor.adopt(ours, rig.driver).unwrap();
    // A prime length, so that no loss of a round number of bytes goes unseen.
    let chunk = pattern(65_521);
    let all = chunk.repeat(TIMES);
    rig.turn();
    assert!(rig.reactor.hub().send(id, &all).is_taken());
    let mut writes = 0;
    let (mut received, mut buffer) = (0, vec![0; chunk.len()]);
    while received < all.len() {
        let mut theirs = &theirs;
        match std::io::Read::read(&mut theirs, &mut buffer) {
            Ok(read) => {
                assert!(
                    buffer[..read] == all[received..received + read],
                    "at {received}"
                );
                received += read;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let turn = rig.turn();
                assert!(turn.writes > 0, "nothing to read, and nothing is written");
                writes += turn.writes;
            }
            Err(error) => panic!("reading: {error}"),
        }
    }
    assert_eq!(received, all.len());
    let least = all.len() / 1024;
    assert!(writes < least, "{writes} writes of less than 1 KiB each");
    assert!(
        writes > 1000,
        "{writes}: the buffer is not small, so this tests nothing"
    );
    assert_eq!(rig.reactor.hub().backlog(id), 0);
}

#[test]
fn t05_messages_to_a_slow_reader_arrive_whole_or_not_at_all() {
    let limits = Limits {
        max_backlog: 20_000,
        overflow: Overflow::Drop,
        ..Limits::default()
    };
    let mut rig = small_rig(limits);
    let (mut slow, id) = connect_small(&mut rig);
    let mut taken = Vec::new();
    for number in 0..60_u8 {
        if rig.reactor.hub().send(id, &[number; 1000]).is_taken() {
            taken.extend([number; 1000]);
        }
    }
    assert!(taken.len() < 60_000, "none was dropped");
    assert_eq!(
        rig.reactor.hub().totals().dropped as usize,
        60 - taken.len() / 1000
    );
    assert_eq!(rig.read_exactly(&mut slow, taken.len()), taken);
    assert!(rig.reactor.hub().send(id, b"and on").is_taken());
    assert_eq!(rig.read_exactly(&mut slow, 6), b"and on");
    write_full(&mut slow, b"me too");
    rig.until("the answer", |world| messages(world, id) == [b"me too"]);
}
