//! Taking connections in from a listener, one at a time.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::id::ConnId;

use super::driver::DriverId;
use super::entry::Entry;
use super::hub::Hub;
use super::listen::Exhaustion;
use super::socket::{Flags, Socket};
use super::stream::Stream;

/// Failures in a row that pass for the misfortune of so many clients. After that it is the
/// listener's own, and it waits before it tries again.
const MOST_FAILURES: u32 = 64;

/// What came of one try to accept.
pub(super) enum Accepted {
    Opened(ConnId, DriverId),
    /// This client was turned away or had gone; the next one may be better off.
    Skipped,
    /// Nobody waits, or nobody can be taken in.
    Done,
}

impl Hub {
    /// Tries once.
    pub(super) fn accept(&mut self, id: ConnId) -> Accepted {
        let Some(Entry::Listener(listener)) = self.slots.get_mut(id) else {
            return Accepted::Done;
        };
        if listener.flags.has(Flags::DEAD) {
            return Accepted::Done;
        }
        if listener.is_full() {
            self.hold_listener(id);
            return Accepted::Done;
        }
        match self.sys.accept(&listener.acceptor) {
            Ok((stream, peer)) => self.take_in(id, stream, peer),
            Err(error) => self.accept_failed(id, &error),
        }
    }

    fn take_in(
        &mut self,
        listener_id: ConnId,
        stream: Stream,
        peer: Option<SocketAddr>,
    ) -> Accepted {
        let now = self.millis;
        let Some(Entry::Listener(listener)) = self.slots.get_mut(listener_id) else {
            return Accepted::Done;
        };
        listener.failures = 0;
        if !listener.admit(peer) {
            self.totals.refused += 1;
            if listener.may_warn(now) {
                log::warn!("refusing {peer:?}: its address holds as many connections as it may");
            }
            return Accepted::Skipped;
        }
        let (driver, limits) = (listener.driver, Rc::clone(&listener.limits));
        let tls = listener.tls.clone();
        let mut socket = Socket::new(stream, peer, driver, limits, now);
        socket.listener = Some(listener_id);
        if let Some(acceptance) = tls {
            return self.begin_handshake(socket, &acceptance);
        }
        match self.take_stream(socket) {
            Ok(id) => {
                log::trace!("accept {id} from {peer:?}");
                self.turn.accepts += 1;
                Accepted::Opened(id, driver)
            }
            Err(error) => {
                self.turn.accept_errors += 1;
                log::error!("cannot register the connection from {peer:?}: {error}");
                if let Some(Entry::Listener(listener)) = self.slots.get_mut(listener_id) {
                    listener.leave(peer);
                }
                Accepted::Skipped
            }
        }
    }

    fn accept_failed(&mut self, id: ConnId, error: &io::Error) -> Accepted {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Accepted::Done;
        }
        self.turn.accept_errors += 1;
        let now = self.millis;
        let Some(Entry::Listener(listener)) = self.slots.get_mut(id) else {
            return Accepted::Done;
        };
        let exhausted = matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        );
        if listener.may_warn(now) {
            log::warn!("accepting on {}: {error}", listener.local_addr);
        }
        listener.failures += 1;
        if !exhausted && listener.failures < MOST_FAILURES {
            // One client's misfortune (ECONNABORTED, EPROTO, EPERM): others wait behind it, and no
            // edge will come for them.
            return Accepted::Skipped;
        }
        if exhausted && listener.exhaustion == Exhaustion::Shed && listener.shed() {
            self.totals.refused += 1;
            return Accepted::Skipped;
        }
        if !listener.flags.has(Flags::STALLED) {
            listener.flags.set(Flags::STALLED);
            self.retry_later(id);
        }
        self.hold_listener(id);
        Accepted::Done
    }

    /// Lets a listener wait for a connection to close. The clients in its backlog will cause no
    /// further edge.
    fn hold_listener(&mut self, id: ConnId) {
        if !self.held_listeners.contains(&id) {
            self.held_listeners.push(id);
        }
    }
}
