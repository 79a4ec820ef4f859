//! The cases of h1spec, which asks a server to follow RFC 9112 where clients and servers have been
//! found not to. Written out from the RFC.

use crate::served::Served;

/// How the server is to take what it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// By an answer of the application.
    Served,
    /// By a status of 400 to 599 and the end of the connection.
    Refused,
    /// By waiting for more.
    Waits,
}
use Expected::{Refused, Served as Answered, Waits};

const CASES: [(&str, &[u8], Expected); 33] = [
    ("a fragmented method", b"G", Waits),
    ("a fragmented line", b"GET ", Waits),
    ("a fragmented target", b"GET /hello", Waits),
    ("a fragmented line with a space", b"GET /hello ", Waits),
    ("a fragmented version", b"GET /hello HTTP", Waits),
    (
        "a fragmented version with a slash",
        b"GET /hello HTTP/1.1",
        Waits,
    ),
    ("a fragmented line end", b"GET /hello HTTP/1.1\r", Waits),
    ("no fields yet", b"GET /hello HTTP/1.1\r\n", Waits),
    ("a fragmented name", b"GET /hello HTTP/1.1\r\nHos", Waits),
    ("a fragmented field", b"GET /hello HTTP/1.1\r\nHost:", Waits),
    (
        "a fragmented value",
        b"GET /hello HTTP/1.1\r\nHost: local",
        Waits,
    ),
    (
        "a fragmented end of a field",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r",
        Waits,
    ),
    (
        "no empty line",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\n",
        Waits,
    ),
    (
        "half an empty line",
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r",
        Waits,
    ),
    (
        "a whole request",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        Answered,
    ),
    (
        "an invalid name of a field",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-In[va]lid: b\r\n\r\n",
        Refused,
    ),
    (
        "a space in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nInvalid Header: b\r\n\r\n",
        Refused,
    ),
    (
        "a space before the colon",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Invalid : b\r\n\r\n",
        Refused,
    ),
    (
        "an invalid byte in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Bad: a\x01b\r\n\r\n",
        Refused,
    ),
    (
        "an invalid method",
        b"G\xffT / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused,
    ),
    (
        "an invalid line",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused,
    ),
    (
        "an invalid version",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        Refused,
    ),
    (
        "a version in lower case",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        Refused,
    ),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", Refused),
    (
        "two hosts",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        Refused,
    ),
    (
        "an empty length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        Refused,
    ),
    (
        "a negative length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        Refused,
    ),
    (
        "no number",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
        Refused,
    ),
    (
        "a length and a coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused,
    ),
    (
        "an overflowing size of a chunk",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
        Refused,
    ),
    (
        "a size of a chunk that is none",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a body of a length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        Answered,
    ),
    (
        "a body in chunks",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Answered,
    ),
];

#[test]
fn h09_all_cases_of_h1spec() {
    let mut served = Served::new();
    for (name, request, expected) in CASES {
        let mut client = served.connect();
        served.write(&mut client, request);
        match expected {
            Waits => served.assert_silent(&mut client),
            Answered => assert_eq!(served.read_answer(&mut client).status, 200, "{name}"),
            Refused => {
                let status = served.refusal(request);
                assert!((400..600).contains(&status), "{name}: {status}");
            }
        }
    }
    served.assert_nothing_left();
}

/// What h1spec calls fragmented is whole in the end.
#[test]
fn h09_a_fragmented_request_is_answered_when_it_is_whole() {
    let mut served = Served::new();
    let whole = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for at in 1..whole.len() {
        let mut client = served.connect();
        served.write(&mut client, &whole[..at]);
        served.write(&mut client, &whole[at..]);
        assert_eq!(
            served.read_answer(&mut client).text(),
            "GET /hello host=localhost []"
        );
    }
}
