//! Bodies of requests, of any framing, as the other server sees them.

use std::io::Write;
use std::net::TcpStream;

use crate::proxied::Proxied;
use crate::served::SECOND;
use crate::support::pattern;

const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// The end of a body in chunks, taken out of them, once it is there.
fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).expect("a size");
        let data = bytes.get(line + 2..line + 4 + size)?;
        assert_eq!(&data[size..], b"\r\n");
        if size == 0 {
            assert_eq!(bytes.len(), line + 4, "bytes behind the last chunk");
            return Some(body);
        }
        body.extend_from_slice(&data[..size]);
        bytes = &bytes[line + 4 + size..];
    }
}

/// Has the other server answer, and the client see that.
fn finish(proxied: &mut Proxied, client: &mut TcpStream, mut other: TcpStream) {
    other.write_all(DONE).unwrap();
    drop(other);
    let answer = proxied.read_one(client, false);
    assert_eq!((answer.status, answer.text()), (200, "done"));
    assert!(!answer.closes(), "{answer:?}");
    proxied.until_upstream_is_gone();
    assert_eq!(proxied.counts(), (1, 0));
}

#[test]
fn bodies_of_a_length_arrive_at_any_split() {
    let request = b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    for at in 0..=request.len() {
        proxied.write(&mut client, &request[..at]);
        proxied.write(&mut client, &request[at..]);
        let mut other = proxied.accept();
        let seen = proxied.see(&mut other);
        assert!(seen.head.ends_with("\r\nContent-Length: 5\r\n\r\n"));
        let missing = 5 - seen.behind.len();
        let rest = proxied.read_exactly(&mut other, missing);
        assert_eq!([seen.behind, rest].concat(), b"hello");
        finish(&mut proxied, &mut client, other);
    }
}

#[test]
fn bodies_in_chunks_arrive_in_chunks_at_any_split() {
    let request = b"PUT /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n";
    let mut proxied = Proxied::new();
    let mut client = proxied.connect();
    for at in 0..=request.len() {
        proxied.write(&mut client, &request[..at]);
        proxied.write(&mut client, &request[at..]);
        let mut other = proxied.accept();
        let seen = proxied.see(&mut other);
        assert!(
            seen.head
                .ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n")
        );
        assert!(!seen.head.contains("Content-Length"));
        proxied.rest();
        let behind = [seen.behind, proxied.peek(&mut other).0].concat();
        assert_eq!(unchunk(&behind).as_deref(), Some(&b"hello"[..]), "at {at}");
        finish(&mut proxied, &mut client, other);
    }
}

#[test]
fn empty_bodies_are_no_bodies() {
    for (fields, told, behind) in [
        ("Content-Length: 0\r\n", "Content-Length: 0", ""),
        (
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked",
            "0\r\n\r\n",
        ),
    ] {
        let mut proxied = Proxied::new();
        let request = format!("POST /app HTTP/1.1\r\nHost: a\r\n{fields}\r\n{behind}");
        let (mut client, mut other, seen) = proxied.pass(request);
        assert!(seen.head.ends_with(&format!("\r\n{told}\r\n\r\n")));
        let rest = proxied.peek(&mut other).0;
        assert_eq!([&seen.behind[..], &rest].concat(), behind.as_bytes());
        finish(&mut proxied, &mut client, other);
    }
}

#[test]
fn a_get_may_have_a_body_too() {
    let mut proxied = Proxied::new();
    let request = "GET /app HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let (mut client, mut other, seen) = proxied.pass(request);
    assert!(seen.head.ends_with("\r\nContent-Length: 2\r\n\r\n"));
    let rest = proxied.read_exactly(&mut other, 2 - seen.behind.len());
    assert_eq!([seen.behind, rest].concat(), b"hi");
    finish(&mut proxied, &mut client, other);
}

#[test]
fn pieces_arrive_as_they_are_sent() {
    let mut proxied = Proxied::new();
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n";
    let (mut client, mut other, seen) = proxied.pass(request);
    assert_eq!(seen.behind, b"");
    for piece in [b"one", b"two"] {
        proxied.assert_silent(&mut other);
        proxied.write(&mut client, piece);
        assert_eq!(proxied.read_exactly(&mut other, 3), piece);
    }
    finish(&mut proxied, &mut client, other);
}

/// One read brings the head and most of the body, long before anybody is there to be sent it.
#[test]
fn a_body_that_is_there_before_the_other_server_is_not_lost() {
    let body = pattern(50_000);
    let mut proxied = Proxied::new();
    let head = format!(
        "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = proxied.connect();
    client
        .write_all(&[head.as_bytes(), &body].concat())
        .unwrap();
    let mut other = proxied.accept();
    let seen = proxied.see(&mut other);
    let rest = proxied.read_exactly(&mut other, body.len() - seen.behind.len());
    assert!([seen.behind, rest].concat() == body);
    finish(&mut proxied, &mut client, other);
}

#[test]
fn clients_that_wait_for_it_are_told_to_go_on_before_the_other_server_answers() {
    let mut proxied = Proxied::new();
    let request =
        "POST /app HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let (mut client, mut other, seen) = proxied.pass(request);
    // It is not asked to say so: it might not know how.
    assert!(!seen.head.contains("Expect"), "{}", seen.head);
    let (told, end) = proxied.peek(&mut client);
    assert_eq!(
        (&told[..], end),
        (&b"HTTP/1.1 100 Continue\r\n\r\n"[..], None)
    );
    proxied.advance(SECOND);
    proxied.write(&mut client, b"hello");
    assert_eq!(proxied.read_exactly(&mut other, 5), b"hello");
    proxied.advance(SECOND);
    proxied.assert_silent(&mut client);
    finish(&mut proxied, &mut client, other);
}

#[test]
fn malformed_chunks_are_refused_and_not_passed_on() {
    let mut proxied = Proxied::new();
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
    let (mut client, mut other, _) = proxied.pass(request);
    proxied.write(&mut client, b"zz\r\n");
    let answer = proxied.read_answer_and_end(&mut client);
    assert_eq!((answer.status, answer.closes()), (400, true));
    // The other server is not to believe that the body is complete.
    let (rest, end) = proxied.read_to_end(&mut other);
    assert_eq!(end, crate::served::End::Reset);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    drop(client);
    proxied.assert_nothing_left();
}
