//! Names of connections: whatever happens in one batch of events, none of it reaches another
//! connection.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use switchboard::{CloseReason, ConnId, Sent};

use crate::alone::alone;
use crate::support::{Event, Rig, client};

const MANY: usize = 200;
const NEW: usize = 50;

/// In one turn all connections have something to read, new clients wait, and whoever is served
/// first closes all others.
#[test]
fn f03_connections_closed_by_another_in_the_same_turn_are_never_served_again() {
    alone(4096, || {
        let mut rig = Rig::new();
        let mut old: Vec<_> = (0..MANY).map(|_| rig.connect()).collect();
        let old_ids: Vec<ConnId> = old.iter().map(|(_, id)| *id).collect();
        close_the_others_on_data(&mut rig, &old_ids);
        for (client, _) in &mut old {
            client.write_all(b"old").unwrap();
        }
        let address = rig.listening.local_addr.ip().unwrap();
        let mut new: Vec<_> = (0..NEW).map(|_| client(address)).collect();
        rig.until("the others to close", |world| {
            world.closed().len() == MANY - 1
        });
        rig.until("the new ones", |world| world.opened().len() == MANY + NEW);
        assert_only_one_was_served(&rig, &old_ids);
        assert_new_ones_are_apart(&mut rig, &old_ids, &mut new);
        rig.world.assert_orderly();
    });
}

fn close_the_others_on_data(rig: &mut Rig, old: &[ConnId]) {
    let mut victims = old.to_vec();
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        for other in victims.drain(..).filter(|other| *other != id) {
            hub.abort(other);
            assert_eq!(hub.send(other, b"to nobody"), Sent::Closed);
        }
        data.len()
    }));
}

fn assert_only_one_was_served(rig: &Rig, old: &[ConnId]) {
    let served: HashSet<_> = old
        .iter()
        .filter(|id| !rig.world.data(**id).is_empty())
        .collect();
    assert_eq!(served.len(), 1);
    for (_, reason) in rig.world.closed() {
        assert_eq!(reason, CloseReason::Aborted);
    }
}

fn assert_new_ones_are_apart(rig: &mut Rig, old: &[ConnId], new: &mut [TcpStream]) {
    let ids = &rig.world.opened()[MANY..];
    let all: HashSet<_> = old.iter().chain(ids).collect();
    assert_eq!(all.len(), MANY + NEW, "an id was given twice");
    let by_peer: HashMap<SocketAddr, ConnId> = ids
        .iter()
        .filter_map(|id| Some((rig.reactor.hub().info(*id)?.peer_addr?, *id)))
        .collect();
    for id in old {
        // Where the slot has a new owner, the old name must not reach it.
        let sent = rig.reactor.hub().send(*id, b"for the dead");
        assert!(sent == Sent::Closed || !rig.world.data(*id).is_empty());
    }
    for (number, client) in new.iter_mut().enumerate() {
        let text = format!("new {number}");
        let id = by_peer[&client.local_addr().unwrap()];
        client.write_all(text.as_bytes()).unwrap();
        rig.until("its bytes", |world| world.data(id).len() == text.len());
        assert_eq!(rig.world.data(id), text.as_bytes());
    }
}

/// A slot that has a new owner answers to the new name only.
#[test]
fn f03_an_old_name_means_nothing_when_its_slot_is_used_again() {
    let mut rig = Rig::new();
    let (first, old) = rig.connect();
    rig.reactor.hub().subscribe(old, "news");
    drop(first);
    rig.until("the close", |world| !world.closed().is_empty());
    let (mut second, new) = rig.connect();
    assert_eq!(old.index(), new.index(), "this test needs the same slot");
    let hub = rig.reactor.hub();
    assert_ne!(old, new);
    assert!(!hub.is_open(old) && hub.info(old).is_none());
    assert_eq!(hub.send(old, b"wrong"), Sent::Closed);
    assert!(!hub.subscribe(old, "news"));
    assert_eq!(hub.subscribers("news"), 0);
    hub.pause(old);
    hub.close(old);
    hub.abort(old);
    hub.post(old, Box::new(()));
    hub.shutdown_write(old);
    second.write_all(b"unharmed").unwrap();
    rig.until("the bytes", |world| world.data(new) == b"unharmed");
    assert!(rig.reactor.hub().is_open(new));
    let posted = |event: &Event| matches!(event, Event::Posted(_));
    assert!(!rig.world.events.iter().any(posted));
}

/// The connection that is closed while it waits to be served, in the turn in which its slot would
/// be free.
#[test]
fn f03_slots_are_not_used_again_within_a_turn() {
    let mut rig = Rig::new();
    let ids = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&ids);
    rig.world.on_open = Some(Box::new(move |hub, id, ()| {
        seen.borrow_mut().push(id);
        hub.abort(id);
    }));
    let address = rig.listening.local_addr.ip().unwrap();
    let _clients: Vec<_> = (0..20).map(|_| client(address)).collect();
    rig.until("all to close", |world| world.closed().len() == 20);
    let distinct: HashSet<_> = ids.borrow().iter().copied().collect();
    assert_eq!(distinct.len(), 20);
    rig.world.assert_orderly();
}
