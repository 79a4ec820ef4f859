//! Whom to connect to, and what to ask.

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::net::http::push_field;

/// A WebSocket URL to connect to, and how. It goes to [`Endpoint::connect`](super::Endpoint).
///
/// # Examples
///
/// ```
/// use switchboard::websocket::Dial;
///
/// let dial = Dial::new("ws://127.0.0.1:7001/chat?room=lobby")?
///     .protocols(&["chat.v2", "chat.v1"])
///     .field("Cookie", "name=value");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Dial {
    pub(super) address: String,
    pub(super) host: String,
    pub(super) target: String,
    pub(super) protocols: Vec<String>,
    pub(super) fields: Vec<u8>,
    pub(super) deadline: Option<Duration>,
    pub(super) ticket: Option<Box<dyn Any>>,
}

impl Dial {
    /// To `ws://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    ///
    /// When that is no such URL. The error says what is wrong.
    pub fn new(url: &str) -> io::Result<Self> {
        let bad = |what: &str| {
            let text = format!("`{}` {what}", url.escape_debug());
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("wss") => {
                return Err(bad("needs TLS, which is not here yet"));
            }
            _ => return Err(bad("is no URL of WebSocket: write ws://HOST:PORT/PATH")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(end);
        if host.is_empty() || host.contains('@') {
            return Err(bad("has no proper host: write ws://HOST:PORT/PATH"));
        }
        if target.contains('#') {
            return Err(bad("has a fragment, which means nothing to a server"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        Ok(Self {
            address: if has_port {
                host.to_owned()
            } else {
                format!("{host}:80")
            },
            host: host.strip_suffix(":80").unwrap_or(host).to_owned(),
            target: if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            },
            protocols: Vec::new(),
            fields: Vec::new(),
            deadline: None,
            ticket: None,
        })
    }

    /// The sub-protocols to offer, the one that we like best first.
    #[must_use]
    pub fn protocols(mut self, names: &[&str]) -> Self {
        self.protocols = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// A further field of the request. One that would break the head is left out, with a warning in
    /// the log.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        push_field(&mut self.fields, name, value.as_bytes());
        self
    }

    /// How long the connection, and then the answer, may take. Default:
    /// [`Options::close_timeout`](super::Options::close_timeout).
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// What `on_open` or `on_dial_failed` is to be given back.
    #[must_use]
    pub fn ticket(mut self, ticket: impl Any) -> Self {
        self.ticket = Some(Box::new(ticket));
        self
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("host", &self.host)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, address, host, target) in [
            ("ws://a", "a:80", "a", "/"),
            ("WS://a:80/", "a:80", "a", "/"),
            ("ws://a:81/b?c", "a:81", "a:81", "/b?c"),
            ("ws://a?b", "a:80", "a", "/?b"),
            ("ws://[::1]/", "[::1]:80", "[::1]", "/"),
            ("ws://[::1]:5000/x", "[::1]:5000", "[::1]:5000", "/x"),
        ] {
            let dial = Dial::new(url).unwrap();
            let found = (&*dial.address, &*dial.host, &*dial.target);
            assert_eq!(found, (address, host, target), "{url}");
        }
        for url in [
            "",
            "a",
            "http://a/",
            "ws://",
            "ws:///a",
            "ws://u@a/",
            "ws://a/#b",
            "wss://a/",
        ] {
            let error = Dial::new(url).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{url}` ")), "{error}");
        }
    }
}
