//! What an endpoint puts up with.

use std::time::Duration;

use crate::proto::websocket::Limits;
#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::Deflate;

/// The limits of WebSocket connections, each with its unit, its default and where that comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a message. Beyond it the connection fails with 1009. Default 1 MiB.
    pub max_message: usize,
    /// How long a connection may be silent before it is pinged; after as long again it is taken for
    /// dead. So is a peer for which something waits, if it takes nothing of it in that time. Default
    /// 25 s, as Engine.IO's ping interval; a millisecond at least. `None`: for ever.
    pub ping_interval: Option<Duration>,
    /// How long the peer may take to answer our close, and a server to answer a client's handshake.
    /// Default 10 s, as the `websockets` of Python.
    pub close_timeout: Duration,
    /// Whether a ping is answered before `on_ping` hears of it. If not, [`Cx::pong`](super::Cx::pong)
    /// answers it, and a peer that is not answered may take us for dead. Default true, as
    /// fastwebsockets.
    pub auto_pong: bool,
    /// Whether a close is answered as soon as `on_peer_close` has returned. If not,
    /// [`Cx::close`](super::Cx::close) answers it, after whatever is still to be said; without that
    /// the connection is reset when `close_timeout` has passed. Default true, as fastwebsockets.
    pub auto_close: bool,
    /// Whether messages may be compressed, and how: what a server agrees to, and a client offers.
    /// Default: not, as the servers of `ws` and uWebSockets: it costs time and memory.
    #[cfg(feature = "deflate")]
    pub deflate: Option<Compression>,
}

/// How messages are compressed.
#[cfg(feature = "deflate")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// From 0, fastest, to 9, smallest. Default 1.
    pub level: u32,
    /// Bytes of a message from which on it is compressed. Default 1,024, as `ws`.
    pub from: usize,
    /// Whether messages may refer to earlier ones. Small ones become smaller, and each connection
    /// takes some 318 KB more for what it sends, and 18 KB for what it receives. Default false: a
    /// compressor is shared by all.
    pub context_takeover: bool,
}

#[cfg(feature = "deflate")]
impl Default for Compression {
    fn default() -> Self {
        Self {
            level: 1,
            from: 1024,
            context_takeover: false,
        }
    }
}

impl Options {
    /// What we ask for ourselves where messages may be compressed.
    #[cfg(feature = "deflate")]
    pub(super) fn wish(&self) -> Option<Deflate> {
        let forgets = !self.deflate?.context_takeover;
        Some(Deflate {
            server_no_context_takeover: forgets,
            client_no_context_takeover: forgets,
            ..Deflate::default()
        })
    }

    /// How often silence is looked into: with no time in between, that would be for ever.
    pub(super) fn interval(&self) -> Option<Duration> {
        let interval = self.ping_interval?;
        Some(interval.max(Duration::from_millis(1)))
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_message: self.max_message,
            ..Limits::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            ping_interval: Some(Duration::from_secs(25)),
            close_timeout: Duration::from_secs(10),
            auto_pong: true,
            auto_close: true,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}
