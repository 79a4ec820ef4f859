//! Deadlines in order: the timers of a reactor, as data.
//!
//! [`Timers`] reads no clock and calls nobody. Its owner asks for the [`next`](Timers::next)
//! deadline before it sleeps, and afterwards has [`expire`](Timers::expire) collect what is due.
//!
//! Deadlines are kept in whole milliseconds, the resolution of `epoll_wait`: a deadline is rounded
//! up and the present down, so a timer may be up to a millisecond late but is never early. Being
//! counted from an origin in 38 bits, they reach 8.7 years beyond it; a later deadline is brought
//! forward to that end.
//!
//! A timer costs 8 bytes in a binary heap and a slot that holds its value. Cancelling empties the
//! slot and leaves the key in the heap, where finding it would take a search; the key goes when it
//! surfaces, or in a pass that removes all such keys once they are many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Bits of a key that name the slot; the other 38 are the deadline.
const SLOT_BITS: u32 = 26;

/// Slots that a key can name: 67 million timers. Tests have fewer, so as to run out of them.
const MAX_SLOTS: usize = if cfg!(test) { 1 << 20 } else { 1 << SLOT_BITS };

/// The latest deadline, in milliseconds since the origin: 8.7 years.
const MAX_MILLIS: u64 = u64::MAX >> SLOT_BITS;

/// Timers' worth of unused memory that is never given back: at 24 bytes each it is 6 KiB, less
/// than the trouble of allocating it again.
const SPARE: usize = 256;

/// Names a timer until it has fired or was cancelled, and nothing thereafter.
///
/// The numbers wrap: an id kept while 2^32 more timers are added could name one of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    slot: u32,
    sequence: u32,
}

/// A priority queue of values by deadline, whose entries can be cancelled.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    origin: Instant,
    /// One key for each slot that is not free.
    heap: BinaryHeap<Reverse<Key>>,
    /// Without a value: a free slot, or a cancelled timer's whose key is still in the heap.
    slots: Vec<Slot<T>>,
    /// All free slots, the lowest first, so that those behind fall empty and can be given back.
    /// May also name slots that have been given back, which by that order come last.
    free: BinaryHeap<Reverse<u32>>,
    /// How many slots have a value.
    live: usize,
    /// The number of the next insertion, wrapping.
    sequence: u32,
    /// How many values have left since the last [`compact`](Self::compact).
    released: usize,
}

/// Deadline and slot in one number, which orders by deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

#[derive(Debug)]
struct Slot<T> {
    /// The number of the insertion that used the slot last; the generation in a [`TimerId`].
    sequence: u32,
    value: Option<T>,
}

impl<T> Timers<T> {
    /// No timers. Deadlines before `origin` are taken for `origin`.
    pub(crate) const fn new(origin: Instant) -> Self {
        Self {
            origin,
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: BinaryHeap::new(),
            live: 0,
            sequence: 0,
            released: 0,
        }
    }

    /// Adds a timer. `None`, and `value` is dropped, if there are 2^26 already; cancelled ones
    /// count until their keys are gone.
    pub(crate) fn insert(&mut self, at: Instant, value: T) -> Option<TimerId> {
        let since = at.saturating_duration_since(self.origin);
        let millis = (since.as_secs().saturating_mul(1000))
            .saturating_add(u64::from(since.subsec_nanos().div_ceil(1_000_000)));

        let sequence = self.sequence;
        let filled = Slot {
            sequence,
            value: Some(value),
        };
        let slot = match self.free.pop() {
            Some(Reverse(slot)) if (slot as usize) < self.slots.len() => {
                self.slots[slot as usize] = filled;
                slot
            }
            _ if self.slots.len() < MAX_SLOTS => {
                // What is left names slots that were given back and now come into use again.
                self.free.clear();
                self.slots.push(filled);
                (self.slots.len() - 1) as u32
            }
            _ => return None,
        };
        self.heap
            .push(Reverse(Key::new(millis.min(MAX_MILLIS), slot)));
        self.sequence = sequence.wrapping_add(1);
        self.live += 1;
        Some(TimerId { slot, sequence })
    }

    /// Takes the timer out, if it is pending. In constant time, amortised.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        let value = slot.value.take_if(|_| slot.sequence == id.sequence)?;
        self.live -= 1;
        self.released += 1;
        self.compact_if_idle();
        Some(value)
    }

    /// Whether the timer has neither fired nor been cancelled.
    #[inline]
    pub(crate) fn is_pending(&self, id: TimerId) -> bool {
        let slot = self.slots.get(id.slot as usize);
        slot.is_some_and(|slot| slot.sequence == id.sequence && slot.value.is_some())
    }

    /// The earliest deadline, as rounded. Exclusive access is to drop cancelled timers before it.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        while let Some(&Reverse(key)) = self.heap.peek() {
            if self.slots[key.slot() as usize].value.is_some() {
                return Some(self.origin + Duration::from_millis(key.millis()));
            }
            self.heap.pop();
            self.free.push(Reverse(key.slot()));
        }
        None
    }

    /// Moves all timers that are due to the end of `due`: in order of their deadlines as rounded,
    /// and those of the same millisecond in order of insertion.
    pub(crate) fn expire(&mut self, now: Instant, due: &mut Vec<(TimerId, T)>) {
        let since = now.saturating_duration_since(self.origin);
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);

        let mut millis = 0;
        // Where in `due` the timers of that millisecond begin.
        let mut start = due.len();
        while let Some(&Reverse(key)) = self.heap.peek() {
            if key.millis() > now {
                break;
            }
            self.heap.pop();
            self.free.push(Reverse(key.slot()));
            let slot = &mut self.slots[key.slot() as usize];
            let Some(value) = slot.value.take() else {
                continue;
            };
            let id = TimerId {
                slot: key.slot(),
                sequence: slot.sequence,
            };
            self.live -= 1;
            self.released += 1;
            if key.millis() != millis {
                self.sort_by_age(&mut due[start..]);
                start = due.len();
                millis = key.millis();
            }
            due.push((id, value));
        }
        self.sort_by_age(&mut due[start..]);
        self.compact_if_idle();
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    #[cfg(test)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Oldest first. Sorts by age and not by the difference of two numbers, since only that is a
    /// total order whatever the numbers are.
    fn sort_by_age(&self, timers: &mut [(TimerId, T)]) {
        timers.sort_unstable_by_key(|(id, _)| Reverse(self.sequence.wrapping_sub(id.sequence)));
    }

    /// Compacts once as many slots as there are timers, and `SPARE`, are idle, and as many values
    /// have left since the last time: these pay for going through the heap, so that a timer costs
    /// no more than constant time for it. With no timer left at all it is not put off.
    fn compact_if_idle(&mut self) {
        let idle = self.slots.len() - self.live;
        let few = self.live + SPARE;
        if idle > few && (self.released > few || self.live == 0) {
            self.compact();
        }
    }

    /// Removes the keys of cancelled timers and the slots behind the last timer, and gives back
    /// memory beyond twice what is in use.
    fn compact(&mut self) {
        let (slots, free) = (&mut self.slots, &mut self.free);
        self.heap.retain(|&Reverse(key)| {
            let live = slots[key.slot() as usize].value.is_some();
            if !live {
                free.push(Reverse(key.slot()));
            }
            live
        });
        // Without cancelled keys, every slot without a value is free.
        while slots.last().is_some_and(|slot| slot.value.is_none()) {
            slots.pop();
        }
        // Only when it is worth it: most of them have been given back.
        if free.len() > 2 * slots.len() {
            free.retain(|&Reverse(slot)| (slot as usize) < slots.len());
        }

        self.heap.shrink_to(SPARE.max(2 * self.heap.len()));
        slots.shrink_to(SPARE.max(2 * slots.len()));
        free.shrink_to(SPARE.max(2 * free.len()));
        self.released = 0;
    }
}

impl Key {
    /// `millis` is at most [`MAX_MILLIS`], and `slot` below [`MAX_SLOTS`].
    const fn new(millis: u64, slot: u32) -> Self {
        Self(millis << SLOT_BITS | slot as u64)
    }

    const fn millis(self) -> u64 {
        self.0 >> SLOT_BITS
    }

    const fn slot(self) -> u32 {
        (self.0 & ((1 << SLOT_BITS) - 1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::id::ConnId;

    const MILLI: Duration = Duration::from_millis(1);
    const NANO: Duration = Duration::from_nanos(1);

    fn timers<T>() -> (Instant, Timers<T>) {
        let origin = Instant::now();
        (origin, Timers::new(origin))
    }

    fn expired<T>(timers: &mut Timers<T>, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        timers.expire(now, &mut due);
        assert!(due.iter().all(|(id, _)| !timers.is_pending(*id)));
        due.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn sizes() {
        type Value = (ConnId, u32);
        assert_eq!(size_of::<Value>(), 12);
        assert!(size_of::<Reverse<Key>>() + size_of::<Slot<Value>>() <= 24);
        assert_eq!(size_of::<TimerId>(), 8);
    }

    #[test]
    fn never_early() {
        for (after, fires) in [
            (Duration::ZERO, Duration::ZERO),
            (NANO, MILLI),
            (MILLI - NANO, MILLI),
            (MILLI, MILLI),
            (MILLI + NANO, 2 * MILLI),
            (Duration::from_secs(1) - NANO, Duration::from_secs(1)),
            (Duration::from_secs(3600), Duration::from_secs(3600)),
        ] {
            let (origin, mut timers) = timers();
            timers.insert(origin + after, ());
            assert_eq!(timers.next(), Some(origin + fires), "{after:?}");
            if fires > Duration::ZERO {
                assert!(
                    expired(&mut timers, origin + fires - NANO).is_empty(),
                    "{after:?}"
                );
            }
            assert_eq!(expired(&mut timers, origin + fires).len(), 1, "{after:?}");
            assert_eq!(timers.next(), None);
        }
    }

    #[test]
    fn deadlines_outside_the_range() {
        let (origin, mut timers) = timers();
        timers.insert(origin + Duration::from_secs(100 * 365 * 86400), "late");
        assert_eq!(
            timers.next(),
            Some(origin + Duration::from_millis(MAX_MILLIS))
        );
        timers.insert(origin - MILLI, "past");
        assert_eq!(timers.next(), Some(origin));
        assert_eq!(expired(&mut timers, origin - MILLI), ["past"]);
        assert_eq!(
            expired(&mut timers, origin + Duration::from_millis(MAX_MILLIS)),
            ["late"]
        );
    }

    #[test]
    fn order_and_ties() {
        let (origin, mut timers) = timers();
        // The numbers wrap in the middle of the ties.
        timers.sequence = u32::MAX - 1;
        let first = timers.insert(origin + 5 * MILLI, -1).unwrap();
        let second = timers.insert(origin + MILLI, 0).unwrap();
        timers.insert(origin + 5 * MILLI, 2);
        timers.cancel(first);
        timers.cancel(second);
        // Slots are taken again in another order than that of insertion.
        timers.next();
        timers.insert(origin + 5 * MILLI, 3);
        timers.insert(origin + 4 * MILLI, 1);
        timers.insert(origin + 5 * MILLI, 4);
        timers.insert(origin + 9 * MILLI, 5);
        assert_eq!(expired(&mut timers, origin + 6 * MILLI), [1, 2, 3, 4]);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn cancelled_or_fired_ids_stay_dead() {
        let (origin, mut timers) = timers();
        let fired = timers.insert(origin, 'f').unwrap();
        assert_eq!(expired(&mut timers, origin), ['f']);
        let cancelled = timers.insert(origin, 'c').unwrap();
        assert_eq!(cancelled.slot, fired.slot);
        assert_eq!(timers.cancel(cancelled), Some('c'));
        assert_eq!(timers.cancel(cancelled), None);
        assert_eq!(timers.next(), None);

        let pending = timers.insert(origin, 'p').unwrap();
        assert_eq!(pending.slot, fired.slot);
        for dead in [fired, cancelled] {
            assert!(!timers.is_pending(dead));
            assert_eq!(timers.cancel(dead), None);
        }
        assert!(timers.is_pending(pending));
        assert_eq!(expired(&mut timers, origin), ['p']);
        assert_eq!(timers.cancel(pending), None);
    }

    fn capacity<T>(timers: &Timers<T>) -> usize {
        timers
            .heap
            .capacity()
            .max(timers.slots.capacity())
            .max(timers.free.capacity())
    }

    #[test]
    fn a_million_cancelled_at_once_give_memory_back() {
        let (origin, mut timers) = timers();
        let kept = timers.insert(origin, 0).unwrap();
        let ids: Vec<_> = (0..1_000_000)
            .map(|n| timers.insert(origin + n % 1000 * MILLI, n).unwrap())
            .collect();
        for id in ids {
            timers.cancel(id);
        }
        // The last of them may be waiting for as many to follow.
        for _ in 0..=SPARE + timers.len() {
            let id = timers.insert(origin, 0).unwrap();
            timers.cancel(id);
        }
        assert!(timers.is_pending(kept));
        assert!(capacity(&timers) <= 4 * SPARE, "{}", capacity(&timers));
    }

    #[test]
    fn a_million_cancelled_one_by_one_take_no_memory() {
        let (origin, mut timers) = timers();
        let kept = timers.insert(origin, 0).unwrap();
        for n in 1..1_000_000 {
            let id = timers.insert(origin + n * MILLI, n).unwrap();
            assert_eq!(timers.cancel(id), Some(n));
        }
        assert!(timers.is_pending(kept));
        assert!(capacity(&timers) <= 4 * SPARE, "{}", capacity(&timers));
    }

    #[test]
    fn all_slots_taken() {
        let (origin, mut timers) = timers();
        for _ in 0..MAX_SLOTS {
            assert!(timers.insert(origin, ()).is_some());
        }
        assert_eq!(timers.insert(origin, ()), None);
        assert_eq!(timers.len(), MAX_SLOTS);
        assert_eq!(expired(&mut timers, origin).len(), MAX_SLOTS);
        assert!(capacity(&timers) <= SPARE, "{}", capacity(&timers));
        assert!(timers.insert(origin, ()).is_some());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(prop::sample::Index),
        Advance(u64),
        Compact,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u64..5_000).prop_map(Step::Insert),
            2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            1 => (0u64..2_000).prop_map(Step::Advance),
            1 => Just(Step::Compact),
        ]
    }

    proptest! {
        #[test]
        fn like_a_sorted_list(steps in vec(step(), 0..200)) {
            let (origin, mut timers) = timers();
            let mut now = origin;
            // Deadline in milliseconds, number, id.
            let mut model: Vec<(u64, usize, TimerId)> = Vec::new();
            let mut ids = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(micros) => {
                        let at = now + Duration::from_micros(micros);
                        let id = timers.insert(at, number).unwrap();
                        let millis = (at - origin).as_micros().div_ceil(1000) as u64;
                        model.push((millis, number, id));
                        ids.push(id);
                    }
                    Step::Cancel(_) if ids.is_empty() => {}
                    Step::Cancel(which) => {
                        let id = *which.get(&ids);
                        let found = model.iter().position(|entry| entry.2 == id);
                        prop_assert_eq!(timers.is_pending(id), found.is_some());
                        let expected = found.map(|at| model.remove(at).1);
                        prop_assert_eq!(timers.cancel(id), expected);
                    }
                    Step::Advance(micros) => {
                        now += Duration::from_micros(micros);
                        let millis = (now - origin).as_millis() as u64;
                        model.sort_unstable_by_key(|entry| (entry.0, entry.1));
                        let left = model.split_off(model.partition_point(|e| e.0 <= millis));
                        let expected: Vec<_> = model.iter().map(|e| (e.2, e.1)).collect();
                        model = left;
                        let mut due = Vec::new();
                        timers.expire(now, &mut due);
                        prop_assert_eq!(due, expected);
                    }
                    Step::Compact => timers.compact(),
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.is_empty(), model.is_empty());
                let free = timers.free.iter().filter(|slot| (slot.0 as usize) < timers.slots.len());
                prop_assert_eq!(timers.heap.len() + free.count(), timers.slots.len());
                let next = model.iter().map(|entry| origin + Duration::from_millis(entry.0)).min();
                prop_assert_eq!(timers.next(), next);
            }
        }
    }
}
