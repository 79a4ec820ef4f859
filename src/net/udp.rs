//! UDP: sessions with peers, or bare datagrams.
//!
//! UDP has no connections, only datagrams with a sender's address. Two drivers make something of
//! them:
//! * [`Sessions`] keeps a session with each peer, as long as it is heard of: it has a state, timers,
//!   topics and an end, as a TCP connection has. What an application does about them is its
//!   [`Handler`].
//! * [`Datagrams`] keeps nothing: each datagram goes to the application's [`Receiver`] as it comes.
//!
//! Senders' addresses can be made up. Before a session exists, a `Handler` is asked whether to
//! [admit](Handler::admit) its peer, and may ask back for a proof that it receives what is sent to
//! its address. Whoever answers strangers with more bytes than they sent amplifies an attack on
//! somebody else; [`Knock::reply`] therefore refuses to send more than three times as much (QUIC's
//! limit, RFC 9000, section 8.1). And whoever answers everything may be set to answer itself for
//! ever by one datagram with a made-up sender: never answer an error with an error, nor one's own
//! ports.
//!
//! # Examples
//!
//! ```
//! use switchboard::{Config, Reactor, udp};
//!
//! /// Tells each peer how many datagrams it has sent.
//! struct Counter;
//!
//! impl udp::Handler for Counter {
//!     type Session = usize;
//!
//!     fn on_open(&mut self, _: &mut udp::Cx<'_>) -> Option<usize> {
//!         Some(0)
//!     }
//!
//!     fn on_message(&mut self, cx: &mut udp::Cx<'_>, count: &mut usize, _: &[u8]) {
//!         *count += 1;
//!         cx.send(count.to_string().as_bytes()).ignore();
//!     }
//! }
//!
//! let mut reactor = Reactor::new(Config::default())?;
//! let counter = reactor.add_driver(udp::Sessions::new());
//! let bound = reactor.bind("127.0.0.1:0", counter)?;
//! println!("listening udp {}", bound.local_addr);
//! # reactor.hub().stop();
//! reactor.run(&mut Counter)?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::any::Any;
use std::fmt;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::id::{ConnId, ConnMap};
use crate::reactor::{CloseReason, Driver, Hub, Info, Origin, Owner, Sent, Timeout, TimerId};

/// Bytes that may be sent to an address for each byte that came from it, as long as nothing shows
/// that it is no made-up one: RFC 9000, section 8.1.
const AMPLIFICATION: usize = 3;

/// What an application does about its UDP sessions.
pub trait Handler: Sized {
    /// The state of one session.
    type Session: 'static;

    /// A datagram came from an address with which there is no session. True opens one, to which the
    /// datagram is then the first message; false ignores it. The default admits everybody.
    ///
    /// This is the place to have a peer prove its address: answer with a cookie by
    /// [`Knock::reply`], and admit who brings it back.
    fn admit(&mut self, knock: &mut Knock<'_>, datagram: &[u8]) -> bool {
        let _ = (knock, datagram);
        true
    }

    /// A session begins. `None` refuses it: no `on_close` follows.
    fn on_open(&mut self, cx: &mut Cx<'_>) -> Option<Self::Session>;

    /// A datagram arrived, whole. It may be empty.
    fn on_message(&mut self, cx: &mut Cx<'_>, session: &mut Self::Session, message: &[u8]);

    /// The network refused a datagram of this session, or reported that nobody listens there. UDP
    /// goes on: the default lets it pass.
    fn on_error(&mut self, cx: &mut Cx<'_>, session: &mut Self::Session, error: io::Error) {
        let _ = session;
        log::debug!("{}: {error}", cx.id());
    }

    /// The socket has room again after a send that said `Backlogged`.
    fn on_drain(&mut self, cx: &mut Cx<'_>, session: &mut Self::Session) {
        let _ = (cx, session);
    }

    /// A time-out passed; for want of any other end this is how most sessions end. The default
    /// closes the session; otherwise it has the same time again.
    fn on_timeout(&mut self, cx: &mut Cx<'_>, session: &mut Self::Session, timeout: Timeout) {
        let _ = session;
        cx.close_for(CloseReason::TimedOut(timeout));
    }

    /// A timer set by [`Cx::set_timer`] fired.
    fn on_timer(&mut self, cx: &mut Cx<'_>, session: &mut Self::Session, key: u32) {
        let _ = (cx, session, key);
    }

    /// Something was posted to this session by [`Hub::post`].
    fn on_post(&mut self, cx: &mut Cx<'_>, session: &mut Self::Session, message: Box<dyn Any>) {
        let _ = (cx, session, message);
    }

    /// A [`Dial`](crate::Dial::udp) came to nothing. The ticket is what it was given to carry.
    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let _ = (hub, ticket);
        log::warn!("{error}");
    }

    /// The session has ended. Its peer is not told, unless by what was sent to it before.
    fn on_close(&mut self, cx: &mut Cx<'_>, session: Self::Session, reason: CloseReason) {
        let _ = (cx, session, reason);
    }
}

/// What an application does about datagrams without sessions.
pub trait Receiver: Sized {
    /// A datagram arrived, whole. It may be empty. `socket` is the one that received it, by which
    /// [`Hub::send_to`] answers.
    fn on_datagram(&mut self, hub: &mut Hub, socket: ConnId, from: SocketAddr, datagram: &[u8]);

    /// The network refused a datagram of this socket, or reported that nobody listens where one was
    /// sent. UDP goes on: the default lets it pass.
    fn on_error(&mut self, hub: &mut Hub, socket: ConnId, error: io::Error) {
        let _ = hub;
        log::debug!("{socket}: {error}");
    }

    /// The socket has room again after a send that said `Backlogged`.
    fn on_drain(&mut self, hub: &mut Hub, socket: ConnId) {
        let _ = (hub, socket);
    }

    /// The socket is closed.
    fn on_close(&mut self, hub: &mut Hub, socket: ConnId, reason: CloseReason) {
        let _ = (hub, socket, reason);
    }
}

/// What a callback about a session acts through: this session by its own methods, everything else
/// by the [`Hub`] that it derefs to.
pub struct Cx<'a> {
    hub: &'a mut Hub,
    id: ConnId,
    ticket: Option<Box<dyn Any>>,
}

impl<'a> Cx<'a> {
    fn new(hub: &'a mut Hub, id: ConnId) -> Self {
        Self {
            hub,
            id,
            ticket: None,
        }
    }

    /// This session; of a socket that we dialled, the socket.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// In `on_open` of a session that we dialled: what the [`Dial`](crate::Dial) was given to
    /// carry. `None` in all other cases.
    pub fn take_ticket(&mut self) -> Option<Box<dyn Any>> {
        self.ticket.take()
    }

    /// Everything else.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub
    }

    /// The peer.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.info().and_then(|info| info.peer_addr)
    }

    /// Addresses, traffic and age.
    pub fn info(&self) -> Option<Info> {
        self.hub.info(self.id)
    }

    /// Sends one datagram to the peer, now.
    pub fn send(&mut self, message: &[u8]) -> Sent {
        self.hub.send(self.id, message)
    }

    /// Closes this session. A further datagram of the peer begins a new one.
    pub fn close(&mut self) {
        self.hub.close(self.id);
    }

    /// Closes it and gives `on_close` another reason.
    pub fn close_for(&mut self, reason: CloseReason) {
        self.hub.close_for(self.id, reason);
    }

    /// Calls `on_timer` with `key` after this time, unless the session closes before. `None` as
    /// [`Hub::set_timer`].
    pub fn set_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        self.hub.set_timer(Owner::Conn(self.id), after, key)
    }

    /// Adds this session to the subscribers of a topic. False as [`Hub::subscribe`].
    pub fn subscribe(&mut self, topic: &str) -> bool {
        self.hub.subscribe(self.id, topic)
    }

    /// Takes it out again.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.hub.unsubscribe(self.id, topic)
    }
}

acts_through_hub!(Cx<'_>);

/// A datagram from an address with which there is no session yet.
pub struct Knock<'a> {
    hub: &'a mut Hub,
    socket: ConnId,
    from: SocketAddr,
    /// Bytes that may yet be sent there.
    allowance: usize,
}

impl Knock<'_> {
    /// Where it claims to come from.
    pub fn peer_addr(&self) -> SocketAddr {
        self.from
    }

    /// The socket that received it.
    pub fn socket(&self) -> ConnId {
        self.socket
    }

    /// Everything else.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub
    }

    /// Sends one datagram back. All replies to one datagram have three times its bytes at most,
    /// since the address may be somebody else's: what is longer is `Dropped`.
    pub fn reply(&mut self, datagram: &[u8]) -> Sent {
        match self.allowance.checked_sub(datagram.len()) {
            None => Sent::Dropped,
            Some(left) => {
                self.allowance = left;
                self.hub.send_to(self.socket, self.from, datagram)
            }
        }
    }
}

/// Datagrams that the kernel has dropped because a socket's buffer was full, since it was bound:
/// what came faster than the loop received. `None` where the system does not tell, which is
/// everywhere but on Linux.
///
/// This reads two files of procfs, whose length grows with the sockets of the host: for a counter
/// that is looked at now and then.
pub fn kernel_drops(hub: &Hub, socket: ConnId) -> Option<u64> {
    let descriptor = hub.descriptor(socket)?.as_raw_fd();
    let link = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string);
    tables
        .iter()
        .flatten()
        .flat_map(|table| table.lines())
        .find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.get(9) == Some(&inode)).then(|| words.last()?.parse().ok())?
        })
}

impl fmt::Debug for Knock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knock")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// The driver of sessions, for the application's [`Handler`].
pub struct Sessions<A: Handler> {
    sessions: ConnMap<A::Session>,
}

impl<A: Handler> Sessions<A> {
    /// A driver without sessions.
    pub const fn new() -> Self {
        Self {
            sessions: ConnMap::new(),
        }
    }

    /// Asks the application for the state of a new session. False if it is refused.
    fn open(&mut self, app: &mut A, mut cx: Cx<'_>) -> bool {
        let session = app.on_open(&mut cx);
        match session {
            Some(session) => drop(self.sessions.insert(cx.id, session)),
            None => cx.close(),
        }
        self.sessions.contains(cx.id)
    }

    /// Lends a session's state and context to a callback of the application.
    fn with(&mut self, hub: &mut Hub, id: ConnId, call: impl FnOnce(&mut Cx<'_>, &mut A::Session)) {
        if let Some(session) = self.sessions.get_mut(id) {
            call(&mut Cx::new(hub, id), session);
        }
    }
}

impl<A: Handler> Default for Sessions<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Handler> Driver<A> for Sessions<A> {
    /// A socket that we dialled is a session by itself.
    fn on_open(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, origin: Origin) {
        if let Origin::Dialled { ticket } = origin {
            let mut cx = Cx::new(hub, id);
            cx.ticket = ticket;
            self.open(app, cx);
        }
    }

    /// Sessions have datagrams, and no stream.
    fn on_data(&mut self, _: &mut A, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_datagram(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        from: SocketAddr,
        data: &mut [u8],
    ) {
        if let Some(session) = self.sessions.get_mut(id) {
            return app.on_message(&mut Cx::new(hub, id), session, data);
        }
        let mut knock = Knock {
            socket: id,
            from,
            allowance: data.len().saturating_mul(AMPLIFICATION),
            hub,
        };
        if !app.admit(&mut knock, data) {
            return;
        }
        let Some(session) = hub.open_session(id, from) else {
            return;
        };
        if self.open(app, Cx::new(hub, session)) && hub.is_open(session) {
            self.with(hub, session, |cx, state| app.on_message(cx, state, data));
        }
    }

    fn on_error(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, error: io::Error) {
        if !self.sessions.contains(id) {
            log::debug!("{id}: {error}");
        }
        self.with(hub, id, |cx, session| app.on_error(cx, session, error));
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        self.with(hub, id, |cx, session| app.on_drain(cx, session));
    }

    fn on_timeout(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        self.with(hub, id, |cx, session| app.on_timeout(cx, session, timeout));
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        if let Some(id) = id {
            self.with(hub, id, |cx, session| app.on_timer(cx, session, key));
        }
    }

    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        self.with(hub, id, |cx, session| app.on_post(cx, session, message));
    }

    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        _: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        app.on_dial_failed(hub, ticket, error);
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        // What a panic has left of the state is for nobody's eyes.
        if reason != CloseReason::Panicked {
            app.on_close(&mut Cx::new(hub, id), session, reason);
        }
    }
}

impl<A: Handler> fmt::Debug for Sessions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("open", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// The driver of bare datagrams, for the application's [`Receiver`].
pub struct Datagrams<A>(PhantomData<fn(&mut A)>);

impl<A: Receiver> Datagrams<A> {
    /// The driver. It has no state.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Receiver> Default for Datagrams<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Receiver> Driver<A> for Datagrams<A> {
    fn on_open(&mut self, _: &mut A, _: &mut Hub, _: ConnId, _: Origin) {}

    /// Datagrams are no stream.
    fn on_data(&mut self, _: &mut A, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_datagram(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        from: SocketAddr,
        data: &mut [u8],
    ) {
        app.on_datagram(hub, id, from, data);
    }

    fn on_error(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, error: io::Error) {
        app.on_error(hub, id, error);
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        app.on_drain(hub, id);
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        if reason != CloseReason::Panicked {
            app.on_close(hub, id, reason);
        }
    }
}

impl<A> fmt::Debug for Datagrams<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Datagrams")
    }
}
