//! Many messages in one read: a callback that pauses, closes or fills the outbox is obeyed between
//! two of them.

use std::io::Write;
use std::net::TcpStream;

use switchboard::tcp::Lines;
use switchboard::{ConnId, Limits};

use crate::support::{Rig, World};
use crate::tools::{assert_at_rest, messages, small_client, small_listen, speak};

const LINES: usize = 10_000;

/// 10,000 numbered lines, which fit into one read, and a client that has sent them.
fn pipelined(rig: &mut Rig) -> (TcpStream, ConnId) {
    speak(rig, Lines::default());
    let (mut client, id) = rig.connect();
    let lines: String = (0..LINES).map(|number| format!("{number}\n")).collect();
    client.write_all(lines.as_bytes()).unwrap();
    (client, id)
}

fn assert_numbered(world: &World, id: ConnId, count: usize) {
    let expected: Vec<_> = (0..count).map(|n| n.to_string().into_bytes()).collect();
    assert!(
        messages(world, id) == expected,
        "not {count} lines in order"
    );
}

#[test]
fn t22_a_pause_in_the_first_of_many_messages_stops_the_rest() {
    let mut rig = Rig::new();
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        hub.pause(id);
        data.len()
    }));
    let (_client, id) = pipelined(&mut rig);
    for count in 1..=5 {
        rig.settle();
        assert_numbered(&rig.world, id, count);
        assert_at_rest(&mut rig);
        rig.reactor.hub().resume(id);
    }
    rig.settle();
    rig.world.on_data = None;
    rig.reactor.hub().resume(id);
    rig.until("the rest", |world| messages(world, id).len() == LINES);
    assert_numbered(&rig.world, id, LINES);
}

#[test]
fn t22_a_close_in_one_of_many_messages_drops_the_rest() {
    for abort in [false, true] {
        let mut rig = Rig::new();
        rig.world.on_data = Some(Box::new(move |hub, id, data| {
            match (data == b"2", abort) {
                (true, true) => hub.abort(id),
                (true, false) => hub.close(id),
                _ => {}
            }
            data.len()
        }));
        let (client, id) = pipelined(&mut rig);
        rig.settle();
        drop(client);
        rig.until("the close", |world| !world.closed().is_empty());
        assert_numbered(&rig.world, id, 3);
        rig.world.assert_orderly();
    }
}

#[test]
fn t22_what_arrives_during_a_pause_stays_behind_what_was_held() {
    let mut rig = Rig::new();
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        if data == b"9" {
            hub.pause(id);
        }
        data.len()
    }));
    let (mut client, id) = pipelined(&mut rig);
    rig.settle();
    assert_numbered(&rig.world, id, 10);
    client.write_all(b"10000\n").unwrap();
    rig.settle();
    assert_numbered(&rig.world, id, 10);
    rig.reactor.hub().resume(id);
    rig.until("the rest", |world| messages(world, id).len() == LINES + 1);
    assert_numbered(&rig.world, id, LINES + 1);
}

/// 10,000 requests with answers of 1,000 bytes: 10 MB, of which the server never holds more than
/// its high mark.
#[test]
fn t22_a_full_outbox_stops_the_answering_until_it_has_drained() {
    let limits = Limits {
        high_water: 20_000,
        low_water: 5_000,
        max_backlog: 25_000,
        ..Limits::default()
    };
    let mut rig = Rig::new();
    let driver = rig
        .reactor
        .add_driver(switchboard::tcp::Framed::new(Lines::default()));
    let listen = small_listen().limits(limits);
    rig.listening = rig.reactor.listen(listen, driver).unwrap();
    rig.world.on_data = Some(Box::new(|hub, id, data| {
        assert!(hub.send(id, &[b'x'; 1000]).is_taken(), "beyond the maximum");
        data.len()
    }));
    let mut client = small_client(rig.listening.local_addr.ip().unwrap());
    const ASKED: usize = 500;
    let lines: String = (0..ASKED).map(|number| format!("{number}\n")).collect();
    client.write_all(lines.as_bytes()).unwrap();
    rig.until("the connection", |world| !world.opened().is_empty());
    rig.settle();
    let id = rig.world.opened()[0];
    let answered = messages(&rig.world, id).len();
    assert!(
        (20..100).contains(&answered),
        "{answered} answers to nobody"
    );
    let backlog = rig.reactor.hub().backlog(id);
    assert!((20_000..=21_000).contains(&backlog), "{backlog} bytes");
    let received = rig.read_exactly(&mut client, ASKED * 1000);
    assert!(received.iter().all(|byte| *byte == b'x'));
    assert_numbered(&rig.world, id, ASKED);
    assert_at_rest(&mut rig);
}
