//! Heads of responses, for clients and proxies.

use super::head::{Framing, Space, Version, refused, version};
use super::{Error, Headers, Length};

/// The head of a response, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Response<'a> {
    /// The status: three digits, the first of which says the class.
    pub status: u16,
    /// The words behind it, which mean nothing.
    pub reason: &'a str,
    /// The version.
    pub version: Version,
    /// All fields.
    pub headers: Headers<'a>,
    /// How the body is framed.
    pub body: Length,
    /// The connection may be used for another request.
    pub keep_alive: bool,
    /// The protocol that is spoken from here on, in a `101 Switching Protocols`.
    pub upgrade: Option<&'a str>,
}

impl<'a> Response<'a> {
    /// Parses a head that ends where [`Scan`](super::Scan) says, of the response to a request with
    /// this method, which has a say in whether there is a body (RFC 9112, section 6.3).
    ///
    /// # Errors
    ///
    /// At everything of which there could be two readings. See [`Error`].
    pub fn parse<'b: 'a>(
        head: &'b [u8],
        method: &str,
        space: &'a mut Space<'b>,
    ) -> Result<Self, Error> {
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut parsed, head, &mut space.0) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Error::BadLine),
            Err(error) => return Err(refused(error)),
        }
        let status = parsed.code.unwrap_or(0);
        if status < 100 {
            return Err(Error::BadLine);
        }
        let (version, headers) = (version(parsed.version), Headers::new(parsed.headers));
        let framing = Framing::of(headers, version)?;
        let body = match status {
            100..=199 | 204 | 304 => Length::None,
            _ if method == "HEAD" => Length::None,
            200..=299 if method == "CONNECT" => Length::None,
            _ => framing.body(Length::UntilClose),
        };
        Ok(Self {
            status,
            reason: parsed.reason.unwrap_or(""),
            version,
            headers,
            body,
            keep_alive: framing.keeps_alive(version) && body != Length::UntilClose,
            upgrade: framing.upgrade(version).filter(|_| status == 101),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<R>(
        head: &str,
        method: &str,
        look: impl FnOnce(Result<Response<'_>, Error>) -> R,
    ) -> R {
        look(Response::parse(head.as_bytes(), method, &mut Space::new()))
    }

    #[test]
    fn the_body_depends_on_status_and_method() {
        for (head, method, body, kept) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
                "GET",
                Length::Fixed(3),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
                "HEAD",
                Length::None,
                true,
            ),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n",
                "GET",
                Length::Chunked,
                true,
            ),
            ("HTTP/1.1 200 OK\r\n", "GET", Length::UntilClose, false),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n",
                "GET",
                Length::UntilClose,
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n",
                "GET",
                Length::Fixed(3),
                false,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n",
                "GET",
                Length::None,
                true,
            ),
            ("HTTP/1.1 204 No Content\r\n", "GET", Length::None, true),
            ("HTTP/1.1 100 Continue\r\n", "POST", Length::None, true),
            ("HTTP/1.1 200 OK\r\n", "CONNECT", Length::None, true),
        ] {
            parse(&format!("{head}\r\n"), method, |response| {
                let response = response.unwrap();
                assert_eq!((response.body, response.keep_alive), (body, kept), "{head}");
            });
        }
    }

    #[test]
    fn an_upgrade_is_one_with_101_only() {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        for (status, upgrade) in [
            ("101 Switching Protocols", Some("websocket")),
            ("200 OK", None),
        ] {
            let head = format!("HTTP/1.1 {status}\r\n{fields}");
            parse(&head, "GET", |response| {
                assert_eq!(response.unwrap().upgrade, upgrade);
            });
        }
    }

    #[test]
    fn refuses_what_requests_may_not_have_either() {
        for (head, error) in [
            ("HTTP/1.1 099 X\r\n\r\n", Error::BadLine),
            ("HTTP/3.0 200 OK\r\n\r\n", Error::UnknownVersion),
            ("ICY 200 OK\r\n\r\n", Error::UnknownVersion),
            ("HTTP/1.1 20 OK\r\n\r\n", Error::BadLine),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Error::BadField),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Error::BadContentLength,
            ),
        ] {
            assert_eq!(
                parse(head, "GET", |response| response.err()),
                Some(error),
                "{head}"
            );
        }
    }
}
