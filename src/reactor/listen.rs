//! Where to listen, with every option of a listening socket.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::id::ConnId;

use super::address::{Address, Target, context};
use super::config::Limits;
use super::options::Options;
use super::stream::Acceptor;
#[cfg(feature = "tls")]
use super::tls;
use super::unix::{self, SocketFile};

/// An address to listen on, and how.
///
/// `"127.0.0.1:5000"` alone is the short form wherever an `impl Into<Listen>` is asked for. Options
/// that a peer of the connection sees (`nodelay`, keepalive, buffer sizes) are set on the listener,
/// whence the kernel copies them to each connection that it accepts: no system call per connection
/// is spent on them.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Limits, Listen};
///
/// let listen = Listen::tcp("[::1]:0")
///     .backlog(128)
///     .keepalive(Some(Duration::from_secs(60)))
///     .max_connections(10_000)
///     .max_per_source(100)
///     .limits(Limits { idle_timeout: Some(Duration::from_secs(10)), ..Limits::default() });
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    place: Place,
    backlog: i32,
    options: Options,
    nodelay: bool,
    keepalive: Option<TcpKeepalive>,
    user_timeout: Option<Duration>,
    mode: Option<u32>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_per_source: Option<usize>,
    pub(crate) exhaustion: Exhaustion,
    pub(crate) limits: Option<Limits>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tls::Server>,
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(Target),
    Unix(PathBuf),
    ReadyTcp(Arc<std::net::TcpListener>),
    ReadyUnix(Arc<UnixListener>),
}

/// What a listener does when the system has no descriptor left for the next connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exhaustion {
    /// Clients wait in the backlog until a connection closes or
    /// [`Config::retry_after`](crate::Config::retry_after) has passed. The default: nobody is
    /// turned away whom a moment's patience would serve.
    #[default]
    Hold,
    /// Clients are accepted by a descriptor kept in reserve, and closed at once: they learn that
    /// they must go elsewhere. The trick is libuv's.
    Shed,
}

/// A listener that accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Names the listener; closing it stops the listening and leaves its connections alone.
    pub id: ConnId,
    /// The address, with the port that the system chose where 0 was asked for.
    pub local_addr: Address,
}

impl Listen {
    /// Listens for TCP on `address`: `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`, or `:5000`
    /// for all interfaces by IPv4. A name is resolved when listening begins, and the first of its
    /// addresses that can be bound is taken.
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::at(Place::Tcp(Target::read(address.into())))
    }

    /// Listens at a path of the Unix domain, or with `@name` in Linux's abstract namespace.
    ///
    /// The file at the path is removed when the listener closes. One that is there already is
    /// removed if it is a socket at which nobody listens any more, as a crash leaves it behind;
    /// anything else in the way is an error.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Unix(path.into()))
    }

    const fn at(place: Place) -> Self {
        Self {
            place,
            backlog: 1024,
            options: Options::new(true),
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            mode: None,
            max_connections: None,
            max_per_source: None,
            exhaustion: Exhaustion::Hold,
            limits: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Connections that the kernel completes and keeps for us until they are accepted:
    /// `listen(2)`'s argument. This is no limit of connections. Default 1,024; Linux caps it at
    /// `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }

    /// `SO_REUSEADDR`: a restarted server may bind while old connections linger in TIME_WAIT.
    /// Default on.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.options.reuse_address = on;
        self
    }

    /// `SO_REUSEPORT`: several processes may listen on one port and share its clients. Default off.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.options.reuse_port = on;
        self
    }

    /// `TCP_NODELAY`: small messages leave at once (no Nagle). Default on, since the reactor
    /// gathers writes itself.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// `SO_KEEPALIVE` with the first probe after this much silence. Default off; see
    /// [`keepalive_probes`](Self::keepalive_probes) for the rest of its times.
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = after.map(|after| TcpKeepalive::new().with_time(after));
        self
    }

    /// The time between keepalive probes and how many may stay unanswered. Turns keepalive on.
    pub fn keepalive_probes(mut self, interval: Duration, retries: u32) -> Self {
        let keepalive = self.keepalive.unwrap_or_else(TcpKeepalive::new);
        self.keepalive = Some(keepalive.with_interval(interval).with_retries(retries));
        self
    }

    /// `SO_RCVBUF` in bytes. The default leaves the size to the kernel, which adapts it.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.options.receive_buffer = Some(bytes);
        self
    }

    /// `SO_SNDBUF` in bytes. The default leaves the size to the kernel, which adapts it.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.options.send_buffer = Some(bytes);
        self
    }

    /// `IPV6_V6ONLY`: whether `[::]` takes IPv4 clients too. The default is the system's.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.options.only_v6 = Some(on);
        self
    }

    /// `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged before the kernel gives the
    /// peer up. Linux only; elsewhere listening fails. The default is the system's, about 15
    /// minutes.
    pub fn user_timeout(mut self, patience: Duration) -> Self {
        self.user_timeout = Some(patience);
        self
    }

    /// `SO_BINDTODEVICE`: serves only what arrives through this interface. Linux only; elsewhere
    /// listening fails.
    pub fn bind_device(mut self, interface: impl Into<String>) -> Self {
        self.options.bind_device = Some(interface.into());
        self
    }

    /// Connections of this listener open at a time. Further clients wait in the backlog. Default:
    /// no limit but the system's.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Connections open at a time from one source: an IPv4 address, or an IPv6 network of 64 bits,
    /// since one host commands a whole one. Further ones are accepted and closed at once. Default:
    /// no limit.
    pub fn max_per_source(mut self, connections: usize) -> Self {
        self.max_per_source = Some(connections);
        self
    }

    /// What to do when the system has no descriptors left.
    pub fn exhaustion(mut self, policy: Exhaustion) -> Self {
        self.exhaustion = policy;
        self
    }

    /// The limits of this listener's connections, instead of
    /// [`Config::limits`](crate::Config::limits).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The mode bits of a path's file, such as `0o660`: who may connect, as Linux has it. Default:
    /// those that the process's umask leaves. Means nothing by TCP.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Speaks TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, server: tls::Server) -> Self {
        self.tls = Some(server);
        self
    }

    /// Creates, sets up and binds the socket, and listens. With the file that goes with it.
    pub(crate) fn open(&self) -> io::Result<(Acceptor, Option<SocketFile>)> {
        match &self.place {
            Place::Tcp(target) => Ok((self.open_tcp(target)?, None)),
            Place::Unix(path) => self.open_unix(path).map_err(|error| {
                context(&error, &format!("cannot listen on unix {}", path.display()))
            }),
            Place::ReadyTcp(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                Ok((
                    Acceptor::Tcp(mio::net::TcpListener::from_std(listener)),
                    None,
                ))
            }
            Place::ReadyUnix(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                Ok((
                    Acceptor::Unix(mio::net::UnixListener::from_std(listener)),
                    None,
                ))
            }
        }
    }

    fn open_tcp(&self, target: &Target) -> io::Result<Acceptor> {
        let mut last = None;
        let addresses = target.resolve();
        for address in addresses.map_err(|error| context(&error, "cannot listen on tcp"))? {
            match self.bind(address) {
                Ok(acceptor) => return Ok(acceptor),
                Err(error) => {
                    last = Some(context(&error, &format!("cannot listen on tcp {address}")));
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Acceptor> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        log::trace!("socket {address}");
        self.options.apply(&socket, address.is_ipv6())?;
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keepalive) = &self.keepalive {
            socket.set_tcp_keepalive(keepalive)?;
        }
        if let Some(patience) = self.user_timeout {
            set_user_timeout(&socket, patience)?;
        }
        socket.bind(&address.into())?;
        log::trace!("bind {address}");
        socket.listen(self.backlog)?;
        log::trace!("listen {address}, backlog {}", self.backlog);
        Ok(Acceptor::Tcp(mio::net::TcpListener::from_std(
            socket.into(),
        )))
    }

    fn open_unix(&self, path: &Path) -> io::Result<(Acceptor, Option<SocketFile>)> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let options = Options {
            reuse_address: false,
            ..self.options.clone()
        };
        options.apply(&socket, false)?;
        let file = unix::bind(&socket, path, self.mode)?;
        log::trace!("bind {}", path.display());
        socket.listen(self.backlog)?;
        log::trace!("listen {}, backlog {}", path.display(), self.backlog);
        let listener = mio::net::UnixListener::from_std(socket.into());
        Ok((Acceptor::Unix(listener), file))
    }
}

impl From<&str> for Listen {
    fn from(address: &str) -> Self {
        Self::tcp(address)
    }
}

impl From<String> for Listen {
    fn from(address: String) -> Self {
        Self::tcp(address)
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::at(Place::Tcp(Target::Ip(vec![address])))
    }
}

/// A listener that exists already: inherited, or set up in some other way. Options of the socket
/// are left as they are.
impl From<std::net::TcpListener> for Listen {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::at(Place::ReadyTcp(Arc::new(listener)))
    }
}

/// As for TCP. Its path is not removed when it closes.
impl From<UnixListener> for Listen {
    fn from(listener: UnixListener) -> Self {
        Self::at(Place::ReadyUnix(Arc::new(listener)))
    }
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &Socket, patience: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(patience))
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_: &Socket, _: Duration) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "no TCP_USER_TIMEOUT on this system",
    ))
}
