//! Edge-triggered readiness: nothing that has arrived is ever left lying.

use std::io::{IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use socket2::{MsgHdr, SockRef};
use switchboard::{CloseReason, Config};

use crate::support::{Event, Rig, client, pattern};
use crate::tools::assert_at_rest;

#[test]
fn t01_data_and_fin_in_one_event_end_in_a_close() {
    let mut rig = Rig::new();
    let mut client = client(rig.listening.local_addr.ip().unwrap());
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    let id = rig.world.opened()[0];
    assert_eq!(
        rig.world.events,
        [
            Event::Opened(id),
            Event::Data(id, b"last words".to_vec()),
            Event::Eof(id, Vec::new()),
            Event::Closed(id, CloseReason::Peer),
        ]
    );
}

/// A rig that reads at most 100 bytes of a connection in one turn, by at most 64 at a time.
fn rig_with_small_budget() -> Rig {
    let config = Config {
        read_buffer: 64,
        read_budget: 100,
        ..Config::default()
    };
    Rig::with(config, "127.0.0.1:0")
}

#[test]
fn t03_a_flood_beyond_the_budget_is_read_to_its_end_in_silence() {
    for length in [63, 64, 65, 99, 100, 101, 128, 199, 200, 201, 5_000] {
        let mut rig = rig_with_small_budget();
        let (mut client, id) = rig.connect();
        client.write_all(&pattern(length)).unwrap();
        rig.until("the whole flood", |world| world.data(id).len() == length);
        assert_eq!(rig.world.data(id), pattern(length));
        assert_at_rest(&mut rig);
    }
}

#[test]
fn t03_a_flood_takes_its_budget_and_leaves_the_others_their_turn() {
    let mut rig = rig_with_small_budget();
    let (mut flood, flooding) = rig.connect();
    let (mut other, quiet) = rig.connect();
    flood.write_all(&pattern(10_000)).unwrap();
    let turn = rig.turn();
    assert_eq!(turn.bytes_read, 100);
    other.write_all(b"one line").unwrap();
    let turn = rig.turn();
    assert_eq!(turn.bytes_read, 108);
    assert_eq!(rig.world.data(quiet), b"one line");
    assert_eq!(rig.world.data(flooding), pattern(200));
}

#[test]
fn t21_urgent_data_that_splits_a_read_strands_nothing() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    client.write_all(b"abc").unwrap();
    SockRef::from(&client).send_out_of_band(b"!").unwrap();
    client.write_all(b"def").unwrap();
    rig.until("both parts", |world| world.data(id) == b"abcdef");
    assert_at_rest(&mut rig);
}

/// A descriptor sent along makes the kernel end a read where it is attached.
#[test]
fn t21_ancillary_data_that_splits_a_read_strands_nothing() {
    let mut rig = Rig::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let id = rig.reactor.adopt(ours, rig.driver).unwrap();
    rig.until("the opening", |world| world.opened() == [id]);
    theirs.write_all(b"abc").unwrap();
    let control = rights(theirs.as_raw_fd());
    let parts = [IoSlice::new(b"def")];
    let message = MsgHdr::new().with_buffers(&parts).with_control(&control);
    SockRef::from(&theirs).sendmsg(&message, 0).unwrap();
    theirs.write_all(b"ghi").unwrap();
    rig.until("all parts", |world| world.data(id) == b"abcdefghi");
    assert_at_rest(&mut rig);
}

/// The control message `SCM_RIGHTS` with one descriptor: `struct cmsghdr`, then an `int`, padded to
/// 8 bytes.
fn rights(descriptor: i32) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(20_usize.to_ne_bytes());
    message.extend(libc::SOL_SOCKET.to_ne_bytes());
    message.extend(libc::SCM_RIGHTS.to_ne_bytes());
    message.extend(descriptor.to_ne_bytes());
    message.extend([0; 4]);
    message
}
