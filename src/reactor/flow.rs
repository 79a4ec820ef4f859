//! Stopping and ending: of reading, of a connection, of the reactor.

use std::any::Any;
use std::time::Duration;

use crate::id::ConnId;

use super::driver::{CloseReason, DriverId};
use super::hub::{Entry, Errand, Hub, Stopping};
use super::socket::{Flags, Socket};

/// Flow and end.
impl Hub {
    /// Stops reading from a connection. Its peer is held back by TCP's own flow control.
    pub fn pause(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::PAUSED);
        }
    }

    /// Goes on reading. What was read before and not consumed comes first.
    pub fn resume(&mut self, id: ConnId) {
        let now = self.millis;
        let Some(socket) = self.socket(id) else {
            return;
        };
        if socket.flags.take(Flags::PAUSED) {
            (socket.last_read, socket.last_active) = (now, now);
            if socket.held.is_some() {
                socket.flags.set(Flags::REDELIVER);
            }
            if socket.has_work() {
                self.queue(id);
            }
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
    /// data would reset the connection and cost the peer our last bytes. Closes a listener at once.
    pub fn close(&mut self, id: ConnId) {
        self.close_for(id, CloseReason::Local);
    }

    /// Closes a connection as [`close`](Self::close) does, and gives `on_close` another reason for
    /// it.
    pub fn close_for(&mut self, id: ConnId, reason: CloseReason) {
        if let Some(Entry::Listener(_) | Entry::Dial(_)) = self.slots.get(id) {
            return self.end(id, reason);
        }
        let now = self.millis;
        let Some(socket) = self.socket(id) else {
            return;
        };
        socket.flags.set(Flags::CLOSING);
        socket.flags.clear(Flags::REDELIVER);
        socket.reason = reason;
        socket.held = None;
        socket.last_active = now;
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
        assert!(
            usize::from(driver.0) < self.framers.len(),
            "a driver of another reactor"
        );
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::MOVING);
            self.errands.push_back(Errand::HandOver(id, driver));
        }
    }

    /// Hands `message` to the driver of a connection, in the next turn: the one way into another
    /// protocol.
    pub fn post(&mut self, id: ConnId, message: Box<dyn Any>) {
        self.errands.push_back(Errand::Post(id, message));
    }

    /// Lets a shutdown not wait for this connection, as libuv's `uv_unref` does: it serves the
    /// process itself, such as a pair of sockets that brings signals into the loop.
    pub fn unref(&mut self, id: ConnId) {
        let Some(socket) = self.socket(id) else {
            return;
        };
        if !socket.flags.has(Flags::UNREF) {
            socket.flags.set(Flags::UNREF);
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
            .filter(|(_, entry)| matches!(entry, Entry::Listener(_) | Entry::Dial(_)))
            .map(|(id, _)| id)
            .collect();
        for id in listeners {
            self.end(id, CloseReason::Shutdown);
        }
        self.stopping = Stopping::Announced(self.later(deadline));
    }

    /// Marks for reaping. The first reason given stays.
    pub(super) fn end(&mut self, id: ConnId, reason: CloseReason) {
        match self.slots.get_mut(id) {
            None => {}
            Some(Entry::Dial(_)) => {
                let cancelled =
                    std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "cancelled");
                self.dial_failed(id, cancelled);
            }
            Some(Entry::Listener(listener)) if !listener.flags.has(Flags::DEAD) => {
                listener.flags.set(Flags::DEAD);
                self.dead.push_back(id);
            }
            Some(Entry::Stream(socket)) if !socket.flags.has(Flags::DEAD) => {
                if !socket.flags.has(Flags::CLOSING) {
                    socket.reason = reason;
                }
                socket.flags.set(Flags::DEAD);
                self.dead.push_back(id);
            }
            Some(_) => {}
        }
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
