//! People who use the page, and the page.
//!
//! It is served at `/`, and talks by WebSocket at `/ws`, in objects of JSON that have one member.
//! A page sends:
//!
//! | | |
//! |---|---|
//! | `{"join": {"nick": "otter", "room": "lobby", "since": 0, "key": "7f3a"}}` | first of all |
//! | `{"say": "hello"}` | what was typed, commands included |
//! | `{"typing": true}` | something is being typed |
//!
//! `since` is the number of the last line that it has, and `key` what tells it from others of its
//! nick. To `join`, the answer is `here` or `refused`; to `say`, `done` or `refused`, each in its
//! turn. A page is sent:
//!
//! | | |
//! |---|---|
//! | `{"here": {"room": "lobby", "nick": "otter", "people": [..], "lines": [..], "ports": {..}}}` | where it is now |
//! | `{"line": {"number": 1767225600000, "nick": "mika", "via": "nc", "text": "hi", "action": false}}` | said, or with `/me` done |
//! | `{"joined": {"nick": "mika", "via": "nc"}}` | somebody has come |
//! | `{"left": "mika"}` | and gone |
//! | `{"renamed": {"from": "mika", "to": "mira"}}` | is called something else |
//! | `{"rooms": [{"name": "lobby", "people": 2}]}` | which rooms there are |
//! | `{"typing": "mika"}` | is typing |
//! | `{"notice": "Slow down .."}` | for this page only |
//! | `{"refused": "There is no /foo .."}` | what was sent has come to nothing |
//! | `{"done": true}` | what was sent has been dealt with |
//!
//! `people` are as in `joined`, and `lines` as in `line`. A line's number is its time, in
//! milliseconds since 1970. `ports` are those of the other ways in: `{"nc": 5001, "udp": 5002}`.

use serde_json::{Value, json};
use switchboard::http::{self, Response};
use switchboard::websocket::{Closed, Cx, Handler, Message};
use switchboard::{ConnId, Hub};

use super::chat::{Chat, Join};
use super::guest::{Guest, Place, RESUME};
use super::news::{News, publish, tell, topic};
use super::room::{LOBBY, Line, Person, Via};

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/chat.css");
const SCRIPT: &str = include_str!("page/chat.js");

/// The page loads nothing but its own files, connects to nobody else, and makes no markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

/// What a page may send.
const EXPECTED: &str = "Expected {\"join\": ..}, {\"say\": text} or {\"typing\": true}.";

/// Adds the files of the page to a server.
pub(crate) fn pages(server: http::Server<Chat>) -> http::Server<Chat> {
    server
        .get("/", |_, cx, _| serve(cx, Response::html(200, PAGE)))
        .get("/chat.css", |_, cx, _| {
            serve(cx, Response::typed(200, "text/css; charset=utf-8", STYLE));
        })
        .get("/chat.js", |_, cx, _| {
            serve(
                cx,
                Response::typed(200, "text/javascript; charset=utf-8", SCRIPT),
            );
        })
}

fn serve(cx: &mut http::Cx<'_>, file: Response) {
    let file = file
        .field("Cache-Control", "no-cache")
        .field("Content-Security-Policy", POLICY)
        .field("Referrer-Policy", "no-referrer")
        .field("X-Content-Type-Options", "nosniff");
    cx.respond(file).ignore();
}

impl Handler for Chat {
    type Conn = Guest;

    fn on_open(&mut self, cx: &mut Cx<'_>, _: &http::Request<'_>) -> Option<Guest> {
        Some(Guest::new(cx.id(), Via::Web, cx.now()))
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, guest: &mut Guest, message: Message<'_>) {
        if !guest.may_talk(cx) {
            return;
        }
        let message: Value = serde_json::from_slice(message.as_bytes()).unwrap_or_default();
        if let Some(text) = message["say"].as_str() {
            self.typed(cx, guest, text);
        } else if message["typing"] == true {
            typing(cx, guest);
        } else if let (Some(join), None) = (read_join(&message["join"]), &guest.place) {
            self.join(cx, guest, &join);
        } else {
            tell(cx, guest, &News::Refused(EXPECTED));
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, _: &mut Guest, key: u32) {
        if key == RESUME {
            cx.resume();
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, guest: Guest, closed: Closed<'_>) {
        log::debug!("{} ended: {closed:?}", cx.id());
        self.leave(cx, &guest);
    }

    fn on_panicked(&mut self, hub: &mut Hub, id: ConnId) {
        self.lose(hub, id);
    }
}

/// Somebody is typing, which only pages show.
fn typing(hub: &mut Hub, guest: &Guest) {
    if let Some(Place { room, nick }) = &guest.place {
        let json = json(&News::Typing(nick));
        publish(hub, &topic(room, Via::Web), &json, Some(guest.id));
    }
}

fn read_join(join: &Value) -> Option<Join<'_>> {
    Some(Join {
        nick: join["nick"].as_str()?,
        room: join["room"].as_str().unwrap_or(LOBBY),
        key: join["key"].as_str().filter(|key| key.len() <= 64),
        since: join["since"].as_u64().unwrap_or(0),
    })
}

/// News as pages read them.
pub(crate) fn json(news: &News<'_>) -> String {
    let json = match news {
        News::Done => json!({ "done": true }),
        News::Here(here) => json!({ "here": {
            "room": here.name,
            "nick": here.nick,
            "people": here.room.people().map(person).collect::<Value>(),
            "lines": here.room.lines_since(here.since).map(line).collect::<Value>(),
            "ports": { "nc": here.ports.nc, "udp": here.ports.udp },
        }}),
        News::Joined(nick, via) => json!({ "joined": { "nick": nick, "via": via.as_str() } }),
        News::Left(nick) => json!({ "left": nick }),
        News::Line(said) => json!({ "line": line(said) }),
        News::Notice(text) => json!({ "notice": text }),
        News::Refused(why) => json!({ "refused": why }),
        News::Renamed(from, to) => json!({ "renamed": { "from": from, "to": to } }),
        News::Rooms(rooms) => json!({ "rooms": rooms.iter().map(|(name, room)| {
            json!({ "name": name, "people": room.people().len() })
        }).collect::<Value>() }),
        News::Typing(nick) => json!({ "typing": nick }),
    };
    json.to_string()
}

fn person(person: &Person) -> Value {
    json!({ "nick": person.nick, "via": person.via.as_str() })
}

fn line(line: &Line) -> Value {
    json!({
        "number": line.number,
        "nick": line.nick,
        "via": line.via.as_str(),
        "text": line.text,
        "action": line.action,
    })
}
