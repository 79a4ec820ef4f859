//! A connection of an endpoint, from the handshake on.

use std::any::Any;

use crate::net::http::Kept;
use crate::proto::http1::Scan;
#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::{Deflate, Pool};
use crate::proto::websocket::{Receiver, Role};
#[cfg(feature = "deflate")]
use crate::reactor::Form;
use crate::reactor::TimerId;

#[cfg(feature = "deflate")]
use super::framing::{DEFLATED, MASKED, PLAIN};
use super::link::Link;
#[cfg(feature = "deflate")]
use super::link::Own;
use super::options::Options;

/// One connection.
pub(super) struct Member<C> {
    pub(super) receiver: Receiver,
    pub(super) link: Link,
    pub(super) stage: Stage<C>,
    /// Something has come since it was looked at last.
    pub(super) heard: bool,
    /// It was pinged when nothing had.
    pub(super) pinged: bool,
    /// Bytes of an incomplete message when it was looked at last, and how often it had not grown.
    pub(super) collected: Option<usize>,
    pub(super) stalled: u8,
    /// Bytes that it had taken when it was looked at last, if more waited for it.
    pub(super) taken: Option<u64>,
    /// The answer to the last ping, if it could not be sent yet.
    pub(super) pong: Option<Box<[u8]>>,
}

/// How far a connection has come.
pub(super) enum Stage<C> {
    /// A client waits for our decision.
    Deciding(Box<Asked>),
    /// We wait for a server's.
    Asking(Box<Asking>),
    Open(C),
    /// It has failed before it was open, or its state is with `on_close`.
    Over,
}

/// What a client has asked.
pub(super) struct Asked {
    pub(super) request: Kept,
    /// Until then the decision has to be there, if it was put off.
    pub(super) deadline: Option<TimerId>,
}

/// What we have asked a server.
pub(super) struct Asking {
    pub(super) scan: Scan,
    pub(super) key: String,
    pub(super) protocols: Vec<String>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Deflate>,
    pub(super) request: Kept,
    pub(super) deadline: Option<TimerId>,
    pub(super) ticket: Option<Box<dyn Any>>,
}

impl<C> Member<C> {
    pub(super) fn new(role: Role, options: &Options, stage: Stage<C>) -> Self {
        Self {
            receiver: Receiver::new(role, options.limits()),
            link: Link::new(role),
            stage,
            heard: false,
            pinged: false,
            collected: None,
            stalled: 0,
            taken: None,
            pong: None,
        }
    }
    /// Lets messages be compressed as both sides have agreed. Returns the form in which they are
    /// sent from now on.
    #[cfg(feature = "deflate")]
    pub(super) fn agree(&mut self, agreed: Deflate, options: &Options, pool: &Pool) -> Form {
        let server = (
            agreed.server_no_context_takeover,
            agreed.server_max_window_bits,
        );
        let client = (
            agreed.client_no_context_takeover,
            agreed.client_max_window_bits,
        );
        let ((forgets, bits), (peer_forgets, _), plain) = match self.link.role {
            Role::Server => (server, client, PLAIN),
            Role::Client => (client, server, MASKED),
        };
        let receiver = Receiver::new(self.link.role, options.limits());
        self.receiver = receiver.inflating(!peer_forgets);
        match bits.unwrap_or(15) {
            // The one that all share has the largest window, and forgets.
            15 if forgets => return Form(plain.0 | DEFLATED.0),
            // No compressor has so small a window. What is not compressed is always allowed.
            ..=8 => {}
            bits => {
                let deflater = pool.deflater(bits);
                self.link.own = Some(Box::new(Own { deflater, forgets }));
            }
        }
        plain
    }
}
