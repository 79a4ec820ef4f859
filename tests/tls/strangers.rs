//! Row 7: whoever speaks something else than TLS, and TLS where it is not spoken.

use std::io::ErrorKind;
use std::net::TcpStream;

use switchboard::{Dial, http};

use crate::far::post;
use crate::near::{Near, trusting};
use crate::support::{client, read_some};

/// Says this on a new connection, and reads until it ends.
fn ask(near: &mut Near, data: &[u8]) -> Vec<u8> {
    let stream = client(near.address());
    near.turns("a handshake", |near| near.hub().census().handshakes == 1);
    post(&stream, data);
    read_to_end(near, stream)
}

fn read_to_end(near: &mut Near, mut stream: TcpStream) -> Vec<u8> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    near.turns("the end", |_| {
        match read_some(&mut stream, &mut buffer) {
            Some(0) => return true,
            Some(read) => received.extend_from_slice(&buffer[..read]),
            None => {}
        }
        false
    });
    received
}

fn assert_untold(near: &mut Near, times: u64) {
    near.rest();
    near.assert_nothing_left();
    assert_eq!(near.world.events, []);
    assert_eq!(near.hub().totals().handshakes_failed, times);
}

#[test]
fn tls7_whoever_speaks_http_is_told_in_http() {
    let mut near = Near::new();
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        // The preface of HTTP/2: RFC 9113, section 3.4.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "G",
    ] {
        let answer = String::from_utf8(ask(&mut near, request.as_bytes())).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains("Connection: close"), "{head}");
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head} of {body:?}");
        assert!(body.contains("https"), "{body}");
    }
    assert_untold(&mut near, 4);
}

/// What is no record is answered by an alert at most, and never in plain words.
#[test]
fn tls7_random_bytes_end_the_connection() {
    let mut near = Near::new();
    let cases: [&[u8]; 6] = [
        b"get / http/1.1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
        &[0xFF; 100],
        // SSL 2.0, as some scanners still send it.
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        // A record that is too long: RFC 8446, section 5.1.
        b"\x16\x03\x01\xff\xff\x01\x00\x00",
        // Application data before a handshake.
        b"\x17\x03\x03\x00\x05hello",
    ];
    for data in cases {
        let answer = ask(&mut near, data);
        let text = answer.escape_ascii().to_string();
        assert!(answer.is_empty() || answer[0] == 21, "{text}");
        assert!(answer.len() <= 7, "{text}");
    }
    assert_untold(&mut near, 6);
}

/// A close with unread input is a reset, and a reset takes with it what was on its way.
#[test]
fn tls7_an_alert_outlives_what_was_not_read() {
    let mut near = Near::new();
    let answer = ask(&mut near, &[0xFF; 200_000]);
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50], "decode_error");
    let read = near.hub().totals().bytes_read;
    assert_eq!(read, 200_000, "handshakes are counted in");
    assert_untold(&mut near, 1);
}

/// Capitals come from a client that has begun with TLS, too.
#[test]
fn tls7_only_the_first_bytes_make_it_http() {
    let mut near = Near::new();
    let mut far = near.stranger(crate::far::client_config());
    let hello = far.take_unsent();
    post(&far.stream, &hello[..1]);
    near.rest();
    post(&far.stream, b"GET / HTTP/1.1\r\n\r\n");
    let answer = read_to_end(&mut near, far.stream);
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
}

#[test]
fn tls7_tls_to_a_server_of_plain_http_fails_and_says_why() {
    let mut near = Near::new();
    let plain = http::Server::new().get("/", |_: &mut crate::support::World, cx, _| {
        cx.respond("hello").ignore();
    });
    let plain = near.reactor.add_driver(plain);
    let listening = near.reactor.listen("127.0.0.1:0", plain).unwrap();
    let address = listening.local_addr.ip().unwrap();
    let dial = Dial::tcp(address).ticket(7_u32);
    let dial = dial.tls(&trusting(), "localhost").unwrap();
    let dialler = near.dialler;
    let id = near.hub().connect(dial, dialler);
    near.turns("the failure", |near| {
        near.hub().census().tcp.open == 0 && near.hub().census().handshakes == 0
    });
    near.rest();
    let failure = near.failure(id);
    assert_eq!(failure.kind, ErrorKind::InvalidData);
    let expected = format!("no TLS with tcp {address}: received corrupt message");
    assert!(failure.text.starts_with(&expected), "{failure:?}");
    assert!(failure.text.ends_with("it may not speak TLS at all"));
    assert_eq!(near.hub().count(plain), 0, "nor does the server keep it");
}
