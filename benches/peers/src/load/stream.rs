//! A TCP socket of the load client, and what it has still to write.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, SocketAddr};

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::connection::Tools;
use super::pattern::Pattern;

pub struct Stream {
    socket: TcpStream,
    sent: u64,
    queued: u64,
    received: u64,
}

impl Stream {
    /// Connects in blocking mode: the next connection is then only tried when
    /// the server's backlog has taken this one.
    pub fn connect(address: SocketAddr) -> io::Result<net::TcpStream> {
        let socket = net::TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    pub fn register(socket: net::TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            sent: 0,
            queued: 0,
            received: 0,
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

    /// For what is written some other way.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Writes what is so little that the socket has room for it.
    pub fn send_at_once(&mut self, data: &[u8]) -> anyhow::Result<()> {
        let written = self.socket.write(data).context("cannot send")?;
        ensure!(written == data.len(), "a socket has no room for a message");
        Ok(())
    }

    /// Reads until the socket is empty, checks each byte, and returns how many
    /// messages of `length` bytes are complete by that.
    pub fn receive_answers(&mut self, length: usize, tools: &mut Tools) -> anyhow::Result<u64> {
        let (length, answers) = (length as u64, &tools.answers);
        let before = self.received;
        let mut received = before;
        self.receive(&mut tools.buffer, |data| {
            ensure!(
                data == answers.at(received, data.len()),
                "wrong bytes came back after byte {received}"
            );
            received += data.len() as u64;
            Ok(())
        })?;
        self.received = received;
        Ok(received / length - before / length)
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
