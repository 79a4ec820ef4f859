//! The one seam through which every system call of a socket goes.
//!
//! In production each function is the call itself behind one test of a pointer. A test scripts what
//! the kernel would hardly ever say: no descriptors left, no buffers, an aborted connection, a
//! short write.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use mio::net::{TcpStream, UdpSocket, UnixStream};
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::{Domain, SockRef, Type};

use crate::id::ConnId;

use super::faults::{Call, Fault, Faults};
use super::hub::token;
use super::stream::{Acceptor, Stream};
use super::unix;

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

/// Where the flag does not exist, Rust's runtime ignores SIGPIPE anyway.
const NO_SIGNAL: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    libc::MSG_NOSIGNAL
} else {
    0
};
