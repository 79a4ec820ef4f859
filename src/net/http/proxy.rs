//! A reverse proxy: requests answered by another server.
//!
//! Two drivers take part. The server leads requests here; what is said with the other server is the
//! affair of an [`Upstream`]. Bytes go straight into the other's outbox, and whoever is slow holds
//! back whoever is fast.

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use crate::id::ConnId;
use crate::proto::http1::{Length, write};
use crate::reactor::{Dial, DriverId, Hub, Limits, Sent};

use super::cx::Cx;
use super::exchange::RequestId;
use super::mount::{Intake, Mount};
use super::request::Request;
use super::response::Response;
use super::upstream::{Job, Tunnel};

/// Fields that are about one connection and not about the message: RFC 9110, section 7.6.1.
const HOP_BY_HOP: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Fields of a request that are written anew.
const OURS: [&str; 6] = [
    "Content-Length",
    "Expect",
    "Host",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
];

/// Answers requests by asking another server: a [`Mount`].
///
/// The path is passed on as it is. `Host` is the client's; `X-Forwarded-For`, `X-Forwarded-Host` and
/// `X-Forwarded-Proto` say who has asked whom. Bodies are streamed both ways. An upgrade that the
/// other server agrees to makes the two connections one. Each request has a connection of its own,
/// and begins anew when that fails: nothing is asked twice.
///
/// A server that cannot be reached, or answers with nonsense, is a 502; one that does not answer in
/// time, a 504.
///
/// # Examples
///
/// ```
/// use switchboard::{Config, Reactor, http};
///
/// let mut reactor: Reactor<()> = Reactor::new(Config::default())?;
/// let upstream = reactor.add_driver(http::Upstream::new());
/// let server = http::Server::new()
///     .mount("/app", http::Proxy::new(upstream, "127.0.0.1:8000"));
/// let server = reactor.add_driver(server);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    driver: DriverId,
    to: String,
    connect_timeout: Duration,
    read_timeout: Duration,
    https: bool,
    links: HashMap<RequestId, Link>,
}

/// A request and the connection on which it is passed on.
#[derive(Debug)]
struct Link {
    upstream: ConnId,
    chunked: bool,
    /// The client's own limits, which do not go with two connections that are one.
    limits: Option<Limits>,
}

/// What an upstream connection has to tell about its request.
pub(super) enum Told {
    /// It is open.
    Opened,
    /// It is over, in whatever way.
    Over,
    /// The other server agrees to speak another protocol, with this head.
    Switched(Vec<u8>),
}

impl Proxy {
    /// To a server at `HOST:PORT`, by an [`Upstream`](super::Upstream).
    pub fn new(upstream: DriverId, to: &str) -> Self {
        Self {
            driver: upstream,
            to: to.to_owned(),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            https: false,
            links: HashMap::new(),
        }
    }

    /// How long connecting may take. Default 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the other server may be silent. Default 60 s, as nginx's `proxy_read_timeout`.
    #[must_use]
    pub const fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Says in `X-Forwarded-Proto` that all clients come by TLS: somebody before us has taken it off.
    /// Where it is we who do so, that is known without being told.
    #[must_use]
    pub const fn https(mut self) -> Self {
        self.https = true;
        self
    }

    /// The head of the request as the other server is to see it. `None` if it cannot be written.
    fn head(&self, request: &Request<'_>, is_secure: bool) -> Option<Vec<u8>> {
        let (head, mut out) = (request.head(), Vec::with_capacity(1024));
        let target = match head.query {
            Some(query) => format!("{}?{query}", head.path),
            None => head.path.to_owned(),
        };
        let mut complete = write::request_line(&mut out, head.method, &target);
        let named = |name: &str| head.headers.has_token("Connection", name);
        // RFC 9112, section 3.2.2: whatever the field says, the target comes before it.
        let host = match head.host() {
            "" => &*self.to,
            host => host,
        };
        complete &= write::field(&mut out, "Host", host.as_bytes());
        for header in head.headers.iter() {
            let name = header.name();
            if !is_any(name, &HOP_BY_HOP) && !is_any(name, &OURS) && !named(name) {
                complete &= write::field(&mut out, name, header.value());
            }
        }
        let mut forwarded = Vec::new();
        for value in head.headers.all("X-Forwarded-For") {
            forwarded.extend_from_slice(value);
            forwarded.extend_from_slice(b", ");
        }
        if let Some(peer) = request.peer() {
            forwarded.extend_from_slice(peer.to_string().as_bytes());
            complete &= write::field(&mut out, "X-Forwarded-For", &forwarded);
        }
        complete &= write::field(&mut out, "X-Forwarded-Host", host.as_bytes());
        let scheme: &[u8] = match self.https || is_secure {
            true => b"https",
            false => b"http",
        };
        complete &= write::field(&mut out, "X-Forwarded-Proto", scheme);
        match upgrade_of(request) {
            Some(upgrade) => {
                complete &= write::field(&mut out, "Connection", b"Upgrade");
                complete &= write::field(&mut out, "Upgrade", upgrade.as_bytes());
            }
            None => out.extend_from_slice(b"Connection: close\r\n"),
        }
        if head.body != Length::None || !matches!(head.method, "GET" | "HEAD" | "OPTIONS") {
            write::framing(&mut out, head.body);
        }
        out.extend_from_slice(b"\r\n");
        complete.then_some(out)
    }
}

impl<A> Mount<A> for Proxy {
    fn intake(&mut self, _: &Request<'_>) -> Intake {
        Intake::Stream
    }

    fn on_request(&mut self, _: &mut A, cx: &mut Cx<'_>, request: &Request<'_>) {
        let id = cx.id();
        let Some(head) = self.head(request, cx.is_secure(id.conn())) else {
            return cx.respond(400).ignore();
        };
        let job = Job {
            request: id,
            head,
            method: request.method().to_owned(),
            upgrade: upgrade_of(request).is_some(),
        };
        let limits = Limits {
            idle_timeout: Some(self.read_timeout),
            full_duplex: true,
            ..Limits::default()
        };
        let dial = Dial::tcp(self.to.as_str())
            .deadline(self.connect_timeout)
            .limits(limits)
            .ticket(job);
        let upstream = cx.connect(dial, self.driver);
        let body = request.head().body;
        // Or a client that is slow to read could not send, either.
        let own = cx.hub().limits(id.conn());
        if let Some(own) = own {
            let full_duplex = true;
            cx.hub()
                .set_limits(id.conn(), Limits { full_duplex, ..own });
        }
        let link = Link {
            upstream,
            chunked: body == Length::Chunked,
            limits: own,
        };
        self.links.insert(id, link);
        if body != Length::None {
            // Until there is somebody to send it to.
            cx.hub().pause(id.conn());
        }
    }

    fn on_body(&mut self, _: &mut A, cx: &mut Cx<'_>, data: &[u8], last: bool) {
        let Some(link) = self.links.get(&cx.id()) else {
            return;
        };
        let framed = |out: &mut Vec<u8>| {
            if link.chunked {
                write::chunk(out, data);
                if last {
                    write::last_chunk(out);
                }
            } else {
                out.extend_from_slice(data);
            }
        };
        let (upstream, client) = (link.upstream, cx.id().conn());
        if cx.hub().send_with(upstream, framed) == Sent::Backlogged && !last {
            cx.hub().pause(client);
        }
    }

    fn on_drain(&mut self, _: &mut A, cx: &mut Cx<'_>) {
        if let Some(link) = self.links.get(&cx.id()) {
            let upstream = link.upstream;
            cx.hub().resume(upstream);
        }
    }

    fn on_post(&mut self, _: &mut A, cx: &mut Cx<'_>, message: Box<dyn Any>) {
        let Ok(told) = message.downcast() else {
            return;
        };
        let id = cx.id();
        match *told {
            Told::Opened => cx.hub().resume(id.conn()),
            Told::Over => {
                let link = self.links.remove(&id);
                if let Some(own) = link.and_then(|link| link.limits) {
                    cx.hub().set_limits(id.conn(), own);
                }
            }
            Told::Switched(head) => {
                let Some(link) = self.links.remove(&id) else {
                    return;
                };
                let peer = link.upstream;
                if cx.hand_over(self.driver, Box::new(Tunnel { peer })) {
                    cx.hub().send(id.conn(), &head).ignore();
                } else {
                    // The client is still sending its request.
                    cx.hub().abort(peer);
                    cx.respond(502).ignore();
                }
            }
        }
    }

    fn on_abort(&mut self, _: &mut A, hub: &mut Hub, request: RequestId) {
        if let Some(link) = self.links.remove(&request) {
            hub.abort(link.upstream);
        }
    }

    /// It has been asked, and will answer.
    fn on_stop(&mut self, _: &mut A, _: &mut Cx<'_>) {}
}

/// The fields of a response that are passed on.
pub(super) fn with_fields(mut response: Response, headers: super::Headers<'_>) -> Response {
    for header in headers.iter() {
        let name = header.name();
        let ours = is_any(name, &["Content-Length", "Date"]);
        if !ours && !is_any(name, &HOP_BY_HOP) && !headers.has_token("Connection", name) {
            response = response.field(name, header.value());
        }
    }
    response
}

/// The protocol to be asked for. HTTP/2 is none that a proxy may pass on: what followed would get
/// past all of its rules.
fn upgrade_of<'a>(request: &Request<'a>) -> Option<&'a str> {
    let upgrade = request.head().upgrade?;
    let is_http2 = |protocol: &str| protocol.trim().eq_ignore_ascii_case("h2c");
    (!upgrade.split(',').any(is_http2)).then_some(upgrade)
}

fn is_any(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}
