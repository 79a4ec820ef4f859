//! Options that streams and datagram sockets have in common.

use std::io;

use socket2::Socket;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) only_v6: Option<bool>,
    pub(crate) bind_device: Option<String>,
}

impl Options {
    /// With `SO_REUSEADDR` or without; everything else as the system has it.
    pub(crate) const fn new(reuse_address: bool) -> Self {
        Self {
            reuse_address,
            reuse_port: false,
            receive_buffer: None,
            send_buffer: None,
            only_v6: None,
            bind_device: None,
        }
    }

    pub(crate) fn apply(&self, socket: &Socket, ipv6: bool) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let (Some(only_v6), true) = (self.only_v6, ipv6) {
            socket.set_only_v6(only_v6)?;
        }
        if let Some(interface) = &self.bind_device {
            bind_device(socket, interface)?;
        }
        Ok(())
    }
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
