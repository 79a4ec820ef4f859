//! Strangers: who is let in, and what they may be told before.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use switchboard::testing::Call;
use switchboard::{Bind, Sent};

use crate::served::{Event, Peer, Served};
use crate::support::pattern;

#[test]
fn a_stranger_who_is_not_admitted_opens_nothing_and_may_ask_again() {
    let mut served = Served::new();
    let knocks = Rc::new(RefCell::new(Vec::new()));
    let (log, socket) = (Rc::clone(&knocks), served.socket);
    served.app.admit = Some(Box::new(move |knock, datagram| {
        assert_eq!(knock.socket(), socket);
        log.borrow_mut()
            .push((knock.peer_addr(), datagram.to_vec()));
        datagram == b"sesame"
    }));
    let peer = Peer::of(served.address);
    let sent = ["open", "", "sesame", "thanks"];
    for text in sent {
        peer.send(text.as_bytes());
    }
    served.until_arrived(2);
    let id = served.app.opened()[0];
    assert_eq!(
        served.app.events,
        [
            Event::Opened(id),
            Event::Message(id, b"sesame".to_vec()),
            Event::Message(id, b"thanks".to_vec()),
        ]
    );
    let from = peer.address();
    let expected = sent[..3]
        .iter()
        .map(|text| (from, text.as_bytes().to_vec()));
    assert_eq!(*knocks.borrow(), expected.collect::<Vec<_>>());
    assert_eq!(served.hub().totals().accepts, 1);
}

/// What only somebody at that address can know. A keyed hash in earnest.
fn cookie(of: SocketAddr) -> Vec<u8> {
    format!("cookie of {of}").into_bytes()
}

fn asking_for_cookies(bind: Bind) -> Served {
    let mut served = Served::bound(bind);
    served.app.admit = Some(Box::new(|knock, datagram| {
        let cookie = cookie(knock.peer_addr());
        let admitted = datagram == cookie;
        if !admitted {
            knock.reply(&cookie).ignore();
        }
        admitted
    }));
    served
}

#[test]
fn u3_who_brings_the_cookie_back_is_admitted() {
    let mut served = asking_for_cookies("127.0.0.1:0".into());
    let peer = Peer::of(served.address);
    peer.send(b"hello, I am new here");
    let cookie = served.receive(&peer);
    assert_eq!(served.app.events, []);
    // It is of no use to anybody else.
    let thief = Peer::of(served.address);
    thief.send(&cookie);
    let his = served.receive(&thief);
    assert_ne!(his, cookie);
    assert_eq!(served.app.events, []);
    peer.send(&cookie);
    served.until_arrived(1);
    let id = served.app.opened()[0];
    assert_eq!(served.app.of(id), [cookie]);
    served.assert_serves(&peer, id);
    assert_eq!(served.app.opened(), [id]);
}

/// Strangers who never come back leave nothing behind.
#[test]
fn u3_who_does_not_come_back_costs_nothing() {
    let mut served = asking_for_cookies("127.0.0.1:0".into());
    let slots = |served: &mut Served| format!("{:?}", served.hub());
    served.turn();
    let before = slots(&mut served);
    for batch in 0..50_u8 {
        for stranger in 0..20 {
            let own = ([127, 92, batch, stranger], 0).into();
            Peer::at(own, served.address).send(b"I shall not wait for the answer");
        }
        served.rest();
    }
    assert_eq!(slots(&mut served), before);
    let (socket, sessions) = (served.socket, served.sessions);
    let hub = served.hub();
    assert_eq!((hub.count(sessions), hub.sessions(socket)), (1, 0));
    assert_eq!((hub.totals().accepts, hub.pending_timers()), (0, 0));
    assert_eq!(
        hub.totals().bytes_read,
        31 * 1_000,
        "all of them were heard"
    );
}

#[test]
fn u2_strangers_are_sent_three_times_their_bytes_at_most() {
    let mut served = Served::new();
    served.app.admit = Some(Box::new(|knock, _| {
        let sizes = [20, 11, 10, 1, 0];
        let sent = sizes.map(|size| knock.reply(&pattern(size)));
        let (yes, no) = (Sent::Accepted, Sent::Dropped);
        assert_eq!(sent, [yes, no, yes, no, yes]);
        false
    }));
    let peer = Peer::of(served.address);
    for _ in 0..3 {
        peer.send(b"ten bytes!");
        let lengths = [20, 10, 0].map(|_| served.receive(&peer).len());
        assert_eq!(lengths, [20, 10, 0]);
    }
    served.rest();
    assert_eq!(peer.receive(), None);
    let totals = served.hub().totals();
    assert_eq!((totals.panics, totals.bytes_written), (0, 90));
}

#[test]
fn u2_an_empty_datagram_is_answered_with_no_byte() {
    let mut served = Served::new();
    served.app.admit = Some(Box::new(|knock, _| {
        assert_eq!(knock.reply(b"!"), Sent::Dropped);
        false
    }));
    let peer = Peer::of(served.address);
    peer.send(b"");
    served.turns("the knock", |served| served.faults.count(Call::Receive) > 1);
    served.rest();
    assert_eq!(peer.receive(), None);
    assert_eq!(served.hub().totals().panics, 0);
}

/// Once admitted, how much is sent is the application's affair; and the limit is per datagram, so
/// that other strangers have theirs.
#[test]
fn u2_the_limit_is_each_strangers_own() {
    let mut served = Served::new();
    served.app.admit = Some(Box::new(|knock, datagram| {
        let length = 3 * datagram.len();
        assert_eq!(knock.reply(&pattern(length + 1)), Sent::Dropped);
        assert_eq!(knock.reply(&pattern(length)), Sent::Accepted);
        datagram.len() > 3
    }));
    served.app.on_message = Some(Box::new(|cx, _| {
        assert_eq!(cx.send(&pattern(1_000)), Sent::Accepted);
    }));
    let peers: Vec<_> = (1..=5).map(|_| Peer::of(served.address)).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.send(&pattern(number + 1));
    }
    for (number, peer) in peers.iter().enumerate() {
        assert_eq!(served.receive(peer).len(), 3 * (number + 1));
        if number + 1 > 3 {
            assert_eq!(served.receive(peer).len(), 1_000);
        }
    }
    served.rest();
    assert!(peers.iter().all(|peer| peer.receive().is_none()));
    assert_eq!(served.hub().totals().panics, 0);
}

/// A knock is a callback like any other: it may use the hub, and close the very socket.
#[test]
fn a_socket_closed_by_a_knock_admits_nobody() {
    let mut served = Served::new();
    served.app.admit = Some(Box::new(|knock, _| {
        let socket = knock.socket();
        knock.hub().close(socket);
        assert_eq!(knock.reply(b"?"), Sent::Closed);
        true
    }));
    let peer = Peer::of(served.address);
    peer.send(b"hello");
    let sessions = served.sessions;
    served.turns("the close", |served| served.hub().count(sessions) == 0);
    assert_eq!(served.app.events, []);
    assert_eq!(served.hub().totals().panics, 0);
}
