//! The rooms: who is in them, and what was said. Pure data; it sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use switchboard::ConnId;

use super::words::{fold, name};

/// The room that is always there.
pub(crate) const LOBBY: &str = "lobby";

/// Rooms at a time.
const MAX_ROOMS: usize = 100;

/// Lines that a room remembers, and their bytes.
const MAX_LINES: usize = 50;
const MAX_BYTES: usize = 32 * 1024;

/// People that are named where all of them are asked for.
const MAX_NAMED: usize = 50;

/// How somebody came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Lines,
    Udp,
    Web,
}

impl Via {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "nc",
            Self::Udp => "udp",
            Self::Web => "web",
        }
    }
}

/// Something that was said, or done.
#[derive(Debug)]
pub(crate) struct Line {
    /// When, in milliseconds since 1970; of lines that are as old as another, a little later. So it
    /// is a number that no other line has, not even after a restart.
    pub(crate) number: u64,
    pub(crate) nick: String,
    pub(crate) via: Via,
    pub(crate) text: String,
    /// By `/me`.
    pub(crate) action: bool,
}

/// Somebody in a room.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: ConnId,
    pub(crate) nick: String,
    pub(crate) via: Via,
    /// What only its page knows, so that this can take its name back when its connection has broken.
    pub(crate) key: Option<String>,
}

impl Person {
    /// Whether this is somebody with a key, and that is it.
    pub(crate) fn has_key(&self, key: Option<&str>) -> bool {
        key.is_some() && self.key.as_deref() == key
    }
}

/// A room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// By their nicks, folded.
    people: BTreeMap<String, Person>,
    lines: VecDeque<Line>,
    /// Of all their texts.
    bytes: usize,
}

/// All rooms, by their names, which are folded.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: BTreeMap<String, Room>,
    newest: u64,
}

impl Room {
    /// Who is here, by nick.
    pub(crate) fn people(&self) -> impl ExactSizeIterator<Item = &Person> {
        self.people.values()
    }

    /// What was said after the line of this number, as far as it is remembered.
    pub(crate) fn lines_since(&self, number: u64) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.number > number)
    }

    fn remember(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            match self.lines.pop_front() {
                Some(line) => self.bytes -= line.text.len(),
                None => return,
            }
        }
    }
}

impl Rooms {
    pub(crate) fn new() -> Self {
        let rooms = BTreeMap::from([(LOBBY.to_owned(), Room::default())]);
        Self { rooms, newest: 0 }
    }

    /// The rooms, by name.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Room)> {
        self.rooms.iter().map(|(name, room)| (&**name, room))
    }

    pub(crate) fn get(&self, room: &str) -> Option<&Room> {
        self.rooms.get(room)
    }

    /// Whoever has this nick, and the room where that is.
    pub(crate) fn find(&self, nick: &str) -> Option<(&str, &Person)> {
        let nick = fold(nick);
        self.iter()
            .find_map(|(name, room)| Some((name, room.people.get(&nick)?)))
    }

    /// Who has come by this connection, and where that one is.
    pub(crate) fn find_by_id(&self, id: ConnId) -> Option<(&str, &Person)> {
        self.iter().find_map(|(name, room)| {
            let person = room.people().find(|person| person.id == id)?;
            Some((name, person))
        })
    }

    /// Lets somebody in, into a room that begins with that if need be. Returns its name.
    pub(crate) fn enter(&mut self, room: &str, person: Person) -> Result<String, &'static str> {
        let room = fold(name(room.trim().trim_start_matches('#'))?);
        if self.rooms.len() >= MAX_ROOMS && !self.rooms.contains_key(&room) {
            return Err("There are too many rooms already; see /rooms.");
        }
        let people = &mut self.rooms.entry(room.clone()).or_default().people;
        people.insert(fold(&person.nick), person);
        Ok(room)
    }

    /// Lets somebody out. False, and nothing happens, if the nick has gone over to another
    /// connection. A room that is empty is forgotten, unless it is the lobby.
    pub(crate) fn leave(&mut self, name: &str, nick: &str, id: ConnId) -> bool {
        let Some(room) = self.rooms.get_mut(name) else {
            return false;
        };
        let nick = fold(nick);
        if room.people.get(&nick).is_none_or(|person| person.id != id) {
            return false;
        }
        room.people.remove(&nick);
        if room.people.is_empty() && name != LOBBY {
            self.rooms.remove(name);
        }
        true
    }

    /// Calls somebody something else.
    pub(crate) fn rename(&mut self, room: &str, from: &str, to: &str) {
        let people = self.rooms.get_mut(room).map(|room| &mut room.people);
        let Some(people) = people else {
            return;
        };
        if let Some(person) = people.remove(&fold(from)) {
            let nick = to.to_owned();
            people.insert(fold(to), Person { nick, ..person });
        }
    }

    /// Has a room remember what was said at a time, in milliseconds since 1970.
    pub(crate) fn say(&mut self, room: &str, now: u64, line: Line) -> Option<&Line> {
        let room = self.rooms.get_mut(room)?;
        self.newest = now.max(self.newest + 1);
        room.remember(Line {
            number: self.newest,
            ..line
        });
        room.lines.back()
    }
}

/// Who is in it.
impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "Here:";
        for Person { nick, via, .. } in self.people().take(MAX_NAMED) {
            write!(f, "{before} {nick} ({})", via.as_str())?;
            before = ",";
        }
        match self.people.len().saturating_sub(MAX_NAMED) {
            0 => f.write_str("."),
            more => write!(f, ", and {more} more."),
        }
    }
}

/// Which there are.
impl fmt::Display for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "Rooms:";
        for (name, room) in self.iter() {
            write!(f, "{before} {name} ({})", room.people.len())?;
            before = ",";
        }
        f.write_str(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(nick: &str, id: u64) -> Person {
        let id = ConnId::from_bits(id).unwrap();
        Person {
            id,
            nick: nick.to_owned(),
            via: Via::Web,
            key: None,
        }
    }

    fn line(text: &str) -> Line {
        let (nick, text) = ("otter".to_owned(), text.to_owned());
        Line {
            number: 0,
            nick,
            via: Via::Web,
            text,
            action: false,
        }
    }

    const ONE: u64 = 1 << 32;
    const TWO: u64 = 1 << 32 | 1;

    #[test]
    fn a_name_is_found_in_whatever_room_and_case() {
        let mut rooms = Rooms::new();
        assert_eq!(
            rooms.enter("#Tea", person("Otter", ONE)),
            Ok("tea".to_owned())
        );
        let (room, found) = rooms.find("oTTER").unwrap();
        assert_eq!((room, &*found.nick), ("tea", "Otter"));
        assert!(rooms.find("mika").is_none());
        assert!(rooms.enter("a b", person("mika", TWO)).is_err());
    }

    #[test]
    fn an_empty_room_is_forgotten_and_the_lobby_is_not() {
        let mut rooms = Rooms::new();
        let id = person("otter", ONE).id;
        rooms.enter("tea", person("otter", ONE)).unwrap();
        rooms.say("tea", 1, line("hello")).unwrap();
        assert!(rooms.leave("tea", "otter", id));
        assert!(rooms.get("tea").is_none());
        rooms.enter(LOBBY, person("otter", ONE)).unwrap();
        rooms.say(LOBBY, 2, line("hello")).unwrap();
        assert!(rooms.leave(LOBBY, "otter", id));
        assert_eq!(rooms.get(LOBBY).unwrap().lines_since(0).count(), 1);
    }

    #[test]
    fn who_has_lost_a_name_does_not_take_it_away() {
        let mut rooms = Rooms::new();
        rooms.enter(LOBBY, person("otter", ONE)).unwrap();
        rooms.enter(LOBBY, person("otter", TWO)).unwrap();
        let [one, two] = [ONE, TWO].map(|bits| ConnId::from_bits(bits).unwrap());
        assert!(!rooms.leave(LOBBY, "otter", one));
        assert!(rooms.leave(LOBBY, "otter", two));
    }

    #[test]
    fn rooms_are_bounded() {
        let mut rooms = Rooms::new();
        for number in 1..MAX_ROOMS {
            rooms
                .enter(&format!("r{number}"), person(&format!("p{number}"), ONE))
                .unwrap();
        }
        assert!(rooms.enter("more", person("otter", ONE)).is_err());
        assert!(rooms.enter("r1", person("otter", ONE)).is_ok());
    }

    #[test]
    fn the_newest_lines_are_remembered_by_number_and_by_bytes() {
        let mut rooms = Rooms::new();
        for number in 0..120 {
            rooms.say(LOBBY, 7, line(&number.to_string())).unwrap();
        }
        let lobby = rooms.get(LOBBY).unwrap();
        let numbers: Vec<u64> = lobby.lines_since(0).map(|line| line.number).collect();
        assert_eq!(
            numbers,
            (77..127).collect::<Vec<_>>(),
            "no two have the same"
        );
        assert_eq!(lobby.lines_since(124).count(), 2);
        assert_eq!(
            rooms.say(LOBBY, 1_000, line("later")).unwrap().number,
            1_000
        );
        for _ in 0..10 {
            rooms.say(LOBBY, 0, line(&"x".repeat(8_000))).unwrap();
        }
        let lobby = rooms.get(LOBBY).unwrap();
        assert_eq!((lobby.lines.len(), lobby.bytes), (4, 32_000));
    }
}
