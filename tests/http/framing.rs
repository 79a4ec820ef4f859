//! Where a request ends: what could be read in two ways is refused, and what nobody has read is
//! never taken for a request.

use switchboard::http::Options;

use crate::served::{Served, request};

/// What a smuggler hides behind a body.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Refused with this status, and nothing behind it is served.
fn assert_refused(served: &mut Served, status: u16, request: &[u8]) {
    let before = served.app.seen.len();
    assert_eq!(
        served.refusal(request),
        status,
        "{}",
        request.escape_ascii()
    );
    assert_eq!(served.app.seen.len(), before, "{}", request.escape_ascii());
}

#[test]
fn h01_content_length_and_transfer_encoding_have_one_reading() {
    let mut served = Served::new();
    for (status, fields) in [
        (400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        (
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            400,
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        (400, "Transfer-Encoding: chunked, identity\r\n"),
        (400, "Transfer-Encoding: chunked, chunked\r\n"),
        (400, "Transfer-Encoding: ,chunked\r\n"),
        (400, "Transfer-Encoding: chunked,\r\n"),
        (400, "Transfer-Encoding: chunked;q=1\r\n"),
        (400, "Transfer-Encoding: \"chunked\"\r\n"),
        (400, "Transfer-Encoding: xchunked\r\n"),
        (400, "Transfer-Encoding: chunked\u{85}\r\n"),
        (400, "Transfer-Encoding: identity\r\n"),
        (400, "Transfer-Encoding:\r\n"),
        (501, "Transfer-Encoding: gzip, chunked\r\n"),
        (400, "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (400, "Content-Length: 5\r\nContent-Length: 5\r\n"),
        (400, "Content-Length: 5, 5\r\n"),
        (400, "Content-Length: +5\r\n"),
        (400, "Content-Length: -1\r\n"),
        (400, "Content-Length: 0x5\r\n"),
        (400, "Content-Length: 5_0\r\n"),
        (400, "Content-Length: 5 5\r\n"),
        (400, "Content-Length: 5.0\r\n"),
        (400, "Content-Length: 1e1\r\n"),
        (400, "Content-Length:\r\n"),
        (400, "Content-Length: 18446744073709551616\r\n"),
        (400, "Content-Length : 5\r\n"),
        (400, "Transfer-Encoding : chunked\r\n"),
    ] {
        let request = request("POST /", fields, &format!("0\r\n\r\n{SMUGGLED}"));
        assert_refused(&mut served, status, &request);
    }
    let old = format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    assert_refused(&mut served, 400, old.as_bytes());
    served.assert_nothing_left();
}

#[test]
fn h02_a_size_of_a_chunk_is_a_hexadecimal_number_below_two_to_the_64() {
    let mut served = Served::new();
    for chunk in [
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "00000000000000001\r\n",
        "g\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "\r\n",
        ";a=b\r\n",
        "5\nhello\r\n",
        "5\r\r\nhello\r\n",
        "5_0\r\n",
        "\u{665}\r\nhello\r\n",
    ] {
        let body = format!("{chunk}0\r\n\r\n{SMUGGLED}");
        for path in ["POST /", "POST /take"] {
            let request = request(path, "Transfer-Encoding: chunked\r\n", &body);
            assert_refused(&mut served, 400, &request);
        }
    }
    // What is a number, but more than anybody has: no memory is reserved for it.
    let huge = request(
        "POST /",
        "Transfer-Encoding: chunked\r\n",
        "ffffffffffffffff\r\nx",
    );
    let mut client = served.connect();
    served.write(&mut client, &huge);
    served.assert_silent(&mut client);
}

#[test]
fn h03_trailers_are_bounded_thrown_away_and_never_the_next_request() {
    let mut served = Served::new();
    let chunked = |trailers: &str| {
        let body = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
        request("POST /", "Transfer-Encoding: chunked\r\n", &body)
    };
    let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = served.ask([&chunked("X: y\r\nContent-Length: 7\r\n")[..], next].concat());
    let bodies: Vec<_> = answers.iter().map(|answer| answer.text()).collect();
    assert_eq!(bodies, ["POST / host=a [abc]", "GET /next host=a []"]);

    served.app.seen.clear();
    for trailers in [
        "GET /smuggled HTTP/1.1\r\nHost: a\r\n",
        "X\r\n",
        ": x\r\n",
        " X: y\r\n",
        "X : y\r\n",
        "X: y\nZ: z\r\n",
        "X: y\r\n\tfolded\r\n",
        "X: \0\r\n",
    ] {
        assert_refused(&mut served, 400, &chunked(trailers));
    }
    let long = format!("X: {}\r\n", "y".repeat(16 * 1024));
    assert_refused(&mut served, 400, &chunked(&long));
    let many = "X: y\r\n".repeat(8 * 1024);
    assert_refused(&mut served, 400, &chunked(&many));
    let most = format!("X: {}\r\n", "y".repeat(16 * 1024 - 2));
    assert_eq!(served.ask(chunked(&most))[0].status, 200);
    served.assert_nothing_left();
}

#[test]
fn h04_a_body_that_nobody_reads_is_no_request() {
    let mut served = Served::with(Options {
        max_body: 10,
        ..Options::default()
    });
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    let sized = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for (status, line) in [
        // Nobody there, no such method, larger than anybody takes, and answered too early.
        (501, "CONNECT a:80"),
        (413, "POST /"),
        (200, "POST /take?early"),
    ] {
        for (fields, body) in [
            (&length[..], SMUGGLED),
            ("Transfer-Encoding: chunked\r\n", &sized[..]),
        ] {
            let request = request(line, fields, &format!("{body}{SMUGGLED}"));
            let answers = served.ask_until_closed(&request);
            assert_eq!(answers.len(), 1, "{line} {fields}: {answers:?}");
            assert_eq!(answers[0].status, status, "{line} {fields}");
        }
    }
    assert_eq!(served.app.seen, [""; 0]);
    served.assert_nothing_left();
}

#[test]
fn h04_a_path_or_method_that_is_unknown_leaves_no_body_behind() {
    let server = switchboard::http::Server::new().get("/known", |(), cx, _| {
        cx.respond("known").ignore();
    });
    let mut served = Served::of((), server);
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    for (status, line) in [
        (404, "POST /unknown"),
        (405, "POST /known"),
        (204, "OPTIONS *"),
    ] {
        let answers = served.ask_until_closed(request(line, &length, SMUGGLED));
        assert_eq!(answers.len(), 1, "{line}: {answers:?}");
        assert!(
            answers[0].status == status && answers[0].closes(),
            "{answers:?}"
        );
        // Without a body, the connection goes on.
        let known = [&request(line, "", "")[..], &request("GET /known", "", "")].concat();
        let answers = served.ask(known);
        assert_eq!(
            (answers[0].status, answers[1].text()),
            (status, "known"),
            "{line}"
        );
    }
}

#[test]
fn h06_extensions_of_chunks_are_bounded() {
    let mut served = Served::new();
    let chunked = |body: &str| request("POST /", "Transfer-Encoding: chunked\r\n", body);
    let most = 16 * 1024;
    let fits = chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(most)));
    assert_eq!(served.ask(&fits)[0].text(), "POST / host=a [abc]");
    for body in [
        format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(most + 20)),
        format!("{}0\r\n\r\n", "1;xy\r\na\r\n".repeat(most / 2 + 20)),
        format!("1\r\na\r\n0;{}\r\n\r\n", "x".repeat(most + 20)),
    ] {
        let request = chunked(&body);
        assert_eq!(served.refusal(&request), 400);
        // It is noticed while it arrives, and not when it has ended.
        let endless = &request[..request.len() - 10];
        assert_eq!(served.refusal(endless), 400);
    }
    for body in [
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\0\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n",
    ] {
        assert_eq!(served.refusal(chunked(body)), 400, "{body:?}");
    }
    served.assert_nothing_left();
}
