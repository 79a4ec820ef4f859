//! Who talks too fast: a bucket of tokens for each speaker, of which every message takes one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Messages that may come at once.
const BURST: u32 = 10;

/// How often one more may come.
const EVERY: Duration = Duration::from_millis(500);

/// Messages beyond that, one after the other, at which it is no haste any more. Being slowed, they
/// take 15 seconds.
const MOST_EXCESS: u32 = 30;

/// A bucket of tokens. It is full at a certain time, which each token taken puts off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    full: Instant,
    burst: u32,
    every: Duration,
    /// Messages beyond what it held since it was last full.
    excess: u32,
}

/// What is to become of who has sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Fine,
    /// Be heard again after this time; it is the first time.
    Warn(Duration),
    /// Be heard again after this time.
    Wait(Duration),
    /// Go.
    Out,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Self {
        Self::of(BURST, EVERY, now)
    }

    fn of(burst: u32, every: Duration, now: Instant) -> Self {
        Self {
            full: now,
            burst,
            every,
            excess: 0,
        }
    }

    fn is_full(&self, now: Instant) -> bool {
        self.full <= now
    }

    /// What it owes after one more token: nothing, or the time until that has come in.
    fn debt_after_one(&self, now: Instant) -> Duration {
        let full = self.full.max(now) + self.every;
        (full - now).saturating_sub(self.every * self.burst)
    }

    /// Takes a token, if need be on credit.
    pub(crate) fn take(&mut self, now: Instant) -> Verdict {
        if self.is_full(now) {
            self.excess = 0;
        }
        let debt = self.debt_after_one(now);
        self.full = self.full.max(now) + self.every;
        if debt.is_zero() {
            return Verdict::Fine;
        }
        self.excess += 1;
        match self.excess {
            1 => Verdict::Warn(debt),
            ..=MOST_EXCESS => Verdict::Wait(debt),
            _ => Verdict::Out,
        }
    }

    /// Takes a token if there is one.
    fn try_take(&mut self, now: Instant) -> bool {
        let has = self.debt_after_one(now).is_zero();
        if has {
            self.full = self.full.max(now) + self.every;
        }
        has
    }
}

/// Addresses remembered at a time. The bucket of one that is silent is full after five seconds, and
/// need not be.
const MAX_SOURCES: usize = 1_024;

/// Buckets by source address, for whom there is no connection to pause. What is too much is not
/// heard. Since addresses can be made up, there is one for all of them, too.
#[derive(Debug)]
pub(crate) struct Sources {
    all: Bucket,
    each: HashMap<IpAddr, Bucket>,
}

impl Sources {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            all: Bucket::of(5 * BURST, EVERY / 5, now),
            each: HashMap::new(),
        }
    }

    /// Whether this one may be heard.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        let source = network(source);
        if self.each.len() >= MAX_SOURCES && !self.each.contains_key(&source) {
            self.each.retain(|_, bucket| !bucket.is_full(now));
            if self.each.len() >= MAX_SOURCES {
                return false;
            }
        }
        let bucket = self.each.entry(source).or_insert_with(|| Bucket::new(now));
        bucket.try_take(now) && self.all.try_take(now)
    }
}

/// Whoever has one address by IPv6 has 64 bits of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_what_follows_waits_for_its_turn() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(now);
        for _ in 0..BURST {
            assert_eq!(bucket.take(now), Verdict::Fine);
        }
        assert_eq!(bucket.take(now), Verdict::Warn(EVERY));
        for _ in 1..MOST_EXCESS {
            now += EVERY;
            assert_eq!(bucket.take(now), Verdict::Wait(EVERY));
        }
        now += EVERY;
        assert_eq!(bucket.take(now), Verdict::Out);
        now += EVERY * (BURST + 1);
        assert_eq!(bucket.take(now), Verdict::Fine, "all is forgotten");
    }

    #[test]
    fn two_a_second_are_never_slowed() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(now);
        for _ in 0..1_000 {
            assert_eq!(bucket.take(now), Verdict::Fine);
            now += EVERY;
        }
    }

    #[test]
    fn sources_are_bounded_each_and_together() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        let address = |at: u32| IpAddr::V4(at.into());
        let heard = |sources: &mut Sources, at, now| {
            (0..100).filter(|_| sources.admit(address(at), now)).count()
        };
        assert_eq!(heard(&mut sources, 1, now), 10);
        assert_eq!(heard(&mut sources, 1, now + EVERY), 1);
        let more: usize = (2..20).map(|at| heard(&mut sources, at, now + EVERY)).sum();
        assert_eq!(more, 44, "50 and what has come in, less the 11 before");
        for at in 0..10_000 {
            sources.admit(address(at), now + EVERY);
        }
        assert!(sources.each.len() <= MAX_SOURCES);
        let later = now + EVERY * 100;
        assert!(sources.admit(address(99_999), later), "there is room again");
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(address("fe80::1:2:3:4")), address("fe80::"));
        assert_eq!(network(address("::ffff:1.2.3.4")), address("1.2.3.4"));
    }
}
