//! Somebody who is connected, and how fast he may talk.

use std::time::Instant;

use switchboard::{ConnId, Hub, Owner, websocket};

use super::flood::{Bucket, Verdict};
use super::news::{News, tell};
use super::room::Via;

/// The key of the timer after which somebody is heard again.
pub(crate) const RESUME: u32 = 0;

/// One connection, of a page or of a client that sends lines.
pub(crate) struct Guest {
    pub(crate) id: ConnId,
    pub(crate) via: Via,
    /// Once it has said who it is.
    pub(crate) place: Option<Place>,
    bucket: Bucket,
}

/// Where somebody is, and under which nick.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) room: String,
    pub(crate) nick: String,
}

impl Guest {
    pub(crate) fn new(id: ConnId, via: Via, now: Instant) -> Self {
        let bucket = Bucket::new(now);
        Self {
            id,
            via,
            place: None,
            bucket,
        }
    }

    /// Counts a message. Who sends too many is not read from for a while: they wait where they come
    /// from, and nothing is lost. False if it is time to go.
    pub(crate) fn may_talk(&mut self, hub: &mut Hub) -> bool {
        let wait = match self.bucket.take(hub.now()) {
            Verdict::Fine => return true,
            Verdict::Warn(wait) => {
                let text = "Slow down: two lines a second are heard, and the others wait.";
                tell(hub, self, &News::Notice(text));
                wait
            }
            Verdict::Wait(wait) => wait,
            Verdict::Out => {
                tell(hub, self, &News::Notice("That was too much. Good bye."));
                self.quit(hub);
                return false;
            }
        };
        hub.pause(self.id);
        hub.set_timer(Owner::Conn(self.id), wait, RESUME);
        true
    }

    /// Closes the connection, as its protocol has it.
    pub(crate) fn quit(&self, hub: &mut Hub) {
        match self.via {
            Via::Web => websocket::close(hub, self.id, websocket::Code::NORMAL, "quit"),
            Via::Lines | Via::Udp => hub.close(self.id),
        }
    }
}
