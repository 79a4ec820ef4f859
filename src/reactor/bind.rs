//! Where to receive datagrams, with every option of a UDP socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use crate::id::ConnId;

use super::address::{Target, context};
use super::config::Limits;
use super::entry::Entry;
use super::hub::Hub;
use super::options::Options;

/// The largest datagram of UDP: over IPv6, 65,535 bytes less UDP's header. Over IPv4 it is 65,507.
pub(crate) const MAX_DATAGRAM: usize = 65_527;

/// Sessions of a socket for which no number is given.
const MAX_SESSIONS: usize = 10_000;

/// An address to receive datagrams at, and how.
///
/// `"127.0.0.1:5000"` alone is the short form wherever an `impl Into<Bind>` is asked for. To
/// exchange datagrams with one peer only, [dial](crate::Dial::udp) it.
///
/// # Examples
///
/// ```
/// use std::net::Ipv4Addr;
/// use switchboard::{Bind, Interface};
///
/// let bind = Bind::udp("0.0.0.0:5353")
///     .reuse_address(true)
///     .join(Ipv4Addr::new(224, 0, 0, 251), Interface::Any)
///     .multicast_ttl(1)
///     .max_sessions(1_000);
/// ```
#[derive(Clone, Debug)]
pub struct Bind {
    place: Place,
    options: Options,
    broadcast: bool,
    ttl: Option<u32>,
    groups: Vec<(IpAddr, Interface)>,
    multicast_interface: Interface,
    multicast_ttl: Option<u32>,
    multicast_loop: Option<bool>,
    pub(crate) max_datagram: usize,
    pub(crate) max_sessions: usize,
    pub(crate) full: Full,
    pub(crate) limits: Option<Limits>,
}

#[derive(Clone, Debug)]
enum Place {
    Udp(Target),
    Ready(Arc<UdpSocket>),
}

/// A socket that receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Names the socket; closing it closes its sessions too.
    pub id: ConnId,
    /// The address, with the port that the system chose where 0 was asked for.
    pub local_addr: SocketAddr,
}

/// A network interface, for multicast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// The system chooses, by its routes.
    #[default]
    Any,
    /// The one that has this address. IPv4 only.
    Address(Ipv4Addr),
    /// The one of this number: `if_nametoindex(3)`, or the first column of `ip link`.
    Index(u32),
}

/// What happens when a peer would have one session more than a socket may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// About the one heard of longest ago is closed for it. The default: addresses can be made up,
    /// and a flood of them must neither lock newcomers out nor grow the table.
    #[default]
    Evict,
    /// The newcomer is ignored, and counted.
    Refuse,
}

impl Bind {
    /// Receives at `address`, which is read as [`Listen::tcp`](crate::Listen::tcp) reads it.
    pub fn udp(address: impl Into<String>) -> Self {
        Self::at(Place::Udp(Target::read(address.into())))
    }

    const fn at(place: Place) -> Self {
        Self {
            place,
            options: Options::new(false),
            broadcast: false,
            ttl: None,
            groups: Vec::new(),
            multicast_interface: Interface::Any,
            multicast_ttl: None,
            multicast_loop: None,
            max_datagram: MAX_DATAGRAM,
            max_sessions: MAX_SESSIONS,
            full: Full::Evict,
            limits: None,
        }
    }

    /// `SO_REUSEADDR`: several sockets may have the address, as receivers of one multicast group
    /// do. Default off: one process would take another's datagrams.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.options.reuse_address = on;
        self
    }

    /// `SO_REUSEPORT`: several processes may share the port and its peers. Default off.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.options.reuse_port = on;
        self
    }

    /// `SO_RCVBUF` in bytes: what may arrive between two turns. The default is the system's, about
    /// 200 KiB.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.options.receive_buffer = Some(bytes);
        self
    }

    /// `SO_SNDBUF` in bytes. The default is the system's.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.options.send_buffer = Some(bytes);
        self
    }

    /// `IPV6_V6ONLY`: whether `[::]` takes IPv4 peers too. The default is the system's.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.options.only_v6 = Some(on);
        self
    }

    /// `SO_BINDTODEVICE`: only what arrives through this interface. Linux only; elsewhere binding
    /// fails.
    pub fn bind_device(mut self, interface: impl Into<String>) -> Self {
        self.options.bind_device = Some(interface.into());
        self
    }

    /// `SO_BROADCAST`: may send to broadcast addresses. Default off, when such a send fails.
    pub fn broadcast(mut self, on: bool) -> Self {
        self.broadcast = on;
        self
    }

    /// Routers that what is sent to single hosts may pass. The default is the system's, 64.
    pub fn ttl(mut self, hops: u32) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// Joins a multicast group on an interface. May be called several times;
    /// [`Hub::join`](crate::Hub::join) joins later.
    pub fn join(mut self, group: impl Into<IpAddr>, interface: Interface) -> Self {
        self.groups.push((group.into(), interface));
        self
    }

    /// The interface by which multicasts leave. Default: by the system's routes.
    pub fn multicast_interface(mut self, interface: Interface) -> Self {
        self.multicast_interface = interface;
        self
    }

    /// Routers that a multicast may pass. The default is the system's, 1: the local network.
    pub fn multicast_ttl(mut self, hops: u32) -> Self {
        self.multicast_ttl = Some(hops);
        self
    }

    /// Whether multicasts come back to members on this host. The default is the system's, true.
    pub fn multicast_loop(mut self, on: bool) -> Self {
        self.multicast_loop = Some(on);
        self
    }

    /// Bytes of the largest datagram taken; larger ones are dropped, and counted in
    /// [`Totals::oversize`](crate::Totals::oversize). Default 65,527, which is all that UDP
    /// allows.
    pub fn max_datagram(mut self, bytes: usize) -> Self {
        self.max_datagram = bytes;
        self
    }

    /// Sessions open at a time. Default 10,000.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// What happens beyond [`max_sessions`](Self::max_sessions).
    pub fn when_full(mut self, policy: Full) -> Self {
        self.full = policy;
        self
    }

    /// The limits of the sessions, instead of [`Config::limits`](crate::Config::limits). A session
    /// has no end of its own, so without an idle time-out here it lives until it is closed or
    /// evicted. Default: those of the reactor, with an idle time-out of 60 s if they have none.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Creates, sets up and binds the socket.
    pub(crate) fn open(&self) -> io::Result<mio::net::UdpSocket> {
        let target = match &self.place {
            Place::Udp(target) => target,
            Place::Ready(ready) => {
                let socket = ready.try_clone()?;
                socket.set_nonblocking(true)?;
                return Ok(mio::net::UdpSocket::from_std(socket));
            }
        };
        let mut last = None;
        let addresses = target.resolve();
        for address in addresses.map_err(|error| context(&error, "cannot bind udp"))? {
            match self.bind(address) {
                Ok(socket) => return Ok(mio::net::UdpSocket::from_std(socket.into())),
                Err(error) => last = Some(context(&error, &format!("cannot bind udp {address}"))),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Socket> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        log::trace!("socket {address}");
        self.options.apply(&socket, address.is_ipv6())?;
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        if address.is_ipv4() {
            self.set_up_v4(&socket)?;
        } else {
            self.set_up_v6(&socket)?;
        }
        socket.bind(&address.into())?;
        log::trace!("bind {address}");
        for (group, interface) in &self.groups {
            join(&SockRef::from(&socket), *group, *interface)?;
        }
        Ok(socket)
    }

    fn set_up_v4(&self, socket: &Socket) -> io::Result<()> {
        if let Some(hops) = self.ttl {
            socket.set_ttl_v4(hops)?;
        }
        match self.multicast_interface {
            Interface::Any => {}
            Interface::Address(address) => socket.set_multicast_if_v4(&address)?,
            Interface::Index(_) => return Err(unsupported("IPv4 multicasts leave by an address")),
        }
        if let Some(hops) = self.multicast_ttl {
            socket.set_multicast_ttl_v4(hops)?;
        }
        if let Some(on) = self.multicast_loop {
            socket.set_multicast_loop_v4(on)?;
        }
        only_joined(socket, false)
    }

    fn set_up_v6(&self, socket: &Socket) -> io::Result<()> {
        if let Some(hops) = self.ttl {
            socket.set_unicast_hops_v6(hops)?;
        }
        match self.multicast_interface {
            Interface::Any => {}
            Interface::Address(_) => return Err(unsupported("IPv6 multicasts leave by an index")),
            Interface::Index(index) => socket.set_multicast_if_v6(index)?,
        }
        if let Some(hops) = self.multicast_ttl {
            socket.set_multicast_hops_v6(hops)?;
        }
        if let Some(on) = self.multicast_loop {
            socket.set_multicast_loop_v6(on)?;
        }
        only_joined(socket, true)
    }
}

/// Multicast.
impl Hub {
    /// Lets a socket join a multicast group on an interface.
    ///
    /// # Errors
    ///
    /// When the system refuses, or `id` is no datagram socket.
    pub fn join(&mut self, id: ConnId, group: IpAddr, interface: Interface) -> io::Result<()> {
        join(&self.datagram_socket(id)?, group, interface)
    }

    /// Lets it leave the group.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join); also when it is no member.
    pub fn leave(&mut self, id: ConnId, group: IpAddr, interface: Interface) -> io::Result<()> {
        let socket = self.datagram_socket(id)?;
        match group {
            IpAddr::V4(group) => socket.leave_multicast_v4_n(&group, &interface.v4()),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, interface.v6()?),
        }
    }

    fn datagram_socket(&self, id: ConnId) -> io::Result<SockRef<'_>> {
        match self.slots.get(id) {
            Some(Entry::Datagrams(datagrams)) => Ok(SockRef::from(&datagrams.socket)),
            _ => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                format!("{id} is no UDP socket"),
            )),
        }
    }
}

impl Interface {
    const fn v4(self) -> InterfaceIndexOrAddress {
        match self {
            Self::Any => InterfaceIndexOrAddress::Index(0),
            Self::Address(address) => InterfaceIndexOrAddress::Address(address),
            Self::Index(index) => InterfaceIndexOrAddress::Index(index),
        }
    }

    fn v6(self) -> io::Result<u32> {
        match self {
            Self::Any => Ok(0),
            Self::Address(_) => Err(unsupported("IPv6 groups are joined by an index")),
            Self::Index(index) => Ok(index),
        }
    }
}

fn join(socket: &SockRef<'_>, group: IpAddr, interface: Interface) -> io::Result<()> {
    let joined = match group {
        IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &interface.v4()),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface.v6()?),
    };
    joined.map_err(|error| context(&error, &format!("cannot join {group}")))
}

/// Linux would also deliver the groups that any other socket of this host has joined.
#[cfg(target_os = "linux")]
fn only_joined(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        socket.set_multicast_all_v6(false)
    } else {
        socket.set_multicast_all_v4(false)
    }
}

#[cfg(not(target_os = "linux"))]
fn only_joined(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}

fn unsupported(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl From<&str> for Bind {
    fn from(address: &str) -> Self {
        Self::udp(address)
    }
}

impl From<String> for Bind {
    fn from(address: String) -> Self {
        Self::udp(address)
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::at(Place::Udp(Target::Ip(vec![address])))
    }
}

/// A socket that is bound already. Options of the socket are left as they are.
impl From<UdpSocket> for Bind {
    fn from(socket: UdpSocket) -> Self {
        Self::at(Place::Ready(Arc::new(socket)))
    }
}
