//! How the loop fares over time: histograms, and who is there.

use super::entry::Entry;
use super::hub::Hub;
use super::look::Protocol;
use super::report::{Slowest, Turn};
use super::socket::Flags;

/// Buckets of a histogram: powers of two up to 2^24, and all above.
const BUCKETS: usize = 27;

/// How often a number was how large. A bucket is a power of two, so that counting is a shift and
/// an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl Histogram {
    #[inline]
    pub(crate) fn count(&mut self, value: u64) {
        let at = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.counts[(at + usize::from(value > 0)).min(BUCKETS - 1)] += 1;
        self.sum += value;
    }

    /// The bounds of the buckets, 0 and powers of two, each with how many numbers were not above
    /// it. What is above the last bound is in [`total`](Self::total) only.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        self.counts[..BUCKETS - 1]
            .iter()
            .enumerate()
            .map(move |(at, count)| {
                below += count;
                (if at == 0 { 0 } else { 1 << (at - 1) }, below)
            })
    }

    /// How many numbers there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them added up.
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

/// What was measured since the reactor began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measures {
    /// What turns took without their sleep, in microseconds.
    pub turns: Histogram,
    /// Readiness events in a turn.
    pub events: Histogram,
    /// What callbacks took, in microseconds, while they were timed: see
    /// [`Config::time_callbacks`](crate::Config::time_callbacks).
    pub callbacks: Histogram,
    /// The one that took longest, while they were timed.
    pub slowest: Option<Slowest>,
}

impl Measures {
    #[inline]
    pub(crate) fn add(&mut self, turn: &Turn) {
        self.turns.count(turn.worked.as_micros() as u64);
        self.events.count(turn.events as u64);
    }

    pub(crate) fn add_callback(&mut self, ran: Slowest) {
        self.callbacks.count(ran.took.as_micros() as u64);
        if self.slowest.is_none_or(|slowest| ran.took > slowest.took) {
            self.slowest = Some(ran);
        }
    }
}

/// Who is there, counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Connections by TCP.
    pub tcp: Connections,
    /// Connections by Unix sockets.
    pub unix: Connections,
    /// UDP sockets.
    pub udp: usize,
    /// Sessions of UDP sockets.
    pub sessions: usize,
    /// Listeners.
    pub listeners: usize,
    /// Dials in progress.
    pub dials: usize,
    /// TLS handshakes under way.
    pub handshakes: usize,
    /// Other sources.
    pub sources: usize,
    /// Bytes that wait to be sent.
    pub backlog: u64,
}

/// Connections of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open, and not told to close.
    pub open: usize,
    /// Sending their last bytes, or waiting for the peer's end.
    pub closing: usize,
}

impl Hub {
    /// What was measured since the reactor began.
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    /// Counts who is there. It looks at each of them, so not in every callback.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for (_, entry) in self.slots.iter() {
            match entry {
                Entry::Stream(socket) => {
                    let connections = match socket.stream.protocol() {
                        Protocol::Unix => &mut census.unix,
                        _ => &mut census.tcp,
                    };
                    match socket.flags.has(Flags::ENDED) {
                        true => connections.closing += 1,
                        false => connections.open += 1,
                    }
                    census.backlog += socket.backlog() as u64;
                }
                Entry::Datagrams(datagrams) => {
                    census.udp += 1;
                    census.backlog += datagrams.unsent.cost() as u64;
                }
                Entry::Session(_) => census.sessions += 1,
                Entry::Listener(_) => census.listeners += 1,
                Entry::Dial(_) => census.dials += 1,
                Entry::Handshake(_) => census.handshakes += 1,
                Entry::Watched(_) => census.sources += 1,
            }
        }
        census
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_the_first_bucket_that_is_not_below_it() {
        for (value, bound) in [
            (0, Some(0)),
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(4)),
            (4, Some(4)),
            (5, Some(8)),
            (1 << 23, Some(1 << 23)),
            ((1 << 23) + 1, Some(1 << 24)),
            ((1 << 24) + 1, None),
            (u64::MAX, None),
        ] {
            let mut histogram = Histogram::default();
            histogram.count(value);
            let first = histogram.cumulative().find(|(_, count)| *count == 1);
            assert_eq!(first.map(|(bound, _)| bound), bound, "{value}");
            assert_eq!((histogram.total(), histogram.sum()), (1, value));
        }
    }
}
