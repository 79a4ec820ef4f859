//! The handshake: an HTTP/1.1 request and its answer, after which frames follow. RFC 6455, section
//! 4.

use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::proto::http1::{self, Headers, Length, write};

/// What a server appends to a key before it hashes it, so that no other server answers like this
/// by chance.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is no handshake. Each has one [status](Self::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// It does not ask for WebSocket: no `Upgrade`, or not by `GET`.
    NotAsked,
    /// It has a body.
    HasBody,
    /// `Sec-WebSocket-Key` is missing, double, or not 16 bytes in Base64.
    BadKey,
    /// `Sec-WebSocket-Protocol` is no list of names, or has one twice.
    BadProtocols,
    /// `Sec-WebSocket-Version` is not 13.
    BadVersion,
}

impl Refused {
    /// The status of the answer. One with 426 says in `Sec-WebSocket-Version` which is spoken.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotAsked | Self::BadVersion => 426,
            Self::HasBody | Self::BadKey | Self::BadProtocols => 400,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "WebSocket is spoken here: ask for an upgrade to it",
            Self::HasBody => "a handshake has no body",
            Self::BadKey => "Sec-WebSocket-Key is not 16 bytes in Base64",
            Self::BadProtocols => "Sec-WebSocket-Protocol is no list of names",
            Self::BadVersion => "Sec-WebSocket-Version is not 13",
        })
    }
}

impl core::error::Error for Refused {}

/// What a client asks for in its handshake.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What the answer to the key is.
    pub accept: Accept,
    headers: Headers<'a>,
}

/// What a server answers to a key: 28 characters.
pub type Accept = [u8; 28];

impl<'a> Offer<'a> {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// When it is no handshake of version 13.
    pub fn read(head: &http1::Request<'a>) -> Result<Self, Refused> {
        let asked = head.upgrade.is_some_and(|upgrade| {
            let mut protocols = upgrade.split(',');
            protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
        });
        if !asked || head.method != "GET" {
            return Err(Refused::NotAsked);
        }
        if head.body != Length::None {
            return Err(Refused::HasBody);
        }
        let one = |name: &'static str| {
            let mut values = head.headers.all(name);
            values.next().filter(|_| values.next().is_none())
        };
        if one("Sec-WebSocket-Version") != Some(b"13") {
            return Err(Refused::BadVersion);
        }
        let key = one("Sec-WebSocket-Key").ok_or(Refused::BadKey)?;
        let decoded = STANDARD.decode(key).map_err(|_| Refused::BadKey)?;
        if decoded.len() != 16 {
            return Err(Refused::BadKey);
        }
        let offer = Self {
            accept: accept(key),
            headers: head.headers,
        };
        let mut names: Vec<_> = offer.protocols().collect();
        let is_list = head.headers.all("Sec-WebSocket-Protocol").count() == 0
            || !names.is_empty() && names.iter().all(|name| write::is_name(name));
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        if !is_list || twice {
            return Err(Refused::BadProtocols);
        }
        Ok(offer)
    }

    /// The sub-protocols that the client speaks, the one that it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> {
        let values = self.headers.all("Sec-WebSocket-Protocol");
        let texts = values.map(|value| core::str::from_utf8(value).unwrap_or_default());
        texts.flat_map(|text| text.split(',')).map(str::trim)
    }

    /// Appends the answer that takes the offer up. `protocol` has to be one of those that were
    /// offered; `fields` are further ones, with their line ends.
    pub fn accept(&self, out: &mut Vec<u8>, protocol: Option<&str>, fields: &[u8]) {
        write::status_line(out, 101);
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
        out.extend_from_slice(b"Sec-WebSocket-Accept: ");
        out.extend_from_slice(&self.accept);
        out.extend_from_slice(b"\r\n");
        if let Some(protocol) = protocol.filter(|name| self.protocols().any(|own| own == *name)) {
            // It has been looked at: it is a name.
            let _ = write::field(out, "Sec-WebSocket-Protocol", protocol.as_bytes());
        }
        out.extend_from_slice(fields);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a server answers to a key.
pub fn accept(key: &[u8]) -> Accept {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut text = [0; 28];
    // Twenty bytes always make 28 characters.
    let _ = STANDARD.encode_slice(hash, &mut text);
    text
}

/// The key that a client sends, of 16 bytes that nobody can foresee.
pub fn key(bytes: [u8; 16]) -> String {
    STANDARD.encode(bytes)
}

/// Appends the request of a client. `fields` are further ones, with their line ends. False, with
/// nothing appended, if target, host or a sub-protocol cannot be sent.
#[must_use]
pub fn request(
    out: &mut Vec<u8>,
    host: &str,
    target: &str,
    key: &str,
    protocols: &[&str],
    fields: &[u8],
) -> bool {
    let from = out.len();
    let mut complete = write::request_line(out, "GET", target)
        && write::field(out, "Host", host.as_bytes())
        && write::field(out, "Sec-WebSocket-Key", key.as_bytes())
        && protocols.iter().all(|name| write::is_name(name));
    out.extend_from_slice(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    );
    if !protocols.is_empty() {
        let list = protocols.join(", ");
        complete &= write::field(out, "Sec-WebSocket-Protocol", list.as_bytes());
    }
    out.extend_from_slice(fields);
    out.extend_from_slice(b"\r\n");
    if !complete {
        out.truncate(from);
    }
    complete
}

/// Why an answer to a client's handshake does not begin a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unanswered {
    /// Another status than 101.
    Status(u16),
    /// `Upgrade` or `Connection` does not say that WebSocket follows.
    NoUpgrade,
    /// `Sec-WebSocket-Accept` does not go with the key: something else has answered.
    BadAccept,
    /// A sub-protocol that was not offered, or several.
    BadProtocol,
    /// An extension that was not offered, or not as it was.
    BadExtension,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "the server answered {status} {}", write::reason(*status))
            }
            Self::NoUpgrade => f.write_str("the answer does not upgrade to WebSocket"),
            Self::BadAccept => f.write_str("Sec-WebSocket-Accept does not go with the key"),
            Self::BadProtocol => f.write_str("a sub-protocol that was not offered"),
            Self::BadExtension => {
                f.write_str("an extension that was not offered, or not in this way")
            }
        }
    }
}

impl core::error::Error for Unanswered {}

/// Reads the answer to a client's handshake; returns the sub-protocol that was chosen.
///
/// With `extensions` some were offered, and what was agreed to is for the caller to read. Without
/// them, none may be there.
///
/// # Errors
///
/// When it does not begin a connection. Redirects are not followed.
pub fn read_answer<'a>(
    head: &http1::Response<'a>,
    key: &str,
    protocols: &[&str],
    extensions: bool,
) -> Result<Option<&'a str>, Unanswered> {
    if head.status != 101 {
        return Err(Unanswered::Status(head.status));
    }
    if !head
        .upgrade
        .is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    {
        return Err(Unanswered::NoUpgrade);
    }
    let mut accepts = head.headers.all("Sec-WebSocket-Accept");
    if accepts.next() != Some(&accept(key.as_bytes())) || accepts.next().is_some() {
        return Err(Unanswered::BadAccept);
    }
    if !extensions && head.headers.get("Sec-WebSocket-Extensions").is_some() {
        return Err(Unanswered::BadExtension);
    }
    let mut chosen = head.headers.all("Sec-WebSocket-Protocol");
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok(None),
        (Some(name), None) => {
            let name = core::str::from_utf8(name).unwrap_or_default();
            match protocols.contains(&name) {
                true => Ok(Some(name)),
                false => Err(Unanswered::BadProtocol),
            }
        }
        (Some(_), Some(_)) => Err(Unanswered::BadProtocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http1::{Request, Response, Space};

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn offer<R>(fields: &str, look: impl FnOnce(Result<Offer<'_>, Refused>) -> R) -> R {
        let head = format!("GET /chat HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut space = Space::new();
        look(Offer::read(
            &Request::parse(head.as_bytes(), &mut space).unwrap(),
        ))
    }

    fn good(more: &str) -> String {
        format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}"
        )
    }

    /// RFC 6455, section 1.3.
    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(&accept(KEY.as_bytes()), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key(*b"the sample nonce"), KEY);
        let fields = good("Sec-WebSocket-Protocol: chat, superchat\r\n");
        let mut out = Vec::new();
        offer(&fields, |offer| {
            offer.unwrap().accept(&mut out, Some("chat"), b"");
        });
        let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let without = |name: &str| -> String {
            let fields = good("");
            let kept = fields
                .split_inclusive("\r\n")
                .filter(|line| !line.starts_with(name));
            kept.collect()
        };
        for (fields, refused) in [
            (without("Upgrade"), Refused::NotAsked),
            (without("Connection"), Refused::NotAsked),
            (good("").replace("websocket", "h2c"), Refused::NotAsked),
            (without("Sec-WebSocket-Version"), Refused::BadVersion),
            (good("").replace("13", "8"), Refused::BadVersion),
            (good("Sec-WebSocket-Version: 8\r\n"), Refused::BadVersion),
            (without("Sec-WebSocket-Key"), Refused::BadKey),
            (good("").replace(KEY, ""), Refused::BadKey),
            (
                good("").replace(KEY, "dGhlIHNhbXBsZSBub25jZQ"),
                Refused::BadKey,
            ),
            (
                good("").replace(KEY, "dGhlIHNhbXBsZSBub25jZQ=="[4..].into()),
                Refused::BadKey,
            ),
            (good("").replace(KEY, "!"), Refused::BadKey),
            (
                good(&format!("Sec-WebSocket-Key: {KEY}\r\n")),
                Refused::BadKey,
            ),
            (good("Content-Length: 1\r\n"), Refused::HasBody),
            (
                good("Sec-WebSocket-Protocol: a, a\r\n"),
                Refused::BadProtocols,
            ),
            (
                good("Sec-WebSocket-Protocol: a b\r\n"),
                Refused::BadProtocols,
            ),
            (good("Sec-WebSocket-Protocol:\r\n"), Refused::BadProtocols),
            (
                good("Sec-WebSocket-Protocol: a,,b\r\n"),
                Refused::BadProtocols,
            ),
        ] {
            let found = offer(&fields, |offer| offer.err());
            assert_eq!(found, Some(refused), "{fields}");
        }
        for fields in [
            good(""),
            good("").replace("websocket", "h2c, WebSocket"),
            good("").replace(": Upgrade", ": keep-alive, upgrade"),
        ] {
            assert!(offer(&fields, |offer| offer.is_ok()), "{fields}");
        }
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n", good(""));
        let mut space = Space::new();
        let head = Request::parse(post.as_bytes(), &mut space).unwrap();
        assert_eq!(Offer::read(&head).err(), Some(Refused::NotAsked));
    }

    #[test]
    fn w11_a_protocol_that_was_not_offered_is_not_answered() {
        let fields = good("Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n");
        offer(&fields, |offer| {
            let offer = offer.unwrap();
            assert_eq!(offer.protocols().collect::<Vec<_>>(), ["a", "b", "c"]);
            for (protocol, there) in [
                (Some("c"), true),
                (Some("d"), false),
                (Some("a\r\nX: y"), false),
                (None, false),
            ] {
                let mut out = Vec::new();
                offer.accept(&mut out, protocol, b"X-A: b\r\n");
                let text = String::from_utf8(out).unwrap();
                assert_eq!(
                    text.contains("Sec-WebSocket-Protocol"),
                    there,
                    "{protocol:?}"
                );
                assert!(text.ends_with("X-A: b\r\n\r\n") && !text.contains("X: y"));
            }
        });
    }

    #[test]
    fn a_client_looks_at_the_answer() {
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        for (head, expected) in [
            (good.to_owned(), Ok(None)),
            (
                format!("{good}Sec-WebSocket-Protocol: b\r\n"),
                Ok(Some("b")),
            ),
            (
                format!("{good}Sec-WebSocket-Protocol: c\r\n"),
                Err(Unanswered::BadProtocol),
            ),
            (
                format!("{good}Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"),
                Err(Unanswered::BadProtocol),
            ),
            (
                format!("{good}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                Err(Unanswered::BadExtension),
            ),
            (good.replace("s3p", "S3p"), Err(Unanswered::BadAccept)),
            (
                good.replace("Upgrade: WebSocket\r\n", ""),
                Err(Unanswered::NoUpgrade),
            ),
            (
                good.replace("101 Switching Protocols", "302 Found"),
                Err(Unanswered::Status(302)),
            ),
            (
                "HTTP/1.1 403 Forbidden\r\n".to_owned(),
                Err(Unanswered::Status(403)),
            ),
        ] {
            let (text, mut space) = (format!("{head}\r\n"), Space::new());
            let head = Response::parse(text.as_bytes(), "GET", &mut space).unwrap();
            let found = read_answer(&head, KEY, &["a", "b"], false);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_not_asked() {
        let ask = |host: &str, target: &str, protocols: &[&str]| {
            let mut out = Vec::new();
            request(&mut out, host, target, KEY, protocols, b"")
                .then(|| String::from_utf8(out).unwrap())
        };
        let expected = format!(
            "GET /a?b HTTP/1.1\r\nHost: h:1\r\nSec-WebSocket-Key: {KEY}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
        );
        assert_eq!(ask("h:1", "/a?b", &["a", "b"]), Some(expected));
        for (host, target, protocols) in [
            ("h\r\nX: y", "/", &[][..]),
            ("h", "/ x", &[]),
            ("h", "", &[]),
            ("h", "/", &["a b"]),
        ] {
            assert_eq!(ask(host, target, protocols), None);
        }
    }
}
