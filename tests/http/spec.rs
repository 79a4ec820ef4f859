//! What h1spec asks of a server, case by case and in words of our own: to wait for what is
//! incomplete, to refuse what is wrong, and to serve what only looks wrong.

use crate::served::{Served, request};

/// How the server is to take what it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// By the application, which sees this.
    Seen(&'static str),
    /// By a status of 400 to 599 and the end of the connection.
    Refused,
    /// By waiting for more.
    Waits,
}
use Expected::{Refused, Seen, Waits};

const CASES: [(&str, &[u8], Expected); 33] = [
    ("a fragmented method", b"P", Waits),
    ("no target yet", b"PUT ", Waits),
    ("a fragmented target", b"PUT /some", Waits),
    ("no version yet", b"PUT /some ", Waits),
    ("a fragmented version", b"PUT /some HTTP", Waits),
    ("a line without its end", b"PUT /some HTTP/1.1", Waits),
    ("half the end of a line", b"PUT /some HTTP/1.1\r", Waits),
    ("no field yet", b"PUT /some HTTP/1.1\r\n", Waits),
    ("a fragmented name", b"PUT /some HTTP/1.1\r\nHo", Waits),
    ("no value yet", b"PUT /some HTTP/1.1\r\nHost:", Waits),
    ("space and no value yet", b"PUT /some HTTP/1.1\r\nHost: ", Waits),
    ("a field without its end", b"PUT /some HTTP/1.1\r\nHost: here", Waits),
    ("half the end of a field", b"PUT /some HTTP/1.1\r\nHost: here\r", Waits),
    ("no empty line", b"PUT /some HTTP/1.1\r\nHost: here\r\n", Waits),
    ("half an empty line", b"PUT /some HTTP/1.1\r\nHost: here\r\n\r", Waits),
    ("no version", b"GET /x \r\n\r\n", Refused),
    (
        "an expectation without a body",
        b"GET /x HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\n\r\n",
        Seen("GET /x host=b []"),
    ),
    ("a valid request", b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n", Seen("GET /x host=b []")),
    (
        "a valid request in strange dress",
        b"GET /x HTTP/1.1\r\nhOSt:\tb\r\nnothing:\r\n\r\n",
        Seen("GET /x host=b []"),
    ),
    ("a name that is no token", b"GET /x HTTP/1.1\r\nHost: b\r\nX(y): z\r\n\r\n", Refused),
    ("no host", b"GET /x HTTP/1.1\r\nContent-Length: 1\r\n\r\n", Refused),
    ("two hosts", b"GET /x HTTP/1.1\r\nHost: b\r\nHost: c\r\n\r\n", Refused),
    (
        "a length far below zero",
        b"GET /x HTTP/1.1\r\nHost: b\r\nContent-Length: -98765432109876543210987\r\n\r\n",
        Refused,
    ),
    ("a negative length", b"GET /x HTTP/1.1\r\nHost: b\r\nContent-Length: -7\r\n\r\n", Refused),
    ("a length in words", b"GET /x HTTP/1.1\r\nHost: b\r\nContent-Length: ten\r\n\r\n", Refused),
    ("an empty value", b"GET /x HTTP/1.1\r\nHost: b\r\nX: \r\n\r\n", Seen("GET /x host=b []")),
    ("a control character", b"GET /x HTTP/1.1\r\nHost: b\r\nX: y\x08\r\n\r\n", Refused),
    ("an unknown version", b"GET /x HTTP/8.7\r\nHost: b\r\n\r\n", Refused),
    ("something before the method", b"And then GET /x HTTP/1.1\r\nHost: b\r\n\r\n", Refused),
    ("a wrong end of a line", b"GET /x HTTP/1.1\r\nHost: b\r\n\rX: y\r\n\r\n", Refused),
    (
        "a body of a length",
        b"POST /x HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\nbody",
        Seen("POST /x host=b [body]"),
    ),
    (
        "a body in chunks",
        b"POST /x HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\nB\r\neleven char\r\n0\r\n\r\n",
        Seen("POST /x host=b [eleven char]"),
    ),
    (
        "a length and a coding in any case",
        b"POST /x HTTP/1.1\r\nHost: b\r\ncontent-LENGTH: 4\r\ntransfer-ENCODING: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
];

#[test]
fn h09_all_cases_of_h1spec() {
    let mut served = Served::new();
    for (name, request, expected) in CASES {
        match expected {
            Waits => {
                let mut client = served.connect();
                served.write(&mut client, request);
                served.assert_silent(&mut client);
            }
            Seen(seen) => assert_eq!(served.ask(request)[0].text(), seen, "{name}"),
            Refused => {
                let status = served.refusal(request);
                assert!((400..600).contains(&status), "{name}: {status}");
            }
        }
    }
    served.assert_nothing_left();
}

/// What was incomplete is served when it is whole.
#[test]
fn h09_a_fragmented_request_is_answered_when_it_is_whole() {
    let mut served = Served::new();
    let whole = request("GET /some", "X: y\r\n", "");
    for at in 1..whole.len() {
        let mut client = served.connect();
        served.write(&mut client, &whole[..at]);
        served.write(&mut client, &whole[at..]);
        assert_eq!(
            served.read_answer(&mut client).text(),
            "GET /some host=a []"
        );
    }
}
