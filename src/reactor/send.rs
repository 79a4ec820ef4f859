//! The way out: into the outbox, and from there into the kernel.
//!
//! A send appends and marks; the bytes leave once, when the callback has returned. So any number of
//! replies to what one read brought are one `send`.

use bytes::Bytes;

use crate::id::ConnId;

use super::config::Overflow;
use super::driver::CloseReason;
use super::entry::Entry;
use super::hub::{Hub, Sent};
use super::outbox::Outbox;
use super::socket::Flags;

/// Bytes that wait for the end of the callback; beyond them a send is tried at once. As much as one
/// read brings.
const FLUSH_AT: usize = 64 * 1024;

/// What a closing connection has to take of its backlog to be given the same time again. Byte by
/// byte, it could stay for ever.
const LINGER_STEP: usize = 16 * 1024;

/// Sending: bytes, for the driver that owns the connection.
impl Hub {
    /// Queues a copy of all of `data`. It leaves when the callback has returned; as a datagram, to
    /// the peer of a session or connected socket, at once.
    pub fn send(&mut self, id: ConnId, data: &[u8]) -> Sent {
        self.enqueue(id, |outbox| outbox.push(data))
    }

    /// Queues `data`, sharing it with whoever else holds it.
    pub fn send_shared(&mut self, id: ConnId, data: Bytes) -> Sent {
        self.enqueue(id, |outbox| outbox.push_shared(data))
    }

    /// Queues what `write` appends to the buffer that it is lent. It must leave alone what is
    /// there.
    pub fn send_with(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) -> Sent {
        self.enqueue(id, |outbox| outbox.append(0, write))
    }

    /// Sends as much of `data` as the kernel takes now, queues nothing, and returns how much that
    /// was: 0 when something is queued already, since bytes never overtake each other. `None` if
    /// the connection is closed.
    pub fn try_write(&mut self, id: ConnId, data: &[u8]) -> Option<usize> {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return None;
        };
        if socket.flags.has(Flags::SENDS_REFUSED) {
            return None;
        }
        if socket.outbox.is_some() || !socket.flags.has(Flags::WRITABLE) {
            return Some(0);
        }
        let mut outbox = self.spare.take();
        outbox.push(data);
        socket.outbox = Some(outbox);
        self.flush_now(id);
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return None;
        };
        if socket.flags.has(Flags::DEAD) {
            return None;
        }
        let left = socket.outbox.take().map_or(0, |outbox| outbox.len());
        if socket.backlog() > 0 {
            // What is encrypted cannot be taken back.
            socket.outbox = Some(Box::default());
        }
        Some(data.len() - left)
    }

    /// Sends what is queued now, without waiting for the end of the callback.
    pub fn flush(&mut self, id: ConnId) {
        self.flush_now(id);
    }

    #[inline]
    fn enqueue(&mut self, id: ConnId, push: impl FnOnce(&mut Outbox)) -> Sent {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return self.send_as_datagram(id, push);
        };
        if socket.flags.has(Flags::SENDS_REFUSED) {
            return Sent::Closed;
        }
        if socket.backlog() >= socket.life.limits.max_backlog {
            return self.overflow(id);
        }
        let outbox = socket.outbox.get_or_insert_with(|| self.spare.take());
        push(outbox);
        let backlog = socket.backlog();
        if backlog == 0 {
            self.spare.give(socket.outbox.take());
            return Sent::Accepted;
        }
        if !socket.flags.has(Flags::DIRTY) && self.serving != Some(id) {
            socket.flags.set(Flags::DIRTY);
            self.dirty.push_back(id);
        }
        if backlog > socket.life.limits.high_water.min(FLUSH_AT) {
            self.press(id)
        } else {
            Sent::Accepted
        }
    }

    /// Much is waiting: sends what the kernel takes, and looks what is left.
    #[cold]
    fn press(&mut self, id: ConnId) -> Sent {
        self.flush_now(id);
        match self.socket(id) {
            None => Sent::Closed,
            Some(socket) if socket.backlog() > socket.life.limits.high_water => {
                socket.flags.set_backlogged(&socket.life.limits);
                Sent::Backlogged
            }
            Some(_) => Sent::Accepted,
        }
    }

    /// A message meets a full backlog.
    #[cold]
    fn overflow(&mut self, id: ConnId) -> Sent {
        match self.socket(id).map(|socket| socket.life.limits.overflow) {
            None => Sent::Closed,
            Some(Overflow::Drop) => {
                self.totals.dropped += 1;
                Sent::Dropped
            }
            Some(Overflow::Close) => {
                self.reset(id, CloseReason::Overflow);
                Sent::Closed
            }
        }
    }

    /// Sends what is queued, within the budget, and does what was waiting for the outbox to be
    /// empty.
    #[inline]
    pub(super) fn flush_now(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        socket.flags.clear(Flags::DIRTY);
        if socket.flags.has(Flags::DEAD) {
            return;
        }
        if socket.outbox.is_some() && !socket.flags.has(Flags::STALLED) {
            let before = socket.backlog();
            let (budget, room) = (self.config.write_budget, &mut self.spare.records);
            let (written, calls) = match socket.flush(&self.sys, budget, room) {
                Ok(result) => result,
                Err(error) if socket.outlives(&error) => {
                    socket.outbox = None;
                    // Nothing waits any more that reading would have to wait for.
                    socket.flags.take_backlogged();
                    if socket.held.is_some() {
                        socket.flags.set(Flags::REDELIVER);
                    }
                    socket.flags.set(Flags::FINISHING);
                    socket.flags.set(Flags::READABLE);
                    return self.shut(id);
                }
                Err(error) => return self.end(id, CloseReason::from_error(&error)),
            };
            log::trace!("write {id}: {written} bytes");
            self.turn.writes += calls;
            self.turn.bytes_written += written as u64;
            let backlog = socket.backlog();
            // A closing connection has to get on: see `Limits::linger`.
            let counts = !socket.flags.has(Flags::CLOSING)
                || backlog / LINGER_STEP != before / LINGER_STEP
                || backlog == 0;
            if written > 0 && counts {
                socket.life.last_active = self.millis;
            }
            if backlog <= socket.life.limits.low_water && socket.flags.take_backlogged() {
                socket.flags.set(Flags::DRAINED);
                socket.life.last_read = self.millis;
                if socket.held.is_some() {
                    socket.flags.set(Flags::REDELIVER);
                }
            }
            // Idle connections own no buffers: an empty outbox serves the next one that sends.
            if backlog == 0 {
                self.spare.give(socket.outbox.take());
            } else if socket.flags.has(Flags::STALLED) {
                return self.retry_later(id);
            }
        }
        if socket.outbox.is_none() && socket.flags.has(Flags::SHUTTING) {
            self.shut(id);
        } else if socket.has_work() {
            self.queue(id);
        }
    }

    /// Shuts what was to be shut when the outbox is empty.
    #[cold]
    fn shut(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        let is_told = socket.flags.has(Flags::SHUT);
        if !is_told && socket.tls.as_mut().is_some_and(|tls| tls.close()) {
            // That nothing follows is said first, and leaves as everything does.
            socket.outbox = Some(Box::default());
            return self.flush_now(id);
        }
        if !socket.flags.has(Flags::SHUT) {
            log::trace!("shutdown {id}");
            socket.stream.shutdown_write();
            socket.flags.set(Flags::SHUT);
            socket.life.last_active = self.millis;
        }
        // With its FIN the peer has told that it will not send, so closing cannot cost it our last
        // bytes.
        let ended = socket.flags.has(Flags::EOF) || socket.life.limits.linger.is_zero();
        if socket.flags.has(Flags::CLOSING) && ended {
            let reason = socket.reason;
            self.end(id, reason);
        } else if socket.has_work() {
            self.queue(id);
        }
    }
}
