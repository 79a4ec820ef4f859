//! What a callback answers through.

use std::any::Any;
use std::time::Duration;

use bytes::Bytes;

use crate::id::ConnId;
use crate::proto::http1::{Length, Version, write};
use crate::reactor::{DriverId, Form, Hub, Kind, Owner, Sent, TimerId};

use super::date::Date;
use super::events;
use super::exchange::{Answer, Exchange, Framing, RequestId};
use super::options::Options;
use super::response::{Body, Payload, Response};

/// The key of timers for [`Cx::respond_after`].
pub(super) const OTHERWISE: u32 = u32::MAX - 1;

/// Bodies from here on are not copied behind their heads.
const SHARE_FROM: usize = 16 * 1024;

/// What a server's answers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) date: Date,
    pub(super) stopping: bool,
    /// Which one we are.
    pub(super) driver: DriverId,
}

/// What a callback answers its request through; everything else by the [`Hub`] that it derefs to.
///
/// A request is answered by [`respond`](Self::respond), or by [`start`](Self::start),
/// [`write`](Self::write) and [`finish`](Self::finish): now, in a later callback about the same
/// request, or from anywhere by [`http::respond`](super::respond) and the [`id`](Self::id). Until
/// then it is parked: that costs a slot and no thread, and if the client goes away meanwhile,
/// [`on_abort`](super::Server::on_abort) tells.
pub struct Cx<'a> {
    pub(super) hub: &'a mut Hub,
    pub(super) conn: ConnId,
    pub(super) exchange: &'a mut Exchange,
    pub(super) shared: &'a mut Shared,
}

impl Cx<'_> {
    /// Names this request, for an answer from elsewhere.
    pub fn id(&self) -> RequestId {
        RequestId {
            conn: self.conn,
            number: self.exchange.number,
            driver: self.shared.driver,
        }
    }

    /// Everything else.
    pub fn hub(&mut self) -> &mut Hub {
        self.hub
    }

    /// True until the answer has begun.
    pub fn is_owed(&self) -> bool {
        self.exchange.answer == Answer::Owed
    }

    /// Answers the request, wholly. A second answer is dropped, with a warning in the log.
    pub fn respond(&mut self, response: impl Into<Response>) -> Sent {
        let mut response = response.into();
        if !self.may_answer() {
            return Sent::Dropped;
        }
        self.exchange
            .coding
            .apply(&mut response, self.shared.options.compress_from);
        let body = std::mem::take(&mut response.body);
        let bodiless = response.is_bodiless();
        let length = body.as_slice().len();
        // RFC 9110, section 8.6: a 204 has no Content-Length, and a 304 need not have one.
        let framing = match bodiless {
            true => Length::UntilClose,
            false => Length::Fixed(length as u64),
        };
        self.exchange.answer = Answer::Done;
        if bodiless || self.exchange.is_head {
            return self.send_head(&response, framing, &[]);
        }
        self.exchange.sent = length as u64;
        if length < SHARE_FROM {
            return self.send_head(&response, framing, body.as_slice());
        }
        match self.send_head(&response, framing, &[]) {
            Sent::Closed => Sent::Closed,
            _ => self.hub.send_shared(
                self.conn,
                match body {
                    Payload::None => Bytes::new(),
                    Payload::Static(data) => Bytes::from_static(data),
                    Payload::Vec(data) => Bytes::from(data),
                    Payload::Shared(data) => data,
                },
            ),
        }
    }

    /// Begins an answer whose body is [written](Self::write) piece by piece: of a
    /// [length](Response::length) that is said beforehand, or in chunks.
    pub fn start(&mut self, response: impl Into<Response>) -> Sent {
        let response = response.into();
        if !self.may_answer() {
            return Sent::Dropped;
        }
        let (length, framing) = match response.length {
            _ if response.is_bodiless() => (Length::UntilClose, Framing::None),
            Some(length) => (Length::Fixed(length), Framing::Fixed(length)),
            None if self.exchange.version == Version::Http11 && !response.close => {
                (Length::Chunked, Framing::Chunked)
            }
            None => (Length::UntilClose, Framing::UntilClose),
        };
        if framing == Framing::UntilClose {
            self.exchange.keep_alive = false;
        }
        let framing = match self.exchange.is_head {
            true => Framing::None,
            false => framing,
        };
        self.exchange.answer = Answer::Streaming(framing);
        self.send_head(&response, length, &[])
    }

    /// Begins a stream of Server-Sent Events, which lasts until either side closes the connection.
    ///
    /// [`event`](Self::event) sends one, and a connection that has
    /// [subscribed](Self::subscribe) to a topic gets what is published there as events.
    pub fn start_events(&mut self) -> Sent {
        let response = Response::new(200)
            .field("Content-Type", "text/event-stream")
            .field("Cache-Control", "no-cache")
            .field("X-Accel-Buffering", "no")
            .close();
        self.exchange.events = self.is_owed();
        self.start(response)
    }

    /// Sends one event of a stream.
    pub fn event(&mut self, event: &events::Event<'_>) -> Sent {
        let mut out = Vec::new();
        event.encode(&mut out);
        self.write(&out)
    }

    /// Adds this connection to the subscribers of a topic. Only for one that streams events.
    pub fn subscribe(&mut self, topic: &str) -> bool {
        matches!(self.exchange.answer, Answer::Streaming(Framing::UntilClose))
            && self.hub.subscribe(self.conn, topic)
    }

    /// Sends a piece of a body. `Backlogged` says that the client is slow: the next piece should
    /// wait for `on_drain`.
    pub fn write(&mut self, data: &[u8]) -> Sent {
        match self.next_piece(data.len()) {
            Ok(true) => self.hub.send_with(self.conn, |out| write::chunk(out, data)),
            Ok(false) => self.hub.send(self.conn, data),
            Err(sent) => sent,
        }
    }

    /// The same, sharing the bytes with whoever else holds them.
    pub fn write_shared(&mut self, data: Bytes) -> Sent {
        match self.next_piece(data.len()) {
            Ok(true) => {
                let length = data.len();
                self.hub
                    .send_with(self.conn, |out| write::chunk_head(out, length))
                    .ignore();
                self.hub.send_shared(self.conn, data).ignore();
                self.hub.send(self.conn, b"\r\n")
            }
            Ok(false) => self.hub.send_shared(self.conn, data),
            Err(sent) => sent,
        }
    }

    /// Counts a piece that is about to be sent. True if it has to be in a chunk; an error if there
    /// is nothing to be sent.
    fn next_piece(&mut self, length: usize) -> Result<bool, Sent> {
        let conn = self.conn;
        let Answer::Streaming(framing) = &mut self.exchange.answer else {
            log::warn!("{conn}: a piece of a body for an answer that has not begun, or has ended");
            return Err(Sent::Dropped);
        };
        match framing {
            Framing::None => return Err(Sent::Accepted),
            _ if length == 0 => return Err(Sent::Accepted),
            Framing::Chunked | Framing::UntilClose => {}
            Framing::Fixed(left) => match left.checked_sub(length as u64) {
                Some(less) => *left = less,
                None => {
                    log::error!("{conn}: {length} bytes for a body that has {left} left");
                    self.abort();
                    return Err(Sent::Dropped);
                }
            },
        }
        self.exchange.sent += length as u64;
        Ok(self.exchange.answer == Answer::Streaming(Framing::Chunked))
    }

    /// Ends an answer that was [started](Self::start). One that is shorter than it said cannot be
    /// told from one that was cut off by its length alone, so the connection is closed.
    pub fn finish(&mut self) {
        let Answer::Streaming(framing) = self.exchange.answer else {
            return;
        };
        match framing {
            Framing::Chunked => self.hub.send_with(self.conn, write::last_chunk).ignore(),
            Framing::Fixed(left @ 1..) => {
                log::warn!("{}: a body ends {left} bytes early", self.conn);
                self.exchange.keep_alive = false;
            }
            _ => {}
        }
        self.exchange.answer = Answer::Done;
    }

    /// Resets the connection: the client is to know that what it has is not all. `on_abort`
    /// follows, as if it had gone by itself.
    pub fn abort(&mut self) {
        if !matches!(self.exchange.answer, Answer::Done | Answer::HandedOver) {
            self.exchange.answer = Answer::Aborted;
        }
        self.hub.abort(self.conn);
    }

    /// Closes the connection after this answer.
    pub fn close(&mut self) {
        self.exchange.keep_alive = false;
    }

    /// Gives the connection, and whatever follows the head, to another driver, which answers the
    /// request: an upgrade. `ticket` reaches it in [`Origin::HandedOver`](crate::Origin).
    ///
    /// False, with nothing done, if an answer has begun, or if a body is still to come.
    pub fn hand_over(&mut self, driver: DriverId, ticket: Box<dyn Any>) -> bool {
        if !self.may_answer() || self.exchange.unread {
            return false;
        }
        self.exchange.answer = Answer::HandedOver;
        self.exchange.status = 101;
        self.hub.hand_over_with(self.conn, driver, ticket);
        true
    }

    /// Calls `on_timer` with `key` after this time, unless the request has been answered before.
    /// `None` as [`Hub::set_timer`], and for the two highest keys, which are the server's own.
    pub fn set_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        match key {
            OTHERWISE.. => None,
            key => self.set_own_timer(after, key),
        }
    }

    fn set_own_timer(&mut self, after: Duration, key: u32) -> Option<TimerId> {
        let timer = self.hub.set_timer(Owner::Conn(self.conn), after, key)?;
        self.exchange.timers.push(timer);
        Some(timer)
    }

    /// Answers so, if there is no other answer after this time: for a parked request, so that no
    /// proxy loses patience.
    pub fn respond_after(&mut self, after: Duration, response: impl Into<Response>) {
        self.exchange.otherwise = Some(Box::new(response.into()));
        self.set_own_timer(after, OTHERWISE);
    }

    fn may_answer(&self) -> bool {
        if self.exchange.answer != Answer::Owed {
            log::warn!("{}: a second answer to a request is dropped", self.conn);
        }
        self.exchange.answer == Answer::Owed
    }

    fn send_head(&mut self, response: &Response, framing: Length, body: &[u8]) -> Sent {
        let now = self.hub.now();
        let exchange = &mut *self.exchange;
        exchange.status = response.status;
        // Whatever of a body nobody has read cannot be told from the next request.
        exchange.keep_alive &= !response.close && !self.shared.stopping && !exchange.unread;
        let connection: &[u8] = match (exchange.version, exchange.keep_alive) {
            (Version::Http11, true) | (Version::Http10, false) => b"",
            (Version::Http11, false) => b"Connection: close\r\n",
            (Version::Http10, true) => b"Connection: keep-alive\r\n",
        };
        let date = self.shared.date.line(now);
        let server = self.shared.options.server_name;
        self.hub.send_with(self.conn, |out| {
            out.reserve(160 + response.fields.len() + body.len());
            write::status_line(out, response.status);
            if let Some(content_type) = response.content_type {
                line(out, b"Content-Type: ", content_type.as_bytes());
            }
            write::framing(out, framing);
            for fields in [&response.fields, &exchange.cors, connection] {
                if !fields.is_empty() {
                    out.extend_from_slice(fields);
                }
            }
            if let Some(server) = server {
                line(out, b"Server: ", server.as_bytes());
            }
            out.extend_from_slice(date.as_bytes());
            out.extend_from_slice(body);
        })
    }
}

/// A field whose name and value are our own.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

acts_through_hub!(Cx<'_>);

/// What is done about a request from elsewhere. It waits for the next turn.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) number: u32,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Respond(Response),
    Start(Response),
    Write(Vec<u8>),
    Finish,
    Abort,
    Post(Box<dyn Any>),
}

fn act(hub: &mut Hub, request: RequestId, what: What) {
    let number = request.number;
    let action = Box::new(Action { number, what });
    hub.post_within(request.conn, request.driver, action);
}

/// Answers a parked request, from any callback or job: [`Cx::respond`], in the next turn.
pub fn respond(hub: &mut Hub, request: RequestId, response: impl Into<Response>) {
    act(hub, request, What::Respond(response.into()));
}

/// Begins to answer a parked request: [`Cx::start`], in the next turn.
pub fn start(hub: &mut Hub, request: RequestId, response: impl Into<Response>) {
    act(hub, request, What::Start(response.into()));
}

/// Sends a piece of a body: [`Cx::write`], in the next turn. Whether the client keeps up is told by
/// [`Hub::backlog`] of the connection.
pub fn write(hub: &mut Hub, request: RequestId, data: impl Into<Body>) {
    let data = match data.into().0 {
        Payload::Vec(data) => data,
        data => data.as_slice().to_vec(),
    };
    act(hub, request, What::Write(data));
}

/// Sends an event to a stream of them: [`Cx::event`], in the next turn.
pub fn event(hub: &mut Hub, request: RequestId, event: &events::Event<'_>) {
    let mut out = Vec::new();
    event.encode(&mut out);
    act(hub, request, What::Write(out));
}

/// Ends an answer: [`Cx::finish`], in the next turn.
pub fn finish(hub: &mut Hub, request: RequestId) {
    act(hub, request, What::Finish);
}

/// Resets the connection of a request: [`Cx::abort`], in the next turn.
pub fn abort(hub: &mut Hub, request: RequestId) {
    act(hub, request, What::Abort);
}

/// Hands `message` to whoever handles a request: [`Mount::on_post`](super::Mount::on_post).
pub fn post(hub: &mut Hub, request: RequestId, message: Box<dyn Any>) {
    act(hub, request, What::Post(message));
}

/// Frames what is published to streams of events.
#[derive(Debug)]
pub(super) struct AsEvents;

impl crate::reactor::Framer for AsEvents {
    fn frame(&mut self, data: &[u8], _: Kind, _: Form, out: &mut Vec<u8>) {
        events::encode_data(data, out);
    }
}
