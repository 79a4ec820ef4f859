//! Everything that a callback may do to the outside world.

use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Registry, Token};

use crate::id::{ConnId, ConnMap, Slots};

use super::config::{Config, Limits, Overflow};
use super::driver::{CloseReason, DriverId, Framer, Kind};
use super::listen::Listener;
use super::outbox::Outbox;
use super::report::{Slowest, Totals, Turn};
use super::socket::{Flags, Socket};
use super::sys::Sys;
use super::timers::{TimerId, Timers};
use super::topics::Topics;

/// Bytes that wait for the end of the callback; beyond them a send is tried at once. As much as one read brings.
const FLUSH_AT: usize = 64 * 1024;

/// Empty outboxes kept for the next connections that send. As many as are flushed in one turn, at most 16 KiB each.
const SPARE_OUTBOXES: usize = 64;

/// Turns whose callbacks are timed after a slow one: a second's worth for a busy loop.
const TIMED_TURNS: u32 = 1_000;

/// What callbacks act through: sending, closing, timers, topics, and looking things up.
///
/// Nothing here calls a callback. A call changes queues and flags, and the loop acts on them when the callback has
/// returned; so no callback ever runs inside another, and an id may be used whether or not its connection still
/// exists: a call about one that does not is harmless, and says so.
pub struct Hub {
    pub(super) registry: Registry,
    pub(super) sys: Sys,
    pub(super) config: Config,
    pub(super) slots: Slots<Entry>,
    pub(super) timers: Timers<(Owner, u32)>,
    pub(super) deadlines: Timers<(ConnId, Due)>,
    pub(super) ready: VecDeque<ConnId>,
    pub(super) dirty: VecDeque<ConnId>,
    /// The connection being served, which is flushed when that is done.
    pub(super) serving: Option<ConnId>,
    pub(super) dead: VecDeque<ConnId>,
    pub(super) errands: VecDeque<Errand>,
    /// Listeners that wait for a connection to close.
    pub(super) held_listeners: Vec<ConnId>,
    pub(super) framers: Vec<Option<Rc<dyn Framer>>>,
    pub(super) turn: Turn,
    pub(super) totals: Totals,
    pub(super) stopping: Stopping,
    /// The timers of each connection that has any, so that they end with it.
    timed: ConnMap<Vec<TimerId>>,
    topics: Topics,
    spare: Vec<Box<Outbox>>,
    /// Connections by driver.
    counts: Vec<usize>,
    /// Connections that a shutdown waits for.
    streams: usize,
    /// Turns for which callbacks are still timed.
    timed_turns: u32,
    /// The callback that ran last.
    pub(super) callback: &'static str,
    /// When [`lap`](Self::lap) last looked at the clock.
    pub(super) lap: Instant,
    origin: Instant,
    now: Instant,
    /// `now` in whole milliseconds since `origin`.
    pub(super) millis: u64,
}

/// What lives in a slot.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every entry is a stream, and a box would cost a look-up"
)]
pub(crate) enum Entry {
    Listener(Box<Listener>),
    Stream(Socket),
}

/// Whose timer it is: who is called when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The application, by the function given to [`Reactor::on_timer`](crate::Reactor::on_timer).
    App,
    /// The driver of this connection. The timer ends with the connection.
    Conn(ConnId),
    /// This driver.
    Driver(DriverId),
}

/// What the reactor's own timers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A time-out of the connection may have passed.
    Patience,
    /// A listener or a connection that ran into a shortage may try again.
    Retry,
}

/// What waits for the next turn, because it means calling a driver.
#[derive(Debug)]
pub(crate) enum Errand {
    Adopted(ConnId),
    HandOver(ConnId, DriverId),
    Post(ConnId, Box<dyn Any>),
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// Not at all.
    Running,
    /// `run` returns after this turn.
    Stop,
    /// Drivers are to be told.
    Announced(Instant),
    /// `run` returns when the last connection has gone, or then.
    Draining(Instant),
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message that was dropped, or a backlog that grows, is the sender's concern"]
pub enum Sent {
    /// Taken.
    Accepted,
    /// Taken, and the backlog is above its high mark: wait for `on_drain` before sending more.
    Backlogged,
    /// Not taken: the connection is closed or closing.
    Closed,
    /// Not taken: the backlog is full, and [`Overflow::Drop`] is the policy.
    Dropped,
}

impl Sent {
    /// True if the message was taken.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::Backlogged)
    }

    /// Marks a result as of no interest: the connection's own fate will be told by its callbacks.
    pub const fn ignore(self) {}
}

/// The five things that name a connection, and how it fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The transport.
    pub protocol: Protocol,
    /// Our address. `None` for a Unix socket, or if the system no longer knows it.
    pub local_addr: Option<SocketAddr>,
    /// The peer's address. `None` for a Unix socket.
    pub peer_addr: Option<SocketAddr>,
    /// The driver.
    pub driver: DriverId,
    /// Bytes received.
    pub bytes_read: u64,
    /// Bytes that the kernel has taken from us.
    pub bytes_written: u64,
    /// Time since the connection was opened.
    pub age: Duration,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP
    Tcp,
    /// A stream socket of the Unix domain
    Unix,
}

/// A message for all subscribers of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload, which each member's driver frames in its own way.
    pub data: &'a [u8],
    /// Text or bytes, where that makes a difference.
    pub kind: Kind,
    /// A member that is left out, such as the author.
    pub except: Option<ConnId>,
}

/// How many members a publish reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Members that will get it.
    pub taken: usize,
    /// Members that will not: closing, or their backlog is full.
    pub missed: usize,
}

/// Time.
impl Hub {
    /// The instant of this turn. Read once a turn, so that all its callbacks agree.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Calls `on_timer` with `key` when `after` has passed, in a later turn: never early, up to a millisecond late.
    /// `None` if 67 million timers are pending, or the connection is closed.
    pub fn set_timer(&mut self, owner: Owner, after: Duration, key: u32) -> Option<TimerId> {
        let Owner::Conn(id) = owner else {
            return self.timers.insert(self.now + after, (owner, key));
        };
        if !self.is_open(id) {
            return None;
        }
        let timer = self.timers.insert(self.now + after, (owner, key))?;
        match self.timed.get_mut(id) {
            Some(timers) => timers.push(timer),
            None => drop(self.timed.insert(id, vec![timer])),
        }
        Some(timer)
    }

    /// Cancels a timer. False if it has fired or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let Some((owner, _)) = self.timers.cancel(timer) else {
            return false;
        };
        self.forget_timer(owner, timer);
        true
    }

    /// A timer of a connection has ended before its connection.
    pub(super) fn forget_timer(&mut self, owner: Owner, timer: TimerId) {
        let Owner::Conn(id) = owner else { return };
        let Some(timers) = self.timed.get_mut(id) else {
            return;
        };
        timers.retain(|other| *other != timer);
        if timers.is_empty() {
            self.timed.remove(id);
        }
    }
}

/// Looking.
impl Hub {
    /// True until the connection or listener is closed, whether by us or by the peer.
    pub fn is_open(&self, id: ConnId) -> bool {
        match self.slots.get(id) {
            None => false,
            Some(Entry::Listener(listener)) => !listener.flags.has(Flags::DEAD),
            Some(Entry::Stream(socket)) => {
                !socket.flags.has(Flags::CLOSING) && !socket.flags.has(Flags::DEAD)
            }
        }
    }

    /// True while the connection is open, not paused and not backlogged: what a driver asks after each call into
    /// the application before it goes on to the next message.
    #[inline]
    pub fn wants_data(&self, id: ConnId) -> bool {
        matches!(self.slots.get(id), Some(Entry::Stream(socket)) if socket.wants_data())
    }

    /// Addresses, traffic and age of a connection. Still known in `on_close`, for the last time.
    pub fn info(&self, id: ConnId) -> Option<Info> {
        let Entry::Stream(socket) = self.slots.get(id)? else {
            return None;
        };
        Some(Info {
            protocol: socket.stream.protocol(),
            local_addr: socket.stream.local_addr(),
            peer_addr: socket.peer,
            driver: socket.driver,
            bytes_read: socket.bytes_read,
            bytes_written: socket.bytes_written,
            age: Duration::from_millis(self.millis - socket.opened),
        })
    }

    /// Bytes that wait to be sent to a connection.
    pub fn backlog(&self, id: ConnId) -> usize {
        match self.slots.get(id) {
            Some(Entry::Stream(socket)) => socket.backlog(),
            _ => 0,
        }
    }

    /// The connections of a driver. The list is a copy: it stays as it is while they come and go.
    pub fn ids(&self, driver: DriverId) -> Vec<ConnId> {
        let of_driver =
            |entry: &Entry| matches!(entry, Entry::Stream(socket) if socket.driver == driver);
        self.slots
            .iter()
            .filter(|(_, entry)| of_driver(entry))
            .map(|(id, _)| id)
            .collect()
    }

    /// How many connections a driver has.
    pub fn count(&self, driver: DriverId) -> usize {
        self.counts.get(usize::from(driver.0)).copied().unwrap_or(0)
    }

    /// What the reactor did since it began, the present turn not included.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Timers that are pending, those of the reactor itself included.
    pub fn pending_timers(&self) -> usize {
        self.timers.len() + self.deadlines.len()
    }

    /// The limits of a connection.
    pub fn limits(&self, id: ConnId) -> Option<Limits> {
        let Entry::Stream(socket) = self.slots.get(id)? else {
            return None;
        };
        Some(*socket.limits)
    }

    /// Gives one connection limits of its own. Time-outs count from what happened last, as ever.
    pub fn set_limits(&mut self, id: ConnId, limits: Limits) {
        if let Some(socket) = self.socket(id) {
            socket.limits = Rc::new(limits);
            self.arm(id);
        }
    }
}

/// Sending: bytes, for the driver that owns the connection.
impl Hub {
    /// Queues a copy of all of `data`. It leaves when the callback has returned.
    pub fn send(&mut self, id: ConnId, data: &[u8]) -> Sent {
        self.enqueue(id, |outbox| outbox.push(data))
    }

    /// Queues `data`, sharing it with whoever else holds it.
    pub fn send_shared(&mut self, id: ConnId, data: Bytes) -> Sent {
        self.enqueue(id, |outbox| outbox.push_shared(data))
    }

    /// Queues what `write` appends to the buffer that it is lent. It must leave alone what is there.
    pub fn send_with(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) -> Sent {
        self.enqueue(id, |outbox| outbox.append(0, write))
    }

    /// Sends as much of `data` as the kernel takes now, queues nothing, and returns how much that was: 0 when
    /// something is queued already, since bytes never overtake each other. `None` if the connection is closed.
    pub fn try_write(&mut self, id: ConnId, data: &[u8]) -> Option<usize> {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return None;
        };
        if socket.flags.has(Flags::SENDS_REFUSED) {
            return None;
        }
        if socket.outbox.is_some() || !socket.flags.has(Flags::WRITABLE) {
            return Some(0);
        }
        let mut outbox = self.spare.pop().unwrap_or_default();
        outbox.push(data);
        socket.outbox = Some(outbox);
        self.flush_now(id);
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return None;
        };
        if socket.flags.has(Flags::DEAD) {
            return None;
        }
        let left = socket.outbox.take().map_or(0, |outbox| outbox.len());
        Some(data.len() - left)
    }

    /// Sends what is queued now, without waiting for the end of the callback.
    pub fn flush(&mut self, id: ConnId) {
        self.flush_now(id);
    }

    #[inline]
    fn enqueue(&mut self, id: ConnId, push: impl FnOnce(&mut Outbox)) -> Sent {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return Sent::Closed;
        };
        if socket.flags.has(Flags::SENDS_REFUSED) {
            return Sent::Closed;
        }
        if socket.backlog() >= socket.limits.max_backlog {
            return self.overflow(id);
        }
        let outbox = socket
            .outbox
            .get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        push(outbox);
        let backlog = outbox.len();
        if backlog == 0 {
            self.spare.extend(socket.outbox.take());
            return Sent::Accepted;
        }
        if !socket.flags.has(Flags::DIRTY) && self.serving != Some(id) {
            socket.flags.set(Flags::DIRTY);
            self.dirty.push_back(id);
        }
        if backlog > socket.limits.high_water.min(FLUSH_AT) {
            self.press(id)
        } else {
            Sent::Accepted
        }
    }

    /// Much is waiting: sends what the kernel takes, and looks what is left.
    #[cold]
    fn press(&mut self, id: ConnId) -> Sent {
        self.flush_now(id);
        match self.socket(id) {
            None => Sent::Closed,
            Some(socket) if socket.backlog() > socket.limits.high_water => {
                socket.flags.set(Flags::BACKLOGGED);
                Sent::Backlogged
            }
            Some(_) => Sent::Accepted,
        }
    }

    /// A message meets a full backlog.
    #[cold]
    fn overflow(&mut self, id: ConnId) -> Sent {
        match self.socket(id).map(|socket| socket.limits.overflow) {
            None => Sent::Closed,
            Some(Overflow::Drop) => {
                self.totals.dropped += 1;
                Sent::Dropped
            }
            Some(Overflow::Close) => {
                self.reset(id, CloseReason::Overflow);
                Sent::Closed
            }
        }
    }

    /// Sends what is queued, within the budget, and does what was waiting for the outbox to be empty.
    #[inline]
    pub(super) fn flush_now(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        socket.flags.clear(Flags::DIRTY);
        if socket.flags.has(Flags::DEAD) {
            return;
        }
        if socket.outbox.is_some() && !socket.flags.has(Flags::STALLED) {
            let (written, calls) = match socket.flush(&self.sys, self.config.write_budget) {
                Ok(result) => result,
                Err(error) => return self.end(id, CloseReason::from_error(&error)),
            };
            self.turn.writes += calls;
            self.turn.bytes_written += written as u64;
            if written > 0 {
                socket.last_active = self.millis;
            }
            let backlog = socket.backlog();
            if backlog <= socket.limits.low_water && socket.flags.take(Flags::BACKLOGGED) {
                socket.flags.set(Flags::DRAINED);
                if socket.held.is_some() {
                    socket.flags.set(Flags::REDELIVER);
                }
            }
            // Idle connections own no buffers: an empty outbox serves the next one that sends.
            if backlog == 0 && self.spare.len() < SPARE_OUTBOXES {
                self.spare.extend(socket.outbox.take());
            } else if backlog == 0 {
                socket.outbox = None;
            } else if socket.flags.has(Flags::STALLED) {
                self.retry_later(id);
            }
        }
        self.finish(id);
    }

    /// Shuts what was to be shut when the outbox is empty, and queues the connection if there is more to do.
    #[inline]
    fn finish(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        if socket.outbox.is_none() && socket.flags.has(Flags::SHUTTING) {
            self.shut(id);
        } else if socket.has_work() {
            self.queue(id);
        }
    }

    #[cold]
    fn shut(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        if !socket.flags.has(Flags::SHUT) {
            log::trace!("shutdown {id}");
            socket.stream.shutdown_write();
            socket.flags.set(Flags::SHUT);
            socket.last_active = self.millis;
        }
        // With its FIN the peer has told that it will not send, so closing cannot cost it our last bytes.
        let ended = socket.flags.has(Flags::EOF) || socket.limits.linger.is_zero();
        if socket.flags.has(Flags::CLOSING) && ended {
            let reason = socket.reason;
            self.end(id, reason);
        } else if socket.has_work() {
            self.queue(id);
        }
    }
}

/// Flow and end.
impl Hub {
    /// Stops reading from a connection. Its peer is held back by TCP's own flow control.
    pub fn pause(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::PAUSED);
        }
    }

    /// Goes on reading. What was read before and not consumed comes first.
    pub fn resume(&mut self, id: ConnId) {
        let now = self.millis;
        let Some(socket) = self.socket(id) else {
            return;
        };
        if socket.flags.take(Flags::PAUSED) {
            (socket.last_read, socket.last_active) = (now, now);
            if socket.held.is_some() {
                socket.flags.set(Flags::REDELIVER);
            }
            if socket.has_work() {
                self.queue(id);
            }
        }
    }

    /// Finishes our side: what is queued is sent, then FIN. Reading goes on, until the peer finishes too.
    pub fn shutdown_write(&mut self, id: ConnId) {
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::FINISHING);
            self.mark_dirty(id);
        }
    }

    /// Closes a connection: refuses further sends, sends what is queued, then FIN, and waits for the peer's FIN up
    /// to [`Limits::linger`], since closing with unread data would reset the connection and cost the peer our last
    /// bytes. Closes a listener at once.
    pub fn close(&mut self, id: ConnId) {
        self.close_for(id, CloseReason::Local);
    }

    /// Closes a connection as [`close`](Self::close) does, and gives `on_close` another reason for it.
    pub fn close_for(&mut self, id: ConnId, reason: CloseReason) {
        if let Some(Entry::Listener(_)) = self.slots.get(id) {
            return self.end(id, reason);
        }
        let now = self.millis;
        let Some(socket) = self.socket(id) else {
            return;
        };
        socket.flags.set(Flags::CLOSING);
        socket.flags.clear(Flags::REDELIVER);
        socket.reason = reason;
        socket.held = None;
        socket.last_active = now;
        self.arm(id);
        self.mark_dirty(id);
    }

    /// Resets a connection: nothing more is sent, and the peer learns it at once.
    pub fn abort(&mut self, id: ConnId) {
        self.reset(id, CloseReason::Aborted);
    }

    /// Gives a connection to another driver, in the next turn. Bytes not consumed by then go to that driver.
    pub fn hand_over(&mut self, id: ConnId, driver: DriverId) {
        assert!(
            usize::from(driver.0) < self.framers.len(),
            "a driver of another reactor"
        );
        if let Some(socket) = self.socket(id) {
            socket.flags.set(Flags::MOVING);
            self.errands.push_back(Errand::HandOver(id, driver));
        }
    }

    /// Hands `message` to the driver of a connection, in the next turn: the one way into another protocol.
    pub fn post(&mut self, id: ConnId, message: Box<dyn Any>) {
        self.errands.push_back(Errand::Post(id, message));
    }

    /// Lets a shutdown not wait for this connection, as libuv's `uv_unref` does: it serves the process itself, such
    /// as a pair of sockets that brings signals into the loop.
    pub fn unref(&mut self, id: ConnId) {
        let Some(socket) = self.socket(id) else {
            return;
        };
        if !socket.flags.has(Flags::UNREF) {
            socket.flags.set(Flags::UNREF);
            self.streams -= 1;
        }
    }

    /// Makes [`Reactor::run`](crate::Reactor::run) return at the end of this turn. Connections stay as they are.
    pub fn stop(&mut self) {
        self.stopping = Stopping::Stop;
    }

    /// Ends the reactor in good order: listeners close now, drivers are told, and
    /// [`Reactor::run`](crate::Reactor::run) returns when the last connection has gone. What is left after
    /// `deadline` is reset. A second call replaces the deadline.
    pub fn shutdown(&mut self, deadline: Duration) {
        let listeners: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::Listener(_)))
            .map(|(id, _)| id)
            .collect();
        for id in listeners {
            self.end(id, CloseReason::Shutdown);
        }
        self.stopping = Stopping::Announced(self.now + deadline);
    }

    /// Marks for reaping. The first reason given stays.
    pub(super) fn end(&mut self, id: ConnId, reason: CloseReason) {
        match self.slots.get_mut(id) {
            None => {}
            Some(Entry::Listener(listener)) => {
                if !listener.flags.has(Flags::DEAD) {
                    listener.flags.set(Flags::DEAD);
                    self.dead.push_back(id);
                }
            }
            Some(Entry::Stream(socket)) => {
                if !socket.flags.has(Flags::DEAD) {
                    if !socket.flags.has(Flags::CLOSING) {
                        socket.reason = reason;
                    }
                    socket.flags.set(Flags::DEAD);
                    self.dead.push_back(id);
                }
            }
        }
    }

    /// Marks for reaping, and lets the closing be a reset.
    pub(super) fn reset(&mut self, id: ConnId, reason: CloseReason) {
        if let Some(Entry::Stream(socket)) = self.slots.get(id) {
            socket.stream.reset_on_close();
            self.end(id, reason);
        }
    }

    /// The socket of a connection that is open.
    fn socket(&mut self, id: ConnId) -> Option<&mut Socket> {
        match self.slots.get_mut(id) {
            Some(Entry::Stream(socket))
                if !socket.flags.has(Flags::CLOSING) && !socket.flags.has(Flags::DEAD) =>
            {
                Some(socket)
            }
            _ => None,
        }
    }
}

/// Topics.
impl Hub {
    /// Adds a connection to the subscribers of `topic`. False if it was one, or is closed.
    pub fn subscribe(&mut self, id: ConnId, topic: &str) -> bool {
        self.is_open(id) && self.topics.subscribe(id, topic)
    }

    /// Takes a connection out of `topic`. False if it was no subscriber. Closing does this by itself.
    pub fn unsubscribe(&mut self, id: ConnId, topic: &str) -> bool {
        self.topics.unsubscribe(id, topic)
    }

    /// How many connections are subscribed to `topic`.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.topics.members(topic).len()
    }

    /// The topics of a connection.
    pub fn topics(&self, id: ConnId) -> impl Iterator<Item = &str> {
        self.topics.of(id)
    }

    /// Sends a message to all subscribers of a topic, as they are now. It is framed once per driver, and members
    /// share the bytes. It reaches each of them after what was sent to it before, and before what is sent later.
    pub fn publish(&mut self, publish: Publish<'_>) -> Published {
        let Publish {
            topic,
            data,
            kind,
            except,
        } = publish;
        let mut published = Published::default();
        let mut framed: Vec<(DriverId, Bytes)> = Vec::new();
        let members = self.topics.members(topic).to_vec();
        for id in members.into_iter().filter(|id| Some(*id) != except) {
            let Some(driver) = self.socket(id).map(|socket| socket.driver) else {
                published.missed += 1;
                continue;
            };
            let bytes = match framed.iter().find(|(framed_for, _)| *framed_for == driver) {
                Some((_, bytes)) => bytes.clone(),
                None => {
                    let bytes = self.frame(driver, data, kind);
                    framed.push((driver, bytes.clone()));
                    bytes
                }
            };
            match self.send_shared(id, bytes).is_taken() {
                true => published.taken += 1,
                false => published.missed += 1,
            }
        }
        published
    }

    fn frame(&self, driver: DriverId, data: &[u8], kind: Kind) -> Bytes {
        let mut out = Vec::with_capacity(data.len() + 16);
        match &self.framers[usize::from(driver.0)] {
            Some(framer) => framer.frame(data, kind, &mut out),
            None => out.extend_from_slice(data),
        }
        out.into()
    }
}

/// What the loop does with it.
impl Hub {
    pub(super) fn new(registry: Registry, config: Config) -> Self {
        let now = config.clock.now();
        Self {
            registry,
            sys: Sys::new(config.faults.clone()),
            timed_turns: u32::from(config.time_callbacks),
            config,
            slots: Slots::new(),
            timers: Timers::new(now),
            deadlines: Timers::new(now),
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            serving: None,
            dead: VecDeque::new(),
            errands: VecDeque::new(),
            held_listeners: Vec::new(),
            framers: Vec::new(),
            turn: Turn::default(),
            totals: Totals::default(),
            stopping: Stopping::Running,
            timed: ConnMap::new(),
            topics: Topics::default(),
            spare: Vec::new(),
            counts: Vec::new(),
            streams: 0,
            callback: "",
            lap: Instant::now(),
            origin: now,
            now,
            millis: 0,
        }
    }

    pub(super) fn add_driver(&mut self, framer: Option<Rc<dyn Framer>>) -> DriverId {
        let number =
            u16::try_from(self.framers.len()).expect("a reactor has fewer than 65,536 drivers");
        self.framers.push(framer);
        self.counts.push(0);
        DriverId(number)
    }

    /// Takes the time for this turn.
    pub(super) fn begin_turn(&mut self, woke: Instant) {
        self.lap = woke;
        self.now = self.config.clock.read(woke);
        self.millis = u64::try_from((self.now - self.origin).as_millis()).unwrap_or(u64::MAX);
    }

    /// True if something waits to be flushed or closed, asked for between turns.
    pub(super) fn has_unsettled(&self) -> bool {
        !self.dirty.is_empty() || !self.dead.is_empty()
    }

    /// Looks at the clock, and charges the callback that ran last with the time since the last look.
    #[inline]
    pub(super) fn lap(&mut self) {
        if self.timed_turns > 0 {
            self.take_lap();
        }
    }

    #[cold]
    fn take_lap(&mut self) {
        let now = Instant::now();
        let took = now - self.lap;
        self.lap = now;
        if self.turn.slowest.is_none_or(|slowest| took > slowest.took) {
            self.turn.slowest = Some(Slowest {
                callback: self.callback,
                took,
            });
        }
    }

    /// Speaks up when a turn has kept everybody waiting, and has the next ones looked at more closely.
    pub(super) fn watch(&mut self, turn: &Turn) {
        if !self.config.time_callbacks {
            self.timed_turns = self.timed_turns.saturating_sub(1);
        }
        if turn.worked > self.config.slow_turn {
            match turn.slowest {
                Some(Slowest { callback, took }) => {
                    log::warn!(
                        "a turn took {:?}, {took:?} of it in {callback}",
                        turn.worked
                    );
                }
                None => log::warn!(
                    "a turn took {:?}; timing callbacks from now on",
                    turn.worked
                ),
            }
            self.timed_turns = self.timed_turns.max(TIMED_TURNS);
        }
    }

    pub(super) fn millis(&self) -> u64 {
        self.millis
    }

    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// Takes a new stream in: slot, registration, time-outs.
    pub(super) fn adopt(&mut self, mut socket: Socket) -> std::io::Result<ConnId> {
        let id = self.slots.vacant_id();
        self.sys
            .register(&self.registry, &mut socket.stream, token(id))?;
        log::trace!("register {id}");
        self.counts[usize::from(socket.driver.0)] += 1;
        self.streams += 1;
        let inserted = self.slots.insert(Entry::Stream(socket));
        debug_assert_eq!(inserted, id);
        self.arm(id);
        Ok(id)
    }

    /// Frees a slot and all that hangs on it, after `on_close`.
    pub(super) fn release(&mut self, id: ConnId) {
        match self.slots.remove(id) {
            None => {}
            Some(Entry::Listener(mut listener)) => {
                if let Err(error) = self.registry.deregister(&mut listener.socket) {
                    log::debug!("deregister: {error}");
                }
                self.held_listeners.retain(|held| *held != id);
            }
            Some(Entry::Stream(mut socket)) => {
                log::trace!("close {id}: {}", socket.reason);
                socket.stream.deregister(&self.registry);
                self.counts[usize::from(socket.driver.0)] -= 1;
                self.streams -= usize::from(!socket.flags.has(Flags::UNREF));
                if let Some(deadline) = socket.deadline {
                    self.deadlines.cancel(deadline);
                }
                for timer in self.timed.remove(id).unwrap_or_default() {
                    self.timers.cancel(timer);
                }
                self.topics.remove(id);
                if let Some(Entry::Listener(listener)) =
                    socket.listener.and_then(|id| self.slots.get_mut(id))
                {
                    listener.leave(socket.peer);
                }
                drop(socket);
                // A descriptor and a place are free: whoever waited for one may try.
                for held in std::mem::take(&mut self.held_listeners) {
                    self.queue(held);
                }
            }
        }
    }

    /// Counts a connection to its new driver. The old one's timers would mean nothing to it.
    pub(super) fn move_to(&mut self, id: ConnId, driver: DriverId) {
        for timer in self.timed.remove(id).unwrap_or_default() {
            self.timers.cancel(timer);
        }
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        self.counts[usize::from(socket.driver.0)] -= 1;
        self.counts[usize::from(driver.0)] += 1;
        socket.driver = driver;
        if socket.held.is_some() {
            socket.flags.set(Flags::REDELIVER);
        }
    }

    /// Puts an id into the ready queue, once.
    #[inline]
    pub(super) fn queue(&mut self, id: ConnId) {
        let flags = match self.slots.get_mut(id) {
            Some(Entry::Stream(socket)) => &mut socket.flags,
            Some(Entry::Listener(listener)) => &mut listener.flags,
            None => return,
        };
        if !flags.has(Flags::QUEUED) {
            flags.set(Flags::QUEUED);
            self.ready.push_back(id);
        }
    }

    fn mark_dirty(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        if !socket.flags.has(Flags::DIRTY) {
            socket.flags.set(Flags::DIRTY);
            self.dirty.push_back(id);
        }
    }

    /// Sets the one timer behind a connection's time-outs to the next of them.
    pub(super) fn arm(&mut self, id: ConnId) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        if let Some(old) = socket.deadline.take() {
            self.deadlines.cancel(old);
        }
        if let Some(at) = socket.next_deadline(self.millis) {
            let at = self.origin + Duration::from_millis(at);
            socket.deadline = self.deadlines.insert(at, (id, Due::Patience));
        }
    }

    /// A shortage is not announced when it ends: a timer looks again.
    pub(super) fn retry_later(&mut self, id: ConnId) {
        self.deadlines
            .insert(self.now + self.config.retry_after, (id, Due::Retry));
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("streams", &self.streams)
            .field("ready", &self.ready.len())
            .field("timers", &self.pending_timers())
            .field("stopping", &self.stopping)
            .finish_non_exhaustive()
    }
}

/// The id is the token: generation and index in one word.
pub(super) fn token(id: ConnId) -> Token {
    Token(id.to_bits() as usize)
}
