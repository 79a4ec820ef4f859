//! Methods by framings by handlers by what becomes of the client: each request ends in exactly one
//! answer, or in the end of its connection of which its handler is told, once.

use std::net::{Shutdown, TcpStream};

use crate::answer::answers_to;
use crate::mounts::Fate;
use crate::served::{End, SECOND, Served, request};
use crate::support::reset;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "CONNECT", "BREW"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    None,
    Fixed,
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    AtOnce,
    Later,
    Never,
    Pieces,
    Taker,
}

/// How far the exchange has come when the client goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Head,
    MidBody,
    Body,
    MidAnswer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Going {
    Close,
    Reset,
    HalfClose,
}

const BODIES: [Body; 3] = [Body::None, Body::Fixed, Body::Chunked];
const KINDS: [Kind; 5] = [
    Kind::AtOnce,
    Kind::Later,
    Kind::Never,
    Kind::Pieces,
    Kind::Taker,
];
const POINTS: [Point; 4] = [Point::Head, Point::MidBody, Point::Body, Point::MidAnswer];
const GOINGS: [Going; 3] = [Going::Close, Going::Reset, Going::HalfClose];

/// The head, and both halves of the body.
fn parts(method: &str, body: Body, kind: Kind) -> (Vec<u8>, [&'static [u8]; 2]) {
    let target = match (method, kind) {
        ("CONNECT", _) => "a:80",
        (_, Kind::AtOnce) => "/",
        (_, Kind::Later) => "/later",
        (_, Kind::Never) => "/park",
        (_, Kind::Pieces) => "/pieces",
        (_, Kind::Taker) => "/take",
    };
    let (fields, halves): (_, [&[u8]; 2]) = match body {
        Body::None => ("", [b"", b""]),
        Body::Fixed => ("Content-Length: 6\r\n", [b"abc", b"def"]),
        Body::Chunked => (
            "Transfer-Encoding: chunked\r\n",
            [b"3\r\nabc\r\n3\r\nd", b"ef\r\n0\r\n\r\n"],
        ),
    };
    (request(&format!("{method} {target}"), fields, ""), halves)
}

/// Sends as much of a request as `point` says.
fn send_to(
    served: &mut Served,
    client: &mut TcpStream,
    point: Point,
    head: &[u8],
    body: [&[u8]; 2],
) {
    served.write(client, head);
    if point != Point::Head {
        served.write(client, body[0]);
    }
    if matches!(point, Point::Body | Point::MidAnswer) {
        served.write(client, body[1]);
    }
    served.rest();
    if point == Point::MidAnswer {
        served.advance(SECOND);
    }
}

/// Whether the handler has been called by now, and if it has, whether the client's going is an
/// abort: by what the table of the documentation says.
fn expected(method: &str, body: Body, kind: Kind, point: Point, going: Going) -> Option<Fate> {
    let arrived = body == Body::None || matches!(point, Point::Body | Point::MidAnswer);
    if method == "CONNECT" || !arrived && kind != Kind::Taker {
        return None;
    }
    let answered = match kind {
        Kind::AtOnce => true,
        Kind::Taker => arrived,
        Kind::Later => point == Point::MidAnswer,
        Kind::Never => false,
        // Who only finishes gets the rest of an answer that has begun.
        Kind::Pieces => going == Going::HalfClose,
    };
    let (answered, aborted) = (usize::from(answered), usize::from(!answered));
    Some(Fate {
        answered,
        aborted,
        told: aborted,
    })
}

#[test]
fn each_request_that_the_client_leaves_is_answered_or_aborted_once() {
    let mut served = Served::new();
    let (mut runs, mut aborts) = (0, 0);
    for method in METHODS {
        for body in BODIES {
            for kind in KINDS {
                for point in POINTS {
                    // Without a body, all three are the same.
                    if body == Body::None && matches!(point, Point::Head | Point::MidBody) {
                        continue;
                    }
                    for going in GOINGS {
                        let fates = leave(&mut served, method, body, kind, point, going);
                        let expected = expected(method, body, kind, point, going);
                        let place = format!("{method} {body:?} {kind:?} {point:?} {going:?}");
                        assert_eq!(fates, Vec::from_iter(expected), "{place}");
                        runs += 1;
                        aborts += expected.map_or(0, |fate| fate.aborted);
                    }
                }
            }
        }
    }
    assert!(runs > 1_000 && aborts > 300, "{runs} runs, {aborts} aborts");
}

/// What has become of the requests of one connection whose client goes.
fn leave(
    served: &mut Served,
    method: &str,
    body: Body,
    kind: Kind,
    point: Point,
    going: Going,
) -> Vec<Fate> {
    let (head, halves) = parts(method, body, kind);
    let mut client = served.connect();
    send_to(served, &mut client, point, &head, halves);
    match going {
        Going::Close => drop(client),
        Going::Reset => reset(client),
        Going::HalfClose => {
            client.shutdown(Shutdown::Write).unwrap();
            if kind == Kind::Pieces {
                served.advance(SECOND);
                served.advance(SECOND);
            }
            let (received, end) = served.read_to_end(&mut client);
            if end == End::Fin {
                let heads: &[_] = if method == "HEAD" { &[0] } else { &[] };
                assert!(answers_to(&received, heads).len() <= 1);
            }
        }
    }
    // Writing to a client that has closed is how its reset is brought about.
    if kind == Kind::Pieces {
        served.advance(SECOND);
        served.advance(SECOND);
    }
    served.assert_nothing_left();
    served.app.parked.clear();
    served.app.fates.drain().map(|(_, fate)| fate).collect()
}

#[test]
fn each_request_has_exactly_one_answer_and_the_next_one_too() {
    let mut served = Served::new();
    for method in METHODS {
        for body in BODIES {
            for kind in KINDS {
                let (head, halves) = parts(method, body, kind);
                let place = format!("{method} {body:?} {kind:?}");
                let mut client = served.connect();
                send_to(&mut served, &mut client, Point::Body, &head, halves);
                // Nothing can be told of what a client would send through a tunnel.
                let closes = method == "CONNECT";
                if !closes {
                    let last = request("GET /last", "Connection: close\r\n", "");
                    served.write(&mut client, &last);
                }
                for parked in std::mem::take(&mut served.app.parked) {
                    switchboard::http::respond(served.hub(), parked, "parked");
                }
                for _ in 0..3 {
                    served.advance(SECOND);
                }
                let (received, end) = served.read_to_end(&mut client);
                assert_eq!(end, End::Fin, "{place}");
                let heads: &[_] = if method == "HEAD" { &[0] } else { &[] };
                let answers = answers_to(&received, heads);
                let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
                let own = if method == "CONNECT" { 501 } else { 200 };
                let expected = if closes { vec![own] } else { vec![own, 200] };
                assert_eq!(statuses, expected, "{place}: {}", received.escape_ascii());
                assert!(method != "HEAD" || answers[0].body.is_empty(), "{place}");
                if !closes {
                    assert_eq!(answers[1].text(), "GET /last host=a []", "{place}");
                }
                drop(client);
                served.assert_nothing_left();
                assert_eq!(served.app.aborted(), 0, "{place}");
            }
        }
    }
}

#[test]
fn each_request_that_does_not_arrive_is_refused_within_its_deadline() {
    let mut served = Served::new();
    for body in [Body::Fixed, Body::Chunked] {
        for kind in KINDS {
            let (head, halves) = parts("POST", body, kind);
            for point in [Point::Head, Point::MidBody] {
                let mut client = served.connect();
                send_to(&mut served, &mut client, point, &head, halves);
                served.advance(11 * SECOND);
                let (received, end) = served.read_to_end(&mut client);
                let place = format!("{body:?} {kind:?} {point:?}");
                let answers = answers_to(&received, &[]);
                assert_eq!((answers[0].status, end), (408, End::Fin), "{place}");
                drop(client);
                served.assert_nothing_left();
                let begun = usize::from(kind == Kind::Taker);
                assert_eq!(served.app.aborted(), begun, "{place}");
                served.app.fates.clear();
            }
        }
    }
}
