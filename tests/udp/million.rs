//! Very many peers that come and never say goodbye: the table keeps to its bound, memory is where
//! it was, and who comes by TCP is served all the while. In processes of their own.

use std::net::TcpStream;
use std::ops::Range;

use switchboard::Bind;

use crate::alone::alone;
use crate::served::{MILLI, Peer, Served};
use crate::support::resident;

const PEERS: u32 = 50_000;
/// What each of them sends: a million datagrams in all.
const DATAGRAMS: u8 = 20;
/// Peers between two looks at the server. What they send fits into the kernel's buffer.
const BATCH: usize = 5;
const MAX_SESSIONS: usize = 1_000;
/// Pages that come and go with whatever else the process does.
const SLACK: usize = 1 << 20;

/// Each with an address of its own, all over 127.0.0.0/8, and all with one port.
fn flood(served: &mut Served, client: &mut TcpStream, port: u16, peers: Range<u32>) {
    let numbers: Vec<_> = peers.collect();
    for batch in numbers.chunks(BATCH) {
        let mut expected = Vec::new();
        for number in batch {
            let [_, high, middle, low] = number.to_be_bytes();
            let own = ([127, 101 + high, middle, low], port).into();
            let peer = Peer::at(own, served.address);
            for datagram in 0..DATAGRAMS {
                peer.send(&[high, middle, low, datagram]);
                expected.push([high, middle, low, datagram]);
            }
        }
        served.advance(MILLI);
        served.assert_echoes(client);
        served.until_arrived(expected.len());
        assert_eq!(served.app.arrived(), expected, "whole and in order");
        assert_eq!(served.app.opened().len(), batch.len());
        let (socket, sessions) = (served.socket, served.sessions);
        let hub = served.hub();
        assert!(hub.sessions(socket) <= MAX_SESSIONS);
        assert!(hub.count(sessions) <= 1 + MAX_SESSIONS);
        served.app.events.clear();
        served.app.counts.clear();
    }
}

#[test]
fn u3_a_million_datagrams_of_50_000_peers_keep_to_the_bound() {
    alone(1024, || {
        let bind = Bind::udp("127.0.0.1:0").max_sessions(MAX_SESSIONS);
        let mut served = Served::bound(bind);
        let mut client = served.tcp_client();
        // Whoever holds a port on one address keeps it from those who want it on all.
        let held = Peer::of(served.address);
        let port = held.address().port();
        flood(&mut served, &mut client, port, 0..PEERS / 10);
        let (before, timers) = (resident(), served.hub().pending_timers());
        flood(&mut served, &mut client, port, PEERS / 10..PEERS);
        let grown = resident().saturating_sub(before);
        assert!(grown <= SLACK, "{grown} bytes more than before");
        let socket = served.socket;
        let hub = served.hub();
        assert_eq!(hub.sessions(socket), MAX_SESSIONS);
        assert_eq!(hub.pending_timers(), timers);
        let totals = *hub.totals();
        assert_eq!(totals.evicted, u64::from(PEERS) - MAX_SESSIONS as u64);
        assert_eq!((totals.refused, totals.dropped), (0, 0));
        let datagrams = u64::from(PEERS) * u64::from(DATAGRAMS);
        assert!(totals.bytes_read >= 4 * datagrams);
        served.rest();
    });
}

/// What is kept to know the stalest by does not remember those who have ended otherwise.
#[test]
fn u3_sessions_that_come_and_go_leave_nothing_behind() {
    alone(1024, || {
        let mut served = Served::new();
        served.app.on_message = Some(Box::new(|cx, _| cx.close()));
        let peer = Peer::of(served.address);
        let churn = |served: &mut Served, sessions: usize| {
            for _ in 0..sessions / 50 {
                for _ in 0..50 {
                    peer.send(b"x");
                }
                served.until("the closes", |app| app.closed().len() == 50);
                served.app.events.clear();
                served.app.counts.clear();
            }
            served.rest();
            (resident(), served.hub().pending_timers())
        };
        let (before, _) = churn(&mut served, 10_000);
        let (after, timers) = churn(&mut served, 200_000);
        let grown = after.saturating_sub(before);
        assert!(grown <= SLACK, "{grown} bytes more than before");
        assert_eq!(timers, 0);
    });
}
