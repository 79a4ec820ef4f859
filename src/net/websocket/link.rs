//! What sending has to know.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::id::ConnId;
#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::{Deflater, Pool};
use crate::proto::websocket::{Code, Role};
use crate::reactor::{Hub, TimerId};

use super::cx::Cx;
use super::options::Options;

/// Of one connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) role: Role,
    /// We have sent a close.
    pub(super) close_sent: bool,
    /// The peer has.
    pub(super) close_received: bool,
    /// It has ended its side of the connection below, too.
    pub(super) finished: bool,
    /// Until when the connection has to have ended.
    pub(super) deadline: Option<TimerId>,
    /// A message is being sent in fragments.
    pub(super) within: bool,
    /// A compressor of its own, if the one that all share would not do.
    #[cfg(feature = "deflate")]
    pub(super) own: Option<Box<Own>>,
    /// How the connection ends, if that is known already.
    pub(super) ended: Option<Box<(Code, String)>>,
}

/// A compressor of one connection.
#[cfg(feature = "deflate")]
#[derive(Debug)]
pub(super) struct Own {
    pub(super) deflater: Deflater,
    /// It is to forget each message.
    pub(super) forgets: bool,
}

impl Link {
    pub(super) const fn new(role: Role) -> Self {
        Self {
            role,
            close_sent: false,
            close_received: false,
            finished: false,
            deadline: None,
            within: false,
            #[cfg(feature = "deflate")]
            own: None,
            ended: None,
        }
    }

    /// One side has said that it closes, or both have.
    pub(super) const fn is_closing(&self) -> bool {
        self.close_sent || self.close_received
    }
}

/// Of all connections of an endpoint.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keys: Keys,
    #[cfg(feature = "deflate")]
    pub(super) pool: Pool,
    /// Bytes of a message from which on it is compressed.
    #[cfg(feature = "deflate")]
    pub(super) compress_from: usize,
    pub(super) close_timeout: Duration,
}

impl Shared {
    pub(super) fn new(options: &Options) -> Self {
        #[cfg(feature = "deflate")]
        let level = options.deflate.unwrap_or_default().level;
        Self {
            keys: Keys::default(),
            #[cfg(feature = "deflate")]
            pool: Pool::new(level),
            #[cfg(feature = "deflate")]
            compress_from: options.deflate.map_or(usize::MAX, |deflate| deflate.from),
            close_timeout: options.close_timeout,
        }
    }

    pub(super) fn cx<'a>(&'a mut self, hub: &'a mut Hub, id: ConnId, link: &'a mut Link) -> Cx<'a> {
        Cx {
            hub,
            id,
            link,
            shared: self,
            protocol: None,
            ticket: None,
        }
    }
}

/// Makes keys that nobody can foresee: a keyed hash, of which the system has chosen the key, of a
/// number that is never the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    state: RandomState,
    count: u64,
}

impl Keys {
    pub(super) fn next(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.word();
        [a, b, c, d]
    }

    fn word(&mut self) -> [u8; 8] {
        self.count += 1;
        self.state.hash_one(self.count).to_ne_bytes()
    }

    /// For a handshake.
    pub(super) fn nonce(&mut self) -> [u8; 16] {
        let (one, two) = (self.word(), self.word());
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&one);
        nonce[8..].copy_from_slice(&two);
        nonce
    }
}
