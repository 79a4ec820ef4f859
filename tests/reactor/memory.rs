//! Memory: a claim costs nothing, and what a burst took is given back. Measured in processes of
//! their own.

use std::io::Write;

use switchboard::tcp::{Length, Lines};
use switchboard::{CloseReason, Config, Limits};

use crate::support::{Rig, pattern, resident};
use crate::tools::{in_child, messages, speak};

const MIB: usize = 1 << 20;

/// Bytes of address space that this process has asked for, touched or not.
fn reserved() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn t14_a_length_above_the_maximum_is_refused_on_the_header() {
    let mut rig = Rig::new();
    speak(&mut rig, Length::u32().max(1000));
    let (mut fits, fitting) = rig.connect();
    let (mut huge, refused) = rig.connect();
    fits.write_all(&1000_u32.to_be_bytes()).unwrap();
    huge.write_all(&1001_u32.to_be_bytes()).unwrap();
    assert_eq!(rig.read_to_end(&mut huge), b"");
    assert!(rig.reactor.hub().is_open(fitting));
    drop(huge);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(rig.world.closed(), [(refused, CloseReason::Protocol)]);
}

#[test]
fn t14_a_line_without_an_end_is_refused_at_the_maximum() {
    let mut rig = Rig::new();
    speak(&mut rig, Lines::default().max(1000));
    let (mut client, id) = rig.connect();
    for _ in 0..10 {
        client.write_all(&[b'x'; 100]).unwrap();
        rig.settle();
    }
    assert!(
        rig.reactor.hub().is_open(id),
        "1000 bytes may still become a line"
    );
    client.write_all(b"xx").unwrap();
    assert_eq!(rig.read_to_end(&mut client), b"");
    assert_eq!(messages(&rig.world, id), [b""; 0]);
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(rig.world.closed(), [(id, CloseReason::Protocol)]);
}

/// 100 clients claim a gigabyte each and send a byte of it.
#[test]
fn t14_a_length_that_is_claimed_reserves_nothing() {
    in_child(
        "memory::t14_a_length_that_is_claimed_reserves_nothing",
        || {
            let mut rig = Rig::new();
            speak(&mut rig, Length::u32().max(1 << 30));
            let mut clients: Vec<_> = (0..100).map(|_| rig.connect()).collect();
            let before = reserved();
            for (client, _) in &mut clients {
                client.write_all(&[0x40, 0, 0, 0, 1]).unwrap();
            }
            rig.settle();
            let grown = reserved().saturating_sub(before);
            assert!(grown < 100 * MIB, "{grown} bytes for 500 received");
            assert_eq!(rig.reactor.hub().count(rig.driver), 100);
            assert_eq!(rig.reactor.hub().totals().bytes_read, 500);
        },
    );
}

/// 300 connections with 256 KiB each to send, all read, then idle.
#[test]
fn t17_what_a_burst_took_is_given_back() {
    in_child("memory::t17_what_a_burst_took_is_given_back", || {
        let limits = Limits {
            max_backlog: MIB,
            ..Limits::default()
        };
        let config = Config {
            limits,
            ..Config::default()
        };
        let listen = crate::tools::small_listen();
        let mut rig = Rig::with(config, listen);
        let mut clients: Vec<_> = (0..300).map(|_| rig.connect()).collect();
        let burst = pattern(256 * 1024);
        let before = resident();
        for (_, id) in &clients {
            // In pieces as well as at once: each way has a buffer of its own.
            for piece in burst.chunks(1000) {
                assert!(rig.reactor.hub().send(*id, piece).is_taken());
            }
            assert!(rig.reactor.hub().send(*id, &burst).is_taken());
        }
        let peak = resident().saturating_sub(before);
        assert!(
            peak > 100 * MIB,
            "{peak} bytes: no burst, so this tests nothing"
        );
        for (client, _) in &mut clients {
            rig.read_exactly(client, 2 * burst.len());
        }
        rig.settle();
        let kept = resident().saturating_sub(before);
        assert!(
            kept < 25 * MIB,
            "{kept} of {peak} bytes kept by idle connections"
        );
    });
}
