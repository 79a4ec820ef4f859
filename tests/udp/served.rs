//! What these tests share: a reactor with a UDP socket, an application that takes down what happens
//! to it and does in callbacks what a test wants done, and peers.
//!
//! Nothing sleeps: a test turns until what it waits for has happened, a bounded number of times.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchboard::testing::{Call, Faults};
use switchboard::udp::{Cx, Handler, Knock, Receiver};
use switchboard::{
    Bind, Clock, CloseReason, Config, ConnId, DriverId, Hub, Reactor, Timeout, Turn, tcp, udp,
};

use crate::support::{client, read_some};

/// Turns after which a test gives up waiting, each at most `PATIENCE` long.
const MOST_TURNS: usize = 2_000;
/// How long one turn of a test waits for the kernel. Loopback needs microseconds.
const PATIENCE: Duration = Duration::from_millis(10);

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order. Of a session or connected socket, if not said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened(ConnId),
    Message(ConnId, Vec<u8>),
    /// Of a socket without sessions.
    Datagram(ConnId, SocketAddr, Vec<u8>),
    /// With the number of the error.
    Failed(ConnId, Option<i32>),
    Drained(ConnId),
    TimedOut(ConnId, Timeout),
    Timer(ConnId, u32),
    Posted(ConnId, &'static str),
    DialFailed(Option<&'static str>, String),
    Closed(ConnId, CloseReason),
}

/// The application: a record, and hooks that act in callbacks.
#[derive(Default)]
#[expect(clippy::type_complexity, reason = "each used once")]
pub(crate) struct Scribe {
    pub(crate) events: Vec<Event>,
    /// The tickets of what we dialled.
    pub(crate) tickets: Vec<&'static str>,
    /// How many messages each closed session had.
    pub(crate) counts: Vec<usize>,
    /// Sockets of bare datagrams. They are not announced, so anything may be the first of them.
    bare: HashSet<ConnId>,
    pub(crate) admit: Option<Box<dyn FnMut(&mut Knock<'_>, &[u8]) -> bool>>,
    /// False refuses the session.
    pub(crate) on_open: Option<Box<dyn FnMut(&mut Cx<'_>) -> bool>>,
    pub(crate) on_message: Option<Box<dyn FnMut(&mut Cx<'_>, &[u8])>>,
    pub(crate) on_datagram: Option<Box<dyn FnMut(&mut Hub, ConnId, SocketAddr, &[u8])>>,
    pub(crate) on_drain: Option<Box<dyn FnMut(&mut Hub, ConnId)>>,
    pub(crate) on_error: Option<Box<dyn FnMut(&mut Hub, ConnId)>>,
    /// Without a hook the default: the session closes.
    pub(crate) on_timeout: Option<Box<dyn FnMut(&mut Cx<'_>)>>,
    pub(crate) on_timer: Option<Box<dyn FnMut(&mut Cx<'_>, u32)>>,
    pub(crate) on_post: Option<Box<dyn FnMut(&mut Cx<'_>)>>,
    pub(crate) on_close: Option<Box<dyn FnMut(&mut Hub, ConnId)>>,
}

impl Scribe {
    pub(crate) fn opened(&self) -> Vec<ConnId> {
        let opened = |event: &Event| match event {
            Event::Opened(id) => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }

    pub(crate) fn closed(&self) -> Vec<(ConnId, CloseReason)> {
        let closed = |event: &Event| match event {
            Event::Closed(id, reason) => Some((*id, *reason)),
            _ => None,
        };
        self.events.iter().filter_map(closed).collect()
    }

    /// The messages of one session.
    pub(crate) fn of(&self, id: ConnId) -> Vec<&[u8]> {
        let own = |event: &'_ Event| matches!(event, Event::Message(to, _) if *to == id);
        let own = self.events.iter().filter(|event| own(event));
        own.filter_map(text).collect()
    }

    /// All that has arrived, whoever it was for.
    pub(crate) fn arrived(&self) -> Vec<&[u8]> {
        self.events.iter().filter_map(text).collect()
    }

    /// The errors that were told, with whom they were told of.
    pub(crate) fn failed(&self) -> Vec<(ConnId, Option<i32>)> {
        let failed = |event: &Event| match event {
            Event::Failed(id, errno) => Some((*id, *errno)),
            _ => None,
        };
        self.events.iter().filter_map(failed).collect()
    }

    pub(crate) fn drained(&self) -> Vec<ConnId> {
        let drained = |event: &Event| match event {
            Event::Drained(id) => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(drained).collect()
    }

    fn note(&mut self, event: Event, bare: ConnId) {
        self.events.push(event);
        self.bare.insert(bare);
    }

    /// Each session was opened once and closed at most once, with nothing before and nothing after.
    fn assert_orderly(&self) {
        let mut ended: HashMap<ConnId, bool> = HashMap::new();
        for event in &self.events {
            let (id, opens, closes) = match event {
                Event::Opened(id) => (*id, true, false),
                Event::Closed(id, _) => (*id, false, true),
                Event::Message(id, _)
                | Event::Failed(id, _)
                | Event::Drained(id)
                | Event::TimedOut(id, _)
                | Event::Timer(id, _)
                | Event::Posted(id, _)
                | Event::Datagram(id, ..) => (*id, false, false),
                Event::DialFailed(..) => continue,
            };
            let announced = opens || self.bare.contains(&id);
            match (announced, opens, ended.get(&id)) {
                (true, _, None) | (_, false, Some(false)) => drop(ended.insert(id, closes)),
                (.., state) => panic!("{event:?} out of order: ended is {state:?}"),
            }
        }
    }
}

fn text(event: &Event) -> Option<&[u8]> {
    match event {
        Event::Message(_, text) | Event::Datagram(_, _, text) => Some(text),
        _ => None,
    }
}

/// A session's state is the number of its messages.
impl Handler for Scribe {
    type Session = usize;

    fn admit(&mut self, knock: &mut Knock<'_>, datagram: &[u8]) -> bool {
        match &mut self.admit {
            Some(hook) => hook(knock, datagram),
            None => true,
        }
    }

    fn on_open(&mut self, cx: &mut Cx<'_>) -> Option<usize> {
        if let Some(ticket) = cx.take_ticket() {
            self.tickets.push(*ticket.downcast().unwrap());
        }
        if let Some(hook) = &mut self.on_open {
            if !hook(cx) {
                return None;
            }
        }
        self.events.push(Event::Opened(cx.id()));
        Some(0)
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, count: &mut usize, message: &[u8]) {
        *count += 1;
        self.events.push(Event::Message(cx.id(), message.to_vec()));
        if let Some(hook) = &mut self.on_message {
            hook(cx, message);
        }
    }

    fn on_error(&mut self, cx: &mut Cx<'_>, _: &mut usize, error: io::Error) {
        let id = cx.id();
        self.events.push(Event::Failed(id, error.raw_os_error()));
        if let Some(hook) = &mut self.on_error {
            hook(cx.hub(), id);
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_>, _: &mut usize) {
        let id = cx.id();
        self.events.push(Event::Drained(id));
        if let Some(hook) = &mut self.on_drain {
            hook(cx.hub(), id);
        }
    }

    fn on_timeout(&mut self, cx: &mut Cx<'_>, _: &mut usize, timeout: Timeout) {
        self.events.push(Event::TimedOut(cx.id(), timeout));
        match &mut self.on_timeout {
            Some(hook) => hook(cx),
            None => cx.close_for(CloseReason::TimedOut(timeout)),
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, _: &mut usize, key: u32) {
        self.events.push(Event::Timer(cx.id(), key));
        if let Some(hook) = &mut self.on_timer {
            hook(cx, key);
        }
    }

    fn on_post(&mut self, cx: &mut Cx<'_>, _: &mut usize, message: Box<dyn Any>) {
        let message = *message.downcast().unwrap();
        self.events.push(Event::Posted(cx.id(), message));
        if let Some(hook) = &mut self.on_post {
            hook(cx);
        }
    }

    fn on_dial_failed(&mut self, _: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let ticket = ticket.map(|ticket| *ticket.downcast().unwrap());
        self.events
            .push(Event::DialFailed(ticket, error.to_string()));
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, count: usize, reason: CloseReason) {
        let id = cx.id();
        self.events.push(Event::Closed(id, reason));
        self.counts.push(count);
        if let Some(hook) = &mut self.on_close {
            hook(cx.hub(), id);
        }
    }
}

impl Receiver for Scribe {
    fn on_datagram(&mut self, hub: &mut Hub, socket: ConnId, from: SocketAddr, datagram: &[u8]) {
        self.note(Event::Datagram(socket, from, datagram.to_vec()), socket);
        if let Some(hook) = &mut self.on_datagram {
            hook(hub, socket, from, datagram);
        }
    }

    fn on_error(&mut self, hub: &mut Hub, socket: ConnId, error: io::Error) {
        self.note(Event::Failed(socket, error.raw_os_error()), socket);
        if let Some(hook) = &mut self.on_error {
            hook(hub, socket);
        }
    }

    fn on_drain(&mut self, hub: &mut Hub, socket: ConnId) {
        self.note(Event::Drained(socket), socket);
        if let Some(hook) = &mut self.on_drain {
            hook(hub, socket);
        }
    }

    fn on_close(&mut self, hub: &mut Hub, socket: ConnId, reason: CloseReason) {
        self.note(Event::Closed(socket, reason), socket);
        if let Some(hook) = &mut self.on_close {
            hook(hub, socket);
        }
    }
}

/// TCP beside it: what comes in goes out.
impl tcp::Handler for Scribe {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), bytes: &[u8]) {
        cx.send(bytes).ignore();
    }
}

/// The application, its reactor, and a bound socket with sessions.
pub(crate) struct Served {
    pub(crate) reactor: Reactor<Scribe>,
    pub(crate) app: Scribe,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    /// The driver of sessions.
    pub(crate) sessions: DriverId,
    /// The driver of bare datagrams.
    pub(crate) bare: DriverId,
    /// The driver of TCP.
    pub(crate) tcp: DriverId,
    pub(crate) socket: ConnId,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::bound("127.0.0.1:0")
    }

    pub(crate) fn bound(bind: impl Into<Bind>) -> Self {
        Self::with(Config::default(), bind)
    }

    /// Clock and faults of `config` are replaced by others.
    pub(crate) fn with(config: Config, bind: impl Into<Bind>) -> Self {
        let (clock, faults) = (Clock::manual(), Faults::default());
        let config = Config {
            clock: clock.clone(),
            faults: Some(faults.clone()),
            ..config
        };
        let mut reactor = Reactor::new(config).expect("a poller");
        let sessions = reactor.add_driver(udp::Sessions::new());
        let bare = reactor.add_driver(udp::Datagrams::new());
        let tcp = reactor.add_driver(tcp::Framed::raw());
        let bound = reactor.bind(bind, sessions).expect("a port");
        Self {
            reactor,
            app: Scribe::default(),
            clock,
            faults,
            sessions,
            bare,
            tcp,
            socket: bound.id,
            address: bound.local_addr,
        }
    }

    /// With a socket of bare datagrams instead.
    pub(crate) fn bare(bind: impl Into<Bind>) -> Self {
        let mut served = Self::new();
        let bound = served.reactor.bind(bind, served.bare).expect("a port");
        served.reactor.hub().close(served.socket);
        (served.socket, served.address) = (bound.id, bound.local_addr);
        served.turn();
        served
    }

    pub(crate) fn hub(&mut self) -> &mut Hub {
        self.reactor.hub()
    }

    /// One turn that does not wait.
    pub(crate) fn turn(&mut self) -> Turn {
        let turn = self.reactor.turn(&mut self.app, Some(Duration::ZERO));
        turn.expect("a turn")
    }

    /// Moves the clock and takes one turn.
    pub(crate) fn advance(&mut self, by: Duration) -> Turn {
        self.clock.advance(by);
        self.turn()
    }

    /// Turns until `done`, or fails naming `what` it waited for.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Scribe) -> bool) {
        self.turns(what, |served| done(&served.app));
    }

    /// As [`until`](Self::until), looking at the reactor too.
    pub(crate) fn turns(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..MOST_TURNS {
            if done(self) {
                return;
            }
            let turn = self.reactor.turn(&mut self.app, Some(PATIENCE));
            turn.expect("a turn");
        }
        let tail = &self.app.events[self.app.events.len().saturating_sub(20)..];
        panic!("waited in vain for {what}; events: {tail:?}");
    }

    /// Turns until so many datagrams have arrived, for whomever.
    pub(crate) fn until_arrived(&mut self, datagrams: usize) {
        self.until("datagrams", |app| app.arrived().len() >= datagrams);
    }

    /// Turns until a turn in which nothing happened at all. Then the loop must be able to sleep.
    pub(crate) fn rest(&mut self) {
        for _ in 0..MOST_TURNS {
            let turn = self.reactor.turn(&mut self.app, Some(2 * MILLI));
            let turn = turn.expect("a turn");
            let done = turn.events + turn.reads + turn.writes + turn.closes;
            if done + turn.accepts + turn.timers + turn.remote == 0 {
                return assert_eq!(self.ready(), 0, "the loop spins");
            }
        }
        panic!("never comes to rest");
    }

    /// Turns until a port can be bound that was given up: of what was closed, a child process that
    /// another test is starting has a copy for a moment.
    pub(crate) fn bind_again(&mut self, address: SocketAddr) {
        self.turns("the port", |served| {
            served.reactor.bind(address, served.sessions).is_ok()
        });
    }

    /// What the loop would serve again without a new event. It does not sleep while there is
    /// anything.
    pub(crate) fn ready(&mut self) -> usize {
        let hub = format!("{:?}", self.reactor.hub());
        let (_, rest) = hub.split_once("ready: ").expect("the length of the queue");
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap()
    }

    /// A peer that has said hello, and its session.
    pub(crate) fn meet(&mut self) -> (Peer, ConnId) {
        let peer = Peer::of(self.address);
        peer.send(b"hello");
        let mut session = None;
        self.turns("the session", |served| {
            session = served.reactor.hub().session(served.socket, peer.address());
            session.is_some()
        });
        (peer, session.unwrap())
    }

    /// Turns until the peer has received a datagram, and returns it.
    pub(crate) fn receive(&mut self, peer: &Peer) -> Vec<u8> {
        let mut received = None;
        self.turns("a datagram for the peer", |_| {
            received = peer.receive();
            received.is_some()
        });
        received.unwrap()
    }

    /// What the peer sends arrives for `id`, and what is sent to that reaches the peer.
    pub(crate) fn assert_serves(&mut self, peer: &Peer, id: ConnId) {
        let before = self.app.of(id).len();
        peer.send(b"still there?");
        self.until("the message", |app| app.of(id).len() > before);
        assert_eq!(self.app.of(id)[before], b"still there?");
        assert!(self.hub().send(id, b"still here").is_taken());
        assert_eq!(self.receive(peer), b"still here");
    }

    /// A client of TCP beside it, accepted.
    pub(crate) fn tcp_client(&mut self) -> TcpStream {
        let listening = self.reactor.listen("127.0.0.1:0", self.tcp).unwrap();
        let mut client = client(listening.local_addr.ip().unwrap());
        self.assert_echoes(&mut client);
        client
    }

    pub(crate) fn assert_echoes(&mut self, client: &mut TcpStream) {
        client.write_all(b"t").unwrap();
        self.turns("the echo", |_| heard(client));
    }

    /// How often the loop has called `recv`.
    pub(crate) fn receptions(&self) -> usize {
        self.faults.count(Call::Receive)
    }
}

/// True if the echo of one byte is there.
pub(crate) fn heard(client: &mut TcpStream) -> bool {
    let mut byte = [0];
    match read_some(client, &mut byte) {
        None => false,
        Some(read) => {
            assert_eq!((read, byte), (1, *b"t"));
            true
        }
    }
}

/// However a test went about it, its events came in order.
impl Drop for Served {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.app.assert_orderly();
        }
    }
}

/// A socket at the other end. It hears only what comes from where it sends to.
pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
}

impl Peer {
    /// A peer of the socket at `address`. No other has its own address, before or after: a session
    /// may outlive its peer, and would pass to the next one with the same port.
    pub(crate) fn of(address: SocketAddr) -> Self {
        static PEERS: AtomicU32 = AtomicU32::new(0);
        let [_, high, middle, low] = PEERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Self::at(([127, 200 + high, middle, low], 0).into(), address)
    }

    /// The same, with an address of its own.
    pub(crate) fn at(own: SocketAddr, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).expect("a port");
        socket.set_nonblocking(true).unwrap();
        socket.connect(address).unwrap();
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        let sent = self.socket.send(datagram).expect("to send");
        assert_eq!(sent, datagram.len());
    }

    /// The next datagram, if there is one.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1 << 16];
        match self.socket.recv(&mut buffer) {
            Ok(length) => Some(buffer[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("receiving: {error}"),
        }
    }
}
