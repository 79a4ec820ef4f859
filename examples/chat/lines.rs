//! People who send lines: `nc 127.0.0.1 5001`.
//!
//! The first line is the name. What comes from the server begins with a nick and a colon, with `*`
//! for what somebody does, and with `--` for everything else.

use switchboard::tcp::{self, Lines, line};
use switchboard::{CloseReason, ConnId, Hub};

use super::chat::{Chat, Join};
use super::guest::{Guest, RESUME};
use super::news::{News, tell};
use super::room::{LOBBY, Line, Via};

impl tcp::Handler<Lines> for Chat {
    type Conn = Guest;

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, Lines>) -> Option<Guest> {
        let guest = Guest::new(cx.id(), Via::Lines, cx.now());
        tell(cx, &guest, &News::Notice("Welcome. What is your name?"));
        Some(guest)
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, Lines>, guest: &mut Guest, line: &[u8]) {
        if !guest.may_talk(cx) {
            return;
        }
        match std::str::from_utf8(line) {
            Err(_) => tell(
                cx,
                guest,
                &News::Refused("That is no UTF-8, and was not said."),
            ),
            Ok(text) if guest.place.is_some() => self.typed(cx, guest, text),
            Ok(nick) => {
                let (room, key, since) = (LOBBY, None, 0);
                self.join(
                    cx,
                    guest,
                    &Join {
                        nick,
                        room,
                        key,
                        since,
                    },
                );
            }
        }
    }

    fn on_error(&mut self, cx: &mut tcp::Cx<'_, Lines>, guest: &mut Guest, error: line::Error) {
        tell(cx, guest, &News::Refused(&format!("Good bye: {error}.")));
    }

    fn on_timer(&mut self, cx: &mut tcp::Cx<'_, Lines>, _: &mut Guest, key: u32) {
        if key == RESUME {
            cx.resume();
        }
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, Lines>, guest: Guest, reason: CloseReason) {
        log::debug!("{} ended: {reason}", cx.id());
        self.leave(cx, &guest);
    }

    fn on_panicked(&mut self, hub: &mut Hub, id: ConnId) {
        self.lose(hub, id);
    }
}

/// News in one or several lines; in none what is of no concern to who reads lines.
pub(crate) fn text(news: &News<'_>) -> String {
    match news {
        News::Done | News::Rooms(_) | News::Typing(_) => String::new(),
        News::Here(here) => {
            let (name, nick, room) = (here.name, here.nick, here.room);
            let begin =
                format!("-- You are {nick}, in {name}. {room}\n-- /help lists the commands.");
            room.lines_since(here.since)
                .fold(begin, |text, line| text + "\n" + &said(line))
        }
        News::Joined(nick, _) => format!("-- {nick} is here."),
        News::Left(nick) => format!("-- {nick} has left."),
        News::Line(line) => said(line),
        News::Notice(text) | News::Refused(text) => format!("-- {}", text.replace('\n', "\n-- ")),
        News::Renamed(from, to) => format!("-- {from} is called {to} now."),
    }
}

fn said(
    Line {
        nick, text, action, ..
    }: &Line,
) -> String {
    match action {
        true => format!("* {nick} {text}"),
        false => format!("{nick}: {text}"),
    }
}
