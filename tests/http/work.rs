//! How much is done for a request: each byte of a head is looked at once, however it arrives.

use switchboard::proto::http1::Scan;

use crate::served::{Served, request};

/// A head of 16 KiB in all.
fn longest() -> Vec<u8> {
    let fields = |length: usize| format!("A: {}\r\n", "b".repeat(length));
    let around = request("GET /", &fields(0), "").len();
    request("GET /", &fields(16 * 1024 - around), "")
}

#[test]
fn h07_a_head_byte_by_byte_is_one_delivery_and_one_look_a_byte() {
    let head = longest();
    assert_eq!(head.len(), 16 * 1024);
    let mut served = Served::new();
    let mut client = served.connect();
    let (mut reads, mut turns) = (0, 0);
    let before = *served.hub().totals();
    for byte in &head {
        std::io::Write::write_all(&mut client, &[*byte]).unwrap();
        let expected = served.hub().totals().bytes_read + 1;
        served.turns("the byte", |served| {
            let turn = served.turn();
            (reads, turns) = (reads + turn.reads, turns + usize::from(turn.reads > 0));
            served.hub().totals().bytes_read == expected
        });
    }
    assert_eq!(
        served.hub().totals().bytes_read - before.bytes_read,
        16 * 1024
    );
    // A delivery a byte, and now and then a read that finds nothing.
    assert!(
        (16 * 1024..18 * 1024).contains(&reads),
        "{reads} reads in {turns} turns"
    );
    assert_eq!(served.read_answer(&mut client).status, 200);

    let (mut scan, mut looked) = (Scan::new(16 * 1024), 0);
    for end in 1..=head.len() {
        let before = scan.looked();
        let found = scan.find_end(&head[..end]).unwrap();
        looked += scan.looked() - before;
        assert_eq!(found.is_some(), end == head.len());
    }
    assert_eq!(looked, head.len());
}

#[test]
fn requests_in_one_read_are_one_read_and_one_write_however_many() {
    let mut served = Served::new();
    let mut client = served.connect();
    let all = request("GET /", "", "").repeat(400);
    std::io::Write::write_all(&mut client, &all).unwrap();
    let (mut reads, mut writes) = (0, 0);
    served.turns("the answers", |served| {
        let turn = served.turn();
        (reads, writes) = (reads + turn.reads, writes + turn.writes);
        served.app.seen.len() == 400
    });
    assert!(reads <= 2 && writes <= 2, "{reads} reads, {writes} writes");
}
