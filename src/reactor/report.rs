//! What one turn did, and what all turns did together.

use std::time::Duration;

/// The report of one turn of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Readiness events that the poller returned.
    pub events: usize,
    /// Events, timers and posts whose connection no longer existed.
    pub stale: usize,
    /// Calls of `recv` and `recvfrom`, but for those of handshakes, which `handshakes` counts.
    pub reads: usize,
    /// Calls of `send`, plain and gathered, and of `sendto`, but for those of handshakes.
    pub writes: usize,
    /// Connections accepted and sessions opened.
    pub accepts: usize,
    /// Calls of `accept` that failed with anything but "would block".
    pub accept_errors: usize,
    /// Steps of TLS handshakes.
    pub handshakes: usize,
    /// TLS handshakes with clients that came to nothing.
    pub handshakes_failed: usize,
    /// Connections whose `on_close` was due.
    pub closes: usize,
    /// Timers fired.
    pub timers: usize,
    /// Jobs taken from other threads.
    pub remote: usize,
    /// Callbacks that panicked.
    pub panics: usize,
    /// Bytes received.
    pub bytes_read: u64,
    /// Bytes sent.
    pub bytes_written: u64,
    /// Time spent in the poller.
    pub waited: Duration,
    /// Time spent on everything else.
    pub worked: Duration,
    /// The callback that kept the loop longest, while callbacks are timed: see
    /// [`Config::time_callbacks`](crate::Config::time_callbacks).
    pub slowest: Option<Slowest>,
}

/// A callback and how long it kept the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowest {
    /// The callback's name, such as `on_data`.
    pub callback: &'static str,
    /// How long it ran.
    pub took: Duration,
}

/// What a reactor did since it began: the sum of its turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Turns of the loop.
    pub turns: u64,
    /// Connections accepted and sessions opened.
    pub accepts: u64,
    /// Connections refused because their source address held its share already, and sessions
    /// refused because their socket had as many as it may.
    pub refused: u64,
    /// Calls of `accept` that failed with anything but "would block".
    pub accept_errors: u64,
    /// TLS handshakes with clients that came to nothing.
    pub handshakes_failed: u64,
    /// Connections closed.
    pub closes: u64,
    /// Messages dropped at a full outbox, and datagrams that could not be sent.
    pub dropped: u64,
    /// Sessions closed to make room for others.
    pub evicted: u64,
    /// Datagrams received that were larger than their socket takes.
    pub oversize: u64,
    /// Callbacks that panicked.
    pub panics: u64,
    /// Events, timers and posts whose connection no longer existed.
    pub stale: u64,
    /// Bytes received.
    pub bytes_read: u64,
    /// Bytes sent.
    pub bytes_written: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, turn: &Turn) {
        self.turns += 1;
        self.accepts += turn.accepts as u64;
        self.accept_errors += turn.accept_errors as u64;
        self.handshakes_failed += turn.handshakes_failed as u64;
        self.closes += turn.closes as u64;
        self.panics += turn.panics as u64;
        self.stale += turn.stale as u64;
        self.bytes_read += turn.bytes_read;
        self.bytes_written += turn.bytes_written;
    }
}
