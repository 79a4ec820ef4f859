//! A TCP connection of the load client: what it sends comes back.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use mio::{Registry, Token};

use super::Shape;
use super::connection::{Connection, Tools};
use super::stream::Stream;

pub struct Tcp {
    stream: Stream,
}

impl Connection for Tcp {
    const SIZES: RangeInclusive<usize> = 1..=usize::MAX;
    const SILENCE: Duration = Duration::from_secs(30);

    fn open(
        address: SocketAddr,
        _: &Shape,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        let stream = Stream::register(Stream::connect(address)?, registry, token)?;
        Ok(Self { stream })
    }

    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        self.stream
            .send(messages * tools.size as u64, &tools.pattern)
    }

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        self.stream.receive_answers(tools.size, tools)
    }

    /// Nothing: the system does it.
    fn send_again(&mut self, _: &mut Tools) -> anyhow::Result<u64> {
        Ok(0)
    }
}
