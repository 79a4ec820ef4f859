//! WebSocket: messages both ways over one connection, served under a path of an HTTP server, or
//! dialled.
//!
//! An application implements [`Handler`] on the type that holds its whole state, an [`Endpoint`] is
//! the driver of its connections, and a [`Mount`] leads those here that ask for it. Pings are
//! answered, silence is looked into, closes are answered and waited for, and what breaks the
//! protocol fails the connection with the code that says how: the application sees messages. Whoever
//! would rather answer pings and closes by hand says so in the [`Options`].
//!
//! # Examples
//!
//! ```
//! use switchboard::websocket::{self, Message};
//! use switchboard::{Config, Kind, Publish, Reactor, http};
//!
//! /// What one says, all others read.
//! struct Room;
//!
//! impl websocket::Handler for Room {
//!     type Conn = ();
//!
//!     fn on_open(&mut self, cx: &mut websocket::Cx<'_>, _: &http::Request<'_>) -> Option<()> {
//!         cx.subscribe("room");
//!         cx.send("welcome").ignore();
//!         Some(())
//!     }
//!
//!     fn on_message(&mut self, cx: &mut websocket::Cx<'_>, _: &mut (), message: Message<'_>) {
//!         let (data, except) = (message.as_bytes(), Some(cx.id()));
//!         cx.publish(Publish { topic: "room", data, kind: Kind::Text, except });
//!     }
//! }
//!
//! let mut reactor = Reactor::new(Config::default())?;
//! let room = reactor.add_driver(websocket::Endpoint::new());
//! let server = http::Server::new()
//!     .get("/", |_: &mut Room, cx, _| cx.respond("a room, at /ws").ignore())
//!     .mount("/ws", websocket::Mount::new(room));
//! let server = reactor.add_driver(server);
//! let listening = reactor.listen("127.0.0.1:0", server)?;
//! println!("listening http {}", listening.local_addr);
//! # reactor.hub().stop();
//! reactor.run(&mut Room)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod cx;
mod dial;
mod endpoint;
mod framing;
mod link;
mod member;
mod message;
mod mount;
mod opening;
mod options;
mod outside;
mod watching;

use std::any::Any;
use std::io;

use crate::id::ConnId;
use crate::net::http::{Request, Response, push_field};
use crate::reactor::{CloseReason, Hub};

pub use cx::Cx;
pub use dial::Dial;
pub use endpoint::Endpoint;
pub use message::{Message, Prepared};
pub use mount::Mount;
pub use opening::status;
#[cfg(feature = "deflate")]
pub use options::Compression;
pub use options::Options;
pub use outside::{close, count, decide, for_each, send, send_prepared, send_uncompressed};

pub use crate::proto::websocket::Code;

/// What an application does about its WebSocket connections.
pub trait Handler: Sized {
    /// The state of one connection.
    type Conn: 'static;

    /// A client asks for a connection. By default it is accepted.
    fn on_upgrade(&mut self, hub: &mut Hub, id: ConnId, request: &Request<'_>) -> Upgrade {
        let _ = (hub, id, request);
        Upgrade::Accept(Accept::new())
    }

    /// A connection begins, with what was asked: by the client, or by us where the server has
    /// agreed. `None` refuses it: it is reset, and no `on_close` follows.
    fn on_open(&mut self, cx: &mut Cx<'_>, request: &Request<'_>) -> Option<Self::Conn>;

    /// A message arrived.
    fn on_message(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn, message: Message<'_>);

    /// A ping arrived, and has been answered, unless [`Options::auto_pong`] is off.
    fn on_ping(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn, payload: &[u8]) {
        let _ = (cx, conn, payload);
    }

    /// A pong arrived, asked for or not.
    fn on_pong(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn, payload: &[u8]) {
        let _ = (cx, conn, payload);
    }

    /// The peer begins to close, and says why; [`Code::NONE`] if it does not. What is sent here still
    /// arrives. After this the close is answered with its own code, unless [`Cx::close`] has
    /// answered with another one, or [`Options::auto_close`] is off.
    fn on_peer_close(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn, code: Code, reason: &str) {
        let _ = (cx, conn, code, reason);
    }

    /// The backlog has fallen below its low mark after a send that said `Backlogged`.
    fn on_drain(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn) {
        let _ = (cx, conn);
    }

    /// A timer set by [`Cx::set_timer`] fired.
    fn on_timer(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn, key: u32) {
        let _ = (cx, conn, key);
    }

    /// Something was posted to this connection by [`Hub::post`].
    fn on_post(&mut self, cx: &mut Cx<'_>, conn: &mut Self::Conn, message: Box<dyn Any>) {
        let _ = (cx, conn, message);
    }

    /// A [`Dial`] came to nothing: there is no such server, or it does not agree, for which there may
    /// be a [`status`]. The ticket is what the dial was given to carry.
    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let _ = (hub, ticket);
        log::warn!("{error}");
    }

    /// The connection has ended. Others may be sent to; this one not any more.
    fn on_close(&mut self, cx: &mut Cx<'_>, conn: Self::Conn, closed: Closed<'_>) {
        let _ = (cx, conn, closed);
    }

    /// The connection has ended because a callback about it has panicked. Its state is dropped, and
    /// no `on_close` follows: here is where others forget it.
    fn on_panicked(&mut self, hub: &mut Hub, id: ConnId) {
        let _ = (hub, id);
    }
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<'a> {
    /// What the peer has said of it, or we if it has said nothing; [`Code::ABNORMAL`] if nobody has.
    pub code: Code,
    /// The words with it.
    pub reason: &'a str,
    /// Both sides have said that they close.
    pub clean: bool,
    /// What ended the connection below.
    pub by: CloseReason,
}

/// What is answered to a client that asks for a connection.
#[derive(Debug)]
pub enum Upgrade {
    /// It may begin.
    Accept(Accept),
    /// It may not, for the reason that this response says.
    Refuse(Response),
    /// That will turn out: [`decide`] says it, within 30 s, after which the client is answered 503.
    /// Until then nothing is read from it.
    Later,
}

/// How a connection is accepted.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    protocol: Option<String>,
    fields: Vec<u8>,
}

impl Accept {
    /// Without a sub-protocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a sub-protocol, if it is one of those that the client has offered: see
    /// [`protocols`].
    #[must_use]
    pub fn protocol(mut self, name: &str) -> Self {
        self.protocol = Some(name.to_owned());
        self
    }

    /// With a further field in the answer, a cookie for instance. One that would break the head is
    /// left out, with a warning in the log.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        push_field(&mut self.fields, name, value.as_bytes());
        self
    }
}

impl From<Accept> for Upgrade {
    fn from(accept: Accept) -> Self {
        Self::Accept(accept)
    }
}

/// The sub-protocols that a client offers, the one that it likes best first.
pub fn protocols<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a str> {
    let values = request.headers().all("Sec-WebSocket-Protocol");
    let texts = values.map(|value| std::str::from_utf8(value).unwrap_or_default());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}
