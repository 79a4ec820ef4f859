//! Datagrams in and out: one at a time, each whole.
//!
//! There is nothing to coalesce, so a datagram is given to the kernel at once, and waits only if
//! the kernel has no room. Nor is there anybody to reset: what cannot be sent is dropped and
//! counted, and what the network says of it goes to `on_error`.

use std::io;
use std::net::SocketAddr;

use crate::id::ConnId;

use super::driver::DriverId;
use super::entry::Entry;
use super::hub::{Errand, Hub, Sent};
use super::session::{Datagrams, Waiting};
use super::socket::{Flags, is_shortage};
use super::sys::Sys;

/// What the smallest datagram counts of a read budget: 64 of them with the default.
const LEAST: usize = 1024;

/// Receptions that fail in a row, each of which may be one datagram's misfortune. After that it is
/// the socket's own, and it waits before it tries again.
const MOST_FAILURES: u32 = 64;

/// What came of one try to receive.
pub(super) enum Datagram {
    /// This many bytes at the front of the loop's buffer, for a session or for the socket.
    Arrived {
        id: ConnId,
        driver: DriverId,
        from: SocketAddr,
        length: usize,
    },
    /// The network reported an error.
    Failed(DriverId, io::Error),
    /// Nothing for anybody; the next one may be.
    Skipped,
    Nothing,
}

impl Hub {
    /// Sends one datagram to any address, by a bound socket or by that of a session. A connected
    /// socket has one peer only and sends by [`send`](Self::send).
    pub fn send_to(&mut self, id: ConnId, to: SocketAddr, data: &[u8]) -> Sent {
        self.send_datagram(id, Some(to), data)
    }

    /// Sends one datagram, to the peer of the session or connected socket unless told otherwise.
    pub(super) fn send_datagram(
        &mut self,
        sender: ConnId,
        to: Option<SocketAddr>,
        data: &[u8],
    ) -> Sent {
        let (id, to) = match self.slots.get(sender) {
            Some(Entry::Session(session)) => (session.socket, to.or(Some(session.peer))),
            _ => (sender, to),
        };
        match self.slots.get(sender) {
            Some(entry) if entry.is_open() => {}
            _ => return Sent::Closed,
        }
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return Sent::Closed;
        };
        if to.is_none() && datagrams.peer.is_none() {
            log::debug!("{id}: a datagram for nobody");
            self.totals.dropped += 1;
            return Sent::Dropped;
        }
        if !datagrams.unsent.is_empty() || !datagrams.flags.has(Flags::WRITABLE) {
            return self.send_later(id, sender, to, data);
        }
        self.turn.writes += 1;
        match transmit(&self.sys, datagrams, to, data) {
            Transmitted::Sent(earlier) => {
                self.sent_datagram(id, sender, data.len());
                if let Some(error) = earlier {
                    self.report_error(sender, error);
                }
                Sent::Accepted
            }
            Transmitted::Full => self.send_later(id, sender, to, data),
            Transmitted::Failed(error) => self.datagram_failed(sender, error),
        }
    }

    /// Counts what has left.
    fn sent_datagram(&mut self, id: ConnId, sender: ConnId, length: usize) {
        let (now, length) = (self.millis, length as u64);
        self.turn.bytes_written += length;
        if let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) {
            datagrams.bytes_written += length;
            datagrams.life.last_active = now;
        }
        if let Some(Entry::Session(session)) = self.slots.get_mut(sender) {
            session.bytes_written += length;
            session.life.last_active = now;
        }
    }

    /// Queues a datagram behind those that wait.
    #[cold]
    fn send_later(
        &mut self,
        id: ConnId,
        sender: ConnId,
        to: Option<SocketAddr>,
        data: &[u8],
    ) -> Sent {
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return Sent::Closed;
        };
        let limits = &datagrams.life.limits;
        if datagrams.unsent.cost() >= limits.max_backlog {
            self.totals.dropped += 1;
            if datagrams.unsent.is_empty() {
                // Nobody would report room, nor the end of a shortage.
                datagrams.flags.set(Flags::WRITABLE);
                datagrams.flags.clear(Flags::STALLED);
            }
            return Sent::Dropped;
        }
        let high_water = limits.high_water;
        datagrams.unsent.push(Waiting {
            sender,
            to,
            data: data.into(),
        });
        self.wait_for_room(id);
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return Sent::Closed;
        };
        if datagrams.unsent.cost() <= high_water {
            return Sent::Accepted;
        }
        datagrams.flags.set_backlogged(&datagrams.life.limits);
        if let Some(Entry::Session(session)) = self.slots.get_mut(sender) {
            if !session.flags.has(Flags::BACKLOGGED) {
                session.flags.set(Flags::BACKLOGGED);
                if let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) {
                    datagrams.backlogged.push(sender);
                }
            }
        }
        Sent::Backlogged
    }

    /// Has the poller report room while something waits for it; in a shortage, which nobody
    /// reports, a timer looks again.
    fn wait_for_room(&mut self, id: ConnId) {
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return;
        };
        let waits = !datagrams.unsent.is_empty();
        if waits != datagrams.waits_for_room {
            datagrams.waits_for_room = waits;
            let socket = &mut datagrams.socket;
            if let Err(error) = Sys::report_room(&self.registry, socket, id, waits) {
                log::error!("cannot wait for room in {id}: {error}");
            }
        }
        if datagrams.flags.has(Flags::STALLED) && !datagrams.flags.has(Flags::RETRYING) {
            datagrams.flags.set(Flags::RETRYING);
            self.retry_later(id);
        }
    }

    /// A datagram was refused.
    #[cold]
    fn datagram_failed(&mut self, sender: ConnId, error: io::Error) -> Sent {
        self.totals.dropped += 1;
        if error.raw_os_error() == Some(libc::EMSGSIZE) {
            return Sent::TooLarge;
        }
        self.report_error(sender, error);
        Sent::Dropped
    }

    /// Has `on_error` called in the next turn: once, however many errors there are by then.
    #[cold]
    fn report_error(&mut self, id: ConnId, error: io::Error) {
        let Some(entry) = self.slots.get_mut(id) else {
            return;
        };
        if !entry.flags().has(Flags::FAILED) {
            entry.flags_mut().set(Flags::FAILED);
            self.errands.push_back(Errand::Failed(id, error));
        }
    }

    /// Sends what waits, within the budget.
    pub(super) fn flush_datagrams(&mut self, id: ConnId) {
        let mut budget = self.config.write_budget;
        while budget > 0 {
            let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
                return;
            };
            let flags = datagrams.flags;
            if !flags.has(Flags::WRITABLE) || flags.has(Flags::DEAD) || flags.has(Flags::STALLED) {
                break;
            }
            let Some(waiting) = datagrams.unsent.pop() else {
                break;
            };
            let (sender, length) = (waiting.sender, waiting.data.len());
            self.turn.writes += 1;
            match transmit(&self.sys, datagrams, waiting.to, &waiting.data) {
                Transmitted::Full => datagrams.unsent.put_back(waiting),
                Transmitted::Sent(earlier) => {
                    self.sent_datagram(id, sender, length);
                    if let Some(error) = earlier {
                        self.report_error(sender, error);
                    }
                }
                Transmitted::Failed(error) => self.datagram_failed(sender, error).ignore(),
            }
            budget = budget.saturating_sub(length.max(LEAST));
        }
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return;
        };
        if datagrams.unsent.cost() <= datagrams.life.limits.low_water
            && datagrams.flags.take_backlogged()
        {
            datagrams.flags.set(Flags::DRAINED);
        }
        if datagrams.has_work() {
            self.queue(id);
        }
        self.wait_for_room(id);
    }

    /// Those that wait to hear that a socket has drained: the sessions that were told of its
    /// backlog, and the socket itself.
    pub(super) fn take_drained_datagrams(&mut self, id: ConnId) -> Vec<ConnId> {
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return Vec::new();
        };
        if !datagrams.flags.take(Flags::DRAINED) {
            return Vec::new();
        }
        let mut waiting = std::mem::take(&mut datagrams.backlogged);
        waiting.push(id);
        for id in &waiting {
            if let Some(Entry::Session(session)) = self.slots.get_mut(*id) {
                session.flags.clear(Flags::BACKLOGGED);
            }
        }
        waiting
    }

    /// Receives once.
    #[inline]
    pub(super) fn receive_datagram(
        &mut self,
        id: ConnId,
        buffer: &mut [u8],
        budget: &mut usize,
    ) -> Datagram {
        let now = self.millis;
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return Datagram::Nothing;
        };
        let flags = datagrams.flags;
        if !flags.has(Flags::READABLE) || flags.has(Flags::BLOCKED) || flags.has(Flags::ENDED) {
            return Datagram::Nothing;
        }
        self.turn.reads += 1;
        *budget = budget.saturating_sub(LEAST);
        let (length, from) = match self.sys.receive_from(&datagrams.socket, buffer) {
            Ok(received) => received,
            Err(error) => return self.receive_failed(id, error),
        };
        *budget = budget.saturating_sub(length.saturating_sub(LEAST));
        datagrams.failures = 0;
        datagrams.bytes_read += length as u64;
        datagrams.life.heard(now);
        self.turn.bytes_read += length as u64;
        if length > datagrams.max_datagram {
            self.totals.oversize += 1;
            return Datagram::Skipped;
        }
        log::trace!("read {id}: {length} bytes from {from}");
        let driver = datagrams.driver;
        let mut receiver = id;
        if let Some(session) = datagrams.sessions.get(&from) {
            receiver = *session;
            if let Some(Entry::Session(session)) = self.slots.get_mut(receiver) {
                session.bytes_read += length as u64;
                session.life.heard(now);
            }
        }
        Datagram::Arrived {
            id: receiver,
            driver,
            from,
            length,
        }
    }

    #[cold]
    fn receive_failed(&mut self, id: ConnId, error: io::Error) -> Datagram {
        let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) else {
            return Datagram::Nothing;
        };
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                datagrams.failures = 0;
                datagrams.flags.clear(Flags::READABLE);
                return Datagram::Nothing;
            }
            io::ErrorKind::Interrupted => return Datagram::Skipped,
            _ => datagrams.failures += 1,
        }
        if is_shortage(&error) || datagrams.failures >= MOST_FAILURES {
            log::warn!("receiving by {id}: {error}");
            datagrams.failures = 0;
            datagrams.flags.set(Flags::STALLED);
            self.wait_for_room(id);
            return Datagram::Nothing;
        }
        Datagram::Failed(datagrams.driver, error)
    }
}

enum Transmitted {
    /// It has left. The error, if there is one, is about an earlier one.
    Sent(Option<io::Error>),
    /// The kernel has no room, or no memory for the moment.
    Full,
    Failed(io::Error),
}

/// Gives a datagram to the kernel.
#[inline]
fn transmit(
    sys: &Sys,
    datagrams: &mut Datagrams,
    to: Option<SocketAddr>,
    data: &[u8],
) -> Transmitted {
    let mut sent = sys.send_datagram(&datagrams.socket, data, to);
    let mut earlier = None;
    if let Err(error) = sent {
        // A connected socket reports here what became of an earlier datagram, and takes this one
        // the next time.
        match error.kind() {
            io::ErrorKind::ConnectionRefused => earlier = Some(error),
            io::ErrorKind::Interrupted => {}
            _ => return failed(datagrams, error),
        }
        sent = sys.send_datagram(&datagrams.socket, data, to);
    }
    match sent {
        Ok(()) => Transmitted::Sent(earlier),
        Err(error) => failed(datagrams, error),
    }
}

#[cold]
fn failed(datagrams: &mut Datagrams, error: io::Error) -> Transmitted {
    if error.kind() == io::ErrorKind::WouldBlock {
        datagrams.flags.clear(Flags::WRITABLE);
    } else if is_shortage(&error) {
        datagrams.flags.set(Flags::STALLED);
    } else {
        return Transmitted::Failed(error);
    }
    Transmitted::Full
}
