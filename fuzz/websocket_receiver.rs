//! Whatever arrives, it means the same in one piece, in many, and byte by byte; and what is kept of
//! it is bounded.
//!
//! An input begins with four bytes, which say who receives, and what it puts up with; then the
//! number of pieces, the length of each, and the stream.
#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use switchboard::proto::websocket::deflate::Pool;
use switchboard::proto::websocket::{Error, Event, Limits, Receiver, Role};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What a receiver may keep besides a message: little, or what inflates.
const SMALL: usize = 1024;
const INFLATER: usize = 64 * 1024;

/// Bytes that may wait for more: a control frame but its last byte.
const MOST_HELD: usize = 14 + 125;

struct Case<'a> {
    role: Role,
    limits: Limits,
    /// Messages may be compressed, and refer to earlier ones or not.
    inflating: Option<bool>,
    lengths: &'a [u8],
    stream: &'a [u8],
}

impl<'a> Case<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let (&[flags, size, empty, pieces], rest) = data.split_first_chunk()?;
        let (lengths, stream) = rest.split_at_checked(pieces.into())?;
        Some(Self {
            role: [Role::Server, Role::Client][usize::from(flags & 1)],
            limits: Limits {
                max_message: [0, 1, 125, 126, 1_000, 10_000, 65_536, 1 << 20]
                    [usize::from(size % 8)],
                max_empty: empty.into(),
            },
            inflating: [None, None, Some(false), Some(true)][usize::from(flags >> 1 & 3)],
            lengths,
            stream,
        })
    }

    /// What the stream means when it comes in these pieces: its events, and the error that ends it.
    fn play(&self, pieces: impl Iterator<Item = usize>) -> (Vec<Told>, Option<Error>) {
        let mut receiver = Receiver::new(self.role, self.limits);
        if let Some(remembers) = self.inflating {
            receiver = receiver.inflating(remembers);
        }
        let (mut pool, mut kept) = (Pool::default(), 0);
        let bound = 2 * self.limits.max_message
            + if self.inflating.is_some() {
                INFLATER
            } else {
                SMALL
            };
        let (mut told, mut held, mut rest) = (Vec::new(), Vec::new(), self.stream);
        for length in pieces {
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            held.extend_from_slice(piece);
            loop {
                let before = MEMORY.allocated();
                let found = receiver.next_inflating(&mut held, &mut pool);
                kept = (kept + MEMORY.allocated()).saturating_sub(before);
                assert!(kept <= bound, "{kept} bytes are kept, {bound} may be");
                let (used, event) = match found {
                    Ok(found) => found,
                    Err(error) => return (told, Some(error)),
                };
                let event = event.map(Told::of);
                let go_on = event.is_some();
                if told.last().is_some_and(Told::is_last) {
                    assert_eq!((used, &event), (held.len(), &None), "after a close");
                }
                told.extend(event);
                held.drain(..used);
                if !go_on {
                    break;
                }
            }
            assert!(held.len() <= MOST_HELD, "{} bytes are left", held.len());
            assert!(receiver.collected() <= self.limits.max_message);
        }
        (told, None)
    }

    fn compare(
        &self,
        mut told: (Vec<Told>, Option<Error>),
        whole: &(Vec<Told>, Option<Error>),
        how: &str,
    ) {
        // Of a compressed message that is wrong in several ways, what is met first depends on how
        // much of it is inflated before it is looked at.
        let any = |error| {
            matches!(
                error,
                Some(Error::BadData | Error::BadText | Error::TooLarge)
            )
        };
        if self.inflating.is_some() && any(told.1) && any(whole.1) {
            told.1 = whole.1;
        }
        assert_eq!(&told, whole, "{how}");
    }
}

/// An event, owned.
#[derive(Debug, PartialEq)]
enum Told {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

impl Told {
    fn of(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(data) => Self::Binary(data.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(close) => Self::Close(close.code.0, close.reason.to_owned()),
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Close(..))
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::read(data) else {
        return;
    };
    let whole = case.play(std::iter::once(case.stream.len()));
    let lengths = case.lengths.iter().map(|length| usize::from(*length));
    let in_pieces = case.play(lengths.chain([case.stream.len()]));
    let byte_by_byte = case.play((0..case.stream.len()).map(|_| 1));
    case.compare(in_pieces, &whole, "in pieces");
    case.compare(byte_by_byte, &whole, "byte by byte");
});
