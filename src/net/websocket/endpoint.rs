//! The driver of WebSocket connections, whichever side has begun them.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Instant;

use crate::id::{ConnId, ConnMap};
use crate::net::http::Response;
use crate::proto::websocket::{Close, Code, Error, Event};
use crate::reactor::{CloseReason, Driver, DriverId, Framer, Hub, Origin, Timeout};

use super::cx::{Cx, DEADLINE};
use super::dial::Dial;
use super::framing::AsMessages;
use super::link::Shared;
use super::member::{Member, Stage};
use super::message::Message;
use super::options::Options;
use super::outside::{Decision, PleaseClose};
use super::{Closed, Handler, Upgrade};

/// Bytes of the head of an answer to our handshake.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// A driver of WebSocket connections: those that a [`Mount`](super::Mount) leads here, and those
/// that are [dialled](Self::connect).
pub struct Endpoint<A: Handler> {
    pub(super) options: Options,
    pub(super) members: ConnMap<Member<A::Conn>>,
    pub(super) shared: Shared,
    /// Who is to be looked at next for signs of life, and when.
    pub(super) watched: VecDeque<(ConnId, Instant)>,
    /// A timer for the first of them is set.
    pub(super) watching: bool,
    /// Which driver we are.
    pub(super) driver: Option<DriverId>,
    pub(super) stopping: bool,
    app: PhantomData<fn(&mut A)>,
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
        let mut below = dial.below();
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

    /// Takes what has arrived; returns how many bytes that was.
    fn receive(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        data: &mut [u8],
    ) -> Result<usize, Error> {
        let (mut used, length) = (0, data.len());
        let Some(member) = self.members.get_mut(id) else {
            return Ok(length);
        };
        let Stage::Open(conn) = &mut member.stage else {
            return Ok(length);
        };
        member.heard = true;
        let mut cx = self.shared.cx(hub, id, &mut member.link);
        while used < length {
            #[cfg(feature = "deflate")]
            let found = member
                .receiver
                .next_inflating(&mut data[used..], &mut cx.shared.pool);
            #[cfg(not(feature = "deflate"))]
            let found = member.receiver.next(&mut data[used..]);
            let (taken, event) = found?;
            used += taken;
            let Some(event) = event else {
                break;
            };
            if matches!(event, Event::Text(_) | Event::Binary(_)) {
                // What is found to be incomplete later is another message.
                member.collected = None;
            }
            match event {
                Event::Close(Close { code, reason }) => {
                    cx.link.close_received = true;
                    cx.link.ended = Some(Box::new((code, reason.to_owned())));
                    if cx.link.close_sent {
                        cx.close_below();
                    } else {
                        app.on_peer_close(&mut cx, conn, code, reason);
                        cx.peer_closes(code, self.options.auto_close);
                    }
                    return Ok(length);
                }
                // What comes after our close is not listened to any more.
                _ if cx.link.close_sent => {}
                Event::Text(text) => app.on_message(&mut cx, conn, Message::Text(text)),
                Event::Binary(data) => app.on_message(&mut cx, conn, Message::Binary(data)),
                Event::Pong(payload) => app.on_pong(&mut cx, conn, payload),
                Event::Ping(payload) => {
                    if self.options.auto_pong {
                        // To a peer that does not read, the last answer is answer enough: RFC 6455,
                        // section 5.5.3.
                        member.pong = cx.hub.is_backlogged(id).then(|| payload.into());
                        if member.pong.is_none() {
                            cx.pong(payload).ignore();
                        }
                    }
                    app.on_ping(&mut cx, conn, payload);
                }
            }
            if !cx.hub.wants_data(id) {
                break;
            }
        }
        member.receiver.let_go();
        Ok(used)
    }

    /// The peer has broken the protocol.
    pub(super) fn fail(&mut self, hub: &mut Hub, id: ConnId, error: Error) {
        log::info!("failing {id}, peer {:?}: {error}", hub.peer_addr(id));
        let code = error.code();
        if let Some(member) = self.members.get_mut(id) {
            let mut cx = self.shared.cx(hub, id, &mut member.link);
            cx.close(code, "");
            member.link.ended = Some(Box::new((code, error.to_string())));
        }
        hub.close_for(id, CloseReason::Protocol);
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
        let (mut used, length) = (0, data.len());
        match self.members.get(id).map(|member| &member.stage) {
            None | Some(Stage::Over) => return length,
            Some(Stage::Deciding(_)) => return 0,
            Some(Stage::Asking(_)) => {
                used = self.read_answer(app, hub, id, data);
                if used == 0 || !hub.wants_data(id) {
                    return used;
                }
            }
            Some(Stage::Open(_)) => {}
        }
        match self.receive(app, hub, id, &mut data[used..]) {
            Ok(taken) => used + taken,
            Err(error) => {
                self.fail(hub, id, error);
                length
            }
        }
    }

    fn on_eof(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, _: &mut [u8]) {
        self.unanswered(app, hub, id, "it has closed without an answer");
        if let Some(member) = self.members.get_mut(id) {
            member.link.finished = true;
            // Its close may still be answered by hand, until the deadline.
            if member.link.close_received && !member.link.close_sent {
                return;
            }
        }
        hub.close_for(id, CloseReason::Peer);
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        if let Some(pong) = self
            .members
            .get_mut(id)
            .and_then(|member| member.pong.take())
        {
            self.tell(hub, id, |cx, _| {
                cx.pong(&pong).ignore();
            });
        }
        self.tell(hub, id, |cx, conn| app.on_drain(cx, conn));
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        match id {
            None => self.look_after(hub),
            Some(id) if key == DEADLINE => {
                self.unanswered(app, hub, id, "it does not answer in time");
                if matches!(
                    self.members.get(id),
                    Some(Member {
                        stage: Stage::Deciding(_),
                        ..
                    })
                ) {
                    self.decide(app, hub, id, Upgrade::Refuse(Response::plain(503)));
                }
                let closing = |member: &Member<_>| member.link.is_closing();
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
                return match self.members.get(id).map(|member| &member.stage) {
                    Some(Stage::Deciding(_)) => {
                        self.decide(app, hub, id, Upgrade::Refuse(Response::plain(503)));
                    }
                    Some(Stage::Asking(_)) => self.unanswered(app, hub, id, "we close"),
                    _ => self.tell(hub, id, |cx, _| cx.close(code, &reason)),
                };
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
                    self.unanswered(app, hub, id, "we stop");
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
        // What a panic has left of the state is for nobody's eyes.
        if reason == CloseReason::Panicked {
            self.members.remove(id);
            return app.on_panicked(hub, id);
        }
        self.unanswered(app, hub, id, reason.to_string());
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
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

    fn framer(&self) -> Option<Box<dyn Framer>> {
        Some(Box::new(AsMessages::new(&self.options)))
    }
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
