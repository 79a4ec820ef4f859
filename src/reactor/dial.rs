//! Outgoing connections: begun here, finished by the loop.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::id::ConnId;

use super::config::Limits;
use super::driver::DriverId;
use super::hub::{Due, Entry, Errand, Hub, token};
use super::socket::{Flags, Socket};
use super::sys::Stream;
use super::timers::TimerId;

/// Patience with a dial that names none: enough for a few lost packets. Linux alone would try for
/// over two minutes (`tcp_syn_retries` 6).
const DEADLINE: Duration = Duration::from_secs(10);

/// Whom to connect to, and what to know when it has come about or failed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use switchboard::Dial;
///
/// let dial = Dial::tcp([([127, 0, 0, 1], 7000).into()])
///     .deadline(Duration::from_secs(2))
///     .ticket("the session that this is for");
/// ```
pub struct Dial {
    addresses: VecDeque<SocketAddr>,
    deadline: Duration,
    ticket: Option<Box<dyn Any>>,
    limits: Option<Limits>,
}

impl Dial {
    /// Connects by TCP to the first of these addresses that answers, tried in turn.
    pub fn tcp(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let addresses = addresses.into_iter().collect();
        Self {
            addresses,
            deadline: DEADLINE,
            ticket: None,
            limits: None,
        }
    }

    /// Gives up after this time, whatever the number of addresses. Default 10 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Something that comes back with the outcome, in
    /// [`Origin::Dialled`](crate::Origin::Dialled) or
    /// [`Driver::on_dial_failed`](crate::Driver::on_dial_failed).
    pub fn ticket(mut self, ticket: impl Any) -> Self {
        self.ticket = Some(Box::new(ticket));
        self
    }

    /// The limits of the connection, instead of [`Config::limits`](crate::Config::limits).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }
}

impl From<SocketAddr> for Dial {
    fn from(address: SocketAddr) -> Self {
        Self::tcp([address])
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// A connection that is being made.
pub(crate) struct Dialling {
    /// `None` between two addresses, and when it has failed.
    stream: Option<Stream>,
    pub(crate) flags: Flags,
    driver: DriverId,
    limits: Rc<Limits>,
    address: Option<SocketAddr>,
    /// Those not tried yet.
    addresses: VecDeque<SocketAddr>,
    patience: Duration,
    deadline: Option<TimerId>,
    ticket: Option<Box<dyn Any>>,
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
    ///
    /// Names are not resolved here, since that would block the loop.
    pub fn connect(&mut self, dial: impl Into<Dial>, driver: DriverId) -> ConnId {
        assert!(
            usize::from(driver.0) < self.framers.len(),
            "a driver of another reactor"
        );
        let dial = dial.into();
        let id = self.slots.insert(Entry::Dial(Box::new(Dialling {
            stream: None,
            flags: Flags::default(),
            driver,
            limits: Rc::new(dial.limits.unwrap_or(self.config.limits)),
            address: None,
            addresses: dial.addresses,
            patience: dial.deadline,
            deadline: self.deadlines.insert(
                self.later(dial.deadline),
                (self.slots.vacant_id(), Due::Patience),
            ),
            ticket: dial.ticket,
        })));
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to");
        self.dial_next(id, none);
        id
    }

    /// Tries the next address, and fails with the last error if there is none.
    fn dial_next(&mut self, id: ConnId, last: impl FnOnce() -> io::Error) {
        let mut last: Box<dyn FnOnce() -> io::Error + '_> = Box::new(last);
        loop {
            let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
                return;
            };
            let Some(address) = dialling.addresses.pop_front() else {
                return self.dial_failed(id, last());
            };
            dialling.address = Some(address);
            let begun = self.sys.connect(address).and_then(|stream| {
                let mut stream = Stream::Tcp(stream);
                self.sys.register(&self.registry, &mut stream, token(id))?;
                Ok(stream)
            });
            match begun {
                Ok(stream) => {
                    log::trace!("connect {id} to {address}");
                    dialling.stream = Some(stream);
                    return;
                }
                Err(error) => last = Box::new(move || error),
            }
        }
    }

    /// Looks how a dial stands after an event. True if the connection is made.
    pub(super) fn dial_progress(&mut self, id: ConnId) -> bool {
        let Some(Entry::Dial(dialling)) = self.slots.get_mut(id) else {
            return false;
        };
        dialling.flags.clear(Flags::QUEUED);
        let (Some(stream), Some(address)) = (&mut dialling.stream, dialling.address) else {
            return false;
        };
        if let Some(error) = stream.take_error() {
            stream.deregister(&self.registry);
            dialling.stream = None;
            self.dial_next(id, || error);
            return false;
        }
        // An event is a hint: without a peer the connection is not there yet.
        if !stream.is_connected() {
            return false;
        }
        let Some(stream) = dialling.stream.take() else {
            return false;
        };
        stream.set_nodelay();
        let mut socket = Socket::new(
            stream,
            Some(address),
            dialling.driver,
            Rc::clone(&dialling.limits),
            self.millis,
        );
        // What the events so far said of reading was not kept.
        socket.flags.set(Flags::READABLE);
        if let Some(deadline) = dialling.deadline {
            self.deadlines.cancel(deadline);
        }
        let (driver, ticket) = (dialling.driver, dialling.ticket.take());
        self.counts[usize::from(driver.0)] += 1;
        self.streams += 1;
        if let Some(entry) = self.slots.get_mut(id) {
            *entry = Entry::Stream(socket);
        }
        self.arm(id);
        self.ticket = ticket;
        true
    }

    /// The deadline of a dial has passed.
    pub(super) fn dial_timed_out(&mut self, id: ConnId) {
        let Some(Entry::Dial(dialling)) = self.slots.get(id) else {
            return;
        };
        let text = match dialling.address {
            Some(address) => format!("no answer from {address} within {:?}", dialling.patience),
            None => format!("no answer within {:?}", dialling.patience),
        };
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
        if let Some(mut stream) = dialling.stream.take() {
            stream.deregister(&self.registry);
        }
        if let Some(deadline) = dialling.deadline.take() {
            self.deadlines.cancel(deadline);
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

impl fmt::Debug for Dialling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialling")
            .field("address", &self.address)
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
