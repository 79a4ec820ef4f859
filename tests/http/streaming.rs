//! Bodies piece by piece, in both directions, and both sides held back when the other one is slow.

use std::net::Shutdown;

use switchboard::http::{self, Cx, Intake, Mount, Request, Response};
use switchboard::{CloseReason, Sent};

use crate::answer::{answers, answers_to};
use crate::mounts::App;
use crate::served::{End, MILLI, SECOND, Served, request};
use crate::support::{pattern, write_full};

/// Turns the clock until a mount of pieces has written all of them.
fn pieces(served: &mut Served, asked: &[u8]) -> (Vec<u8>, End) {
    let mut client = served.connect();
    served.write(&mut client, asked);
    served.advance(SECOND);
    served.advance(SECOND);
    client.shutdown(Shutdown::Write).unwrap();
    served.read_to_end(&mut client)
}

#[test]
fn an_answer_in_pieces_is_framed_as_the_client_can_read_it() {
    let mut served = Served::new();
    for (line, fields, framing, kept) in [
        (
            "GET /pieces HTTP/1.1\r\nHost: a",
            "",
            ("transfer-encoding", "chunked"),
            true,
        ),
        (
            "GET /pieces?length HTTP/1.1\r\nHost: a",
            "",
            ("content-length", "9"),
            true,
        ),
        (
            "GET /pieces?length HTTP/1.0",
            "",
            ("content-length", "9"),
            false,
        ),
        ("GET /pieces HTTP/1.0", "", ("until the", "close"), false),
        (
            "GET /pieces HTTP/1.0",
            "Connection: keep-alive\r\n",
            ("until the", "close"),
            false,
        ),
        (
            "GET /pieces?length HTTP/1.0",
            "Connection: keep-alive\r\n",
            ("content-length", "9"),
            true,
        ),
    ] {
        let asked = format!("{line}\r\n{fields}\r\n{}", "GET /next HTTP/1.0\r\n\r\n");
        let (received, end) = pieces(&mut served, asked.as_bytes());
        let answers = answers(&received);
        assert_eq!((answers[0].text(), end), ("onetwosix", End::Fin), "{asked}");
        assert_eq!(answers.len(), 1 + usize::from(kept), "{asked}");
        match framing {
            ("until the", _) => assert!(answers[0].field("content-length").is_none()),
            (name, value) => assert_eq!(answers[0].field(name), Some(value), "{asked}"),
        }
    }
    let head = request("HEAD /pieces", "", "");
    let (received, _) = pieces(&mut served, &[head, request("GET /next", "", "")].concat());
    let answers = answers_to(&received, &[0]);
    assert_eq!(answers[0].field("transfer-encoding"), Some("chunked"));
    assert_eq!(
        (answers.len(), answers[1].text()),
        (2, "GET /next host=a []")
    );
    served.assert_nothing_left();
    assert_eq!(served.app.aborted(), 0);
}

/// Sends 32 MiB in pieces, as fast as the client takes them, and waits for it otherwise.
#[derive(Default)]
struct Source {
    sent: usize,
}

const TOTAL: usize = 32 << 20;
const PIECE: usize = 32 * 1024;

impl Source {
    fn pour(&mut self, cx: &mut Cx<'_>) {
        let piece = pattern(PIECE);
        while self.sent < TOTAL {
            let sent = cx.write(&piece);
            assert!(sent.is_taken());
            self.sent += PIECE;
            if sent == Sent::Backlogged {
                return;
            }
        }
        cx.finish();
    }
}

impl Mount<App> for Source {
    fn on_request(&mut self, _: &mut App, cx: &mut Cx<'_>, _: &Request<'_>) {
        cx.start(Response::new(200)).ignore();
        self.pour(cx);
    }

    fn on_drain(&mut self, app: &mut App, cx: &mut Cx<'_>) {
        app.drains += 1;
        self.pour(cx);
    }
}

#[test]
fn a_source_waits_for_its_client_and_goes_on_when_that_has_drained() {
    let server = http::Server::new().mount("/", Source::default());
    let mut served = Served::of(App::default(), server);
    let (mut client, id) = served.connect_as();
    served.post(&mut client, &request("GET /", "Connection: close\r\n", ""));
    assert!(
        served.hub().backlog(id) < 200 * 1024,
        "{}",
        served.hub().backlog(id)
    );
    assert_eq!(served.app.drains, 0);
    let (received, end) = served.read_to_end(&mut client);
    assert_eq!(end, End::Fin);
    assert!(served.app.drains > 1);
    assert!(answers(&received)[0].body == pattern(PIECE).repeat(TOTAL / PIECE));
}

#[test]
fn an_upload_is_held_back_while_its_connection_is_paused() {
    let mut served = Served::new();
    let (mut client, id) = served.connect_as();
    let body = pattern(16 << 20);
    let length = format!("Content-Length: {}\r\n", body.len());
    served.write(&mut client, &request("PUT /take", &length, ""));
    served.hub().pause(id);
    let mut written = 0;
    loop {
        let more = write_full(&mut client, &body[written..]);
        written += more;
        served.rest();
        if more == 0 {
            break;
        }
    }
    assert!(written < body.len() && served.app.taken.is_empty());
    // Nobody is to blame for what is not read.
    for _ in 0..10 {
        served.advance(10 * SECOND);
    }
    served.assert_silent(&mut client);
    served.hub().resume(id);
    served.write(&mut client, &body[written..]);
    assert_eq!(
        served.read_answer(&mut client).text(),
        format!("taken {}", body.len())
    );
    assert!(served.app.taken == body);
}

#[test]
fn a_streamed_upload_arrives_in_pieces_and_the_next_request_behind_it() {
    let mut served = Served::new();
    let body = "3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nX: y\r\n\r\n";
    let upload = request("POST /take", "Transfer-Encoding: chunked\r\n", body);
    let answers = served.ask([upload, request("GET /next", "", "")].concat());
    assert_eq!(
        (answers[0].text(), answers[1].text()),
        ("taken 7", "GET /next host=a []")
    );
    assert_eq!(served.app.taken, b"abcdefg");
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let mut served = Served::new();
    for line in ["PUT /", "PUT /take"] {
        let mut client = served.connect();
        let fields = "Expect: 100-continue\r\nContent-Length: 2\r\n";
        served.write(&mut client, &request(line, fields, ""));
        let (received, end) = served.peek(&mut client);
        assert_eq!(
            (&received[..], end),
            (&b"HTTP/1.1 100 Continue\r\n\r\n"[..], None)
        );
        served.write(&mut client, b"hi");
        assert_eq!(served.read_answer(&mut client).status, 200);
        // Who does not wait is not told, and neither is HTTP/1.0.
        let at_once = served.ask_raw(request(line, fields, "hi"));
        assert!(
            at_once.starts_with(b"HTTP/1.1 200"),
            "{}",
            at_once.escape_ascii()
        );
        let old = format!("{line} HTTP/1.0\r\n{fields}\r\n");
        let mut client = served.connect();
        served.write(&mut client, old.as_bytes());
        served.assert_silent(&mut client);
    }
    // An answer instead of the permission.
    for (line, status) in [("PUT /take?early", 200), ("CONNECT a:1", 501)] {
        let fields = "Expect: 100-continue\r\nContent-Length: 2000000\r\n";
        let received = served.ask_raw(request(line, fields, ""));
        assert!(received.starts_with(format!("HTTP/1.1 {status}").as_bytes()));
    }
}

#[test]
fn an_answer_before_its_upload_has_ended_ends_the_connection() {
    let mut served = Served::new();
    let mut client = served.connect();
    let head = request(
        "POST /take?early",
        "Content-Length: 1000000\r\n",
        "some of it",
    );
    served.write(&mut client, &head);
    let (received, end) = served.read_to_end(&mut client);
    let answer = &answers(&received)[0];
    assert_eq!((answer.text(), end), ("nothing taken", End::Fin));
    assert!(answer.closes(), "and it is said");
    // The rest is read and thrown away, so that the answer is not lost to a reset.
    served.post(&mut client, &[b'x'; 100_000]);
    assert!(served.app.taken.is_empty());
    drop(client);
    served.assert_nothing_left();
    assert_eq!(served.app.aborted(), 0);
}

#[test]
fn an_upload_that_breaks_off_or_is_broken_is_told_as_an_abort() {
    let mut served = Served::new();
    for (fields, body, statuses) in [
        ("Content-Length: 10\r\n", "hello", &[][..]),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", &[]),
        (
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\nnonsense\r\n",
            &[400],
        ),
    ] {
        let answers = served.ask(request("POST /take", fields, body));
        let own: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(
            (own, served.app.aborted()),
            (statuses.to_vec(), 1),
            "{body}"
        );
        assert_eq!(std::mem::take(&mut served.app.taken), b"hello");
        served.app.fates.clear();
        served.assert_nothing_left();
    }
}

/// Streams bodies in both directions at once: what comes in goes out.
struct Echo;

impl Mount<App> for Echo {
    fn intake(&mut self, _: &Request<'_>) -> Intake {
        Intake::Stream
    }

    fn on_request(&mut self, _: &mut App, cx: &mut Cx<'_>, _: &Request<'_>) {
        cx.start(Response::new(200)).ignore();
    }

    fn on_body(&mut self, _: &mut App, cx: &mut Cx<'_>, data: &[u8], last: bool) {
        cx.write(data).ignore();
        if last {
            cx.finish();
        }
    }
}

#[test]
fn a_body_may_go_out_while_it_comes_in() {
    let server = http::Server::new().mount("/", Echo);
    let mut served = Served::of(App::default(), server);
    let mut client = served.connect();
    let body = pattern(1 << 20);
    let length = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
    served.write(&mut client, &request("POST /", &length, ""));
    let (mut written, mut received) = (0, Vec::new());
    while written < body.len() {
        written += write_full(&mut client, &body[written..]);
        received.extend(served.peek(&mut client).0);
    }
    received.extend(served.read_to_end(&mut client).0);
    assert!(answers(&received)[0].body == body);

    drop(client);

    // What has begun cannot become an error, so it is reset.
    let mut client = served.connect();
    let broken = "5\r\nhello\r\nnonsense\r\n";
    served.write(
        &mut client,
        &request("POST /", "Transfer-Encoding: chunked\r\n", broken),
    );
    assert_eq!(served.read_to_end(&mut client).1, End::Reset);
    served.assert_nothing_left();
}

#[test]
fn a_body_that_is_not_what_was_said_is_not_taken_for_whole() {
    let server = http::Server::new()
        .get("/short", |_: &mut App, cx, _| {
            cx.start(Response::new(200).length(5)).ignore();
            cx.write(b"four").ignore();
            cx.finish();
        })
        .get("/long", |_: &mut App, cx, _| {
            cx.start(Response::new(200).length(5)).ignore();
            cx.write(b"longer").ignore();
        })
        .get("/aborted", |_: &mut App, cx, _| {
            cx.start(Response::new(200)).ignore();
            cx.write(b"some").ignore();
            cx.abort();
        })
        .on_abort(|app, _, _| app.drains += 1);
    let mut served = Served::of(App::default(), server);
    let mut client = served.connect();
    served.write(&mut client, &request("GET /short", "", "").repeat(2));
    let (received, end) = served.read_to_end(&mut client);
    assert!(received.ends_with(b"\r\n\r\nfour") && end == End::Fin);
    drop(client);
    for path in ["GET /long", "GET /aborted"] {
        let mut client = served.connect();
        served.write(&mut client, &request(path, "", ""));
        assert_eq!(
            served.read_to_end(&mut client),
            (vec![], End::Reset),
            "{path}"
        );
    }
    assert_eq!(served.app.drains, 2);
    served.advance(MILLI);
    served.assert_nothing_left();
    assert_eq!(CloseReason::Aborted.to_string(), "aborted");
}

#[test]
fn an_answer_may_be_streamed_from_elsewhere() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.write(&mut client, &request("GET /park", "", ""));
    let id = served.app.parked[0];
    http::start(served.hub(), id, Response::text(201, ""));
    http::write(served.hub(), id, "one ");
    http::write(served.hub(), id, String::new());
    http::write(served.hub(), id, b"two".to_vec());
    http::finish(served.hub(), id);
    http::write(served.hub(), id, "three");
    let answer = served.read_answer(&mut client);
    assert_eq!((answer.status, answer.text()), (201, "one two"));
    served.write(&mut client, &request("GET /park", "", ""));
    let id = served.app.parked[1];
    http::start(served.hub(), id, Response::new(200));
    http::abort(served.hub(), id);
    assert_eq!(served.read_to_end(&mut client).1, End::Reset);
}
