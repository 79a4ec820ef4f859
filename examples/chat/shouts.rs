//! Shouts: each datagram is said in the lobby, as `text` or as `nick: text`.
//!
//! Nobody is remembered and nobody is answered. The address of a sender can be made up, so that an
//! answer would be a means of pelting somebody else, and a session with each sender a table that
//! strangers fill.

use std::net::{IpAddr, SocketAddr};

use switchboard::{ConnId, Hub, udp};

use super::chat::Chat;
use super::room::{LOBBY, Line, Via};
use super::words::{MAX_TEXT, clean, name};

impl udp::Receiver for Chat {
    fn on_datagram(&mut self, hub: &mut Hub, _: ConnId, from: SocketAddr, datagram: &[u8]) {
        let from = from.ip().to_canonical();
        match std::str::from_utf8(datagram).map(clean) {
            Ok(text) if is_fit(&text) && self.sources.admit(from, hub.now()) => {
                let (nick, text) = self.read(from, &text);
                let via = Via::Udp;
                self.tell_line(
                    hub,
                    LOBBY,
                    Line {
                        number: 0,
                        nick,
                        via,
                        text,
                        action: false,
                    },
                    None,
                );
            }
            _ => log::debug!("a datagram of {from} is not said"),
        }
    }
}

fn is_fit(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_TEXT
}

impl Chat {
    /// Who says what. A nick that somebody has is not lent to a datagram.
    fn read(&self, from: IpAddr, text: &str) -> (String, String) {
        let named = text.split_once(':').and_then(|(nick, text)| {
            let nick = name(nick).ok()?;
            let is_free = self.rooms.find(nick).is_none();
            Some((nick, text.trim())).filter(|(_, text)| is_free && !text.is_empty())
        });
        match named {
            Some((nick, text)) => (nick.to_owned(), text.to_owned()),
            None => (format!("udp:{from}"), text.to_owned()),
        }
    }
}
