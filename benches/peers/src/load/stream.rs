//! A TCP socket of the load client, and what it has still to write.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::pattern::Pattern;

pub struct Stream {
    socket: TcpStream,
    sent: u64,
    queued: u64,
}

impl Stream {
    /// Connects in blocking mode: the next connection is then only tried when
    /// the server's backlog has taken this one.
    pub fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = std::net::TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            sent: 0,
            queued: 0,
        })
    }

    /// Queues so many more bytes of the pattern, and writes what the socket
    /// takes, in one write when it takes all of it.
    pub fn send(&mut self, bytes: u64, pattern: &Pattern) -> anyhow::Result<()> {
        self.queued += bytes;
        while self.queued > 0 {
            let data = pattern.at(self.sent, self.queued as usize);
            match self.socket.write(data) {
                Ok(written) => {
                    self.sent += written as u64;
                    self.queued -= written as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads until the socket is empty, and has each piece taken.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let read = match self.socket.read(buffer) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            take(&buffer[..read])?;
            // A short read has emptied the socket; whatever arrives later is
            // a new edge.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }
}
