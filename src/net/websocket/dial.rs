//! Whom to connect to, and what to ask.

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::net::http::push_field;
use crate::reactor;
#[cfg(feature = "tls")]
use crate::reactor::tls;

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
    /// By TLS, if that is wanted: with what was said of it.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Option<tls::Client>>,
    pub(super) deadline: Option<Duration>,
    pub(super) ticket: Option<Box<dyn Any>>,
}

impl Dial {
    /// To `ws://HOST[:PORT][/PATH]`, or with TLS to `wss://`: the server's certificate has to be for
    /// that host, and whom the system trusts has to vouch for it, unless [`tls`](Self::tls) says
    /// otherwise.
    ///
    /// # Errors
    ///
    /// When that is no such URL. The error says what is wrong.
    pub fn new(url: &str) -> io::Result<Self> {
        let bad = |what: &str| {
            let text = format!("`{}` {what}", url.escape_debug());
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let (rest, usual) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => (rest, ":80"),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => (rest, ":443"),
            _ => {
                return Err(bad(
                    "is no URL of WebSocket: write ws://HOST:PORT/PATH, or wss://",
                ));
            }
        };
        #[cfg(not(feature = "tls"))]
        if usual == ":443" {
            return Err(bad("needs TLS: build with the feature `tls`"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(end);
        if host.is_empty() || host.contains('@') {
            return Err(bad(
                "has no proper host: write ws://HOST:PORT/PATH, or wss://",
            ));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(
                "has a space or another character that has to be written as %XX",
            ));
        }
        if target.contains('#') {
            return Err(bad("has a fragment, which means nothing to a server"));
        }
        // What stands behind the last colon is no port within the brackets of an IPv6 address.
        let port = host.rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| !port.ends_with(']'));
        let has_port = port.is_some();
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err(bad("has no proper port: a number from 1 to 65535"));
        }
        Ok(Self {
            address: if has_port {
                host.to_owned()
            } else {
                format!("{host}{usual}")
            },
            host: host.strip_suffix(usual).unwrap_or(host).to_owned(),
            target: if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            },
            protocols: Vec::new(),
            fields: Vec::new(),
            #[cfg(feature = "tls")]
            tls: (usual == ":443").then_some(None),
            deadline: None,
            ticket: None,
        })
    }

    /// Whom to trust, and what to show, when the URL is of `wss://`. Means nothing otherwise.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, client: &tls::Client) -> Self {
        self.tls = self.tls.map(|_| Some(client.clone()));
        self
    }

    /// The connection below.
    pub(super) fn below(&self) -> reactor::Dial {
        let dial = reactor::Dial::tcp(self.address.as_str());
        #[cfg(feature = "tls")]
        if let Some(client) = &self.tls {
            let name = self.address.rsplit_once(':').map_or("", |(name, _)| name);
            let client = client.clone().map_or_else(tls::Client::platform, Ok);
            return match client.and_then(|client| dial.tls(&client, name)) {
                Ok(dial) => dial,
                Err(error) => reactor::Dial::hopeless(error),
            };
        }
        dial
    }

    /// The sub-protocols to offer, the one that we like best first.
    #[must_use]
    pub fn protocols(mut self, names: &[&str]) -> Self {
        self.protocols = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// A further field of the request. One that would break the head is left out, with a warning in
    /// the log; so is one of the handshake itself.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        let own = ["Host", "Upgrade", "Connection"];
        let is_own = |own: &&str| name.eq_ignore_ascii_case(own);
        let prefix = name.get(..14).unwrap_or_default();
        if own.iter().any(is_own) || prefix.eq_ignore_ascii_case("Sec-WebSocket-") {
            log::warn!("the field {name} belongs to the handshake, and is left out");
            return self;
        }
        push_field(&mut self.fields, name, value.as_bytes());
        self
    }

    /// How long the connection may take, and then once more the answer. Default: for the connection
    /// 10 s, as any [`Dial`](crate::Dial), and for the answer
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
            #[cfg(feature = "tls")]
            ("wss://a:80/", "a:80", "a:80", "/"),
            #[cfg(feature = "tls")]
            ("Wss://a/b", "a:443", "a", "/b"),
            #[cfg(feature = "tls")]
            ("wss://[::1]:443/b", "[::1]:443", "[::1]", "/b"),
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
            "ws://a:/",
            "ws://a:0/",
            "ws://a:99999/",
            "ws://a:b/",
            "ws://a b/",
            "ws://a/b c",
            "ws://a/\u{e4}",
        ] {
            let error = Dial::new(url).unwrap_err().to_string();
            let shown = url.escape_debug();
            assert!(error.starts_with(&format!("`{shown}` ")), "{error}");
        }
    }
}
