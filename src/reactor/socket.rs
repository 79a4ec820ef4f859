//! One stream connection: what the kernel has said of it, what we want of it, and the bytes in
//! between.
//!
//! The rules of edge-triggered readiness live here and nowhere else:
//! * A socket is registered once, for both directions. What an edge said stays true until a call
//!   proves otherwise, so readiness is kept in flags, and whoever stops early finds the flag still
//!   set.
//! * A short read on TCP means that the receive queue is empty and saves the read that would only
//!   return `WouldBlock`. Not so when the event also said that the peer has finished (data and FIN
//!   give one edge, not two) or that urgent data is there (it splits a read in two): then we read
//!   on until the kernel says so.
//! * A short write means that the send buffer is full. The kernel will report when it no longer is.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;

use mio::event::Event;

use crate::id::ConnId;

use super::config::Limits;
use super::driver::{CloseReason, DriverId, Form, Timeout};
use super::life::Life;
use super::look::Protocol;
use super::outbox::{MAX_SLICES, Outbox};
use super::stream::Stream;
use super::sys::Sys;
use super::tls::Session;

/// The state of one stream. Kept small: an idle connection is little more than this.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: Stream,
    pub(crate) flags: Flags,
    pub(crate) driver: DriverId,
    /// Which of its forms is published to it.
    pub(crate) form: Form,
    /// Set with `Flags::CLOSING` or `Flags::DEAD`.
    pub(crate) reason: CloseReason,
    pub(crate) life: Life,
    /// Bytes to send. `None` while there are none.
    pub(crate) outbox: Option<Box<Outbox>>,
    /// Bytes that the driver has not consumed. `None` while there are none.
    #[expect(
        clippy::box_collection,
        reason = "24 bytes for what most never have are too many"
    )]
    pub(crate) held: Option<Box<Vec<u8>>>,
    /// What encrypts and decrypts all of it, if anything does.
    pub(crate) tls: Option<Box<Session>>,
    pub(crate) listener: Option<ConnId>,
    /// `None` for a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
}

/// What is known and wanted of a socket, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    /// There may be something to read.
    pub(crate) const READABLE: Self = Self(1);
    /// There may be room to write.
    pub(crate) const WRITABLE: Self = Self(1 << 1);
    /// The event said that the peer has finished: a short read does not mean drained.
    pub(crate) const READ_CLOSED: Self = Self(1 << 2);
    /// The event said that urgent data is there: a short read does not mean drained.
    pub(crate) const URGENT: Self = Self(1 << 3);
    /// The event said that the connection has failed.
    pub(crate) const FAILED: Self = Self(1 << 4);
    /// In the ready queue.
    pub(crate) const QUEUED: Self = Self(1 << 5);
    /// In the list of those to flush.
    pub(crate) const DIRTY: Self = Self(1 << 6);
    /// The application has stopped reading.
    pub(crate) const PAUSED: Self = Self(1 << 7);
    /// The backlog is above its high mark, and has not been below the low one since.
    pub(crate) const BACKLOGGED: Self = Self(1 << 8);
    /// `on_drain` is due.
    pub(crate) const DRAINED: Self = Self(1 << 9);
    /// Held bytes are to be given to the driver again without waiting for more.
    pub(crate) const REDELIVER: Self = Self(1 << 10);
    /// Another driver is about to take over.
    pub(crate) const MOVING: Self = Self(1 << 11);
    /// The peer has finished sending: `recv` returned 0.
    pub(crate) const EOF: Self = Self(1 << 12);
    /// The driver has been told so.
    pub(crate) const EOF_TOLD: Self = Self(1 << 13);
    /// Our side is to be shut when the outbox is empty.
    pub(crate) const FINISHING: Self = Self(1 << 14);
    /// Our FIN is sent.
    pub(crate) const SHUT: Self = Self(1 << 15);
    /// Closing: no more sends, received bytes are thrown away.
    pub(crate) const CLOSING: Self = Self(1 << 16);
    /// In the list of those to reap.
    pub(crate) const DEAD: Self = Self(1 << 17);
    /// The driver has not heard of it yet.
    pub(crate) const UNOPENED: Self = Self(1 << 20);
    /// A shutdown does not wait for it.
    pub(crate) const UNREF: Self = Self(1 << 19);
    /// The system was short of memory; a timer will try again.
    pub(crate) const STALLED: Self = Self(1 << 18);
    /// Backlogged, and therefore not read from.
    pub(crate) const HELD_BACK: Self = Self(1 << 22);
    /// The protocol has said its last word.
    pub(crate) const MUTE: Self = Self(1 << 23);
    /// That timer is set.
    pub(crate) const RETRYING: Self = Self(1 << 21);

    /// What it carries is encrypted.
    pub(crate) const SECURE: Self = Self(1 << 24);
    /// And that has failed: nothing more can be encrypted, though what came before is still told.
    pub(crate) const BROKEN: Self = Self(1 << 25);

    /// Any of these stops the reading.
    pub(crate) const BLOCKED: Self =
        Self(Self::PAUSED.0 | Self::HELD_BACK.0 | Self::MOVING.0 | Self::UNOPENED.0);
    /// Any of these refuses further sends.
    pub(crate) const SENDS_REFUSED: Self =
        Self(Self::ENDED.0 | Self::FINISHING.0 | Self::MUTE.0 | Self::BROKEN.0);
    /// Any of these makes reading more than a `recv`.
    const SPECIAL: Self =
        Self(Self::BLOCKED.0 | Self::ENDED.0 | Self::EOF.0 | Self::REDELIVER.0 | Self::SECURE.0);
    /// Our side is to be shut.
    pub(crate) const SHUTTING: Self = Self(Self::CLOSING.0 | Self::FINISHING.0);
    /// Any of these is the end of it.
    pub(crate) const ENDED: Self = Self(Self::CLOSING.0 | Self::DEAD.0);

    /// The backlog is above its high mark: reading stops, unless the limits want it to go on.
    pub(crate) const fn set_backlogged(&mut self, limits: &Limits) {
        self.set(Self::BACKLOGGED);
        if !limits.full_duplex {
            self.set(Self::HELD_BACK);
        }
    }

    /// The backlog is below its low mark. True if it was above the high one since.
    pub(crate) const fn take_backlogged(&mut self) -> bool {
        self.clear(Self::HELD_BACK);
        self.take(Self::BACKLOGGED)
    }

    /// Remembers what came of a call that offered so many bytes. Returns how many were taken; an
    /// error only if it is one of the connection.
    #[inline]
    fn note_sent(&mut self, result: io::Result<usize>, offered: usize) -> io::Result<usize> {
        match result {
            Ok(sent) => {
                if sent < offered {
                    self.clear(Self::WRITABLE);
                }
                return Ok(sent);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => self.clear(Self::WRITABLE),
                io::ErrorKind::Interrupted => {}
                _ if is_shortage(&error) => self.set(Self::STALLED),
                _ => return Err(error),
            },
        }
        Ok(0)
    }

    /// True if any bit of `other` is set.
    #[inline]
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline]
    pub(crate) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Clears the bits of `other`. True if any was set.
    #[inline]
    pub(crate) const fn take(&mut self, other: Self) -> bool {
        let had = self.has(other);
        self.clear(other);
        had
    }
}

/// What one `recv` brought.
#[derive(Debug)]
pub(crate) enum Received {
    Bytes(usize),
    Eof,
    Failed(io::Error),
    Nothing,
}

impl Socket {
    pub(crate) fn new(
        stream: Stream,
        peer: Option<SocketAddr>,
        driver: DriverId,
        limits: Rc<Limits>,
        now: u64,
    ) -> Self {
        let mut flags = Flags::default();
        flags.set(Flags::WRITABLE);
        Self {
            stream,
            flags,
            driver,
            form: Form::default(),
            reason: CloseReason::Local,
            life: Life::new(limits, now),
            outbox: None,
            held: None,
            tls: None,
            listener: None,
            peer,
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// Carries from here on what a session encrypts.
    pub(crate) fn secure(&mut self, session: Box<Session>) {
        self.tls = Some(session);
        self.flags.set(Flags::SECURE);
    }

    /// Remembers what an event said. True if there is something to do about it.
    #[inline]
    pub(crate) fn mark(&mut self, event: &Event) -> bool {
        if event.is_readable() {
            self.flags.set(Flags::READABLE);
        }
        if event.is_writable() {
            self.flags.set(Flags::WRITABLE);
        }
        if event.is_read_closed() {
            self.flags
                .set(Flags(Flags::READABLE.0 | Flags::READ_CLOSED.0));
        }
        if event.is_priority() {
            self.flags.set(Flags(Flags::READABLE.0 | Flags::URGENT.0));
        }
        if event.is_error() {
            self.flags.set(Flags(Flags::READABLE.0 | Flags::FAILED.0));
        }
        // A fresh connection reports that it can be written to; with nothing to write that is no
        // work.
        self.flags.has(Flags::READABLE) || self.outbox.is_some()
    }

    /// True while received bytes would be given to the driver.
    #[inline]
    pub(crate) fn wants_data(&self) -> bool {
        !self.flags.has(Flags(Flags::BLOCKED.0 | Flags::ENDED.0))
    }

    /// True unless reading it means one `recv` and nothing else.
    #[inline]
    pub(crate) fn is_special(&self) -> bool {
        self.held.is_some() || self.flags.has(Flags::SPECIAL)
    }

    /// True if serving it again would bring something, without another event.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        let flags = self.flags;
        if flags.has(Flags(Flags::DEAD.0 | Flags::STALLED.0)) {
            return false;
        }
        let reading = flags.has(Flags::CLOSING) || self.wants_data();
        let input = if flags.has(Flags::EOF) {
            // After its end a stream may still be reported readable; there is nothing more to read.
            !flags.has(Flags(Flags::EOF_TOLD.0 | Flags::CLOSING.0))
        } else {
            let decrypted = || self.tls.as_ref().is_some_and(|tls| tls.has_unread());
            flags.has(Flags(Flags::READABLE.0 | Flags::REDELIVER.0))
                || !flags.has(Flags::CLOSING) && decrypted()
        };
        let output = flags.has(Flags::WRITABLE) && self.outbox.is_some();
        reading && input || output || flags.has(Flags::DRAINED)
    }

    /// Reads once into `buffer`, and updates what is known about the receive queue.
    #[inline]
    pub(crate) fn receive(&mut self, sys: &Sys, buffer: &mut [u8]) -> Received {
        match sys.receive(&self.stream, buffer) {
            Ok(0) => {
                self.flags.clear(Flags::READABLE);
                self.flags.set(Flags::EOF);
                Received::Eof
            }
            Ok(read) => {
                let ends_by_itself = self
                    .flags
                    .has(Flags(Flags::READ_CLOSED.0 | Flags::URGENT.0));
                if read < buffer.len() && !ends_by_itself && self.stream.short_read_means_drained()
                {
                    self.flags.clear(Flags::READABLE);
                }
                self.bytes_read += read as u64;
                Received::Bytes(read)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.flags.clear(Flags(Flags::READABLE.0 | Flags::URGENT.0));
                Received::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Nothing,
            Err(error) if is_shortage(&error) => {
                self.flags.set(Flags::STALLED);
                Received::Nothing
            }
            Err(error) => Received::Failed(error),
        }
    }

    /// Sends at most `budget` bytes of the outbox, as far as the kernel takes them. Returns the
    /// number of bytes and of calls. A shortage of memory is no error of this connection: it sets
    /// `STALLED`. Records that are sent at once are made in `room`.
    #[inline]
    pub(crate) fn flush(
        &mut self,
        sys: &Sys,
        budget: usize,
        room: &mut Vec<u8>,
    ) -> io::Result<(usize, usize)> {
        if let Some(session) = &mut self.tls {
            session.borrow(room);
            let result = self.flush_secure(sys, budget);
            if let Some(session) = &mut self.tls {
                session.give_back(room);
            }
            return result;
        }
        let (mut written, mut calls) = (0, 0);
        let Some(outbox) = &mut self.outbox else {
            return Ok((0, 0));
        };
        while !outbox.is_empty() && written < budget && self.flags.has(Flags::WRITABLE) {
            calls += 1;
            let left = budget - written;
            let (offered, result) = match outbox.single() {
                Some(data) => {
                    let data = &data[..data.len().min(left)];
                    (data.len(), sys.send(&self.stream, data))
                }
                None => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let (filled, offered) = outbox.slices(&mut slices, left);
                    (offered, sys.send_gathered(&self.stream, &slices[..filled]))
                }
            };
            let sent = self.flags.note_sent(result, offered)?;
            outbox.consume(sent);
            written += sent;
            if self.flags.has(Flags::STALLED) {
                break;
            }
        }
        self.bytes_written += written as u64;
        Ok((written, calls))
    }

    /// As [`flush`](Self::flush), with encryption in between: no more of the outbox is encrypted
    /// than the kernel is about to be offered.
    fn flush_secure(&mut self, sys: &Sys, budget: usize) -> io::Result<(usize, usize)> {
        let (mut written, mut calls) = (0, 0);
        let (Some(session), Some(outbox)) = (&mut self.tls, &mut self.outbox) else {
            return Ok((0, 0));
        };
        while written < budget && self.flags.has(Flags::WRITABLE) {
            if session.outgoing().is_empty() {
                if session.has_failed() {
                    outbox.consume(outbox.len());
                }
                if outbox.is_empty() {
                    break;
                }
                let encrypted = session.send(outbox.front());
                outbox.consume(encrypted.map_err(io::Error::other)?);
            }
            calls += 1;
            let data = session.outgoing();
            let data = &data[..data.len().min(budget - written)];
            let offered = data.len();
            let sent = sys.send(&self.stream, data);
            let sent = self.flags.note_sent(sent, offered)?;
            session.consume(sent);
            written += sent;
            if self.flags.has(Flags::STALLED) {
                break;
            }
        }
        self.bytes_written += written as u64;
        Ok((written, calls))
    }

    /// Bytes waiting to be sent.
    #[inline]
    pub(crate) fn backlog(&self) -> usize {
        let encrypted = self.tls.as_ref().map_or(0, |tls| tls.outgoing().len());
        self.outbox.as_ref().map_or(0, |outbox| outbox.len()) + encrypted
    }

    /// True if only sending has come to an end: a peer by Unix socket that has closed is told of by
    /// `EPIPE`, and what it said before is still there to be read. TCP has no such case, since a
    /// reset takes everything with it.
    pub(crate) fn outlives(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe
            && self.stream.protocol() == Protocol::Unix
            && !self.flags.has(Flags(Flags::CLOSING.0 | Flags::EOF.0))
    }

    /// When the next of this connection's time-outs passes, in milliseconds, if it has any.
    pub(crate) fn next_deadline(&mut self, now: u64) -> Option<u64> {
        if self.flags.has(Flags::CLOSING) {
            return Some(self.life.lingered());
        }
        self.life.excuse(self.flags, now);
        self.life.next()
    }

    /// Which time-out has passed at `now`, if any. Silence that has passed begins anew.
    pub(crate) fn passed(&mut self, now: u64) -> Option<Timeout> {
        self.life.excuse(self.flags, now);
        self.life.passed(now)
    }
}

/// The system is short of memory for a moment, which says nothing about the connection.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of an idle connection is decided here.
    #[test]
    fn a_socket_stays_small() {
        // mio's streams carry the poller's number in debug builds.
        let allowed = if cfg!(debug_assertions) { 176 } else { 160 };
        assert!(
            size_of::<Socket>() <= allowed,
            "{} bytes",
            size_of::<Socket>()
        );
    }
}
