//! What can be done about a connection from outside of its own callbacks.

use crate::id::ConnId;
use crate::proto::websocket::Code;
use crate::reactor::{DriverId, Hub, Sent};

use super::Upgrade;
use super::framing::without_deflate;
use super::message::{Message, Prepared};

/// Sends a message to a connection, from anywhere. It is compressed if that was agreed on without
/// context take-over and with the largest window: the compressor that all share has that one.
pub fn send<'m>(hub: &mut Hub, id: ConnId, message: impl Into<Message<'m>>) -> Sent {
    let message = message.into();
    hub.send_framed(id, message.as_bytes(), message.kind())
}

/// Sends a message to a connection as it is: [`Cx::send_uncompressed`](super::Cx), from anywhere.
pub fn send_uncompressed<'m>(hub: &mut Hub, id: ConnId, message: impl Into<Message<'m>>) -> Sent {
    let (message, form) = (message.into(), without_deflate(hub.form(id)));
    match hub.framed(id, message.as_bytes(), message.kind(), form) {
        Some(frame) => hub.send_shared(id, frame.into()),
        None => Sent::Closed,
    }
}

/// Sends a message that was framed before to a connection, from anywhere.
pub fn send_prepared(hub: &mut Hub, id: ConnId, message: &Prepared) -> Sent {
    message.send(hub, id)
}

/// Calls `f` for each connection of an endpoint that can be sent to: whose handshake is done, and
/// that is not closing.
pub fn for_each(hub: &mut Hub, endpoint: DriverId, mut f: impl FnMut(&mut Hub, ConnId)) {
    for id in hub.ids(endpoint) {
        // What was done about an earlier one may have ended this one.
        if hub.accepts_sends(id) {
            f(hub, id);
        }
    }
}

/// How many connections [`for_each`] would be called for.
pub fn count(hub: &Hub, endpoint: DriverId) -> usize {
    let ids = hub.ids(endpoint).into_iter();
    ids.filter(|id| hub.accepts_sends(*id)).count()
}

/// Closes a connection, from anywhere: [`Cx::close`](super::Cx::close), in the next turn.
pub fn close(hub: &mut Hub, id: ConnId, code: Code, reason: &str) {
    hub.post(id, Box::new(PleaseClose(code, reason.to_owned())));
}

/// What [`close`] posts.
pub(super) struct PleaseClose(pub(super) Code, pub(super) String);

/// Says what is to become of a client whose [`on_upgrade`](super::Handler::on_upgrade) said
/// [`Later`](Upgrade::Later), from anywhere.
pub fn decide(hub: &mut Hub, id: ConnId, upgrade: impl Into<Upgrade>) {
    hub.post(id, Box::new(Decision(upgrade.into())));
}

/// What [`decide`] posts.
pub(super) struct Decision(pub(super) Upgrade);
