//! Ids that outlive their connection: they never name the next one in the same slot.

use std::io::Write;
use std::time::Duration;

use switchboard::{ConnId, Kind, Owner, Publish, Published, Sent};

use crate::support::{Event, Rig, client};

/// Opens a connection with a timer, a subscription and a post on their way, has it go, and opens
/// another one in the same slot.
fn reused(rig: &mut Rig) -> (ConnId, std::net::TcpStream, ConnId) {
    let (gone, old) = rig.connect();
    let hub = rig.reactor.hub();
    assert!(hub.subscribe(old, "topic"));
    assert!(
        hub.set_timer(Owner::Conn(old), Duration::from_secs(1), 7)
            .is_some()
    );
    drop(gone);
    rig.until("the close", |world| !world.closed().is_empty());
    let (client, new) = rig.connect();
    assert_eq!(old.index(), new.index(), "the slot is used again");
    assert_ne!(old, new);
    (old, client, new)
}

#[test]
fn t08_an_old_id_reaches_nobody() {
    let mut rig = Rig::new();
    let (old, mut client, new) = reused(&mut rig);
    let driver = rig.driver;
    let hub = rig.reactor.hub();
    assert_eq!(hub.send(old, b"for the dead"), Sent::Closed);
    assert_eq!(hub.send_with(old, |out| out.push(1)), Sent::Closed);
    assert_eq!(hub.send_shared(old, vec![1; 5000].into()), Sent::Closed);
    assert_eq!(hub.try_write(old, b"for the dead"), None);
    assert!(!hub.is_open(old) && !hub.wants_data(old));
    assert_eq!((hub.info(old), hub.limits(old)), (None, None));
    assert!(!hub.subscribe(old, "topic") && !hub.unsubscribe(old, "topic"));
    assert_eq!(hub.set_timer(Owner::Conn(old), Duration::ZERO, 1), None);
    hub.pause(old);
    hub.shutdown_write(old);
    hub.unref(old);
    hub.close(old);
    hub.abort(old);
    hub.hand_over(old, driver);
    assert!(hub.send(new, b"for the living").is_taken());
    client.write_all(b"hello").unwrap();
    rig.until("the data", |world| world.data(new) == b"hello");
    assert_eq!(rig.read_exactly(&mut client, 14), b"for the living");
    rig.settle();
    assert!(rig.reactor.hub().is_open(new));
    assert_eq!(rig.world.closed().len(), 1);
    rig.world.assert_orderly();
}

#[test]
fn t08_timers_topics_and_posts_end_with_their_connection() {
    let mut rig = Rig::new();
    let (old, _client, _) = reused(&mut rig);
    let hub = rig.reactor.hub();
    let publish = Publish {
        topic: "topic",
        data: b"anybody?",
        kind: Kind::Text,
        except: None,
    };
    assert_eq!(hub.publish(publish), Published::default());
    hub.post(old, Box::new(()));
    let turn = rig.advance(Duration::from_secs(2));
    assert_eq!(
        (turn.stale, turn.timers),
        (1, 0),
        "the post is counted and dropped"
    );
    let met = |event: &Event| matches!(event, Event::Timer(..) | Event::Posted(_));
    assert!(!rig.world.events.iter().any(met));
}

/// One callback aborts connections that have events in the same batch, while a new client waits to
/// be accepted.
#[test]
fn t08_events_of_a_connection_closed_in_the_same_batch_reach_nobody() {
    let mut rig = Rig::new();
    let mut clients: Vec<_> = (0..5).map(|_| rig.connect()).collect();
    let ids: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    for (client, id) in &mut clients {
        client.write_all(format!("from {id}").as_bytes()).unwrap();
    }
    let mut newcomer = client(rig.listening.local_addr.ip().unwrap());
    newcomer.write_all(b"from the newcomer").unwrap();
    let all = ids.clone();
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        if all.contains(&id) {
            for other in all.iter().filter(|other| **other != id) {
                hub.abort(*other);
            }
        }
        data.len()
    }));
    let turn = rig.turn();
    assert_eq!((turn.accepts, turn.closes), (1, 4), "all in one batch");
    let new = rig.world.opened()[5];
    assert!(
        ids.iter().all(|id| id.index() != new.index()),
        "a slot was used again before the turn had ended"
    );
    rig.until("the newcomer's data", |world| {
        world.data(new) == b"from the newcomer"
    });
    let heard: Vec<_> = ids.iter().map(|id| rig.world.data(*id)).collect();
    assert_eq!(heard.iter().filter(|data| !data.is_empty()).count(), 1);
    rig.world.assert_orderly();
}
