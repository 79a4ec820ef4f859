//! A plain edge-triggered echo server on mio, as its documentation teaches it:
//! a slab of connections, each read until `WouldBlock` and written back, with
//! the unsent rest kept until the socket is writable again.
//!
//! Run: `cargo run --release --bin mio_echo -- 127.0.0.1:0`
//! (prints `listening tcp 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::Context;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;
const BUFFER: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
}

enum State {
    Open,
    Closed,
}

impl Connection {
    /// Echoes until the socket would block in either direction.
    fn pump(&mut self, buffer: &mut [u8]) -> io::Result<State> {
        loop {
            // Reading on past a peer that does not read would let it grow
            // `pending` without bound.
            if !self.flush()? {
                return Ok(State::Open);
            }
            match self.stream.read(buffer) {
                Ok(0) => return Ok(State::Closed),
                Ok(read) => self.write_back(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(State::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_back(&mut self, data: &[u8]) -> io::Result<()> {
        let written = write_some(&mut self.stream, data)?;
        self.pending.extend_from_slice(&data[written..]);
        Ok(())
    }

    /// Returns whether everything pending is written.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.pending.is_empty() {
            let written = write_some(&mut self.stream, &self.pending)?;
            if written == 0 {
                return Ok(false);
            }
            self.pending.drain(..written);
        }
        Ok(true)
    }
}

/// Writes once; 0 means that the socket would block.
fn write_some(stream: &mut TcpStream, data: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(data) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    buffer: Vec<u8>,
}

impl Server {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Slab::new(),
            buffer: vec![0; BUFFER],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept_all()?;
                } else {
                    self.serve(event);
                }
            }
        }
    }

    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.add(stream)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<()> {
        // Fails when the peer is gone already, which the first read reports.
        let _ = stream.set_nodelay(true);
        let entry = self.connections.vacant_entry();
        self.poll.registry().register(
            &mut stream,
            Token(entry.key()),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        entry.insert(Connection {
            stream,
            pending: Vec::new(),
        });
        Ok(())
    }

    fn serve(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        // The first edge after registration is writable alone: nothing to do.
        if !event.is_readable() && !event.is_error() && connection.pending.is_empty() {
            return;
        }
        if let Ok(State::Open) = connection.pump(&mut self.buffer) {
            return;
        }
        let mut connection = self.connections.remove(key);
        let _ = self.poll.registry().deregister(&mut connection.stream);
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: mio_echo ADDRESS:PORT")?
        .parse()
        .context("not an address and port")?;
    let mut server = Server::bind(address).context("cannot listen")?;
    println!("listening tcp {}", server.listener.local_addr()?);
    server.run().context("the event loop failed")
}
