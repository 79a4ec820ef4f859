//! Bodies: where they end, and what of the bytes is theirs.

use core::ops::Range;

use super::Error;

/// Extensions of chunks, all those of a body together, and trailers. hyper and Node stop at 16 KiB
/// as well (CVE-2024-22019).
const MOST_EXTRA: u32 = 16 * 1024;

/// Hexadecimal digits of a chunk's size: no 64-bit number has more.
const MOST_DIGITS: u8 = 16;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Fixed(u64),
    /// In chunks, each with its size before it; a chunk of no bytes is the last.
    Chunked,
    /// All that comes until the connection is closed. Responses only.
    UntilClose,
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many bytes were taken, framing included.
    pub used: usize,
    /// Which of them are the body's.
    pub data: Range<usize>,
    /// The body ends with it.
    pub end: bool,
}

/// Takes a body out of its framing, piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    state: State,
    /// Bytes of the present chunk, or of the body, that are still to come.
    left: u64,
    digits: u8,
    extensions: u32,
    trailers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ended,
    Fixed,
    UntilClose,
    Size,
    /// Behind a semicolon.
    ExtensionName,
    Extension,
    /// Behind the CR of a size.
    SizeEnd,
    Data,
    /// Where the CR behind a chunk's data is to come.
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Line,
    /// In the name of a trailer.
    Name,
    /// Behind its colon.
    Value,
    TrailerLf,
    LastLf,
}

impl Body {
    /// Before the first byte of a body.
    pub const fn new(length: Length) -> Self {
        let (state, left) = match length {
            Length::None | Length::Fixed(0) => (State::Ended, 0),
            Length::Fixed(length) => (State::Fixed, length),
            Length::Chunked => (State::Size, 0),
            Length::UntilClose => (State::UntilClose, 0),
        };
        Self {
            state,
            left,
            digits: 0,
            extensions: 0,
            trailers: 0,
        }
    }

    /// True if nothing more belongs to it.
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The connection was closed by the other side. True if that is the end of the body, false if
    /// it was cut off.
    pub const fn close(&mut self) -> bool {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Ended;
        }
        self.is_ended()
    }

    /// The next piece of the body that `data` begins with. Unless that is its end, to be called
    /// again with what follows the bytes used; no piece and none used means that more has to come.
    ///
    /// # Errors
    ///
    /// When a chunk is malformed. Nothing behind it can be understood.
    pub fn decode(&mut self, data: &[u8]) -> Result<Part, Error> {
        let mut used = 0;
        while let Some(byte) = data.get(used) {
            match self.state {
                State::Fixed | State::Data => return Ok(self.take(used, data.len() - used)),
                State::UntilClose => return Ok(self.part(data.len(), used..data.len())),
                State::Ended => break,
                _ => self.step(*byte)?,
            }
            used += 1;
        }
        Ok(self.part(used, used..used))
    }

    const fn part(&self, used: usize, data: Range<usize>) -> Part {
        Part {
            used,
            data,
            end: self.is_ended(),
        }
    }

    /// Takes what is there of a known number of bytes.
    fn take(&mut self, from: usize, available: usize) -> Part {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = available.min(most);
        self.left -= length as u64;
        if self.left == 0 {
            self.state = match self.state {
                State::Fixed => State::Ended,
                _ => State::DataCr,
            };
        }
        self.part(from + length, from..from + length)
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), Error> {
        self.state = match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > MOST_DIGITS {
                    return Err(Error::BadChunk);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left << 4 | u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';') if self.digits > 0 => State::ExtensionName,
            (State::ExtensionName, _) if is_token(byte) => {
                self.extensions = count(self.extensions, Error::ExtensionsTooLong)?;
                State::Extension
            }
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extensions = count(self.extensions, Error::ExtensionsTooLong)?;
                State::Extension
            }
            (State::SizeEnd, b'\n') => {
                self.digits = 0;
                match self.left {
                    0 => State::Line,
                    _ => State::Data,
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Line, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => State::Ended,
            (State::Line | State::Name, _) if is_token(byte) => {
                self.trailers = count(self.trailers, Error::TrailersTooLong)?;
                State::Name
            }
            (State::Name, b':') => State::Value,
            (State::Value, b'\r') => State::TrailerLf,
            (State::Value, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailers = count(self.trailers, Error::TrailersTooLong)?;
                State::Value
            }
            (State::TrailerLf, b'\n') => State::Line,
            (State::Line | State::Name | State::Value | State::TrailerLf, _) => {
                return Err(Error::BadField);
            }
            _ => return Err(Error::BadChunk),
        };
        Ok(())
    }
}

fn count(extra: u32, error: Error) -> Result<u32, Error> {
    match extra < MOST_EXTRA {
        true => Ok(extra + 1),
        false => Err(error),
    }
}

/// What names of fields are made of: RFC 9110, section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a body in pieces, and returns it with what was left over.
    fn feed(length: Length, pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let (mut body, mut whole, mut pieces) = (Body::new(length), Vec::new(), pieces.iter());
        while let Some(piece) = pieces.next() {
            let mut rest = *piece;
            loop {
                let part = body.decode(rest)?;
                whole.extend_from_slice(&rest[part.data]);
                rest = &rest[part.used..];
                if part.end {
                    let left = [rest, &pieces.copied().collect::<Vec<_>>().concat()].concat();
                    return Ok((whole, Some(left)));
                }
                if part.used == 0 || rest.is_empty() {
                    break;
                }
            }
        }
        Ok((whole, None))
    }

    const CHUNKED: &[u8] =
        b"5;a=\"b\"\r\nhello\r\n001\r\n \r\nA\r\nworld\r\n\r\n!\r\n0\r\nA: b\r\nC:\r\n\r\n";
    const TEXT: &[u8] = b"hello world\r\n\r\n!";

    #[test]
    fn chunks_are_put_together_however_they_arrive() {
        let stream = [CHUNKED, b"GET"].concat();
        let expected = Ok((TEXT.to_vec(), Some(b"GET".to_vec())));
        assert_eq!(feed(Length::Chunked, &[&stream]), expected);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(feed(Length::Chunked, &bytes), expected, "byte by byte");
        for at in 0..stream.len() {
            let (one, two) = stream.split_at(at);
            assert_eq!(
                feed(Length::Chunked, &[one, two]),
                expected,
                "split at {at}"
            );
        }
        for end in 0..CHUNKED.len() {
            assert_eq!(feed(Length::Chunked, &[&stream[..end]]).unwrap().1, None);
        }
    }

    #[test]
    fn a_fixed_length_is_kept() {
        for (pieces, left) in [
            (&[&b"hello"[..]][..], Some(vec![])),
            (&[b"he", b"", b"llo!"], Some(b"!".to_vec())),
            (&[b"hell"], None),
        ] {
            let fed = feed(Length::Fixed(5), pieces).unwrap();
            assert_eq!(
                (fed.0, fed.1),
                (b"hello"[..5 - usize::from(left.is_none())].to_vec(), left)
            );
        }
        let mut none = Body::new(Length::None);
        assert!(none.is_ended() && none.close());
        assert_eq!(
            none.decode(b"GET"),
            Ok(Part {
                used: 0,
                data: 0..0,
                end: true
            })
        );
    }

    #[test]
    fn the_close_ends_one_kind_of_body_and_cuts_the_others() {
        let mut body = Body::new(Length::UntilClose);
        assert_eq!(
            body.decode(b"abc"),
            Ok(Part {
                used: 3,
                data: 0..3,
                end: false
            })
        );
        assert!(body.close() && body.is_ended());
        assert!(!Body::new(Length::Fixed(1)).close());
        assert!(!Body::new(Length::Chunked).close());
    }

    #[test]
    fn a_chunk_has_one_reading() {
        for bad in [
            &b"\r\n"[..],
            b";a\r\n",
            b"0x5\r\n",
            b"+5\r\n",
            b"-1\r\n",
            b" 5\r\n",
            b"5 \r\n",
            b"5\n",
            b"5;\r\n",
            b"5; a\r\n",
            b"5;=a\r\n",
            b"5;a\n",
            b"5;a\0\r\n",
            b"5\r\r\n",
            b"5_0\r\n",
            b"g\r\n",
            b"10000000000000000\r\n",
            b"00000000000000001\r\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1\r\na\rX",
        ] {
            assert_eq!(
                feed(Length::Chunked, &[bad]),
                Err(Error::BadChunk),
                "{}",
                bad.escape_ascii()
            );
            let bytes: Vec<_> = bad.chunks(1).collect();
            assert_eq!(
                feed(Length::Chunked, &bytes),
                Err(Error::BadChunk),
                "{}",
                bad.escape_ascii()
            );
        }
        let most = feed(Length::Chunked, &[b"ffffffffffffffff\r\nabc"]);
        assert_eq!(most, Ok((b"abc".to_vec(), None)));
    }

    #[test]
    fn trailers_are_fields_or_nothing() {
        for bad in [
            &b"0\r\nGET / HTTP/1.1\r\n"[..],
            b"0\r\nA\r\n\r\n",
            b"0\r\n: b\r\n\r\n",
            b"0\r\n A: b\r\n\r\n",
            b"0\r\nA : b\r\n\r\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\nA: b\r\r\n\r\n",
            b"0\r\nA: \0\r\n\r\n",
        ] {
            assert_eq!(
                feed(Length::Chunked, &[bad]),
                Err(Error::BadField),
                "{}",
                bad.escape_ascii()
            );
        }
        assert_eq!(feed(Length::Chunked, &[b"0\r\n\rX"]), Err(Error::BadChunk));
    }

    #[test]
    fn what_is_thrown_away_is_bounded() {
        let most = MOST_EXTRA as usize;
        let extension = |length| [&b"1;"[..], &vec![b'a'; length], b"\r\nx\r\n0\r\n\r\n"].concat();
        assert!(
            feed(Length::Chunked, &[&extension(most)])
                .unwrap()
                .1
                .is_some()
        );
        let error = feed(Length::Chunked, &[&extension(most + 1)]);
        assert_eq!(error, Err(Error::ExtensionsTooLong));
        let many = b"1;a\r\nx\r\n".repeat(most + 1);
        assert_eq!(
            feed(Length::Chunked, &[&many]),
            Err(Error::ExtensionsTooLong)
        );
        let trailers = [&b"0\r\n"[..], &b"A:b\r\n".repeat(most)].concat();
        assert_eq!(
            feed(Length::Chunked, &[&trailers]),
            Err(Error::TrailersTooLong)
        );
    }
}
