//! A load client whose messages go to everybody: many members, some of whom
//! send, and each message reaches all of them, its sender included.
//!
//! A sender's next message follows when all members have the last one; so a
//! message for each sender is under way, and what a member receives is known.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mio::{Events, Poll, Token};

use super::connection::BUFFER;
use super::stream::Stream;
use super::ws::{client_frame, open, server_frame};
use super::{EVENTS, Run, Shape};

/// Digits of a sender and of its message's number, each with a space behind it.
const SENDER: usize = 5;
const NUMBER: usize = 11;

const SILENCE: Duration = Duration::from_secs(30);

/// Members with nothing in flight between runs.
pub struct Broadcast {
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    senders: Vec<Sender>,
    size: usize,
    buffer: Vec<u8>,
}

struct Member {
    stream: Stream,
    /// The beginning of a frame whose end is still to come.
    unread: Vec<u8>,
    /// The number of the last message from each sender.
    last: Vec<u64>,
}

/// One of those who send, and its message.
#[derive(Default)]
struct Sender {
    number: u64,
    /// As it comes to the members.
    frame: Vec<u8>,
    /// How many members it has still to reach.
    missing: usize,
}

impl Broadcast {
    /// Bytes of a message, when nothing else is said.
    pub const SIZE: usize = 64;

    pub fn connect(address: SocketAddr, shape: &Shape, senders: usize) -> anyhow::Result<Self> {
        ensure!(
            (1..=shape.connections.min(9_999)).contains(&senders),
            "there must be a sender, and no more than there are connections"
        );
        ensure!(
            (SENDER + NUMBER..=125).contains(&shape.size),
            "a message must have from {} to 125 bytes",
            SENDER + NUMBER
        );
        ensure!(
            shape.outstanding == 1,
            "a sender has one message outstanding"
        );
        let poll = Poll::new()?;
        let members = (0..shape.connections)
            .map(|index| {
                let stream = open(address, false, poll.registry(), Token(index))
                    .with_context(|| format!("cannot open connection {}", index + 1))?;
                Ok(Member {
                    stream,
                    unread: Vec::new(),
                    last: vec![0; senders],
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            members,
            senders: (0..senders).map(|_| Sender::default()).collect(),
            size: shape.size,
            buffer: vec![0; BUFFER],
        })
    }

    /// Has so many messages delivered, each of which counts once for each member,
    /// and returns when none is in flight.
    pub fn run(&mut self, deliveries: u64) -> anyhow::Result<Run> {
        let members = self.members.len() as u64;
        ensure!(
            deliveries.is_multiple_of(members),
            "messages are delivered to {members} members each: give a multiple of that"
        );
        let start = Instant::now();
        let mut unsent = deliveries / members;
        let mut missing = deliveries;
        let mut free: Vec<usize> = (0..self.senders.len()).collect();
        loop {
            for index in free.drain(..) {
                if unsent > 0 {
                    unsent -= 1;
                    self.send(index)?;
                }
            }
            if missing == 0 {
                break;
            }
            missing -= self.receive(&mut free)?;
        }
        Ok(Run {
            elapsed: start.elapsed(),
            lost: 0,
        })
    }

    fn send(&mut self, index: usize) -> anyhow::Result<()> {
        let sender = &mut self.senders[index];
        sender.number += 1;
        let mut text = format!("{index:04} {:010} ", sender.number);
        text.extend(('!'..='y').cycle().take(self.size - text.len()));
        sender.frame = server_frame(text.as_bytes());
        sender.missing = self.members.len();
        let frame = client_frame(text.as_bytes(), sender.number);
        self.members[index].stream.send_at_once(&frame)
    }

    /// Waits, and reads what has arrived. Returns how many messages that was, and
    /// adds to `free` whose have reached everybody.
    fn receive(&mut self, free: &mut Vec<usize>) -> anyhow::Result<u64> {
        match self.poll.poll(&mut self.events, Some(SILENCE)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        ensure!(!self.events.is_empty(), "no answer for {SILENCE:?}");
        let mut received = 0;
        for event in &self.events {
            let Token(index) = event.token();
            let Member {
                stream,
                unread,
                last,
            } = &mut self.members[index];
            stream.receive(&mut self.buffer, |data| {
                unread.extend_from_slice(data);
                received += take(unread, last, &mut self.senders, free)?;
                Ok(())
            })?;
        }
        Ok(received)
    }
}

/// Takes the whole frames from what a member has received, and returns how many
/// they are.
fn take(
    unread: &mut Vec<u8>,
    last: &mut [u64],
    senders: &mut [Sender],
    free: &mut Vec<usize>,
) -> anyhow::Result<u64> {
    let (mut used, mut taken) = (0, 0);
    // All are of one size, which that of the first sender is.
    let length = senders[0].frame.len();
    while let Some(frame) = unread.get(used..used + length) {
        let index = sender(frame).context("a member was sent a message of nobody")?;
        let sender = senders
            .get_mut(index)
            .context("a member was sent a message of nobody")?;
        ensure!(
            frame == sender.frame,
            "a member was sent another message of sender {index} than was to come"
        );
        ensure!(
            last[index] < sender.number,
            "a member was sent a message of sender {index} twice"
        );
        last[index] = sender.number;
        sender.missing -= 1;
        if sender.missing == 0 {
            free.push(index);
        }
        used += length;
        taken += 1;
    }
    unread.drain(..used);
    Ok(taken)
}

/// Whose message it is, by the digits behind the header of two bytes.
fn sender(frame: &[u8]) -> Option<usize> {
    let digits = frame.get(2..2 + SENDER - 1)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two senders, each with its first message under way to two members.
    fn senders() -> Vec<Sender> {
        (0..2)
            .map(|index| Sender {
                number: 1,
                frame: server_frame(format!("{index:04} {:010} !", 1).as_bytes()),
                missing: 2,
            })
            .collect()
    }

    fn both() -> Vec<u8> {
        senders()
            .into_iter()
            .flat_map(|sender| sender.frame)
            .collect()
    }

    #[test]
    fn a_message_is_over_when_all_members_have_it() {
        let whole = both();
        for at in 0..whole.len() {
            let (mut senders, mut free) = (senders(), Vec::new());
            for round in 0..2 {
                assert!(free.is_empty(), "round {round}");
                let (mut unread, mut last) = (Vec::new(), vec![0; 2]);
                let (one, two) = whole.split_at(at);
                let mut taken = 0;
                for piece in [one, two] {
                    unread.extend_from_slice(piece);
                    taken += take(&mut unread, &mut last, &mut senders, &mut free).unwrap();
                }
                assert_eq!((taken, unread.len(), last), (2, 0, vec![1, 1]));
            }
            assert_eq!(free, [0, 1], "split at {at}");
        }
    }

    #[test]
    fn sees_what_is_wrong_with_a_message() {
        let frame = |text: &str| server_frame(text.as_bytes());
        for (data, wrong) in [
            (both().repeat(2), "twice"),
            (frame("0001 0000000001 ?"), "another message"),
            (frame("0001 0000000002 !"), "another message"),
            (frame("0002 0000000001 !"), "of nobody"),
            (frame("x001 0000000001 !"), "of nobody"),
        ] {
            let (mut unread, mut last) = (data, vec![0; 2]);
            let error = take(&mut unread, &mut last, &mut senders(), &mut Vec::new());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
