//! Compressed messages: permessage-deflate, RFC 7692.
//!
//! What both sides agree on is a [`Deflate`]; the work is done by a [`Pool`], which all connections
//! share as far as they need not remember earlier messages. Remembering ("context take-over")
//! compresses small messages better, and costs each connection a window of its own: some 18 KB to
//! inflate, and 318 KB to deflate.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Error;
use super::handshake::Unanswered;

/// What every compressed message ends with, and is therefore not sent: RFC 7692, section 7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Inflaters that are kept for the next messages.
const SPARE: usize = 16;

/// Bytes by which inflated data grows at a time at least.
const STEP: usize = 4 * 1024;

/// How messages are compressed: what a side wishes, offers, or has agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deflate {
    /// What the server sends does not refer to earlier messages.
    pub server_no_context_takeover: bool,
    /// What the client sends does not.
    pub client_no_context_takeover: bool,
    /// The server refers back at most two to the power of this many bytes, 8 to 15; 15 if it is not
    /// said.
    pub server_max_window_bits: Option<u8>,
    /// The client does.
    pub client_max_window_bits: Option<u8>,
}

/// What stands in the fields of both sides.
const NAME: &str = "permessage-deflate";

impl Deflate {
    /// What a server agrees to, of the values of `Sec-WebSocket-Extensions` in a request; `None` if
    /// there is nothing among them. `wish` is what it wants for itself: contexts that are not kept.
    ///
    /// Word for word as the RFC has it: an offer in which anything is unknown, doubled or out of
    /// range is declined.
    pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>, wish: Self) -> Option<Self> {
        extensions(values).find_map(|offer| {
            let offered = Parameters::read(offer)?;
            let server_max_window_bits = match offered.server_max_window_bits {
                None => None,
                // No compressor of ours has a window as small as 8.
                Some(bits) => Some(bits.filter(|bits| *bits > 8)?),
            };
            Some(Self {
                server_no_context_takeover: wish.server_no_context_takeover
                    || offered.server_no_context_takeover,
                client_no_context_takeover: wish.client_no_context_takeover
                    || offered.client_no_context_takeover,
                server_max_window_bits,
                client_max_window_bits: None,
            })
        })
    }

    /// Appends the field of a request that offers it, and to keep to any window that the server
    /// names.
    pub fn offer(&self, out: &mut Vec<u8>) {
        let contexts = Self {
            server_max_window_bits: None,
            client_max_window_bits: None,
            ..*self
        };
        contexts.write(out);
        out.truncate(out.len() - 2);
        out.extend_from_slice(b"; client_max_window_bits\r\n");
    }

    /// What a server has agreed to of this [offer](Self::offer), by the values of its answer; `None`
    /// if nothing is to be compressed.
    ///
    /// # Errors
    ///
    /// When it agrees to something else, to something twice, or not to what was asked for.
    pub fn agreed<'a>(
        &self,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, Unanswered> {
        let mut extensions = extensions(values);
        let Some(first) = extensions.next() else {
            return Ok(None);
        };
        let bits = |stated: Option<Option<u8>>| match stated {
            None => Ok(None),
            Some(None) => Err(Unanswered::BadExtension),
            Some(bits) => Ok(bits),
        };
        match (Parameters::read(first), extensions.next()) {
            (Some(answer), None)
                if answer.server_no_context_takeover || !self.server_no_context_takeover =>
            {
                Ok(Some(Self {
                    server_no_context_takeover: answer.server_no_context_takeover,
                    client_no_context_takeover: answer.client_no_context_takeover
                        || self.client_no_context_takeover,
                    server_max_window_bits: bits(answer.server_max_window_bits)?,
                    client_max_window_bits: bits(answer.client_max_window_bits)?,
                }))
            }
            _ => Err(Unanswered::BadExtension),
        }
    }

    /// Appends the field of an answer that agrees to it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
        out.extend_from_slice(NAME.as_bytes());
        if self.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        for (name, bits) in [
            ("server", self.server_max_window_bits),
            ("client", self.client_max_window_bits),
        ] {
            if let Some(bits) = bits {
                out.extend_from_slice(b"; ");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"_max_window_bits=");
                crate::proto::http1::write::decimal(out, u64::from(bits));
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The extensions in the values of a field, each with its parameters.
fn extensions<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a str> {
    let texts = values
        .into_iter()
        .map(|value| core::str::from_utf8(value).unwrap_or_default());
    texts.flat_map(|text| text.split(','))
}

/// What one side says of how messages are to be compressed: RFC 7692, section 7.1.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    /// Whether it was said, and with which number if with any.
    server_max_window_bits: Option<Option<u8>>,
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` for another extension, and if anything is unknown, doubled or out of range.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut found = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim()))),
                None => (part, None),
            };
            let is_new = match (&*name.to_ascii_lowercase(), value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut found.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut found.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    let bits = Some(window_bits(value)?);
                    found.server_max_window_bits.replace(bits).is_none()
                }
                ("client_max_window_bits", value) => {
                    let bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                    found.client_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(found)
    }
}

/// A token, which may be written as a string: RFC 6455, section 9.1.
fn unquoted(value: &str) -> &str {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// A number from 8 to 15, without a zero before it.
fn window_bits(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What compresses and inflates for all connections that remember nothing, with what the next ones
/// need kept at hand.
#[derive(Debug)]
pub struct Pool {
    level: Compression,
    deflater: Option<Box<Deflater>>,
    #[expect(
        clippy::vec_box,
        reason = "a receiver keeps its inflater behind one pointer"
    )]
    inflaters: Vec<Box<Inflater>>,
}

impl Default for Pool {
    /// At level 1 of 9: what is sent once is not worth more.
    fn default() -> Self {
        Self::new(1)
    }
}

impl Pool {
    /// With a level from 0, fastest, to 9, smallest.
    pub const fn new(level: u32) -> Self {
        Self {
            level: Compression::new(level),
            deflater: None,
            inflaters: Vec::new(),
        }
    }

    /// Appends a message, compressed by itself.
    pub fn deflate(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let level = self.level;
        let deflater = self
            .deflater
            .get_or_insert_with(|| Box::new(Deflater::new(level, 15)));
        deflater.0.reset();
        deflater.deflate(data, out);
    }

    /// A compressor that remembers what it has compressed.
    pub fn deflater(&self, window_bits: u8) -> Deflater {
        Deflater::new(self.level, window_bits)
    }

    pub(super) fn inflater(&mut self) -> Box<Inflater> {
        self.inflaters.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, mut inflater: Box<Inflater>) {
        if self.inflaters.len() < SPARE {
            inflater.0.reset(false);
            self.inflaters.push(inflater);
        }
    }
}

/// Compresses messages that may refer to each other.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Deflater {
    fn new(level: Compression, window_bits: u8) -> Self {
        let window_bits = window_bits.clamp(9, 15);
        Self(Compress::new_with_window_bits(level, false, window_bits))
    }

    /// Forgets what it has compressed.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Appends a message, compressed.
    pub fn deflate(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if data.is_empty() {
            // A second flush in a row would write nothing: RFC 7692, section 7.2.3.6.
            return out.push(0);
        }
        let (mut rest, mut used) = (data, self.0.total_in());
        loop {
            out.reserve(STEP.max(rest.len() / 2));
            // With memory to write to and a stream that has not ended, it cannot fail.
            let done = self.0.compress_vec(rest, out, FlushCompress::Sync);
            let taken = (self.0.total_in() - used) as usize;
            rest = &rest[taken.min(rest.len())..];
            used = self.0.total_in();
            // Room left over says that all of it is there.
            if done.is_err() || rest.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
    }
}

/// Inflates messages, piece by piece.
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        // The largest window takes the streams of all smaller ones.
        Self(Decompress::new_with_window_bits(false, 15))
    }
}

impl Inflater {
    /// Appends what a piece of a message inflates to. No more than `max` bytes are ever in `out`,
    /// however large it would become.
    pub(super) fn inflate(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Error> {
        let mut rest = piece;
        loop {
            if out.len() == out.capacity() {
                let room = max.saturating_sub(out.len()).saturating_add(1);
                out.reserve_exact(out.len().max(STEP).min(room));
            }
            let (used, length) = (self.0.total_in(), out.len());
            let status = self
                .0
                .decompress_vec(rest, out, FlushDecompress::Sync)
                .map_err(|_| Error::BadData)?;
            if out.len() > max {
                return Err(Error::TooLarge);
            }
            let taken = (self.0.total_in() - used) as usize;
            rest = &rest[taken.min(rest.len())..];
            if let Status::StreamEnd = status {
                // A final block in the midst of it: what follows is a stream of its own.
                self.0.reset(false);
            } else if taken == 0 && out.len() == length && out.len() < out.capacity() {
                // Neither in nor out, with room for both.
                return match rest.is_empty() {
                    true => Ok(()),
                    false => Err(Error::BadData),
                };
            }
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }

    /// The same for the end of a message.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, max: usize) -> Result<(), Error> {
        self.inflate(&TAIL, out, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Deflate = Deflate {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: None,
        client_max_window_bits: None,
    };

    fn negotiate(value: &str) -> Option<Deflate> {
        Deflate::negotiate([value.as_bytes()], NOTHING)
    }

    #[test]
    fn d02_offers_are_taken_up_or_declined_and_never_a_panic() {
        let server = |bits| Deflate {
            server_max_window_bits: bits,
            ..NOTHING
        };
        for (offer, agreed) in [
            ("permessage-deflate", Some(NOTHING)),
            ("Permessage-Deflate; client_max_window_bits", Some(NOTHING)),
            (
                "permessage-deflate; client_max_window_bits=8",
                Some(NOTHING),
            ),
            (
                "permessage-deflate; server_max_window_bits=9",
                Some(server(Some(9))),
            ),
            (
                "permessage-deflate; server_max_window_bits=\"15\"",
                Some(server(Some(15))),
            ),
            ("permessage-deflate; server_max_window_bits=8", None),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate",
                Some(NOTHING),
            ),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            (
                "permessage-deflate; client_max_window_bits; client_max_window_bits",
                None,
            ),
            ("permessage-deflate; unheard_of", None),
            ("permessage-deflate; constructor=1", None),
            ("permessage-bzip2, x-webkit-deflate-frame", None),
            ("x, permessage-deflate", Some(NOTHING)),
            ("", None),
            (";", None),
            (",,;=,", None),
        ] {
            assert_eq!(negotiate(offer), agreed, "{offer}");
        }
        for bits in [
            "",
            "7",
            "16",
            "015",
            "08",
            "+9",
            "-9",
            "9 9",
            "\"9",
            "\"\"9\"\"",
            "99999999999",
            "0x9",
        ] {
            for side in ["client", "server"] {
                let offer = format!("permessage-deflate; {side}_max_window_bits={bits}");
                assert_eq!(negotiate(&offer), None, "{offer}");
            }
        }
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10";
        let agreed = negotiate(both).unwrap();
        let mut out = Vec::new();
        agreed.write(&mut out);
        assert_eq!(
            out,
            format!("Sec-WebSocket-Extensions: {both}\r\n").as_bytes()
        );
    }

    #[test]
    fn a_client_offers_and_looks_at_the_answer() {
        let offer = Deflate {
            server_no_context_takeover: true,
            ..NOTHING
        };
        let mut out = Vec::new();
        offer.offer(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits\r\n"
        );
        let window = |server, client| Deflate {
            server_max_window_bits: server,
            client_max_window_bits: client,
            ..offer
        };
        for (values, agreed) in [
            (&[][..], Ok(None)),
            (
                &["permessage-deflate; server_no_context_takeover"],
                Ok(Some(offer)),
            ),
            (
                &["permessage-deflate; server_no_context_takeover; server_max_window_bits=8"],
                Ok(Some(window(Some(8), None))),
            ),
            (
                &["PERMESSAGE-DEFLATE;server_no_context_takeover;client_max_window_bits = \"9\""],
                Ok(Some(window(None, Some(9)))),
            ),
            (
                &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
                Ok(Some(Deflate {
                    client_no_context_takeover: true,
                    ..offer
                })),
            ),
            // What was asked for is not there.
            (&["permessage-deflate"], Err(Unanswered::BadExtension)),
            (
                &["permessage-deflate; server_no_context_takeover; client_max_window_bits"],
                Err(Unanswered::BadExtension),
            ),
            (
                &["permessage-deflate; server_no_context_takeover; client_max_window_bits=16"],
                Err(Unanswered::BadExtension),
            ),
            (
                &["permessage-deflate; server_no_context_takeover; unheard_of"],
                Err(Unanswered::BadExtension),
            ),
            (&["x"], Err(Unanswered::BadExtension)),
            (&[""], Err(Unanswered::BadExtension)),
            (
                &["permessage-deflate; server_no_context_takeover", "x"],
                Err(Unanswered::BadExtension),
            ),
        ] {
            let found = offer.agreed(values.iter().map(|value| value.as_bytes()));
            assert_eq!(found, agreed, "{values:?}");
        }
    }

    fn inflated(inflater: &mut Inflater, data: &[u8], max: usize) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for byte in data {
            inflater.inflate(&[*byte], &mut out, max)?;
        }
        inflater.finish(&mut out, max)?;
        Ok(out)
    }

    /// RFC 7692, section 7.2.3.
    #[test]
    fn the_examples_of_the_rfc() {
        for data in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
        ] {
            assert_eq!(
                inflated(&mut Inflater::default(), data, 5).unwrap(),
                b"Hello",
                "{data:x?}"
            );
        }
        // The second message refers to the first.
        let mut inflater = Inflater::default();
        for data in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
        ] {
            assert_eq!(inflated(&mut inflater, data, 5).unwrap(), b"Hello");
        }
    }

    #[test]
    fn what_is_deflated_inflates_to_itself() {
        let random: Vec<u8> = (0..100_000_u64)
            .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect();
        let text = "κόσμε ".repeat(5_000);
        let mut pool = Pool::default();
        for window in [9, 12, 15] {
            let (mut deflater, mut inflater) = (pool.deflater(window), Inflater::default());
            for data in [
                &b""[..],
                b"a",
                text.as_bytes(),
                &random,
                b"a",
                text.as_bytes(),
            ] {
                for length in [data.len(), data.len() / 2] {
                    let data = &data[..length];
                    let (mut alone, mut on) = (Vec::new(), Vec::new());
                    pool.deflate(data, &mut alone);
                    deflater.deflate(data, &mut on);
                    let mut own = pool.inflater();
                    assert_eq!(inflated(&mut own, &alone, data.len()).unwrap(), data);
                    pool.give_back(own);
                    assert_eq!(inflated(&mut inflater, &on, data.len()).unwrap(), data);
                }
            }
        }
    }

    #[test]
    fn d01_a_bomb_goes_off_at_the_limit() {
        let (mut pool, mut bomb) = (Pool::default(), Vec::new());
        pool.deflate(&vec![0; 64 << 20], &mut bomb);
        assert!(bomb.len() < 1 << 20);
        let (mut inflater, mut out) = (Inflater::default(), Vec::new());
        let limit = 1 << 20;
        assert_eq!(
            inflater.inflate(&bomb, &mut out, limit),
            Err(Error::TooLarge)
        );
        assert!(out.capacity() <= limit + 64 * 1024, "{}", out.capacity());
    }

    #[test]
    fn what_is_no_deflate_is_refused() {
        for data in [
            &[0xff; 20][..],
            &[0x07],
            &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48],
        ] {
            let mut inflater = Inflater::default();
            assert_eq!(
                inflated(&mut inflater, data, 100),
                Err(Error::BadData),
                "{data:x?}"
            );
        }
    }
}
