//! Looking things up: what is open, whose it is, and how it fares.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use crate::id::ConnId;

use super::config::Limits;
use super::driver::DriverId;
use super::entry::Entry;
use super::hub::Hub;
use super::life::Life;
use super::report::Totals;
use super::socket::Flags;

/// The five things that name a connection, and how it fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The transport.
    pub protocol: Protocol,
    /// By TLS. What was agreed on and who the peer is by it, `Hub::tls` tells, since that is longer
    /// than all of this.
    pub secure: bool,
    /// Our address. `None` for a Unix socket, or if the system no longer knows it.
    pub local_addr: Option<SocketAddr>,
    /// The peer's address. `None` for a Unix socket.
    pub peer_addr: Option<SocketAddr>,
    /// The driver.
    pub driver: DriverId,
    /// Bytes received.
    pub bytes_read: u64,
    /// Bytes that the kernel has taken from us.
    pub bytes_written: u64,
    /// Time since the connection was opened.
    pub age: Duration,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// A stream socket of the Unix domain
    Unix,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
        })
    }
}

/// Looking.
impl Hub {
    /// True until the connection, listener or whatever it names is closed, whether by us or by the peer.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.slots.get(id).is_some_and(Entry::is_open)
    }

    /// True while a send to the connection would not be refused: it is open, not finishing and not
    /// [mute](Self::mute).
    pub fn accepts_sends(&self, id: ConnId) -> bool {
        matches!(self.slots.get(id), Some(Entry::Stream(socket)) if !socket.flags.has(Flags::SENDS_REFUSED))
    }

    /// True from a send that said [`Backlogged`](crate::Sent::Backlogged) until `on_drain` is due.
    pub fn is_backlogged(&self, id: ConnId) -> bool {
        matches!(self.slots.get(id), Some(Entry::Stream(socket)) if socket.flags.has(Flags::BACKLOGGED))
    }

    /// True while the connection is open, not paused and not backlogged: what a driver asks after
    /// each call into the application before it goes on to the next message.
    #[inline]
    pub fn wants_data(&self, id: ConnId) -> bool {
        matches!(self.slots.get(id), Some(Entry::Stream(socket)) if socket.wants_data())
    }

    /// Addresses, traffic and age of a connection. Still known in `on_close`, for the last time.
    pub fn info(&self, id: ConnId) -> Option<Info> {
        let age = |life: &Life| Duration::from_millis(self.millis - life.opened);
        match self.slots.get(id)? {
            Entry::Stream(socket) => Some(Info {
                protocol: socket.stream.protocol(),
                secure: socket.flags.has(Flags::SECURE),
                local_addr: socket.stream.local_addr(),
                peer_addr: socket.peer,
                driver: socket.driver,
                bytes_read: socket.bytes_read,
                bytes_written: socket.bytes_written,
                age: age(&socket.life),
            }),
            Entry::Datagrams(datagrams) => Some(Info {
                protocol: Protocol::Udp,
                secure: false,
                local_addr: datagrams.local_addr,
                peer_addr: datagrams.peer,
                driver: datagrams.driver,
                bytes_read: datagrams.bytes_read,
                bytes_written: datagrams.bytes_written,
                age: age(&datagrams.life),
            }),
            Entry::Session(session) => Some(Info {
                protocol: Protocol::Udp,
                secure: false,
                local_addr: self.info(session.socket).and_then(|info| info.local_addr),
                peer_addr: Some(session.peer),
                driver: session.driver,
                bytes_read: session.bytes_read,
                bytes_written: session.bytes_written,
                age: age(&session.life),
            }),
            Entry::Dial(_) | Entry::Handshake(_) | Entry::Listener(_) | Entry::Watched(_) => None,
        }
    }

    /// The peer's address, of a connection that has one by IP: of [`info`](Self::info) the part
    /// that costs no system call.
    pub fn peer_addr(&self, id: ConnId) -> Option<SocketAddr> {
        match self.slots.get(id)? {
            Entry::Stream(socket) => socket.peer,
            Entry::Datagrams(datagrams) => datagrams.peer,
            Entry::Session(session) => Some(session.peer),
            Entry::Dial(_) | Entry::Handshake(_) | Entry::Listener(_) | Entry::Watched(_) => None,
        }
    }

    /// What was agreed on by TLS, and who the peer is by it. `None` for a connection without.
    #[cfg(feature = "tls")]
    pub fn tls(&self, id: ConnId) -> Option<super::tls::Info> {
        match self.slots.get(id)? {
            Entry::Stream(socket) => Some(socket.tls.as_ref()?.info()),
            _ => None,
        }
    }

    /// True if a connection is by TLS.
    pub fn is_secure(&self, id: ConnId) -> bool {
        matches!(self.slots.get(id), Some(Entry::Stream(socket)) if socket.flags.has(Flags::SECURE))
    }

    /// Time since a connection was accepted, or has been made: of [`info`](Self::info) the part that
    /// costs no system call.
    pub fn age(&self, id: ConnId) -> Duration {
        let life = self.slots.get(id).and_then(Entry::life);
        life.map_or(Duration::ZERO, |life| {
            Duration::from_millis(self.millis - life.opened)
        })
    }

    /// The driver of whatever is open by this name: of [`info`](Self::info) the part that costs no
    /// system call.
    pub fn driver(&self, id: ConnId) -> Option<DriverId> {
        self.slots.get(id)?.driver()
    }

    /// Bytes that were sent to a connection, those that wait not included.
    pub fn bytes_written(&self, id: ConnId) -> u64 {
        match self.slots.get(id) {
            Some(Entry::Stream(socket)) => socket.bytes_written,
            Some(Entry::Datagrams(datagrams)) => datagrams.bytes_written,
            Some(Entry::Session(session)) => session.bytes_written,
            _ => 0,
        }
    }

    /// The descriptor of a connection or datagram socket, for socket options that are not offered
    /// here. Reading, writing or registering it behind the reactor's back breaks the connection.
    pub fn descriptor(&self, id: ConnId) -> Option<BorrowedFd<'_>> {
        match self.slots.get(id)? {
            Entry::Stream(socket) => Some(socket.stream.as_fd()),
            Entry::Datagrams(datagrams) => Some(datagrams.socket.as_fd()),
            Entry::Session(session) => self.descriptor(session.socket),
            Entry::Dial(_) | Entry::Handshake(_) | Entry::Listener(_) | Entry::Watched(_) => None,
        }
    }

    /// Bytes that wait to be sent to a connection. A session has its socket's.
    pub fn backlog(&self, id: ConnId) -> usize {
        match self.slots.get(id) {
            Some(Entry::Stream(socket)) => socket.backlog(),
            _ => self.unsent(id),
        }
    }

    /// The connections of a driver, its datagram sockets, sessions and sources included. The list is a copy: it stays as it is while they come and go.
    pub fn ids(&self, driver: DriverId) -> Vec<ConnId> {
        self.slots
            .iter()
            .filter(|(_, entry)| entry.driver() == Some(driver))
            .map(|(id, _)| id)
            .collect()
    }

    /// How many connections a driver has.
    pub fn count(&self, driver: DriverId) -> usize {
        self.counts.get(usize::from(driver.0)).copied().unwrap_or(0)
    }

    /// What the reactor did since it began, the present turn not included.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Timers that are pending, those of the reactor itself included.
    pub fn pending_timers(&self) -> usize {
        self.timers.len() + self.deadlines.len()
    }

    /// The limits of a connection.
    pub fn limits(&self, id: ConnId) -> Option<Limits> {
        Some(*self.slots.get(id)?.life()?.limits)
    }

    /// Gives one connection limits of its own. Time-outs count from what happened last, as ever.
    pub fn set_limits(&mut self, id: ConnId, limits: Limits) {
        let entry = self.slots.get_mut(id).filter(|entry| entry.is_open());
        if let Some(life) = entry.and_then(Entry::life_mut) {
            life.limits = Rc::new(limits);
            self.arm(id);
        }
    }
}
