//! What is asked.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
#[cfg(feature = "websocket")]
use std::rc::Rc;

use percent_encoding::percent_decode_str;

use crate::proto::http1::{self, Headers, Version};

use super::router::Matched;
#[cfg(feature = "websocket")]
use super::router::Route;

/// A request, lent to its handler: the head, what the route has found in the path, and the body if
/// that was collected.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(super) head: &'a http1::Request<'a>,
    pub(super) matched: &'a Matched<'a>,
    pub(super) body: &'a [u8],
    pub(super) client: Option<IpAddr>,
    pub(super) peer: Option<IpAddr>,
}

/// A request without its body that outlives the call in which it was lent.
#[cfg(feature = "websocket")]
#[derive(Debug)]
pub(crate) struct Kept {
    head: Vec<u8>,
    route: Option<Rc<Route>>,
    client: Option<IpAddr>,
    peer: Option<IpAddr>,
}

#[cfg(feature = "websocket")]
impl Kept {
    /// One that we have made ourselves.
    pub(crate) const fn own(head: Vec<u8>) -> Self {
        Self {
            head,
            route: None,
            client: None,
            peer: None,
        }
    }

    /// The head, as it was or will be sent.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Lends it once more. `None` if it is none.
    pub(crate) fn lend<T>(&self, call: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
        let mut space = http1::Space::new();
        let head = http1::Request::parse(&self.head, &mut space).ok()?;
        let matched = match &self.route {
            Some(route) => Matched::again(route, head.path),
            None => Matched::NONE,
        };
        Some(call(&Request {
            head: &head,
            matched: &matched,
            body: &[],
            client: self.client,
            peer: self.peer,
        }))
    }
}

impl<'a> Request<'a> {
    /// Keeps it, but for its body.
    #[cfg(feature = "websocket")]
    pub(crate) fn keep(&self) -> Kept {
        Kept {
            head: self.head.bytes.to_vec(),
            route: self.matched.route.cloned(),
            client: self.client,
            peer: self.peer,
        }
    }

    /// The method, as sent: case matters.
    pub const fn method(&self) -> &'a str {
        self.head.method
    }

    /// The path, as sent: percent signs are not resolved.
    pub const fn path(&self) -> &'a str {
        self.head.path
    }

    /// What follows the path behind a question mark.
    pub const fn query(&self) -> Option<&'a str> {
        self.head.query
    }

    /// Whom the request is for, with the port if that was said: the authority of the target, or
    /// `Host`. Without either, in HTTP/1.0, it is empty.
    pub fn host(&self) -> &'a str {
        self.head.host()
    }

    /// The version.
    pub const fn version(&self) -> Version {
        self.head.version
    }

    /// All fields.
    pub const fn headers(&self) -> Headers<'a> {
        self.head.headers
    }

    /// The value of the first field of this name, if it is ASCII.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.headers.text(name)
    }

    /// Everything of the head, for what is not offered here.
    pub const fn head(&self) -> &'a http1::Request<'a> {
        self.head
    }

    /// The body, if it was collected: see [`Intake`](super::Intake).
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// What stands in the path where the route has `:name`, percent signs resolved. `None` if the
    /// route has no such part, or if what stands there is no UTF-8.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        percent_decode_str(self.matched.param(name)?)
            .decode_utf8()
            .ok()
    }

    /// What stands in the path where the route has `*`, or behind the path of a mount, as sent.
    pub const fn rest(&self) -> &'a str {
        self.matched.rest
    }

    /// The names and values of the query, as browsers write them.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The first value of this name in the query.
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The names and values of a form in the body. Nothing comes if the body says that it is something
    /// else.
    pub fn form(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        let content_type = self.header("Content-Type").unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        form_urlencoded::parse(if is_form { self.body } else { &[] })
    }

    /// The value of a cookie, as sent.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let cookies = self.headers().all("Cookie");
        let texts = cookies.filter_map(|value| std::str::from_utf8(value).ok());
        texts
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim_matches('"'))
    }

    /// The client's address, as [`Server::trust_proxy`](super::Server::trust_proxy) lets it be
    /// told; `None` by a Unix socket.
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Whoever is at the other end of the connection, which may be a proxy.
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("head", self.head)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}
