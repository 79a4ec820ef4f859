//! A flood of datagrams has its budget, and everybody else is served in the same turns.

use std::io::Write;
use std::time::Duration;

use switchboard::{Bind, Config, Owner};

use crate::served::{Event, Peer, SECOND, Served, heard};
use crate::support::pattern;

/// Eight small datagrams.
const BUDGET: usize = 8 * 1024;

/// A server whose socket has the kernel keep many datagrams.
fn server() -> Served {
    let config = Config {
        read_budget: BUDGET,
        ..Config::default()
    };
    let bind = Bind::udp("127.0.0.1:0").receive_buffer(1 << 20);
    Served::with(config, bind)
}

#[test]
fn f33_tcp_is_served_in_every_turn_of_a_flood() {
    let mut served = server();
    let mut client = served.tcp_client();
    let (peer, id) = served.meet();
    served.rest();
    let mut flood = (0_u32..).map(u32::to_be_bytes);
    let mut send = |number| {
        let datagrams = flood.by_ref().take(number);
        datagrams.for_each(|datagram| peer.send(&datagram));
    };
    send(80);
    let mut answered = 0;
    let mut asked = false;
    for turn in 1..=200 {
        send(8);
        if !asked {
            client.write_all(b"t").unwrap();
            asked = true;
        }
        let report = served.turn();
        assert_eq!(served.app.of(id).len(), 1 + 8 * turn, "a budget a turn");
        // The datagrams, the client's byte, and that there is no more of it.
        assert!(report.reads <= 8 + 2, "{report:?}");
        if heard(&mut client) {
            (answered, asked) = (answered + 1, false);
        }
    }
    assert!(answered >= 190, "{answered} answers in 200 turns");
    let messages = &served.app.of(id)[1..];
    let sent = (0_u32..).map(u32::to_be_bytes);
    assert!(messages.iter().zip(sent).all(|(got, sent)| **got == sent));
}

/// What is left when the budget is spent needs no new edge, and the loop does not sleep over it.
#[test]
fn f33_a_socket_goes_on_in_the_next_turn_without_an_edge() {
    let mut served = server();
    let (peer, id) = served.meet();
    served.rest();
    for number in 0..100 {
        peer.send(&[number]);
    }
    served.turns("the edge", |served| served.app.of(id).len() > 1);
    assert_eq!(served.app.of(id).len(), 1 + 8);
    for turn in 2..=12 {
        assert_eq!(served.ready(), 1);
        // Were there nothing to do, this would wait.
        let wait = Some(Duration::from_secs(20));
        let report = served.reactor.turn(&mut served.app, wait).unwrap();
        assert_eq!(report.events, 0);
        assert_eq!(served.app.of(id).len(), 1 + 8 * turn);
    }
    served.rest();
    assert_eq!(served.app.of(id).len(), 101);
}

/// Large datagrams cost what they bring, so that few of them fill a turn.
#[test]
fn f33_the_budget_counts_bytes() {
    let mut served = server();
    let (peer, id) = served.meet();
    served.rest();
    for _ in 0..20 {
        peer.send(&pattern(4 * 1024));
    }
    served.turns("the edge", |served| served.app.of(id).len() > 1);
    assert_eq!(served.app.of(id).len(), 1 + 2);
    served.turn();
    assert_eq!(served.app.of(id).len(), 1 + 4);
}

/// Whatever is thrown away counts, too: strangers refused, datagrams too large.
#[test]
fn f33_what_is_dropped_has_the_same_budget() {
    let bind = Bind::udp("127.0.0.1:0")
        .receive_buffer(1 << 20)
        .max_datagram(10)
        .max_sessions(0);
    let config = Config {
        read_budget: BUDGET,
        ..Config::default()
    };
    let mut served = Served::with(config, bind);
    served.rest();
    let peer = Peer::of(served.address);
    for _ in 0..50 {
        peer.send(b"small");
        peer.send(b"and too large");
    }
    let totals = |served: &mut Served| {
        let totals = *served.hub().totals();
        (totals.refused, totals.oversize)
    };
    served.turns("the edge", |served| totals(served).0 > 0);
    for turn in 1..=12 {
        assert_eq!(totals(&mut served), (4 * turn, 4 * turn));
        served.turn();
    }
    served.rest();
    assert_eq!(totals(&mut served), (50, 50));
}

#[test]
fn f33_two_floods_take_turns() {
    let mut served = server();
    let bind = Bind::udp("127.0.0.1:0").receive_buffer(1 << 20);
    let other = served.reactor.bind(bind, served.bare).unwrap();
    let (peer, id) = served.meet();
    let second = Peer::of(other.local_addr);
    served.rest();
    let sockets = [served.socket, other.id];
    for socket in sockets {
        served.hub().pause(socket);
    }
    for _ in 0..80 {
        peer.send(b"one");
        second.send(b"other");
    }
    served.rest();
    for socket in sockets {
        served.hub().resume(socket);
    }
    for turn in 1..=10 {
        served.turn();
        let bare = |event: &&Event| matches!(event, Event::Datagram(..));
        let others = served.app.events.iter().filter(bare).count();
        assert_eq!((served.app.of(id).len() - 1, others), (8 * turn, 8 * turn));
    }
}

#[test]
fn f33_timers_fire_in_every_turn_of_a_flood() {
    let mut served = server();
    let (peer, _) = served.meet();
    let owner = Owner::Driver(served.sessions);
    for _ in 0..100 {
        for _ in 0..10 {
            peer.send(b"flood");
        }
        served.hub().set_timer(owner, SECOND / 100, 1);
        assert_eq!(served.advance(SECOND / 100).timers, 1);
        assert_eq!(served.ready(), 1, "the flood goes on");
    }
}
