//! The head of a frame: RFC 6455, section 5.2.

use super::Error;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// More of the message before.
    Continuation = 0,
    /// The beginning of text, or all of it.
    Text = 1,
    /// The beginning of bytes, or all of them.
    Binary = 2,
    /// The last frame that is sent.
    Close = 8,
    /// To be answered.
    Ping = 9,
    /// The answer, or a sign of life.
    Pong = 10,
}

impl OpCode {
    /// True if it may stand between the fragments of a message, and is none itself.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message ends with it.
    pub fin: bool,
    /// The reserved bit that permessage-deflate uses.
    pub rsv1: bool,
    /// What it is.
    pub opcode: OpCode,
    /// What its payload is masked with.
    pub key: Option<[u8; 4]>,
    /// Bytes of its payload.
    pub length: u64,
}

impl Header {
    /// Bytes that a head takes at most.
    pub const MAX: usize = 14;

    /// Reads the head that `data` begins with; returns it with its length. `None` if it is not
    /// complete.
    ///
    /// # Errors
    ///
    /// At the first byte that no head can have. Whether it may be masked, and have `rsv1`, is for
    /// others to say.
    pub fn decode(data: &[u8]) -> Result<Option<(usize, Self)>, Error> {
        let Some(&first) = data.first() else {
            return Ok(None);
        };
        if first & 0x30 != 0 {
            return Err(Error::BadReserved);
        }
        let opcode = match first & 0x0f {
            0 => OpCode::Continuation,
            1 => OpCode::Text,
            2 => OpCode::Binary,
            8 => OpCode::Close,
            9 => OpCode::Ping,
            10 => OpCode::Pong,
            _ => return Err(Error::BadOpCode),
        };
        let (fin, rsv1) = (first & 0x80 != 0, first & 0x40 != 0);
        if opcode.is_control() && rsv1 {
            return Err(Error::BadReserved);
        }
        let Some(&second) = data.get(1) else {
            return Ok(None);
        };
        let (masked, short) = (second & 0x80 != 0, second & 0x7f);
        if opcode.is_control() && (!fin || short > 125) {
            return Err(Error::BadControl);
        }
        let (length, mut end) = match (short, &data[2..]) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 2),
        };
        let minimal = match short {
            126 => length > 125,
            127 => length > 0xffff && length < 1 << 63,
            _ => true,
        };
        if !minimal {
            return Err(Error::BadLength);
        }
        let mut key = None;
        if masked {
            let Some([a, b, c, d]) = data.get(end..end + 4) else {
                return Ok(None);
            };
            key = Some([*a, *b, *c, *d]);
            end += 4;
        }
        Ok(Some((
            end,
            Self {
                fin,
                rsv1,
                opcode,
                key,
                length,
            },
        )))
    }

    /// Appends the head.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mask = if self.key.is_some() { 0x80 } else { 0 };
        let bits = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6;
        let first = bits | self.opcode as u8;
        match self.length {
            length @ ..=125 => out.extend_from_slice(&[first, mask | length as u8]),
            length @ ..=0xffff => {
                out.extend_from_slice(&[first, mask | 126]);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.extend_from_slice(&[first, mask | 127]);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        if let Some(key) = self.key {
            out.extend_from_slice(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPCODES: [OpCode; 6] = [
        OpCode::Continuation,
        OpCode::Text,
        OpCode::Binary,
        OpCode::Close,
        OpCode::Ping,
        OpCode::Pong,
    ];

    #[test]
    fn heads_come_back_as_they_went() {
        for opcode in OPCODES {
            for length in [
                0,
                1,
                125,
                126,
                127,
                0xffff,
                0x1_0000,
                1 << 31,
                1 << 32,
                (1 << 63) - 1,
            ] {
                for (fin, rsv1, key) in [(true, false, None), (false, true, Some([1, 2, 3, 4]))] {
                    let header = Header {
                        fin,
                        rsv1,
                        opcode,
                        key,
                        length,
                    };
                    if opcode.is_control() && (length > 125 || !fin) {
                        continue;
                    }
                    let mut bytes = Vec::new();
                    header.encode(&mut bytes);
                    assert!(bytes.len() <= Header::MAX);
                    for end in 0..bytes.len() {
                        assert_eq!(
                            Header::decode(&bytes[..end]),
                            Ok(None),
                            "{header:?} cut at {end}"
                        );
                    }
                    let behind = [&bytes[..], b"payload"].concat();
                    assert_eq!(Header::decode(&behind), Ok(Some((bytes.len(), header))));
                }
            }
        }
    }

    #[test]
    fn what_no_head_can_have_is_refused_at_once() {
        for (bytes, error) in [
            (&b"\xa1"[..], Error::BadReserved),
            (b"\x91", Error::BadReserved),
            (b"\xc9", Error::BadReserved),
            (b"\x83", Error::BadOpCode),
            (b"\x87", Error::BadOpCode),
            (b"\x8b", Error::BadOpCode),
            (b"\x8f", Error::BadOpCode),
            (b"\x09\x80", Error::BadControl),
            (b"\x88\xfe", Error::BadControl),
            (b"\x8a\x7f", Error::BadControl),
            (b"\x82\x7e\x00\x7d", Error::BadLength),
            (
                b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
                Error::BadLength,
            ),
            (
                b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
                Error::BadLength,
            ),
            (
                b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
                Error::BadLength,
            ),
        ] {
            assert_eq!(
                Header::decode(bytes),
                Err(error),
                "{}",
                bytes.escape_ascii()
            );
        }
    }
}
