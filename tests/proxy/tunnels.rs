//! Upgrades that the other server agrees to: two connections are one from then on.

use std::io::Write;
use std::net::TcpStream;

use socket2::SockRef;

use crate::answer::answers;
use crate::proxied::{Proxied, most_backlog, read_into, write_from};
use crate::served::{End, SECOND};
use crate::support::pattern;

pub(crate) const ASK: &str =
    "GET /app HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
pub(crate) const AGREED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Key: k\r\n\r\n";

/// A client and the other server, who are one with each other.
pub(crate) fn open(proxied: &mut Proxied) -> (TcpStream, TcpStream) {
    let (mut client, mut other, _) = proxied.pass(ASK);
    other.write_all(AGREED.as_bytes()).unwrap();
    let head = proxied.read_exactly(&mut client, AGREED.len());
    assert_eq!(
        head.escape_ascii().to_string(),
        AGREED.as_bytes().escape_ascii().to_string()
    );
    (client, other)
}

#[test]
fn bytes_go_both_ways() {
    let mut proxied = Proxied::new();
    let (mut client, mut other) = open(&mut proxied);
    for round in 0..10 {
        let (up, down) = (format!("up {round}"), format!("down {round}"));
        proxied.write(&mut client, up.as_bytes());
        assert_eq!(proxied.read_exactly(&mut other, up.len()), up.as_bytes());
        proxied.write(&mut other, down.as_bytes());
        assert_eq!(
            proxied.read_exactly(&mut client, down.len()),
            down.as_bytes()
        );
    }
    // Both are the upstream's now.
    assert_eq!(proxied.counts(), (0, 2));
    drop((client, other));
    proxied.assert_nothing_left();
    assert_eq!(proxied.app.aborted, 0);
}

#[test]
fn bytes_right_behind_both_heads_arrive() {
    // They look like requests and answers, and are none.
    let up = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    let down = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
    let whole = format!("{ASK}{up}");
    for at in [1, ASK.len() - 1, ASK.len(), ASK.len() + 1, whole.len()] {
        let mut proxied = Proxied::new();
        let mut client = proxied.connect();
        proxied.write(&mut client, &whole.as_bytes()[..at]);
        client.write_all(&whole.as_bytes()[at..]).unwrap();
        let mut other = proxied.accept();
        let seen = proxied.see(&mut other);
        assert_eq!(seen.behind.escape_ascii().to_string(), "");
        proxied.assert_silent(&mut other);
        other
            .write_all(format!("{AGREED}{down}").as_bytes())
            .unwrap();
        assert_eq!(proxied.read_exactly(&mut other, up.len()), up.as_bytes());
        let expected = format!("{AGREED}{down}");
        let received = proxied.read_exactly(&mut client, expected.len());
        assert_eq!(
            received.escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
        proxied.write(&mut client, b"more");
        assert_eq!(proxied.read_exactly(&mut other, 4), b"more");
        drop((client, other));
        proxied.assert_nothing_left();
    }
}

#[test]
fn an_agreement_arrives_at_any_split() {
    let whole = format!("{AGREED}hello");
    for at in 1..whole.len() {
        let mut proxied = Proxied::new();
        let (mut client, mut other, _) = proxied.pass(ASK);
        proxied.write(&mut other, &whole.as_bytes()[..at]);
        other.write_all(&whole.as_bytes()[at..]).unwrap();
        let received = proxied.read_exactly(&mut client, whole.len());
        assert_eq!(
            received.escape_ascii().to_string(),
            whole.as_bytes().escape_ascii().to_string()
        );
    }
}

/// More than one read brings, while nobody knows yet what it is.
#[test]
fn many_bytes_behind_the_head_arrive() {
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    let data = pattern(1 << 20);
    let sent = [ASK.as_bytes(), &data].concat();
    let mut written = 0;
    write_from(&mut client, &sent, &mut written);
    let mut other = proxied.accept();
    proxied.see(&mut other);
    proxied.rest();
    other.write_all(AGREED.as_bytes()).unwrap();
    let mut received = Vec::new();
    proxied.served.turns("all of it", |_| {
        write_from(&mut client, &sent, &mut written);
        let end = read_into(&mut other, &mut received, data.len());
        assert_eq!(end, None, "after {} bytes", received.len());
        received.len() == data.len()
    });
    assert!(received == data);
}

#[test]
fn an_upgrade_that_is_declined_has_an_ordinary_answer() {
    for status in ["200 OK", "400 Bad Request", "426 Upgrade Required"] {
        let mut proxied = Proxied::new();
        let (mut client, mut other, _) = proxied.pass(ASK);
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
        other.write_all(reply.as_bytes()).unwrap();
        let answer = proxied.read_one(&mut client, false);
        assert_eq!(
            (&answer.status.to_string()[..], answer.text()),
            (&status[..3], "no")
        );
        assert!(!answer.closes());
        proxied.write(&mut client, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(proxied.read_one(&mut client, false).text(), "hello");
        drop((client, other));
        proxied.assert_nothing_left();
    }
}

#[test]
fn a_declined_upgrade_leaves_what_was_sent_ahead_as_requests() {
    let mut proxied = Proxied::new();
    let request = format!("{ASK}GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut client, mut other, _) = proxied.pass(request);
    other
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        .unwrap();
    let mut received = Vec::new();
    proxied.served.turns("two answers", |_| {
        assert_eq!(read_into(&mut client, &mut received, usize::MAX), None);
        received.ends_with(b"hello")
    });
    assert_eq!(answers(&received).len(), 2);
}

/// Whoever does not read holds back whoever sends, and little is kept in between.
#[test]
fn back_pressure_reaches_through_both_ways() {
    for to_client in [false, true] {
        let mut proxied = Proxied::new();
        let (mut client, mut other) = open(&mut proxied);
        let (from, to) = match to_client {
            true => (&mut other, &mut client),
            false => (&mut client, &mut other),
        };
        SockRef::from(&*to).set_recv_buffer_size(32 * 1024).unwrap();
        let data = pattern(16 << 20);
        let (mut written, mut received) = (0, Vec::new());
        let drivers = [proxied.driver, proxied.upstream];
        let mut most = proxied.stall(from, &data, &mut written);
        proxied.served.turns("all of it", |served| {
            write_from(from, &data, &mut written);
            let least = (received.len() + 256 * 1024).min(data.len());
            assert_eq!(read_into(to, &mut received, least), None);
            most = most.max(most_backlog(served.hub(), drivers));
            received.len() == data.len()
        });
        assert!(received == data);
        assert!(most < 512 * 1024, "{most} bytes waited");
        // And the other way it still goes.
        drop((client, other));
        proxied.assert_nothing_left();
    }
}

/// What both say is nobody's affair, and how often.
#[test]
fn tunnels_may_be_silent() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(SECOND));
    let (mut client, mut other) = open(&mut proxied);
    for _ in 0..200 {
        proxied.advance(SECOND);
    }
    proxied.write(&mut client, b"up");
    assert_eq!(proxied.read_exactly(&mut other, 2), b"up");
    proxied.write(&mut other, b"down");
    assert_eq!(proxied.read_exactly(&mut client, 4), b"down");
}

#[test]
fn an_agreement_may_take_only_so_long() {
    let mut proxied = Proxied::with(|proxy| proxy.read_timeout(SECOND));
    let (mut client, mut other, _) = proxied.pass(ASK);
    proxied.advance(SECOND);
    assert_eq!(proxied.read_one(&mut client, false).status, 504);
    assert_eq!(proxied.read_to_end(&mut other).1, End::Reset);
}

#[test]
fn many_tunnels_do_not_get_mixed_up() {
    let mut proxied = Proxied::new();
    let mut pairs: Vec<_> = (0..50).map(|_| open(&mut proxied)).collect();
    for (number, (client, other)) in pairs.iter_mut().enumerate() {
        client
            .write_all(format!("up {number:3}").as_bytes())
            .unwrap();
        other
            .write_all(format!("dn {number:3}").as_bytes())
            .unwrap();
    }
    for (number, (client, other)) in pairs.iter_mut().enumerate() {
        assert_eq!(
            proxied.read_exactly(other, 6),
            format!("up {number:3}").as_bytes()
        );
        assert_eq!(
            proxied.read_exactly(client, 6),
            format!("dn {number:3}").as_bytes()
        );
    }
    drop(pairs);
    proxied.assert_nothing_left();
}

#[test]
fn an_agreement_after_the_body_becomes_a_tunnel() {
    let mut proxied = Proxied::new();
    let request = ASK.replace("GET", "POST");
    let request = request.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello");
    let (mut client, mut other, seen) = proxied.pass(request);
    assert_eq!(
        proxied
            .read_exactly(&mut other, 5 - seen.behind.len())
            .len()
            + seen.behind.len(),
        5
    );
    other.write_all(AGREED.as_bytes()).unwrap();
    assert_eq!(
        proxied.read_exactly(&mut client, AGREED.len()),
        AGREED.as_bytes()
    );
    proxied.write(&mut client, b"up");
    assert_eq!(proxied.read_exactly(&mut other, 2), b"up");
}
