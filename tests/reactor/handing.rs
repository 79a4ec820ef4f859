//! Handing a connection to another driver, as an upgrade does: no byte is lost, none is seen twice.

use std::io::Write;
use std::time::Duration;

use switchboard::{CloseReason, Config, ConnId, DriverId, Owner};

use crate::support::{Event, Rig};
use crate::tools::assert_at_rest;

/// A rig whose first driver consumes `GET` and hands over to the second.
fn upgrading() -> (Rig, DriverId) {
    upgrade(Rig::new())
}

fn upgrade(mut rig: Rig) -> (Rig, DriverId) {
    let second = rig.reactor.add_driver(crate::support::Recorder);
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        if data.starts_with(b"GET") {
            hub.hand_over(id, second);
            return 3;
        }
        data.len()
    }));
    (rig, second)
}

fn handed(id: ConnId, before: &[u8], after: &[u8]) -> Vec<Event> {
    vec![
        Event::Opened(id),
        Event::Data(id, before.to_vec()),
        Event::Closed(id, CloseReason::HandedOver),
        Event::Opened(id),
        Event::Data(id, after.to_vec()),
    ]
}

#[test]
fn t12_bytes_after_the_request_go_to_the_new_driver() {
    let (mut rig, second) = upgrading();
    let (mut client, id) = rig.connect();
    client.write_all(b"GETfirst frame").unwrap();
    rig.until("the frame", |world| world.events.len() == 5);
    assert_eq!(rig.world.events, handed(id, b"GET", b"first frame"));
    let first = rig.driver;
    let hub = rig.reactor.hub();
    assert_eq!((hub.count(first), hub.count(second)), (0, 1));
    assert_eq!(hub.info(id).map(|info| info.driver), Some(second));
    client.write_all(b"next").unwrap();
    rig.until("more", |world| world.events.len() == 6);
    assert_eq!(rig.world.events[5], Event::Data(id, b"next".to_vec()));
    assert_at_rest(&mut rig);
}

/// What arrives between the call and the hand-over is for the new driver as well, and so is the
/// end.
#[test]
fn t12_bytes_that_arrive_during_the_move_and_the_end_go_to_the_new_driver() {
    let (mut rig, _) = upgrading();
    let (mut client, id) = rig.connect();
    client.write_all(b"GET").unwrap();
    rig.turn();
    assert_eq!(
        rig.world.events.len(),
        2,
        "the hand-over waits for the next turn"
    );
    client.write_all(b"frame").unwrap();
    drop(client);
    rig.until("the end", |world| world.closed().len() == 2);
    let mut expected = handed(id, b"GET", b"frame");
    expected.push(Event::Eof(id, Vec::new()));
    expected.push(Event::Closed(id, CloseReason::Peer));
    assert_eq!(rig.world.events, expected);
}

/// The answer to the request is sent by the old driver, and precedes whatever the new one sends.
#[test]
fn t12_what_the_old_driver_sent_leaves_before_what_the_new_one_sends() {
    let (mut rig, second) = upgrading();
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        hub.send(id, b"101 ").ignore();
        hub.hand_over(id, second);
        hub.set_timer(Owner::Conn(id), Duration::from_secs(1), 5);
        data.len()
    }));
    let (mut client, id) = rig.connect();
    rig.world.on_open = Some(Box::new(|hub, id, ()| hub.send(id, b"welcome").ignore()));
    client.write_all(b"GET").unwrap();
    assert_eq!(rig.read_exactly(&mut client, 11), b"101 welcome");
    let turn = rig.advance(Duration::from_secs(2));
    assert_eq!(
        turn.timers, 0,
        "the old driver's timer means nothing to the new one"
    );
    assert!(rig.reactor.hub().is_open(id));
}

#[test]
fn t12_a_connection_closed_before_the_move_stays_with_the_old_driver() {
    let (mut rig, second) = upgrading();
    let (mut client, id) = rig.connect();
    client.write_all(b"GET").unwrap();
    rig.turn();
    rig.reactor.hub().abort(id);
    rig.settle();
    assert_eq!(rig.world.closed(), [(id, CloseReason::Aborted)]);
    assert_eq!(rig.world.opened(), [id]);
    assert_eq!(rig.reactor.hub().count(second), 0);
}

/// What follows the request takes several reads, and the budget would allow them at once.
#[test]
fn t12_reading_stops_between_the_request_and_the_move() {
    let config = Config {
        read_buffer: 16,
        ..Config::default()
    };
    let (mut rig, _) = upgrade(Rig::with(config, "127.0.0.1:0"));
    let (mut client, id) = rig.connect();
    let frames = [b'f'; 500];
    client.write_all(b"GET").unwrap();
    client.write_all(&frames).unwrap();
    rig.turn();
    assert_eq!(rig.world.data(id), b"GET", "the old driver gets no more");
    rig.until("the frames", |world| world.data(id).len() == 503);
    assert_eq!(rig.world.data(id)[3..], frames);
    assert_eq!(rig.world.events[2..4], handed(id, b"", b"")[2..4]);
}

/// The end came to the old driver, which gave the connection away instead of closing it.
#[test]
fn the_new_driver_hears_of_an_end_that_the_old_one_was_told() {
    let mut rig = Rig::new();
    let next = rig.reactor.add_driver(crate::support::Recorder);
    let (client, id) = rig.connect();
    let mut told = 0;
    rig.world.on_eof = Some(Box::new(move |hub, id, ()| {
        told += 1;
        match told {
            1 => hub.hand_over(id, next),
            _ => hub.close_for(id, CloseReason::Peer),
        }
    }));
    drop(client);
    rig.until("the close", |world| {
        world.closed().contains(&(id, CloseReason::Peer))
    });
    let ends = rig
        .world
        .events
        .iter()
        .filter(|event| matches!(event, Event::Eof(..)));
    assert_eq!(ends.count(), 2);
}

#[test]
fn a_paused_connection_is_read_by_its_new_driver() {
    let mut rig = Rig::new();
    let next = rig.reactor.add_driver(crate::support::Recorder);
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    client.write_all(b"hello").unwrap();
    rig.settle();
    rig.reactor.hub().hand_over(id, next);
    rig.until("the bytes", |world| world.data(id) == b"hello");
}
