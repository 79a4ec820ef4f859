//! The application of these tests: it takes down what happens to it, and does in callbacks what a
//! test wants done.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use switchboard::http::Request;
use switchboard::websocket::{Accept, Closed, Code, Cx, Handler, Message, Upgrade};
use switchboard::{CloseReason, ConnId, Hub};

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// With the target that was asked for.
    Opened(ConnId, String),
    Text(ConnId, String),
    Binary(ConnId, Vec<u8>),
    Ping(ConnId, Vec<u8>),
    Pong(ConnId, Vec<u8>),
    Drained(ConnId),
    Timer(ConnId, u32),
    Posted(ConnId, &'static str),
    DialFailed(Option<&'static str>, String),
    Closed(ConnId, Ended),
}

/// How a connection ended: [`Closed`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) clean: bool,
    pub(crate) by: CloseReason,
}

impl Ended {
    /// After a close of both sides.
    pub(crate) fn clean(code: Code, reason: &str, by: CloseReason) -> Self {
        Self {
            code: code.0,
            reason: reason.to_owned(),
            clean: true,
            by,
        }
    }
}

/// A hook of one callback: what a test wants done in it.
pub(crate) type Hook<T> = Option<Box<dyn FnMut(&mut Cx<'_>, T)>>;

/// The application: a record, and hooks.
#[derive(Default)]
#[expect(clippy::type_complexity, reason = "each used once")]
pub(crate) struct App {
    pub(crate) events: Vec<Event>,
    /// Whose panics were told.
    pub(crate) panicked: Vec<ConnId>,
    /// Of those that were asked about, in order.
    pub(crate) asked: Vec<ConnId>,
    /// With which status servers refused our dials, if they did.
    pub(crate) refused: Vec<Option<u16>>,
    /// What came back with connections that we dialled.
    pub(crate) tickets: Vec<&'static str>,
    /// Shared with the state of each connection, so that its count says how many there are.
    pub(crate) alive: Rc<()>,
    pub(crate) on_upgrade: Option<Box<dyn FnMut(&mut Hub, ConnId, &Request<'_>) -> Upgrade>>,
    /// False refuses the connection.
    pub(crate) on_open: Option<Box<dyn FnMut(&mut Cx<'_>, &Request<'_>) -> bool>>,
    pub(crate) on_message: Option<Box<dyn FnMut(&mut Cx<'_>, Message<'_>)>>,
    pub(crate) on_ping: Hook<()>,
    pub(crate) on_pong: Hook<()>,
    /// With the code and the reason.
    pub(crate) on_peer_close: Hook<(u16, String)>,
    pub(crate) on_drain: Hook<()>,
    pub(crate) on_timer: Hook<u32>,
    pub(crate) on_post: Hook<()>,
    pub(crate) on_close: Hook<()>,
    pub(crate) on_dial_failed: Option<Box<dyn FnMut(&mut Hub)>>,
    /// What `GET /` does.
    pub(crate) on_get: Option<Box<dyn FnMut(&mut Hub)>>,
}

impl App {
    pub(crate) fn opened(&self) -> Vec<ConnId> {
        let opened = |event: &Event| match event {
            Event::Opened(id, _) => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }

    pub(crate) fn closed(&self) -> Vec<(ConnId, Ended)> {
        let closed = |event: &Event| match event {
            Event::Closed(id, ended) => Some((*id, ended.clone())),
            _ => None,
        };
        self.events.iter().filter_map(closed).collect()
    }

    /// How one connection ended; `None` if it did not.
    pub(crate) fn ended(&self, id: ConnId) -> Option<Ended> {
        let own = self.closed().into_iter().filter(|(own, _)| *own == id);
        let mut own = own.map(|(_, ended)| ended);
        let ended = own.next();
        assert_eq!(own.next(), None, "{id} ended twice");
        ended
    }

    /// What was told of one connection between its beginning and its end, in words.
    pub(crate) fn of(&self, id: ConnId) -> Vec<String> {
        let words = |event: &Event| match event {
            Event::Text(own, text) => Some((*own, format!("text {text}"))),
            Event::Binary(own, data) => Some((*own, format!("binary {}", data.escape_ascii()))),
            Event::Ping(own, data) => Some((*own, format!("ping {}", data.escape_ascii()))),
            Event::Pong(own, data) => Some((*own, format!("pong {}", data.escape_ascii()))),
            Event::Drained(own) => Some((*own, "drained".to_owned())),
            Event::Timer(own, key) => Some((*own, format!("timer {key}"))),
            Event::Posted(own, word) => Some((*own, format!("posted {word}"))),
            _ => None,
        };
        let own = self.events.iter().filter_map(words);
        own.filter(|(own, _)| *own == id)
            .map(|(_, text)| text)
            .collect()
    }

    /// The dials that failed: their tickets, and why.
    pub(crate) fn failed(&self) -> Vec<(Option<&'static str>, String)> {
        let failed = |event: &Event| match event {
            Event::DialFailed(ticket, error) => Some((*ticket, error.clone())),
            _ => None,
        };
        self.events.iter().filter_map(failed).collect()
    }

    /// Forgets all that was told, except who is open.
    pub(crate) fn forget(&mut self) {
        let closed: Vec<_> = self.closed().into_iter().map(|(id, _)| id).collect();
        self.events
            .retain(|event| matches!(event, Event::Opened(id, _) if !closed.contains(id)));
    }

    /// Connections whose state is alive.
    pub(crate) fn alive(&self) -> usize {
        Rc::strong_count(&self.alive) - 1
    }

    /// Each connection was opened once and closed at most once, with nothing before and nothing
    /// after.
    pub(crate) fn assert_orderly(&self) {
        let mut ended: HashMap<ConnId, bool> = HashMap::new();
        for event in &self.events {
            let (id, opens, closes) = match event {
                Event::Opened(id, _) => (*id, true, false),
                Event::Closed(id, _) => (*id, false, true),
                Event::Text(id, _)
                | Event::Binary(id, _)
                | Event::Ping(id, _)
                | Event::Pong(id, _)
                | Event::Drained(id)
                | Event::Timer(id, _)
                | Event::Posted(id, _) => (*id, false, false),
                Event::DialFailed(..) => continue,
            };
            match (opens, ended.get(&id)) {
                (true, None) | (false, Some(false)) => drop(ended.insert(id, closes)),
                (_, state) => panic!("{event:?} out of order: ended is {state:?}"),
            }
        }
    }
}

/// A connection's state is a share in the count of them.
impl Handler for App {
    type Conn = Rc<()>;

    fn on_upgrade(&mut self, hub: &mut Hub, id: ConnId, request: &Request<'_>) -> Upgrade {
        self.asked.push(id);
        match &mut self.on_upgrade {
            Some(hook) => hook(hub, id, request),
            None => Accept::new().into(),
        }
    }

    fn on_open(&mut self, cx: &mut Cx<'_>, request: &Request<'_>) -> Option<Rc<()>> {
        if let Some(ticket) = cx.take_ticket() {
            self.tickets.push(*ticket.downcast().unwrap());
        }
        if let Some(hook) = &mut self.on_open {
            if !hook(cx, request) {
                return None;
            }
        }
        let target = request.head().target.to_owned();
        self.events.push(Event::Opened(cx.id(), target));
        Some(Rc::clone(&self.alive))
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>, message: Message<'_>) {
        self.events.push(match message {
            Message::Text(text) => Event::Text(cx.id(), text.to_owned()),
            Message::Binary(data) => Event::Binary(cx.id(), data.to_vec()),
        });
        if let Some(hook) = &mut self.on_message {
            hook(cx, message);
        }
    }

    fn on_ping(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>, payload: &[u8]) {
        self.events.push(Event::Ping(cx.id(), payload.to_vec()));
        if let Some(hook) = &mut self.on_ping {
            hook(cx, ());
        }
    }

    fn on_pong(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>, payload: &[u8]) {
        self.events.push(Event::Pong(cx.id(), payload.to_vec()));
        if let Some(hook) = &mut self.on_pong {
            hook(cx, ());
        }
    }

    fn on_peer_close(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>, code: Code, reason: &str) {
        if let Some(hook) = &mut self.on_peer_close {
            hook(cx, (code.0, reason.to_owned()));
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>) {
        self.events.push(Event::Drained(cx.id()));
        if let Some(hook) = &mut self.on_drain {
            hook(cx, ());
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>, key: u32) {
        self.events.push(Event::Timer(cx.id(), key));
        if let Some(hook) = &mut self.on_timer {
            hook(cx, key);
        }
    }

    fn on_post(&mut self, cx: &mut Cx<'_>, _: &mut Rc<()>, message: Box<dyn Any>) {
        let word = *message.downcast().unwrap();
        self.events.push(Event::Posted(cx.id(), word));
        if let Some(hook) = &mut self.on_post {
            hook(cx, ());
        }
    }

    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        let ticket = ticket.map(|ticket| *ticket.downcast().unwrap());
        self.refused.push(switchboard::websocket::status(&error));
        self.events
            .push(Event::DialFailed(ticket, error.to_string()));
        if let Some(hook) = &mut self.on_dial_failed {
            hook(hub);
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, _: Rc<()>, closed: Closed<'_>) {
        let ended = Ended {
            code: closed.code.0,
            reason: closed.reason.to_owned(),
            clean: closed.clean,
            by: closed.by,
        };
        self.events.push(Event::Closed(cx.id(), ended));
        if let Some(hook) = &mut self.on_close {
            hook(cx, ());
        }
    }

    fn on_panicked(&mut self, hub: &mut Hub, id: ConnId) {
        assert!(!hub.is_open(id));
        self.panicked.push(id);
    }
}
