//! Whatever is written is read, in whatever pieces it comes: messages of all sizes, in fragments
//! with control frames between them, masked or not, compressed in all ways or not.

use proptest::prelude::*;
use proptest::sample::Index;
use switchboard::proto::websocket::deflate::{Deflater, Pool};
use switchboard::proto::websocket::{Event, Limits, OpCode, Receiver, Role, mask, write};

/// A message to be sent.
#[derive(Clone, Debug)]
struct Message {
    /// What it says again and again.
    words: String,
    times: usize,
    is_text: bool,
    compressed: bool,
    /// Where it is cut into fragments.
    cuts: Vec<Index>,
    /// Pings and pongs behind its first fragments.
    between: Vec<(bool, Vec<u8>)>,
}

fn message() -> impl Strategy<Value = Message> {
    let words = prop::collection::vec(any::<char>(), 0..30);
    let payload = prop::collection::vec(any::<u8>(), 0..=125);
    (
        words,
        prop_oneof![Just(1), 0..300_usize],
        any::<[bool; 2]>(),
        prop::collection::vec(any::<Index>(), 0..4),
        prop::collection::vec((any::<bool>(), payload), 0..4),
    )
        .prop_map(
            |(words, times, [is_text, compressed], cuts, between)| Message {
                words: words.into_iter().collect(),
                times,
                is_text,
                compressed,
                cuts,
                between,
            },
        )
}

/// How messages are compressed: with a compressor of this window that remembers or forgets, or with
/// the one that all share.
#[derive(Clone, Copy, Debug)]
enum Compressor {
    Own { window_bits: u8, remembers: bool },
    Shared,
}

fn compressor() -> impl Strategy<Value = Compressor> {
    let own = (9..=15_u8, any::<bool>()).prop_map(|(window_bits, remembers)| Compressor::Own {
        window_bits,
        remembers,
    });
    prop_oneof![1 => Just(Compressor::Shared), 4 => own]
}

/// What writes, and what has to be read of that.
struct Writer {
    /// Frames that were masked; nothing is if we are a server.
    masked: Option<u32>,
    pool: Pool,
    own: Option<Deflater>,
    remembers: bool,
    stream: Vec<u8>,
    expected: Vec<Read>,
}

impl Writer {
    fn new(role: Role, compressor: Compressor, level: u32) -> Self {
        let pool = Pool::new(level);
        let (own, remembers) = match compressor {
            Compressor::Shared => (None, false),
            Compressor::Own {
                window_bits,
                remembers,
            } => (Some(pool.deflater(window_bits)), remembers),
        };
        Self {
            masked: (role == Role::Client).then_some(0),
            pool,
            own,
            remembers,
            stream: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// Another one for each frame.
    fn key(&mut self) -> Option<[u8; 4]> {
        let masked = self.masked.as_mut()?;
        *masked += 1;
        Some(masked.wrapping_mul(0x9e37_79b9).to_be_bytes())
    }

    fn deflate(&mut self, data: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        match &mut self.own {
            None => self.pool.deflate(data, &mut payload),
            Some(own) => {
                if !self.remembers {
                    own.reset();
                }
                own.deflate(data, &mut payload);
            }
        }
        payload
    }

    fn write(&mut self, message: &Message) {
        let text = message.words.repeat(message.times);
        let payload = match message.compressed {
            true => self.deflate(text.as_bytes()),
            false => text.clone().into_bytes(),
        };
        let mut cuts: Vec<_> = message.cuts.iter().collect();
        cuts.sort_by_key(|cut| cut.index(payload.len() + 1));
        let mut opcode = match message.is_text {
            true => OpCode::Text,
            false => OpCode::Binary,
        };
        let (mut from, mut compressed) = (0, message.compressed);
        for (number, cut) in cuts.into_iter().enumerate() {
            let to = cut.index(payload.len() + 1);
            self.fragment(opcode, compressed, false, &payload[from..to]);
            if let Some((is_ping, payload)) = message.between.get(number) {
                self.control(*is_ping, payload);
            }
            (opcode, compressed, from) = (OpCode::Continuation, false, to);
        }
        self.fragment(opcode, compressed, true, &payload[from..]);
        self.expected.push(match message.is_text {
            true => Read::Text(text),
            false => Read::Binary(text.into_bytes()),
        });
    }

    fn fragment(&mut self, opcode: OpCode, compressed: bool, fin: bool, payload: &[u8]) {
        let key = self.key();
        match compressed {
            true => write::compressed(&mut self.stream, opcode, fin, payload, key),
            false => write::frame(&mut self.stream, opcode, fin, payload, key),
        }
    }

    fn control(&mut self, is_ping: bool, payload: &[u8]) {
        let (opcode, read) = match is_ping {
            true => (OpCode::Ping, Read::Ping(payload.to_vec())),
            false => (OpCode::Pong, Read::Pong(payload.to_vec())),
        };
        self.fragment(opcode, false, true, payload);
        self.expected.push(read);
    }
}

/// An event, owned.
#[derive(Debug, PartialEq)]
enum Read {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close,
}

/// What a stream is read as that comes in pieces of these lengths, over and over.
fn read(receiver: &mut Receiver, stream: &[u8], lengths: &[usize]) -> Vec<Read> {
    let (mut pool, mut found, mut held) = (Pool::default(), Vec::new(), Vec::new());
    let (mut rest, mut lengths) = (stream, lengths.iter().cycle());
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |length| *length);
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        (held, rest) = ([&held, piece].concat(), behind);
        loop {
            let (used, event) = receiver.next_inflating(&mut held, &mut pool).unwrap();
            let event = event.map(|event| match event {
                Event::Text(text) => Read::Text(text.to_owned()),
                Event::Binary(data) => Read::Binary(data.to_vec()),
                Event::Ping(payload) => Read::Ping(payload.to_vec()),
                Event::Pong(payload) => Read::Pong(payload.to_vec()),
                Event::Close(_) => Read::Close,
            });
            held.drain(..used);
            match event {
                Some(event) => found.push(event),
                None => break,
            }
        }
    }
    assert!(held.is_empty(), "{} bytes are left", held.len());
    found
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        messages in prop::collection::vec(message(), 0..8),
        is_client in any::<bool>(),
        compressor in compressor(),
        level in 0..=9_u32,
        lengths in prop::collection::vec(1..5_000_usize, 1..6),
    ) {
        let (writes, reads) = match is_client {
            true => (Role::Client, Role::Server),
            false => (Role::Server, Role::Client),
        };
        let mut writer = Writer::new(writes, compressor, level);
        for message in &messages {
            writer.write(message);
        }
        for lengths in [&lengths[..], &[1], &[]] {
            let receiver = Receiver::new(reads, Limits::default());
            let mut receiver = receiver.inflating(writer.remembers);
            let found = read(&mut receiver, &writer.stream, lengths);
            prop_assert_eq!(&found, &writer.expected);
            prop_assert!(!receiver.is_within_message());
        }
    }

    #[test]
    fn a_mask_may_be_applied_in_pieces(
        plain in prop::collection::vec(any::<u8>(), 0..300),
        key in any::<[u8; 4]>(),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let naive: Vec<u8> = (0..plain.len()).map(|at| plain[at] ^ key[at % 4]).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(plain.len() + 1)).collect();
        cuts.sort_unstable();
        let (mut data, mut from) = (plain, 0);
        for to in cuts.into_iter().chain([naive.len()]) {
            mask::apply(&mut data[from..to], key, from);
            from = to;
        }
        prop_assert_eq!(data, naive);
    }
}
