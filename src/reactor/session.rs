//! Datagram sockets, and the sessions that a driver keeps with their peers.
//!
//! UDP has no connections. A session stands for one: it is named by an id of its own, has a peer,
//! time-outs, topics and an end, and shares the socket with all others. The first datagram of an
//! address goes to the driver under the socket's id; if the driver then opens a session for that
//! address, what follows comes under the session's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::event::Event;
use mio::net::UdpSocket;

use crate::id::ConnId;

use super::bind::{Bind, Bound, Full, MAX_DATAGRAM};
use super::config::Limits;
use super::driver::{CloseReason, DriverId, Origin};
use super::entry::Entry;
use super::hub::{Errand, Hub, Sent};
use super::life::Life;
use super::outbox::Outbox;
use super::socket::Flags;

/// Silence after which a session ends whose limits name none. Linux's connection tracking forgets a
/// UDP flow after 30 s, and one that goes both ways after 120 s.
const IDLE: Duration = Duration::from_secs(60);

/// Sessions looked at to find one that was not heard of lately, before the oldest has to go.
const LOOKS: usize = 8;

/// One UDP socket.
#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(crate) socket: UdpSocket,
    pub(crate) flags: Flags,
    pub(crate) driver: DriverId,
    pub(crate) reason: CloseReason,
    pub(crate) local_addr: Option<SocketAddr>,
    /// The one that it is connected to, if it is.
    pub(crate) peer: Option<SocketAddr>,
    /// Of the socket itself if it is connected; otherwise only its limits count, for sessions.
    pub(crate) life: Life,
    pub(crate) max_datagram: usize,
    pub(crate) max_sessions: usize,
    pub(crate) full: Full,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    /// When reading was last resumed.
    pub(crate) resumed: u64,
    /// Receptions that have failed since one did not.
    pub(crate) failures: u32,
    /// What the kernel did not take.
    pub(crate) unsent: Unsent,
    /// The poller is to report room.
    pub(crate) waits_for_room: bool,
    /// Open sessions by peer. The standard hash is keyed: addresses can be chosen by an attacker.
    pub(crate) sessions: HashMap<SocketAddr, ConnId>,
    /// Sessions in the order in which they were opened or last passed over, with the time when
    /// they had been heard of then. May name closed ones.
    order: VecDeque<(ConnId, u64)>,
    /// Sessions that were told to be backlogged.
    pub(crate) backlogged: Vec<ConnId>,
}

/// One peer of a datagram socket.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) socket: ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) flags: Flags,
    pub(crate) driver: DriverId,
    pub(crate) reason: CloseReason,
    pub(crate) life: Life,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
}

/// Datagrams that wait for the kernel to have room.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    queue: VecDeque<Waiting>,
    /// What the queue costs: bytes, and its entries.
    cost: usize,
}

/// A datagram, whom it is for, and in whose name it is sent: a session's or the socket's.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) sender: ConnId,
    pub(crate) to: Option<SocketAddr>,
    pub(crate) data: Box<[u8]>,
}

impl Unsent {
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.cost += waiting.cost();
        self.queue.push_back(waiting);
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.queue.pop_front()?;
        self.cost -= waiting.cost();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Some(waiting)
    }

    /// For one that was popped and could not leave.
    pub(crate) fn put_back(&mut self, waiting: Waiting) {
        self.cost += waiting.cost();
        self.queue.push_front(waiting);
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Waiting {
    fn cost(&self) -> usize {
        self.data.len() + size_of::<Self>()
    }
}

impl Datagrams {
    /// For one peer, or with none for all.
    pub(crate) fn new(
        socket: UdpSocket,
        peer: Option<SocketAddr>,
        driver: DriverId,
        life: Life,
    ) -> Self {
        let mut flags = Flags::default();
        flags.set(Flags::WRITABLE);
        flags.set(Flags::UNOPENED);
        Self {
            local_addr: socket.local_addr().ok(),
            socket,
            flags,
            driver,
            reason: CloseReason::Local,
            peer,
            life,
            max_datagram: MAX_DATAGRAM,
            max_sessions: 0,
            full: Full::Evict,
            bytes_read: 0,
            bytes_written: 0,
            resumed: 0,
            failures: 0,
            unsent: Unsent::default(),
            waits_for_room: false,
            sessions: HashMap::new(),
            order: VecDeque::new(),
            backlogged: Vec::new(),
        }
    }

    /// Remembers what an event said. True if there is something to do about it.
    #[inline]
    pub(crate) fn mark(&mut self, event: &Event) -> bool {
        // An error waits to be read, as a datagram does.
        if event.is_readable() || event.is_error() {
            self.flags.set(Flags::READABLE);
        }
        if event.is_writable() {
            self.flags.set(Flags::WRITABLE);
        }
        self.has_work()
    }

    /// True if serving it again would bring something, without another event.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        let flags = self.flags;
        if flags.has(Flags::DEAD) || flags.has(Flags::STALLED) {
            return false;
        }
        let input = flags.has(Flags::READABLE) && !flags.has(Flags::BLOCKED);
        let output = flags.has(Flags::WRITABLE) && !self.unsent.is_empty();
        input || output || flags.has(Flags::DRAINED)
    }
}

/// Datagrams.
impl Hub {
    /// Binds a UDP socket and gives what arrives to `driver`: its
    /// [`on_open`](crate::Driver::on_open) follows in a later turn with [`Origin::Bound`], then
    /// [`on_datagram`](crate::Driver::on_datagram).
    ///
    /// # Errors
    ///
    /// When the address is none, is in use, or an option is refused. The error says which address
    /// and why.
    pub fn bind(&mut self, bind: impl Into<Bind>, driver: DriverId) -> io::Result<Bound> {
        self.check_driver(driver);
        let bind = bind.into();
        let limits = bind.limits.unwrap_or_else(|| Limits {
            idle_timeout: self.config.limits.idle_timeout.or(Some(IDLE)),
            ..self.config.limits
        });
        let socket = bind.open()?;
        let local_addr = socket.local_addr()?;
        let life = Life::new(Rc::new(limits), self.millis);
        let mut datagrams = Datagrams::new(socket, None, driver, life);
        datagrams.max_datagram = bind.max_datagram;
        datagrams.max_sessions = bind.max_sessions;
        datagrams.full = bind.full;
        let id = self.slots.vacant_id();
        self.sys
            .register_datagrams(&self.registry, &mut datagrams.socket, id)?;
        self.insert(Entry::Datagrams(Box::new(datagrams)), driver);
        self.errands
            .push_back(Errand::Opened(id, driver, Origin::Bound));
        log::info!("listening udp {local_addr}");
        Ok(Bound { id, local_addr })
    }

    /// Opens a session with a peer of a bound socket, or returns the one there is. For drivers: no
    /// callback follows, since the caller knows.
    ///
    /// `None` if the socket is closed, or full and told to [refuse](Full::Refuse).
    pub fn open_session(&mut self, socket: ConnId, peer: SocketAddr) -> Option<ConnId> {
        let Some(Entry::Datagrams(datagrams)) = self.slots.get(socket) else {
            return None;
        };
        if datagrams.flags.has(Flags::ENDED) || datagrams.peer.is_some() {
            return None;
        }
        if let Some(session) = datagrams.sessions.get(&peer) {
            return Some(*session);
        }
        if datagrams.sessions.len() >= datagrams.max_sessions && !self.make_room(socket) {
            self.totals.refused += 1;
            return None;
        }
        let now = self.millis;
        let id = self.slots.vacant_id();
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(socket) else {
            return None;
        };
        datagrams.note(id, peer, now);
        let driver = datagrams.driver;
        let session = Session {
            socket,
            peer,
            flags: Flags::default(),
            driver,
            reason: CloseReason::Local,
            life: Life::new(Rc::clone(&datagrams.life.limits), now),
            bytes_read: 0,
            bytes_written: 0,
        };
        self.insert(Entry::Session(session), driver);
        self.arm(id);
        self.turn.accepts += 1;
        self.opened_session = Some(id);
        log::trace!("session {id} with {peer}");
        Some(id)
    }

    /// The session that a socket has with a peer.
    pub fn session(&self, socket: ConnId, peer: SocketAddr) -> Option<ConnId> {
        match self.slots.get(socket)? {
            Entry::Datagrams(datagrams) => datagrams.sessions.get(&peer).copied(),
            _ => None,
        }
    }

    /// How many sessions a socket has.
    pub fn sessions(&self, socket: ConnId) -> usize {
        match self.slots.get(socket) {
            Some(Entry::Datagrams(datagrams)) => datagrams.sessions.len(),
            _ => 0,
        }
    }

    /// Closes about the session heard of longest ago, if the socket's policy is that: the clock
    /// algorithm. Those heard of since they were last looked at are passed over.
    fn make_room(&mut self, socket: ConnId) -> bool {
        let mut looks = 0;
        loop {
            let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(socket) else {
                return false;
            };
            if datagrams.full == Full::Refuse {
                return false;
            }
            let Some((id, seen)) = datagrams.order.pop_front() else {
                return false;
            };
            let Some(Entry::Session(session)) = self.slots.get(id) else {
                continue;
            };
            let (heard, is_open) = (session.life.last_read, !session.flags.has(Flags::DEAD));
            if is_open && heard > seen && looks < LOOKS {
                looks += 1;
                if let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(socket) {
                    datagrams.order.push_back((id, heard));
                }
            } else if is_open {
                self.totals.evicted += 1;
                self.end(id, CloseReason::Evicted);
                return true;
            }
        }
    }

    /// Counts the datagram that a session was opened about.
    pub(super) fn credit(&mut self, id: ConnId, from: SocketAddr, length: usize) {
        if let Some(Entry::Session(session)) = self.slots.get_mut(id) {
            if session.peer == from {
                session.bytes_read += length as u64;
            }
        }
    }

    /// A session is not heard while its socket is paused, through no fault of its peer.
    pub(super) fn excuse_session(&mut self, id: ConnId) {
        let Some(Entry::Session(session)) = self.slots.get(id) else {
            return;
        };
        let Some(Entry::Datagrams(datagrams)) = self.slots.get(session.socket) else {
            return;
        };
        let since = match datagrams.flags.has(Flags::PAUSED) {
            true => self.millis,
            false => datagrams.resumed,
        };
        if let Some(Entry::Session(session)) = self.slots.get_mut(id) {
            let life = &mut session.life;
            life.last_read = life.last_read.max(since);
            life.last_active = life.last_active.max(since);
        }
    }

    /// Forgets a session that ends: a further datagram of its peer is a stranger's.
    pub(super) fn forget_session(&mut self, id: ConnId) {
        let Some(Entry::Session(session)) = self.slots.get(id) else {
            return;
        };
        let (socket, peer) = (session.socket, session.peer);
        if let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(socket) {
            datagrams.sessions.remove(&peer);
        }
    }

    /// Bytes, and what entries cost, that wait to be sent by a socket.
    pub(super) fn unsent(&self, id: ConnId) -> usize {
        match self.slots.get(id) {
            Some(Entry::Datagrams(datagrams)) => datagrams.unsent.cost(),
            Some(Entry::Session(session)) => self.unsent(session.socket),
            _ => 0,
        }
    }

    /// Lends `push` an empty outbox, and sends what it puts there as one datagram.
    pub(super) fn send_as_datagram(&mut self, id: ConnId, push: impl FnOnce(&mut Outbox)) -> Sent {
        let mut outbox = self.spare.take();
        push(&mut outbox);
        let length = outbox.len();
        let sent = self.send_datagram(id, None, outbox.single().unwrap_or_default());
        outbox.consume(length);
        self.spare.give(Some(outbox));
        sent
    }
}

impl Datagrams {
    /// Enters a session.
    fn note(&mut self, id: ConnId, peer: SocketAddr, now: u64) {
        self.sessions.insert(peer, id);
        if self.full == Full::Refuse {
            return;
        }
        self.order.push_back((id, now));
        // Those that have ended otherwise are still there. All live ones are in the map.
        if self.order.len() > 2 * self.sessions.len() + 64 {
            let live: HashSet<_> = self.sessions.values().collect();
            self.order.retain(|(id, _)| live.contains(id));
        }
    }
}
