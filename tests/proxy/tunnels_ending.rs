//! How tunnels end: what one side does, the other side sees.

use std::io::Write;
use std::net::Shutdown;

use crate::proxied::{Proxied, read_into, write_from};
use crate::served::End;
use crate::support::{pattern, reset};
use crate::tunnels::{AGREED, ASK, open};

#[test]
fn a_client_that_has_finished_may_go_on_reading() {
    let mut proxied = Proxied::new();
    let (mut client, mut other) = open(&mut proxied);
    client.write_all(b"last").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        proxied.read_to_end(&mut other),
        (b"last".to_vec(), End::Fin)
    );
    proxied.write(&mut other, b"still here");
    assert_eq!(proxied.read_exactly(&mut client, 10), b"still here");
    assert_eq!(proxied.counts(), (0, 2));
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(proxied.read_to_end(&mut client), (Vec::new(), End::Fin));
    proxied.assert_nothing_left();
}

#[test]
fn a_server_that_has_finished_may_go_on_reading() {
    let mut proxied = Proxied::new();
    let (mut client, mut other) = open(&mut proxied);
    other.write_all(b"last").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        proxied.read_to_end(&mut client),
        (b"last".to_vec(), End::Fin)
    );
    proxied.write(&mut client, b"still here");
    assert_eq!(proxied.read_exactly(&mut other, 10), b"still here");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(proxied.read_to_end(&mut other), (Vec::new(), End::Fin));
    proxied.assert_nothing_left();
}

#[test]
fn resets_are_carried_both_ways() {
    for by_client in [false, true] {
        let mut proxied = Proxied::new();
        let (client, other) = open(&mut proxied);
        let (gone, mut left) = match by_client {
            true => (client, other),
            false => (other, client),
        };
        reset(gone);
        assert_eq!(proxied.read_to_end(&mut left), (Vec::new(), End::Reset));
        drop(left);
        proxied.assert_nothing_left();
    }
}

/// A reset does not wait until anybody has taken what came before it.
#[test]
fn resets_are_carried_past_what_waits() {
    for (by_client, by_reader) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut proxied = Proxied::new();
        let (client, other) = open(&mut proxied);
        let (gone, mut left) = match by_client {
            true => (client, other),
            false => (other, client),
        };
        let (data, mut written) = (pattern(16 << 20), 0);
        let mut sender = if by_reader { &left } else { &gone }.try_clone().unwrap();
        proxied.stall(&mut sender, &data, &mut written);
        drop(sender);
        reset(gone);
        assert_eq!(proxied.read_to_end(&mut left).1, End::Reset);
        drop(left);
        proxied.assert_nothing_left();
    }
}

/// Its end comes behind all that it has sent, however slowly that is taken.
#[test]
fn an_end_does_not_overtake_the_bytes_before_it() {
    for by_client in [false, true] {
        let mut proxied = Proxied::new();
        let (mut client, mut other) = open(&mut proxied);
        let (from, to) = match by_client {
            true => (&mut client, &mut other),
            false => (&mut other, &mut client),
        };
        let (data, mut written, mut received, mut end) = (pattern(4 << 20), 0, Vec::new(), None);
        proxied.served.turns("the end", |_| {
            let before = written;
            write_from(from, &data, &mut written);
            if before < data.len() && written == data.len() {
                from.shutdown(Shutdown::Write).unwrap();
            }
            let least = received.len() + 64 * 1024;
            end = read_into(to, &mut received, least);
            end.is_some()
        });
        assert!(received == data, "{} bytes", received.len());
        assert_eq!(end, Some(End::Fin));
        drop((client, other));
        proxied.assert_nothing_left();
    }
}

#[test]
fn a_server_that_agrees_and_finishes_at_once() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(ASK);
    other.write_all(format!("{AGREED}bye").as_bytes()).unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    let (received, end) = proxied.read_to_end(&mut client);
    assert_eq!(
        (received, end),
        (format!("{AGREED}bye").into_bytes(), End::Fin)
    );
    proxied.write(&mut client, b"well");
    assert_eq!(proxied.read_exactly(&mut other, 4), b"well");
    drop((client, other));
    proxied.assert_nothing_left();
}

#[test]
fn a_server_that_agrees_and_resets_at_once() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(ASK);
    other.write_all(AGREED.as_bytes()).unwrap();
    reset(other);
    // What it said may be lost, as with any reset: then the client hears of a bad gateway.
    let (received, end) = proxied.peek(&mut client);
    let text = String::from_utf8(received).unwrap();
    let told = text.is_empty() || text == AGREED;
    match end {
        Some(End::Reset) => assert!(told, "{text}"),
        end => assert!(end.is_none() && text.starts_with("HTTP/1.1 502 "), "{text}"),
    }
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn a_client_that_finishes_before_the_agreement_is_taken_for_gone() {
    let mut proxied = Proxied::new();
    let (client, mut other, _) = proxied.pass(ASK);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(proxied.read_to_end(&mut other).1, End::Reset);
    drop((client, other));
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 1);
}

/// Each side dies after each number of turns since the agreement: the other one does not outlive it.
#[test]
fn nobody_is_left_alone_while_two_become_one() {
    for (by_client, resets) in [(false, false), (false, true), (true, false)] {
        for turns in 0..8 {
            let mut proxied = Proxied::new();
            let (client, mut other, _) = proxied.pass(ASK);
            other.write_all(AGREED.as_bytes()).unwrap();
            for _ in 0..turns {
                proxied.turn();
            }
            let (gone, mut left) = match by_client {
                true => (client, other),
                false => (other, client),
            };
            match resets {
                true => reset(gone),
                false => drop(gone),
            }
            proxied.peek(&mut left);
            drop(left);
            proxied.assert_nothing_left();
        }
    }
}
