//! Servers that answer wrongly: the dial fails once, with its ticket and a text that says why, and
//! nothing that they send is taken for more.

use std::net::Shutdown;

use crate::far::{End, answer};
use crate::served::Served;
use crate::support::reset;

/// The answer that would be right.
fn right(request: &str) -> String {
    String::from_utf8(answer(request, "")).unwrap()
}

/// What is said when a server answers like this.
fn complaint(
    served: &mut Served,
    protocols: &[&str],
    wrong: impl FnOnce(&str) -> Vec<u8>,
) -> String {
    let before = served.app.failed().len();
    let (mut far, request) = served.dial(|dial| dial.protocols(protocols).ticket("a ticket"));
    let bytes = wrong(&request);
    served.write(&mut far, &bytes);
    assert_eq!(served.read_text(&mut far), (String::new(), End::Reset));
    served.rest();
    let failed = served.app.failed();
    assert_eq!(failed.len(), before + 1, "{failed:?}");
    let (ticket, text) = failed.last().unwrap();
    assert_eq!(*ticket, Some("a ticket"));
    let peer = far.stream.local_addr().unwrap();
    let rest = text.strip_prefix(&format!("no WebSocket with tcp {peer}: "));
    rest.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn another_status_is_named() {
    let mut served = Served::quiet();
    for (status, fields) in [
        ("200 OK", "Content-Length: 2\r\n\r\nhi"),
        ("400 Bad Request", "\r\n"),
        ("404 Not Found", "Content-Length: 0\r\n\r\n"),
        ("426 Upgrade Required", "Sec-WebSocket-Version: 8\r\n\r\n"),
        (
            "503 Service Unavailable",
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let text = complaint(&mut served, &[], |_| {
            format!("HTTP/1.1 {status}\r\n{fields}").into_bytes()
        });
        assert_eq!(text, format!("the server answered {status}"));
    }
    assert!(served.app.opened().is_empty());
    served.assert_nothing_left();
}

#[test]
fn w13_a_redirect_is_not_followed() {
    let mut served = Served::quiet();
    let elsewhere = crate::support::Listener::new();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
    ] {
        let text = complaint(&mut served, &[], |_| {
            let address = elsewhere.address();
            format!("HTTP/1.1 {status}\r\nLocation: ws://{address}/\r\nContent-Length: 0\r\n\r\n")
                .into_bytes()
        });
        assert_eq!(text, format!("the server answered {status}"));
    }
    assert!(elsewhere.accept().is_none());
}

#[test]
fn an_answer_that_does_not_fit_the_request_is_refused() {
    let mut served = Served::quiet();
    let offered = ["chat"];
    let upgrade = "the answer does not upgrade to WebSocket";
    let accept = "Sec-WebSocket-Accept does not go with the key";
    let protocol = "a sub-protocol that was not offered";
    let extension = "an extension that was not offered, or not in this way";
    type Change = fn(&str) -> String;
    let wrong: [(Change, &str); 12] = [
        (|right| right.replace("Upgrade: websocket\r\n", ""), upgrade),
        (
            |right| right.replace("Upgrade: websocket", "Upgrade: h2c"),
            upgrade,
        ),
        (
            |right| right.replace("Connection: Upgrade\r\n", ""),
            upgrade,
        ),
        (
            |right| right.replace("Connection: Upgrade", "Connection: close"),
            upgrade,
        ),
        (
            |right| right.replace("Sec-WebSocket-Accept", "X-Accept"),
            accept,
        ),
        (|right| right.replace("Accept: ", "Accept: A"), accept),
        (
            |right| right.replace("=\r\n", "=\r\nSec-WebSocket-Accept: again\r\n"),
            accept,
        ),
        (
            |right| with(right, "Sec-WebSocket-Protocol: other"),
            protocol,
        ),
        (
            |right| with(right, "Sec-WebSocket-Protocol: Chat"),
            protocol,
        ),
        (
            |right| with(right, "Sec-WebSocket-Protocol: chat, chat"),
            protocol,
        ),
        (
            |right| {
                with(
                    right,
                    "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat",
                )
            },
            protocol,
        ),
        (
            |right| with(right, "Sec-WebSocket-Extensions: x-unasked"),
            extension,
        ),
    ];
    for (number, (change, expected)) in wrong.into_iter().enumerate() {
        let text = complaint(&mut served, &offered, |request| {
            let right = right(request);
            let wrong = change(&right);
            assert_ne!(wrong, right, "{number}");
            // Nor is what comes behind it a frame.
            [wrong.as_bytes(), b"\x81\x02hi"].concat()
        });
        assert_eq!(text, expected, "{number}");
    }
    assert!(served.app.opened().is_empty());
    served.assert_nothing_left();
}

/// An answer with another field.
fn with(right: &str, field: &str) -> String {
    right.replacen("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"), 1)
}

#[test]
fn a_protocol_where_none_was_offered_is_refused() {
    let mut served = Served::quiet();
    let text = complaint(&mut served, &[], |request| {
        with(&right(request), "Sec-WebSocket-Protocol: chat").into_bytes()
    });
    assert_eq!(text, "a sub-protocol that was not offered");
}

#[test]
fn what_is_no_http_is_refused() {
    let mut served = Served::quiet();
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..],
        b"\0\0\0\0",
        b"\x81\x05Hello\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n Upgrade: websocket\r\n\r\n",
    ] {
        let text = complaint(&mut served, &[], |_| garbage.to_vec());
        assert!(!text.is_empty(), "{}", garbage.escape_ascii());
        assert!(text.is_ascii(), "{text}");
    }
    assert!(served.app.opened().is_empty());
    served.assert_nothing_left();
}

#[test]
fn a_head_has_sixteen_kibibytes() {
    let mut served = Served::quiet();
    let sized = |request: &str, bytes: usize| {
        let right = right(request);
        let padding = "x".repeat(bytes - right.len() - "X-Padding: \r\n".len());
        let whole = with(&right, &format!("X-Padding: {padding}"));
        assert_eq!(whole.len(), bytes);
        whole.into_bytes()
    };
    for bytes in [16_383, 16_384] {
        let (mut far, request) = served.dial(|dial| dial);
        served.write(&mut far, &sized(&request, bytes));
        served.assert_serves(&mut far);
    }
    let text = complaint(&mut served, &[], |request| sized(request, 16_385));
    assert!(!text.is_empty());
    let text = complaint(&mut served, &[], |_| vec![b'x'; 20_000]);
    assert!(!text.is_empty());
}

#[test]
fn an_end_instead_of_an_answer_is_named() {
    let mut served = Served::quiet();
    for said in [&b""[..], b"HTTP/1.1 101 Switching Protocols\r\n"] {
        let (mut far, _) = served.dial(|dial| dial.ticket("gone"));
        if !said.is_empty() {
            served.write(&mut far, said);
        }
        far.stream.shutdown(Shutdown::Write).unwrap();
        let before = served.app.failed().len();
        served.until("the failure", |app| app.failed().len() > before);
        let (ticket, text) = served.app.failed().pop().unwrap();
        assert_eq!(ticket, Some("gone"));
        assert!(
            text.ends_with(": it has closed without an answer"),
            "{text}"
        );
    }
    let (far, _) = served.dial(|dial| dial.ticket("reset"));
    reset(far.stream);
    served.until("the failure", |app| app.failed().len() == 3);
    assert_eq!(served.app.failed()[2].0, Some("reset"));
    served.rest();
    assert_eq!(served.app.events.len(), 3, "{:?}", served.app.events);
    served.assert_nothing_left();
}
