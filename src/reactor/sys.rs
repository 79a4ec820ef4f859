//! The one seam through which every system call of a socket goes.
//!
//! In production each function is the call itself behind one test of a pointer. A test scripts what
//! the kernel would hardly ever say: no descriptors left, no buffers, an aborted connection, a
//! short write.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::{Domain, SockRef, Type};

use crate::id::ConnId;

use super::address::Address;
use super::hub::{Protocol, token};
use super::unix;

/// A system call that [`Faults`] can script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `accept4`
    Accept,
    /// `connect`
    Connect,
    /// `epoll_wait`
    Poll,
    /// `recv`
    Receive,
    /// `epoll_ctl(EPOLL_CTL_ADD)`
    Register,
    /// `send` and `sendmsg`
    Send,
}

/// What a scripted call does instead of, or with, the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Fails with this error number and leaves the kernel alone.
    Errno(i32),
    /// Makes the real call with at most this many bytes. A short write is taken for a full socket:
    /// what is left waits for an edge.
    Short(usize),
    /// Makes the real call: a place in a script where nothing goes wrong.
    Pass,
}

/// A script of faults for the system calls of one reactor, and a count of them. For tests.
///
/// # Examples
///
/// ```
/// use switchboard::testing::{Call, Fault, Faults};
/// use switchboard::{Config, Reactor};
///
/// let faults = Faults::default();
/// faults.next(Call::Accept, Fault::Errno(libc::EMFILE));
/// let config = Config { faults: Some(faults.clone()), ..Config::default() };
/// let reactor: Reactor<()> = Reactor::new(config)?;
/// assert_eq!(faults.count(Call::Accept), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Rc<RefCell<Script>>);

#[derive(Debug, Default)]
struct Script {
    next: HashMap<Call, VecDeque<Fault>>,
    always: HashMap<Call, Fault>,
    counts: HashMap<Call, usize>,
}

impl Faults {
    /// Adds a fault for one call, behind those that are scripted for it already.
    pub fn next(&self, call: Call, fault: Fault) {
        self.0
            .borrow_mut()
            .next
            .entry(call)
            .or_default()
            .push_back(fault);
    }

    /// Lets every call meet this fault for which no single one is scripted, until
    /// [`clear`](Self::clear).
    pub fn always(&self, call: Call, fault: Fault) {
        self.0.borrow_mut().always.insert(call, fault);
    }

    /// Forgets what is scripted for `call`.
    pub fn clear(&self, call: Call) {
        let mut script = self.0.borrow_mut();
        script.next.remove(&call);
        script.always.remove(&call);
    }

    /// How often `call` was made, scripted or not.
    pub fn count(&self, call: Call) -> usize {
        self.0.borrow().counts.get(&call).copied().unwrap_or(0)
    }

    fn meet(&self, call: Call) -> Fault {
        let script = &mut *self.0.borrow_mut();
        *script.counts.entry(call).or_default() += 1;
        let scripted = script.next.get_mut(&call).and_then(VecDeque::pop_front);
        scripted
            .or_else(|| script.always.get(&call).copied())
            .unwrap_or(Fault::Pass)
    }
}

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

/// The system calls of one reactor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sys(Option<Faults>);

impl Sys {
    pub(crate) fn new(faults: Option<Faults>) -> Self {
        Self(faults)
    }

    pub(crate) fn poll(
        &self,
        poll: &mut Poll,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.limit(Call::Poll, 0)?;
        poll.poll(events, timeout)?;
        log::trace!("poll: {} events", events.iter().count());
        Ok(())
    }

    pub(crate) fn accept(&self, acceptor: &Acceptor) -> io::Result<(Stream, Option<SocketAddr>)> {
        self.limit(Call::Accept, 0)?;
        acceptor.accept()
    }

    /// Begins to connect, from a certain address of ours if one is given.
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<TcpStream> {
        self.limit(Call::Connect, 0)?;
        let Some(local) = local else {
            return TcpStream::connect(address);
        };
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&local.into())?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }

    /// Connects without blocking. `WouldBlock` if the backlog there is full.
    pub(crate) fn connect_unix(&self, path: &Path) -> io::Result<UnixStream> {
        self.limit(Call::Connect, 0)?;
        unix::connect(path).map(UnixStream::from_std)
    }

    /// Makes a UDP socket that exchanges datagrams with one peer. Nothing is sent.
    pub(crate) fn connect_datagrams(
        &self,
        address: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<UdpSocket> {
        self.limit(Call::Connect, 0)?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local.unwrap_or(any))?;
        socket.connect(address)?;
        Ok(socket)
    }

    pub(crate) fn register_datagrams(
        &self,
        registry: &Registry,
        socket: &mut UdpSocket,
        id: ConnId,
    ) -> io::Result<()> {
        self.limit(Call::Register, 0)?;
        registry.register(socket, token(id), Interest::READABLE)
    }

    /// Has the poller say when there is room, or no longer. Datagrams are unlike streams: the
    /// kernel reports room after each one that has left, which would wake the loop for nothing.
    pub(crate) fn report_room(
        registry: &Registry,
        socket: &mut UdpSocket,
        id: ConnId,
        wanted: bool,
    ) -> io::Result<()> {
        let interest = if wanted {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        registry.reregister(socket, token(id), interest)
    }

    #[inline]
    pub(crate) fn receive_from(
        &self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr)> {
        let most = self.limit(Call::Receive, buffer.len())?;
        socket.recv_from(&mut buffer[..most])
    }

    /// `to` is needed unless the socket is connected.
    #[inline]
    pub(crate) fn send_datagram(
        &self,
        socket: &UdpSocket,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        self.limit(Call::Send, data.len())?;
        match to {
            Some(to) => socket.send_to(data, to).map(drop),
            None => socket.send(data).map(drop),
        }
    }

    /// Registers for both directions and urgent data, once and for ever: edges need no re-arming.
    pub(crate) fn register(
        &self,
        registry: &Registry,
        stream: &mut Stream,
        token: Token,
    ) -> io::Result<()> {
        self.limit(Call::Register, 0)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let interest = interest | Interest::PRIORITY;
        stream.register(registry, token, interest)
    }

    #[inline]
    pub(crate) fn receive(&self, stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.limit(Call::Receive, buffer.len())?;
        match stream {
            Stream::Tcp(stream) => (&mut &*stream).read(&mut buffer[..most]),
            Stream::Unix(stream) => (&mut &*stream).read(&mut buffer[..most]),
        }
    }

    #[inline]
    pub(crate) fn send(&self, stream: &Stream, data: &[u8]) -> io::Result<usize> {
        let most = self.limit(Call::Send, data.len())?;
        match stream {
            // std sends with MSG_NOSIGNAL: a peer that has gone is an error here, not a signal.
            Stream::Tcp(stream) => (&mut &*stream).write(&data[..most]),
            Stream::Unix(stream) => (&mut &*stream).write(&data[..most]),
        }
    }

    /// `write_vectored` would be `writev`, which raises SIGPIPE on a dead peer; `sendmsg` takes a
    /// flag against it.
    pub(crate) fn send_gathered(
        &self,
        stream: &Stream,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let total = slices.iter().map(|slice| slice.len()).sum();
        let most = self.limit(Call::Send, total)?;
        if most < total {
            return self.send(stream, &slices[0][..most.min(slices[0].len())]);
        }
        match stream {
            Stream::Tcp(stream) => {
                SockRef::from(stream).send_vectored_with_flags(slices, NO_SIGNAL)
            }
            Stream::Unix(stream) => {
                SockRef::from(stream).send_vectored_with_flags(slices, NO_SIGNAL)
            }
        }
    }

    /// The number of bytes that the script lets this call have, of the `wanted` ones.
    #[inline]
    fn limit(&self, call: Call, wanted: usize) -> io::Result<usize> {
        let Some(faults) = &self.0 else {
            return Ok(wanted);
        };
        match faults.meet(call) {
            Fault::Errno(number) => Err(io::Error::from_raw_os_error(number)),
            Fault::Short(most) => Ok(wanted.min(most)),
            Fault::Pass => Ok(wanted),
        }
    }
}

/// As tokio has it for epoll and kqueue.
const SHORT_READ_MEANS_DRAINED: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
));

/// Where the flag does not exist, Rust's runtime ignores SIGPIPE anyway.
const NO_SIGNAL: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    libc::MSG_NOSIGNAL
} else {
    0
};

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

    fn register(
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
