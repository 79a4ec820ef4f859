//! A TCP connection of the load client: positions in its two streams, and the
//! socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::connection::{Connection, Tools};

pub struct Tcp {
    stream: TcpStream,
    sent: u64,
    queued: u64,
    received: u64,
}

impl Connection for Tcp {
    const SIZES: RangeInclusive<usize> = 1..=usize::MAX;
    const SILENCE: Duration = Duration::from_secs(30);

    /// Connects in blocking mode: the next connection is then only tried when
    /// the server's backlog has taken this one.
    fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
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

    /// Writes what the socket takes, in one write when it takes all of it.
    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        self.queued += messages * tools.size as u64;
        while self.queued > 0 {
            let data = tools.pattern.at(self.sent, self.queued as usize);
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

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        let size = tools.size as u64;
        let before = self.received / size;
        self.read_all(tools)?;
        Ok(self.received / size - before)
    }

    /// Nothing: the system does it.
    fn send_again(&mut self, _: &mut Tools) -> anyhow::Result<u64> {
        Ok(0)
    }
}

impl Tcp {
    fn read_all(&mut self, tools: &mut Tools) -> anyhow::Result<()> {
        let Tools {
            pattern, buffer, ..
        } = tools;
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
