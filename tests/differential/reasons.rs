//! Where readers are known to disagree, and why this one is right to.

use std::collections::HashSet;

/// Why another reader takes what this one does not, or the other way round.
struct Reason {
    peer: &'static str,
    why: &'static str,
    /// What connections that they disagree about have in them.
    parts: &'static [&'static [u8]],
}

const REASONS: &[Reason] = &[
    Reason {
        peer: "h11",
        why: "takes any version for its own; how another one frames a body, nobody can know",
        parts: &[
            b" HTTP/2.0\r\n",
            b" HTTP/1.2\r\n",
            b" HTTP/0.9\r\n",
            b" HTTP/9.9\r\n",
        ],
    },
    Reason {
        peer: "h11",
        why: "leaves the target to its user; RFC 9112, section 3.2, has four forms of it",
        parts: &[
            b"GET a ",
            b"GET ?a ",
            b"GET * ",
            b"GET #a ",
            b"GET /#a ",
            b"GET http:///a ",
            b"GET http://u:p@a/ ",
            b"GET file:///etc ",
            b"GET a:80 ",
            b"CONNECT / ",
            b"OPTIONS a ",
        ],
    },
    Reason {
        peer: "h11",
        why: "does not look at the host; RFC 9112, section 3.2, wants one that is none refused",
        parts: &[
            b"Host: a, b\r\n",
            b"Host: a b\r\n",
            b"Host: u@a\r\n",
            b"Host: a/b\r\n",
            b"Host: \xc3\xa9\r\n",
            b"Host: a\x85\r\n",
        ],
    },
    Reason {
        peer: "h11",
        why: "takes control characters in values, which RFC 9110, section 5.5, calls invalid",
        parts: &[b"A: \x01\r\n", b"A: \x7f\r\n"],
    },
    Reason {
        peer: "h11",
        why: "leaves expectations to its user; RFC 9110, section 10.1.1, has 417 for them",
        parts: &[b"Expect: a miracle\r\n", b"Expect:\r\n"],
    },
    Reason {
        peer: "h11",
        why: "takes an LF for a line end, as RFC 9112, section 2.2, lets it: a second reading",
        parts: &[
            b"1.1\nHost",
            b"Host: a\n\r\n",
            b"Host: a\r\n\n",
            b"0\r\n\nGET",
        ],
    },
    Reason {
        peer: "h11",
        why: "joins continued lines; RFC 9112, section 5.2, has them refused or replaced",
        parts: &[
            b"\r\n A: b\r\n",
            b"A: b\r\n c\r\n",
            b"A:\r\n\tb\r\n",
            b"Transfer-Encoding:\r\n chunked\r\n",
            b"\r\n : b\r\n",
        ],
    },
    Reason {
        peer: "h11",
        why: "keeps no connection of HTTP/1.0, as RFC 9112, appendix C.2.2, lets it",
        parts: &[b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n"],
    },
    Reason {
        peer: "h11",
        why: "refuses an empty line before a request; RFC 9112, section 2.2, has one passed over",
        parts: &[b"\r\nGET /1 ", b"\r\nGET / "],
    },
    Reason {
        peer: "node",
        why: "has a list of methods; by RFC 9110, section 9.1, any token is one",
        parts: &[b"BREW / ", b"get / "],
    },
    Reason {
        peer: "h11",
        why: "takes a semicolon behind a chunk's size without an extension",
        parts: &[b"\r\n02;\r\n"],
    },
    Reason {
        peer: "node",
        why: "answers HTTP/0.9, whose requests have no fields, and takes HTTP/2.0 without its framing",
        parts: &[b"GET /\r\n\r\n", b" HTTP/0.9\r\n", b" HTTP/2.0\r\n"],
    },
    Reason {
        peer: "node",
        why: "takes several spaces for one; RFC 9112, section 3, lets it: a second reading",
        parts: &[b"GET  / ", b"GET /  "],
    },
    Reason {
        peer: "node",
        why: "passes over any line ends before a request; RFC 9112, section 2.2, speaks of one",
        parts: &[b"\r\n\r\n\r\nGET / ", b"\nGET / ", b"\rGET / "],
    },
    Reason {
        peer: "node",
        why: "leaves the target to its user; RFC 9112, section 3.2, has four forms of it",
        parts: &[
            b"GET * ",
            b"GET /#a ",
            b"GET http:///a ",
            b"GET http://u:p@a/ ",
            b"GET file:///etc ",
            b"CONNECT / ",
        ],
    },
    Reason {
        peer: "node",
        why: "takes several hosts and what is none; RFC 9112, section 3.2, wants them refused",
        parts: &[
            b"Host: a\r\nHost: a\r\n\r\nGET",
            b"Host: a\r\nhost: b\r\n",
            b"Host: a, b\r\n",
            b"Host: a b\r\n",
            b"Host: u@a\r\n",
            b"Host: a/b\r\n",
            b"Host: \xc3\xa9\r\n",
            b"Host: a\x85\r\n",
        ],
    },
    Reason {
        peer: "node",
        why: "refuses the request alike, but goes on to the next one, where we close",
        parts: &[
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET http://b/ HTTP/1.1\r\n\r\n",
            b"Expect: a miracle\r\n",
            b"Expect:\r\n",
        ],
    },
    Reason {
        peer: "node",
        why: "passes over holes in a list of codings, which others take for something else",
        parts: &[
            b"Transfer-Encoding: ,chunked\r\n",
            b"Transfer-Encoding: , chunked\r\n",
        ],
    },
];

/// Which of the reasons were needed.
#[derive(Default)]
pub(crate) struct Used(HashSet<&'static [u8]>);

impl Used {
    /// True if there is a reason to disagree with this reader about these bytes.
    pub(crate) fn explains(&mut self, peer: &str, bytes: &[u8]) -> bool {
        let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        let found = parts(peer).find(|part| contains(part));
        self.0.extend(found);
        found.is_some()
    }

    /// What the reasons name and nobody disagrees about.
    pub(crate) fn stale(&self, peer: &str) -> Vec<String> {
        let stale = parts(peer).filter(|part| !self.0.contains(part));
        stale.map(|part| part.escape_ascii().to_string()).collect()
    }
}

fn parts(peer: &str) -> impl Iterator<Item = &'static [u8]> {
    let reasons = REASONS.iter().filter(move |reason| reason.peer == peer);
    reasons.flat_map(|reason| reason.parts.iter().copied())
}

#[test]
fn a_reason_says_something() {
    assert!(
        REASONS
            .iter()
            .all(|reason| reason.why.len() > 20 && !reason.parts.is_empty())
    );
}
