//! TCP with a framing: raw bytes, lines, length-prefixed messages, or one of your own.
//!
//! An application implements [`Handler`] on the type that holds its whole state. What belongs to
//! one connection is the associated type [`Handler::Conn`]: made when it opens, lent with each
//! message, and given back when it closes. A [`Framed`] driver joins the two by a [`Codec`].
//!
//! Bytes flow so: the reactor reads, the codec finds messages in place, the handler gets them one
//! by one. What remains of an unfinished message stays with the reactor, and an idle connection
//! owns no buffer.
//!
//! # Examples
//!
//! ```
//! use switchboard::{Config, Reactor, tcp};
//!
//! /// Answers each line with its number on that connection.
//! struct Counter;
//!
//! impl tcp::Handler<tcp::Lines> for Counter {
//!     type Conn = usize;
//!
//!     fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Lines>) -> Option<usize> {
//!         Some(0)
//!     }
//!
//!     fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, lines: &mut usize, line: &[u8]) {
//!         *lines += 1;
//!         cx.send(format!("{lines}: {}", line.escape_ascii()).as_bytes()).ignore();
//!     }
//! }
//!
//! let mut reactor = Reactor::new(Config::default())?;
//! let driver = reactor.add_driver(tcp::Framed::new(tcp::Lines::default()));
//! reactor.listen("127.0.0.1:0", driver)?;
//! # reactor.hub().stop();
//! reactor.run(&mut Counter)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod client;
mod cx;

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use crate::id::{ConnId, ConnMap};
use crate::reactor::{CloseReason, Driver, DriverId, Form, Framer, Hub, Kind, Origin, Timeout};

pub use client::{Client, Retry};
pub use cx::Cx;

pub use crate::proto::Codec;
pub use crate::proto::length::{self, Length};
pub use crate::proto::line::{self, Lines};
pub use crate::proto::raw::Raw;
pub use crate::proto::text::{self, Text};

/// What an application does about its TCP connections with framing `C`.
///
/// One type may implement it for several framings, and have several protocols share its state.
pub trait Handler<C: Codec = Raw>: Sized {
    /// The state of one connection.
    type Conn: 'static;

    /// A connection begins, whether it was accepted or dialled. `None` refuses it: it is reset, and no `on_close` follows.
    fn on_open(&mut self, cx: &mut Cx<'_, C>) -> Option<Self::Conn>;

    /// A message arrived.
    fn on_message(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn, message: C::In<'_>);

    /// The peer broke the framing. There is time for a last word: the connection closes when this
    /// returns.
    fn on_error(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn, error: C::Error) {
        let _ = (cx, conn, error);
    }

    /// The peer has finished sending. The default closes our side too; without a close here it
    /// stays open for sending until [`Cx::close`] is called.
    fn on_eof(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn) {
        let _ = conn;
        cx.close_for(CloseReason::Peer);
    }

    /// The backlog has fallen below its low mark after a send that said `Backlogged`.
    fn on_drain(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn) {
        let _ = (cx, conn);
    }

    /// A time-out passed. The default closes the connection; otherwise it has the same time again.
    fn on_timeout(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn, timeout: Timeout) {
        let _ = conn;
        cx.close_for(CloseReason::TimedOut(timeout));
    }

    /// A timer set by [`Cx::set_timer`] fired.
    fn on_timer(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn, key: u32) {
        let _ = (cx, conn, key);
    }

    /// Something was posted to this connection by [`Hub::post`].
    fn on_post(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn, message: Box<dyn Any>) {
        let _ = (cx, conn, message);
    }

    /// The reactor shuts down. The default closes the connection; otherwise it has until the deadline
    /// to end. A last word may be said first.
    fn on_stop(&mut self, cx: &mut Cx<'_, C>, conn: &mut Self::Conn) {
        let _ = conn;
        cx.close_for(CloseReason::Shutdown);
    }

    /// A [`Dial`](crate::Dial) came to nothing. The ticket is what it was given to carry.
    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let _ = (hub, ticket);
        log::warn!("{error}");
    }

    /// The connection has ended. Others may be sent to; this one not any more.
    fn on_close(&mut self, cx: &mut Cx<'_, C>, conn: Self::Conn, reason: CloseReason) {
        let _ = (cx, conn, reason);
    }

    /// The connection has ended because a callback about it has panicked. Its state is dropped, and
    /// no `on_close` follows: here is where others forget it.
    fn on_panicked(&mut self, hub: &mut Hub, id: ConnId) {
        let _ = (hub, id);
    }
}

/// What lies under [`Handler`]: a behaviour apart from the application that it serves.
///
/// An application has one `Handler` for a framing; a second behaviour of the same framing, or one
/// that a library brings, is a service of its own and goes to [`Framed::with_service`].
pub trait Service<A, C: Codec = Raw> {
    /// The state of one connection.
    type Conn: 'static;

    /// A connection begins. `None` refuses it: it is reset, and no `on_close` follows.
    fn on_open(&mut self, app: &mut A, cx: &mut Cx<'_, C>) -> Option<Self::Conn>;

    /// Something happened to a connection. What is of no concern should be left to
    /// [`Event::by_default`].
    fn on_event(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut Self::Conn,
        event: Event<'_, C>,
    );

    /// A [`Dial`](crate::Dial) came to nothing. The ticket is what it was given to carry.
    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        let _ = (app, hub, ticket);
        log::warn!("{error}");
    }

    /// The connection has ended.
    fn on_close(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: Self::Conn, reason: CloseReason) {
        let _ = (app, cx, conn, reason);
    }

    /// The connection has ended because a callback about it has panicked.
    fn on_panicked(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        let _ = (app, hub, id);
    }
}

/// What happens to a connection between its opening and its end: to a [`Service`] as a value, to a
/// [`Handler`] as a call of the method that bears its name.
#[derive(Debug)]
pub enum Event<'a, C: Codec> {
    /// A message arrived.
    Message(C::In<'a>),
    /// The peer broke the framing. The connection closes when the callback returns.
    Error(C::Error),
    /// The peer has finished sending.
    Eof,
    /// The backlog has fallen below its low mark.
    Drain,
    /// A time-out passed.
    Timeout(Timeout),
    /// The timer with this key fired.
    Timer(u32),
    /// Something was posted.
    Post(Box<dyn Any>),
    /// The reactor shuts down.
    Stop,
}

impl<C: Codec> Event<'_, C> {
    /// Does what a [`Handler`] does that says nothing of it: the end of the peer's stream, a time-out
    /// and a shutdown close the connection, all else is let pass.
    pub fn by_default(self, cx: &mut Cx<'_, C>) {
        match self {
            Self::Eof => cx.close_for(CloseReason::Peer),
            Self::Timeout(timeout) => cx.close_for(CloseReason::TimedOut(timeout)),
            Self::Stop => cx.close_for(CloseReason::Shutdown),
            _ => {}
        }
    }
}

/// The service that hands everything to the application's own [`Handler`].
#[derive(Clone, Copy, Debug, Default)]
pub struct App;

impl<A: Handler<C>, C: Codec> Service<A, C> for App {
    type Conn = A::Conn;

    fn on_open(&mut self, app: &mut A, cx: &mut Cx<'_, C>) -> Option<A::Conn> {
        app.on_open(cx)
    }

    #[inline]
    fn on_event(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut A::Conn,
        event: Event<'_, C>,
    ) {
        match event {
            Event::Message(message) => app.on_message(cx, conn, message),
            Event::Error(error) => app.on_error(cx, conn, error),
            Event::Eof => app.on_eof(cx, conn),
            Event::Drain => app.on_drain(cx, conn),
            Event::Timeout(timeout) => app.on_timeout(cx, conn, timeout),
            Event::Timer(key) => app.on_timer(cx, conn, key),
            Event::Post(message) => app.on_post(cx, conn, message),
            Event::Stop => app.on_stop(cx, conn),
        }
    }

    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        app.on_dial_failed(hub, ticket, error);
    }

    fn on_close(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: A::Conn, reason: CloseReason) {
        app.on_close(cx, conn, reason);
    }

    fn on_panicked(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        app.on_panicked(hub, id);
    }
}

/// The driver: TCP connections whose bytes are framed by `C` and handled by `S`.
pub struct Framed<A, C: Codec = Raw, S: Service<A, C> = App> {
    codec: C,
    service: S,
    /// Of each connection: how far its codec has looked, and the application's own state.
    conns: ConnMap<(C, S::Conn)>,
    app: PhantomData<fn(&mut A)>,
}

impl<A: Handler<C>, C: Codec> Framed<A, C> {
    /// A driver for the application's own [`Handler`].
    pub fn new(codec: C) -> Self {
        Self::with_service(codec, App)
    }
}

impl<A: Handler> Framed<A> {
    /// A driver without framing.
    pub fn raw() -> Self {
        Self::new(Raw)
    }
}

impl<A, C: Codec, S: Service<A, C>> Framed<A, C, S> {
    /// A driver for a behaviour of its own.
    pub fn with_service(codec: C, service: S) -> Self {
        Self {
            codec,
            service,
            conns: ConnMap::new(),
            app: PhantomData,
        }
    }

    /// Tells the service of something that happened to a connection.
    fn tell(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, event: Event<'_, C>) {
        if let Some((_, conn)) = self.conns.get_mut(id) {
            let mut cx = Cx::new(hub, id, &self.codec);
            self.service.on_event(app, &mut cx, conn, event);
        }
    }
}

impl<A, C: Codec, S: Service<A, C>> Driver<A> for Framed<A, C, S> {
    fn on_open(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, origin: Origin) {
        let mut cx = Cx::new(hub, id, &self.codec);
        if let Origin::Dialled { ticket } = origin {
            cx.ticket = ticket;
        }
        match self.service.on_open(app, &mut cx) {
            Some(conn) => drop(self.conns.insert(id, (self.codec.clone(), conn))),
            None => hub.abort(id),
        }
    }

    fn on_data(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        let Some((codec, conn)) = self.conns.get_mut(id) else {
            return data.len();
        };
        let mut cx = Cx::new(hub, id, &self.codec);
        let (mut used, length) = (0, data.len());
        while used < length {
            match codec.decode(&mut data[used..]) {
                Ok(None) => break,
                Ok(Some((taken, message))) => {
                    used += taken;
                    self.service
                        .on_event(app, &mut cx, conn, Event::Message(message));
                    if !cx.hub.wants_data(id) {
                        break;
                    }
                }
                Err(error) => {
                    log_violation(cx.hub, id, error);
                    self.service
                        .on_event(app, &mut cx, conn, Event::Error(error));
                    cx.close_for(CloseReason::Protocol);
                    return length;
                }
            }
        }
        used
    }

    fn on_eof(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        let Some((codec, conn)) = self.conns.get_mut(id) else {
            return;
        };
        let mut cx = Cx::new(hub, id, &self.codec);
        match codec.decode_eof(rest) {
            Ok(None) => {}
            Ok(Some(message)) => self
                .service
                .on_event(app, &mut cx, conn, Event::Message(message)),
            Err(error) => {
                log_violation(cx.hub, id, error);
                self.service
                    .on_event(app, &mut cx, conn, Event::Error(error));
                return cx.close_for(CloseReason::Protocol);
            }
        }
        if cx.hub.is_open(id) {
            self.service.on_event(app, &mut cx, conn, Event::Eof);
        }
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        self.tell(app, hub, id, Event::Drain);
    }

    fn on_timeout(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        self.tell(app, hub, id, Event::Timeout(timeout));
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        if let Some(id) = id {
            self.tell(app, hub, id, Event::Timer(key));
        }
    }

    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        self.tell(app, hub, id, Event::Post(message));
    }

    fn on_stop(&mut self, app: &mut A, hub: &mut Hub, driver: DriverId) {
        for id in hub.ids(driver) {
            self.tell(app, hub, id, Event::Stop);
        }
    }

    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        _: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        self.service.on_dial_failed(app, hub, ticket, error);
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        let state = self.conns.remove(id);
        // What a panic has left of the state is for nobody's eyes.
        if reason == CloseReason::Panicked {
            self.service.on_panicked(app, hub, id);
        } else if let Some((_, conn)) = state {
            let mut cx = Cx::new(hub, id, &self.codec);
            self.service.on_close(app, &mut cx, conn, reason);
        }
    }

    fn max_unconsumed(&self) -> usize {
        self.codec.max_undecoded()
    }

    fn framer(&self) -> Option<Box<dyn Framer>> {
        Some(Box::new(ByCodec(self.codec.clone())))
    }
}

impl<A, C: Codec, S: Service<A, C>> fmt::Debug for Framed<A, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("connections", &self.conns.len())
            .finish_non_exhaustive()
    }
}

/// Frames published payloads as the codec says.
struct ByCodec<C>(C);

impl<C: Codec> Framer for ByCodec<C> {
    fn frame(&mut self, data: &[u8], _: Kind, _: Form, out: &mut Vec<u8>) {
        self.0.publish(data, out);
    }
}

fn log_violation(hub: &Hub, id: ConnId, error: impl fmt::Display) {
    if let Some(info) = hub.info(id) {
        log::info!("closing {id}, peer {:?}: {error}", info.peer_addr);
    }
}
