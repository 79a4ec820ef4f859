//! One connection of the load client: positions in its two streams, and the
//! socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::pattern::Pattern;

pub struct Connection {
    stream: TcpStream,
    sent: u64,
    queued: u64,
    received: u64,
}

impl Connection {
    /// Connects in blocking mode: the next connection is then only tried when
    /// the server's backlog has taken this one.
    pub fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            sent: 0,
            queued: 0,
            received: 0,
        })
    }

    /// How many bytes have come back and were right.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Queues `length` more bytes and writes what the socket takes, in one
    /// write when it takes all of it.
    pub fn send(&mut self, length: u64, pattern: &Pattern) -> anyhow::Result<()> {
        self.queued += length;
        while self.queued > 0 {
            let data = pattern.at(self.sent, self.queued as usize);
            match self.stream.write(data) {
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

    /// Reads what has arrived and checks it.
    pub fn receive(&mut self, buffer: &mut [u8], pattern: &Pattern) -> anyhow::Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive"),
            };
            if buffer[..read] != *pattern.at(self.received, read) {
                bail!("wrong bytes came back after byte {}", self.received);
            }
            self.received += read as u64;
            // A short read has emptied the socket; whatever arrives later is
            // a new edge.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }
}
