//! How long a client may take: over a head, over a body, over taking its answer.

use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::id::ConnId;
use crate::reactor::{CloseReason, Hub, Owner, Timeout};

use super::exchange::{Answer, Conn, Phase};
use super::refusal::Refusal;
use super::{Options, Server};

/// The key of the server's own timers.
pub(super) const DEADLINE: u32 = u32::MAX;

/// Over what time a client's taking of a response is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// Answers from here on are looked after while they leave.
pub(super) const LARGE: u64 = 16 * 1024;

impl<A> Server<A> {
    /// The timer of a connection has fired.
    pub(super) fn look_at_deadlines(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        let now = hub.now();
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.timer = None;
        if !conn.takes_enough(hub, id, self.shared.options.min_send_rate) {
            log::info!(
                "resetting {id}, peer {:?}: it takes its answer too slowly",
                hub.peer_addr(id)
            );
            return hub.abort(id);
        }
        if conn.deadline.is_some_and(|deadline| deadline <= now) {
            match conn.phase {
                // The next request may come when the answer has gone.
                Phase::Head if hub.backlog(id) > 0 => {
                    conn.deadline = Some(now + self.shared.options.idle_timeout);
                }
                Phase::Head if conn.scan.is_fresh() => {
                    conn.phase = Phase::Closing;
                    return hub.close_for(id, CloseReason::TimedOut(Timeout::Idle));
                }
                Phase::Head => return self.refuse(app, hub, id, Refusal::TooSlow),
                Phase::Collect | Phase::Stream => {
                    let deadline = conn.body_deadline(hub, id, &self.shared.options);
                    conn.deadline = deadline;
                    if deadline.is_some_and(|deadline| deadline <= now) {
                        return self.refuse(app, hub, id, Refusal::TooSlow);
                    }
                }
                Phase::Proxied => {
                    conn.phase = Phase::Closing;
                    return hub.close_for(id, CloseReason::TimedOut(Timeout::Read));
                }
                Phase::Answer | Phase::Closing => conn.deadline = None,
            }
        }
        self.arm(hub, id);
    }

    pub(super) fn arm(&mut self, hub: &mut Hub, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            arm(hub, id, conn);
        }
    }
}

/// Has the kernel take bytes for a client only little ahead of what that can be sent. Without a
/// bound it takes some megabytes, and for minutes nobody can tell a client that reads slowly from one
/// that does not read.
pub(super) fn show_progress(hub: &Hub, id: ConnId, rate: u32) {
    if let Some(descriptor) = hub.descriptor(id) {
        let ahead = rate.saturating_mul(WINDOW.as_secs() as u32);
        // It is of no importance by a Unix socket, which does not know it.
        let _ =
            SockRef::from(&descriptor).set_tcp_notsent_lowat(ahead.clamp(16 * 1024, 128 * 1024));
    }
}

/// Sets the timer of a connection, unless it fires in time anyway.
pub(super) fn arm(hub: &mut Hub, id: ConnId, conn: &mut Conn) {
    let streams = matches!(conn.exchange.answer, Answer::Streaming(_)) || conn.measured.is_some();
    let look = streams.then(|| hub.now() + WINDOW);
    let Some(until) = [conn.deadline, look].into_iter().flatten().min() else {
        return;
    };
    if let Some((timer, at)) = conn.timer {
        if at <= until {
            return;
        }
        hub.cancel_timer(timer);
    }
    let after = until.saturating_duration_since(hub.now());
    let timer = hub.set_timer(Owner::Conn(id), after, DEADLINE);
    conn.timer = timer.map(|timer| (timer, until));
}

impl Conn {
    /// False if a response waits for a client that has taken too little of it over the last while.
    fn takes_enough(&mut self, hub: &Hub, id: ConnId, rate: u32) -> bool {
        let (now, written) = (hub.now(), hub.bytes_written(id));
        if hub.backlog(id) == 0 || rate == 0 {
            self.measured = None;
            return true;
        }
        let Some((since, before)) = self.measured else {
            self.measured = Some((now, written));
            return true;
        };
        let passed = now.saturating_duration_since(since);
        if passed < WINDOW {
            return true;
        }
        self.measured = Some((now, written));
        (written - before) as f64 >= f64::from(rate) * passed.as_secs_f64()
    }

    /// When a body has to be here: each second's worth of bytes is another second's time.
    fn body_deadline(&mut self, hub: &Hub, id: ConnId, options: &Options) -> Option<Instant> {
        let incoming = self.body.as_mut()?;
        // What we do not read cannot come.
        if !hub.wants_data(id) {
            (incoming.began, incoming.received) = (hub.now(), 0);
        }
        let rate = f64::from(options.min_body_rate.max(1));
        let earned = Duration::from_secs_f64(incoming.received as f64 / rate);
        Some(incoming.began + options.body_timeout + earned)
    }
}
