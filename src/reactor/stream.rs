//! Streams and what they are accepted from: TCP or the Unix domain, behind one face.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::address::Address;
use super::look::Protocol;

/// As tokio has it for epoll and kqueue.
const SHORT_READ_MEANS_DRAINED: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
));

/// The byte stream of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What connections are accepted from.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => Address::Ip(listener.local_addr()?),
            Self::Unix(listener) => Address::from_unix(&listener.local_addr()?),
        })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp(_) => Protocol::Tcp,
            Self::Unix(_) => Protocol::Unix,
        }
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept()?.0), None)),
        }
    }

    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        }
    }
}

/// A stream of the standard library that a reactor can take in. Made by `From`, and put into
/// non-blocking mode.
#[derive(Debug)]
pub struct Adoptable(Ready);

#[derive(Debug)]
enum Ready {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Adoptable {
    pub(crate) fn open(self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self.0 {
            Ready::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                let peer = stream.peer_addr().ok();
                Ok((Stream::Tcp(TcpStream::from_std(stream)), peer))
            }
            Ready::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Ok((Stream::Unix(UnixStream::from_std(stream)), None))
            }
        }
    }
}

impl From<std::net::TcpStream> for Adoptable {
    fn from(stream: std::net::TcpStream) -> Self {
        Self(Ready::Tcp(stream))
    }
}

impl From<std::os::unix::net::UnixStream> for Adoptable {
    fn from(stream: std::os::unix::net::UnixStream) -> Self {
        Self(Ready::Unix(stream))
    }
}

impl Stream {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp(_) => Protocol::Tcp,
            Self::Unix(_) => Protocol::Unix,
        }
    }

    /// True if a short read means that the receive queue is empty. Ancillary data splits reads of
    /// Unix sockets, and other systems may return less than there is.
    #[inline]
    pub(crate) fn short_read_means_drained(&self) -> bool {
        SHORT_READ_MEANS_DRAINED && matches!(self, Self::Tcp(_))
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// True once the kernel knows a peer: `ENOTCONN` means that a connection is still being made.
    pub(crate) fn is_connected(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.peer_addr().is_ok(),
            Self::Unix(stream) => stream.peer_addr().is_ok(),
        }
    }

    /// As for accepted connections; one that is reset already will tell so itself.
    pub(crate) fn set_nodelay(&self) {
        if let Self::Tcp(stream) = self {
            if let Err(error) = stream.set_nodelay(true) {
                log::debug!("nodelay: {error}");
            }
        }
    }

    /// Sends FIN. The peer may be gone already, which is no news to anybody.
    pub(crate) fn shutdown_write(&self) {
        let result = match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
        if let Err(error) = result {
            log::trace!("shutdown: {error}");
        }
    }

    /// Makes the closing that follows a reset: the peer learns at once that nothing more comes. A
    /// Unix socket has no FIN to wait for, and needs none of this.
    pub(crate) fn reset_on_close(&self) {
        let result = match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Self::Unix(_) => Ok(()),
        };
        if let Err(error) = result {
            log::trace!("linger: {error}");
        }
    }

    /// The error that an error event stands for.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        match self {
            Self::Tcp(stream) => stream.take_error().ok().flatten(),
            Self::Unix(stream) => stream.take_error().ok().flatten(),
        }
    }

    pub(crate) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    /// Closing alone would do, were it not for a descriptor that a forked child has inherited.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        let result = match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
        };
        if let Err(error) = result {
            log::debug!("deregister: {error}");
        }
    }
}
