//! What the engine asks of a transport, and what all connections share.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use mio::{Registry, Token};

use super::Shape;
use super::pattern::Pattern;

/// Bytes that are read at a time.
pub const BUFFER: usize = 64 * 1024;

/// One connection to the server, registered under its own token.
pub trait Connection: Sized {
    /// Bytes of a message, when nothing else is said.
    const SIZE: usize = 64;
    /// How many bytes a message may have.
    const SIZES: RangeInclusive<usize>;
    /// No answer at all for this long means that messages are lost.
    const SILENCE: Duration;

    /// What is sent: as many messages in one piece as may be outstanding.
    fn pattern(shape: &Shape) -> Pattern {
        Pattern::new(BUFFER.max(shape.outstanding * shape.size))
    }

    /// What comes back, where that is the same whoever answers.
    fn answers(_: &Shape) -> Pattern {
        Pattern::new(BUFFER)
    }

    fn open(
        address: SocketAddr,
        shape: &Shape,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self>;

    /// Sends so many more messages, after what an earlier call left over.
    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()>;

    /// Reads what has arrived, checks it, and returns how many messages it
    /// completes.
    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64>;

    /// Sends again what has not come back, where the transport itself does not
    /// see to that, and returns how many messages it was.
    fn send_again(&mut self, tools: &mut Tools) -> anyhow::Result<u64>;
}

/// What only one connection at a time needs.
pub struct Tools {
    /// Bytes of a message.
    pub size: usize,
    pub pattern: Pattern,
    pub answers: Pattern,
    /// Holds any datagram.
    pub buffer: Vec<u8>,
}
