//! Requests as bytes, well-formed and not: what the tests of this folder send, and what other servers
//! are asked to read too.

/// What is sent, and the status of the answer, after which the connection is closed.
pub(crate) const REFUSED: &[(&str, u16)] = &[
    // A semicolon, and nothing behind it.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n02;\r\nhi\r\n0\r\n\r\n",
        400,
    ),
    // The first line.
    ("GET\r\n\r\n", 400),
    ("GET /\r\n\r\n", 400),
    ("GET / \r\nHost: a\r\n\r\n", 400),
    ("/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("G\u{c9}T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("\u{16}\u{3}\u{1}\u{0}\u{a5}", 400),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // The version.
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP /1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTPP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / ICY/1.1\r\nHost: a\r\n\r\n", 400),
    // The target.
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET #a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET file:///etc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("OPTIONS a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // The host.
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", 400),
    ("GET http://b/ HTTP/1.1\r\n\r\n", 400),
    // Fields.
    ("GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA\t: c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n\"A\": c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA\u{e9}: c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: \u{1}\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: \u{7f}\r\n\r\n", 400),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n",
        417,
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", 417),
];

/// What may look wrong and has one legal reading, with what the application sees of it.
pub(crate) const READ: &[(&str, &str)] = &[
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=a []"),
    ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "BREW / host=a []"),
    ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / host=a []"),
    ("GET / HTTP/1.0\r\n\r\n", "GET / host= []"),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / host= []"),
    ("GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET / host=a []"),
    (
        "GET / HTTP/1.1\r\nhOST: \t a \t \r\n\r\n",
        "GET / host=a []",
    ),
    (
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / host=[::1]:80 []",
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nA:\r\n\r\n", "GET / host=a []"),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nA: \u{e9}\r\n\r\n",
        "GET / host=a []",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nA: a:b:c\r\n\r\n",
        "GET / host=a []",
    ),
    (
        "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b/x host=b []",
    ),
    (
        "GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //b/x host=a []",
    ),
    (
        "GET /../x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /../x host=a []",
    ),
    ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%00 host=a []"),
    (
        "GET /\"<>\\^`{|} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\"<>\\^`{|} host=a []",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "GET / host=a [hi]",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / host=a []"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0002\r\n\r\nhi",
        "POST / host=a [hi]",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n",
        "GET / host=a []",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n02;a\r\nhi\r\n000\r\n\r\n",
        "POST / host=a [hi]",
    ),
];

/// Requests of all kinds, and which of their answers are to a `HEAD`.
pub(crate) const WHOLE: [(&str, &[usize]); 13] = [
    ("GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", &[]),
    ("GET / HTTP/1.0\r\n\r\n", &[]),
    (
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        &[],
    ),
    ("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n", &[0]),
    (
        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nhello\r\n\r\nyou",
        &[],
    ),
    (
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;a=\"b\"\r\nhello\r\n00b;c\r\n, it's me.\n\r\n0;last\r\nX: y\r\nZ:\r\n\r\n",
        &[],
    ),
    (
        "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        &[],
    ),
    (
        "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        &[],
    ),
    (
        "PUT /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        &[],
    ),
    (
        "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\
         \r\n\r\nabc\r\nHEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nPOST /4 HTTP/1.1\r\nHost: a\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\
         Connection: close\r\n\r\nGET /6 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[2],
    ),
    (
        "GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\n",
        &[],
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n",
        &[],
    ),
    (
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[],
    ),
];

/// Line ends that are none.
pub(crate) const LINE_ENDS: &[&[u8]] = &[
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\r\n\r\n",
    b"GET / HTTP/1.1\rHost: a\r\r",
    b"GET / HTTP/1.1\r\nHost: a\rX\r\n\r\n",
    b"GET / HTTP/1.1\rXHost: a\rX\rX",
    b"GET / HTTP/1.1\r\nHost: a\r\n\rX",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\rHost: a\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// NULs, each in another place.
pub(crate) const NULS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\0\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET\0 / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\0\r\n\r\nx",
];

/// Names that are no tokens, and lines that go on.
pub(crate) const NAMES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA:\r\n\tb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 0\r\n\r\n0123456789",
    b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\x85: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length\xa0: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length\xff: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nA\x0b: b\r\n\r\n",
];

/// What some take for white space.
pub(crate) const SPACES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x85chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x85\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0cchunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x1fchunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \x855\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\xa0\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\x85\r\n\r\n",
];

/// Numbers that overflow, or are less than nothing.
pub(crate) const NUMBERS: &[&[u8]] = &[
    b"GET / HTTP/4294967295.255\r\nHost: a\r\n\r\n",
    b"GET / HTTP/4294967297.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.4294967297\r\nHost: a\r\n\r\n",
    b"GET / HTTP/-1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -48\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4294967296.5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ,5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5;a\r\n\r\nhello",
];

/// Lists with holes, and codings that are none.
pub(crate) const CODINGS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, \r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chu\0nked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ch\xfcnked\r\n\r\n0\r\n\r\n",
];

/// Bodies in chunks that do not end where they say.
pub(crate) const CHUNKS: &[&[u8]] = &[
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\rX0\r\n\r\n",
    b"5\rXhello\r\n0\r\n\r\n",
    b"5;a\rXhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\n",
    b"5\r\nhello\r\n0\r\n\rX",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n0\r\nX\r\n",
    b"5\x85\r\nhello\r\n0\r\n\r\n",
    b"0x\r\n\r\n",
    b"5\0\r\nhello\r\n0\r\n\r\n",
];
