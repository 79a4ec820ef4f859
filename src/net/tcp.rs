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

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use crate::id::{ConnId, ConnMap};
use crate::reactor::{
    CloseReason, Driver, Framer, Hub, Info, Kind, Origin, Owner, Sent, Timeout, TimerId,
};

pub use crate::proto::Codec;
pub use crate::proto::length::{self, Length};
pub use crate::proto::line::{self, Lines};
pub use crate::proto::raw::Raw;

/// What an application does about its TCP connections with framing `C`.
///
/// One type may implement it for several framings, and have several protocols share its state.
pub trait Handler<C: Codec = Raw>: Sized {
    /// The state of one connection.
    type Conn: 'static;

    /// A connection begins. `None` refuses it: it is reset, and no `on_close` follows.
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

    /// A [`Dial`](crate::Dial) came to nothing. The ticket is what it was given to carry.
    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let _ = (hub, ticket);
        log::warn!("cannot connect: {error}");
    }

    /// The connection has ended. Others may be sent to; this one not any more.
    fn on_close(&mut self, cx: &mut Cx<'_, C>, conn: Self::Conn, reason: CloseReason) {
        let _ = (cx, conn, reason);
    }
}

/// What lies under [`Handler`]: a behaviour apart from the application that it serves.
///
/// An application has one `Handler` for a framing; a second behaviour of the same framing, or one
/// that a library brings, is a service of its own and goes to [`Framed::with_service`]. The
/// callbacks are those of `Handler`.
#[expect(missing_docs, reason = "each callback is documented at Handler")]
pub trait Service<A, C: Codec = Raw> {
    type Conn: 'static;

    fn on_open(&mut self, app: &mut A, cx: &mut Cx<'_, C>) -> Option<Self::Conn>;

    fn on_message(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut Self::Conn,
        message: C::In<'_>,
    );

    fn on_error(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut Self::Conn,
        error: C::Error,
    ) {
        let _ = (app, cx, conn, error);
    }

    fn on_eof(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut Self::Conn) {
        let _ = (app, conn);
        cx.close_for(CloseReason::Peer);
    }

    fn on_drain(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut Self::Conn) {
        let _ = (app, cx, conn);
    }

    fn on_timeout(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut Self::Conn,
        timeout: Timeout,
    ) {
        let _ = (app, conn);
        cx.close_for(CloseReason::TimedOut(timeout));
    }

    fn on_timer(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut Self::Conn, key: u32) {
        let _ = (app, cx, conn, key);
    }

    fn on_post(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut Self::Conn,
        message: Box<dyn Any>,
    ) {
        let _ = (app, cx, conn, message);
    }

    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        let _ = (app, hub, ticket);
        log::warn!("cannot connect: {error}");
    }

    fn on_close(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: Self::Conn, reason: CloseReason) {
        let _ = (app, cx, conn, reason);
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

    fn on_message(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut A::Conn,
        message: C::In<'_>,
    ) {
        app.on_message(cx, conn, message);
    }

    fn on_error(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut A::Conn, error: C::Error) {
        app.on_error(cx, conn, error);
    }

    fn on_eof(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut A::Conn) {
        app.on_eof(cx, conn);
    }

    fn on_drain(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut A::Conn) {
        app.on_drain(cx, conn);
    }

    fn on_timeout(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut A::Conn,
        timeout: Timeout,
    ) {
        app.on_timeout(cx, conn, timeout);
    }

    fn on_timer(&mut self, app: &mut A, cx: &mut Cx<'_, C>, conn: &mut A::Conn, key: u32) {
        app.on_timer(cx, conn, key);
    }

    fn on_post(
        &mut self,
        app: &mut A,
        cx: &mut Cx<'_, C>,
        conn: &mut A::Conn,
        message: Box<dyn Any>,
    ) {
        app.on_post(cx, conn, message);
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
}

/// What a callback acts through: this connection by its own methods, everything else by the [`Hub`]
/// that it derefs to.
///
/// Where both have a method of one name, `cx.close()` is about this connection and
/// `cx.hub().close(other)` about any other.
pub struct Cx<'a, C> {
    hub: &'a mut Hub,
    id: ConnId,
    codec: &'a C,
    ticket: Option<Box<dyn Any>>,
}

impl<'a, C: Codec> Cx<'a, C> {
    fn new(hub: &'a mut Hub, id: ConnId, codec: &'a C) -> Self {
        Self {
            hub,
            id,
            codec,
            ticket: None,
        }
    }
    /// This connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// In `on_open` of a connection that we dialled: what the [`Dial`](crate::Dial) was given to
    /// carry. `None` in all other cases.
    pub fn take_ticket(&mut self) -> Option<Box<dyn Any>> {
        self.ticket.take()
    }

    /// Everything else.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub
    }

    /// Sends a message to this connection. It leaves when the callback has returned, with all
    /// others.
    ///
    /// A message that the framing cannot express is `Dropped`, with a warning in the log.
    pub fn send(&mut self, message: &C::Out<'_>) -> Sent {
        self.send_to(self.id, message)
    }

    /// Sends a message to another connection of the same framing.
    pub fn send_to(&mut self, id: ConnId, message: &C::Out<'_>) -> Sent {
        let mut encoded = Ok(());
        let sent = self
            .hub
            .send_with(id, |out| encoded = self.codec.encode(message, out));
        match encoded {
            Ok(()) => sent,
            Err(error) => {
                log::warn!("message for {id} dropped: {error}");
                Sent::Dropped
            }
        }
    }

    /// Sends as many of these bytes as the kernel takes now, and queues nothing: see
    /// [`Hub::try_write`].
    pub fn try_write(&mut self, data: &[u8]) -> Option<usize> {
        self.hub.try_write(self.id, data)
    }

    /// Finishes our side and goes on reading: half a close.
    pub fn shutdown_write(&mut self) {
        self.hub.shutdown_write(self.id);
    }

    /// Closes this connection when all that was sent has left.
    pub fn close(&mut self) {
        self.hub.close(self.id);
    }

    /// Closes it and gives `on_close` another reason.
    pub fn close_for(&mut self, reason: CloseReason) {
        self.hub.close_for(self.id, reason);
    }

    /// Resets this connection.
    pub fn abort(&mut self) {
        self.hub.abort(self.id);
    }

    /// Stops reading from it.
    pub fn pause(&mut self) {
        self.hub.pause(self.id);
    }

    /// Addresses, traffic and age.
    pub fn info(&self) -> Option<Info> {
        self.hub.info(self.id)
    }

    /// Calls `on_timer` with `key` after this time, unless the connection closes before.
    pub fn set_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        self.hub.set_timer(Owner::Conn(self.id), after, key)
    }

    /// Adds this connection to the subscribers of a topic.
    pub fn subscribe(&mut self, topic: &str) -> bool {
        self.hub.subscribe(self.id, topic)
    }

    /// Takes it out again.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.hub.unsubscribe(self.id, topic)
    }
}

impl<C> Deref for Cx<'_, C> {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        self.hub
    }
}

impl<C> DerefMut for Cx<'_, C> {
    fn deref_mut(&mut self) -> &mut Hub {
        self.hub
    }
}

impl<C> fmt::Debug for Cx<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("id", &self.id)
            .finish_non_exhaustive()
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

    /// Lends a connection's state and context to a callback of the service.
    fn with<R>(
        &mut self,
        hub: &mut Hub,
        id: ConnId,
        call: impl FnOnce(&mut S, &mut Cx<'_, C>, &mut S::Conn) -> R,
    ) -> Option<R> {
        let (_, conn) = self.conns.get_mut(id)?;
        let mut cx = Cx::new(hub, id, &self.codec);
        Some(call(&mut self.service, &mut cx, conn))
    }
}

impl<A, C: Codec, S: Service<A, C>> Driver<A> for Framed<A, C, S> {
    fn on_open(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, _: Origin) {
        let mut cx = Cx::new(hub, id, &self.codec);
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
                    self.service.on_message(app, &mut cx, conn, message);
                    if !cx.hub.wants_data(id) {
                        break;
                    }
                }
                Err(error) => {
                    log_violation(cx.hub, id, error);
                    self.service.on_error(app, &mut cx, conn, error);
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
            Ok(Some(message)) => self.service.on_message(app, &mut cx, conn, message),
            Err(error) => {
                log_violation(cx.hub, id, error);
                self.service.on_error(app, &mut cx, conn, error);
                return cx.close_for(CloseReason::Protocol);
            }
        }
        if cx.hub.is_open(id) {
            self.service.on_eof(app, &mut cx, conn);
        }
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        self.with(hub, id, |service, cx, conn| {
            service.on_drain(app, cx, conn);
        });
    }

    fn on_timeout(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        self.with(hub, id, |service, cx, conn| {
            service.on_timeout(app, cx, conn, timeout);
        });
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        if let Some(id) = id {
            self.with(hub, id, |service, cx, conn| {
                service.on_timer(app, cx, conn, key);
            });
        }
    }

    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        self.with(hub, id, |service, cx, conn| {
            service.on_post(app, cx, conn, message);
        });
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
        let Some((_, conn)) = self.conns.remove(id) else {
            return;
        };
        // What a panic has left of the state is for nobody's eyes.
        if reason != CloseReason::Panicked {
            let mut cx = Cx::new(hub, id, &self.codec);
            self.service.on_close(app, &mut cx, conn, reason);
        }
    }

    fn max_unconsumed(&self) -> usize {
        self.codec.max_undecoded()
    }

    fn framer(&self) -> Option<Rc<dyn Framer>> {
        Some(Rc::new(ByCodec(self.codec.clone())))
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
    fn frame(&self, data: &[u8], _: Kind, out: &mut Vec<u8>) {
        self.0.publish(data, out);
    }
}

fn log_violation(hub: &Hub, id: ConnId, error: impl fmt::Display) {
    if let Some(info) = hub.info(id) {
        log::info!("closing {id}, peer {:?}: {error}", info.peer_addr);
    }
}
