//! A listening socket in the reactor: who may come in, and what is kept in reserve.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::address::Address;
use super::config::Limits;
use super::driver::DriverId;
use super::listen::{Exhaustion, Listen};
use super::socket::Flags;
use super::stream::Acceptor;
#[cfg(feature = "tls")]
use super::tls;
use super::tls::Acceptance;
use super::unix::SocketFile;

/// A listening socket in the reactor.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) acceptor: Acceptor,
    pub(crate) flags: Flags,
    pub(crate) driver: DriverId,
    pub(crate) limits: Rc<Limits>,
    pub(crate) local_addr: Address,
    pub(crate) exhaustion: Exhaustion,
    /// What sessions of TLS are begun with.
    pub(crate) tls: Option<Acceptance>,
    /// The descriptor in reserve, with `Exhaustion::Shed`.
    pub(crate) reserve: Option<File>,
    max_connections: usize,
    max_per_source: Option<usize>,
    /// Connections open.
    open: usize,
    /// Connections open by source; kept only when there is a limit. The standard hash is keyed.
    sources: HashMap<IpAddr, usize>,
    /// When trouble was last logged, in milliseconds of the reactor's life.
    warned: Option<u64>,
    /// Calls of `accept` that have failed since one succeeded.
    pub(crate) failures: u32,
    /// Goes with the listener.
    _file: Option<SocketFile>,
}

impl Listener {
    pub(crate) fn open(listen: &Listen, driver: DriverId, limits: Rc<Limits>) -> io::Result<Self> {
        #[cfg(feature = "tls")]
        let tls = listen.tls.as_ref().map(tls::Server::build).transpose()?;
        #[cfg(not(feature = "tls"))]
        let tls = None;
        let (acceptor, file) = listen.open()?;
        let reserve = match listen.exhaustion {
            Exhaustion::Hold => None,
            Exhaustion::Shed => Some(open_reserve()?),
        };
        Ok(Self {
            local_addr: acceptor.local_addr()?,
            acceptor,
            flags: Flags::default(),
            driver,
            limits,
            exhaustion: listen.exhaustion,
            tls,
            reserve,
            max_connections: listen.max_connections.unwrap_or(usize::MAX),
            max_per_source: listen.max_per_source,
            open: 0,
            sources: HashMap::new(),
            warned: None,
            failures: 0,
            _file: file,
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open >= self.max_connections
    }

    /// Counts a connection in. False if its source holds its share already.
    pub(crate) fn admit(&mut self, peer: Option<SocketAddr>) -> bool {
        if let (Some(most), Some(peer)) = (self.max_per_source, peer) {
            let count = self.sources.entry(source(peer)).or_insert(0);
            if *count >= most {
                if *count == 0 {
                    self.sources.remove(&source(peer));
                }
                return false;
            }
            *count += 1;
        }
        self.open += 1;
        true
    }

    /// Counts a connection out.
    pub(crate) fn leave(&mut self, peer: Option<SocketAddr>) {
        self.open -= 1;
        if let (Some(peer), true) = (peer, self.max_per_source.is_some()) {
            let source = source(peer);
            if let Some(count) = self.sources.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.sources.remove(&source);
                }
            }
        }
    }

    /// Accepts by the descriptor in reserve and closes at once. False if there was nobody, or no
    /// reserve.
    pub(crate) fn shed(&mut self) -> bool {
        if self.reserve.take().is_none() {
            return false;
        }
        let shed = self.acceptor.accept().is_ok();
        self.reserve = open_reserve().ok();
        shed
    }

    /// True at most once a second, so that trouble does not flood the log.
    pub(crate) fn may_warn(&mut self, now: u64) -> bool {
        let may = self.warned.is_none_or(|warned| now >= warned + 1_000);
        if may {
            self.warned = Some(now);
        }
        may
    }
}

/// What counts as one source. Each IPv6 host commands the 2^64 addresses of its network.
fn source(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

fn open_reserve() -> io::Result<File> {
    File::open("/dev/null")
}
