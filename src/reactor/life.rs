//! How long a connection has lived and been silent, and when somebody has to look at it again.
//!
//! Activity costs a store. One timer per connection is armed for the earliest of its time-outs, and
//! when it fires it looks at what was stored and is armed anew.

use std::rc::Rc;
use std::time::Duration;

use super::config::Limits;
use super::driver::Timeout;
use super::socket::Flags;
use super::timers::TimerId;

/// The limits of a connection and the times that they are held against, in milliseconds of the
/// reactor's life.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) limits: Rc<Limits>,
    /// When the connection was opened.
    pub(crate) opened: u64,
    /// When bytes were last received, or reading was last resumed.
    pub(crate) last_read: u64,
    /// When bytes were last received or sent; once closing, when they were last sent.
    pub(crate) last_active: u64,
    /// The one timer behind all time-outs.
    pub(crate) deadline: Option<TimerId>,
}

impl Life {
    pub(crate) const fn new(limits: Rc<Limits>, now: u64) -> Self {
        Self {
            limits,
            opened: now,
            last_read: now,
            last_active: now,
            deadline: None,
        }
    }

    /// Something was received.
    #[inline]
    pub(crate) const fn heard(&mut self, now: u64) {
        (self.last_read, self.last_active) = (now, now);
    }

    /// Silence that we have brought about ourselves is no fault of the peer.
    pub(crate) fn excuse(&mut self, flags: Flags, now: u64) {
        if flags.has(Flags::BLOCKED) || flags.has(Flags::EOF) {
            self.last_read = now;
        }
        if flags.has(Flags::PAUSED) {
            self.last_active = now;
        }
    }

    /// When the next time-out passes, if there is any.
    pub(crate) fn next(&self) -> Option<u64> {
        let after = |since: u64, patience: Option<Duration>| {
            patience.map(|patience| since.saturating_add(millis(patience)))
        };
        let lifetime = after(self.opened, self.limits.lifetime);
        let read = after(self.last_read, self.limits.read_timeout);
        let idle = after(self.last_active, self.limits.idle_timeout);
        [read, idle, lifetime].into_iter().flatten().min()
    }

    /// When a closing connection has waited long enough for its peer.
    pub(crate) fn lingered(&self) -> u64 {
        self.last_active.saturating_add(millis(self.limits.linger))
    }

    /// Which time-out has passed at `now`, if any. Silence that has passed begins anew.
    pub(crate) fn passed(&mut self, now: u64) -> Option<Timeout> {
        let over = |since: u64, patience: Option<Duration>| {
            patience.is_some_and(|patience| now - since >= millis(patience))
        };
        if over(self.opened, self.limits.lifetime) {
            return Some(Timeout::Lifetime);
        }
        if over(self.last_read, self.limits.read_timeout) {
            self.last_read = now;
            return Some(Timeout::Read);
        }
        if over(self.last_active, self.limits.idle_timeout) {
            self.last_active = now;
            return Some(Timeout::Idle);
        }
        None
    }
}

/// In whole milliseconds, rounded up: never early.
fn millis(duration: Duration) -> u64 {
    let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2);
    whole + u64::from(duration.subsec_nanos() % 1_000_000 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_up_to_milliseconds() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_millis(1)), 1);
        assert_eq!(millis(Duration::from_micros(1001)), 2);
        assert!(millis(Duration::MAX) > u64::from(u32::MAX));
    }
}
