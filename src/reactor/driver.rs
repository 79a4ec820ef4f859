//! The seam between the loop and a protocol.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::id::ConnId;

use super::hub::Hub;
use super::source::Ready;

/// A protocol on the loop: what is done when something happens to one of its connections.
///
/// One virtual call per readiness event, none per message: a driver takes all messages out of the
/// bytes that one read brought. Callbacks run one at a time and never inside each other, since the
/// [`Hub`] that they act through calls nobody.
///
/// # The order of calls
///
/// `on_open` first, `on_close` last, each exactly once for a connection; nothing before, nothing
/// after. Between them, in any number: `on_data`, then at most one `on_eof`, with `on_drain`,
/// `on_timeout`, `on_timer` and `on_post` among them. After every call of its own into an
/// application a driver has to look whether the connection still [wants data](Hub::wants_data)
/// before it goes on to the next message.
///
/// # Panics
///
/// A panic in a callback is caught and logged. The connection is reset, and `on_close` comes with
/// [`CloseReason::Panicked`]: the driver drops what it keeps and does not call the application
/// again. With `panic = "abort"` nothing can be caught, and the process ends.
pub trait Driver<A> {
    /// A connection begins.
    fn on_open(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, origin: Origin);

    /// Bytes arrived. Returns how many were consumed; the reactor keeps the rest and gives it again
    /// with what follows, or when the connection resumes or drains.
    fn on_data(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize;

    /// The peer has finished sending; `rest` was never consumed. The default closes the connection
    /// as well.
    fn on_eof(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        let _ = (app, rest);
        hub.close_for(id, CloseReason::Peer);
    }

    /// A datagram arrived, empty ones included. `id` is the session that is open with its sender;
    /// or else the socket, and a driver that keeps sessions may
    /// [open one](Hub::open_session).
    fn on_datagram(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        from: SocketAddr,
        data: &mut [u8],
    ) {
        let _ = (app, hub, id, from, data);
    }

    /// The network reported an error of a datagram socket or session: nobody listens there (ICMP,
    /// told only to connected sockets), no route, not permitted. It is about a datagram, and not
    /// the end of anything.
    fn on_error(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, error: io::Error) {
        let _ = (app, hub);
        log::debug!("{id}: {error}");
    }

    /// A source taken in by [`Hub::watch`] is ready.
    fn on_ready(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        source: &mut dyn Any,
        ready: Ready,
    ) {
        let _ = (app, hub, id, source, ready);
    }

    /// The backlog of a connection that was told to be backlogged has fallen below its low mark.
    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        let _ = (app, hub, id);
    }

    /// A time-out passed. The default closes the connection. A driver that does not gives it the
    /// same time again; only the end of a connection's lifetime cannot be put off.
    fn on_timeout(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        let _ = app;
        hub.close_for(id, CloseReason::TimedOut(timeout));
    }

    /// A timer fired that was set for a connection, or with no connection for this driver.
    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        let _ = (app, hub, id, key);
    }

    /// Something was posted to a connection by [`Hub::post`].
    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        let _ = (app, hub, id, message);
    }

    /// The reactor shuts down: its listeners are closed, and connections have until the deadline to
    /// end. The default closes each connection of this driver.
    fn on_stop(&mut self, app: &mut A, hub: &mut Hub, driver: DriverId) {
        let _ = app;
        for id in hub.ids(driver) {
            hub.close_for(id, CloseReason::Shutdown);
        }
    }

    /// A dial came to nothing: refused, unanswered, cancelled. `id` is what [`Hub::connect`]
    /// returned; neither `on_open` nor `on_close` is called for it.
    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        let _ = (app, hub, ticket);
        log::warn!("{id}: cannot connect: {error}");
    }

    /// A connection has ended. It cannot be sent to any more; [`Hub::info`] still tells its
    /// addresses.
    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason);

    /// The most bytes that `on_data` may leave unconsumed; a connection with more of them is
    /// closed.
    fn max_unconsumed(&self) -> usize {
        64 * 1024
    }

    /// How a published payload is framed for the connections of this driver. Asked once, when it is
    /// added.
    fn framer(&self) -> Option<Box<dyn Framer>> {
        None
    }
}

/// Turns a published payload into this protocol's bytes: once per publish, however many members
/// share them.
///
/// It is apart from [`Driver`] so that the [`Hub`] can frame at the moment of the call, when the
/// driver itself is busy in a callback: what is published and what is sent thus reach a peer in the
/// order of the calls.
pub trait Framer {
    /// Appends the frame of `data` to `out`, in this form.
    fn frame(&mut self, data: &[u8], kind: Kind, form: Form, out: &mut Vec<u8>);
}

/// In which of its driver's forms a connection takes what is framed for it, where there are several:
/// compressed, say. What a number means is the driver's own affair; 0 unless it has
/// [said](Hub::set_form) otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form(pub u8);

/// What a published payload is, for protocols that tell text from bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    #[default]
    Binary,
}

/// Names a driver of one reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DriverId(pub(crate) u16);

/// Where a connection comes from.
#[derive(Debug)]
#[non_exhaustive]
pub enum Origin {
    /// A listener accepted it.
    Accepted {
        /// The listener.
        listener: ConnId,
    },
    /// [`Hub::adopt`] took it in.
    Adopted,
    /// [`Hub::bind`] made it: a datagram socket.
    Bound,
    /// [`Hub::connect`] has reached its peer.
    Dialled {
        /// What the [`Dial`](crate::Dial) was given to carry.
        ticket: Option<Box<dyn Any>>,
    },
    /// Another driver had it before, and gave it away by [`Hub::hand_over`].
    HandedOver {
        /// That driver.
        from: DriverId,
        /// What came with it by [`Hub::hand_over_with`].
        ticket: Option<Box<dyn Any>>,
    },
    /// [`Hub::watch`] took it in.
    Watched,
}

/// Which patience of a connection's [`Limits`](crate::Limits) has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing was sent or received.
    Idle,
    /// The connection has lived long enough.
    Lifetime,
    /// Nothing was received although we were reading.
    Read,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Hub::abort`] was called.
    Aborted,
    /// Its socket has as many sessions as it may, and another one was to be opened.
    Evicted,
    /// The system reported an error other than a reset.
    Failed(io::ErrorKind),
    /// Another driver has it now. The connection lives on.
    HandedOver,
    /// [`Hub::close`] was called.
    Local,
    /// The peer read too slowly: its backlog reached the maximum.
    Overflow,
    /// A callback panicked.
    Panicked,
    /// The peer finished sending.
    Peer,
    /// The peer broke the protocol.
    Protocol,
    /// The peer reset the connection, or went away while we were sending.
    Reset,
    /// The reactor shut down.
    Shutdown,
    /// A time-out passed.
    TimedOut(Timeout),
    /// What came is not what TLS would have, or the peer has said by an alert that it gives up.
    Tls,
    /// The stream ended, and the peer had not said by TLS that nothing follows: somebody else may
    /// have cut it off.
    Truncated,
    /// The driver left more bytes unconsumed than it had said.
    Unconsumed,
}

impl CloseReason {
    /// The reason that an error of a socket stands for.
    pub(crate) fn from_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Reset,
            kind => Self::Failed(kind),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("aborted"),
            Self::Evicted => f.write_str("closed to make room"),
            Self::Failed(kind) => write!(f, "failed: {kind}"),
            Self::HandedOver => f.write_str("handed over"),
            Self::Local => f.write_str("closed"),
            Self::Overflow => f.write_str("read too slowly, the backlog reached its maximum"),
            Self::Panicked => f.write_str("a callback panicked"),
            Self::Peer => f.write_str("closed by the peer"),
            Self::Protocol => f.write_str("the peer broke the protocol"),
            Self::Reset => f.write_str("reset by the peer"),
            Self::Shutdown => f.write_str("shut down"),
            Self::TimedOut(Timeout::Idle) => f.write_str("idle for too long"),
            Self::TimedOut(Timeout::Lifetime) => f.write_str("lifetime over"),
            Self::TimedOut(Timeout::Read) => f.write_str("silent for too long"),
            Self::Tls => f.write_str("TLS has failed"),
            Self::Truncated => f.write_str("cut off: the end was not announced by TLS"),
            Self::Unconsumed => f.write_str("more bytes left unconsumed than the driver allows"),
        }
    }
}
