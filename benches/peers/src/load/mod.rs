//! The load client's engine: a closed loop over many connections, on one
//! thread and one mio poll. Run by `src/bin/load.rs`.

mod connection;
mod pattern;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use mio::{Events, Poll, Token};

use connection::Connection;
use pattern::Pattern;

const EVENTS: usize = 1024;
const BUFFER: usize = 64 * 1024;
/// No echo at all for this long means that the server has lost a message.
const STALLED: Duration = Duration::from_secs(30);

/// How the connections are used.
pub struct Shape {
    pub connections: usize,
    pub size: usize,
    pub outstanding: usize,
}

/// What is left to do in one run of [`Load::run`].
struct Phase {
    unsent: u64,
    unanswered: u64,
}

impl Phase {
    /// Takes up to `wanted` messages from those still to be sent.
    fn take(&mut self, wanted: u64) -> u64 {
        let taken = wanted.min(self.unsent);
        self.unsent -= taken;
        taken
    }
}

/// Open connections with nothing in flight between runs.
pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    pattern: Pattern,
    buffer: Vec<u8>,
    size: u64,
    outstanding: u64,
}

impl Load {
    pub fn connect(address: SocketAddr, shape: &Shape) -> anyhow::Result<Self> {
        ensure!(shape.connections > 0, "there must be a connection");
        ensure!(shape.size > 0, "a message must have a byte");
        ensure!(shape.outstanding > 0, "a message must be outstanding");
        let poll = Poll::new()?;
        let connections = (0..shape.connections)
            .map(|index| {
                Connection::open(address, poll.registry(), Token(index))
                    .with_context(|| format!("cannot open connection {}", index + 1))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            connections,
            pattern: Pattern::new(BUFFER.max(shape.outstanding * shape.size)),
            buffer: vec![0; BUFFER],
            size: shape.size as u64,
            outstanding: shape.outstanding as u64,
        })
    }

    /// Has exactly `messages` echoed, and returns when none is in flight.
    pub fn run(&mut self, messages: u64) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let mut phase = Phase {
            unsent: messages,
            unanswered: messages,
        };
        for connection in &mut self.connections {
            let burst = phase.take(self.outstanding);
            connection.send(burst * self.size, &self.pattern)?;
        }
        while phase.unanswered > 0 {
            self.turn(&mut phase)?;
        }
        Ok(start.elapsed())
    }

    fn turn(&mut self, phase: &mut Phase) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(STALLED)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        if self.events.is_empty() {
            bail!("no echo for {STALLED:?}; {} are missing", phase.unanswered);
        }
        for event in &self.events {
            let Token(index) = event.token();
            let connection = &mut self.connections[index];
            let before = connection.received() / self.size;
            connection.receive(&mut self.buffer, &self.pattern)?;
            let complete = connection.received() / self.size - before;
            phase.unanswered = phase
                .unanswered
                .checked_sub(complete)
                .context("more came back than was sent")?;
            // Also resumes a write that the socket cut short.
            let next = phase.take(complete);
            connection.send(next * self.size, &self.pattern)?;
        }
        Ok(())
    }
}

/// Lets this process, and those that it starts, open as many files as the hard
/// limit allows.
pub fn raise_open_files() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
