//! The load client's engine: a closed loop over many connections, on one
//! thread and one mio poll. Run by `src/bin/load.rs`.

mod broadcast;
mod connection;
mod http;
mod pattern;
mod stream;
mod tcp;
mod tls;
mod udp;
mod ws;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mio::{Events, Poll, Token};

use connection::{BUFFER, Tools};

pub use broadcast::Broadcast;
pub use connection::Connection;
pub use http::Http;
pub use tcp::Tcp;
pub use tls::{Handshakes, Tls};
pub use udp::Udp;
pub use ws::Ws;

const EVENTS: usize = 1024;
/// More lost messages in one run than this, and it measures something else.
const MOST_LOST: u64 = 10;

/// How the connections are used.
pub struct Shape {
    pub connections: usize,
    pub size: usize,
    pub outstanding: usize,
    /// Offers to compress messages, where the protocol has that.
    pub deflate: bool,
}

/// What is left to do in one run of [`Load::run`].
struct Phase {
    unsent: u64,
    unanswered: u64,
    lost: u64,
}

impl Phase {
    /// Takes up to `wanted` messages from those still to be sent.
    fn take(&mut self, wanted: u64) -> u64 {
        let taken = wanted.min(self.unsent);
        self.unsent -= taken;
        taken
    }
}

/// What one run of [`Load::run`] came to.
pub struct Run {
    pub elapsed: Duration,
    /// How many messages had to be sent again.
    pub lost: u64,
}

/// Open connections with nothing in flight between runs.
pub struct Load<C> {
    poll: Poll,
    events: Events,
    connections: Vec<C>,
    tools: Tools,
    outstanding: u64,
}

impl<C: Connection> Load<C> {
    pub fn connect(address: SocketAddr, shape: &Shape) -> anyhow::Result<Self> {
        ensure!(shape.connections > 0, "there must be a connection");
        ensure!(
            C::SIZES.contains(&shape.size),
            "a message must have from {} to {} bytes",
            C::SIZES.start(),
            C::SIZES.end()
        );
        ensure!(shape.outstanding > 0, "a message must be outstanding");
        let poll = Poll::new()?;
        let connections = (0..shape.connections)
            .map(|index| {
                C::open(address, shape, poll.registry(), Token(index))
                    .with_context(|| format!("cannot open connection {}", index + 1))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            connections,
            tools: Tools {
                size: shape.size,
                pattern: C::pattern(shape),
                answers: C::answers(shape),
                buffer: vec![0; BUFFER],
            },
            outstanding: shape.outstanding as u64,
        })
    }

    /// Has exactly `messages` answered, and returns when none is in flight.
    pub fn run(&mut self, messages: u64) -> anyhow::Result<Run> {
        let start = Instant::now();
        let mut phase = Phase {
            unsent: messages,
            unanswered: messages,
            lost: 0,
        };
        for connection in &mut self.connections {
            let burst = phase.take(self.outstanding);
            connection.send(burst, &mut self.tools)?;
        }
        while phase.unanswered > 0 {
            self.turn(&mut phase)?;
        }
        Ok(Run {
            elapsed: start.elapsed(),
            lost: phase.lost,
        })
    }

    fn turn(&mut self, phase: &mut Phase) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(C::SILENCE)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        if self.events.is_empty() {
            return self.send_again(phase);
        }
        for event in &self.events {
            let Token(index) = event.token();
            let connection = &mut self.connections[index];
            let complete = connection.receive(&mut self.tools)?;
            phase.unanswered = phase
                .unanswered
                .checked_sub(complete)
                .context("more came back than was sent")?;
            // Also resumes a write that the socket cut short.
            let next = phase.take(complete);
            connection.send(next, &mut self.tools)?;
        }
        Ok(())
    }

    /// Nothing comes back any more, but something is missing.
    fn send_again(&mut self, phase: &mut Phase) -> anyhow::Result<()> {
        let before = phase.lost;
        for connection in &mut self.connections {
            phase.lost += connection.send_again(&mut self.tools)?;
        }
        ensure!(
            phase.lost > before && phase.lost <= MOST_LOST,
            "no answer for {:?}; {} are missing",
            C::SILENCE,
            phase.unanswered
        );
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
