//! Anything else that mio can poll, with a driver of its own.

use std::any::Any;
use std::fmt;
use std::io;

use mio::event::{Event, Source};
use mio::{Interest, Registry};

use crate::id::ConnId;

use super::driver::{CloseReason, DriverId, Origin};
use super::entry::Entry;
use super::hub::{Errand, Hub, token};
use super::socket::Flags;

/// What an event said of a source. All of it is a hint: only a call that returns `WouldBlock` is
/// certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The other side may have finished writing.
    pub read_closed: bool,
    /// The other side may have stopped reading.
    pub write_closed: bool,
    /// Something may have failed.
    pub error: bool,
}

/// A source that the reactor owns, and lends to its driver when it is ready.
pub(crate) struct Watched {
    /// `None` while it is lent.
    pub(crate) source: Option<Box<dyn AnySource>>,
    pub(crate) flags: Flags,
    pub(crate) driver: DriverId,
    pub(crate) reason: CloseReason,
    /// What events have said since it was lent last.
    pub(crate) ready: Ready,
}

/// A source whose type its driver knows.
pub(crate) trait AnySource: Any {
    fn as_any(&mut self) -> &mut dyn Any;
    fn as_source(&mut self) -> &mut dyn Source;
}

impl<S: Source + Any> AnySource for S {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn as_source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Hub {
    /// Takes in any source that mio can poll: a pipe, a child's output, a descriptor by `SourceFd`.
    /// Its driver's [`on_ready`](crate::Driver::on_ready) is called when it is ready, and lent the
    /// source; [`source::Sources`](crate::source::Sources) is such a driver.
    ///
    /// Readiness is edge-triggered: what is not read to `WouldBlock` is not announced again, unless
    /// by [`again`](Self::again).
    ///
    /// # Errors
    ///
    /// When the poller refuses it, as Linux's does a regular file.
    pub fn watch(
        &mut self,
        mut source: impl Source + 'static,
        interest: Interest,
        driver: DriverId,
    ) -> io::Result<ConnId> {
        self.check_driver(driver);
        let id = self.slots.vacant_id();
        self.registry.register(&mut source, token(id), interest)?;
        let mut flags = Flags::default();
        flags.set(Flags::UNOPENED);
        let watched = Watched {
            source: Some(Box::new(source)),
            flags,
            driver,
            reason: CloseReason::Local,
            ready: Ready::default(),
        };
        self.insert(Entry::Watched(Box::new(watched)), driver);
        self.errands
            .push_back(Errand::Opened(id, driver, Origin::Watched));
        Ok(id)
    }

    /// Has `on_ready` called once more in the next turn, for a source that was not read to
    /// `WouldBlock`.
    pub fn again(&mut self, id: ConnId) {
        if let Some(Entry::Watched(_)) = self.slots.get(id) {
            self.queue(id);
        }
    }
}

impl Watched {
    /// Remembers what an event said. There is always something to do about it.
    pub(crate) fn mark(&mut self, event: &Event) -> bool {
        self.ready.readable |= event.is_readable();
        self.ready.writable |= event.is_writable();
        self.ready.read_closed |= event.is_read_closed();
        self.ready.write_closed |= event.is_write_closed();
        self.ready.error |= event.is_error();
        true
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        let Some(source) = &mut self.source else {
            return;
        };
        if let Err(error) = registry.deregister(source.as_source()) {
            log::debug!("deregister: {error}");
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}
