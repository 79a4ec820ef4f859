//! One message for all who subscribed.

use bytes::Bytes;

use crate::id::ConnId;

use super::driver::{DriverId, Form, Kind};
use super::entry::Entry;
use super::hub::{Hub, Sent};

/// A message for all subscribers of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload, which each member's driver frames in its own way.
    pub data: &'a [u8],
    /// Text or bytes, where that makes a difference.
    pub kind: Kind,
    /// A member that is left out, such as the author.
    pub except: Option<ConnId>,
}

/// How many members a publish reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Members that will get it.
    pub taken: usize,
    /// Members that will not: closing, or their backlog is full.
    pub missed: usize,
}

/// Topics.
impl Hub {
    /// Adds a connection to the subscribers of `topic`. False if it was one, is closed, or has yet to
    /// be made.
    pub fn subscribe(&mut self, id: ConnId, topic: &str) -> bool {
        self.open_driver(id).is_some() && self.topics.subscribe(id, topic)
    }

    /// Takes a connection out of `topic`. False if it was no subscriber. Closing does this by
    /// itself.
    pub fn unsubscribe(&mut self, id: ConnId, topic: &str) -> bool {
        self.topics.unsubscribe(id, topic)
    }

    /// How many connections are subscribed to `topic`.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.topics.members(topic).len()
    }

    /// The topics of a connection.
    pub fn topics(&self, id: ConnId) -> impl Iterator<Item = &str> {
        self.topics.of(id)
    }

    /// Sends a message to all subscribers of a topic, as they are now. It is framed once per
    /// driver and [`Form`], and members share the bytes. It reaches each of them after what was sent to it
    /// before, and before what is sent later.
    pub fn publish(&mut self, publish: Publish<'_>) -> Published {
        let Publish {
            topic,
            data,
            kind,
            except,
        } = publish;
        let mut published = Published::default();
        let mut framed: Vec<((DriverId, Form), Bytes)> = Vec::new();
        let members = self.topics.members(topic).to_vec();
        for id in members.into_iter().filter(|id| Some(*id) != except) {
            let Some(taker) = self.taker(id) else {
                published.missed += 1;
                continue;
            };
            let bytes = match framed.iter().find(|(framed_for, _)| *framed_for == taker) {
                Some((_, bytes)) => bytes.clone(),
                None => {
                    let bytes = Bytes::from(self.frame(taker, data, kind));
                    framed.push((taker, bytes.clone()));
                    bytes
                }
            };
            match self.send_shared(id, bytes).is_taken() {
                true => published.taken += 1,
                false => published.missed += 1,
            }
        }
        published
    }

    /// Sends a message to one connection, framed as if it were published to it: for what has members
    /// of several protocols.
    pub fn send_framed(&mut self, id: ConnId, data: &[u8], kind: Kind) -> Sent {
        match self.framed(id, data, kind, self.form(id)) {
            Some(frame) => self.send_shared(id, frame.into()),
            None => Sent::Closed,
        }
    }

    /// A message as the driver of a connection frames it in this form. `None` if the connection is
    /// closed.
    pub fn framed(&mut self, id: ConnId, data: &[u8], kind: Kind, form: Form) -> Option<Vec<u8>> {
        let driver = self.open_driver(id)?;
        Some(self.frame((driver, form), data, kind))
    }

    /// Says in which of its driver's forms a connection takes what is framed for it.
    pub fn set_form(&mut self, id: ConnId, form: Form) {
        if let Some(socket) = self.socket(id) {
            socket.form = form;
        }
    }

    /// The form that was set.
    pub fn form(&self, id: ConnId) -> Form {
        match self.slots.get(id) {
            Some(Entry::Stream(socket)) => socket.form,
            _ => Form::default(),
        }
    }

    /// What decides how a connection is framed for.
    fn taker(&self, id: ConnId) -> Option<(DriverId, Form)> {
        let entry = self.slots.get(id).filter(|entry| entry.is_open())?;
        let form = match entry {
            Entry::Stream(socket) => socket.form,
            _ => Form::default(),
        };
        Some((entry.driver()?, form))
    }

    fn frame(&mut self, (driver, form): (DriverId, Form), data: &[u8], kind: Kind) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 16);
        match &mut self.framers[usize::from(driver.0)] {
            Some(framer) => framer.frame(data, kind, form, &mut out),
            None => out.extend_from_slice(data),
        }
        out
    }
}
