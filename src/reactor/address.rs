//! Where something listens: an IP address and a port, or a path.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// The address of a listener: an IP address with its port, or a path of the Unix domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A path. One that begins with `@` is a name of Linux's abstract namespace.
    Unix(PathBuf),
}

impl Address {
    pub(crate) fn from_unix(address: &std::os::unix::net::SocketAddr) -> Self {
        let path = match (address.as_pathname(), abstract_name(address)) {
            (Some(path), _) => path.to_owned(),
            (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)).into(),
            (None, None) => PathBuf::new(),
        };
        Self::Unix(path)
    }

    /// The IP address and port, unless it is a path.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Ip(_) => None,
            Self::Unix(path) => Some(path),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(address: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    use std::os::linux::net::SocketAddrExt;
    address.as_abstract_name()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    None
}

/// What was given as an address: perhaps a name that has yet to be resolved.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Ip(Vec<SocketAddr>),
    Name(String),
}

impl Target {
    /// Reads `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`, or `:5000` for all interfaces by
    /// IPv4.
    pub(crate) fn read(text: String) -> Self {
        match (text.parse(), text.strip_prefix(':').map(str::parse)) {
            (Ok(address), _) => Self::Ip(vec![address]),
            (_, Some(Ok(port))) => Self::Ip(vec![(Ipv4Addr::UNSPECIFIED, port).into()]),
            _ => Self::Name(text),
        }
    }

    /// The addresses. A name may take seconds: never on the loop.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Ip(addresses) => Ok(addresses.clone()),
            Self::Name(name) => resolve(name),
        }
    }
}

/// Asks the system for the addresses behind `HOST:PORT`.
pub(crate) fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses = name.to_socket_addrs().map_err(|error| {
        let is_plausible = |(host, port): (&str, &str)| {
            !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok()
        };
        let hint = match name.rsplit_once(':').is_some_and(is_plausible) {
            true => "",
            false => " (expected HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000)",
        };
        context(
            &error,
            &format!("cannot resolve `{}`{hint}", name.escape_debug()),
        )
    })?;
    Ok(addresses.collect())
}

/// The same kind of error, saying what was tried.
pub(crate) fn context(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
