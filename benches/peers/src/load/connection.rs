//! What the engine asks of a transport, and what all connections share.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use mio::{Registry, Token};

use super::pattern::Pattern;

/// One connection to the server, registered under its own token.
pub trait Connection: Sized {
    /// Bytes of a message, when nothing else is said.
    const SIZE: usize = 64;
    /// How many bytes a message may have.
    const SIZES: RangeInclusive<usize>;
    /// No answer at all for this long means that messages are lost.
    const SILENCE: Duration;

    /// What is sent, in slices of up to `longest` bytes.
    fn pattern(longest: usize) -> Pattern {
        Pattern::new(longest)
    }

    fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self>;

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
    /// Holds any datagram.
    pub buffer: Vec<u8>,
}
