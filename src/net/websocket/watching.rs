//! Signs of life: who is silent is pinged, and who stays it is dead.

use crate::id::ConnId;
use crate::proto::websocket::Error;
use crate::reactor::{Hub, Owner};

use super::Handler;
use super::cx::DEADLINE;
use super::endpoint::Endpoint;

/// Bytes by which a message has to grow from one look to the next while it is being collected.
const GROWTH: usize = 16 * 1024;

/// Looks in a row at which it may not have.
const MOST_STALLS: u8 = 4;

impl<A: Handler> Endpoint<A> {
    /// Looks after a connection from here on.
    pub(super) fn watch(&mut self, hub: &mut Hub, id: ConnId) {
        let Some(interval) = self.options.interval() else {
            return;
        };
        // An interval that reaches beyond what instants can say is for ever.
        if let Some(due) = hub.now().checked_add(interval) {
            self.watched.push_back((id, due));
            self.driver = hub.driver(id);
            self.look_later(hub);
        }
    }

    /// Sets the timer for whoever is to be looked at next.
    fn look_later(&mut self, hub: &mut Hub) {
        if let (false, Some((_, due)), Some(driver)) =
            (self.watching, self.watched.front(), self.driver)
        {
            self.watching = true;
            let after = due.saturating_duration_since(hub.now());
            hub.set_timer(Owner::Driver(driver), after, DEADLINE);
        }
    }

    /// Pings those who have been silent, and ends those who stay it.
    pub(super) fn look_after(&mut self, hub: &mut Hub) {
        let Some(interval) = self.options.interval() else {
            return;
        };
        let now = hub.now();
        while let Some(&(id, due)) = self.watched.front() {
            if due > now {
                break;
            }
            self.watched.pop_front();
            let Some(member) = self.members.get_mut(id) else {
                continue;
            };
            // A message that was begun takes room, and has to get on.
            let within = member.receiver.is_within_message() && hub.wants_data(id);
            let collected = within.then(|| member.receiver.collected());
            let before = std::mem::replace(&mut member.collected, collected);
            let grew = match (collected, before) {
                (Some(now), Some(before)) => !(before..before + GROWTH).contains(&now),
                _ => true,
            };
            member.stalled = if grew { 0 } else { member.stalled + 1 };
            if member.stalled >= MOST_STALLS {
                self.fail(hub, id, Error::TooSlow);
                continue;
            }
            // Who takes nothing of what waits for it is not heard either, since that stops the reading.
            let taken = (hub.backlog(id) > 0).then(|| hub.bytes_written(id));
            let before = std::mem::replace(&mut member.taken, taken);
            if taken.is_some() && taken == before {
                end_silent(hub, id, "read");
                continue;
            }
            // What we do not read cannot be heard, and behind its close nothing is.
            let mute = member.link.close_received || !hub.wants_data(id);
            let heard = std::mem::take(&mut member.heard) || mute;
            if heard {
                member.pinged = false;
            } else if std::mem::replace(&mut member.pinged, true) {
                end_silent(hub, id, "answer");
                continue;
            } else {
                let mut cx = self.shared.cx(hub, id, &mut member.link);
                cx.ping(b"").ignore();
            }
            self.watched
                .extend(now.checked_add(interval).map(|due| (id, due)));
        }
        self.watching = false;
        self.look_later(hub);
    }
}

fn end_silent(hub: &mut Hub, id: ConnId, what: &str) {
    let peer = hub.peer_addr(id);
    log::info!("resetting {id}, peer {peer:?}: it does not {what}");
    hub.abort(id);
}
