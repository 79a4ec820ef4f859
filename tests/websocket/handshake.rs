//! The handshake as a client may get it wrong: heads that are too large, fields that are missing,
//! doubled or hostile. Whatever it is, the client is answered once, and nobody else notices.

use switchboard::websocket::Accept;

use crate::far::{End, KEY, bare_request, field, request};
use crate::served::Served;

/// The fields of a handshake: each as it has to be.
const GOOD: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

/// What the server says to this request, before it closes.
fn refusal(served: &mut Served, request: &[u8]) -> (u16, String) {
    let mut far = served.stranger();
    served.write(&mut far, request);
    let (text, end) = served.read_text(&mut far);
    assert_eq!(end, End::Fin, "{text}");
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|text| text.get(..3));
    let status = status.unwrap_or_else(|| panic!("no answer: `{text}`"));
    let answers = text.matches("HTTP/1.1 ").count();
    assert_eq!(answers, 1, "{text}");
    assert_eq!(field(&text, "Connection"), Some("close"), "{text}");
    (status.parse().unwrap(), text)
}

/// A handshake whose head has so many bytes.
fn sized(bytes: usize) -> Vec<u8> {
    let padding = "x".repeat(bytes - request("/ws", "X-Padding: \r\n").len());
    let head = request("/ws", &format!("X-Padding: {padding}\r\n"));
    assert_eq!(head.len(), bytes);
    head
}

#[test]
fn the_answer_is_what_the_rfc_says() {
    let mut served = Served::quiet();
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws?room=1", ""));
    let (head, behind) = served.read_head(&mut far);
    assert_eq!(
        head,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert_eq!(behind, b"");
    served.assert_serves(&mut far);
    let endpoint = served.endpoint;
    assert_eq!(served.hub().ids(endpoint), [far.id]);
    drop(far);
    served.assert_nothing_left();
}

#[test]
fn a_connection_may_ask_for_pages_before_it_upgrades() {
    let mut served = Served::quiet();
    let mut far = served.stranger();
    let requests = [bare_request("/", ""), request("/ws", "")].concat();
    served.write(&mut far, &requests);
    let mut text = String::new();
    while !text.contains("101 ") || !text.ends_with("\r\n\r\n") {
        let (head, behind) = served.read_head(&mut far);
        text = [text, head, String::from_utf8(behind).unwrap()].concat();
    }
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("a pageHTTP/1.1 101 "), "{text}");
    served.assert_serves(&mut far);
}

#[test]
fn names_and_values_are_read_as_browsers_and_proxies_write_them() {
    let mut served = Served::quiet();
    for fields in [
        "upgrade: WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n",
        "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
    ] {
        let rest = format!("sec-websocket-key:{KEY}\r\nSEC-WEBSOCKET-VERSION:  13  \r\n");
        let mut far = served.stranger();
        served.write(&mut far, &bare_request("/ws", &format!("{fields}{rest}")));
        let (head, _) = served.read_head(&mut far);
        assert!(head.starts_with("HTTP/1.1 101 "), "{fields}: {head}");
        served.assert_serves(&mut far);
    }
}

#[test]
fn w01_a_head_has_sixteen_kibibytes_and_not_one_more() {
    let mut served = Served::quiet();
    for bytes in [16_383, 16_384] {
        let mut far = served.stranger();
        served.write(&mut far, &sized(bytes));
        let (head, _) = served.read_head(&mut far);
        assert!(head.starts_with("HTTP/1.1 101 "), "{bytes}: {head}");
        served.assert_serves(&mut far);
    }
    assert_eq!(refusal(&mut served, &sized(16_385)).0, 431);
    assert_eq!(served.app.asked.len(), 2);
    served.assert_nothing_left();
}

#[test]
fn w01_a_large_head_that_dribbles_in_is_accepted() {
    let mut served = Served::quiet();
    let mut far = served.stranger();
    for byte in sized(16_384) {
        served.write(&mut far, &[byte]);
    }
    let (head, _) = served.read_head(&mut far);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    served.assert_serves(&mut far);
}

#[test]
fn w09_a_field_that_is_missing_doubled_empty_or_wrong_is_refused() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    let with = |at: usize, lines: String| -> Vec<u8> {
        let fields = GOOD.iter().enumerate().map(|(own, (name, value))| {
            if own == at {
                lines.clone()
            } else {
                format!("{name}: {value}\r\n")
            }
        });
        bare_request("/ws", &fields.collect::<String>())
    };
    for (at, (name, value)) in GOOD.into_iter().enumerate() {
        let wrong = ["nonsense", "\"", ",", ";", &"x".repeat(9_000), "\u{fc}"];
        let mut variants = vec![String::new(), format!("{name}: \r\n")];
        variants.extend(wrong.map(|wrong| format!("{name}: {wrong}\r\n")));
        // Where a list may stand, the same twice is the same once.
        if at >= 2 {
            variants.push(format!("{name}: {value}\r\n{name}: {value}\r\n"));
            variants.push(format!("{name}: {value}, {value}\r\n"));
        }
        for lines in variants {
            let shown: String = lines.chars().take(60).collect();
            let (status, text) = refusal(&mut served, &with(at, lines));
            assert!([400, 426].contains(&status), "`{shown}`: {status}");
            let version = field(&text, "Sec-WebSocket-Version");
            assert_eq!(version == Some("13"), status == 426, "`{shown}`: {text}");
        }
    }
    served.assert_serves(&mut witness);
    assert_eq!(served.app.asked, [witness.id]);
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn w09_two_thousand_fields_are_too_many() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    let many: String = (0..2_000).map(|at| format!("a{at}:\r\n")).collect();
    let whole = request("/ws", &many);
    assert!(whole.len() < 17_000, "{}", whole.len());
    assert_eq!(refusal(&mut served, &whole).0, 431);
    let many = "a:\r\n".repeat(2_000);
    assert_eq!(refusal(&mut served, &request("/ws", &many)).0, 431);
    served.assert_serves(&mut witness);
    assert_eq!(served.app.asked, [witness.id]);
}

#[test]
fn w09_another_method_or_a_body_is_no_handshake() {
    let mut served = Served::quiet();
    let good = String::from_utf8(request("/ws", "")).unwrap();
    let post = good.replacen("GET", "POST", 1);
    assert_eq!(refusal(&mut served, post.as_bytes()).0, 426);
    for body in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let whole = good.replacen("\r\n\r\n", &format!("\r\n{body}"), 1);
        let (status, text) = refusal(&mut served, whole.as_bytes());
        assert_eq!(status, 400, "{text}");
    }
    assert!(served.app.asked.is_empty());
    served.assert_nothing_left();
}

#[test]
fn w10_hostile_lists_are_answered_like_any_other() {
    let mut served = Served::quiet();
    let long = |piece: &str| piece.repeat(15_000 / piece.len());
    for piece in [
        ";",
        ",",
        "a;",
        "a,",
        "\"",
        "\\\"",
        " ",
        "a=\"\\",
        "=,",
        "x;constructor",
    ] {
        let fields = format!("Sec-WebSocket-Extensions: {}\r\n", long(piece));
        let mut far = served.stranger();
        served.write(&mut far, &request("/ws", &fields));
        let (head, _) = served.read_head(&mut far);
        let accepted = head.starts_with("HTTP/1.1 101 ");
        assert!(
            accepted || head.starts_with("HTTP/1.1 400 "),
            "{piece}: {head}"
        );
        assert_eq!(field(&head, "Sec-WebSocket-Extensions"), None, "{piece}");
        if accepted {
            served.assert_serves(&mut far);
        }
    }
    for list in [
        &*long(","),
        &*long("a,"),
        &*long("\""),
        "a b",
        "a, a",
        "a,,b",
    ] {
        let fields = format!("Sec-WebSocket-Protocol: {list}\r\n");
        assert_eq!(refusal(&mut served, &request("/ws", &fields)).0, 400);
    }
    served.assert_nothing_left();
}

#[test]
fn w11_nothing_that_the_application_says_breaks_the_head() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, _| {
        Accept::new()
            .protocol("a\r\nX-Injected: 1")
            .field("Set-Cookie", "a=1\r\nX-Injected: 2")
            .field("X-Bad\r\nX-Injected", "3")
            .field("X-Nul", "a\0b")
            .field("X-Good", "kept")
            .into()
    }));
    let mut far = served.stranger();
    let fields = "Sec-WebSocket-Protocol: a\r\n";
    served.write(&mut far, &request("/ws", fields));
    let (head, _) = served.read_head(&mut far);
    assert!(!head.contains("njected") && !head.contains('\0'), "{head}");
    assert_eq!(field(&head, "X-Good"), Some("kept"));
    assert_eq!(field(&head, "Sec-WebSocket-Protocol"), None);
    served.assert_serves(&mut far);
}

#[test]
fn w11_nothing_that_we_dial_with_breaks_the_head() {
    let mut served = Served::quiet();
    let (_far, head) = served.dial(|dial| {
        dial.field("Cookie", "a=1\r\nX-Injected: 1")
            .field("X\r\nX-Injected", "2")
            .field("X-Nul", "a\0b")
            .field("X-Good", "kept")
    });
    assert!(!head.contains("njected") && !head.contains('\0'), "{head}");
    assert_eq!(field(&head, "X-Good"), Some("kept"));
}
