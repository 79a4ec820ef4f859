//! Leaving HTTP: what a client sends behind its head belongs to whoever the connection is handed
//! to, and to nobody else.

use switchboard::http::{self, Cx, Options, Request, Response};
use switchboard::{CloseReason, ConnId, Driver, Hub, Origin, Sent};

use crate::mounts::{App, server};
use crate::served::{SECOND, Served, request};

const ASKED: &str = "Connection: Upgrade\r\nUpgrade: echo\r\n";

/// The other protocol: answers bytes with themselves.
struct Echo;

impl Driver<App> for Echo {
    fn on_open(&mut self, app: &mut App, hub: &mut Hub, id: ConnId, origin: Origin) {
        let Origin::HandedOver { ticket, .. } = origin else {
            panic!("{origin:?}");
        };
        let path: Box<String> = ticket.unwrap().downcast().expect("a word about it");
        app.posts.push(*path);
        hub.send(
            id,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n",
        )
        .ignore();
    }

    fn on_data(&mut self, app: &mut App, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        app.raw.extend_from_slice(data);
        hub.send(id, data).ignore();
        data.len()
    }

    fn on_close(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

/// `/up` leads to the other protocol, `/no` refuses to, and everything else knows nothing of it.
fn served() -> Served {
    Served::made(App::default(), |reactor| {
        let echo = reactor.add_driver(Echo);
        let up = move |_: &mut App, cx: &mut Cx<'_>, request: &Request<'_>| {
            let asked = request.head().upgrade == Some("echo");
            assert!(asked && cx.hand_over(echo, Box::new(request.path().to_owned())));
            assert!(!cx.is_owed() && !cx.hand_over(echo, Box::new(())));
            assert_eq!(cx.respond("and an answer"), Sent::Dropped);
        };
        server(Options::default())
            .get("/up", up)
            .post("/up", up)
            .get("/no", |app, cx, _| {
                app.seen.push("refused".to_owned());
                cx.respond(Response::plain(426).close()).ignore();
            })
    })
}

#[test]
fn h05_bytes_behind_the_head_go_to_the_driver_handed_over_to() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n";
    // They look like a request, and are none.
    let behind = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let whole = request("GET /up", ASKED, behind);
    let mut served = served();
    for at in 1..=whole.len() {
        let mut client = served.connect();
        served.write(&mut client, &whole[..at]);
        served.write(&mut client, &whole[at..]);
        served.write(&mut client, b"more");
        let (received, end) = served.peek(&mut client);
        let expected = format!("{switched}{behind}more");
        assert_eq!((received.escape_ascii().to_string(), end), {
            (expected.as_bytes().escape_ascii().to_string(), None)
        });
    }
    assert_eq!(served.app.seen, [""; 0]);
    assert!(served.app.posts.len() == whole.len() && served.app.posts[0] == "/up");
    assert_eq!(served.app.aborted(), 0);
    served.assert_nothing_left();
}

#[test]
fn h05_requests_before_an_upgrade_are_answered_before_it() {
    let mut served = served();
    let (first, up) = (
        request("GET /first", "", ""),
        request("GET /up", ASKED, "behind"),
    );
    let mut client = served.connect();
    served.write(&mut client, &[first, up].concat());
    let (received, _) = served.peek(&mut client);
    let text = String::from_utf8(received).unwrap();
    let (answer, switched) = text.split_once("[]").unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && switched.starts_with("HTTP/1.1 101"),
        "{text}"
    );
    assert!(switched.ends_with("\r\n\r\nbehind"), "{text}");
}

#[test]
fn h05_bytes_behind_a_refused_upgrade_are_not_taken_as_a_request() {
    let mut served = served();
    let behind = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = served.ask_until_closed(request("GET /no", ASKED, behind));
    assert!(answers.len() == 1 && answers[0].status == 426 && answers[0].closes());
    assert_eq!(served.app.seen, ["refused"]);
    assert!(served.app.raw.is_empty());
    served.assert_nothing_left();
}

#[test]
fn h05_what_nobody_speaks_is_ignored() {
    let mut served = served();
    let settings = "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    for fields in [
        format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"),
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n".to_owned(),
        "Connection: Upgrade\r\nUpgrade: websocket\r\n".to_owned(),
        "Upgrade: h2c\r\n".to_owned(),
        "Connection: Upgrade\r\n".to_owned(),
    ] {
        let next = request("GET /next", "", "");
        let answers = served.ask([request("GET /", &fields, ""), next].concat());
        let bodies: Vec<_> = answers.iter().map(|answer| answer.text()).collect();
        assert_eq!(
            bodies,
            ["GET / host=a []", "GET /next host=a []"],
            "{fields}"
        );
        assert!(
            answers
                .iter()
                .all(|answer| answer.field("upgrade").is_none())
        );
    }
}

#[test]
fn h05_a_collected_body_does_not_reach_the_other_protocol() {
    let mut served = served();
    let fields = format!("{ASKED}Content-Length: 5\r\n");
    let mut client = served.connect();
    served.write(&mut client, &request("POST /up", &fields, "hello"));
    served.write(&mut client, b"behind");
    served.until("the bytes", |app| app.raw.len() >= 6);
    assert_eq!(served.app.raw, b"behind");
}

#[test]
fn an_answer_after_the_hand_over_does_not_reach_the_client() {
    let mut served = served();
    let (mut client, id) = served.connect_as();
    served.write(&mut client, &request("GET /park", "", ""));
    let parked = served.app.parked[0];
    http::respond(served.hub(), parked, "first");
    assert_eq!(served.read_answer(&mut client).text(), "first");
    served.write(&mut client, &request("GET /up", ASKED, ""));
    http::respond(served.hub(), parked, "second");
    let (received, end) = served.peek(&mut client);
    assert!(received.starts_with(b"HTTP/1.1 101") && received.ends_with(b"\r\n\r\n"));
    assert!(end.is_none() && served.hub().is_open(id));
}

#[test]
fn timers_do_not_go_over_with_the_connection() {
    let mut served = Served::made(App::default(), |reactor| {
        let echo = reactor.add_driver(Echo);
        server(Options::default()).get("/up", move |_: &mut App, cx, _| {
            assert!(cx.set_timer(SECOND, 5).is_some());
            assert!(cx.hand_over(echo, Box::new("/up".to_owned())));
        })
    });
    let mut client = served.connect();
    served.write(&mut client, &request("GET /up", ASKED, ""));
    let (received, _) = served.peek(&mut client);
    assert!(received.starts_with(b"HTTP/1.1 101"));
    assert_eq!(served.hub().pending_timers(), 0);
    // Nor do the patience of HTTP and its deadlines.
    for _ in 0..20 {
        served.advance(SECOND);
    }
    served.write(&mut client, b"still there");
    assert_eq!(served.peek(&mut client).0, b"still there");
}
