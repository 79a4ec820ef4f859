//! Where two connections, their limits and their heads meet: what is easily got wrong.

use std::io::Write;
use std::net::Shutdown;

use socket2::SockRef;

use crate::mounts::server;
use crate::proxied::Proxied;
use crate::served::{End, SECOND};
use crate::support::{client as connect, pattern, reset};
use crate::tunnels::{AGREED, ASK, open};

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_head_whose_length_is_not_told_is_answered_without_one() {
    for framing in ["Transfer-Encoding: chunked\r\n", ""] {
        let mut proxied = Proxied::new();
        let head = "HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = proxied.answered(head, format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
        assert_eq!(answer.field("content-length"), None, "{framing:?}");
    }
}

#[test]
fn the_host_of_an_absolute_target_is_the_host() {
    let mut proxied = Proxied::new();
    let request = "GET http://b:81/app HTTP/1.1\r\nHost: a\r\n\r\n";
    let (_client, _other, seen) = proxied.pass(request);
    assert!(seen.head.contains("\r\nX-Forwarded-Host: b:81\r\n"));
    assert!(seen.head.contains("\r\nHost: b:81\r\n"), "{}", seen.head);
}

#[test]
fn a_request_without_a_host_is_passed_on_with_one() {
    let mut proxied = Proxied::new();
    let (_client, _other, seen) = proxied.pass("GET /app HTTP/1.0\r\n\r\n");
    assert!(seen.head.contains("\r\nHost: "), "{}", seen.head);
}

#[test]
fn connection_cannot_take_the_host_away() {
    let mut proxied = Proxied::new();
    let request = "GET /app HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n";
    let (_client, _other, seen) = proxied.pass(request);
    assert!(seen.head.contains("\r\nHost: a\r\n"), "{}", seen.head);
}

#[test]
fn a_server_that_waits_for_the_body_is_not_silent() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(2 * SECOND));
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let (mut client, mut other, _) = proxied.pass(request);
    for byte in b"hello" {
        proxied.advance(SECOND);
        proxied.write(&mut client, &[*byte]);
        assert_eq!(proxied.read_exactly(&mut other, 1), [*byte]);
    }
    other
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    assert_eq!(proxied.read_one(&mut client, false).text(), "ok");
}

/// The client does not read, and what it says arrives all the same.
#[test]
fn each_direction_of_a_tunnel_goes_alone() {
    let mut proxied = Proxied::new();
    let (mut client, mut other) = open(&mut proxied);
    SockRef::from(&client)
        .set_recv_buffer_size(32 * 1024)
        .unwrap();
    let (down, mut sent) = (pattern(16 << 20), 0);
    proxied.stall(&mut other, &down, &mut sent);
    client.write_all(b"hello").unwrap();
    assert_eq!(proxied.read_exactly(&mut other, 5), b"hello");
}

/// The same of a body and its answer.
#[test]
fn a_body_arrives_whether_its_answer_is_read_or_not() {
    let mut proxied = Proxied::new();
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let (mut client, mut other, _) = proxied.pass(request);
    SockRef::from(&client)
        .set_recv_buffer_size(32 * 1024)
        .unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n";
    let (down, mut sent) = ([head.as_bytes(), &pattern(16 << 20)].concat(), 0);
    proxied.stall(&mut other, &down, &mut sent);
    client.write_all(b"hello").unwrap();
    assert_eq!(proxied.read_exactly(&mut other, 5), b"hello");
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_nonsense() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    other.write_all(AGREED.as_bytes()).unwrap();
    assert_eq!(proxied.read_one(&mut client, false).status, 502);
}

/// A 101 cannot be meant before the body of its request has been read.
#[test]
fn an_agreement_in_the_middle_of_a_body_leaves_nobody_waiting() {
    let mut proxied = Proxied::new();
    let request = ASK.replace("GET", "POST");
    let request = request.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhe");
    let (mut client, mut other, _) = proxied.pass(request);
    proxied.rest();
    other.write_all(AGREED.as_bytes()).unwrap();
    proxied.rest();
    client.write_all(b"llo").unwrap();
    proxied.rest();
    let (_, end) = proxied.peek(&mut client);
    drop(other);
    for _ in 0..100 {
        proxied.advance(SECOND);
    }
    assert!(end.is_some() || proxied.peek(&mut client).1.is_some());
    drop(client);
    proxied.assert_nothing_left();
}

/// The client dies after each number of turns since the agreement.
#[test]
fn a_client_that_dies_while_it_is_handed_over_leaves_nobody() {
    for turns in 0..8 {
        let mut proxied = Proxied::new();
        let (client, mut other, _) = proxied.pass(ASK);
        other.write_all(AGREED.as_bytes()).unwrap();
        for _ in 0..turns {
            proxied.turn();
        }
        reset(client);
        let mut end = proxied.peek(&mut other).1;
        for _ in 0..2 {
            proxied.advance(SECOND);
        }
        end = end.or_else(|| proxied.peek(&mut other).1);
        assert!(
            end.is_some(),
            "after {turns} turns; {:?} left after 2 s",
            proxied.counts()
        );
        drop(other);
        proxied.assert_nothing_left();
    }
}

#[test]
fn forwarded_for_ends_with_whoever_has_connected() {
    let mut proxied = Proxied::new();
    let upstream = proxied.upstream;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let server = server(switchboard::http::Options::default())
        .mount("/app", switchboard::http::Proxy::new(upstream, &to))
        .trust_proxy(["127.0.0.1"])
        .unwrap();
    let driver = proxied.reactor.add_driver(server);
    let listening = proxied.reactor.listen("127.0.0.1:0", driver).unwrap();
    let mut client = connect(listening.local_addr.ip().unwrap());
    client
        .write_all(b"GET /app HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
        .unwrap();
    proxied.rest();
    let (mut other, _) = listener.accept().unwrap();
    other.set_nonblocking(true).unwrap();
    let seen = proxied.see(&mut other);
    assert!(
        seen.head
            .contains("\r\nX-Forwarded-For: 10.0.0.1, 127.0.0.1\r\n"),
        "{}",
        seen.head
    );
}

/// What has been said before the stop arrives, although its reader takes its time, and whoever has
/// said it has gone.
#[test]
fn a_stop_does_not_cost_a_tunnel_what_waits() {
    for to_client in [true, false] {
        let mut proxied = Proxied::new();
        let (mut client, mut other) = open(&mut proxied);
        let (from, to) = match to_client {
            true => (&mut other, &mut client),
            false => (&mut client, &mut other),
        };
        SockRef::from(&*to).set_recv_buffer_size(32 * 1024).unwrap();
        let (data, mut written) = (pattern(16 << 20), 0);
        proxied.stall(from, &data, &mut written);
        let totals = *proxied.hub().totals();
        let waiting = proxied.hub().census().backlog as usize;
        assert!(waiting > 0);
        proxied.hub().shutdown(60 * SECOND);
        // The sender hears of it, and closes.
        assert_eq!(proxied.read_to_end(from).1, End::Fin);
        from.shutdown(Shutdown::Both).unwrap();
        proxied.rest();
        let (received, end) = proxied.read_to_end(to);
        assert_eq!(end, End::Fin, "after {} bytes", received.len());
        assert!(data.starts_with(&received));
        assert!(received.len() >= waiting, "{totals:?}");
    }
}
