//! Publishing: what one callback publishes and sends arrives in the order of the calls.

use std::io::Write;
use std::net::TcpStream;

use bytes::Bytes;
use switchboard::{ConnId, Hub, Kind, Limits, Publish};

use crate::support::Rig;
use crate::tools::{connect_small, fill, small_rig};

fn publish(hub: &mut Hub, data: &[u8]) {
    let published = hub.publish(Publish {
        topic: "room",
        data,
        kind: Kind::Binary,
        except: None,
    });
    assert_eq!(published.missed, 0);
}

/// Four members, the first of whom acts: it calls `act` for each with what was received.
fn room(rig: &mut Rig, act: impl Fn(&mut Hub, &[ConnId]) + 'static) -> Vec<TcpStream> {
    rig.world.on_open = Some(Box::new(|hub, id, ()| {
        assert!(hub.subscribe(id, "room"));
    }));
    let (clients, ids): (Vec<_>, Vec<_>) = (0..4).map(|_| rig.connect()).unzip();
    rig.world.on_data = Some(Box::new(move |hub, _, data| {
        act(hub, &ids);
        data.len()
    }));
    clients
}

fn assert_all_receive(rig: &mut Rig, clients: &mut [TcpStream], expected: &[u8]) {
    clients[0].write_all(b"go").unwrap();
    for client in clients {
        assert_eq!(rig.read_exactly(client, expected.len()), expected);
    }
}

#[test]
fn t24_publish_then_send_and_send_then_publish_arrive_in_the_order_of_the_calls() {
    let mut rig = Rig::new();
    let mut clients = room(&mut rig, |hub, ids| {
        publish(hub, b"line,");
        for id in ids {
            hub.send(*id, b"seen,").ignore();
        }
        publish(hub, b"next,");
        for id in ids {
            hub.send_with(*id, |out| out.extend(b"end.")).ignore();
        }
    });
    assert_all_receive(&mut rig, &mut clients, b"line,seen,next,end.");
}

/// Beyond a kilobyte a payload is shared and not copied, and must not overtake or fall behind for
/// it.
#[test]
fn t24_large_payloads_keep_their_place_among_small_ones() {
    let mut rig = Rig::new();
    let large = vec![b'L'; 5_000];
    let shared = Bytes::from(vec![b'S'; 100_000]);
    let mut expected = b"<".to_vec();
    expected.extend_from_slice(&large);
    expected.push(b'|');
    expected.extend_from_slice(&shared);
    expected.push(b'>');
    let mut clients = room(&mut rig, move |hub, ids| {
        publish(hub, b"<");
        publish(hub, &large);
        for id in ids {
            hub.send(*id, b"|").ignore();
            hub.send_shared(*id, shared.clone()).ignore();
        }
        publish(hub, b">");
    });
    assert_all_receive(&mut rig, &mut clients, &expected);
}

/// A member that is backlogged receives the same order as one that is not.
#[test]
fn t24_the_order_holds_behind_a_backlog() {
    let mut rig = small_rig(Limits::default());
    let (mut client, id) = connect_small(&mut rig);
    let mut expected = fill(&mut rig, id, 30_000);
    let hub = rig.reactor.hub();
    assert!(hub.subscribe(id, "room"));
    for number in 0..20 {
        let (first, second) = (vec![number; 1500], vec![100 + number; 10]);
        publish(hub, &first);
        assert!(hub.send(id, &second).is_taken());
        publish(hub, &second);
        expected.extend([first, second.clone(), second].concat());
    }
    assert_eq!(rig.read_exactly(&mut client, expected.len()), expected);
}

#[test]
fn a_dial_is_no_subscriber_until_it_is_a_connection() {
    let mut rig = Rig::new();
    let (address, driver) = (rig.listening.local_addr.ip().unwrap(), rig.driver);
    let dial = rig.reactor.hub().connect(address, driver);
    assert!(!rig.reactor.hub().subscribe(dial, "news"));
    assert_eq!(rig.reactor.hub().subscribers("news"), 0);
    rig.until("the connection", |world| world.opened().contains(&dial));
    assert!(rig.reactor.hub().subscribe(dial, "news"));
}
