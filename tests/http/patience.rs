//! How long the server waits, to the millisecond: for a head, for a body, for the next request, and
//! for a client to take its answer. On a clock that the tests move.

use std::net::Shutdown;
use std::time::Duration;

use switchboard::http::{self, Options, Response};

use crate::answer::answers;
use crate::served::{End, MILLI, SECOND, Served, request};

/// Ten seconds, less a millisecond.
const ALMOST: Duration = Duration::from_millis(9_999);

/// Nothing happens for `almost`, and a millisecond later the request is refused with 408.
fn assert_late_after(served: &mut Served, client: &mut std::net::TcpStream, almost: Duration) {
    served.advance(almost);
    served.assert_silent(client);
    served.advance(MILLI);
    let (received, end) = served.read_to_end(client);
    let answers = answers(&received);
    assert_eq!((answers.len(), answers[0].status, end), (1, 408, End::Fin));
    assert!(answers[0].closes());
    client.shutdown(Shutdown::Write).unwrap();
    served.assert_nothing_left();
}

#[test]
fn h07_a_head_has_ten_seconds_from_the_accept() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.write(&mut client, b"G");
    assert_late_after(&mut served, &mut client, ALMOST);

    // However many of its bytes come meanwhile.
    let mut client = served.connect();
    for byte in b"GET / HTT" {
        served.write(&mut client, &[*byte]);
        served.advance(SECOND);
        served.assert_silent(&mut client);
    }
    served.write(&mut client, b"P");
    assert_late_after(&mut served, &mut client, SECOND - MILLI);
}

#[test]
fn h07_who_says_nothing_is_closed_without_a_word() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.advance(ALMOST);
    served.assert_silent(&mut client);
    served.advance(MILLI);
    assert_eq!(served.read_to_end(&mut client), (vec![], End::Fin));
    drop(client);
    served.assert_nothing_left();
}

#[test]
fn h07_between_requests_a_connection_may_rest_for_ten_seconds() {
    let mut served = Served::new();
    let mut client = served.connect();
    for _ in 0..3 {
        served.write(&mut client, &request("GET /", "", ""));
        assert_eq!(served.read_answer(&mut client).status, 200);
        served.advance(ALMOST);
        served.assert_silent(&mut client);
    }
    served.write(&mut client, &request("GET /", "", ""));
    assert_eq!(served.read_answer(&mut client).status, 200);
    served.advance(10 * SECOND);
    assert_eq!(served.read_to_end(&mut client), (vec![], End::Fin));
    drop(client);
    served.assert_nothing_left();
}

#[test]
fn h07_a_later_head_has_ten_seconds_from_its_first_byte() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.write(&mut client, &request("GET /", "", ""));
    assert_eq!(served.read_answer(&mut client).status, 200);
    served.advance(9 * SECOND);
    served.write(&mut client, b"GET ");
    served.advance(5 * SECOND);
    served.write(&mut client, b"/");
    assert_late_after(&mut served, &mut client, 5 * SECOND - MILLI);
}

#[test]
fn h07_a_request_that_waits_for_its_answer_may_wait() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.write(&mut client, &request("GET /park", "", ""));
    for _ in 0..100 {
        served.advance(10 * SECOND);
    }
    served.assert_silent(&mut client);
    let parked = served.app.parked[0];
    http::respond(served.hub(), parked, "at last");
    assert_eq!(served.read_answer(&mut client).text(), "at last");
}

#[test]
fn h11_a_body_that_dribbles_in_is_late() {
    for line in ["POST /", "POST /take"] {
        let mut served = Served::new();
        let mut client = served.connect();
        served.write(
            &mut client,
            &request(line, "Content-Length: 1000000\r\n", ""),
        );
        // R-U-Dead-Yet: a byte a second buys next to nothing.
        for _ in 0..9 {
            served.advance(SECOND);
            served.write(&mut client, b"x");
        }
        served.assert_silent(&mut client);
        served.advance(SECOND - MILLI);
        served.assert_silent(&mut client);
        served.advance(2 * MILLI);
        let (received, end) = served.read_to_end(&mut client);
        assert_eq!(
            (answers(&received)[0].status, end),
            (408, End::Fin),
            "{line}"
        );
        drop(client);
        served.assert_nothing_left();
        assert_eq!(served.app.aborted(), usize::from(line.ends_with("take")));
    }
}

#[test]
fn h11_each_second_of_a_body_at_its_rate_is_another_second() {
    let mut served = Served::new();
    let mut client = served.connect();
    let seconds = 40;
    let length = format!("Content-Length: {}\r\n", seconds * 16 * 1024);
    served.write(&mut client, &request("POST /take", &length, ""));
    for _ in 0..seconds - 1 {
        served.write(&mut client, &[b'x'; 16 * 1024]);
        served.advance(SECOND);
        served.assert_silent(&mut client);
    }
    // Thirty-nine seconds' worth and ten; the clock stands at thirty-nine.
    assert_late_after(&mut served, &mut client, ALMOST);

    let mut client = served.connect();
    served.write(
        &mut client,
        &request("POST /", "Content-Length: 32768\r\n", ""),
    );
    served.write(&mut client, &[b'x'; 16 * 1024]);
    assert_late_after(&mut served, &mut client, ALMOST + SECOND);
    let mut client = served.connect();
    served.write(
        &mut client,
        &request("POST /", "Content-Length: 32768\r\n", ""),
    );
    served.write(&mut client, &[b'x'; 16 * 1024]);
    served.advance(ALMOST + SECOND);
    served.write(&mut client, &[b'x'; 16 * 1024]);
    assert_eq!(served.read_answer(&mut client).status, 200);
}

#[test]
fn h11_a_client_that_takes_nothing_of_its_answer_is_reset() {
    let page = "x".repeat(16 << 20);
    let server = http::Server::new().get("/", move |(), cx, _| {
        cx.respond(Response::typed(200, "x/y", page.clone()))
            .ignore();
    });
    let mut served = Served::of((), server);
    let driver = served.driver;
    let mut client = served.connect();
    served.post(&mut client, &request("GET /", "", ""));
    // In the first ten seconds the kernel has taken its share.
    served.advance(10 * SECOND);
    assert_eq!(served.hub().count(driver), 1);
    served.advance(10 * SECOND - MILLI);
    assert_eq!(served.hub().count(driver), 1);
    served.advance(MILLI);
    assert_eq!(served.hub().count(driver), 0);
    assert_eq!(served.read_to_end(&mut client).1, End::Reset);
    served.assert_nothing_left();
}

#[test]
fn h11_a_client_that_takes_its_answer_steadily_gets_all_of_it() {
    let page = "x".repeat(40 << 20);
    let server = http::Server::new().get("/", move |(), cx, _| {
        cx.respond(Response::typed(200, "x/y", page.clone()))
            .ignore();
    });
    let mut served = Served::of((), server);
    let mut client = served.connect();
    served.post(&mut client, &request("GET /", "", ""));
    // Two windows of ten seconds, with far more in each than the kernel's buffers hide.
    let mut received = 0;
    while received < 40 << 20 {
        received += served.read_some(&mut client, 2 << 20);
        served.advance(SECOND);
    }
    client.shutdown(Shutdown::Write).unwrap();
    let (rest, end) = served.read_to_end(&mut client);
    assert!(end == End::Fin && received + rest.len() > 40 << 20);
}

#[test]
fn deadlines_are_what_the_options_say() {
    let options = Options {
        head_timeout: SECOND,
        body_timeout: 2 * SECOND,
        idle_timeout: 3 * SECOND,
        ..Options::default()
    };
    let mut served = Served::with(options);
    let mut client = served.connect();
    served.write(&mut client, b"GET");
    assert_late_after(&mut served, &mut client, SECOND - MILLI);
    let mut client = served.connect();
    served.write(&mut client, &request("POST /", "Content-Length: 1\r\n", ""));
    assert_late_after(&mut served, &mut client, 2 * SECOND - MILLI);
    let mut client = served.connect();
    served.write(&mut client, &request("GET /", "", ""));
    assert_eq!(served.read_answer(&mut client).status, 200);
    served.advance(3 * SECOND - MILLI);
    served.assert_silent(&mut client);
    served.advance(MILLI);
    assert_eq!(served.read_to_end(&mut client), (vec![], End::Fin));
}

/// What the kernel takes ahead must not hide that a client reads, however slowly.
#[test]
fn h11_a_client_far_above_the_lowest_rate_is_not_reset() {
    let page = "x".repeat(16 << 20);
    let server = http::Server::new().get("/", move |(): &mut (), cx, _| {
        cx.respond(Response::typed(200, "x/y", page.clone()))
            .ignore();
    });
    let mut served = Served::of((), server);
    let mut client = served.connect();
    served.post(&mut client, &request("GET /", "", ""));
    for _ in 0..60 {
        served.read_some(&mut client, 64 * 1024);
        served.advance(SECOND);
    }
    let driver = served.driver;
    assert_eq!(served.hub().count(driver), 1);
}
