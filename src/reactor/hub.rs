//! Everything that a callback may do to the outside world.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Registry, Token, Waker};

use crate::id::{ConnId, ConnMap, Slots};

use super::config::Config;
use super::dialling::Failure;
use super::driver::{DriverId, Form, Framer, Origin};
use super::entry::Entry;
use super::measures::Measures;
use super::outbox::Spares;
use super::pool::Pool;
use super::report::{Slowest, Totals, Turn};
use super::socket::{Flags, Socket};
use super::sys::Sys;
use super::timers::{TimerId, Timers};
use super::topics::Topics;

/// Longer than any timer can be told from: some 30 years.
const FAR: Duration = Duration::from_secs(1 << 30);

/// Turns whose callbacks are timed after a slow one: a second's worth for a busy loop.
const TIMED_TURNS: u32 = 1_000;

/// What callbacks act through: sending, closing, timers, topics, and looking things up.
///
/// Nothing here calls a callback. A call changes queues and flags, and the loop acts on them when
/// the callback has returned; so no callback ever runs inside another, and an id may be used
/// whether or not its connection still exists: a call about one that does not is harmless, and says
/// so.
///
/// Nor is there a way from here to the loop itself, so loops cannot be nested:
///
/// ```compile_fail,E0599
/// # use switchboard::Hub;
/// fn in_a_callback(hub: &mut Hub) {
///     hub.turn(&mut (), None);
/// }
/// ```
pub struct Hub {
    pub(super) registry: Registry,
    pub(super) sys: Sys,
    pub(super) config: Config,
    pub(super) slots: Slots<Entry>,
    pub(super) timers: Timers<(Owner, u32)>,
    /// Timers that are due in this turn and have yet to fire.
    pub(super) firing: VecDeque<(TimerId, (Owner, u32))>,
    pub(super) deadlines: Timers<(ConnId, Due)>,
    pub(super) ready: VecDeque<ConnId>,
    pub(super) dirty: VecDeque<ConnId>,
    /// The connection being served, which is flushed when that is done.
    pub(super) serving: Option<ConnId>,
    pub(super) dead: VecDeque<ConnId>,
    pub(super) errands: VecDeque<Errand>,
    /// Listeners that wait for a connection to close.
    pub(super) held_listeners: Vec<ConnId>,
    pub(super) framers: Vec<Option<Box<dyn Framer>>>,
    pub(super) turn: Turn,
    pub(super) totals: Totals,
    pub(super) measures: Measures,
    pub(super) stopping: Stopping,
    /// The timers of each connection that has any, so that they end with it.
    timed: ConnMap<Vec<TimerId>>,
    pub(super) topics: Topics,
    pub(super) pool: Pool,
    pub(super) spare: Spares,
    /// The session that was opened last in the present callback.
    pub(super) opened_session: Option<ConnId>,
    /// Connections by driver.
    pub(super) counts: Vec<usize>,
    /// Connections that a shutdown waits for.
    pub(super) streams: usize,
    /// Turns for which callbacks are still timed.
    timed_turns: u32,
    /// The callback that ran last.
    pub(super) callback: &'static str,
    /// When [`lap`](Self::lap) last looked at the clock.
    pub(super) lap: Instant,
    origin: Instant,
    pub(super) now: Instant,
    /// `now` in whole milliseconds since `origin`.
    pub(super) millis: u64,
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
    /// What ran into a shortage may try again, and a dial its next address.
    Retry,
}

/// What waits for the next turn, because it means calling a driver.
#[derive(Debug)]
pub(crate) enum Errand {
    DialFailed(Box<Failure>),
    Failed(ConnId, std::io::Error),
    HandOver(ConnId, DriverId, Option<Box<dyn Any>>),
    Opened(ConnId, DriverId, Origin),
    /// For whatever driver has it, or for this one only.
    Post(ConnId, Option<DriverId>, Box<dyn Any>),
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
    /// The deadline has passed: `run` returns after this turn.
    Ended,
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
    /// Not taken: the backlog is full, and [`Overflow::Drop`](crate::Overflow::Drop) is the policy.
    /// Or a datagram that the system refused: `on_error` tells why. Or what cannot be said in the
    /// framing of the connection.
    Dropped,
    /// Not taken: no datagram can be that large.
    TooLarge,
}

impl Sent {
    /// True if the message was taken.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::Backlogged)
    }

    /// Marks a result as of no interest: the connection's own fate will be told by its callbacks.
    pub const fn ignore(self) {}
}

/// Time.
impl Hub {
    /// The instant of this turn. Read once a turn, so that all its callbacks agree.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Calls `on_timer` with `key` when `after` has passed, in a later turn: never early, up to a
    /// millisecond late. `None` if 67 million timers are pending, or the connection is closed.
    pub fn set_timer(&mut self, owner: Owner, after: Duration, key: u32) -> Option<TimerId> {
        let Owner::Conn(id) = owner else {
            return self.timers.insert(self.later(after), (owner, key));
        };
        if !self.is_open(id) {
            return None;
        }
        let timer = self.timers.insert(self.later(after), (owner, key))?;
        match self.timed.get_mut(id) {
            Some(timers) => timers.push(timer),
            None => drop(self.timed.insert(id, vec![timer])),
        }
        Some(timer)
    }

    /// Cancels a timer. False if it has fired or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let cancelled = self.timers.cancel(timer).or_else(|| {
            let at = self.firing.iter().position(|(id, _)| *id == timer)?;
            Some(self.firing.remove(at)?.1)
        });
        let Some((owner, _)) = cancelled else {
            return false;
        };
        self.forget_timer(owner, timer);
        true
    }

    /// True until the timer fires or is cancelled.
    pub fn is_pending(&self, timer: TimerId) -> bool {
        self.timers.is_pending(timer) || self.firing.iter().any(|(id, _)| *id == timer)
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

/// What the loop does with it.
impl Hub {
    pub(super) fn new(registry: Registry, config: Config, waker: Arc<Waker>) -> Self {
        let now = config.clock.now();
        Self {
            registry,
            sys: Sys::new(config.faults.clone()),
            pool: Pool::new(waker, config.blocking_threads, config.blocking_queue),
            timed_turns: u32::from(config.time_callbacks),
            config,
            slots: Slots::new(),
            timers: Timers::new(now),
            firing: VecDeque::new(),
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
            measures: Measures::default(),
            stopping: Stopping::Running,
            timed: ConnMap::new(),
            topics: Topics::default(),
            spare: Spares::default(),
            opened_session: None,
            counts: Vec::new(),
            streams: 0,
            callback: "",
            lap: Instant::now(),
            origin: now,
            now,
            millis: 0,
        }
    }

    pub(super) fn add_driver(&mut self, framer: Option<Box<dyn Framer>>) -> DriverId {
        let number =
            u16::try_from(self.framers.len()).expect("a reactor has fewer than 65,536 drivers");
        self.framers.push(framer);
        self.counts.push(0);
        DriverId(number)
    }

    /// Takes the time, for a turn or for what is done between two.
    pub(super) fn take_time(&mut self, system: Instant) {
        self.lap = system;
        self.now = self.config.clock.read(system);
        self.millis = u64::try_from((self.now - self.origin).as_millis()).unwrap_or(u64::MAX);
    }

    /// The instant after this time, as far as instants reach.
    pub(super) fn later(&self, after: Duration) -> Instant {
        self.now.checked_add(after).unwrap_or(self.now + FAR)
    }

    /// True if something waits to be flushed or closed, asked for between turns.
    pub(super) fn has_unsettled(&self) -> bool {
        !self.dirty.is_empty() || !self.dead.is_empty()
    }

    /// Looks at the clock, and charges the callback that ran last with the time since the last
    /// look.
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
        let ran = Slowest {
            callback: self.callback,
            took,
        };
        self.measures.add_callback(ran);
        if self.turn.slowest.is_none_or(|slowest| took > slowest.took) {
            self.turn.slowest = Some(ran);
        }
    }

    /// Speaks up when a turn has kept everybody waiting, and has the next ones looked at more
    /// closely.
    pub(super) fn warn_if_slow(&mut self, turn: &Turn) {
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

    /// Takes a new stream in: slot, registration, time-outs.
    pub(super) fn take_stream(&mut self, mut socket: Socket) -> std::io::Result<ConnId> {
        let id = self.slots.vacant_id();
        self.sys
            .register(&self.registry, &mut socket.stream, token(id))?;
        log::trace!("register {id}");
        let driver = socket.driver;
        self.insert(Entry::Stream(socket), driver);
        self.arm(id);
        Ok(id)
    }

    /// Gives something of a driver's a slot: the one of `vacant_id`.
    pub(super) fn insert(&mut self, entry: Entry, driver: DriverId) -> ConnId {
        self.count_in(driver);
        self.slots.insert(entry)
    }

    pub(super) fn count_in(&mut self, driver: DriverId) {
        self.counts[usize::from(driver.0)] += 1;
        self.streams += 1;
    }

    pub(super) fn check_driver(&self, driver: DriverId) {
        assert!(
            usize::from(driver.0) < self.framers.len(),
            "a driver of another reactor"
        );
    }

    /// Frees a slot and all that hangs on it, after `on_close`.
    pub(super) fn release(&mut self, id: ConnId) {
        let Some(mut entry) = self.slots.remove(id) else {
            return;
        };
        if let Some(driver) = entry.driver() {
            self.counts[usize::from(driver.0)] -= 1;
            self.streams -= usize::from(!entry.flags().has(Flags::UNREF));
            if let Some(deadline) = entry.life().and_then(|life| life.deadline) {
                self.deadlines.cancel(deadline);
            }
            for timer in self.timed.remove(id).unwrap_or_default() {
                self.timers.cancel(timer);
            }
            self.topics.remove(id);
        }
        match &mut entry {
            Entry::Dial(_) | Entry::Session(_) => return,
            Entry::Handshake(handshake) => {
                let socket = &mut handshake.socket;
                socket.stream.deregister(&self.registry);
                self.leave_listener(socket);
            }
            Entry::Datagrams(datagrams) => {
                if let Err(error) = self.registry.deregister(&mut datagrams.socket) {
                    log::debug!("deregister: {error}");
                }
            }
            Entry::Listener(listener) => {
                if let Err(error) = self.registry.deregister(listener.acceptor.source()) {
                    log::debug!("deregister: {error}");
                }
                self.held_listeners.retain(|held| *held != id);
            }
            Entry::Stream(socket) => {
                log::trace!("close {id}: {}", socket.reason);
                socket.stream.deregister(&self.registry);
                self.leave_listener(socket);
            }
            Entry::Watched(watched) => watched.deregister(&self.registry),
        }
        drop(entry);
        // A descriptor and a place are free: whoever waited for one may try.
        for held in std::mem::take(&mut self.held_listeners) {
            self.queue(held);
        }
    }

    /// Counts a connection out of what has accepted it.
    pub(super) fn leave_listener(&mut self, socket: &Socket) {
        let listener = socket.listener.and_then(|id| self.slots.get_mut(id));
        if let Some(Entry::Listener(listener)) = listener {
            listener.leave(socket.peer);
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
        (socket.driver, socket.form) = (driver, Form::default());
        // The new one decides for itself whether it reads, and has not heard of the end.
        socket.flags.clear(Flags::PAUSED);
        socket.flags.clear(Flags::MUTE);
        socket.flags.clear(Flags::EOF_TOLD);
        if socket.held.is_some() {
            socket.flags.set(Flags::REDELIVER);
        }
    }

    /// Puts an id into the ready queue, once.
    #[inline]
    pub(super) fn queue(&mut self, id: ConnId) {
        let Some(flags) = self.slots.get_mut(id).map(Entry::flags_mut) else {
            return;
        };
        if !flags.has(Flags::QUEUED) {
            flags.set(Flags::QUEUED);
            self.ready.push_back(id);
        }
    }

    pub(super) fn mark_dirty(&mut self, id: ConnId) {
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
        let now = self.millis;
        let Some(entry) = self.slots.get_mut(id) else {
            return;
        };
        let next = entry.next_deadline(now);
        let Some(life) = entry.life_mut() else {
            return;
        };
        if let Some(old) = life.deadline.take() {
            self.deadlines.cancel(old);
        }
        if let Some(at) = next {
            let at = self
                .origin
                .checked_add(Duration::from_millis(at))
                .unwrap_or(self.now + FAR);
            life.deadline = self.deadlines.insert(at, (id, Due::Patience));
        }
    }

    /// A shortage is not announced when it ends: a timer looks again.
    pub(super) fn retry_later(&mut self, id: ConnId) {
        self.deadlines
            .insert(self.later(self.config.retry_after), (id, Due::Retry));
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("slots", &self.slots.len())
            .field("ready", &self.ready.len())
            .field("timers", &self.pending_timers())
            .field("stopping", &self.stopping)
            .finish_non_exhaustive()
    }
}

/// The id is the token: generation and index in one word.
pub(crate) fn token(id: ConnId) -> Token {
    Token(id.to_bits() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot costs what its socket costs, and a generation; see `a_socket_stays_small`.
    #[test]
    fn a_slot_adds_nothing_to_a_socket() {
        assert_eq!(size_of::<Option<Entry>>(), size_of::<Socket>());
    }

    /// 8 bytes of key and this are what an idle time-out costs.
    #[test]
    fn a_time_out_is_small() {
        assert_eq!(size_of::<Option<(ConnId, Due)>>(), 12);
    }
}
