//! The bytes that one connection has yet to send.
//!
//! A pure queue of pieces: it makes no system call. Small messages are copied to the tail, so that
//! many replies leave in one `send`; large or shared ones are queued as they are and leave by a
//! gathered write. A piece is dropped when its last byte has gone, so a long queue shrinks from the
//! front without ever being moved.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Most slices offered to one gathered write. Linux takes 1,024 (IOV_MAX); beyond a few dozen the
/// copy into the kernel costs far more than the call (hyper offers 64).
pub(crate) const MAX_SLICES: usize = 64;

/// Bytes up to which a copied piece grows before the next one is begun: what one turn of a fast
/// peer takes.
const PIECE: usize = 64 * 1024;

/// Bytes up to which a shared message is copied to the tail instead: cheaper than one more slice.
const COPY_UP_TO: usize = 1024;

/// Bytes of capacity that an empty outbox may keep for its next message.
const KEEP: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What leaves first: all there is, unless much is waiting.
    first: Vec<u8>,
    /// Bytes of `first` that have been sent; less than its length, or both are 0.
    sent: usize,
    /// What leaves after it. None of these is empty.
    more: VecDeque<Piece>,
    /// Bytes left to send.
    len: usize,
}

#[derive(Debug)]
enum Piece {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Appends a copy of `data`.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.append(data.len(), |tail| tail.extend_from_slice(data));
    }

    /// Appends `data` without copying it, unless it is so small that copying is cheaper.
    pub(crate) fn push_shared(&mut self, data: Bytes) {
        if data.len() <= COPY_UP_TO {
            return self.push(&data);
        }
        self.len += data.len();
        self.more.push_back(Piece::Shared(data));
    }

    /// Lends the tail to `write`, which appends to it. `about` is the number of bytes expected. If
    /// `write` panics, what it has appended so far is taken back.
    #[inline]
    pub(crate) fn append(&mut self, about: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.more.is_empty() && self.first.len() + about <= PIECE {
            self.len += grow(&mut self.first, write);
        } else {
            self.append_behind(about, write);
        }
    }

    #[cold]
    fn append_behind(&mut self, about: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Piece::Copied(tail)) = self.more.back_mut() {
            if tail.len() + about <= PIECE {
                self.len += grow(tail, write);
                return;
            }
        }
        let mut piece = Vec::with_capacity(about);
        write(&mut piece);
        self.len += piece.len();
        if !piece.is_empty() {
            self.more.push_back(Piece::Copied(piece));
        }
    }

    /// Bytes left to send.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it takes up while it is empty.
    fn cost(&self) -> usize {
        let more = self.more.capacity() * size_of::<Piece>();
        size_of::<Self>() + self.first.capacity() + more
    }

    /// All that is left, if it lies in one piece.
    #[inline]
    pub(crate) fn single(&self) -> Option<&[u8]> {
        match self.more.len() {
            0 => Some(&self.first[self.sent..]),
            1 if self.first.is_empty() => Some(self.more[0].bytes()),
            _ => None,
        }
    }

    /// What leaves first, as far as it lies in one piece.
    pub(crate) fn front(&self) -> &[u8] {
        match (&self.first[self.sent..], self.more.front()) {
            ([], Some(piece)) => piece.bytes(),
            (first, _) => first,
        }
    }

    /// Fills `slices` from the front with at most `budget` bytes and returns how many slices and
    /// bytes that is.
    pub(crate) fn slices<'a>(
        &'a self,
        slices: &mut [IoSlice<'a>; MAX_SLICES],
        budget: usize,
    ) -> (usize, usize) {
        let (mut filled, mut offered) = (0, 0);
        let first = Some(&self.first[self.sent..]).filter(|first| !first.is_empty());
        let pieces = first.into_iter().chain(self.more.iter().map(Piece::bytes));
        for (slice, bytes) in slices.iter_mut().zip(pieces) {
            if offered == budget {
                break;
            }
            let bytes = &bytes[..bytes.len().min(budget - offered)];
            *slice = IoSlice::new(bytes);
            (filled, offered) = (filled + 1, offered + bytes.len());
        }
        (filled, offered)
    }

    /// Forgets the first `sent` bytes: they have left.
    #[inline]
    pub(crate) fn consume(&mut self, sent: usize) {
        debug_assert!(sent <= self.len);
        self.len -= sent;
        let of_first = sent.min(self.first.len() - self.sent);
        self.sent += of_first;
        if self.sent < self.first.len() {
            return;
        }
        self.sent = 0;
        if self.more.is_empty() && self.first.capacity() <= KEEP {
            self.first.clear();
        } else {
            self.first = Vec::new();
            self.advance(sent - of_first);
        }
    }

    /// Forgets bytes of what lies behind `first`, which has gone. What is copied takes its place.
    fn advance(&mut self, mut sent: usize) {
        while let Some(front) = self.more.pop_front() {
            let length = front.bytes().len();
            match front {
                _ if sent >= length => sent -= length,
                Piece::Copied(bytes) => {
                    (self.first, self.sent) = (bytes, sent);
                    return;
                }
                Piece::Shared(mut bytes) => {
                    bytes.advance(sent);
                    return self.more.push_front(Piece::Shared(bytes));
                }
            }
        }
    }
}

/// Lets `write` append to `tail`, and returns by how much it grew.
#[inline]
fn grow(tail: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let mut growth = Growth {
        before: tail.len(),
        tail,
        whole: false,
    };
    write(growth.tail);
    growth.whole = true;
    debug_assert!(
        growth.tail.len() >= growth.before,
        "what is queued must stay"
    );
    growth.tail.len().saturating_sub(growth.before)
}

/// Takes half a message back: others may be waiting before it, on a connection that did nothing.
struct Growth<'a> {
    tail: &'a mut Vec<u8>,
    before: usize,
    whole: bool,
}

impl Drop for Growth<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.tail.truncate(self.before);
        }
    }
}

/// Room for the next connections that send.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// For what is encrypted and leaves at once.
    pub(crate) records: Vec<u8>,
    /// Empty outboxes. A broadcast fills one for each member and empties it in the same turn, so
    /// there may be many, as long as they are small.
    #[expect(
        clippy::vec_box,
        reason = "a socket keeps its outbox behind one pointer"
    )]
    outboxes: Vec<Box<Outbox>>,
    /// Bytes of capacity in all outboxes.
    bytes: usize,
}

impl Spares {
    /// What the outboxes may take up, their buffers and themselves.
    const MOST: usize = 1024 * 1024;

    #[inline]
    pub(crate) fn take(&mut self) -> Box<Outbox> {
        let outbox = self.outboxes.pop().unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(outbox.cost());
        outbox
    }

    /// Takes an outbox that is empty.
    #[inline]
    pub(crate) fn give(&mut self, outbox: Option<Box<Outbox>>) {
        let Some(outbox) = outbox else { return };
        let bytes = self.bytes + outbox.cost();
        if bytes <= Self::MOST {
            self.bytes = bytes;
            self.outboxes.push(outbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;

    /// What a socket that takes `step` bytes at a time would have received.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let (filled, offered) = outbox.slices(&mut slices, step);
            assert!(offered > 0 && offered <= step);
            for slice in &slices[..filled] {
                received.extend_from_slice(slice);
            }
            outbox.consume(offered);
        }
        received
    }

    #[test]
    fn small_messages_share_one_piece() {
        let mut outbox = Outbox::default();
        outbox.push(b"one ");
        outbox.push(b"two ");
        outbox.push_shared(Bytes::from_static(b"three"));
        assert_eq!(outbox.single(), Some(&b"one two three"[..]));
    }

    #[test]
    fn a_large_shared_message_is_not_copied() {
        let shared = Bytes::from(vec![7; COPY_UP_TO + 1]);
        let mut outbox = Outbox::default();
        outbox.push_shared(shared.clone());
        assert_eq!(outbox.single().map(<[u8]>::as_ptr), Some(shared.as_ptr()));
    }

    #[test]
    fn capacity_above_the_mark_is_given_back_after_a_drain() {
        let mut outbox = Outbox::default();
        outbox.push(&[1; KEEP]);
        outbox.consume(KEEP);
        assert_eq!(
            outbox.first.capacity(),
            KEEP,
            "a buffer of this size is kept"
        );
        outbox.push(&[1; KEEP + 1]);
        outbox.consume(KEEP + 1);
        assert_eq!(outbox.first.capacity(), 0, "a larger one is not");
    }

    #[test]
    fn an_empty_message_leaves_no_piece_behind() {
        let mut outbox = Outbox::default();
        outbox.push_shared(Bytes::from(vec![7; COPY_UP_TO + 1]));
        outbox.push(b"");
        assert_eq!(outbox.more.len(), 1);
    }

    /// Were the rest moved to the front, a long backlog would take quadratic time.
    #[test]
    fn what_is_left_of_a_piece_stays_where_it_is() {
        let mut outbox = Outbox::default();
        outbox.push(&[7; 1 << 20]);
        let before = outbox.single().map(|left| left.as_ptr().addr());
        outbox.consume(1000);
        outbox.consume(1000);
        let after = outbox.single().map(|left| left.as_ptr().addr());
        assert_eq!(after, before.map(|before| before + 2000));
    }

    #[test]
    fn half_a_message_is_taken_back_when_its_writer_panics() {
        let large = Bytes::from(vec![7; COPY_UP_TO + 1]);
        for shared in [false, true] {
            let mut outbox = Outbox::default();
            outbox.push(b"whole");
            if shared {
                outbox.push_shared(large.clone());
                outbox.push(b"tail");
            }
            let before = outbox.len();
            let half = catch_unwind(AssertUnwindSafe(|| {
                outbox.append(0, |tail| {
                    tail.extend_from_slice(b"half");
                    panic!("on purpose");
                });
            }));
            assert!(half.is_err());
            assert_eq!(outbox.len(), before);
            let sent = drain(&mut outbox, 100);
            assert_eq!(sent.len(), before);
            assert!(!sent.ends_with(b"half"));
        }
    }

    proptest! {
        /// Whatever is pushed and however little the socket takes, the bytes leave in order.
        #[test]
        fn behaves_as_a_plain_vector(
            messages in prop::collection::vec((any::<bool>(), 0usize..3_000), 0..40),
            step in 1usize..5_000,
            between in 0usize..2_000,
        ) {
            let (mut outbox, mut model, mut received) = (Outbox::default(), Vec::new(), Vec::new());
            for (number, (shared, length)) in messages.into_iter().enumerate() {
                let data = vec![number as u8; length];
                model.extend_from_slice(&data);
                if shared { outbox.push_shared(Bytes::from(data)) } else { outbox.push(&data) }
                let some = between.min(outbox.len());
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let (filled, offered) = outbox.slices(&mut slices, some);
                for slice in &slices[..filled] { received.extend_from_slice(slice); }
                outbox.consume(offered);
            }
            prop_assert_eq!(outbox.len(), model.len() - received.len());
            received.extend(drain(&mut outbox, step));
            prop_assert_eq!(received, model);
        }
    }

    #[test]
    fn spares_are_bounded_by_their_bytes() {
        let mut spares = Spares::default();
        let boxed = |capacity: usize| {
            let mut outbox = Outbox::default();
            outbox.push(&vec![1; capacity]);
            outbox.consume(capacity);
            Some(Box::new(outbox))
        };
        for _ in 0..100 {
            spares.give(boxed(KEEP));
        }
        let most = Spares::MOST / KEEP;
        assert!((most - 5..most).contains(&spares.outboxes.len()));
        let count = spares.outboxes.len();
        for _ in 0..count {
            assert_eq!(spares.take().first.capacity(), KEEP);
        }
        assert_eq!((spares.bytes, spares.outboxes.len()), (0, 0));
        // What is kept for shared pieces counts, too.
        let mut outbox = Outbox::default();
        for _ in 0..10_000 {
            outbox.push_shared(Bytes::from_static(&[7; COPY_UP_TO + 1]));
        }
        outbox.consume(10_000 * (COPY_UP_TO + 1));
        spares.give(Some(Box::new(outbox)));
        assert!(
            spares.bytes > 10_000 * size_of::<Piece>(),
            "{}",
            spares.bytes
        );
        spares.take();
        // Of small ones there may be as many as a broadcast has members.
        for _ in 0..2_000 {
            spares.give(boxed(128));
        }
        assert_eq!(spares.outboxes.len(), 2_000);
        assert_eq!(Spares::default().take().first.capacity(), 0);
    }
}
