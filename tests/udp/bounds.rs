//! A socket has as many sessions as it may, and then either the stalest goes or nobody comes.

use switchboard::{Bind, CloseReason, ConnId, Full};

use crate::served::{MILLI, Peer, Served};

fn evicting(max_sessions: usize) -> Served {
    Served::bound(Bind::udp("127.0.0.1:0").max_sessions(max_sessions))
}

fn sessions(served: &mut Served) -> usize {
    let socket = served.socket;
    served.hub().sessions(socket)
}

fn evicted(served: &Served) -> Vec<ConnId> {
    let closed = served.app.closed().into_iter();
    closed
        .map(|(id, reason)| {
            assert_eq!(reason, CloseReason::Evicted);
            id
        })
        .collect()
}

#[test]
fn u3_a_newcomer_takes_the_place_of_the_one_heard_of_longest_ago() {
    let mut served = evicting(3);
    let mut met = Vec::new();
    for _ in 0..10 {
        met.push(served.meet());
        served.advance(MILLI);
        assert!(sessions(&mut served) <= 3);
    }
    let expected: Vec<_> = met[..7].iter().map(|(_, id)| *id).collect();
    assert_eq!(evicted(&served), expected);
    assert_eq!(served.hub().totals().evicted, 7);
    let driver = served.sessions;
    assert_eq!(served.hub().count(driver), 4);
    for (peer, id) in &met[7..] {
        served.assert_serves(peer, *id);
    }
    // Whoever had to go may come again, at the expense of another.
    let (peer, old) = &met[0];
    peer.send(b"me again");
    served.until("the message", |app| {
        app.arrived().contains(&&b"me again"[..])
    });
    let (socket, address) = (served.socket, peer.address());
    assert_ne!(served.hub().session(socket, address), Some(*old));
    assert_eq!(evicted(&served)[7..], [met[7].1]);
}

/// What counts is when it was heard of, not when it came.
#[test]
fn u3_whoever_is_heard_of_outlives_those_who_came_later() {
    let mut served = evicting(3);
    let (first, id) = served.meet();
    let (_second, stale) = served.meet();
    let (third, _) = served.meet();
    served.advance(MILLI);
    first.send(b"here");
    third.send(b"here");
    served.until_arrived(5);
    served.advance(MILLI);
    served.meet();
    assert_eq!(evicted(&served), [stale]);
    served.assert_serves(&first, id);
}

/// However many strangers pass by, a session that is in use is not the one to go.
#[test]
fn u3_active_sessions_survive_a_flood_of_strangers() {
    let mut served = evicting(20);
    let active: Vec<_> = (0..5).map(|_| served.meet()).collect();
    let idle: Vec<_> = (0..15).map(|_| served.meet()).collect();
    for _ in 0..500 {
        served.advance(MILLI);
        for (peer, _) in &active {
            peer.send(b"on");
        }
        let arrived = served.app.arrived().len();
        served.until_arrived(arrived + active.len());
        served.meet();
        assert!(sessions(&mut served) <= 20);
    }
    let evicted = evicted(&served);
    assert_eq!(evicted.len(), 500);
    assert!(idle.iter().all(|(_, id)| evicted.contains(id)));
    for (peer, id) in &active {
        assert_eq!(served.app.of(*id).len(), 501);
        served.assert_serves(peer, *id);
    }
}

/// What ended otherwise is no reason to send away somebody who is active.
#[test]
fn u3_sessions_that_have_ended_do_not_stand_in_for_idle_ones() {
    let mut served = evicting(20);
    let gone: Vec<_> = (0..12).map(|_| served.meet()).collect();
    let (active, id) = served.meet();
    let (_idle, stale) = served.meet();
    for (_, id) in gone {
        served.hub().close(id);
    }
    served.rest();
    let _others: Vec<_> = (0..18).map(|_| served.meet()).collect();
    assert_eq!(sessions(&mut served), 20);
    served.advance(MILLI);
    served.assert_serves(&active, id);
    served.meet();
    let closed = served.app.closed();
    assert_eq!(closed[12..], [(stale, CloseReason::Evicted)]);
}

#[test]
fn u3_a_full_socket_may_refuse_instead() {
    let bind = Bind::udp("127.0.0.1:0")
        .max_sessions(3)
        .when_full(Full::Refuse);
    let mut served = Served::bound(bind);
    let met: Vec<_> = (0..3).map(|_| served.meet()).collect();
    let late = Peer::of(served.address);
    for count in 1..=5 {
        late.send(b"me?");
        served.turns("the refusal", |served| {
            served.hub().totals().refused == count
        });
    }
    served.rest();
    assert_eq!(served.app.opened().len(), 3);
    assert_eq!(
        (served.app.closed(), served.app.arrived().len()),
        (vec![], 3)
    );
    assert_eq!(served.hub().totals().evicted, 0);
    for (peer, id) in &met {
        served.assert_serves(peer, *id);
    }
    served.hub().close(met[1].1);
    served.turn();
    late.send(b"now?");
    served.until("the message", |app| app.arrived().contains(&&b"now?"[..]));
    assert_eq!(sessions(&mut served), 3);
    assert_eq!(served.hub().totals().refused, 5);
}

#[test]
fn u3_a_socket_may_have_no_sessions_at_all() {
    let mut served = evicting(0);
    let peer = Peer::of(served.address);
    peer.send(b"hello");
    served.turns("the refusal", |served| served.hub().totals().refused == 1);
    assert_eq!(served.app.events, []);
}
