//! Answers of the other server, of any framing, as the client gets them.

use std::io::Write;
use std::net::Shutdown;

use crate::answer::{Answer, answers};
use crate::proxied::Proxied;
use crate::served::End;

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";

/// What a client gets whose `GET` is answered so.
fn got(reply: &str) -> Answer {
    Proxied::new().answered(GET, reply)
}

fn framing(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (
        answer.field("content-length"),
        answer.field("transfer-encoding"),
    )
}

#[test]
fn answers_of_a_length_keep_it() {
    let answer = got("HTTP/1.1 201 Made\r\nContent-Type: x/y\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((answer.status, answer.text()), (201, "hello"));
    assert_eq!(framing(&answer), (Some("5"), None));
    assert_eq!(answer.field("content-type"), Some("x/y"));
    assert!(!answer.closes());
}

#[test]
fn answers_in_chunks_stay_in_chunks() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, text) in [
        ("3\r\nhel\r\n2;x\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n", "hello"),
        ("0\r\n\r\n", ""),
    ] {
        let answer = got(&format!("{reply}{body}"));
        assert_eq!((answer.status, answer.text()), (200, text));
        assert_eq!(framing(&answer), (None, Some("chunked")));
    }
}

#[test]
fn answers_until_the_end_of_the_connection_become_chunks() {
    for version in ["1.0", "1.1"] {
        for text in ["hello", ""] {
            let answer = got(&format!("HTTP/{version} 200 OK\r\n\r\n{text}"));
            assert_eq!((answer.status, answer.text()), (200, text));
            assert_eq!(framing(&answer), (None, Some("chunked")));
            assert!(!answer.closes());
        }
    }
}

#[test]
fn clients_of_http_1_0_get_what_they_know() {
    let request = "GET /app HTTP/1.0\r\nHost: a\r\n\r\n";
    for reply in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let mut proxied = Proxied::new();
        let (mut client, mut other, _) = proxied.pass(request);
        other.write_all(reply.as_bytes()).unwrap();
        drop(other);
        let answer = proxied.read_answer_and_end(&mut client);
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.field("transfer-encoding"), None);
    }
}

#[test]
fn answers_arrive_at_any_split() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let mut proxied = Proxied::new();
        let mut client = proxied.connect();
        for at in 1..reply.len() {
            proxied.write(&mut client, GET.as_bytes());
            let mut other = proxied.accept();
            proxied.see(&mut other);
            proxied.write(&mut other, &reply.as_bytes()[..at]);
            proxied.write(&mut other, &reply.as_bytes()[at..]);
            let answer = proxied.read_one(&mut client, false);
            assert_eq!((answer.status, answer.text()), (200, "hello"), "at {at}");
        }
    }
}

#[test]
fn pieces_arrive_as_they_are_answered() {
    let mut proxied = Proxied::new();
    let (mut client, mut other, _) = proxied.pass(GET);
    proxied.write(&mut other, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    let (head, _) = proxied.peek(&mut client);
    assert!(head.ends_with(b"\r\n\r\n"));
    for piece in [b"one", b"two"] {
        proxied.write(&mut other, piece);
        assert_eq!(proxied.read_exactly(&mut client, 3), piece);
    }
}

#[test]
fn statuses_without_a_body_have_none() {
    for (status, fields) in [
        ("204 No Content", ""),
        ("304 Not Modified", "ETag: \"x\"\r\n"),
        // It says how long the answer to a `GET` that asks unconditionally would be.
        ("304 Not Modified", "Content-Length: 5\r\n"),
    ] {
        let mut proxied = Proxied::new();
        let (mut client, mut other, _) = proxied.pass(GET);
        let reply = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        // It need not close for us to know that this is all.
        other.write_all(reply.as_bytes()).unwrap();
        let answer = proxied.read_one(&mut client, false);
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(answer.field("transfer-encoding"), None);
        assert!(answer.status == 304 || answer.field("content-length").is_none());
        assert!(!answer.closes());
        // The next request is understood.
        proxied.write(&mut client, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(proxied.read_one(&mut client, false).text(), "hello");
    }
}

#[test]
fn an_empty_answer_is_one() {
    let answer = got("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(framing(&answer), (Some("0"), None));
}

#[test]
fn a_head_is_answered_with_the_length_that_get_would_have() {
    let mut proxied = Proxied::new();
    let head = "HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut client, mut other, seen) = proxied.pass(head);
    assert!(seen.head.starts_with("HEAD /app HTTP/1.1\r\n"));
    // It does not close.
    other
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nETag: \"x\"\r\n\r\n")
        .unwrap();
    let answer = proxied.read_one(&mut client, true);
    assert_eq!(framing(&answer), (Some("5000"), None));
    assert_eq!(answer.field("etag"), Some("\"x\""));
    proxied.write(&mut client, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(proxied.read_one(&mut client, false).text(), "hello");
}

#[test]
fn interim_answers_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let answer = got(&format!(
        "{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    ));
    assert_eq!((answer.status, answer.text()), (200, "hi"));
    assert_eq!(answer.field("link"), None);
}

#[test]
fn fields_of_answers_arrive_but_those_about_the_connection() {
    let answer = got(
        "HTTP/1.1 200 OK\r\nServer: other\r\nSet-Cookie: a=1\r\nConnection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTrailer: X-Sum\r\nUpgrade: h2c\r\nDate: yesterday\r\nSet-Cookie: b=2\r\nX-Other: \r\nContent-Length: 2\r\n\r\nhi",
    );
    let fields = answer
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let fields: Vec<_> = fields.filter(|field| field != "content-length=2").collect();
    let expected = [
        "server=other",
        "set-cookie=a=1",
        "set-cookie=b=2",
        "x-other=",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn what_is_compressed_already_stays_as_it_is() {
    let mut proxied = Proxied::new();
    let request = "GET /app HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    let body = "x".repeat(4096);
    for fields in ["Content-Encoding: gzip\r\n", "Content-Type: text/plain\r\n"] {
        let reply = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4096\r\n\r\n{body}");
        let answer = proxied.answered(request, reply);
        assert!(answer.text() == body, "{fields}");
    }
}

#[test]
fn bytes_behind_an_answer_are_nobodys() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n",
    ] {
        let end = if reply.contains("chunked") {
            "\r\n0\r\n\r\n"
        } else {
            ""
        };
        let behind = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        // In one piece, and later.
        for at in [0, 1] {
            let mut proxied = Proxied::new();
            let (mut client, mut other, _) = proxied.pass(GET);
            let reply = format!("{reply}hi{end}");
            proxied.write(
                &mut other,
                &[reply.as_bytes(), &behind.as_bytes()[at..]].concat(),
            );
            let answer = proxied.read_one(&mut client, false);
            assert_eq!(answer.text(), "hi");
            other.write_all(behind.as_bytes()).unwrap();
            proxied.assert_silent(&mut client);
            proxied.write(&mut client, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(proxied.read_one(&mut client, false).text(), "hello");
        }
    }
}

/// What is not taken of the body cannot be told from the next request.
#[test]
fn an_answer_before_the_body_is_complete_ends_the_connection() {
    for (fields, begin) in [
        ("Content-Length: 100000", ""),
        ("Content-Length: 100000", "some of it"),
        ("Transfer-Encoding: chunked", "4\r\nsome\r\n"),
    ] {
        let mut proxied = Proxied::new();
        let request = format!("POST /app HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{begin}");
        let (mut client, mut other, _) = proxied.pass(request);
        proxied.rest();
        proxied.peek(&mut other);
        other
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            .unwrap();
        let (received, end) = proxied.read_to_end(&mut client);
        let answers = answers(&received);
        assert_eq!((answers.len(), answers[0].status, end), (1, 413, End::Fin));
        assert!(answers[0].closes() && answers[0].text() == "no");
        // Neither is the rest passed on, nor is it taken for a request.
        client
            .write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        proxied.rest();
        drop((client, other));
        proxied.assert_nothing_left();
        assert_eq!(proxied.app.aborted, 0);
    }
}

/// An answer may begin, go on and end while the request is still on its way.
#[test]
fn an_answer_may_go_along_with_its_request() {
    let mut proxied = Proxied::new();
    let request = "POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut client, mut other, _) = proxied.pass(request);
    proxied.write(&mut other, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    let (head, _) = proxied.peek(&mut client);
    assert!(head.ends_with(b"\r\n\r\n"));
    for piece in ["one", "two"] {
        proxied.write(&mut client, format!("3\r\n{piece}\r\n").as_bytes());
        assert_eq!(
            proxied.read_exactly(&mut other, 8),
            format!("3\r\n{piece}\r\n").as_bytes()
        );
        proxied.write(&mut other, piece.as_bytes());
        assert_eq!(proxied.read_exactly(&mut client, 3), piece.as_bytes());
    }
    assert_eq!(proxied.read_to_end(&mut client), (Vec::new(), End::Fin));
}
