//! Handshakes, both ways: whatever is asked, the answer has the lines that it should have and no
//! other; whatever is answered, what is taken for agreed was offered.
//!
//! An input's first byte says what it is, and whether its lines stand by themselves or behind a
//! handshake's usual ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::proto::http1::{Request, Response, Scan, Space, write};
use switchboard::proto::websocket::deflate::Deflate;
use switchboard::proto::websocket::handshake::{self, Offer, read_answer};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ASKED: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ANSWERED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const PROTOCOLS: [&str; 2] = ["chat", "superchat"];

/// The head that these bytes begin with.
fn head(data: &[u8]) -> Option<&[u8]> {
    let end = Scan::new(16 * 1024).find_end(data).ok()??;
    // Wherever it is cut, it ends at the same place.
    let mut scan = Scan::new(16 * 1024);
    let ends = (0..=data.len()).find_map(|at| scan.find_end(&data[..at]).ok().flatten());
    assert_eq!(ends, Some(end));
    Some(&data[..end])
}

/// A client asks this. The first line behind the head is what the server adds to its answer: a
/// sub-protocol, or a name and a value.
fn ask(data: &[u8]) {
    let Some(head) = head(data) else {
        return;
    };
    let mut space = Space::new();
    let Ok(request) = Request::parse(head, &mut space) else {
        return;
    };
    let Ok(offer) = Offer::read(&request) else {
        return;
    };
    assert!(offer.protocols().all(write::is_name));
    let more = &data[head.len()..];
    let more = String::from_utf8_lossy(more);
    let (name, value) = more.split_once('=').unwrap_or((&more, ""));
    let mut fields = Vec::new();
    let has_field = write::field(&mut fields, name, value.as_bytes());
    let offers = request.headers.all("Sec-WebSocket-Extensions");
    let agreed = Deflate::negotiate(offers, Deflate::default());
    if let Some(agreed) = agreed {
        agreed.write(&mut fields);
    }
    let first = offer.protocols().next();
    for protocol in [None, first, Some(&*more)] {
        let mut out = Vec::new();
        offer.accept(&mut out, protocol, &fields);
        let chosen = protocol.filter(|name| offer.protocols().any(|own| own == *name));
        let lines = 4
            + usize::from(chosen.is_some())
            + usize::from(has_field)
            + usize::from(agreed.is_some());
        assert_eq!(lines_of(&out), lines, "{}", out.escape_ascii());
        let end = Scan::new(usize::MAX).find_end(&out).expect("an answer");
        assert_eq!(end, Some(out.len()));
        // A field of the application's own may make it one that no client takes, such as a
        // second `Sec-WebSocket-Accept`; then it is the application's.
        if !has_field {
            let mut space = Space::new();
            let answer = Response::parse(&out, "GET", &mut space).expect("an answer");
            let key = request.headers.text("Sec-WebSocket-Key").expect("a key");
            let offered: Vec<_> = offer.protocols().collect();
            let read = read_answer(&answer, key, &offered, agreed.is_some());
            assert_eq!(read, Ok(chosen), "{}", out.escape_ascii());
        }
    }
}

/// Lines that have something in them, if each ends as it should and the last is empty.
fn lines_of(head: &[u8]) -> usize {
    let text = head.strip_suffix(b"\r\n\r\n").expect("an empty line");
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    let (last, others) = lines.split_last().expect("a line");
    assert!(others.iter().all(|line| line.ends_with(b"\r")));
    assert!(!last.contains(&b'\r'));
    lines.len()
}

/// A server answers this.
fn answer(data: &[u8]) {
    let Some(head) = head(data) else {
        return;
    };
    let mut space = Space::new();
    let Ok(response) = Response::parse(head, "GET", &mut space) else {
        return;
    };
    for extensions in [false, true] {
        let Ok(chosen) = read_answer(&response, KEY, &PROTOCOLS, extensions) else {
            continue;
        };
        assert_eq!(response.status, 101);
        assert!(chosen.is_none_or(|name| PROTOCOLS.contains(&name)));
        let field = response.headers.get("Sec-WebSocket-Extensions");
        assert!(extensions || field.is_none());
        let accept = response.headers.get("Sec-WebSocket-Accept");
        assert_eq!(accept, Some(&handshake::accept(KEY.as_bytes())[..]));
    }
}

/// We ask this: host, target, sub-protocols and their number, each in a line.
fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\n');
    let (host, target) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let protocols: Vec<_> = parts.collect();
    let mut out = b"before".to_vec();
    let complete = handshake::request(&mut out, host, target, KEY, &protocols, b"X: y\r\n");
    let asked = out.strip_prefix(b"before").expect("what was there");
    assert_eq!(complete, !asked.is_empty());
    if complete {
        let lines = 7 + usize::from(!protocols.is_empty());
        assert_eq!(lines_of(asked), lines, "{}", asked.escape_ascii());
        let end = Scan::new(usize::MAX).find_end(asked).expect("a request");
        assert_eq!(end, Some(asked.len()));
        let mut space = Space::new();
        // A host or a target of which nobody has heard is for the server to refuse.
        if let Ok(head) = Request::parse(asked, &mut space) {
            assert_eq!(head.target, target);
            assert_eq!(head.headers.get("X"), Some(&b"y"[..]));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 5 {
        0 => ask(data),
        1 => ask(&[ASKED, data].concat()),
        2 => answer(data),
        3 => answer(&[ANSWERED, data].concat()),
        _ => request(data),
    }
});
