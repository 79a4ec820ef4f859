//! Whom to connect to, and how.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Target;
use super::config::Limits;
#[cfg(feature = "tls")]
use super::tls;
use super::tls::Session;

/// Patience with a dial that names none: enough for a few lost packets. Linux alone would try for
/// over two minutes (`tcp_syn_retries` 6).
const DEADLINE: Duration = Duration::from_secs(10);

/// Whom to connect to, and what to know when it has come about or failed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use switchboard::Dial;
///
/// let dial = Dial::tcp("localhost:7000")
///     .deadline(Duration::from_secs(2))
///     .ticket("the session that this is for");
/// let by_address = Dial::tcp(([127, 0, 0, 1], 7000));
/// let by_path = Dial::unix("/run/app.sock");
/// ```
pub struct Dial {
    pub(crate) way: Way,
    pub(crate) target: Target,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) deadline: Duration,
    pub(crate) ticket: Option<Box<dyn Any>>,
    pub(crate) limits: Option<Limits>,
    pub(crate) tls: Option<Box<Session>>,
    /// Why nothing can come of it.
    pub(crate) error: Option<io::Error>,
}

/// By what a connection is made.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Tcp,
    Udp,
    Unix(PathBuf),
}

/// Whom to [dial](Dial::tcp): one address, several, or `HOST:PORT` to be resolved.
#[derive(Clone, Debug)]
pub struct Peer(Target);

impl Dial {
    /// Connects by TCP to an address, to the first of several that answers, or to `HOST:PORT`. A
    /// name is resolved on a thread of the pool, so that the loop does not wait for it.
    pub fn tcp(peer: impl Into<Peer>) -> Self {
        Self::by(Way::Tcp, peer.into().0)
    }

    /// Exchanges datagrams with one peer, by a socket that is connected to it: no other can send
    /// to it, and it hears when nobody listens there. Nothing is sent by this; `on_open` follows
    /// whether or not the peer exists.
    pub fn udp(peer: impl Into<Peer>) -> Self {
        Self::by(Way::Udp, peer.into().0)
    }

    /// Connects to a path of the Unix domain, or with `@name` in Linux's abstract namespace. While
    /// the backlog there is full, it is tried again every 10 ms.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::by(Way::Unix(path.into()), Target::Ip(Vec::new()))
    }

    const fn by(way: Way, target: Target) -> Self {
        Self {
            way,
            target,
            local: None,
            deadline: DEADLINE,
            ticket: None,
            limits: None,
            tls: None,
            error: None,
        }
    }

    /// Connects from this address of ours; port 0 lets the system choose one.
    pub fn local_addr(mut self, address: SocketAddr) -> Self {
        self.local = Some(address);
        self
    }

    /// Gives up after this time, whatever the number of addresses, resolution included. Default
    /// 10 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Something that comes back with the outcome, in
    /// [`Origin::Dialled`](crate::Origin::Dialled) or
    /// [`Driver::on_dial_failed`](crate::Driver::on_dial_failed).
    pub fn ticket(mut self, ticket: impl Any) -> Self {
        self.ticket = Some(Box::new(ticket));
        self
    }

    /// Speaks TLS with a server of this name, for which its certificate has to be. By UDP this means
    /// nothing.
    ///
    /// # Errors
    ///
    /// When that is no name that a certificate could be for, or what the client is made of does not
    /// fit together.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, client: &tls::Client, name: &str) -> io::Result<Self> {
        self.tls = Some(Box::new(client.session(name)?));
        Ok(self)
    }

    /// One that comes to nothing, for this reason.
    #[cfg(all(feature = "tls", feature = "websocket"))]
    pub(crate) fn hopeless(error: io::Error) -> Self {
        let mut dial = Self::by(Way::Tcp, Target::Ip(Vec::new()));
        dial.error = Some(error);
        dial
    }

    /// The limits of the connection. Default: [`Config::limits`](crate::Config::limits), but
    /// `full_duplex`.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }
}

impl<P: Into<Peer>> From<P> for Dial {
    /// By TCP.
    fn from(peer: P) -> Self {
        Self::tcp(peer)
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("way", &self.way)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self(Target::Ip(vec![address]))
    }
}

impl<I: Into<std::net::IpAddr>> From<(I, u16)> for Peer {
    fn from(address: (I, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl<const N: usize> From<[SocketAddr; N]> for Peer {
    fn from(addresses: [SocketAddr; N]) -> Self {
        Self(Target::Ip(addresses.into()))
    }
}

impl From<Vec<SocketAddr>> for Peer {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self(Target::Ip(addresses))
    }
}

impl From<&str> for Peer {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl From<String> for Peer {
    fn from(name: String) -> Self {
        Self(match name.parse() {
            Ok(address) => Target::Ip(vec![address]),
            Err(_) => Target::Name(name),
        })
    }
}
