//! What a callback acts through.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::Bytes;

use crate::id::ConnId;
#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::{Deflater, Pool};
use crate::proto::websocket::{Code, OpCode, Role, write};
use crate::reactor::{Hub, Kind, Limits, Owner, Sent, TimerId};

use super::options::Options;

/// The key of an endpoint's own timers.
pub(super) const DEADLINE: u32 = u32::MAX;

/// A message, borrowed from where it was found or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Its bytes, whatever it is.
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }

    const fn opcode(&self) -> OpCode {
        match self {
            Self::Text(_) => OpCode::Text,
            Self::Binary(_) => OpCode::Binary,
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self::Binary(data)
    }
}

/// A message that is framed once, for any number of receivers.
#[derive(Clone, Debug)]
pub struct Prepared(pub(super) Bytes);

impl Prepared {
    /// Frames a message as servers send it.
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Self {
        let (message, mut out) = (message.into(), Vec::new());
        write::frame(&mut out, message.opcode(), true, message.as_bytes(), None);
        Self(out.into())
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

/// What all connections of an endpoint send with.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) keys: Keys,
    #[cfg(feature = "deflate")]
    pub(super) pool: Pool,
    close_timeout: Duration,
}

impl Shared {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            keys: Keys::default(),
            #[cfg(feature = "deflate")]
            pool: Pool::new(options.deflate.unwrap_or_default().level),
            close_timeout: options.close_timeout,
        }
    }

    pub(super) fn cx<'a>(&'a mut self, hub: &'a mut Hub, id: ConnId, link: &'a mut Link) -> Cx<'a> {
        Cx {
            hub,
            id,
            link,
            shared: self,
            ticket: None,
        }
    }
}

/// What sending has to know of one connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) role: Role,
    /// We have sent a close.
    pub(super) close_sent: bool,
    /// The peer has.
    pub(super) close_received: bool,
    /// A message is being sent in fragments.
    pub(super) within: bool,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Box<Deflating>>,
    /// How the connection ends, if that is known already.
    pub(super) ended: Option<Box<(Code, String)>>,
}

/// Messages may be compressed.
#[cfg(feature = "deflate")]
#[derive(Debug)]
pub(super) struct Deflating {
    /// Bytes of a message from which on it is.
    pub(super) from: usize,
    /// A compressor of its own, if the shared one would not do.
    pub(super) own: Option<Deflater>,
    /// That is to forget each message.
    pub(super) forgets: bool,
}

/// What a callback acts through: this connection by its own methods, everything else by the [`Hub`]
/// that it derefs to.
pub struct Cx<'a> {
    pub(super) hub: &'a mut Hub,
    pub(super) id: ConnId,
    pub(super) link: &'a mut Link,
    pub(super) shared: &'a mut Shared,
    pub(super) ticket: Option<Box<dyn Any>>,
}

impl Cx<'_> {
    /// This connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// In `on_open` of a connection that we dialled: what the [`Dial`](super::Dial) was given to
    /// carry.
    pub fn take_ticket(&mut self) -> Option<Box<dyn Any>> {
        self.ticket.take()
    }

    /// Everything else.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub
    }

    /// Sends a message. It leaves when the callback has returned, with all others.
    ///
    /// `Closed` after a close, whoever has sent it.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        if self.link.within {
            log::warn!(
                "{}: a message within another that is sent in fragments is dropped",
                self.id
            );
            return Sent::Dropped;
        }
        #[cfg(feature = "deflate")]
        if let Some(sent) = self.send_compressed(message) {
            return sent;
        }
        self.frame(message.opcode(), true, message.as_bytes())
    }

    /// Sends a message as it is, even if it would be compressed otherwise: for what is compressed
    /// already, or secret beside something that others have chosen.
    pub fn send_uncompressed<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        match self.link.within {
            true => Sent::Dropped,
            false => self.frame(message.opcode(), true, message.as_bytes()),
        }
    }

    /// Sends a message compressed, if that was agreed and is worth it.
    #[cfg(feature = "deflate")]
    fn send_compressed(&mut self, message: Message<'_>) -> Option<Sent> {
        let data = message.as_bytes();
        let deflate = self.link.deflate.as_mut()?;
        if data.len() < deflate.from {
            return None;
        }
        let mut payload = Vec::with_capacity(data.len() / 2);
        match &mut deflate.own {
            None => self.shared.pool.deflate(data, &mut payload),
            Some(own) => {
                if deflate.forgets {
                    own.reset();
                }
                own.deflate(data, &mut payload);
            }
        }
        let (key, opcode) = (self.key(), message.opcode());
        Some(self.hub.send_with(self.id, |out| {
            write::compressed(out, opcode, true, &payload, key);
        }))
    }

    /// Sends a message that was framed before.
    pub fn send_prepared(&mut self, message: &Prepared) -> Sent {
        match self.link.role {
            Role::Server if !self.link.within => self.hub.send_shared(self.id, message.0.clone()),
            _ => Sent::Dropped,
        }
    }

    /// Sends a piece of a message. The first one says by its kind what the message is.
    ///
    /// Nothing else may be sent in between, and that is yours to see to: neither by
    /// [`send`](super::send) from elsewhere nor by a publish to a topic of this connection. A piece
    /// that meets a full backlog costs the connection, whatever the policy.
    pub fn send_fragment<'m>(&mut self, piece: impl Into<Message<'m>>, last: bool) -> Sent {
        let piece = piece.into();
        let opcode = match self.link.within {
            true => OpCode::Continuation,
            false => piece.opcode(),
        };
        self.link.within = !last;
        let sent = self.frame(opcode, last, piece.as_bytes());
        if sent == Sent::Dropped {
            self.abort();
        }
        sent
    }

    /// Sends a ping. The answer comes to `on_pong`. Of more than 125 bytes of payload the rest is
    /// left out.
    pub fn ping(&mut self, payload: &[u8]) -> Sent {
        self.frame(OpCode::Ping, true, &payload[..payload.len().min(125)])
    }

    /// Begins to close: says why, sends nothing more, and waits for the peer's own close.
    /// `on_close` follows.
    pub fn close(&mut self, code: Code, reason: &str) {
        if self.link.close_sent {
            return;
        }
        let key = self.key();
        let send =
            |hub: &mut Hub| hub.send_with(self.id, |out| write::close(out, code, reason, key));
        if send(self.hub) == Sent::Dropped {
            // Nothing follows it, so that it may go beyond the bound.
            if let Some(limits) = self.hub.limits(self.id) {
                let max_backlog = usize::MAX;
                self.hub.set_limits(
                    self.id,
                    Limits {
                        max_backlog,
                        ..limits
                    },
                );
                send(self.hub).ignore();
            }
        }
        if self.link.ended.is_none() {
            self.link.ended = Some(Box::new((code, reason.to_owned())));
        }
        self.link.close_sent = true;
        self.hub.mute(self.id);
        self.hub
            .set_timer(Owner::Conn(self.id), self.shared.close_timeout, DEADLINE);
    }

    /// Resets this connection: the peer sees that it ended without a close, 1006.
    pub fn abort(&mut self) {
        self.hub.abort(self.id);
    }

    /// Stops reading from it.
    pub fn pause(&mut self) {
        self.hub.pause(self.id);
    }

    /// Adds this connection to the subscribers of a topic. False for one that we have dialled: each of
    /// our frames to a server has a mask of its own, so none can be shared.
    pub fn subscribe(&mut self, topic: &str) -> bool {
        self.link.role == Role::Server && self.hub.subscribe(self.id, topic)
    }

    /// Takes it out again.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.hub.unsubscribe(self.id, topic)
    }

    /// Calls `on_timer` with `key` after this time, unless the connection closes before. The highest
    /// key is the endpoint's own.
    pub fn set_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        self.hub.set_timer(Owner::Conn(self.id), after, key)
    }

    pub(super) fn frame(&mut self, opcode: OpCode, fin: bool, payload: &[u8]) -> Sent {
        let key = self.key();
        self.hub.send_with(self.id, |out| {
            write::frame(out, opcode, fin, payload, key);
        })
    }

    fn key(&mut self) -> Option<[u8; 4]> {
        match self.link.role {
            Role::Server => None,
            Role::Client => Some(self.shared.keys.next()),
        }
    }
}

/// Sends a message to a connection that we serve, from anywhere. (One that we have dialled is sent
/// to through its own callbacks.)
pub fn send<'m>(hub: &mut Hub, id: ConnId, message: impl Into<Message<'m>>) -> Sent {
    let message = message.into();
    hub.send_with(id, |out| {
        write::frame(out, message.opcode(), true, message.as_bytes(), None);
    })
}

/// Sends a message that was framed before to a connection that we serve, from anywhere.
pub fn send_prepared(hub: &mut Hub, id: ConnId, message: &Prepared) -> Sent {
    hub.send_shared(id, message.0.clone())
}

/// Closes a connection, from anywhere: [`Cx::close`], in the next turn.
pub fn close(hub: &mut Hub, id: ConnId, code: Code, reason: &str) {
    hub.post(id, Box::new(PleaseClose(code, reason.to_owned())));
}

/// What [`close`] posts.
pub(super) struct PleaseClose(pub(super) Code, pub(super) String);

/// Frames what is published to the connections of an endpoint.
#[derive(Debug)]
pub(super) struct AsMessages;

impl crate::reactor::Framer for AsMessages {
    fn frame(&self, data: &[u8], kind: Kind, out: &mut Vec<u8>) {
        // What is published as text without being that would cost each receiver its connection.
        let opcode = match kind {
            Kind::Text if simdutf8::basic::from_utf8(data).is_ok() => OpCode::Text,
            _ => OpCode::Binary,
        };
        write::frame(out, opcode, true, data, None);
    }
}

impl Deref for Cx<'_> {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        self.hub
    }
}

impl DerefMut for Cx<'_> {
    fn deref_mut(&mut self) -> &mut Hub {
        self.hub
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
