//! Messages with their length before them.
//!
//! [`Length`] writes and reads the length as a number of fixed width or as a varint; what the
//! length counts is the message alone. It knows no types or checksums: a header with more in it
//! is another codec.
//!
//! ```text
//! Length::u16()                      DNS over TCP
//! Length::u32().max(16_384_000)      Thrift's framed transport, with its usual maximum
//! Length::varint()                   delimited messages of Protocol Buffers
//! ```

use std::fmt;

use super::Codec;

/// The longest message unless set otherwise, in bytes: 1 MiB, so that a connection in error or
/// of ill will cannot claim much memory.
const DEFAULT_MAX: u32 = 1 << 20;

/// The longest varint, in bytes: each has 7 bits of a length of 32.
const MAX_VARINT: usize = 5;

/// Messages with their length before them.
#[derive(Clone, Debug)]
pub struct Length {
    prefix: Prefix,
    /// Whether the prefix is in little endian and not in network order.
    little_endian: bool,
    /// The longest message accepted, in bytes; within what the prefix can express.
    max: u32,
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The message is longer than is accepted or, to be sent, than the prefix can express.
    TooLong {
        /// What is accepted or can be expressed, in bytes.
        max: u32,
    },
    /// The length is a varint of more than 32 bits, or has more bytes than it needs.
    BadVarint,
}

#[derive(Clone, Copy, Debug)]
enum Prefix {
    U8,
    U16,
    U32,
    Varint,
}

impl Length {
    /// A length of one byte.
    #[must_use]
    pub fn u8() -> Self {
        Self::new(Prefix::U8)
    }

    /// A length of two bytes in network order.
    #[must_use]
    pub fn u16() -> Self {
        Self::new(Prefix::U16)
    }

    /// A length of four bytes in network order.
    #[must_use]
    pub fn u32() -> Self {
        Self::new(Prefix::U32)
    }

    /// A length of one to five bytes: unsigned LEB128, as of Protocol Buffers. Only the shortest
    /// form of a length is accepted.
    #[must_use]
    pub fn varint() -> Self {
        Self::new(Prefix::Varint)
    }

    /// The length's least significant byte comes first. A varint is so anyway.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little_endian = true;
        self
    }

    /// The longest message accepted, in bytes; at most what the prefix can express. Messages sent
    /// may be longer.
    #[must_use]
    pub fn max(mut self, max: usize) -> Self {
        let most = self.prefix.max();
        self.max = u32::try_from(max).map_or(most, |max| max.min(most));
        self
    }

    fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            little_endian: false,
            max: DEFAULT_MAX.min(prefix.max()),
        }
    }

    /// The prefix at the start of `data`: its width, and the length it gives. `None` if it is
    /// not all there.
    fn prefix(&self, data: &[u8]) -> Result<Option<(usize, u32)>, Error> {
        let little = self.little_endian;
        Ok(match self.prefix {
            Prefix::U8 => data.first().map(|&len| (1, u32::from(len))),
            Prefix::U16 => data.first_chunk().map(|&bytes| {
                let len = if little {
                    u16::from_le_bytes(bytes)
                } else {
                    u16::from_be_bytes(bytes)
                };
                (2, u32::from(len))
            }),
            Prefix::U32 => data.first_chunk().map(|&bytes| {
                (
                    4,
                    if little {
                        u32::from_le_bytes(bytes)
                    } else {
                        u32::from_be_bytes(bytes)
                    },
                )
            }),
            Prefix::Varint => decode_varint(data)?,
        })
    }
}

impl Codec for Length {
    type In<'a> = &'a [u8];
    type Out<'a> = [u8];
    type Error = Error;

    fn decode<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<(usize, &'a [u8])>, Error> {
        let Some((width, len)) = self.prefix(data)? else {
            return Ok(None);
        };
        if len > self.max {
            return Err(Error::TooLong { max: self.max });
        }
        let end = width + len as usize;
        Ok(data.get(width..end).map(|message| (end, message)))
    }

    fn encode(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let max = self.prefix.max();
        let len = u32::try_from(message.len()).ok().filter(|&len| len <= max);
        let len = len.ok_or(Error::TooLong { max })?;

        out.reserve(self.prefix.max_width() + message.len());
        let little = self.little_endian;
        match self.prefix {
            Prefix::U8 => out.push(len as u8),
            Prefix::U16 => {
                let len = len as u16;
                out.extend(if little {
                    len.to_le_bytes()
                } else {
                    len.to_be_bytes()
                });
            }
            Prefix::U32 => out.extend(if little {
                len.to_le_bytes()
            } else {
                len.to_be_bytes()
            }),
            Prefix::Varint => encode_varint(len, out),
        }
        out.extend_from_slice(message);
        Ok(())
    }

    fn publish(&self, data: &[u8], out: &mut Vec<u8>) {
        if let Err(error) = self.encode(data, out) {
            debug_assert!(false, "{error}");
        }
    }

    fn max_undecoded(&self) -> usize {
        self.prefix.max_width() + self.max as usize - 1
    }
}

impl Prefix {
    /// The greatest length it can express.
    const fn max(self) -> u32 {
        match self {
            Self::U8 => u8::MAX as u32,
            Self::U16 => u16::MAX as u32,
            Self::U32 | Self::Varint => u32::MAX,
        }
    }

    /// How many bytes it takes at most.
    const fn max_width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::Varint => MAX_VARINT,
        }
    }
}

/// The varint at the start of `data`: its width and value. `None` if its end is not there.
fn decode_varint(data: &[u8]) -> Result<Option<(usize, u32)>, Error> {
    let mut value = 0;
    for (at, &byte) in data.iter().take(MAX_VARINT).enumerate() {
        // The last one has room for 4 bits, and none for the sign that more follow.
        if at == MAX_VARINT - 1 && byte > 0x0F {
            return Err(Error::BadVarint);
        }
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let minimal = at == 0 || byte != 0;
            return if minimal {
                Ok(Some((at + 1, value)))
            } else {
                Err(Error::BadVarint)
            };
        }
    }
    Ok(None)
}

fn encode_varint(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "message longer than {max} bytes"),
            Self::BadVarint => f.write_str("length is not a minimal varint of 32 bits"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::proto::line::tests::check;

    fn all() -> [Length; 6] {
        [
            Length::u8(),
            Length::u16(),
            Length::u16().little_endian(),
            Length::u32(),
            Length::u32().little_endian(),
            Length::varint(),
        ]
    }

    #[test]
    fn sizes() {
        assert!(size_of::<Length>() <= 16);
        assert!(size_of::<Error>() <= 16);
    }

    #[test]
    fn prefixes() {
        let long = [b'x'; 300];
        for (codec, len, prefix) in [
            (Length::u8(), 2, &[2][..]),
            (Length::u16(), 300, &[1, 44]),
            (Length::u16().little_endian(), 300, &[44, 1]),
            (Length::u32(), 300, &[0, 0, 1, 44]),
            (Length::u32().little_endian(), 300, &[44, 1, 0, 0]),
            (Length::varint(), 0, &[0]),
            (Length::varint(), 127, &[0x7F]),
            (Length::varint(), 128, &[0x80, 0x01]),
            // The example of the Protocol Buffers documentation, "Encoding".
            (Length::varint(), 300, &[0xAC, 0x02]),
        ] {
            let mut stream = b"before".to_vec();
            codec.encode(&long[..len], &mut stream).unwrap();
            let stream = stream.strip_prefix(b"before").unwrap();
            assert_eq!(stream.strip_suffix(&long[..len]), Some(prefix), "{codec:?}");
            check(&codec, stream, &[&long[..len]], None);
            check(&codec, &stream[..stream.len() - 1], &[], None);
        }
    }

    #[test]
    fn maximum() {
        for codec in all() {
            let codec = codec.max(3);
            let mut stream = Vec::new();
            for message in [&b"ab"[..], b"abc", b"", b"abcd"] {
                codec.encode(message, &mut stream).unwrap();
            }
            let error = Some(Error::TooLong { max: 3 });
            check(&codec, &stream, &[b"ab", b"abc", b""], error);
            // The header is enough.
            check(
                &codec,
                &stream[..stream.len() - 4],
                &[b"ab", b"abc", b""],
                error,
            );
        }
        for (codec, max) in [
            (Length::u8(), 255),
            (Length::u16(), 65_535),
            (Length::u32(), 1 << 20),
            (Length::varint(), 1 << 20),
            (Length::u8().max(256), 255),
            (Length::u16().max(usize::MAX), 65_535),
            (Length::u32().max(usize::MAX), u32::MAX),
            (Length::varint().max(1 << 32), u32::MAX),
        ] {
            assert_eq!(codec.max, max, "{codec:?}");
        }
    }

    #[test]
    fn prefix_cannot_express() {
        for (codec, max) in [(Length::u8(), 255), (Length::u16(), 65_535)] {
            let mut out = b"before".to_vec();
            let message = vec![0; max as usize + 1];
            assert_eq!(
                codec.encode(&message, &mut out),
                Err(Error::TooLong { max })
            );
            assert_eq!(out, b"before");
            assert_eq!(codec.encode(&message[1..], &mut out), Ok(()));
        }
    }

    #[test]
    fn bad_varints() {
        let huge = Some(Error::TooLong { max: 1 << 20 });
        let bad = Some(Error::BadVarint);
        for (stream, error) in [
            (&[0x80][..], None),
            (&[0xFF, 0xFF, 0xFF, 0xFF], None),
            (&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F], huge),
            (&[0xFF, 0xFF, 0xFF, 0xFF, 0x10], bad),
            (&[0x80, 0x80, 0x80, 0x80, 0x80], bad),
            (&[0x80, 0x00], bad),
            (&[0x81, 0x80, 0x00], bad),
            (&[0x81, 0x80, 0x80, 0x80, 0x00], bad),
        ] {
            check(&Length::varint(), stream, &[], error);
        }
    }

    #[test]
    fn errors_say_why() {
        let too_long = Error::TooLong { max: 255 };
        assert_eq!(too_long.to_string(), "message longer than 255 bytes");
        let bad = Error::BadVarint;
        assert_eq!(bad.to_string(), "length is not a minimal varint of 32 bits");
    }

    proptest! {
        #[test]
        fn varints_round_trip(bits in 0..32, value: u32) {
            let value = value >> bits;
            let mut out = Vec::new();
            encode_varint(value, &mut out);
            for len in 0..out.len() {
                prop_assert_eq!(decode_varint(&out[..len]), Ok(None));
            }
            prop_assert_eq!(decode_varint(&out), Ok(Some((out.len(), value))));
        }

        #[test]
        fn messages_round_trip(sent in vec(vec(any::<u8>(), 0..20), 0..6)) {
            let messages: Vec<_> = sent.iter().map(Vec::as_slice).collect();
            for codec in all() {
                let mut stream = Vec::new();
                for message in &messages {
                    codec.encode(message, &mut stream).unwrap();
                }
                check(&codec, &stream, &messages, None);
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(mut bytes in vec(any::<u8>(), 0..20)) {
            for mut codec in all() {
                if let Ok(Some((used, message))) = codec.decode(&mut bytes) {
                    prop_assert!((1..=20).contains(&used) && message.len() < used);
                }
            }
        }
    }
}
