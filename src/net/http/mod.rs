//! HTTP/1.1: routes, mounts, and requests that are answered now or later.
//!
//! A [`Server`] owns a port, and leads each request to what is mounted at its path: a function, the
//! application's [`Handler`], or any [`Mount`]. What they answer through is a [`Cx`]; what need not
//! be answered at once is *parked*, at the price of a slot, and answered by its [`RequestId`] from
//! wherever the answer comes up.
//!
//! # Examples
//!
//! ```
//! use switchboard::{Config, Reactor, http};
//!
//! /// Tells news to all who wait for them.
//! #[derive(Default)]
//! struct News {
//!     waiting: Vec<http::RequestId>,
//! }
//!
//! impl News {
//!     fn wait(&mut self, cx: &mut http::Cx<'_>, _: &http::Request<'_>) {
//!         self.waiting.push(cx.id());
//!     }
//!
//!     fn tell(&mut self, cx: &mut http::Cx<'_>, request: &http::Request<'_>) {
//!         for waiting in self.waiting.drain(..) {
//!             http::respond(cx.hub(), waiting, http::Response::text(200, request.body().to_vec()));
//!         }
//!         cx.respond(204).ignore();
//!     }
//! }
//!
//! let server = http::Server::new()
//!     .get("/", |_: &mut News, cx, _| cx.respond("see /news").ignore())
//!     .get("/hello/:name", |_, cx, request| {
//!         let name = request.param("name").unwrap_or_default();
//!         cx.respond(format!("hello, {name}")).ignore();
//!     })
//!     .get("/news", News::wait)
//!     .post("/news", News::tell)
//!     .on_abort(|news, _, request| news.waiting.retain(|waiting| *waiting != request));
//! let mut reactor = Reactor::new(Config::default())?;
//! let server = reactor.add_driver(server);
//! let listening = reactor.listen("127.0.0.1:0", server)?;
//! println!("listening http {}", listening.local_addr);
//! # reactor.hub().stop();
//! reactor.run(&mut News::default())?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod access;
mod client;
mod coding;
mod cors;
mod cx;
mod date;
mod driver;
mod events;
mod exchange;
#[cfg(feature = "files")]
mod files;
mod intake;
mod metrics;
mod mount;
mod options;
mod patience;
mod proxy;
mod redirect;
mod refusal;
mod request;
mod response;
mod router;
mod upstream;

use std::fmt;
use std::rc::Rc;

use crate::id::ConnMap;
use crate::reactor::{DriverId, Hub};

use client::Network;
use cx::Shared;
use date::Date;
use exchange::Conn;
use mount::{ByHandler, Route};
use router::Router;

pub use client::BadNetwork;
pub use cors::Cors;
pub use cx::{Cx, abort, event, finish, post, respond, start, write};
pub use events::Event;
pub use exchange::RequestId;
#[cfg(feature = "files")]
pub use files::Files;
pub use metrics::Metrics;
pub use mount::{Handler, Intake, Mount};
pub use options::Options;
pub use proxy::Proxy;
pub use redirect::HttpsRedirect;
#[cfg(feature = "websocket")]
pub(super) use request::Kept;
pub use request::Request;
#[cfg(feature = "websocket")]
pub(super) use response::push_field;
pub use response::{Body, Response};
pub use upstream::Upstream;

pub use crate::proto::http1::{Headers, Version};

/// Where a line of the access log goes.
type Log = Box<dyn FnMut(&str)>;
/// Who hears of requests whose clients have gone.
type OnAbort<A> = Box<dyn FnMut(&mut A, &mut Hub, RequestId)>;

/// A driver that serves HTTP/1.0 and HTTP/1.1.
///
/// Routes are tried from the most to the least specific: at each segment of the path, what is
/// written out comes before `:name`, and that before `*`. What a path does not have is answered by
/// itself: 404 for an unknown path, 405 with `Allow` for an unknown method, `OPTIONS`, and `HEAD`
/// where there is a `GET`.
pub struct Server<A> {
    router: Router,
    mounts: Vec<Mounted<A>>,
    conns: ConnMap<Conn>,
    shared: Shared,
    on_abort: Option<OnAbort<A>>,
    log: Option<Log>,
    trusted: Rc<[Network]>,
    cors: Option<Cors>,
}

struct Mounted<A> {
    mount: Box<dyn Mount<A>>,
    /// Of bodies that are collected for it.
    max_body: Option<usize>,
}

impl<A> Server<A> {
    /// Without routes.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// Without routes, with limits of its own.
    pub fn with(options: Options) -> Self {
        Self {
            router: Router::default(),
            mounts: Vec::new(),
            conns: ConnMap::new(),
            shared: Shared {
                options,
                date: Date::new(),
                stopping: false,
                driver: DriverId(0),
            },
            on_abort: None,
            log: None,
            trusted: Rc::new([]),
            cors: None,
        }
    }

    /// Leads requests for a method and path to a function. A segment `:name` stands for any one,
    /// which is [found by its name](Request::param), and a last segment `*` for any rest.
    ///
    /// # Panics
    ///
    /// When the route is there already or malformed: the message says which.
    #[must_use]
    pub fn route(
        self,
        method: &str,
        path: &str,
        function: impl FnMut(&mut A, &mut Cx<'_>, &Request<'_>) + 'static,
    ) -> Self {
        self.add(Some(method), &[path], Box::new(Route { function }))
    }

    /// A [route](Self::route) for `GET`, and `HEAD` with it.
    #[must_use]
    pub fn get(
        self,
        path: &str,
        function: impl FnMut(&mut A, &mut Cx<'_>, &Request<'_>) + 'static,
    ) -> Self {
        self.route("GET", path, function)
    }

    /// A [route](Self::route) for `POST`.
    #[must_use]
    pub fn post(
        self,
        path: &str,
        function: impl FnMut(&mut A, &mut Cx<'_>, &Request<'_>) + 'static,
    ) -> Self {
        self.route("POST", path, function)
    }

    /// A [route](Self::route) for `PUT`.
    #[must_use]
    pub fn put(
        self,
        path: &str,
        function: impl FnMut(&mut A, &mut Cx<'_>, &Request<'_>) + 'static,
    ) -> Self {
        self.route("PUT", path, function)
    }

    /// A [route](Self::route) for `DELETE`.
    #[must_use]
    pub fn delete(
        self,
        path: &str,
        function: impl FnMut(&mut A, &mut Cx<'_>, &Request<'_>) + 'static,
    ) -> Self {
        self.route("DELETE", path, function)
    }

    /// Sets how many bytes of body the route or mount added last collects, instead of
    /// [`Options::max_body`].
    #[must_use]
    pub fn limit_body(mut self, bytes: usize) -> Self {
        if let Some(mounted) = self.mounts.last_mut() {
            mounted.max_body = Some(bytes);
        }
        self
    }

    /// Leads requests of all methods for a path, and for all paths below it, to a mount. At `/`,
    /// it gets whatever has no other route.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    #[must_use]
    pub fn mount(self, path: &str, mount: impl Mount<A> + 'static) -> Self {
        let own = path.strip_suffix('/').unwrap_or(path);
        let below = format!("{own}/*");
        match own {
            "" => self.add(None, &[&below], Box::new(mount)),
            own => self.add(None, &[own, &below], Box::new(mount)),
        }
    }

    /// Leads whatever has no other route to the application's [`Handler`].
    #[must_use]
    pub fn handler(self) -> Self
    where
        A: Handler,
    {
        self.mount("/", ByHandler)
    }

    /// Has a function told of each request whose client went before its answer had ended.
    #[must_use]
    pub fn on_abort(mut self, function: impl FnMut(&mut A, &mut Hub, RequestId) + 'static) -> Self {
        self.on_abort = Some(Box::new(function));
        self
    }

    /// Has a line of the access log given to `write` for each answer, in the common log format of
    /// Apache and NCSA. What clients have sent is escaped, so that a line is one line.
    #[must_use]
    pub fn access_log(mut self, write: impl FnMut(&str) + 'static) -> Self {
        self.log = Some(Box::new(write));
        self
    }

    /// Lets pages of other origins read the answers of this server.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Takes `X-Forwarded-For` at its word if the connection comes from one of these networks, as
    /// in `127.0.0.1` or `10.0.0.0/8`: the [client](Request::client) is then the last address in
    /// it that is not in any of them.
    ///
    /// # Errors
    ///
    /// When one of them is no network.
    pub fn trust_proxy<'a>(
        mut self,
        networks: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadNetwork> {
        let networks: Result<Vec<Network>, _> = networks.into_iter().map(str::parse).collect();
        self.trusted = networks?.into();
        Ok(self)
    }

    fn add(mut self, method: Option<&str>, paths: &[&str], mount: Box<dyn Mount<A>>) -> Self {
        for path in paths {
            if let Err(error) = self.router.add(method, path, self.mounts.len()) {
                panic!("{error}");
            }
        }
        self.mounts.push(Mounted {
            mount,
            max_body: None,
        });
        self
    }
}

impl<A> Default for Server<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("connections", &self.conns.len())
            .field("mounts", &self.mounts.len())
            .finish_non_exhaustive()
    }
}
