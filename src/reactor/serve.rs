//! What a turn does for each id: accept, read, deliver, time out, settle.
//!
//! This is the only place that calls drivers. Each call is made with the application, the hub and
//! the loop's buffer borrowed side by side, and inside `catch_unwind`, so that a panic costs one
//! connection and not the loop.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::id::ConnId;

use super::Reactor;
use super::accept::Accepted;
use super::bind::MAX_DATAGRAM;
use super::datagram::Datagram;
use super::dialling::{Failure, cancelled};
use super::driver::{CloseReason, Driver, DriverId, Origin, Timeout};
use super::entry::Entry;
use super::handshake::SECURE_BUFFER;
use super::hub::{Due, Errand, Hub, Owner, Stopping};
use super::receive::Input;
use super::socket::Flags;
use super::source::Ready;
use super::timers::TimerId;

impl<A> Reactor<A> {
    /// Serves one id of the ready queue.
    pub(super) fn serve(&mut self, app: &mut A, id: ConnId) {
        match self.hub.slots.get_mut(id) {
            None => self.hub.turn.stale += 1,
            Some(Entry::Stream(socket)) => {
                socket.flags.clear(Flags::QUEUED);
                let (driver, flags) = (socket.driver, socket.flags);
                let output = socket.outbox.is_some() || flags.has(Flags::DRAINED);
                if flags.has(Flags::SECURE) {
                    self.make_room();
                }
                self.hub.serving = Some(id);
                if output {
                    self.drain(app, id, driver);
                }
                self.read(app, id, driver);
                self.hub.serving = None;
                self.hub.flush_now(id);
            }
            Some(other) => {
                other.flags_mut().clear(Flags::QUEUED);
                self.serve_other(app, id);
            }
        }
    }

    /// Serves what is no stream.
    fn serve_other(&mut self, app: &mut A, id: ConnId) {
        match self.hub.slots.get(id) {
            Some(Entry::Datagrams(datagrams)) => {
                if !datagrams.unsent.is_empty() || datagrams.flags.has(Flags::DRAINED) {
                    self.drain_datagrams(app, id);
                }
                self.read_datagrams(app, id);
            }
            Some(Entry::Handshake(_)) => {
                self.make_room();
                if let Some(origin) = self.hub.shake(id, &mut self.buffer) {
                    self.open(app, id, origin);
                    self.hub.queue(id);
                }
            }
            Some(Entry::Listener(_)) => self.accept(app, id),
            Some(Entry::Dial(_)) => {
                if let Some(origin) = self.hub.dial_progress(id) {
                    self.open(app, id, origin);
                    self.hub.queue(id);
                }
            }
            Some(Entry::Watched(_)) => self.lend_source(app, id),
            Some(Entry::Session(_) | Entry::Stream(_)) | None => {}
        }
    }

    /// Decryption needs room for what is received and for what comes of it.
    fn make_room(&mut self) {
        if self.buffer.len() < SECURE_BUFFER {
            self.buffer.resize(SECURE_BUFFER, 0);
        }
    }

    /// Accepts until nobody waits or the budget is spent.
    fn accept(&mut self, app: &mut A, listener: ConnId) {
        for _ in 0..self.hub.config.accept_budget {
            match self.hub.accept(listener) {
                Accepted::Opened(id, driver) => {
                    self.call(id, driver, "on_open", |driver, hub, _| {
                        driver.on_open(app, hub, id, Origin::Accepted { listener });
                    });
                }
                Accepted::Skipped => {}
                Accepted::Done => return,
            }
        }
        self.hub.queue(listener);
    }

    /// Writes what waits, and tells the driver if it was waiting for that.
    fn drain(&mut self, app: &mut A, id: ConnId, driver: DriverId) {
        self.hub.flush_now(id);
        if self.hub.take_drained(id) {
            self.call(id, driver, "on_drain", |driver, hub, _| {
                driver.on_drain(app, hub, id);
            });
        }
    }

    /// Reads within the budget, and gives the bytes to the driver.
    fn read(&mut self, app: &mut A, id: ConnId, driver: DriverId) {
        let mut budget = self.hub.config.read_budget;
        while budget > 0 {
            match self.hub.receive(id, &mut self.buffer, &mut budget) {
                Input::Buffered(length) => {
                    self.call(id, driver, "on_data", |driver, hub, buffer| {
                        let used = driver.on_data(app, hub, id, &mut buffer[..length]);
                        if used < length {
                            hub.hold(id, buffer[used..length].to_vec(), driver.max_unconsumed());
                        }
                    });
                }
                Input::Held(mut bytes) => self.call(id, driver, "on_data", |driver, hub, _| {
                    let used = driver.on_data(app, hub, id, &mut bytes);
                    bytes.drain(..used.min(bytes.len()));
                    if !bytes.is_empty() {
                        hub.hold(id, *bytes, driver.max_unconsumed());
                    }
                }),
                Input::Eof(mut rest) => {
                    self.call(id, driver, "on_eof", |driver, hub, _| {
                        driver.on_eof(app, hub, id, &mut rest);
                    });
                    return;
                }
                Input::Nothing => return,
            }
        }
    }

    /// Sends the datagrams that wait, and tells who was waiting for that.
    fn drain_datagrams(&mut self, app: &mut A, socket: ConnId) {
        self.hub.flush_datagrams(socket);
        for id in self.hub.take_drained_datagrams(socket) {
            if let Some(driver) = self.hub.open_driver(id) {
                self.call(id, driver, "on_drain", |driver, hub, _| {
                    driver.on_drain(app, hub, id);
                });
            }
        }
    }

    /// Receives within the budget, and gives each datagram to the driver.
    fn read_datagrams(&mut self, app: &mut A, socket: ConnId) {
        // Any smaller, and the kernel would cut a datagram without a word.
        if self.buffer.len() < MAX_DATAGRAM {
            self.buffer.resize(MAX_DATAGRAM, 0);
        }
        let mut budget = self.hub.config.read_budget;
        while budget > 0 {
            match self
                .hub
                .receive_datagram(socket, &mut self.buffer, &mut budget)
            {
                Datagram::Arrived {
                    id,
                    driver,
                    from,
                    length,
                } => {
                    self.call(id, driver, "on_datagram", |driver, hub, buffer| {
                        driver.on_datagram(app, hub, id, from, &mut buffer[..length]);
                    });
                    if let Some(session) = self.hub.opened_session.take() {
                        self.hub.credit(session, from, length);
                    }
                }
                Datagram::Failed(driver, error) => {
                    self.call(socket, driver, "on_error", |driver, hub, _| {
                        driver.on_error(app, hub, socket, error);
                    });
                }
                Datagram::Skipped => {}
                Datagram::Nothing => return,
            }
        }
        self.hub.queue(socket);
    }

    /// Lends a source that is ready to its driver.
    fn lend_source(&mut self, app: &mut A, id: ConnId) {
        let Some(Entry::Watched(watched)) = self.hub.slots.get_mut(id) else {
            return;
        };
        if watched.flags.has(Flags::DEAD) || watched.flags.has(Flags::UNOPENED) {
            return;
        }
        let (driver, ready) = (watched.driver, std::mem::take(&mut watched.ready));
        let Some(mut source) = watched.source.take() else {
            return;
        };
        self.call(id, driver, "on_ready", |driver, hub, _| {
            driver.on_ready(app, hub, id, source.as_any(), ready);
        });
        if let Some(Entry::Watched(watched)) = self.hub.slots.get_mut(id) {
            watched.source = Some(source);
        }
    }

    /// Runs what waited for this turn: openings, hand-overs, posts and bad news.
    pub(super) fn run_errands(&mut self, app: &mut A) {
        for _ in 0..self.hub.errands.len() {
            match self.hub.errands.pop_front() {
                Some(Errand::Opened(id, driver, origin)) => self.opened(app, id, driver, origin),
                Some(Errand::DialFailed(failure)) => {
                    let Failure {
                        id,
                        driver,
                        ticket,
                        error,
                    } = *failure;
                    self.hub.slots.remove(id);
                    self.call_driver(driver, "on_dial_failed", |driver, hub| {
                        driver.on_dial_failed(app, hub, id, ticket, error);
                    });
                }
                Some(Errand::Failed(id, error)) => {
                    if let Some(driver) = self.hub.take_failed(id) {
                        self.call(id, driver, "on_error", |driver, hub, _| {
                            driver.on_error(app, hub, id, error);
                        });
                    }
                }
                Some(Errand::HandOver(id, to, ticket)) => self.hand_over(app, id, to, ticket),
                Some(Errand::Post(id, only, message)) => {
                    let driver = self.hub.open_driver(id);
                    if let Some(driver) = driver.filter(|own| only.is_none_or(|only| only == *own))
                    {
                        self.call(id, driver, "on_post", |driver, hub, _| {
                            driver.on_post(app, hub, id, message);
                        });
                    } else {
                        self.hub.turn.stale += 1;
                    }
                }
                None => break,
            }
            self.hub.lap();
        }
    }

    /// Tells the driver of something new, or of a dial that was cancelled before it heard of it.
    fn opened(&mut self, app: &mut A, id: ConnId, driver: DriverId, origin: Origin) {
        match origin {
            Origin::Dialled { ticket } if !self.hub.is_open(id) => {
                self.call_driver(driver, "on_dial_failed", |driver, hub| {
                    driver.on_dial_failed(app, hub, id, ticket, cancelled());
                });
            }
            origin => self.open(app, id, origin),
        }
    }

    /// Tells the driver of something new, after which it may be served.
    fn open(&mut self, app: &mut A, id: ConnId, origin: Origin) {
        let Some(driver) = self.hub.open_driver(id) else {
            return;
        };
        self.hub.may_serve(id);
        self.call(id, driver, "on_open", |driver, hub, _| {
            driver.on_open(app, hub, id, origin);
        });
    }

    fn hand_over(&mut self, app: &mut A, id: ConnId, to: DriverId, ticket: Option<Box<dyn Any>>) {
        let Some(from) = self.hub.open_driver(id) else {
            return;
        };
        let reason = CloseReason::HandedOver;
        self.call(id, from, "on_close", |driver, hub, _| {
            driver.on_close(app, hub, id, reason);
        });
        self.hub.move_to(id, to);
        self.call(id, to, "on_open", |driver, hub, _| {
            driver.on_open(app, hub, id, Origin::HandedOver { from, ticket });
        });
        self.hub.may_serve(id);
    }

    /// Takes up the results of blocking jobs.
    pub(super) fn run_results(&mut self) {
        for then in self.hub.pool.ended() {
            if !guarded(&mut self.hub, "the sequel of a blocking job", then) {
                log::error!("the sequel of a blocking job panicked");
            }
            self.hub.lap();
        }
    }

    /// Runs at most a budget of the jobs that other threads have sent.
    pub(super) fn run_remote(&mut self, app: &mut A) {
        self.more_remote = self
            .inbox
            .take(self.hub.config.remote_budget, &mut self.jobs);
        while let Some(job) = self.jobs.pop_front() {
            self.hub.turn.remote += 1;
            let hub = &mut self.hub;
            if !guarded(hub, "a remote job", |hub| job(app, hub)) {
                log::error!("a job from another thread panicked");
            }
            self.hub.lap();
        }
    }

    /// Tells the drivers of a shutdown, or ends what is left when its deadline has passed.
    pub(super) fn run_shutdown(&mut self, app: &mut A) {
        match self.hub.stopping {
            Stopping::Announced(deadline) => {
                self.hub.stopping = Stopping::Draining(deadline);
                for number in 0..self.drivers.len() {
                    let id = DriverId(number as u16);
                    self.call_driver(id, "on_stop", |driver, hub| driver.on_stop(app, hub, id));
                }
            }
            Stopping::Draining(deadline) if self.hub.now() >= deadline => {
                self.hub.stopping = Stopping::Ended;
                for number in 0..self.drivers.len() {
                    for id in self.hub.ids(DriverId(number as u16)) {
                        self.hub.reset(id, CloseReason::Shutdown);
                    }
                }
            }
            _ => {}
        }
    }

    /// Fires what is due. All of it is collected first, so a timer set while firing waits for
    /// another turn; one that is cancelled by another of the same turn does not fire.
    pub(super) fn fire_timers(&mut self, app: &mut A) {
        let (now, mut patience, mut due) = (self.hub.now(), Vec::new(), Vec::new());
        self.hub.deadlines.expire(now, &mut patience);
        self.hub.timers.expire(now, &mut due);
        for (timer, (id, due)) in patience {
            match due {
                Due::Patience => self.time_out(app, id, timer),
                Due::Retry => self.hub.retry(id, timer),
            }
            self.hub.lap();
        }
        self.hub.firing.extend(due);
        while let Some((timer, (owner, key))) = self.hub.firing.pop_front() {
            self.hub.turn.timers += 1;
            self.hub.forget_timer(owner, timer);
            match owner {
                Owner::App => self.call_app(app, key),
                Owner::Driver(id) => self.call_driver(id, "on_timer", |driver, hub| {
                    driver.on_timer(app, hub, None, key);
                }),
                Owner::Conn(id) => match self.hub.open_driver(id) {
                    Some(driver) => self.call(id, driver, "on_timer", |driver, hub, _| {
                        driver.on_timer(app, hub, Some(id), key);
                    }),
                    None => self.hub.turn.stale += 1,
                },
            }
            self.hub.lap();
        }
    }

    /// Looks whether a connection's patience is over.
    fn time_out(&mut self, app: &mut A, id: ConnId, timer: TimerId) {
        let now = self.hub.millis;
        self.hub.excuse_session(id);
        let Some(entry) = self.hub.slots.get_mut(id) else {
            return;
        };
        match entry {
            Entry::Dial(_) => return self.hub.dial_timed_out(id),
            Entry::Handshake(_) => return self.hub.handshake_timed_out(id),
            _ => {}
        }
        let (flags, driver) = (entry.flags(), entry.driver());
        let (Some(life), Some(driver)) = (entry.life_mut(), driver) else {
            return;
        };
        // Armed anew, or dead, by what another one of this turn has done.
        if life.deadline != Some(timer) || flags.has(Flags::DEAD) {
            return;
        }
        life.deadline = None;
        if flags.has(Flags::CLOSING) {
            if life.lingered() <= now {
                let reason = entry
                    .reason_mut()
                    .map_or(CloseReason::Local, |reason| *reason);
                return self.hub.reset(id, reason);
            }
        } else if let Some(timeout) = entry.passed(now) {
            self.call(id, driver, "on_timeout", |driver, hub, _| {
                driver.on_timeout(app, hub, id, timeout);
            });
            if timeout == Timeout::Lifetime {
                self.hub.close_for(id, CloseReason::TimedOut(timeout));
            }
        }
        self.hub.arm(id);
    }

    /// Flushes and closes until nothing is left to flush or close. `on_close` may send to others
    /// and close them, so this is a fixed point; it ends, since each connection is closed once and
    /// nothing opens here.
    pub(super) fn settle(&mut self, app: &mut A) {
        loop {
            if let Some(id) = self.hub.dirty.pop_front() {
                if self.hub.is_dirty(id) {
                    self.hub.flush_now(id);
                }
            } else if let Some(id) = self.hub.dead.pop_front() {
                if let Some((driver, reason)) = self.hub.heard_of(id) {
                    self.hub.turn.closes += 1;
                    self.call(id, driver, "on_close", |driver, hub, _| {
                        driver.on_close(app, hub, id, reason);
                    });
                }
                self.hub.release(id);
                self.hub.lap();
            } else {
                return;
            }
        }
    }

    /// Calls a driver about a connection. If it panics, that connection is closed and the loop goes
    /// on.
    #[inline]
    fn call(
        &mut self,
        id: ConnId,
        driver: DriverId,
        callback: &'static str,
        call: impl FnOnce(&mut dyn Driver<A>, &mut Hub, &mut [u8]),
    ) {
        let Self {
            drivers,
            hub,
            buffer,
            ..
        } = self;
        let Some(driver) = drivers.get_mut(usize::from(driver.0)) else {
            return;
        };
        hub.opened_session = None;
        if !guarded(hub, callback, |hub| call(driver.as_mut(), hub, buffer)) {
            hub.panicked(id, callback);
        }
    }

    fn call_driver(
        &mut self,
        driver: DriverId,
        callback: &'static str,
        call: impl FnOnce(&mut dyn Driver<A>, &mut Hub),
    ) {
        let Self { drivers, hub, .. } = self;
        let Some(driver) = drivers.get_mut(usize::from(driver.0)) else {
            return;
        };
        if !guarded(hub, callback, |hub| call(driver.as_mut(), hub)) {
            log::error!("{callback} panicked");
        }
    }

    fn call_app(&mut self, app: &mut A, key: u32) {
        let Self { on_timer, hub, .. } = self;
        match on_timer {
            None => log::warn!(
                "timer {key} of the application fired, and Reactor::on_timer was never called"
            ),
            Some(on_timer) => {
                if !guarded(hub, "on_timer", |hub| on_timer(app, hub, key)) {
                    log::error!("on_timer of the application panicked");
                }
            }
        }
    }
}

/// Runs a callback with its panics caught. False if it panicked.
#[inline]
fn guarded(hub: &mut Hub, callback: &'static str, call: impl FnOnce(&mut Hub)) -> bool {
    hub.callback = callback;
    let done = catch_unwind(AssertUnwindSafe(|| call(hub))).is_ok();
    if !done {
        hub.turn.panics += 1;
    }
    done
}

impl Hub {
    /// A callback about `id` panicked: it is closed, and everybody else goes on.
    #[cold]
    fn panicked(&mut self, id: ConnId, callback: &str) {
        let peer = self.info(id).and_then(|info| info.peer_addr);
        if matches!(self.slots.get(id), Some(Entry::Datagrams(socket)) if socket.peer.is_none()) {
            // One peer's datagram must not end the service for all others.
            log::error!("{callback} panicked; a datagram of {id} is lost");
            if let Some(session) = self.opened_session.take() {
                self.end_by_panic(session);
            }
            return;
        }
        log::error!("{callback} panicked; closing {id}, peer {peer:?}");
        self.end_by_panic(id);
    }

    /// Whatever else it did: after a panic the driver must not call the application again.
    fn end_by_panic(&mut self, id: ConnId) {
        self.reset(id, CloseReason::Panicked);
        if let Some(reason) = self.slots.get_mut(id).and_then(Entry::reason_mut) {
            *reason = CloseReason::Panicked;
        }
    }

    /// A shortage may be over.
    fn retry(&mut self, id: ConnId, timer: TimerId) {
        let Some(entry) = self.slots.get_mut(id) else {
            return;
        };
        if let Entry::Dial(_) = entry {
            return self.dial_retry(id, timer);
        }
        entry.flags_mut().clear(Flags::STALLED);
        entry.flags_mut().clear(Flags::RETRYING);
        self.queue(id);
    }

    /// A driver has been told of it: it may be served.
    fn may_serve(&mut self, id: ConnId) {
        let Some(entry) = self.slots.get_mut(id) else {
            return;
        };
        entry.flags_mut().clear(Flags::MOVING);
        entry.flags_mut().clear(Flags::UNOPENED);
        let has_work = match entry {
            Entry::Stream(socket) => socket.has_work(),
            Entry::Datagrams(datagrams) => datagrams.has_work(),
            Entry::Watched(watched) => watched.ready != Ready::default(),
            _ => false,
        };
        if has_work {
            self.queue(id);
        }
    }

    /// The driver that is to hear of an error, which makes way for the next one.
    fn take_failed(&mut self, id: ConnId) -> Option<DriverId> {
        self.slots.get_mut(id)?.flags_mut().clear(Flags::FAILED);
        self.open_driver(id)
    }

    fn take_drained(&mut self, id: ConnId) -> bool {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return false;
        };
        socket.flags.take(Flags::DRAINED)
            && !socket.flags.has(Flags::CLOSING)
            && !socket.flags.has(Flags::DEAD)
    }

    /// The driver of a connection that it has heard of, and why it ends.
    fn heard_of(&mut self, id: ConnId) -> Option<(DriverId, CloseReason)> {
        let entry = self.slots.get_mut(id)?;
        if entry.flags().has(Flags::UNOPENED) {
            return None;
        }
        Some((entry.driver()?, *entry.reason_mut()?))
    }

    fn is_dirty(&self, id: ConnId) -> bool {
        matches!(self.slots.get(id), Some(Entry::Stream(socket)) if socket.flags.has(Flags::DIRTY))
    }

    /// The driver of a connection that is open.
    pub(super) fn open_driver(&self, id: ConnId) -> Option<DriverId> {
        let entry = self.slots.get(id).filter(|entry| entry.is_open())?;
        entry.driver()
    }
}
