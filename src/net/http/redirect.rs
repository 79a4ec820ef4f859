//! To TLS.

use super::cx::Cx;
use super::mount::Mount;
use super::request::Request;
use super::response::Response;

/// Sends whoever comes without TLS to the same address with it: a [`Mount`] for a server that
/// listens on port 80.
///
/// # Examples
///
/// ```
/// use switchboard::http::{HttpsRedirect, Server};
///
/// let plain: Server<()> = Server::new().mount("/", HttpsRedirect::new());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HttpsRedirect {
    port: u16,
}

impl HttpsRedirect {
    /// To port 443.
    pub const fn new() -> Self {
        Self { port: 443 }
    }

    /// To another port.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }
}

impl Default for HttpsRedirect {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> Mount<A> for HttpsRedirect {
    fn on_request(&mut self, _: &mut A, cx: &mut Cx<'_>, request: &Request<'_>) {
        let Some(host) = bare(request.host()) else {
            return cx.respond(Response::plain(400)).ignore();
        };
        let port = match self.port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let query = request
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        let place = format!("https://{host}{port}{}{query}", request.path());
        // 308 and not 301: what was posted is posted again, RFC 9110, section 15.4.9.
        cx.respond(Response::plain(308).field("Location", place))
            .ignore();
    }
}

/// A host without its port. `None` if there is none, or what follows it is no port.
fn bare(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address = name.starts_with('[') && name.ends_with(']');
    (!name.is_empty() && (is_address || !name.contains(':'))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_off() {
        for (host, expected) in [
            ("a", Some("a")),
            ("a:80", Some("a")),
            ("a:", Some("a")),
            ("[::1]", Some("[::1]")),
            ("[::1]:8080", Some("[::1]")),
            ("", None),
            (":80", None),
            ("a:b", None),
            ("a:80:80", None),
            ("[::1]:b", None),
            ("[::1", None),
        ] {
            assert_eq!(bare(host), expected, "{host}");
        }
    }
}
