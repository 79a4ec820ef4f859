//! Stopping and ending: of reading, of a connection, of the reactor.

use std::any::Any;
use std::time::Duration;

use crate::id::ConnId;

use super::dialling::cancelled;
use super::driver::{CloseReason, DriverId};
use super::entry::Entry;
use super::hub::{Errand, Hub, Stopping};
use super::socket::{Flags, Socket};

/// Flow and end.
impl Hub {
    /// Stops reading from a connection. Its peer is held back by TCP's own flow control.
    /// What comes for a paused datagram socket is kept by the kernel, as far as its buffer reaches.
    /// A session shares its socket and cannot be paused alone. That a peer has gone is not heard
    /// meanwhile, since what it has sent comes first.
    pub fn pause(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::PAUSED);
        } else if let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) {
            datagrams.flags.set(Flags::PAUSED);
        }
    }

    /// Goes on reading. What was read before and not consumed comes first.
    pub fn resume(&mut self, id: ConnId) {
        let now = self.millis;
        if let Some(Entry::Datagrams(datagrams)) = self.slots.get_mut(id) {
            if datagrams.flags.take(Flags::PAUSED) {
                datagrams.resumed = now;
                datagrams.life.heard(now);
            }
            if datagrams.has_work() {
                self.queue(id);
            }
        }
        let Some(socket) = self.socket(id) else {
            return;
        };
        if socket.flags.take(Flags::PAUSED) {
            socket.life.heard(now);
            if socket.held.is_some() {
                socket.flags.set(Flags::REDELIVER);
            }
            if socket.has_work() {
                self.queue(id);
            }
        }
    }

    /// Gives its driver again what that has left unconsumed, without waiting for more: it can do
    /// something with it now.
    pub fn redeliver(&mut self, id: ConnId) {
        let Some(socket) = self.socket(id) else {
            return;
        };
        if socket.held.is_some() {
            socket.flags.set(Flags::REDELIVER);
            if socket.has_work() {
                self.queue(id);
            }
        }
    }

    /// Refuses further sends, and leaves everything else as it is: the protocol has said its last
    /// word, and waits for the peer's.
    pub fn mute(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::MUTE);
        }
    }

    /// Takes a [`mute`](Self::mute) back.
    pub fn unmute(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.clear(Flags::MUTE);
        }
    }

    /// Finishes our side: what is queued is sent, then FIN. Reading goes on, until the peer
    /// finishes too.
    pub fn shutdown_write(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::FINISHING);
            self.mark_dirty(id);
        }
    }

    /// Closes a connection: refuses further sends, sends what is queued, then FIN, and waits for
    /// the peer's FIN up to [`Limits::linger`](crate::Limits::linger), since closing with unread
    /// data would reset the connection and cost the peer our last bytes.
    ///
    /// Closes everything else at once: a listener, a dial, a datagram socket with its sessions.
    pub fn close(&mut self, id: ConnId) {
        self.close_for(id, CloseReason::Local);
    }

    /// Closes a connection as [`close`](Self::close) does, and gives `on_close` another reason for
    /// it.
    pub fn close_for(&mut self, id: ConnId, reason: CloseReason) {
        let now = self.millis;
        let Some(socket) = self.socket(id) else {
            return self.end_other(id, reason);
        };
        socket.flags.set(Flags::CLOSING);
        socket.flags.clear(Flags::REDELIVER);
        socket.reason = reason;
        socket.held = None;
        socket.life.last_active = now;
        self.arm(id);
        self.mark_dirty(id);
    }

    /// Resets a connection: nothing more is sent, and the peer learns it at once.
    pub fn abort(&mut self, id: ConnId) {
        self.reset(id, CloseReason::Aborted);
    }

    /// Gives a connection to another driver, in the next turn. Bytes not consumed by then go to
    /// that driver, which begins unpaused and hears of the peer's end itself.
    pub fn hand_over(&mut self, id: ConnId, driver: DriverId) {
        self.give(id, driver, None);
    }

    /// The same with a word about it, for the other driver's `on_open`.
    pub fn hand_over_with(&mut self, id: ConnId, driver: DriverId, ticket: Box<dyn Any>) {
        self.give(id, driver, Some(ticket));
    }

    fn give(&mut self, id: ConnId, driver: DriverId, ticket: Option<Box<dyn Any>>) {
        self.check_driver(driver);
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::MOVING);
            self.errands.push_back(Errand::HandOver(id, driver, ticket));
        }
    }

    /// Hands `message` to the driver of a connection, in the next turn: the one way into another
    /// protocol.
    pub fn post(&mut self, id: ConnId, message: Box<dyn Any>) {
        self.errands.push_back(Errand::Post(id, None, message));
    }

    /// The same, unless the connection is with another driver by then.
    pub fn post_within(&mut self, id: ConnId, driver: DriverId, message: Box<dyn Any>) {
        self.errands
            .push_back(Errand::Post(id, Some(driver), message));
    }

    /// Lets a shutdown not wait for this connection, as libuv's `uv_unref` does: it serves the
    /// process itself, such as a pair of sockets that brings signals into the loop.
    pub fn unref(&mut self, id: ConnId) {
        let Some(entry) = self.slots.get_mut(id) else {
            return;
        };
        if entry.driver().is_some() && !entry.flags().has(Flags::UNREF) {
            entry.flags_mut().set(Flags::UNREF);
            self.streams -= 1;
        }
    }

    /// Makes [`Reactor::run`](crate::Reactor::run) return at the end of this turn. Connections stay
    /// as they are.
    pub fn stop(&mut self) {
        self.stopping = Stopping::Stop;
    }

    /// Ends the reactor in good order: listeners close now, dials are cancelled, drivers are told,
    /// and [`Reactor::run`](crate::Reactor::run) returns when the last connection has gone. What is
    /// left after `deadline` is reset. A second call replaces the deadline.
    pub fn shutdown(&mut self, deadline: Duration) {
        let listeners: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, entry)| {
                matches!(
                    entry,
                    Entry::Listener(_) | Entry::Dial(_) | Entry::Handshake(_)
                )
            })
            .map(|(id, _)| id)
            .collect();
        for id in listeners {
            self.end(id, CloseReason::Shutdown);
        }
        self.stopping = Stopping::Announced(self.later(deadline));
    }

    /// Ends what has no way of closing slowly.
    fn end_other(&mut self, id: ConnId, reason: CloseReason) {
        match self.slots.get(id) {
            None | Some(Entry::Stream(_)) => {}
            Some(Entry::Datagrams(_)) => {
                self.flush_datagrams(id);
                self.end(id, reason);
            }
            Some(_) => self.end(id, reason),
        }
    }

    /// Marks for reaping. The first reason given stays.
    pub(super) fn end(&mut self, id: ConnId, reason: CloseReason) {
        let Some(entry) = self.slots.get_mut(id) else {
            return;
        };
        if entry.flags().has(Flags::DEAD) {
            return;
        }
        if let Entry::Dial(_) = entry {
            return self.dial_failed(id, cancelled());
        }
        if let Entry::Handshake(_) = entry {
            return self.handshake_failed(id, cancelled());
        }
        let closing = entry.flags().has(Flags::CLOSING);
        entry.flags_mut().set(Flags::DEAD);
        if let Some(stated) = entry.reason_mut().filter(|_| !closing) {
            *stated = reason;
        }
        // Sessions end before their socket.
        if let Entry::Datagrams(datagrams) = entry {
            for session in std::mem::take(&mut datagrams.sessions).into_values() {
                self.end(session, reason);
            }
        }
        self.forget_session(id);
        self.dead.push_back(id);
    }

    /// Marks for reaping, and lets the closing be a reset.
    pub(super) fn reset(&mut self, id: ConnId, reason: CloseReason) {
        match self.slots.get(id) {
            Some(Entry::Stream(socket)) => {
                socket.stream.reset_on_close();
                self.end(id, reason);
            }
            Some(_) => self.end(id, reason),
            None => {}
        }
    }

    /// The socket of a connection that is open.
    pub(super) fn socket(&mut self, id: ConnId) -> Option<&mut Socket> {
        match self.slots.get_mut(id) {
            Some(Entry::Stream(socket))
                if !socket.flags.has(Flags::CLOSING) && !socket.flags.has(Flags::DEAD) =>
            {
                Some(socket)
            }
            _ => None,
        }
    }
}
