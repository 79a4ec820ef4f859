//! Where to listen, with every option of a listening socket; and the accepting of connections.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::id::ConnId;

use super::config::Limits;
use super::driver::DriverId;
use super::socket::Flags;

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
    address: Address,
    backlog: i32,
    reuse_address: bool,
    reuse_port: bool,
    nodelay: bool,
    keepalive: Option<TcpKeepalive>,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    only_v6: Option<bool>,
    user_timeout: Option<Duration>,
    bind_device: Option<String>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_per_source: Option<usize>,
    pub(crate) exhaustion: Exhaustion,
    pub(crate) limits: Option<Limits>,
}

#[derive(Clone, Debug)]
enum Address {
    Socket(SocketAddr),
    Name(String),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Names the listener; closing it stops the listening and leaves its connections alone.
    pub id: ConnId,
    /// The address, with the port that the system chose where 0 was asked for.
    pub local_addr: SocketAddr,
}

impl Listen {
    /// Listens for TCP on `address`: `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`, or `:5000`
    /// for all interfaces by IPv4. A name is resolved when listening begins, and the first of its
    /// addresses that can be bound is taken.
    pub fn tcp(address: impl Into<String>) -> Self {
        let text = address.into();
        let address = match (text.parse(), text.strip_prefix(':').map(str::parse)) {
            (Ok(address), _) => Address::Socket(address),
            (_, Some(Ok(port))) => Address::Socket((Ipv4Addr::UNSPECIFIED, port).into()),
            _ => Address::Name(text),
        };
        Self::at(address)
    }

    fn at(address: Address) -> Self {
        Self {
            address,
            backlog: 1024,
            reuse_address: true,
            reuse_port: false,
            nodelay: true,
            keepalive: None,
            receive_buffer: None,
            send_buffer: None,
            only_v6: None,
            user_timeout: None,
            bind_device: None,
            max_connections: None,
            max_per_source: None,
            exhaustion: Exhaustion::default(),
            limits: None,
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
        self.reuse_address = on;
        self
    }

    /// `SO_REUSEPORT`: several processes may listen on one port and share its clients. Default off.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
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
        self.receive_buffer = Some(bytes);
        self
    }

    /// `SO_SNDBUF` in bytes. The default leaves the size to the kernel, which adapts it.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// `IPV6_V6ONLY`: whether `[::]` takes IPv4 clients too. The default is the system's.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
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
        self.bind_device = Some(interface.into());
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

    /// Creates, sets up and binds the socket, and listens.
    pub(crate) fn open(&self) -> io::Result<TcpListener> {
        let addresses = match &self.address {
            Address::Socket(address) => vec![*address],
            Address::Name(name) => resolve(name)?,
        };
        let mut last = None;
        for address in addresses {
            match self.bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => {
                    last = Some(context(&error, &format!("cannot listen on tcp {address}")));
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        log::trace!("socket {address}");
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(self.reuse_address)?;
        socket.set_tcp_nodelay(self.nodelay)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(keepalive) = &self.keepalive {
            socket.set_tcp_keepalive(keepalive)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let (Some(only_v6), true) = (self.only_v6, address.is_ipv6()) {
            socket.set_only_v6(only_v6)?;
        }
        if let Some(patience) = self.user_timeout {
            set_user_timeout(&socket, patience)?;
        }
        if let Some(interface) = &self.bind_device {
            bind_device(&socket, interface)?;
        }
        socket.bind(&address.into())?;
        log::trace!("bind {address}");
        socket.listen(self.backlog)?;
        log::trace!("listen {address}, backlog {}", self.backlog);
        Ok(TcpListener::from_std(socket.into()))
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
        Self::at(Address::Socket(address))
    }
}

/// A listening socket in the reactor.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) flags: Flags,
    pub(crate) driver: DriverId,
    pub(crate) limits: Rc<Limits>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) exhaustion: Exhaustion,
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
}

impl Listener {
    pub(crate) fn new(
        socket: TcpListener,
        listen: &Listen,
        driver: DriverId,
        limits: Rc<Limits>,
    ) -> io::Result<Self> {
        let reserve = match listen.exhaustion {
            Exhaustion::Hold => None,
            Exhaustion::Shed => Some(open_reserve()?),
        };
        Ok(Self {
            local_addr: socket.local_addr()?,
            socket,
            flags: Flags::default(),
            driver,
            limits,
            exhaustion: listen.exhaustion,
            reserve,
            max_connections: listen.max_connections.unwrap_or(usize::MAX),
            max_per_source: listen.max_per_source,
            open: 0,
            sources: HashMap::new(),
            warned: None,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open >= self.max_connections
    }

    /// Counts a connection in. False if its source holds its share already.
    pub(crate) fn admit(&mut self, peer: SocketAddr) -> bool {
        if let Some(most) = self.max_per_source {
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
        let shed = self.socket.accept().is_ok();
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

fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses = name.to_socket_addrs().map_err(|error| {
        let hint = "expected HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000";
        context(
            &error,
            &format!("cannot listen on `{}` ({hint})", name.escape_debug()),
        )
    })?;
    Ok(addresses.collect())
}

/// The same kind of error, saying what was tried.
fn context(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
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

#[cfg(target_os = "linux")]
fn bind_device(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_device(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "no SO_BINDTODEVICE on this system",
    ))
}
