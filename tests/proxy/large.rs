//! Bodies that no buffer holds: whoever reads slowly holds back whoever sends, little is kept in
//! between, and nothing is lost.

use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::proxied::{Proxied, most_backlog, read_into, write_from};
use crate::served::SECOND;
use crate::support::pattern;

const LARGE: usize = 8 << 20;

/// What may wait to be sent at most: the high mark, and what one turn brings until that is noticed.
/// The limit at which a connection is given up is 1 MiB.
const BOUND: usize = 512 * 1024;
const HIGH: usize = 64 * 1024;

/// Has the kernel keep little for this reader.
fn slow(stream: &TcpStream) {
    SockRef::from(stream)
        .set_recv_buffer_size(32 * 1024)
        .unwrap();
}

/// Sends `data` from one to the other, who does not read until nothing moves any more, and then
/// little at a time. Returns what arrived, and the most that waited in between.
fn squeeze(
    proxied: &mut Proxied,
    from: &mut TcpStream,
    to: &mut TcpStream,
    data: &[u8],
) -> (Vec<u8>, usize) {
    let (mut written, mut received, length) = (0, Vec::new(), data.len());
    let mut most = proxied.stall(from, data, &mut written);
    let drivers = [proxied.driver, proxied.upstream];
    proxied.served.turns("all of it", |served| {
        write_from(from, data, &mut written);
        let least = (received.len() + 128 * 1024).min(length);
        let end = read_into(to, &mut received, least);
        assert!(end.is_none() || received.len() == length, "{end:?}");
        most = most.max(most_backlog(served.hub(), drivers));
        received.len() == length
    });
    assert_eq!(written, data.len());
    (received, most)
}

fn assert_bounded(most: usize) {
    assert!((HIGH..BOUND).contains(&most), "{most} bytes waited");
}

fn answer_and_end(proxied: &mut Proxied, client: &mut TcpStream, mut other: TcpStream) {
    let mut at = 0;
    write_from(
        &mut other,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
        &mut at,
    );
    drop(other);
    assert_eq!(proxied.read_one(client, false).text(), "done");
}

#[test]
fn a_body_to_a_server_that_reads_slowly() {
    let (mut proxied, body) = (Proxied::new(), pattern(LARGE));
    let head = format!("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    let (mut client, mut other, _) = proxied.pass(head);
    slow(&other);
    let (received, most) = squeeze(&mut proxied, &mut client, &mut other, &body);
    assert!(received == body);
    assert_bounded(most);
    answer_and_end(&mut proxied, &mut client, other);
    drop(client);
    proxied.assert_nothing_left();
}

#[test]
fn a_body_in_chunks_to_a_server_that_reads_slowly() {
    let (mut proxied, body) = (Proxied::new(), pattern(LARGE));
    let head = "POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut client, mut other, _) = proxied.pass(head);
    slow(&other);
    let mut sent = Vec::new();
    for piece in body.chunks(100_000) {
        sent.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        sent.extend_from_slice(piece);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b"0\r\n\r\n");
    let (mut written, mut received, mut most) = (0, Vec::new(), 0);
    let drivers = [proxied.driver, proxied.upstream];
    proxied.served.turns("the last chunk", |served| {
        write_from(&mut client, &sent, &mut written);
        let least = received.len() + 128 * 1024;
        assert_eq!(read_into(&mut other, &mut received, least), None);
        most = most.max(most_backlog(served.hub(), drivers));
        received.ends_with(b"\r\n0\r\n\r\n")
    });
    assert!(most < BOUND, "{most} bytes waited");
    assert!(unchunked(&received) == body);
    answer_and_end(&mut proxied, &mut client, other);
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while !bytes.is_empty() {
        let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16);
        let (from, size) = (line + 2, size.unwrap());
        body.extend_from_slice(&bytes[from..from + size]);
        bytes = &bytes[from + size + 2..];
    }
    body
}

#[test]
fn an_answer_to_a_client_that_reads_slowly() {
    for framing in ["Content-Length: 8388608\r\n", ""] {
        let (mut proxied, body) = (Proxied::new(), pattern(LARGE));
        let (mut client, mut other, _) = proxied.pass("GET /app HTTP/1.0\r\nHost: a\r\n\r\n");
        slow(&client);
        let mut at = 0;
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n");
        write_from(&mut other, head.as_bytes(), &mut at);
        let head = until_empty_line(&mut proxied, &mut client);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(framing));
        let (received, most) = squeeze(&mut proxied, &mut other, &mut client, &body);
        assert!(received == body);
        assert_bounded(most);
        drop(other);
        assert_eq!(proxied.read_to_end(&mut client).0.len(), 0);
        drop(client);
        proxied.assert_nothing_left();
        assert_eq!(proxied.app.aborted, 0);
    }
}

/// Turns until a head has come, and no byte behind it.
fn until_empty_line(proxied: &mut Proxied, client: &mut TcpStream) -> String {
    let mut received = Vec::new();
    proxied.served.turns("a head", |_| {
        assert_eq!(read_into(client, &mut received, usize::MAX), None);
        received.ends_with(b"\r\n\r\n")
    });
    String::from_utf8(received).unwrap()
}

/// Both ways at once, and both read only what is left over.
#[test]
fn a_body_and_its_answer_at_once() {
    let (mut proxied, body) = (Proxied::new(), pattern(LARGE));
    let head = format!("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    let (mut client, mut other, _) = proxied.pass(head);
    slow(&client);
    slow(&other);
    let mut at = 0;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    write_from(&mut other, head.as_bytes(), &mut at);
    until_empty_line(&mut proxied, &mut client);
    let (mut up, mut down, mut most) = ((0, Vec::new()), (0, Vec::new()), 0);
    let drivers = [proxied.driver, proxied.upstream];
    proxied.served.turns("all of both", |served| {
        write_from(&mut client, &body, &mut up.0);
        // An answer that has ended would end its request too.
        let allowed = LARGE - usize::from(up.1.len() < LARGE);
        write_from(&mut other, &body[..allowed], &mut down.0);
        for (stream, received) in [(&mut other, &mut up.1), (&mut client, &mut down.1)] {
            let least = (received.len() + 64 * 1024).min(LARGE);
            let end = read_into(stream, received, least);
            assert!(end.is_none() || received.len() == LARGE, "{end:?}");
        }
        most = most.max(most_backlog(served.hub(), drivers));
        up.1.len() + down.1.len() == 2 * LARGE
    });
    assert!(up.1 == body && down.1 == body);
    assert!(most < BOUND, "{most} bytes waited");
}

/// A client that takes its time is no other server that is silent.
#[test]
fn a_client_that_pauses_does_not_cost_its_answer() {
    let (mut proxied, body) = (
        Proxied::with(|proxy| proxy.read_timeout(2 * SECOND)),
        pattern(LARGE),
    );
    let (mut client, mut other, _) = proxied.pass("GET /app HTTP/1.0\r\nHost: a\r\n\r\n");
    slow(&client);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let sent = [head.as_bytes(), &body].concat();
    let mut written = 0;
    proxied.stall(&mut other, &sent, &mut written);
    for _ in 0..7 {
        proxied.advance(Duration::from_secs(1));
    }
    let mut received = Vec::new();
    proxied.served.turns("all of it", |_| {
        write_from(&mut other, &sent, &mut written);
        read_into(&mut client, &mut received, usize::MAX).is_some()
    });
    assert!(received.ends_with(&body));
}
