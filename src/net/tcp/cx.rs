//! What a callback acts through.

use std::any::Any;
use std::time::Duration;

use crate::id::ConnId;
use crate::proto::Codec;
use crate::reactor::{CloseReason, Hub, Info, Owner, Sent, TimerId};

/// What a callback acts through: this connection by its own methods, everything else by the [`Hub`]
/// that it derefs to.
///
/// Where both have a method of one name, `cx.close()` is about this connection and
/// `cx.hub().close(other)` about any other.
pub struct Cx<'a, C> {
    pub(super) hub: &'a mut Hub,
    id: ConnId,
    codec: &'a C,
    pub(super) ticket: Option<Box<dyn Any>>,
}

impl<'a, C: Codec> Cx<'a, C> {
    pub(super) fn new(hub: &'a mut Hub, id: ConnId, codec: &'a C) -> Self {
        Self {
            hub,
            id,
            codec,
            ticket: None,
        }
    }
    /// This connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// In `on_open` of a connection that we dialled: what the [`Dial`](crate::Dial) was given to
    /// carry. `None` in all other cases.
    pub fn take_ticket(&mut self) -> Option<Box<dyn Any>> {
        self.ticket.take()
    }

    /// Everything else.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub
    }

    /// Sends a message to this connection. It leaves when the callback has returned, with all
    /// others.
    ///
    /// A message that the framing cannot express is `Dropped`, with a warning in the log.
    pub fn send(&mut self, message: &C::Out<'_>) -> Sent {
        self.send_to(self.id, message)
    }

    /// Sends a message to another connection of the same framing.
    pub fn send_to(&mut self, id: ConnId, message: &C::Out<'_>) -> Sent {
        let mut encoded = Ok(());
        let sent = self
            .hub
            .send_with(id, |out| encoded = self.codec.encode(message, out));
        match encoded {
            Ok(()) => sent,
            Err(error) => {
                log::warn!("message for {id} dropped: {error}");
                Sent::Dropped
            }
        }
    }

    /// Sends as many of these bytes as the kernel takes now, and queues nothing: see
    /// [`Hub::try_write`].
    pub fn try_write(&mut self, data: &[u8]) -> Option<usize> {
        self.hub.try_write(self.id, data)
    }

    /// Finishes our side and goes on reading: half a close.
    pub fn shutdown_write(&mut self) {
        self.hub.shutdown_write(self.id);
    }

    /// Closes this connection when all that was sent has left. `on_close` follows when the peer has
    /// closed, too, or has let [`linger`](crate::Limits::linger) go by.
    pub fn close(&mut self) {
        self.hub.close(self.id);
    }

    /// Closes it and gives `on_close` another reason.
    pub fn close_for(&mut self, reason: CloseReason) {
        self.hub.close_for(self.id, reason);
    }

    /// Resets this connection.
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

    /// Addresses, traffic and age.
    pub fn info(&self) -> Option<Info> {
        self.hub.info(self.id)
    }

    /// Calls `on_timer` with `key` after this time, unless the connection closes before. `None` as
    /// [`Hub::set_timer`].
    pub fn set_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        self.hub.set_timer(Owner::Conn(self.id), after, key)
    }

    /// Adds this connection to the subscribers of a topic. False as [`Hub::subscribe`].
    pub fn subscribe(&mut self, topic: &str) -> bool {
        self.hub.subscribe(self.id, topic)
    }

    /// Takes it out again.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.hub.unsubscribe(self.id, topic)
    }
}

acts_through_hub!(Cx<'_, C>, C);
