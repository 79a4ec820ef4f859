//! Heads of requests.

use super::head::{Framing, Space, Version, refused, version};
use super::{Error, Headers, Length};

/// The head of a request, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The head itself, as it came.
    pub bytes: &'a [u8],
    /// The method, as sent: case matters.
    pub method: &'a str,
    /// The target, as sent.
    pub target: &'a str,
    /// The path of the target, as sent: percent signs are not resolved. `*` for the server as a
    /// whole, empty for `CONNECT`.
    pub path: &'a str,
    /// What follows the path behind a question mark.
    pub query: Option<&'a str>,
    host: &'a [u8],
    /// The version.
    pub version: Version,
    /// All fields.
    pub headers: Headers<'a>,
    /// How the body is framed.
    pub body: Length,
    /// The connection may be used for another request.
    pub keep_alive: bool,
    /// The client waits for a `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The protocols that the client would rather speak, if it says so in both of the fields that
    /// this takes.
    pub upgrade: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Whom the request is for: the authority of the target if it has one, or else `Host`. Without
    /// either, in HTTP/1.0, it is empty.
    pub fn host(&self) -> &'a str {
        // It has been looked at: all of it is ASCII.
        core::str::from_utf8(self.host).unwrap_or_default()
    }

    /// Parses a head that ends where [`Scan`](super::Scan) says.
    ///
    /// # Errors
    ///
    /// At everything of which there could be two readings. See [`Error`].
    pub fn parse<'b: 'a>(head: &'b [u8], space: &'a mut Space<'b>) -> Result<Self, Error> {
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut space.0) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Error::BadLine),
            Err(error) => return Err(unreadable(head, error)),
        }
        let (method, target) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
        let (version, headers) = (version(parsed.version), Headers::new(parsed.headers));
        let framing = Framing::of(headers, version)?;
        let host = match framing.host {
            Some(host) => host_of(host)?,
            None if version == Version::Http11 => return Err(Error::BadHost),
            None => b"",
        };
        let target_parts = Target::of(method, target)?;
        let expects_continue = match framing.expect {
            None => false,
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => true,
            Some(_) => return Err(Error::UnknownExpectation),
        };
        Ok(Self {
            bytes: head,
            method,
            target,
            path: target_parts.path,
            query: target_parts.query,
            // RFC 9112, section 3.2.2: the target's own authority counts.
            host: target_parts.authority.unwrap_or(host),
            version,
            headers,
            body: framing.body(Length::None),
            keep_alive: framing.keeps_alive(version),
            expects_continue: expects_continue && version == Version::Http11,
            upgrade: framing.upgrade(version),
        })
    }
}

/// A target in one of the forms of RFC 9112, section 3.2.
struct Target<'a> {
    authority: Option<&'a [u8]>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(method: &str, target: &'a str) -> Result<Self, Error> {
        // A fragment is for the browser alone.
        if !target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        {
            return Err(Error::BadTarget);
        }
        let (authority, rest) = match target.as_bytes().first() {
            _ if method == "CONNECT" => {
                let host = host_of(target.as_bytes()).map_err(|_| Error::BadTarget)?;
                (Some(host), "")
            }
            Some(b'/') => (None, target),
            Some(b'*') if target == "*" && method == "OPTIONS" => (None, target),
            _ => absolute(target)?,
        };
        let mark = rest.bytes().position(|byte| byte == b'?');
        let (path, query) = match mark {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let path = match path {
            "" if method != "CONNECT" => "/",
            path => path,
        };
        Ok(Self {
            authority,
            path,
            query,
        })
    }
}

/// `http://host/path`, as proxies are asked.
fn absolute(target: &str) -> Result<(Option<&[u8]>, &str), Error> {
    let (scheme, rest) = target.split_once("://").ok_or(Error::BadTarget)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Error::BadTarget);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    match host_of(authority.as_bytes()) {
        Ok(host) if !host.is_empty() => Ok((Some(host), rest)),
        _ => Err(Error::BadTarget),
    }
}

/// The characters that a host or a port may have: RFC 3986, section 3.2.2.
const IN_HOST: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let (others, mut at) = (b"-._~!$&'()*+;=%:[]", 0);
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// A host with or without a port.
fn host_of(value: &[u8]) -> Result<&[u8], Error> {
    match value.iter().all(|byte| IN_HOST[usize::from(*byte)]) {
        true => Ok(value),
        false => Err(Error::BadHost),
    }
}

/// Why a request line could not be read. A version that is one, but not ours, is told apart.
fn unreadable(head: &[u8], error: httparse::Error) -> Error {
    if error != httparse::Error::Version {
        return refused(error);
    }
    let line = head
        .split(|byte| *byte == b'\r')
        .find(|line| line.len() > 1);
    let mut parts = line.unwrap_or_default().split(|byte| *byte == b' ').skip(2);
    match (parts.next(), parts.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Error::UnknownVersion
        }
        _ => Error::BadLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<R>(head: &str, look: impl FnOnce(Result<Request<'_>, Error>) -> R) -> R {
        look(Request::parse(head.as_bytes(), &mut Space::new()))
    }

    fn error(head: &str) -> Option<Error> {
        parse(head, |request| request.err())
    }

    /// The error of a request with these fields, each with its line end.
    fn error_of(fields: &str) -> Option<Error> {
        error(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    #[test]
    fn targets_come_in_four_forms() {
        for (line, host, path, query) in [
            ("GET / HTTP/1.1", "a", "/", None),
            ("GET /a/b?c=d?e HTTP/1.1", "a", "/a/b", Some("c=d?e")),
            ("GET /? HTTP/1.1", "a", "/", Some("")),
            (
                "GET //evil.example/x HTTP/1.1",
                "a",
                "//evil.example/x",
                None,
            ),
            ("GET http://b:81/x?y HTTP/1.1", "b:81", "/x", Some("y")),
            ("GET HTTP://b HTTP/1.1", "b", "/", None),
            ("GET http://b?y HTTP/1.1", "b", "/", Some("y")),
            ("OPTIONS * HTTP/1.1", "a", "*", None),
            ("CONNECT b:443 HTTP/1.1", "b:443", "", None),
        ] {
            parse(&format!("{line}\r\nHost: a\r\n\r\n"), |request| {
                let request = request.unwrap();
                assert_eq!(
                    (request.host(), request.path, request.query),
                    (host, path, query),
                    "{line}"
                );
            });
        }
        for target in [
            "*",
            "a",
            "",
            "ftp://b/",
            "http:///x",
            "http://a b/",
            "/#x",
            "/\u{e9}",
            "http://u@b/",
        ] {
            let error = error(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(
                matches!(error, Some(Error::BadTarget | Error::BadLine)),
                "{target}: {error:?}"
            );
        }
    }

    #[test]
    fn the_body_has_one_reading() {
        for (fields, body) in [
            ("", Length::None),
            ("Content-Length: 0\r\n", Length::None),
            (
                "content-length: 18446744073709551615\r\n",
                Length::Fixed(u64::MAX),
            ),
            ("Content-Length:  7\t\r\n", Length::Fixed(7)),
            ("Transfer-Encoding: Chunked\r\n", Length::Chunked),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            parse(&head, |request| {
                assert_eq!(request.unwrap().body, body, "{fields}");
            });
        }
        for length in [
            "+5",
            "-1",
            "-48",
            "0x5",
            "5_0",
            "5 5",
            "",
            "5, 5",
            "5,6",
            "18446744073709551616",
            "٣",
        ] {
            let error = error_of(&format!("Content-Length: {length}\r\n"));
            assert_eq!(error, Some(Error::BadContentLength), "{length}");
        }
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding: chunked,\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked;a=b\r\n",
            "Transfer-Encoding:\r\n",
        ] {
            assert_eq!(
                error_of(fields),
                Some(Error::BadTransferEncoding),
                "{fields}"
            );
        }
        assert_eq!(
            error_of("Transfer-Encoding: gzip, chunked\r\n"),
            Some(Error::UnknownCoding)
        );
        let twice = "Content-Length: 5\r\nContent-Length: 5\r\n";
        assert_eq!(error_of(twice), Some(Error::BadContentLength));
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(error(old), Some(Error::BadTransferEncoding));
    }

    #[test]
    fn a_field_has_a_name_a_colon_and_one_line() {
        for fields in [
            "A : b\r\n",
            " A: b\r\n",
            "A: b\r\n c\r\n",
            "A: b\r\n\tc\r\n",
            ": b\r\n",
            "A\r\n",
            "A\u{e9}: b\r\n",
            "A[]: b\r\n",
            "A: \u{1}\r\n",
            "A: \u{7f}\r\n",
        ] {
            assert_eq!(error_of(fields), Some(Error::BadField), "{fields:?}");
        }
        // What some take for white space is part of the value.
        assert_eq!(
            error_of("Transfer-Encoding: \u{85}chunked\r\n"),
            Some(Error::BadTransferEncoding)
        );
        assert_eq!(
            error_of("Transfer-Encoding: \u{b}chunked\r\n"),
            Some(Error::BadField)
        );
    }

    #[test]
    fn a_request_line_has_three_parts() {
        for (line, expected) in [
            ("GET / HTTP/2.0", Error::UnknownVersion),
            ("GET / HTTP/1.2", Error::UnknownVersion),
            ("GET / HTTP/0.9", Error::UnknownVersion),
            ("GET /", Error::BadLine),
            ("GET / HTTP/4294967295.255", Error::BadLine),
            ("GET / HTTP/1.1x", Error::BadLine),
            ("GET / http/1.1", Error::BadLine),
            ("GET  / HTTP/1.1", Error::BadLine),
            ("GET /  HTTP/1.1", Error::BadLine),
            ("GET / HTTP/1.1 ", Error::BadLine),
            ("G@T / HTTP/1.1", Error::BadLine),
            (" GET / HTTP/1.1", Error::BadLine),
            ("GET\t/\tHTTP/1.1", Error::BadLine),
        ] {
            let error = error(&format!("{line}\r\nHost: a\r\n\r\n"));
            assert_eq!(error, Some(expected), "{line}");
        }
    }

    #[test]
    fn there_is_one_host() {
        let host = |hosts: &[&str]| {
            let fields: String = hosts
                .iter()
                .map(|host| format!("Host: {host}\r\n"))
                .collect();
            error(&format!("GET / HTTP/1.1\r\n{fields}\r\n"))
        };
        for hosts in [
            &[][..],
            &["a", "a"],
            &["a", "b"],
            &["a b"],
            &["a,b"],
            &["a/b"],
            &["u@a"],
            &["a\u{e9}"],
        ] {
            assert_eq!(host(hosts), Some(Error::BadHost), "{hosts:?}");
        }
        for one in ["a", "a:80", "[::1]:80", "", "%61"] {
            assert_eq!(host(&[one]), None, "{one}");
        }
        assert_eq!(error("GET / HTTP/1.0\r\n\r\n"), None);
        assert_eq!(
            error("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
            Some(Error::BadHost)
        );
    }

    #[test]
    fn connections_are_kept_as_the_version_has_it() {
        for (version, connection, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, CLOSE\r\n", false),
            (
                "1.1",
                "Connection: keep-alive\r\nConnection: close\r\n",
                false,
            ),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            parse(&head, |request| {
                assert_eq!(request.unwrap().keep_alive, kept, "{head}");
            });
        }
    }

    #[test]
    fn expectations_and_upgrades() {
        assert_eq!(
            error_of("Expect: 200-ok\r\n"),
            Some(Error::UnknownExpectation)
        );
        for (head, expects, upgrade) in [
            ("GET / HTTP/1.1\r\nExpect: 100-Continue", true, None),
            ("GET / HTTP/1.0\r\nExpect: 100-continue", false, None),
            (
                "GET / HTTP/1.1\r\nConnection: x, Upgrade\r\nUpgrade: websocket",
                false,
                Some("websocket"),
            ),
            ("GET / HTTP/1.1\r\nConnection: upgrade", false, None),
            ("GET / HTTP/1.1\r\nUpgrade: websocket", false, None),
            (
                "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket",
                false,
                None,
            ),
        ] {
            parse(&format!("{head}\r\nHost: a\r\n\r\n"), |request| {
                let request = request.unwrap();
                assert_eq!(
                    (request.expects_continue, request.upgrade),
                    (expects, upgrade),
                    "{head}"
                );
            });
        }
    }

    #[test]
    fn fields_are_bounded_and_found_in_any_case() {
        let fields = "A: 1\r\n".repeat(super::super::MAX_HEADERS);
        assert_eq!(error_of(&fields), Some(Error::TooManyFields));
        parse(
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2, three\r\n\r\n",
            |request| {
                let headers = request.unwrap().headers;
                assert_eq!(
                    headers.all("X-a").collect::<Vec<_>>(),
                    [&b"1"[..], b"2, three"]
                );
                assert_eq!(headers.text("x-A"), Some("1"));
                assert!(headers.has_token("X-A", "Three") && !headers.has_token("X-A", "thre"));
                assert_eq!((headers.len(), headers.get("b")), (3, None));
            },
        );
    }

    #[test]
    fn empty_lines_before_a_request_are_passed_over() {
        parse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", |request| {
            assert_eq!(request.unwrap().path, "/");
        });
    }
}
