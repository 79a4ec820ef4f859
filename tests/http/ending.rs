//! How a connection ends after an error: the client reads why, and then the end, and never a reset
//! that would cost it the answer.

use std::net::Shutdown;

use switchboard::http::Options;

use crate::answer::answers;
use crate::served::{End, SECOND, Served, request};

#[test]
fn h12_after_an_error_the_client_reads_the_answer_and_the_end() {
    let mut served = Served::with(Options {
        max_body: 1_000,
        ..Options::default()
    });
    let flood = vec![b'x'; 64 * 1024];
    for (status, head) in [
        (400, &b"GET  / HTTP/1.1\r\n\r\n"[..]),
        (
            413,
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        ),
        (
            501,
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        ),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ] {
        // What is in flight when the server refuses, and what is sent after that.
        let mut client = served.connect();
        served.post(&mut client, &[head, &flood].concat());
        served.post(&mut client, &flood);
        let (received, end) = served.read_to_end(&mut client);
        assert_eq!((answers(&received)[0].status, end), (status, End::Fin));
        served.post(&mut client, &flood);
        let driver = served.driver;
        assert_eq!(
            served.hub().count(driver),
            1,
            "it waits for the client's end"
        );
        client.shutdown(Shutdown::Write).unwrap();
        served.assert_nothing_left();
    }
}

#[test]
fn h12_a_client_that_never_ends_is_not_waited_for_longer_than_the_linger_time() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.post(&mut client, b"nonsense\r\n\r\n");
    for _ in 0..4 {
        served.advance(SECOND);
        served.post(&mut client, &[b'x'; 16 * 1024]);
        let driver = served.driver;
        assert_eq!(served.hub().count(driver), 1);
    }
    served.advance(SECOND);
    let driver = served.driver;
    assert_eq!(served.hub().count(driver), 0);
    served.assert_nothing_left();
}

#[test]
fn h12_answers_before_the_error_arrive_too() {
    let mut served = Served::new();
    let good = request("GET /good", "", "");
    let answers = served.ask_until_closed([&good[..], &good, b"bad\r\n\r\n", &good].concat());
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 400]);
    assert_eq!(
        served.app.seen.len(),
        2,
        "nothing behind the error is served"
    );
}

#[test]
fn h13_fields_are_bounded_in_number_and_size() {
    let mut served = Served::new();
    let of = |fields: &str| request("GET /", fields, "");
    // With `Host`, a hundred.
    assert_eq!(served.ask(of(&"A: b\r\n".repeat(99)))[0].status, 200);
    assert_eq!(served.refusal(of(&"A: b\r\n".repeat(100))), 431);
    let different: String = (0..100)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    assert_eq!(served.refusal(of(&different)), 431);

    let head = of("A: \r\n").len();
    let fits = format!("A: {}\r\n", "b".repeat(16 * 1024 - head));
    assert_eq!(
        (of(&fits).len(), served.ask(of(&fits))[0].status),
        (16 * 1024, 200)
    );
    let longer = format!("A: {}\r\n", "b".repeat(16 * 1024 - head + 1));
    assert_eq!(served.refusal(of(&longer)), 431);

    let target = |length: usize| format!("GET /{}", "x".repeat(length - 1));
    assert_eq!(
        served.ask(request(&target(8 * 1024), "", ""))[0].status,
        200
    );
    assert_eq!(served.refusal(request(&target(8 * 1024 + 1), "", "")), 414);
    assert_eq!(served.refusal(request(&target(17 * 1024), "", "")), 414);
    served.assert_nothing_left();
}
