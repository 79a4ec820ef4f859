//! Anything else that mio can poll: a pipe, a child's output, a timer descriptor, a device.
//!
//! # Examples
//!
//! ```
//! use std::io::{ErrorKind, Read, Write};
//! use mio::Interest;
//! use mio::unix::pipe;
//! use switchboard::{Config, ConnId, Hub, Reactor, Ready, source};
//!
//! struct App;
//!
//! impl source::Handler<pipe::Receiver> for App {
//!     fn on_ready(&mut self, hub: &mut Hub, _: ConnId, pipe: &mut pipe::Receiver, _: Ready) {
//!         let mut buffer = [0; 1024];
//!         loop {
//!             match pipe.read(&mut buffer) {
//!                 Ok(0) => return hub.stop(),
//!                 Ok(read) => println!("{}", buffer[..read].escape_ascii()),
//!                 Err(error) if error.kind() == ErrorKind::WouldBlock => return,
//!                 Err(error) => return println!("{error}"),
//!             }
//!         }
//!     }
//! }
//!
//! let mut reactor = Reactor::new(Config::default())?;
//! let pipes = reactor.add_driver(source::Sources::new());
//! let (mut sender, receiver) = pipe::new()?;
//! reactor.hub().watch(receiver, Interest::READABLE, pipes)?;
//! sender.write_all(b"from the other end")?;
//! drop(sender);
//! reactor.run(&mut App)?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use mio::event::Source;

use crate::id::ConnId;
use crate::reactor::{CloseReason, Driver, Hub, Origin};

pub use crate::reactor::Ready;

/// What an application does about its sources of type `S`.
pub trait Handler<S> {
    /// A source is ready, as far as can be told. Readiness is edge-triggered: read or write until
    /// `WouldBlock`, or ask to be called once more by [`Hub::again`].
    fn on_ready(&mut self, hub: &mut Hub, id: ConnId, source: &mut S, ready: Ready);

    /// The source was closed, by [`Hub::close`] or with the reactor.
    fn on_close(&mut self, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        let _ = (hub, id, reason);
    }
}

/// The driver of sources of type `S`, for the application's [`Handler`]. They are taken in by
/// [`Hub::watch`].
pub struct Sources<A, S>(PhantomData<fn(&mut A, &mut S)>);

impl<A: Handler<S>, S: Source + 'static> Sources<A, S> {
    /// The driver. It has no state.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Handler<S>, S: Source + 'static> Default for Sources<A, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Handler<S>, S: Source + 'static> Driver<A> for Sources<A, S> {
    fn on_open(&mut self, _: &mut A, _: &mut Hub, _: ConnId, _: Origin) {}

    /// A source has no stream that the reactor could read.
    fn on_data(&mut self, _: &mut A, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_ready(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        source: &mut dyn Any,
        ready: Ready,
    ) {
        match source.downcast_mut() {
            Some(source) => app.on_ready(hub, id, source, ready),
            None => log::error!("{id} is a source of another type than its driver's"),
        }
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        if reason != CloseReason::Panicked {
            app.on_close(hub, id, reason);
        }
    }
}

impl<A, S> fmt::Debug for Sources<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}
