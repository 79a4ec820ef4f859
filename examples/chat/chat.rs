//! The application: what people can do, whichever way they came.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use switchboard::{ConnId, Hub, Owner};

use super::command::{Command, HELP};
use super::flood::Sources;
use super::guest::{Guest, Place};
use super::news::{Here, News, PAGES, Ports, announce, publish, tell, topic};
use super::room::{Line, Person, Rooms, Via};
use super::web;
use super::words::{MAX_TEXT, clean, name};

/// How often pages hear what rooms there are, at most.
const ROOMS_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Chat {
    pub(crate) rooms: Rooms,
    /// Who has sent datagrams of late.
    pub(crate) sources: Sources,
    pub(crate) ports: Ports,
    /// A timer is set to tell the pages what rooms there are.
    rooms_changed: bool,
    stopping: bool,
}

/// How somebody wants to join.
pub(crate) struct Join<'a> {
    pub(crate) nick: &'a str,
    pub(crate) room: &'a str,
    /// What nobody else knows, by which a page gets its nick back when its connection has broken.
    pub(crate) key: Option<&'a str>,
    /// The last line that it has seen.
    pub(crate) since: u64,
}

/// Why something was not done.
type Refusal = Cow<'static, str>;

impl Chat {
    pub(crate) fn new() -> Self {
        Self {
            rooms: Rooms::new(),
            sources: Sources::new(Instant::now()),
            ports: Ports::default(),
            rooms_changed: false,
            stopping: false,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Tells everybody that this is the end.
    pub(crate) fn stop(&mut self, hub: &mut Hub) {
        self.stopping = true;
        for (room, _) in self.rooms.iter() {
            announce(hub, room, &News::Notice("The server stops."), None);
        }
    }

    /// Lets somebody in for the first time.
    pub(crate) fn join(&mut self, hub: &mut Hub, guest: &mut Guest, join: &Join<'_>) {
        if let Err(why) = self.try_join(hub, guest, join) {
            tell(hub, guest, &News::Refused(&why));
        }
    }

    fn try_join(
        &mut self,
        hub: &mut Hub,
        guest: &mut Guest,
        join: &Join<'_>,
    ) -> Result<(), Refusal> {
        let nick = name(join.nick)?.to_owned();
        let namesake = self.rooms.find(&nick);
        let namesake = namesake.map(|(room, person)| (room.to_owned(), person.clone()));
        if namesake
            .as_ref()
            .is_some_and(|(_, person)| !person.has_key(join.key))
        {
            return Err(taken(&nick));
        }
        let person = Person {
            id: guest.id,
            nick: nick.clone(),
            via: guest.via,
            key: join.key.map(str::to_owned),
        };
        let room = self.rooms.enter(join.room, person)?;
        let mut returns = false;
        if let Some((left, person)) = namesake {
            // The same page: its connection has broken, which we have not noticed yet.
            returns = left == room;
            self.leave_room(hub, person.id, &left, &nick);
            hub.abort(person.id);
        }
        if guest.via == Via::Web {
            hub.subscribe(guest.id, PAGES);
        }
        guest.place = Some(Place { room, nick });
        self.arrived(hub, guest, join.since, !returns);
        Ok(())
    }

    /// Shows the room to who has come in; and that one to the room, unless it was here all along.
    fn arrived(&mut self, hub: &mut Hub, guest: &Guest, since: u64, is_new: bool) {
        let Some((place, room)) = guest.place.as_ref().and_then(|place| {
            let room = self.rooms.get(&place.room)?;
            Some((place, room))
        }) else {
            return;
        };
        let (name, nick, ports) = (&*place.room, &*place.nick, self.ports);
        tell(
            hub,
            guest,
            &News::Here(Here {
                name,
                room,
                nick,
                since,
                ports,
            }),
        );
        tell(hub, guest, &News::Rooms(&self.rooms));
        hub.subscribe(guest.id, &topic(name, guest.via));
        if is_new {
            announce(hub, name, &News::Joined(nick, guest.via), Some(guest.id));
            self.tell_rooms_later(hub);
        }
    }

    /// Somebody's connection has ended.
    pub(crate) fn leave(&mut self, hub: &mut Hub, guest: &Guest) {
        if let Some(Place { room, nick }) = &guest.place {
            self.leave_room(hub, guest.id, room, nick);
        }
    }

    /// Somebody's connection was lost by a fault of ours, and all that it knew with it.
    pub(crate) fn lose(&mut self, hub: &mut Hub, id: ConnId) {
        let found = self.rooms.find_by_id(id);
        let found = found.map(|(room, person)| (room.to_owned(), person.nick.clone()));
        if let Some((room, nick)) = found {
            self.leave_room(hub, id, &room, &nick);
        }
    }

    fn leave_room(&mut self, hub: &mut Hub, id: ConnId, room: &str, nick: &str) {
        if self.rooms.leave(room, nick, id) {
            announce(hub, room, &News::Left(nick), Some(id));
            self.tell_rooms_later(hub);
        }
    }

    /// Does what somebody has typed.
    pub(crate) fn typed(&mut self, hub: &mut Hub, guest: &mut Guest, text: &str) {
        let text = clean(text);
        let done = match guest.place.clone() {
            None => Err("Say who you are first.".into()),
            Some(_) if text.chars().count() > MAX_TEXT => {
                Err(format!("That is too long: {MAX_TEXT} characters at most.").into())
            }
            Some(place) => self.obey(hub, guest, place, Command::parse(&text)),
        };
        match done {
            Ok(()) => tell(hub, guest, &News::Done),
            Err(why) => tell(hub, guest, &News::Refused(&why)),
        }
    }

    fn obey(
        &mut self,
        hub: &mut Hub,
        guest: &mut Guest,
        place: Place,
        command: Command<'_>,
    ) -> Result<(), Refusal> {
        match command {
            Command::Say("") => return Err("There is nothing to say.".into()),
            Command::Me("") => return Err("Say what you do: /me ACTION".into()),
            Command::Join("") => return Err("Say where to go: /join ROOM".into()),
            Command::Nick("") => return Err("Say what to be called: /nick NAME".into()),
            Command::Unknown(word) => {
                return Err(format!("There is no /{word}; /help lists what there is.").into());
            }
            Command::Say(text) => self.say(hub, guest, place, text, false),
            Command::Me(text) => self.say(hub, guest, place, text, true),
            Command::Join(room) => self.go(hub, guest, place, room)?,
            Command::Nick(nick) => self.rename(hub, guest, place, nick)?,
            Command::Help => tell(hub, guest, &News::Notice(HELP)),
            Command::Rooms => tell(hub, guest, &News::Notice(&self.rooms.to_string())),
            Command::Who => {
                let people = self.rooms.get(&place.room).map(ToString::to_string);
                tell(hub, guest, &News::Notice(&people.unwrap_or_default()));
            }
            Command::Quit => {
                // Now, and not when the other side has closed too.
                self.leave(hub, guest);
                guest.place = None;
                guest.quit(hub);
            }
        }
        Ok(())
    }

    fn say(&mut self, hub: &mut Hub, guest: &Guest, place: Place, text: &str, action: bool) {
        // Who types lines has seen his own already.
        let except = Some(guest.id).filter(|_| guest.via == Via::Lines);
        let (via, text) = (guest.via, text.to_owned());
        let Place { room, nick } = place;
        self.tell_line(
            hub,
            &room,
            Line {
                number: 0,
                nick,
                via,
                text,
                action,
            },
            except,
        );
    }

    pub(crate) fn tell_line(
        &mut self,
        hub: &mut Hub,
        room: &str,
        line: Line,
        except: Option<ConnId>,
    ) {
        if let Some(line) = self.rooms.say(room, millis(), line) {
            announce(hub, room, &News::Line(line), except);
        }
    }

    /// Goes to another room.
    fn go(
        &mut self,
        hub: &mut Hub,
        guest: &mut Guest,
        Place { room: left, nick }: Place,
        room: &str,
    ) -> Result<(), Refusal> {
        let Some(person) = self.rooms.find(&nick).map(|(_, person)| person.clone()) else {
            return Ok(());
        };
        let room = self.rooms.enter(room, person)?;
        if room == left {
            return Err(format!("You are in {room} already.").into());
        }
        hub.unsubscribe(guest.id, &topic(&left, guest.via));
        self.leave_room(hub, guest.id, &left, &nick);
        guest.place = Some(Place { room, nick });
        self.arrived(hub, guest, 0, true);
        Ok(())
    }

    fn rename(
        &mut self,
        hub: &mut Hub,
        guest: &mut Guest,
        Place { room, nick: from }: Place,
        to: &str,
    ) -> Result<(), Refusal> {
        let to = name(to)?;
        let namesake = self.rooms.find(to);
        if namesake.is_some_and(|(_, person)| person.id != guest.id) {
            return Err(taken(to));
        }
        self.rooms.rename(&room, &from, to);
        announce(hub, &room, &News::Renamed(&from, to), None);
        let nick = to.to_owned();
        guest.place = Some(Place { room, nick });
        Ok(())
    }

    fn tell_rooms_later(&mut self, hub: &mut Hub) {
        if !std::mem::replace(&mut self.rooms_changed, true) {
            hub.set_timer(Owner::App, ROOMS_EVERY, 0);
        }
    }

    /// Tells all pages what rooms there are, and how many people are in them.
    pub(crate) fn tell_rooms(&mut self, hub: &mut Hub) {
        self.rooms_changed = false;
        publish(hub, PAGES, &web::json(&News::Rooms(&self.rooms)), None);
    }
}

fn taken(nick: &str) -> Refusal {
    format!("Somebody here is called {nick} already.").into()
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
