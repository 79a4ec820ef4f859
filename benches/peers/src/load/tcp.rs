//! A TCP connection of the load client: what it sends comes back.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::ensure;
use mio::{Registry, Token};

use super::connection::{Connection, Tools};
use super::stream::Stream;

pub struct Tcp {
    stream: Stream,
    received: u64,
}

impl Connection for Tcp {
    const SIZES: RangeInclusive<usize> = 1..=usize::MAX;
    const SILENCE: Duration = Duration::from_secs(30);

    fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let stream = Stream::open(address, registry, token)?;
        Ok(Self {
            stream,
            received: 0,
        })
    }

    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        self.stream
            .send(messages * tools.size as u64, &tools.pattern)
    }

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        let Self { stream, received } = self;
        let (before, pattern) = (*received, &tools.pattern);
        stream.receive(&mut tools.buffer, |data| {
            ensure!(
                data == pattern.at(*received, data.len()),
                "wrong bytes came back after byte {received}"
            );
            *received += data.len() as u64;
            Ok(())
        })?;
        let size = tools.size as u64;
        Ok(*received / size - before / size)
    }

    /// Nothing: the system does it.
    fn send_again(&mut self, _: &mut Tools) -> anyhow::Result<u64> {
        Ok(0)
    }
}
