//! A TLS connection of the load client: what it sends comes back. Each message is
//! a record of its own, those that go out together in one write.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mio::{Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::tls::{client, name};

use super::connection::{Connection, Tools};
use super::pattern::Pattern;
use super::stream::Stream;
use super::{Run, Shape};

pub struct Tls {
    stream: Stream,
    session: ClientConnection,
    sent: u64,
    received: u64,
}

impl Connection for Tls {
    const SIZE: usize = 1024;
    /// Up to what a record has room for.
    const SIZES: RangeInclusive<usize> = 1..=16 * 1024;
    const SILENCE: Duration = Duration::from_secs(30);

    fn open(
        address: SocketAddr,
        _: &Shape,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        let (socket, mut session) = shake(address, client()?, name()?)?;
        session.set_buffer_limit(None);
        Ok(Self {
            stream: Stream::register(socket, registry, token)?,
            session,
            sent: 0,
            received: 0,
        })
    }

    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        for _ in 0..messages {
            let data = tools.pattern.at(self.sent, tools.size);
            self.session.writer().write_all(data)?;
            self.sent += data.len() as u64;
        }
        while self.session.wants_write() {
            match self.session.write_tls(self.stream.socket()) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        let Self {
            stream,
            session,
            received,
            ..
        } = self;
        let (size, before) = (tools.size as u64, *received);
        stream.receive(&mut tools.buffer, |mut records| {
            while !records.is_empty() {
                session.read_tls(&mut records)?;
                let left = session.process_new_packets()?.plaintext_bytes_to_read();
                *received = check(session, left, *received, &tools.answers)?;
            }
            Ok(())
        })?;
        Ok(*received / size - before / size)
    }

    /// Nothing: the system does it.
    fn send_again(&mut self, _: &mut Tools) -> anyhow::Result<u64> {
        Ok(0)
    }
}

/// Connects, and returns when the handshake is done.
fn shake(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> anyhow::Result<(TcpStream, ClientConnection)> {
    let mut socket = Stream::connect(address)?;
    let mut session = ClientConnection::new(config, name)?;
    while session.is_handshaking() || session.wants_write() {
        session.complete_io(&mut socket).context("no handshake")?;
    }
    Ok((socket, session))
}

/// Looks at so many bytes of plaintext, which begin at this place of the stream.
fn check(
    session: &mut ClientConnection,
    mut left: usize,
    mut received: u64,
    answers: &Pattern,
) -> anyhow::Result<u64> {
    let mut reader = session.reader();
    while left > 0 {
        let data = reader.fill_buf()?;
        ensure!(
            data == answers.at(received, data.len()),
            "wrong bytes came back after byte {received}"
        );
        let length = data.len();
        reader.consume(length);
        received += length as u64;
        left -= length;
    }
    Ok(received)
}

/// Connections one after another: each does a full handshake, has one byte echoed,
/// and is closed.
pub struct Handshakes {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Handshakes {
    pub fn new(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            config: client()?,
            name: name()?,
        })
    }

    pub fn run(&mut self, connections: u64) -> anyhow::Result<Run> {
        let start = Instant::now();
        for _ in 0..connections {
            self.once()?;
        }
        Ok(Run {
            elapsed: start.elapsed(),
            lost: 0,
        })
    }

    fn once(&self) -> anyhow::Result<()> {
        let (mut socket, mut session) =
            shake(self.address, Arc::clone(&self.config), self.name.clone())?;
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        stream.write_all(b"x")?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        ensure!(answer == *b"x", "another byte came back");
        session.send_close_notify();
        session.write_tls(&mut socket)?;
        // Until the server has closed, too: unread bytes would make it a reset.
        socket.shutdown(Shutdown::Write)?;
        io::copy(&mut socket, &mut io::sink())?;
        Ok(())
    }
}
