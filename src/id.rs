//! Connection identity: [`ConnId`], and the two tables that are keyed by it.
//!
//! A slot of the connection table is used by one connection after another, and an event, a timer
//! or an application may still hold the name of an earlier one. Therefore a name is a slot and a
//! generation, and no name is ever given out twice.
//!
//! [`Slots`] owns the connections and hands out their ids; [`ConnMap`] is a side table for
//! whatever else is kept for a connection. Neither hashes: a lookup is an array access and a
//! comparison. This is not a general purpose slab: ids of one [`Slots`] mean nothing to another.

use std::fmt;
use std::num::NonZeroU32;

use slab::Slab;

/// Entries in a page of a [`ConnMap`]: as many as make a page of 4-byte entries, the smallest
/// there are, four cache lines of 64 bytes.
const PAGE: usize = 64;

/// Names one connection for ever: a slot, and the generation that lived there.
///
/// Written as `7v1`: slot 7, generation 1. An `Option<ConnId>` has the same 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: NonZeroU32,
}

impl ConnId {
    /// The slot. Of all connections open at one time, each has another; low numbers come first.
    #[inline]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The id as one number: the generation in the upper half, the slot in the lower.
    #[inline]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.index)
    }

    /// The id that [`to_bits`](Self::to_bits) made `bits` of; `None` if that cannot be.
    #[inline]
    pub fn from_bits(bits: u64) -> Option<Self> {
        let generation = NonZeroU32::new((bits >> 32) as u32)?;
        Some(Self {
            index: bits as u32,
            generation,
        })
    }

    #[inline]
    const fn slot(self) -> usize {
        self.index as usize
    }

    /// Where a [`ConnMap`] has the entry: the page, and the place in it.
    #[inline]
    const fn place(self) -> (usize, usize) {
        (self.slot() / PAGE, self.slot() % PAGE)
    }

    /// The inverse of [`place`](Self::place).
    const fn at(page: usize, offset: usize, generation: NonZeroU32) -> Self {
        Self {
            index: (page * PAGE + offset) as u32,
            generation,
        }
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index, self.generation)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The table that owns the connections: a slab with a generation for each slot.
///
/// For 64-bit targets, where every index is a `usize`.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    /// `Some` is a connection. `None` plugs a slot that has used up its generations: the slab
    /// takes it for occupied and never hands it out again. Costs no space if `T` has a niche.
    slab: Slab<Option<T>>,
    /// For every slot that the slab ever had, the generation that lives there or, if the slot is
    /// vacant, the one that will.
    generations: Vec<NonZeroU32>,
    /// How many slots are plugged.
    retired: usize,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slab: Slab::new(),
            generations: Vec::new(),
            retired: 0,
        }
    }

    /// The id that the next [`insert`](Self::insert) will return. Until then it names nothing.
    pub(crate) fn vacant_id(&self) -> ConnId {
        let slot = self.slab.vacant_key();
        let index = u32::try_from(slot)
            .expect("slots belong to file descriptors, of which there are fewer than 2^31");
        let generation = self
            .generations
            .get(slot)
            .copied()
            .unwrap_or(NonZeroU32::MIN);
        ConnId { index, generation }
    }

    pub(crate) fn insert(&mut self, value: T) -> ConnId {
        let id = self.vacant_id();
        if id.slot() == self.generations.len() {
            self.generations.push(id.generation);
        }
        self.slab.insert(Some(value));
        id
    }

    #[inline]
    pub(crate) fn contains(&self, id: ConnId) -> bool {
        self.get(id).is_some()
    }

    #[inline]
    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        if *self.generations.get(id.slot())? != id.generation {
            return None;
        }
        self.slab.get(id.slot())?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        if *self.generations.get(id.slot())? != id.generation {
            return None;
        }
        self.slab.get_mut(id.slot())?.as_mut()
    }

    /// Makes something else of a value, under the same id.
    pub(crate) fn change(&mut self, id: ConnId, change: impl FnOnce(T) -> T) {
        if self.contains(id) {
            let value = &mut self.slab[id.slot()];
            *value = value.take().map(change);
        }
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        if !self.contains(id) {
            return None;
        }
        if let Some(next) = id.generation.checked_add(1) {
            self.generations[id.slot()] = next;
            self.slab.remove(id.slot())
        } else {
            self.retired += 1;
            self.slab[id.slot()].take()
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slab.len() - self.retired
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In order of the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.slab.iter().filter_map(|(slot, value)| {
            let id = ConnId {
                index: slot as u32,
                generation: self.generations[slot],
            };
            Some((id, value.as_ref()?))
        })
    }
}

/// A table of values for connections, keyed by the ids that the reactor hands out.
///
/// An entry is found by array access and comparison of the generation; there is no hashing. An
/// entry left behind by a closed connection is never found under the id of a later one.
///
/// Memory follows the entries: it is taken in pages of 64 neighbouring slots, and a page is freed
/// with its last entry. Beside these there are 8 bytes for every 64 slots up to the highest one
/// ever used; ids from the reactor keep that small, since it uses low slots first.
pub struct ConnMap<T> {
    /// By slot / 64. An empty page is `None`. Never shrinks but in `clear`: a map whose only entry
    /// comes and goes at a high slot would fill and drop the whole list each time.
    pages: Vec<Option<Box<Page<T>>>>,
    /// The sum of `live` of all pages.
    len: usize,
}

struct Page<T> {
    entries: [Option<(NonZeroU32, T)>; PAGE],
    /// How many entries are `Some`; not 0 but while the page is being made or freed.
    live: u32,
}

impl<T> ConnMap<T> {
    /// An empty map, without memory of its own.
    pub const fn new() -> Self {
        Self {
            pages: Vec::new(),
            len: 0,
        }
    }

    /// Sets the value for `id`, and returns the one it had. Drops what another generation left in
    /// the same slot.
    pub fn insert(&mut self, id: ConnId, value: T) -> Option<T> {
        let (page, offset) = id.place();
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(Page::new);
        match page.entries[offset].replace((id.generation, value)) {
            Some((generation, old)) => (generation == id.generation).then_some(old),
            None => {
                page.live += 1;
                self.len += 1;
                None
            }
        }
    }

    /// The value for `id`.
    #[inline]
    pub fn get(&self, id: ConnId) -> Option<&T> {
        let (page, offset) = id.place();
        let (generation, value) = self.pages.get(page)?.as_ref()?.entries[offset].as_ref()?;
        (*generation == id.generation).then_some(value)
    }

    /// The value for `id`, to change it.
    #[inline]
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let (page, offset) = id.place();
        let (generation, value) = self.pages.get_mut(page)?.as_mut()?.entries[offset].as_mut()?;
        (*generation == id.generation).then_some(value)
    }

    /// Takes out the value for `id`.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        let (page, offset) = id.place();
        let place = self.pages.get_mut(page)?;
        let page = place.as_mut()?;
        let (_, value) = page.entries[offset].take_if(|entry| entry.0 == id.generation)?;
        page.live -= 1;
        self.len -= 1;
        if page.live == 0 {
            *place = None;
        }
        Some(value)
    }

    /// Whether there is a value for `id`.
    #[inline]
    pub fn contains(&self, id: ConnId) -> bool {
        self.get(id).is_some()
    }

    /// How many entries there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.pages.iter().enumerate().flat_map(|(number, page)| {
            let entries = page.iter().flat_map(|page| &page.entries).enumerate();
            entries.filter_map(move |(offset, entry)| {
                let (generation, value) = entry.as_ref()?;
                Some((ConnId::at(number, offset, *generation), value))
            })
        })
    }

    /// All entries, in order of the slots, to change their values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnId, &mut T)> {
        self.pages
            .iter_mut()
            .enumerate()
            .flat_map(|(number, page)| {
                let entries = page
                    .iter_mut()
                    .flat_map(|page| &mut page.entries)
                    .enumerate();
                entries.filter_map(move |(offset, entry)| {
                    let (generation, value) = entry.as_mut()?;
                    Some((ConnId::at(number, offset, *generation), value))
                })
            })
    }

    /// Drops all entries and gives back all memory.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<T> Default for ConnMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for ConnMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> Page<T> {
    fn new() -> Box<Self> {
        Box::new(Self {
            entries: [const { None }; PAGE],
            live: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn id(index: u32, generation: u32) -> ConnId {
        ConnId {
            index,
            generation: NonZeroU32::new(generation).unwrap(),
        }
    }

    #[test]
    fn id_forms() {
        for (id, bits, text) in [
            (id(0, 1), 1 << 32, "0v1"),
            (id(7, 2), 2 << 32 | 7, "7v2"),
            (id(u32::MAX, u32::MAX), u64::MAX, "4294967295v4294967295"),
        ] {
            assert_eq!(id.to_bits(), bits);
            assert_eq!(ConnId::from_bits(bits), Some(id));
            assert_eq!(format!("{id} {id:?}"), format!("{text} {text}"));
        }
        assert_eq!(ConnId::from_bits(u64::from(u32::MAX)), None);
    }

    #[test]
    fn sizes() {
        /// As slab declares its entries.
        enum Entry<T> {
            _Vacant(usize),
            _Occupied(T),
        }
        struct Connection {
            _buffer: Vec<u8>,
            _peer: u64,
        }
        assert_eq!(size_of::<ConnId>(), 8);
        assert_eq!(size_of::<Option<ConnId>>(), 8);
        assert_eq!(size_of::<Option<(NonZeroU32, ())>>(), 4);
        assert_eq!(
            size_of::<Entry<Option<Connection>>>(),
            size_of::<Connection>()
        );
    }

    #[test]
    fn exhausted_slot_is_retired() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        slots.remove(first);
        slots.generations[0] = NonZeroU32::MAX;
        let last = slots.insert('b');
        assert_eq!(last, id(0, u32::MAX));
        assert_eq!(slots.remove(last), Some('b'));
        assert_eq!(
            (slots.remove(last), slots.get(last), slots.get(first)),
            (None, None, None)
        );
        assert!(slots.is_empty());
        assert_eq!(slots.iter().count(), 0);

        assert_eq!(slots.insert('c'), id(1, 1));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn map_frees_pages() {
        let mut map = ConnMap::new();
        for index in [0, 63, 64, 1000] {
            map.insert(id(index, 1), index);
        }
        let pages = |map: &ConnMap<u32>| map.pages.iter().flatten().count();
        assert_eq!(pages(&map), 3);
        map.remove(id(0, 1));
        assert_eq!(pages(&map), 3);
        map.remove(id(63, 1));
        assert_eq!(pages(&map), 2);
        map.remove(id(1000, 1));
        assert_eq!(format!("{map:?}"), "{64v1: 64}");
        map.clear();
        assert_eq!((map.len(), map.pages.capacity()), (0, 0));
    }

    proptest! {
        #[test]
        fn slots_like_hash_map(
            steps in vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let mut slots = Slots::new();
            let mut model = HashMap::new();
            let mut ids: Vec<ConnId> = Vec::new();
            for (number, (insert, which)) in steps.into_iter().enumerate() {
                if insert || ids.is_empty() {
                    let vacant = slots.vacant_id();
                    prop_assert!(!slots.contains(vacant));
                    let id = slots.insert(number);
                    prop_assert_eq!(id, vacant);
                    prop_assert!(!ids.contains(&id), "{} was used before", id);
                    ids.push(id);
                    model.insert(id, number);
                } else {
                    let id = *which.get(&ids);
                    prop_assert_eq!(slots.remove(id), model.remove(&id));
                }
                prop_assert_eq!((slots.len(), slots.is_empty()), (model.len(), model.is_empty()));
                for id in &ids {
                    prop_assert_eq!(slots.get(*id), model.get(id));
                    prop_assert_eq!(slots.get_mut(*id), model.get_mut(id));
                }
                let all: HashMap<_, _> = slots.iter().map(|(id, n)| (id, *n)).collect();
                prop_assert_eq!(&all, &model);
            }
        }

        #[test]
        fn map_like_hash_map(steps in vec((0..4, 0u32..200, 1u32..4), 0..300)) {
            let mut map = ConnMap::default();
            // By slot, since a slot has an entry of one generation at most.
            let mut model: HashMap<u32, (ConnId, usize)> = HashMap::new();
            for (number, (action, index, generation)) in steps.into_iter().enumerate() {
                let id = id(index, generation);
                let known = model.get(&index).filter(|entry| entry.0 == id).map(|entry| entry.1);
                prop_assert_eq!(map.get(id).copied(), known);
                prop_assert_eq!(map.get_mut(id).copied(), known);
                prop_assert_eq!(map.contains(id), known.is_some());
                if action == 0 {
                    prop_assert_eq!(map.remove(id), known);
                    if known.is_some() {
                        model.remove(&index);
                    }
                } else {
                    prop_assert_eq!(map.insert(id, number), known);
                    model.insert(index, (id, number));
                }
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                let live: u32 = map.pages.iter().flatten().map(|page| page.live).sum();
                prop_assert_eq!(live as usize, model.len());
                prop_assert!(map.pages.iter().flatten().all(|page| page.live > 0));
            }
            let mut expected: Vec<_> = model.into_values().collect();
            expected.sort_unstable();
            prop_assert_eq!(&map.iter().map(|(id, n)| (id, *n)).collect::<Vec<_>>(), &expected);
            prop_assert_eq!(&map.iter_mut().map(|(id, n)| (id, *n)).collect::<Vec<_>>(), &expected);
        }
    }
}
