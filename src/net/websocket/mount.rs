//! Where WebSocket begins: a path of an HTTP server.

use std::fmt;

use crate::net::http::{self, Response};
use crate::proto::websocket::handshake::{Offer, Refused};
use crate::reactor::DriverId;

/// Leads handshakes to an [`Endpoint`](super::Endpoint): an [`http::Mount`].
///
/// A page of another site may not connect, unless it is [allowed](Self::origins) to: browsers
/// send cookies along whoever asks. Clients that are no browsers send no `Origin`, and may.
pub struct Mount {
    endpoint: DriverId,
    origins: Origins,
}

enum Origins {
    Same,
    Any,
    List(Vec<String>),
    Function(Box<dyn Fn(&str) -> bool>),
}

impl Mount {
    /// To this endpoint, for pages of the same origin.
    pub fn new(endpoint: DriverId) -> Self {
        Self {
            endpoint,
            origins: Origins::Same,
        }
    }

    /// Lets pages of these origins connect, as browsers send them: `https://app.example`.
    #[must_use]
    pub fn origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        self.origins = Origins::List(origins.into_iter().map(str::to_owned).collect());
        self
    }

    /// Lets pages connect of whose origin a function says yes.
    #[must_use]
    pub fn origins_with(mut self, is_allowed: impl Fn(&str) -> bool + 'static) -> Self {
        self.origins = Origins::Function(Box::new(is_allowed));
        self
    }

    /// Lets pages of all origins connect. What they may do is then decided by something else than
    /// cookies.
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }

    fn admits(&self, request: &http::Request<'_>, secure: bool) -> bool {
        let Some(value) = request.headers().get("Origin") else {
            return true;
        };
        let origin = std::str::from_utf8(value).unwrap_or_default();
        match &self.origins {
            Origins::Any => true,
            Origins::List(list) => list.iter().any(|own| own.eq_ignore_ascii_case(origin)),
            Origins::Function(function) => function(origin),
            Origins::Same => is_same(origin, request.host(), secure),
        }
    }
}

/// True if a page of this origin was served under this host: by TLS, if the connection is. Where it
/// is not, a proxy may have taken TLS off, and either will do.
fn is_same(origin: &str, host: &str, secure: bool) -> bool {
    let (authority, port) = match origin.split_once("://") {
        Some(("http", authority)) if !secure => (authority, ":80"),
        Some(("https", authority)) => (authority, ":443"),
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

impl<A> http::Mount<A> for Mount {
    fn on_request(&mut self, _: &mut A, cx: &mut http::Cx<'_>, request: &http::Request<'_>) {
        if let Err(refused) = Offer::read(request.head()) {
            let text = format!("{}: {refused}\n", refused.status());
            let mut response = Response::text(refused.status(), text);
            if let Refused::NotAsked | Refused::BadVersion = refused {
                response = response
                    .field("Upgrade", "websocket")
                    .field("Sec-WebSocket-Version", "13");
            }
            return cx.respond(response.close()).ignore();
        }
        let id = cx.id().conn();
        if !self.admits(request, cx.is_secure(id)) {
            let text = "403: pages of this origin may not connect\n";
            return cx.respond(Response::text(403, text).close()).ignore();
        }
        cx.hand_over(self.endpoint, Box::new(request.keep()));
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_origin_is_the_same_host_and_port() {
        for (origin, host, same) in [
            ("http://a.example", "a.example", true),
            ("http://A.example", "a.EXAMPLE", true),
            ("http://a.example:80", "a.example", true),
            ("http://a.example", "a.example:80", true),
            ("https://a.example", "a.example:443", true),
            ("https://a.example", "a.example", true),
            ("http://a.example:5000", "a.example:5000", true),
            ("http://[::1]:5000", "[::1]:5000", true),
            ("http://a.example:5000", "a.example", false),
            ("http://a.example.evil", "a.example", false),
            ("http://evil/a.example", "a.example", false),
            ("http://a.example@evil", "a.example", false),
            ("ftp://a.example", "a.example", false),
            ("null", "null", false),
            ("http://", "", false),
            ("", "", false),
        ] {
            assert_eq!(is_same(origin, host, false), same, "{origin} {host}");
            let both = same && origin.starts_with("https:");
            assert_eq!(is_same(origin, host, true), both, "{origin} {host}");
        }
    }
}
