//! What people are told, and how it reaches them.
//!
//! The members of a room subscribe to a topic of it, and each way in has its own: what happens in
//! the room `tea` is published to `tea/web` as JSON and to `tea/nc` as a line. So it is written
//! twice and framed twice, however many read it. Who does not read has it waiting, up to the limit
//! in `main.rs`, and is then disconnected by the loop: nobody here waits for anybody.

use switchboard::{ConnId, Hub, Kind, Publish};

use super::guest::Guest;
use super::room::{Line, Room, Rooms, Via};
use super::{lines, web};

/// The topic of all pages. That of a room has a slash.
pub(crate) const PAGES: &str = "pages";

/// Something to tell.
pub(crate) enum News<'a> {
    /// What you have sent has been dealt with.
    Done,
    Here(Here<'a>),
    Joined(&'a str, Via),
    Left(&'a str),
    Line(&'a Line),
    Notice(&'a str),
    /// What you have sent comes to nothing, for this reason.
    Refused(&'a str),
    /// From one nick to another.
    Renamed(&'a str, &'a str),
    Rooms(&'a Rooms),
    Typing(&'a str),
}

/// Where you are now.
pub(crate) struct Here<'a> {
    pub(crate) name: &'a str,
    pub(crate) room: &'a Room,
    /// What you are called.
    pub(crate) nick: &'a str,
    /// The last line that you have seen.
    pub(crate) since: u64,
    pub(crate) ports: Ports,
}

/// The ports of the other ways in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ports {
    pub(crate) nc: u16,
    pub(crate) udp: u16,
}

/// Tells one connection, which frames it in its own way.
pub(crate) fn tell(hub: &mut Hub, guest: &Guest, news: &News<'_>) {
    let text = match guest.via {
        Via::Web => web::json(news),
        Via::Lines | Via::Udp => lines::text(news),
    };
    if !text.is_empty() {
        hub.send_framed(guest.id, text.as_bytes(), Kind::Text)
            .ignore();
    }
}

/// Tells everybody in a room.
pub(crate) fn announce(hub: &mut Hub, room: &str, news: &News<'_>, except: Option<ConnId>) {
    publish(hub, &topic(room, Via::Web), &web::json(news), except);
    publish(hub, &topic(room, Via::Lines), &lines::text(news), except);
}

pub(crate) fn publish(hub: &mut Hub, topic: &str, text: &str, except: Option<ConnId>) {
    let (data, kind) = (text.as_bytes(), Kind::Text);
    hub.publish(Publish {
        topic,
        data,
        kind,
        except,
    });
}

/// The topic of those who have come to a room in this way.
pub(crate) fn topic(room: &str, via: Via) -> String {
    format!("{room}/{}", via.as_str())
}
