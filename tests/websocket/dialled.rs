//! Connections that we dial: to our own server and to others.

use switchboard::ConnId;
use switchboard::http::Response;
use switchboard::websocket::{self, Accept, Code, Dial, Endpoint, Upgrade};

use crate::app::App;
use crate::far::{End, Frame, answer, field};
use crate::served::{MILLI, SECOND, Served};

fn connect(served: &mut Served, dial: Dial) -> ConnId {
    let dialler = served.dialler;
    Endpoint::<App>::connect(served.hub(), dial, dialler)
}

#[test]
fn the_request_is_what_the_rfc_says() {
    let mut served = Served::quiet();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let (far, head) = served.dial(|dial| {
            dial.protocols(&["chat.v2", "chat.v1"])
                .field("Cookie", "name=value")
        });
        assert!(head.starts_with("GET /far HTTP/1.1\r\n"), "{head}");
        let host = far.stream.local_addr().unwrap().to_string();
        assert_eq!(field(&head, "Host"), Some(&*host));
        assert_eq!(field(&head, "Upgrade"), Some("websocket"));
        assert_eq!(field(&head, "Connection"), Some("Upgrade"));
        assert_eq!(field(&head, "Sec-WebSocket-Version"), Some("13"));
        let list = field(&head, "Sec-WebSocket-Protocol");
        assert_eq!(list, Some("chat.v2, chat.v1"));
        assert_eq!(field(&head, "Cookie"), Some("name=value"));
        assert_eq!(field(&head, "Origin"), None);
        assert_eq!(field(&head, "Sec-WebSocket-Extensions"), None);
        let key = field(&head, "Sec-WebSocket-Key").unwrap().to_owned();
        assert!(key.len() == 24 && key.ends_with("=="), "{key}");
        assert!(!keys.contains(&key), "a key twice");
        keys.push(key);
    }
}

#[test]
fn our_own_server_is_one() {
    let mut served = Served::quiet();
    served.app.on_open = Some(Box::new(|cx, request| {
        if request.client().is_none() {
            // It is we who have asked.
            assert_eq!(request.header("Cookie"), Some("name=value"));
            cx.send("hello").ignore();
        }
        true
    }));
    served.app.on_message = Some(Box::new(|cx, message| {
        if message.as_bytes() == b"hello" {
            cx.send("hello yourself").ignore();
        }
    }));
    let dial = Dial::new(&format!("ws://{}/ws?who=me", served.address)).unwrap();
    let dial = dial.field("Cookie", "name=value").ticket("ours");
    let id = connect(&mut served, dial);
    served.until("the answer", |app| !app.of(id).is_empty());
    assert_eq!(served.app.of(id), ["text hello yourself"]);
    assert_eq!(served.app.tickets, ["ours"]);
    let opened = served.app.opened();
    assert_eq!(opened.len(), 2);
    websocket::close(served.hub(), id, Code::NORMAL, "");
    served.until("both ends", |app| app.closed().len() == 2);
    served.assert_nothing_left();
}

#[test]
fn our_own_server_may_refuse() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, _| {
        Upgrade::Refuse(Response::text(401, "who are you?"))
    }));
    let dial = Dial::new(&format!("ws://{}/ws", served.address)).unwrap();
    connect(&mut served, dial.ticket("refused"));
    let dial = Dial::new(&format!("ws://{}/elsewhere", served.address)).unwrap();
    connect(&mut served, dial.ticket("lost"));
    served.until("both", |app| app.failed().len() == 2);
    let mut failed = served.app.failed();
    failed.sort();
    let address = served.address;
    assert_eq!(
        failed,
        [
            (
                Some("lost"),
                format!("no WebSocket with tcp {address}: the server answered 404 Not Found")
            ),
            (
                Some("refused"),
                format!("no WebSocket with tcp {address}: the server answered 401 Unauthorized")
            ),
        ]
    );
    served.app.refused.sort();
    assert_eq!(served.app.refused, [Some(401), Some(404)]);
    assert!(served.app.events.len() == 2 && served.app.tickets.is_empty());
    served.assert_nothing_left();
}

#[test]
fn a_protocol_that_was_offered_may_be_chosen() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, _| Accept::new().protocol("b").into()));
    let dial = Dial::new(&format!("ws://{}/ws", served.address)).unwrap();
    let id = connect(&mut served, dial.protocols(&["a", "b"]));
    served.until("both ends", |app| app.opened().len() == 2);
    assert!(served.app.opened().contains(&id));
    // Or none.
    let (mut far, request) = served.dial(|dial| dial.protocols(&["a", "b"]));
    served.write(&mut far, &answer(&request, ""));
    served.assert_serves(&mut far);
}

#[test]
fn on_open_may_refuse_what_was_dialled() {
    let mut served = Served::quiet();
    served.app.on_open = Some(Box::new(|_, _| false));
    let (mut far, request) = served.dial(|dial| dial.ticket("ours"));
    served.write(&mut far, &answer(&request, ""));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    assert_eq!(served.app.tickets, ["ours"]);
    assert!(served.app.events.is_empty(), "{:?}", served.app.events);
    served.assert_nothing_left();
}

#[test]
fn what_cannot_be_asked_for_is_not() {
    let mut served = Served::quiet();
    let address = served.address;
    for target in ["/a b", "/a\r\nX: 1"] {
        let error = Dial::new(&format!("ws://{address}{target}")).unwrap_err();
        assert!(error.to_string().contains("written as %XX"), "{error}");
    }
    for protocol in ["a\r\nX: 1", "a b", ""] {
        let before = served.app.failed().len();
        let dial = Dial::new(&format!("ws://{address}/ws")).unwrap();
        connect(&mut served, dial.protocols(&[protocol]).ticket("odd"));
        served.until("the failure", |app| app.failed().len() > before);
        let (ticket, error) = served.app.failed().pop().unwrap();
        assert_eq!(
            (ticket, &*error),
            (Some("odd"), "the request cannot be sent")
        );
    }
    assert!(served.app.asked.is_empty() && served.app.opened().is_empty());
    served.assert_nothing_left();
}

#[test]
fn nobody_who_listens_is_a_failure() {
    let mut served = Served::quiet();
    let address = crate::support::deserted();
    let dial = Dial::new(&format!("ws://{address}/")).unwrap();
    let id = connect(&mut served, dial.ticket("nobody"));
    // It is told in a turn, and not before.
    assert!(served.app.failed().is_empty());
    served.until("the failure", |app| app.failed().len() == 1);
    let (ticket, error) = served.app.failed().remove(0);
    assert_eq!(ticket, Some("nobody"));
    assert!(error.contains(&address.to_string()), "{error}");
    assert_eq!(served.app.refused, [None]);
    assert!(!served.hub().is_open(id));
    served.assert_nothing_left();
}

#[test]
fn a_server_has_as_long_as_was_said_to_answer() {
    let mut served = Served::quiet();
    for (deadline, patience) in [(None, 10 * SECOND), (Some(2 * SECOND), 2 * SECOND)] {
        let (mut far, _) = served.dial(|dial| {
            let dial = dial.ticket("slow");
            match deadline {
                None => dial,
                Some(deadline) => dial.deadline(deadline),
            }
        });
        // Some of an answer is none.
        served.write(&mut far, b"HTTP/1.1 101 Switching");
        let before = served.app.failed().len();
        served.advance(patience - MILLI);
        assert_eq!(served.app.failed().len(), before);
        served.advance(MILLI);
        let (ticket, error) = served.app.failed().pop().expect("a failure");
        assert_eq!(ticket, Some("slow"));
        let peer = far.stream.local_addr().unwrap();
        let expected = format!("no WebSocket with tcp {peer}: it does not answer in time");
        assert_eq!(error, expected);
        assert_eq!(served.read_text(&mut far).1, End::Reset);
    }
    served.assert_nothing_left();
}

#[test]
fn a_dial_may_be_taken_back() {
    let mut served = Served::quiet();
    let (mut far, _) = served.dial(|dial| dial.ticket("changed my mind"));
    let id = far.id;
    served.hub().abort(id);
    served.until("the failure", |app| app.failed().len() == 1);
    assert_eq!(served.app.failed()[0].0, Some("changed my mind"));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    served.assert_nothing_left();
}

#[test]
fn many_dial_each_other_at_once() {
    let mut served = Served::quiet();
    served.app.on_message = Some(Box::new(|cx, _| {
        cx.close(Code::NORMAL, "");
    }));
    let pairs: Vec<_> = (0..30).map(|_| served.pair()).collect();
    for (_, far) in &pairs {
        websocket::send(served.hub(), *far, "enough").ignore();
    }
    served.until("all ends", |app| app.closed().len() == 60);
    assert!(served.app.closed().iter().all(|(_, ended)| ended.clean));
    served.assert_nothing_left();
}

#[test]
fn a_server_may_speak_first() {
    let mut served = Served::quiet();
    let (mut far, request) = served.dial(|dial| dial);
    let frames = far.bytes(&[Frame::text("first"), Frame::ping("second")]);
    served.write(&mut far, &[answer(&request, ""), frames].concat());
    assert_eq!(served.frame(&mut far), Frame::pong("second"));
    assert_eq!(served.app.of(far.id), ["text first", "ping second"]);
}

#[test]
fn fields_of_the_handshake_are_not_to_be_replaced() {
    let mut served = Served::quiet();
    let (_, head) = served.dial(|dial| {
        dial.field("host", "evil")
            .field("Connection", "close")
            .field("UPGRADE", "h2c")
            .field("sec-websocket-Key", "mine")
            .field("Sec-WebSocket-Extensions", "x")
            .field("Secret", "kept")
    });
    assert!(!head.contains("evil") && !head.contains("mine"), "{head}");
    assert_eq!(field(&head, "Connection"), Some("Upgrade"));
    assert_eq!(field(&head, "Upgrade"), Some("websocket"));
    assert_eq!(field(&head, "Sec-WebSocket-Extensions"), None);
    assert_eq!(field(&head, "Secret"), Some("kept"));
}

/// `on_open` is lent what was asked, so that has to be a request.
#[test]
fn a_request_that_is_none_is_a_failure() {
    let many: Vec<_> = (0..100).map(|at| (format!("X-{at}"), "y")).collect();
    let one = |name: &str, value| vec![(name.to_owned(), value)];
    for fields in [many, one("Content-Length", "x"), one("Expect", "what")] {
        let mut served = Served::quiet();
        let listener = crate::support::Listener::new();
        let dial = Dial::new(&format!("ws://{}/far", listener.address())).unwrap();
        let add = |dial: Dial, (name, value): &(String, &str)| dial.field(name, value);
        let id = connect(&mut served, fields.iter().fold(dial, add));
        served.until("the failure", |app| app.failed().len() == 1);
        let error = &served.app.failed()[0].1;
        assert!(error.contains("cannot be sent"), "{error}");
        assert!(!served.hub().is_open(id));
        served.assert_nothing_left();
    }
}
