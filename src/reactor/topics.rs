//! Who listens to what: topics and their members.
//!
//! A pure table of ids. It knows no sockets and sends nothing: the hub asks it for the members of a
//! topic.

use std::collections::HashMap;

use crate::id::{ConnId, ConnMap};

/// Topics by name, each with its members, and for each member the places where it stands.
///
/// Subscribing, leaving and closing cost time by the number of topics of that one connection, never
/// by the number of members. The map of names uses the standard library's keyed hash, since names
/// may come from the network.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    names: HashMap<Box<str>, usize>,
    topics: slab::Slab<Topic>,
    /// For each connection: the key of a topic and its own place among that topic's members.
    places: ConnMap<Vec<(usize, usize)>>,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    members: Vec<ConnId>,
}

impl Topics {
    /// Adds `id` to the members of `topic`. False if it was one already.
    pub(crate) fn subscribe(&mut self, id: ConnId, topic: &str) -> bool {
        let key = match self.names.get(topic) {
            Some(key) => *key,
            None => {
                let name = Box::<str>::from(topic);
                let key = self.topics.insert(Topic {
                    name: name.clone(),
                    members: Vec::new(),
                });
                self.names.insert(name, key);
                key
            }
        };
        if self.places.get(id).is_none() {
            self.places.insert(id, Vec::new());
        }
        let Some(places) = self.places.get_mut(id) else {
            return false;
        };
        if places.iter().any(|place| place.0 == key) {
            return false;
        }
        let members = &mut self.topics[key].members;
        places.push((key, members.len()));
        members.push(id);
        true
    }

    /// Takes `id` out of `topic`. False if it was no member.
    pub(crate) fn unsubscribe(&mut self, id: ConnId, topic: &str) -> bool {
        let Some(&key) = self.names.get(topic) else {
            return false;
        };
        let Some(places) = self.places.get_mut(id) else {
            return false;
        };
        let Some(at) = places.iter().position(|place| place.0 == key) else {
            return false;
        };
        let (key, position) = places.swap_remove(at);
        if places.is_empty() {
            self.places.remove(id);
        }
        self.leave(key, position);
        true
    }

    /// Takes `id` out of every topic.
    pub(crate) fn remove(&mut self, id: ConnId) {
        for (key, position) in self.places.remove(id).unwrap_or_default() {
            self.leave(key, position);
        }
    }

    /// The members of `topic`, in no particular order.
    pub(crate) fn members(&self, topic: &str) -> &[ConnId] {
        self.names
            .get(topic)
            .map_or(&[], |key| &self.topics[*key].members)
    }

    /// The topics of `id`.
    pub(crate) fn of(&self, id: ConnId) -> impl Iterator<Item = &str> {
        let places = self.places.get(id).map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| &*self.topics[place.0].name)
    }

    /// The last member takes the place of the one that left; a topic without members ends.
    fn leave(&mut self, key: usize, position: usize) {
        let members = &mut self.topics[key].members;
        members.swap_remove(position);
        if members.is_empty() {
            let topic = self.topics.remove(key);
            self.names.remove(&topic.name);
        } else if let Some(&moved) = members.get(position) {
            let last = members.len();
            let places = self.places.get_mut(moved).into_iter().flatten();
            for place in places.filter(|place| **place == (key, last)) {
                place.1 = position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::id::Slots;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    proptest! {
        /// Any sequence of joins, leaves and closes gives what a plain set of pairs gives.
        #[test]
        fn behaves_as_a_set_of_pairs(
            steps in prop::collection::vec((0usize..6, 0usize..4, 0u8..5), 0..200),
        ) {
            let mut slots = Slots::new();
            let ids: Vec<_> = (0..6).map(|number| slots.insert(number)).collect();
            let (mut topics, mut model) = (Topics::default(), BTreeSet::new());
            for (who, what, action) in steps {
                let pair = (ids[who], NAMES[what]);
                match action {
                    0 => {
                        topics.remove(pair.0);
                        model.retain(|other: &(ConnId, &str)| other.0 != pair.0);
                    }
                    1 | 2 => {
                        prop_assert_eq!(topics.unsubscribe(pair.0, pair.1), model.remove(&pair));
                    }
                    _ => prop_assert_eq!(topics.subscribe(pair.0, pair.1), model.insert(pair)),
                }
                let members = NAMES.iter().flat_map(|name| {
                    topics.members(name).iter().map(|id| (*id, *name))
                });
                let members: Vec<_> = members.collect();
                prop_assert_eq!(members.len(), model.len(), "a member stands twice");
                prop_assert_eq!(BTreeSet::from_iter(members), model.clone());
            }
            for id in ids {
                topics.remove(id);
            }
            prop_assert!(topics.topics.is_empty());
            prop_assert!(topics.names.is_empty());
            prop_assert!(topics.places.is_empty());
        }
    }
}
