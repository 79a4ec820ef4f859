//! The driver of WebSocket connections, whichever side has begun them.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::id::{ConnId, ConnMap};
use crate::net::http::{Request, Response};
use crate::proto::http1::{self, Scan, Space, write};
#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::Deflate;
use crate::proto::websocket::{Code, Error, Event, OpCode, Receiver, Role, handshake};
use crate::reactor::{
    self, CloseReason, Driver, DriverId, Framer, Hub, Origin, Owner, Timeout, TimerId,
};

#[cfg(feature = "deflate")]
use super::cx::Deflating;
use super::cx::{AsMessages, Cx, DEADLINE, Link, Message, PleaseClose, Shared};
use super::dial::Dial;
use super::mount::Handover;
use super::options::Options;
use super::{Accept, Closed, Handler, Upgrade};

/// How long a client waits for a decision that is put off.
const DECIDE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes by which a message has to grow from one look to the next while it is being collected.
const GROWTH: usize = 16 * 1024;

/// Looks in a row at which it may not have.
const MOST_STALLS: u8 = 4;

/// Bytes of the head of an answer to our handshake.
const MAX_HEAD: usize = 16 * 1024;

/// A driver of WebSocket connections: those that a [`Mount`](super::Mount) leads here, and those
/// that are [dialled](Self::connect).
pub struct Endpoint<A: Handler> {
    options: Options,
    members: ConnMap<Member<A::Conn>>,
    shared: Shared,
    /// Who is to be looked at next for signs of life, and when.
    watched: VecDeque<(ConnId, Instant)>,
    /// A timer for the first of them is set.
    watching: bool,
    /// Which driver we are.
    driver: Option<DriverId>,
    stopping: bool,
    app: PhantomData<fn(&mut A)>,
}

/// One connection.
struct Member<C> {
    receiver: Receiver,
    link: Link,
    stage: Stage<C>,
    /// Something has come since it was looked at last.
    heard: bool,
    /// It was pinged when nothing had.
    pinged: bool,
    /// Bytes of an incomplete message when it was looked at last, and how often it had not grown.
    collected: Option<usize>,
    stalled: u8,
    /// The answer to the last ping, if it could not be sent yet.
    pong: Option<Box<[u8]>>,
}

/// How far a connection has come.
enum Stage<C> {
    /// A client waits for our decision.
    Deciding(Box<Asked>),
    /// We wait for a server's.
    Asking(Box<Asking>),
    Open(C),
    /// It has failed before it was open, or its state is with `on_close`.
    Over,
}

/// What a client has asked.
struct Asked {
    head: Vec<u8>,
    client: Option<IpAddr>,
}

/// What we have asked a server.
struct Asking {
    scan: Scan,
    key: String,
    protocols: Vec<String>,
    request: Vec<u8>,
    deadline: Option<TimerId>,
    ticket: Option<Box<dyn Any>>,
}

/// What [`decide`] posts.
struct Decision(Upgrade);

/// Says what is to become of a client whose [`on_upgrade`](Handler::on_upgrade) said
/// [`Later`](Upgrade::Later), from anywhere.
pub fn decide(hub: &mut Hub, id: ConnId, upgrade: impl Into<Upgrade>) {
    hub.post(id, Box::new(Decision(upgrade.into())));
}

impl<A: Handler> Endpoint<A> {
    /// With the usual limits.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// With limits of its own.
    pub fn with(options: Options) -> Self {
        Self {
            shared: Shared::new(&options),
            options,
            members: ConnMap::new(),
            watched: VecDeque::new(),
            watching: false,
            driver: None,
            stopping: false,
            app: PhantomData,
        }
    }

    /// Begins to connect to a server, and gives the connection to `endpoint`: its `on_open` or
    /// `on_dial_failed` follows.
    pub fn connect(hub: &mut Hub, dial: Dial, endpoint: DriverId) -> ConnId {
        let mut below = reactor::Dial::tcp(dial.address.as_str());
        if let Some(deadline) = dial.deadline {
            below = below.deadline(deadline);
        }
        hub.connect(below.ticket(dial), endpoint)
    }

    /// Calls the handler about a connection that is open.
    fn tell(&mut self, hub: &mut Hub, id: ConnId, call: impl FnOnce(&mut Cx<'_>, &mut A::Conn)) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if let Stage::Open(conn) = &mut member.stage {
            let mut cx = self.shared.cx(hub, id, &mut member.link);
            call(&mut cx, conn);
        }
    }

    /// A client was led here: asks the application about it.
    fn admit(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, handover: Handover) {
        let asked = Asked {
            head: handover.head,
            client: handover.client,
        };
        let mut space = Space::new();
        let upgrade = match http1::Request::parse(&asked.head, &mut space) {
            Ok(_) if self.stopping => Upgrade::Refuse(Response::plain(503)),
            Ok(head) => app.on_upgrade(hub, id, &Request::of(&head, asked.client)),
            Err(_) => return hub.abort(id),
        };
        let member = Member::new(
            Role::Server,
            &self.options,
            Stage::Deciding(Box::new(asked)),
        );
        self.members.insert(id, member);
        self.decide(app, hub, id, upgrade);
    }

    /// Does as was decided about a client.
    fn decide(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, upgrade: Upgrade) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let asked = match std::mem::replace(&mut member.stage, Stage::Over) {
            Stage::Deciding(asked) => asked,
            other => return member.stage = other,
        };
        match upgrade {
            Upgrade::Later => {
                member.stage = Stage::Deciding(asked);
                hub.pause(id);
                // Whatever is sent or published to it meanwhile must not come before the answer.
                hub.mute(id);
                hub.set_timer(Owner::Conn(id), DECIDE_TIMEOUT, DEADLINE);
            }
            Upgrade::Refuse(response) => {
                hub.unmute(id);
                refuse(hub, id, &response);
                hub.close(id);
            }
            Upgrade::Accept(accept) => {
                let mut space = Space::new();
                let Ok(head) = http1::Request::parse(&asked.head, &mut space) else {
                    return hub.abort(id);
                };
                let Ok(offer) = handshake::Offer::read(&head) else {
                    return hub.abort(id);
                };
                let Accept { protocol, fields } = accept;
                #[cfg(feature = "deflate")]
                let fields = self.agree(id, &head, fields);
                hub.unmute(id);
                hub.send_with(id, |out| offer.accept(out, protocol.as_deref(), &fields))
                    .ignore();
                let request = Request::of(&head, asked.client);
                hub.resume(id);
                self.open(app, hub, id, &request, None);
            }
        }
    }

    /// Has messages compressed, if the client offers that. Returns the fields of the answer with
    /// what says so.
    #[cfg(feature = "deflate")]
    fn agree(&mut self, id: ConnId, head: &http1::Request<'_>, mut fields: Vec<u8>) -> Vec<u8> {
        let (Some(options), Some(member)) = (self.options.deflate, self.members.get_mut(id)) else {
            return fields;
        };
        let wish = Deflate {
            server_no_context_takeover: !options.context_takeover,
            client_no_context_takeover: !options.context_takeover,
            server_max_window_bits: None,
        };
        let offers = head.headers.all("Sec-WebSocket-Extensions");
        let Some(agreed) = Deflate::negotiate(offers, wish) else {
            return fields;
        };
        agreed.write(&mut fields);
        let receiver = Receiver::new(Role::Server, self.options.limits());
        member.receiver = receiver.inflating(!agreed.client_no_context_takeover);
        let (forgets, bits) = (
            agreed.server_no_context_takeover,
            agreed.server_max_window_bits.unwrap_or(15),
        );
        // The shared one has the largest window, and forgets.
        let shared = forgets && bits == 15;
        member.link.deflate = Some(Box::new(Deflating {
            from: options.from,
            own: (!shared).then(|| self.shared.pool.deflater(bits)),
            forgets,
        }));
        fields
    }

    /// Both sides have agreed.
    fn open(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        request: &Request<'_>,
        ticket: Option<Box<dyn Any>>,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let mut cx = self.shared.cx(hub, id, &mut member.link);
        cx.ticket = ticket;
        match app.on_open(&mut cx, request) {
            Some(conn) => {
                member.stage = Stage::Open(conn);
                self.watch(hub, id);
            }
            None => hub.abort(id),
        }
    }

    /// The connection for a dial is there: asks for WebSocket on it.
    fn ask(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, dial: Dial) {
        let key = handshake::key(self.shared.keys.nonce());
        let names: Vec<&str> = dial.protocols.iter().map(String::as_str).collect();
        let mut request = Vec::new();
        if !handshake::request(
            &mut request,
            &dial.host,
            &dial.target,
            &key,
            &names,
            &dial.fields,
        ) {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the request cannot be sent");
            app.on_dial_failed(hub, dial.ticket, error);
            return hub.abort(id);
        }
        hub.send(id, &request).ignore();
        let patience = dial.deadline.unwrap_or(self.options.close_timeout);
        let deadline = hub.set_timer(Owner::Conn(id), patience, DEADLINE);
        let asking = Asking {
            deadline,
            scan: Scan::new(MAX_HEAD),
            key,
            protocols: dial.protocols,
            request,
            ticket: dial.ticket,
        };
        let stage = Stage::Asking(Box::new(asking));
        let member = Member::new(Role::Client, &self.options, stage);
        self.members.insert(id, member);
    }

    /// A server's answer, as far as it is there. Returns how many bytes it took.
    fn read_answer(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8]) -> usize {
        let Some(member) = self.members.get_mut(id) else {
            return data.len();
        };
        let Stage::Asking(asking) = &mut member.stage else {
            return 0;
        };
        let end = match asking.scan.find_end(data) {
            Ok(None) => return 0,
            Ok(Some(end)) => end,
            Err(error) => {
                self.unanswered(app, hub, id, &error);
                return data.len();
            }
        };
        let mut space = Space::new();
        let names: Vec<&str> = asking.protocols.iter().map(String::as_str).collect();
        let checked = match http1::Response::parse(&data[..end], "GET", &mut space) {
            Ok(head) => match handshake::read_answer(&head, &asking.key, &names) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = checked {
            self.unanswered(app, hub, id, &error);
            return data.len();
        }
        let Stage::Asking(asking) = std::mem::replace(&mut member.stage, Stage::Over) else {
            return end;
        };
        if let Some(deadline) = asking.deadline {
            hub.cancel_timer(deadline);
        }
        let mut space = Space::new();
        if let Ok(head) = http1::Request::parse(&asking.request, &mut space) {
            self.open(app, hub, id, &Request::of(&head, None), asking.ticket);
        }
        end
    }

    /// A dial has come to nothing after all.
    fn unanswered(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, why: &dyn fmt::Display) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if !matches!(member.stage, Stage::Asking(_)) {
            return;
        }
        if let Stage::Asking(asking) = std::mem::replace(&mut member.stage, Stage::Over) {
            let peer = hub
                .peer_addr(id)
                .map_or_else(String::new, |peer| format!(" {peer}"));
            let error = io::Error::other(format!("no WebSocket with tcp{peer}: {why}"));
            app.on_dial_failed(hub, asking.ticket, error);
            hub.abort(id);
        }
    }

    /// Takes what has arrived; returns how many bytes that was.
    fn receive(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        let (mut used, length) = (0, data.len());
        while used < length {
            let Some(member) = self.members.get_mut(id) else {
                return length;
            };
            let Stage::Open(conn) = &mut member.stage else {
                return length;
            };
            member.heard = true;
            #[cfg(feature = "deflate")]
            let found = member
                .receiver
                .next_inflating(&mut data[used..], &mut self.shared.pool);
            #[cfg(not(feature = "deflate"))]
            let found = member.receiver.next(&mut data[used..]);
            let (taken, event) = match found {
                Ok(found) => found,
                Err(error) => {
                    self.fail(hub, id, error);
                    return length;
                }
            };
            used += taken;
            let Some(event) = event else {
                break;
            };
            let mut cx = self.shared.cx(hub, id, &mut member.link);
            match event {
                Event::Close(close) => {
                    let code = if close.code == Code::NONE {
                        Code::NORMAL
                    } else {
                        close.code
                    };
                    cx.link.close_received = true;
                    cx.link.ended = Some(Box::new((close.code, close.reason.to_owned())));
                    let ours = cx.link.close_sent;
                    if !ours {
                        cx.close(code, "");
                    }
                    // RFC 6455, section 7.1.1: the server ends the connection below.
                    if cx.link.role == Role::Server {
                        hub.close_for(id, CloseReason::Peer);
                    }
                    return length;
                }
                // What comes after our close is not listened to any more.
                _ if cx.link.close_sent => {}
                Event::Text(text) => app.on_message(&mut cx, conn, Message::Text(text)),
                Event::Binary(data) => app.on_message(&mut cx, conn, Message::Binary(data)),
                Event::Pong(payload) => app.on_pong(&mut cx, conn, payload),
                Event::Ping(payload) => {
                    // To a peer that does not read, the last answer is answer enough: RFC 6455,
                    // section 5.5.3.
                    let high = cx.hub.limits(id).map_or(0, |limits| limits.high_water);
                    if cx.hub.backlog(id) > high {
                        member.pong = Some(payload.into());
                    } else {
                        member.pong = None;
                        cx.frame(OpCode::Pong, true, payload).ignore();
                    }
                    app.on_ping(&mut cx, conn, payload);
                }
            }
            if !hub.wants_data(id) {
                break;
            }
        }
        used
    }

    /// The peer has broken the protocol.
    fn fail(&mut self, hub: &mut Hub, id: ConnId, error: Error) {
        log::info!("failing {id}, peer {:?}: {error}", hub.peer_addr(id));
        let code = error.code();
        if let Some(member) = self.members.get_mut(id) {
            let mut cx = self.shared.cx(hub, id, &mut member.link);
            cx.close(code, "");
            member.link.ended = Some(Box::new((code, error.to_string())));
        }
        hub.close_for(id, CloseReason::Protocol);
    }

    /// Looks after a connection from here on.
    fn watch(&mut self, hub: &mut Hub, id: ConnId) {
        let Some(interval) = self.options.ping_interval else {
            return;
        };
        self.watched.push_back((id, hub.now() + interval));
        self.driver = hub.driver(id);
        self.look_later(hub);
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
    fn look_after(&mut self, hub: &mut Hub) {
        let Some(interval) = self.options.ping_interval else {
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
            // What we do not read cannot be heard.
            let heard = std::mem::take(&mut member.heard) || !hub.wants_data(id);
            if heard {
                member.pinged = false;
            } else if std::mem::replace(&mut member.pinged, true) {
                log::info!(
                    "resetting {id}, peer {:?}: it does not answer",
                    hub.peer_addr(id)
                );
                hub.abort(id);
                continue;
            } else {
                let mut cx = self.shared.cx(hub, id, &mut member.link);
                cx.ping(b"").ignore();
            }
            self.watched.push_back((id, now + interval));
        }
        self.watching = false;
        self.look_later(hub);
    }
}

impl<A: Handler> Driver<A> for Endpoint<A> {
    fn on_open(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, origin: Origin) {
        match origin {
            Origin::HandedOver {
                ticket: Some(ticket),
                ..
            } => match ticket.downcast() {
                Ok(handover) => self.admit(app, hub, id, *handover),
                Err(_) => hub.abort(id),
            },
            Origin::Dialled {
                ticket: Some(ticket),
            } => match ticket.downcast() {
                Ok(dial) => self.ask(app, hub, id, *dial),
                Err(_) => hub.abort(id),
            },
            _ => {
                log::error!("{id}: WebSocket begins with HTTP; mount this endpoint on a server");
                hub.abort(id);
            }
        }
    }

    fn on_data(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        let mut used = 0;
        match self.members.get(id).map(|member| &member.stage) {
            None | Some(Stage::Over) => return data.len(),
            Some(Stage::Deciding(_)) => return 0,
            Some(Stage::Asking(_)) => {
                used = self.read_answer(app, hub, id, data);
                if used == 0 || !hub.wants_data(id) {
                    return used;
                }
            }
            Some(Stage::Open(_)) => {}
        }
        used + self.receive(app, hub, id, &mut data[used..])
    }

    fn on_eof(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, _: &mut [u8]) {
        self.unanswered(app, hub, id, &"it has closed without an answer");
        hub.close_for(id, CloseReason::Peer);
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        if let Some(pong) = self
            .members
            .get_mut(id)
            .and_then(|member| member.pong.take())
        {
            self.tell(hub, id, |cx, _| {
                cx.frame(OpCode::Pong, true, &pong).ignore();
            });
        }
        self.tell(hub, id, |cx, conn| app.on_drain(cx, conn));
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        match id {
            None => self.look_after(hub),
            Some(id) if key == DEADLINE => {
                self.unanswered(app, hub, id, &"it does not answer in time");
                if matches!(
                    self.members.get(id),
                    Some(Member {
                        stage: Stage::Deciding(_),
                        ..
                    })
                ) {
                    self.decide(app, hub, id, Upgrade::Refuse(Response::plain(503)));
                }
                let closing = |member: &Member<_>| member.link.close_sent;
                if self.members.get(id).is_some_and(closing) {
                    hub.abort(id);
                }
            }
            Some(id) => self.tell(hub, id, |cx, conn| app.on_timer(cx, conn, key)),
        }
    }

    fn on_timeout(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        self.tell(hub, id, |cx, _| cx.close(Code::AWAY, ""));
        hub.close_for(id, CloseReason::TimedOut(timeout));
    }

    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        let message = match message.downcast::<PleaseClose>() {
            Ok(please) => {
                let PleaseClose(code, reason) = *please;
                return self.tell(hub, id, |cx, _| cx.close(code, &reason));
            }
            Err(message) => message,
        };
        match message.downcast::<Decision>() {
            Ok(decision) => self.decide(app, hub, id, decision.0),
            Err(message) => self.tell(hub, id, |cx, conn| app.on_post(cx, conn, message)),
        }
    }

    fn on_stop(&mut self, app: &mut A, hub: &mut Hub, driver: DriverId) {
        self.stopping = true;
        for id in hub.ids(driver) {
            match self.members.get(id).map(|member| &member.stage) {
                Some(Stage::Open(_)) => {
                    self.tell(hub, id, |cx, _| cx.close(Code::AWAY, "the server stops"));
                }
                Some(Stage::Deciding(_)) => {
                    self.decide(app, hub, id, Upgrade::Refuse(Response::plain(503)));
                }
                _ => {
                    self.unanswered(app, hub, id, &"we stop");
                    hub.abort(id);
                }
            }
        }
    }

    fn on_dial_failed(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        _: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        let dial = ticket.and_then(|ticket| ticket.downcast::<Dial>().ok());
        app.on_dial_failed(hub, dial.and_then(|dial| dial.ticket), error);
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        if reason != CloseReason::Panicked {
            self.unanswered(app, hub, id, &reason);
        }
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        // What a panic has left of the state is for nobody's eyes.
        if reason == CloseReason::Panicked {
            return;
        }
        if let Stage::Open(conn) = member.stage {
            let ended = member.link.ended.take();
            let (code, words) = match &ended {
                Some(ended) => (ended.0, &*ended.1),
                None => (Code::ABNORMAL, ""),
            };
            let closed = Closed {
                code,
                reason: words,
                clean: member.link.close_received && member.link.close_sent,
                by: reason,
            };
            let mut cx = self.shared.cx(hub, id, &mut member.link);
            app.on_close(&mut cx, conn, closed);
        }
    }

    fn max_unconsumed(&self) -> usize {
        MAX_HEAD
    }

    fn framer(&self) -> Option<Rc<dyn Framer>> {
        Some(Rc::new(AsMessages))
    }
}

impl<C> Member<C> {
    fn new(role: Role, options: &Options, stage: Stage<C>) -> Self {
        Self {
            receiver: Receiver::new(role, options.limits()),
            link: Link {
                role,
                close_sent: false,
                close_received: false,
                within: false,
                #[cfg(feature = "deflate")]
                deflate: None,
                ended: None,
            },
            stage,
            heard: false,
            pinged: false,
            collected: None,
            stalled: 0,
            pong: None,
        }
    }
}

/// Answers a client that it may not connect.
fn refuse(hub: &mut Hub, id: ConnId, response: &Response) {
    hub.send_with(id, |out| {
        write::status_line(out, response.status());
        response.write_fields(out);
        write::framing(out, http1::Length::Fixed(response.payload().len() as u64));
        out.extend_from_slice(b"Connection: close\r\n\r\n");
        out.extend_from_slice(response.payload());
    })
    .ignore();
}

impl<A: Handler> Default for Endpoint<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Handler> fmt::Debug for Endpoint<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("connections", &self.members.len())
            .finish_non_exhaustive()
    }
}
