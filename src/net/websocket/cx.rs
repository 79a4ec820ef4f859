//! What a callback acts through.

use std::any::Any;
use std::time::Duration;

use crate::id::ConnId;
use crate::proto::websocket::{Code, OpCode, Role, write};
use crate::reactor::{CloseReason, Hub, Owner, Sent, TimerId};

#[cfg(feature = "deflate")]
use super::framing::DEFLATED;
use super::link::{Link, Shared};
use super::message::{Message, Prepared};

/// The key of an endpoint's own timers.
pub(super) const DEADLINE: u32 = u32::MAX;

/// What a callback acts through: this connection by its own methods, everything else by the [`Hub`]
/// that it derefs to.
pub struct Cx<'a> {
    pub(super) hub: &'a mut Hub,
    pub(super) id: ConnId,
    pub(super) link: &'a mut Link,
    pub(super) shared: &'a mut Shared,
    pub(super) protocol: Option<&'a str>,
    pub(super) ticket: Option<Box<dyn Any>>,
}

impl Cx<'_> {
    /// This connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// In `on_open`: the sub-protocol that both sides have agreed on.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol
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
        if data.len() < self.shared.compress_from {
            return None;
        }
        let Some(own) = &mut self.link.own else {
            let is_deflated = self.hub.form(self.id).0 & DEFLATED.0 != 0;
            return is_deflated.then(|| self.hub.send_framed(self.id, data, message.kind()));
        };
        let mut payload = Vec::with_capacity(data.len() / 2);
        if own.forgets {
            own.deflater.reset();
        }
        own.deflater.deflate(data, &mut payload);
        let (key, opcode) = (self.key(), message.opcode());
        let sent = self.hub.send_with(self.id, |out| {
            write::compressed(out, opcode, true, &payload, key);
        });
        if let (Sent::Dropped, Some(own)) = (sent, &mut self.link.own) {
            // The peer has not seen it, so nothing may refer to it.
            own.deflater.reset();
        }
        Some(sent)
    }

    /// Sends a message that was framed before. To a server it is framed again, with a mask of its
    /// own.
    pub fn send_prepared(&mut self, message: &Prepared) -> Sent {
        match self.link.within {
            true => Sent::Dropped,
            false => message.send(self.hub, self.id),
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

    /// Sends a pong: a sign of life, or where [`auto_pong`](super::Options::auto_pong) is off the
    /// answer to a ping, whose payload it has to repeat. Of more than 125 bytes the rest is left out.
    pub fn pong(&mut self, payload: &[u8]) -> Sent {
        self.frame(OpCode::Pong, true, &payload[..payload.len().min(125)])
    }

    /// Begins to close, or answers the peer's close: says why, sends nothing more, and waits for the
    /// peer's own close. A pause ends by this. `on_close` follows when the connection has ended below,
    /// at the latest after [`close_timeout`](super::Options::close_timeout) and
    /// [`linger`](crate::Limits::linger).
    pub fn close(&mut self, code: Code, reason: &str) {
        // Whom the application has ended otherwise can be told nothing.
        if self.link.close_sent || !self.hub.is_open(self.id) {
            return;
        }
        // Nothing follows it, so that it may go beyond the bound.
        if let Some(mut limits) = self.hub.limits(self.id) {
            if self.hub.backlog(self.id) >= limits.max_backlog {
                limits.max_backlog = usize::MAX;
                self.hub.set_limits(self.id, limits);
            }
        }
        let key = self.key();
        self.hub
            .send_with(self.id, |out| write::close(out, code, reason, key))
            .ignore();
        if self.link.ended.is_none() {
            self.link.ended = Some(Box::new((code, reason.to_owned())));
        }
        self.link.close_sent = true;
        self.hub.mute(self.id);
        self.hub.resume(self.id);
        self.wait_for_end();
        if self.link.close_received {
            self.close_below();
        }
    }

    /// The peer has begun to close, and the application has heard of it.
    pub(super) fn peer_closes(&mut self, code: Code, answer: bool) {
        if self.link.close_sent || !self.hub.is_open(self.id) {
            return;
        }
        match code {
            _ if !answer => self.wait_for_end(),
            Code::NONE => self.close(Code::NORMAL, ""),
            code => self.close(code, ""),
        }
    }

    /// Both sides have said that they close. RFC 6455, section 7.1.1: the server ends the connection
    /// below; a client waits for it, unless it has.
    pub(super) fn close_below(&mut self) {
        if self.link.role == Role::Server || self.link.finished {
            self.hub.close_for(self.id, CloseReason::Peer);
        }
    }

    fn wait_for_end(&mut self) {
        let owner = Owner::Conn(self.id);
        let deadline = self
            .hub
            .set_timer(owner, self.shared.close_timeout, DEADLINE);
        // An answer by hand is waited upon for as long, however late it comes.
        if let Some(before) = std::mem::replace(&mut self.link.deadline, deadline) {
            self.hub.cancel_timer(before);
        }
    }

    /// Resets this connection: the peer sees that it ended without a close, 1006.
    pub fn abort(&mut self) {
        self.hub.abort(self.id);
    }

    /// Stops reading from it.
    pub fn pause(&mut self) {
        self.hub.pause(self.id);
    }

    /// Goes on reading from it.
    pub fn resume(&mut self) {
        self.hub.resume(self.id);
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

    /// Calls `on_timer` with `key` after this time, unless the connection closes before. `None` as
    /// [`Hub::set_timer`], and for the highest key, which is the endpoint's own.
    pub fn set_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        if key == DEADLINE {
            return None;
        }
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

acts_through_hub!(Cx<'_>);
