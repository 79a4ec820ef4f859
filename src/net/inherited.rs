//! Sockets that a parent process has opened for us: systemd's socket activation.

use std::io;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::reactor::{Bind, Listen};

/// The sockets that this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listeners, of TCP and of the Unix domain, in the order of their descriptors.
    pub listeners: Vec<Listen>,
    /// UDP sockets, likewise.
    pub datagrams: Vec<Bind>,
}

/// Takes over the sockets that `LISTEN_FDS` and `LISTEN_PID` in the environment speak of, as
/// systemd passes them (`sd_listen_fds(3)`): the port is bound before the process starts, and stays
/// bound while it restarts. None if the variables are absent or meant for another process.
///
/// # Errors
///
/// When a descriptor is none of these kinds of sockets. The error says which one.
pub fn inherited() -> io::Result<Inherited> {
    let mut passed = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for index in 0..passed.len() {
        if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
            accepts(index, SockRef::from(&listener).is_listener())?;
            inherited.listeners.push(listener.into());
        } else if let Ok(Some(listener)) = passed.take_unix_listener(index) {
            accepts(index, SockRef::from(&listener).is_listener())?;
            inherited.listeners.push(listener.into());
        } else if let Ok(Some(socket)) = passed.take_udp_socket(index) {
            inherited.datagrams.push(socket.into());
        } else {
            accepts(index, Ok(false))?;
        }
    }
    Ok(inherited)
}

/// Refuses what nobody can be accepted from: a connection, as inetd passes them, is no listener.
fn accepts(index: usize, is_listener: io::Result<bool>) -> io::Result<()> {
    if is_listener? {
        return Ok(());
    }
    let number = 3 + index;
    let text = format!(
        "inherited descriptor {number} is no listener of TCP or the Unix domain, and no UDP socket"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
