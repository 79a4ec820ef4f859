//! Taking in: listeners, and streams that exist already.

use std::io;
use std::rc::Rc;

use mio::Interest;

use crate::id::ConnId;

use super::driver::{DriverId, Origin};
use super::entry::Entry;
use super::hub::{Errand, Hub, token};
use super::listen::{Listen, Listening};
use super::listener::Listener;
use super::socket::{Flags, Socket};
use super::stream::Adoptable;

impl Hub {
    /// Listens, and gives the connections to a driver.
    ///
    /// # Errors
    ///
    /// When the address is none, is in use, or an option is refused. The error says which address
    /// and why.
    pub fn listen(&mut self, listen: impl Into<Listen>, driver: DriverId) -> io::Result<Listening> {
        self.check_driver(driver);
        let listen = listen.into();
        let limits = Rc::new(listen.limits.unwrap_or(self.config.limits));
        let mut listener = Listener::open(&listen, driver, limits)?;
        let id = self.slots.vacant_id();
        let source = listener.acceptor.source();
        self.registry
            .register(source, token(id), Interest::READABLE)?;
        let local_addr = listener.local_addr.clone();
        log::info!("listening {} {local_addr}", listener.acceptor.protocol());
        self.slots.insert(Entry::Listener(Box::new(listener)));
        Ok(Listening { id, local_addr })
    }

    /// Has a listener begin the sessions of further clients with other certificates, or other options.
    /// Sessions that have begun stay as they are.
    ///
    /// # Errors
    ///
    /// When it does not fit together, or `id` is no listener that speaks TLS. All stays as it was.
    #[cfg(feature = "tls")]
    pub fn set_tls(&mut self, id: ConnId, server: &super::tls::Server) -> io::Result<()> {
        let acceptance = server.build()?;
        match self.slots.get_mut(id) {
            Some(Entry::Listener(listener)) if listener.tls.is_some() => {
                listener.tls = Some(acceptance);
                Ok(())
            }
            _ => {
                let text = format!("{id} is no listener that speaks TLS");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }

    /// Takes in a stream that exists already: one end of a pair, or what a parent process left us.
    /// The driver's `on_open` follows in the next turn, with [`Origin::Adopted`].
    ///
    /// # Errors
    ///
    /// When the poller refuses it.
    pub fn adopt(&mut self, stream: impl Into<Adoptable>, driver: DriverId) -> io::Result<ConnId> {
        self.check_driver(driver);
        let (stream, peer) = stream.into().open()?;
        let limits = Rc::new(self.config.limits);
        let mut socket = Socket::new(stream, peer, driver, limits, self.millis);
        socket.flags.set(Flags::UNOPENED);
        let id = self.take_stream(socket)?;
        self.errands
            .push_back(Errand::Opened(id, driver, Origin::Adopted));
        Ok(id)
    }
}
