//! Outgoing connections: begun here, finished by the loop.
//!
//! A name is resolved on a thread of the pool. Its addresses, or those given, are tried in turn: the
//! next one as soon as one fails, and also when one has not answered for a while, so that a dead
//! address costs a quarter of a second and not the whole deadline (happy eyeballs, RFC 8305). The
//! first that answers wins.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::id::ConnId;

use super::address::{Target, context, resolve};
use super::config::Limits;
use super::dial::{Dial, Way};
use super::driver::{DriverId, Origin};
use super::entry::Entry;
use super::handshake::Handshake;
use super::hub::{Due, Errand, Hub, token};
use super::life::Life;
use super::session::Datagrams;
use super::socket::{Flags, Socket};
use super::stream::Stream;
use super::timers::TimerId;
use super::tls::Session;

/// How long an address may keep the next one waiting: RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long a full backlog is left alone. Linux does not announce when there is room.
const BACKLOG_DELAY: Duration = Duration::from_millis(10);

/// A connection that is being made.
pub(crate) struct Dialling {
    way: Way,
    /// The name, while it is being resolved.
    resolving: Option<String>,
    /// Those not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// Those that have yet to answer.
    attempts: Vec<(Option<SocketAddr>, Stream)>,
    /// When the next one is due.
    next: Option<TimerId>,
    /// Why the last one failed.
    error: Option<io::Error>,
    pub(crate) flags: Flags,
    driver: DriverId,
    limits: Rc<Limits>,
    local: Option<SocketAddr>,
    patience: Duration,
    deadline: Option<TimerId>,
    ticket: Option<Box<dyn Any>>,
    tls: Option<Box<Session>>,
}

/// A dial that came to nothing, on its way to the driver.
pub(crate) struct Failure {
    pub(crate) id: ConnId,
    pub(crate) driver: DriverId,
    pub(crate) ticket: Option<Box<dyn Any>>,
    pub(crate) error: io::Error,
}

impl Hub {
    /// Begins to connect, and gives the connection to `driver`: its `on_open` or `on_dial_failed`
    /// follows in a later turn, never at once. Closing the id before that cancels the dial.
    pub fn connect(&mut self, dial: impl Into<Dial>, driver: DriverId) -> ConnId {
        self.check_driver(driver);
        let dial = dial.into();
        let deadline = self.later(dial.deadline);
        let limits = dial.limits.unwrap_or(Limits {
            full_duplex: true,
            ..self.config.limits
        });
        let id = self.slots.vacant_id();
        let (addresses, name) = match dial.target {
            Target::Ip(addresses) => (addresses.into(), None),
            Target::Name(name) => (VecDeque::new(), Some(name)),
        };
        self.slots.insert(Entry::Dial(Box::new(Dialling {
            way: dial.way,
            resolving: name.clone(),
            addresses,
            attempts: Vec::new(),
            next: None,
            error: dial.error,
            flags: Flags::default(),
            driver,
            limits: Rc::new(limits),
            local: dial.local,
            patience: dial.deadline,
            deadline: self.deadlines.insert(deadline, (id, Due::Patience)),
            ticket: dial.ticket,
            tls: dial.tls,
        })));
        match name {
            Some(name) => self.dial_name(id, name),
            None => self.dial_next(id),
        }
        id
    }

    /// Has a name resolved, and dials its addresses.
    fn dial_name(&mut self, id: ConnId, name: String) {
        let work = move || resolve(&name);
        let then = move |hub: &mut Self, resolved: io::Result<Vec<SocketAddr>>| {
            let Some(Entry::Dial(dialling)) = hub.slots.get_mut(id) else {
                return;
            };
            dialling.resolving = None;
            match resolved {
                Ok(addresses) => {
                    dialling.addresses = interleave(addresses);
                    hub.dial_next(id);
                }
                Err(error) => hub.dial_failed(id, error),
            }
        };
        if let Err(error) = self.spawn_blocking(work, then) {
            self.dial_failed(id, context(&error, "cannot resolve the name"));
        }
    }

    /// Tries the next address. Fails with the last error if there is none, and none to wait for.
    fn dial_next(&mut self, id: ConnId) {
        loop {
            let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
                return;
            };
            if dialling.flags.has(Flags::DEAD) {
                return;
            }
            if let Some(next) = dialling.next.take() {
                self.deadlines.cancel(next);
            }
            if let Way::Unix(path) = &dialling.way {
                let path = path.clone();
                return self.dial_path(id, path);
            }
            let Some(address) = dialling.addresses.pop_front() else {
                if dialling.attempts.is_empty() {
                    let error = dialling.error.take().unwrap_or_else(|| {
                        io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to")
                    });
                    self.dial_failed(id, error);
                }
                return;
            };
            let begun = match dialling.way {
                Way::Udp => self.dial_datagrams(id, address),
                _ => self.dial_address(id, address),
            };
            match begun {
                Ok(()) => return,
                Err(error) => self.attempt_failed(id, Some(address), &error),
            }
        }
    }

    fn dial_address(&mut self, id: ConnId, address: SocketAddr) -> io::Result<()> {
        let later = self.later(ATTEMPT_DELAY);
        let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
            return Ok(());
        };
        let mut stream = Stream::Tcp(self.sys.connect(address, dialling.local)?);
        self.sys.register(&self.registry, &mut stream, token(id))?;
        log::trace!("connect {id} to {address}");
        dialling.attempts.push((Some(address), stream));
        if !dialling.addresses.is_empty() {
            dialling.next = self.deadlines.insert(later, (id, Due::Retry));
        }
        Ok(())
    }

    /// A path answers at once, or its backlog is full.
    fn dial_path(&mut self, id: ConnId, path: PathBuf) {
        let later = self.later(BACKLOG_DELAY);
        let connected = self.sys.connect_unix(&path).and_then(|stream| {
            let mut stream = Stream::Unix(stream);
            self.sys.register(&self.registry, &mut stream, token(id))?;
            Ok(stream)
        });
        let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
            return;
        };
        match connected {
            Ok(stream) => {
                log::trace!("connect {id} to {}", path.display());
                dialling.attempts.push((None, stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                dialling.next = self.deadlines.insert(later, (id, Due::Retry));
            }
            Err(error) => {
                let what = format!("cannot connect to unix {}", path.display());
                self.dial_failed(id, context(&error, &what));
            }
        }
    }

    /// A datagram socket is connected as soon as it knows its peer.
    fn dial_datagrams(&mut self, id: ConnId, address: SocketAddr) -> io::Result<()> {
        let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
            return Ok(());
        };
        let mut socket = self.sys.connect_datagrams(address, dialling.local)?;
        self.sys
            .register_datagrams(&self.registry, &mut socket, id)?;
        let (driver, ticket) = (dialling.driver, dialling.ticket.take());
        let life = Life::new(Rc::clone(&dialling.limits), self.millis);
        if let Some(deadline) = dialling.deadline {
            self.deadlines.cancel(deadline);
        }
        let datagrams = Datagrams::new(socket, Some(address), driver, life);
        if let Some(entry) = self.slots.get_mut(id) {
            *entry = Entry::Datagrams(Box::new(datagrams));
        }
        self.count_in(driver);
        self.arm(id);
        let origin = Origin::Dialled { ticket };
        self.errands.push_back(Errand::Opened(id, driver, origin));
        Ok(())
    }

    fn attempt_failed(&mut self, id: ConnId, address: Option<SocketAddr>, error: &io::Error) {
        if let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) {
            let whom = dialling.whom(address);
            dialling.error = Some(context(error, &format!("cannot connect to {whom}")));
        }
    }

    /// Looks how a dial stands after an event: if a connection is made, for its `on_open`.
    pub(super) fn dial_progress(&mut self, id: ConnId) -> Option<Origin> {
        let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
            return None;
        };
        let (mut made, mut failed) = (None, Vec::new());
        for (address, mut stream) in std::mem::take(&mut dialling.attempts) {
            if let Some(error) = stream.take_error() {
                stream.deregister(&self.registry);
                failed.push((address, error));
            } else if made.is_some() {
                stream.deregister(&self.registry);
            } else if stream.is_connected() {
                made = Some((address, stream));
            } else {
                // An event is a hint: without a peer the connection is not there yet.
                dialling.attempts.push((address, stream));
            }
        }
        let Some((address, stream)) = made else {
            let any = !failed.is_empty();
            for (address, error) in failed {
                self.attempt_failed(id, address, &error);
            }
            if any {
                self.dial_next(id);
            }
            return None;
        };
        for (_, stream) in &mut dialling.attempts {
            stream.deregister(&self.registry);
        }
        stream.set_nodelay();
        let limits = Rc::clone(&dialling.limits);
        let mut socket = Socket::new(stream, address, dialling.driver, limits, self.millis);
        // What the events so far said of reading, and of its end, was not kept.
        socket.flags.set(Flags::READABLE);
        socket.flags.set(Flags::URGENT);
        if let Some(next) = dialling.next {
            self.deadlines.cancel(next);
        }
        let (driver, ticket) = (dialling.driver, dialling.ticket.take());
        let (patience, deadline) = (dialling.patience, dialling.deadline);
        if let Some(session) = dialling.tls.take() {
            socket.secure(session);
            let handshake = Handshake::dialled(socket, patience, deadline, ticket);
            if let Some(entry) = self.slots.get_mut(id) {
                *entry = Entry::Handshake(Box::new(handshake));
            }
            self.queue(id);
            return None;
        }
        if let Some(deadline) = deadline {
            self.deadlines.cancel(deadline);
        }
        self.count_in(driver);
        if let Some(entry) = self.slots.get_mut(id) {
            *entry = Entry::Stream(socket);
        }
        self.arm(id);
        Some(Origin::Dialled { ticket })
    }

    /// An address has kept the next one waiting long enough, or a backlog may have room.
    pub(super) fn dial_retry(&mut self, id: ConnId, timer: TimerId) {
        match self.slots.get_mut(id) {
            Some(Entry::Dial(dialling)) if dialling.next == Some(timer) => {
                dialling.next = None;
                self.dial_next(id);
            }
            _ => {}
        }
    }

    /// The deadline of a dial has passed.
    pub(super) fn dial_timed_out(&mut self, id: ConnId) {
        let Some(Entry::Dial(dialling)) = self.slots.get(id) else {
            return;
        };
        let whom = match (&dialling.resolving, dialling.attempts.last()) {
            (Some(name), _) => format!("the resolver about `{}`", name.escape_debug()),
            (None, Some((address, _))) => dialling.whom(*address),
            (None, None) => dialling.whom(None),
        };
        let text = format!("no answer from {whom} within {:?}", dialling.patience);
        self.dial_failed(id, io::Error::new(io::ErrorKind::TimedOut, text));
    }

    /// Ends a dial. The driver is told in a later turn; the slot is free from then on.
    pub(super) fn dial_failed(&mut self, id: ConnId, error: io::Error) {
        let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
            return;
        };
        if dialling.flags.has(Flags::DEAD) {
            return;
        }
        dialling.flags.set(Flags::DEAD);
        for (_, mut stream) in std::mem::take(&mut dialling.attempts) {
            stream.deregister(&self.registry);
        }
        for timer in [dialling.deadline, dialling.next].into_iter().flatten() {
            self.deadlines.cancel(timer);
        }
        let (driver, ticket) = (dialling.driver, dialling.ticket.take());
        self.errands.push_back(Errand::DialFailed(Box::new(Failure {
            id,
            driver,
            ticket,
            error,
        })));
    }
}

/// The error of a dial whose id was closed.
pub(super) fn cancelled() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cancelled")
}

impl Dialling {
    /// Who is to answer, for an error.
    fn whom(&self, address: Option<SocketAddr>) -> String {
        match (&self.way, address) {
            (Way::Unix(path), _) => format!("unix {}", path.display()),
            (Way::Udp, Some(address)) => format!("udp {address}"),
            (_, Some(address)) => format!("tcp {address}"),
            (_, None) => "anybody".to_owned(),
        }
    }
}

/// Lets the families take turns, beginning with that of the first address: RFC 8305, section 4.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first = addresses.first().map(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| Some(address.is_ipv6()) == first);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let pair = [same.next(), other.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

impl fmt::Debug for Dialling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialling")
            .field("way", &self.way)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("id", &self.id)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let read = |text: &str| -> Vec<SocketAddr> {
            let words = text.split(' ').filter(|word| !word.is_empty());
            words
                .map(|word| word.parse().expect("an address"))
                .collect()
        };
        for (given, expected) in [
            ("", ""),
            ("1.1.1.1:1", "1.1.1.1:1"),
            (
                "[::1]:1 [::2]:1 1.1.1.1:1 2.2.2.2:1 3.3.3.3:1",
                "[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 3.3.3.3:1",
            ),
            ("1.1.1.1:1 2.2.2.2:1 [::1]:1", "1.1.1.1:1 [::1]:1 2.2.2.2:1"),
        ] {
            assert_eq!(interleave(read(given)), read(expected));
        }
    }
}
