//! Lines: messages that end with a delimiter.
//!
//! [`Lines`] finds where a line ends and leaves the terminator off; it knows nothing of character
//! sets, quoting or continuation. The bytes come and go as they are.
//!
//! ```text
//! Lines::default()                   LF, or CR LF as well; up to 64 KiB
//! Lines::default().crlf().max(998)   as in mail
//! Lines::default().delimiter(0)      strings of C
//! ```

use std::fmt;

use super::Codec;

/// The longest line unless set otherwise, in bytes: the limit of Python's asyncio.StreamReader.
const DEFAULT_MAX: u32 = 64 * 1024;

/// Messages that end with a delimiter.
///
/// What arrives is a line without its terminator; what is sent must not contain the terminator,
/// else the other side reads several lines. That is not checked.
#[derive(Clone, Debug)]
pub struct Lines {
    /// How many bytes of the undecoded data are known not to end a line.
    scanned: usize,
    /// The longest line accepted, in bytes and without its terminator.
    max: u32,
    terminator: Terminator,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The line is longer than is accepted.
    TooLong {
        /// What is accepted, in bytes and without the terminator.
        max: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminator {
    /// LF; a CR before it is part of it.
    LfOrCrLf,
    CrLf,
    Byte(u8),
}

impl Lines {
    /// Lines that end with `delimiter` and with nothing else: `delimiter(b'\n')` leaves a CR
    /// before it in the line.
    #[must_use]
    pub const fn delimiter(mut self, delimiter: u8) -> Self {
        self.terminator = Terminator::Byte(delimiter);
        self
    }

    /// Lines that end with CR LF only; either of them alone is part of the line.
    #[must_use]
    pub const fn crlf(mut self) -> Self {
        self.terminator = Terminator::CrLf;
        self
    }

    /// The longest line accepted, in bytes and without its terminator; at most `u32::MAX`.
    /// Lines sent may be longer.
    #[must_use]
    pub fn max(mut self, max: usize) -> Self {
        self.max = u32::try_from(max).unwrap_or(u32::MAX);
        self
    }

    const fn too_long(&self) -> Error {
        Error::TooLong { max: self.max }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            scanned: 0,
            max: DEFAULT_MAX,
            terminator: Terminator::LfOrCrLf,
        }
    }
}

impl Codec for Lines {
    type In<'a> = &'a [u8];
    type Out<'a> = [u8];
    type Error = Error;

    fn decode<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<(usize, &'a [u8])>, Error> {
        let max = self.max as usize;
        // With one byte more than may wait it is certain whether the line is too long.
        let window = &data[..data.len().min(self.max_undecoded() + 1)];
        let end = self.terminator.find(window, self.scanned);
        let line = self
            .terminator
            .strip_cr(&window[..end.unwrap_or(window.len())]);
        if line.len() > max {
            return Err(self.too_long());
        }
        self.scanned = if end.is_some() { 0 } else { window.len() };
        Ok(end.map(|end| (end + 1, line)))
    }

    /// The last line needs no terminator. There is none if there are no bytes.
    fn decode_eof<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        if data.len() > self.max as usize {
            return Err(self.too_long());
        }
        self.scanned = 0;
        Ok((!data.is_empty()).then_some(&*data))
    }

    fn encode(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        out.reserve(message.len() + 2);
        out.extend_from_slice(message);
        match self.terminator {
            Terminator::LfOrCrLf => out.push(b'\n'),
            Terminator::CrLf => out.extend_from_slice(b"\r\n"),
            Terminator::Byte(delimiter) => out.push(delimiter),
        }
        Ok(())
    }

    fn publish(&self, data: &[u8], out: &mut Vec<u8>) {
        if let Err(error) = self.encode(data, out) {
            debug_assert!(false, "{error}");
        }
    }

    fn max_undecoded(&self) -> usize {
        self.max as usize + usize::from(self.terminator.has_cr())
    }
}

impl Terminator {
    /// Where the first terminator's last byte is; none is before `from`.
    fn find(self, data: &[u8], from: usize) -> Option<usize> {
        let last = if let Self::Byte(delimiter) = self {
            delimiter
        } else {
            b'\n'
        };
        let mut from = from;
        loop {
            let at = from + data.get(from..)?.iter().position(|&byte| byte == last)?;
            if self != Self::CrLf || data[..at].ends_with(b"\r") {
                return Some(at);
            }
            from = at + 1;
        }
    }

    /// `line` without the CR at its end, if that is a part of the terminator or can become one.
    fn strip_cr(self, line: &[u8]) -> &[u8] {
        match line {
            [line @ .., b'\r'] if self.has_cr() => line,
            _ => line,
        }
    }

    /// Whether the terminator may begin with a CR.
    const fn has_cr(self) -> bool {
        !matches!(self, Self::Byte(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "line longer than {max} bytes"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
pub(in crate::proto) mod tests {
    use std::fmt::Debug;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// All messages of a stream that arrives in `pieces`, and the error that ended it. Does as a
    /// connection does: keeps what is undecoded and presents it again with more behind it.
    fn decode_all<'p, C>(
        codec: &C,
        pieces: impl IntoIterator<Item = &'p [u8]>,
    ) -> (Vec<Vec<u8>>, Option<C::Error>)
    where
        C: for<'a> Codec<In<'a> = &'a [u8]>,
    {
        let mut codec = codec.clone();
        let mut undecoded = Vec::new();
        let mut messages = Vec::new();
        for piece in pieces {
            undecoded.extend_from_slice(piece);
            loop {
                let used = match codec.decode(&mut undecoded) {
                    Ok(Some((used, message))) => {
                        messages.push(message.to_vec());
                        used
                    }
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                };
                undecoded.drain(..used);
            }
            assert!(undecoded.len() <= codec.max_undecoded());
        }
        match codec.decode_eof(&mut undecoded) {
            Ok(last) => messages.extend(last.map(<[u8]>::to_vec)),
            Err(error) => return (messages, Some(error)),
        }
        (messages, None)
    }

    /// Checks what a stream decodes to: whole, byte by byte, and cut in two at every place.
    pub(in crate::proto) fn check<C>(
        codec: &C,
        stream: &[u8],
        messages: &[&[u8]],
        error: Option<C::Error>,
    ) where
        C: for<'a> Codec<In<'a> = &'a [u8], Error: PartialEq> + Debug,
    {
        let messages: Vec<_> = messages.iter().map(|message| message.to_vec()).collect();
        let expected = (messages, error);
        assert_eq!(
            decode_all(codec, stream.chunks(1)),
            expected,
            "{codec:?} {stream:?}"
        );
        for middle in 0..=stream.len() {
            let (head, tail) = stream.split_at(middle);
            let decoded = decode_all(codec, [head, tail]);
            assert_eq!(decoded, expected, "{codec:?} {head:?} {tail:?}");
        }
    }

    #[test]
    fn sizes() {
        assert!(size_of::<Lines>() <= 16);
        assert!(size_of::<Error>() <= 16);
    }

    #[test]
    fn terminators() {
        let lines = Lines::default();
        check(&lines, b"", &[], None);
        check(&lines, b"\n", &[b""], None);
        check(&lines, b"\r\n\n", &[b"", b""], None);
        check(&lines, b"a\nbc\r\nd\r\r\n", &[b"a", b"bc", b"d\r"], None);
        check(&lines, b"a\rb\n\rc", &[b"a\rb", b"\rc"], None);
        check(&lines, b"a\r", &[b"a\r"], None);

        let crlf = Lines::default().crlf();
        check(&crlf, b"\r\n", &[b""], None);
        check(
            &crlf,
            b"a\nb\rc\r\n\n\r\nd\r\r\n",
            &[b"a\nb\rc", b"\n", b"d\r"],
            None,
        );
        check(&crlf, b"a\r\nb\n", &[b"a", b"b\n"], None);

        let nul = Lines::default().delimiter(0);
        check(&nul, b"a\0\r\n\0\r\0b", &[b"a", b"\r\n", b"\r", b"b"], None);
        let lf = Lines::default().delimiter(b'\n');
        check(&lf, b"a\r\n", &[b"a\r"], None);
    }

    #[test]
    fn maximum() {
        let too_long = Some(Error::TooLong { max: 3 });
        let lines = Lines::default().max(3);
        for lines in [lines.clone(), lines.clone().crlf()] {
            check(&lines, b"ab\r\nabc\r\n", &[b"ab", b"abc"], None);
            check(&lines, b"abc", &[b"abc"], None);
            check(&lines, b"ab\r\nabcd\r\n", &[b"ab"], too_long);
            check(&lines, b"abc\r\r\n", &[], too_long);
            check(&lines, b"abc\r", &[], too_long);
        }
        check(&lines, b"ab\nabc\n", &[b"ab", b"abc"], None);
        check(&lines, b"abc\nabcd\n", &[b"abc"], too_long);
        let nul = lines.clone().delimiter(0);
        check(&nul, b"ab\0abc\0abc", &[b"ab", b"abc", b"abc"], None);
        check(&nul, b"abc\0abcd\0", &[b"abc"], too_long);
        check(&nul, b"abc\r\0", &[], too_long);
        check(
            &lines.max(0),
            b"\r\n\na",
            &[b"", b""],
            Some(Error::TooLong { max: 0 }),
        );
        assert_eq!(Lines::default().max(usize::MAX).max, u32::MAX);
        assert_eq!(
            Error::TooLong { max: 8192 }.to_string(),
            "line longer than 8192 bytes"
        );
    }

    #[test]
    fn too_long_at_the_first_byte_that_shows_it() {
        let lines = Lines::default().max(3);
        for (lines, first, last) in [
            (lines.clone(), "abc", "d"),
            (lines.clone(), "abc\r", "\r"),
            (lines.clone(), "abc\r", "d"),
            (lines.clone().crlf(), "abc", "\n"),
            (lines.clone().crlf(), "abc\r", "d"),
            (lines.delimiter(0), "abc", "\r"),
        ] {
            let mut codec = lines.clone();
            let mut data = first.as_bytes().to_vec();
            assert_eq!(codec.decode(&mut data), Ok(None), "{lines:?} {first:?}");
            data.extend_from_slice(last.as_bytes());
            let too_long = Err(Error::TooLong { max: 3 });
            assert_eq!(codec.decode(&mut data), too_long, "{lines:?} {last:?}");
        }
    }

    #[test]
    fn every_byte_is_scanned_once() {
        const LEN: usize = 1 << 20;
        let mut data = vec![b'\n'; LEN];
        let mut lines = Lines::default().crlf().max(LEN);
        for len in 0..LEN {
            assert_eq!(lines.decode(&mut data[..len]), Ok(None));
            assert_eq!(lines.scanned, len);
        }
    }

    proptest! {
        #[test]
        fn round_trip(sent in vec("[a-z\r]{0,8}[a-z]|", 0..8), kind in 0..3) {
            let codec = match kind {
                0 => Lines::default(),
                1 => Lines::default().crlf(),
                _ => Lines::default().delimiter(b';'),
            };
            let mut stream = Vec::new();
            for message in &sent {
                codec.encode(message.as_bytes(), &mut stream).unwrap();
            }
            let messages: Vec<_> = sent.iter().map(|message| message.as_bytes()).collect();
            check(&codec, &stream, &messages, None);
        }

        #[test]
        fn cuts_do_not_matter(stream in vec(prop::sample::select(b"a\r\n".as_slice()), 0..40)) {
            for codec in [Lines::default(), Lines::default().crlf()] {
                let codec = codec.max(5);
                let (messages, error) = decode_all(&codec, [stream.as_slice()]);
                let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
                check(&codec, &stream, &messages, error);
            }
        }
    }
}
