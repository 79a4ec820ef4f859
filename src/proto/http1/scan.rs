//! Where a head ends.

use super::Error;

/// Looks for the empty line that ends a head. Each byte is looked at once, however many pieces the
/// head arrives in.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// Bytes looked at.
    looked: usize,
    /// Bytes of the present line, its CR not counted.
    line: usize,
    /// Lines that have ended.
    lines: usize,
    after_cr: bool,
    max: usize,
}

impl Scan {
    /// For a head of at most `max` bytes, its empty line included.
    pub const fn new(max: usize) -> Self {
        Self {
            looked: 0,
            line: 0,
            lines: 0,
            after_cr: false,
            max,
        }
    }

    /// The length of the head that `data` begins with, its empty line included; `None` if that is
    /// not there yet. The next call brings the same bytes with more behind them.
    ///
    /// # Errors
    ///
    /// At a NUL, a CR without LF, a LF without CR, and at `max` bytes without an end: lenient
    /// readers disagree about all of these.
    pub fn find_end(&mut self, data: &[u8]) -> Result<Option<usize>, Error> {
        let end = data.len().min(self.max);
        let data = data.get(..end).unwrap_or_default();
        while let Some(rest) = data.get(self.looked..).filter(|rest| !rest.is_empty()) {
            if !self.after_cr {
                let plain = plain(rest);
                self.looked += plain;
                self.line += plain;
            }
            let Some(&byte) = data.get(self.looked) else {
                break;
            };
            self.looked += 1;
            match (self.after_cr, byte) {
                (true, b'\n') if self.line == 0 && self.lines > 0 => {
                    return Ok(Some(self.looked));
                }
                (true, b'\n') => {
                    (self.after_cr, self.line) = (false, 0);
                    self.lines += 1;
                }
                (false, b'\r') => self.after_cr = true,
                (true, _) => return Err(Error::BadByte(b'\r')),
                (false, 0 | b'\n') => return Err(Error::BadByte(byte)),
                (false, _) => self.line += 1,
            }
        }
        match (self.looked == self.max, self.lines) {
            (false, _) => Ok(None),
            (true, 0) => Err(Error::TargetTooLong),
            (true, _) => Err(Error::HeadTooLong),
        }
    }

    /// Bytes looked at so far.
    pub const fn looked(&self) -> usize {
        self.looked
    }

    /// True if nothing of a head has arrived.
    pub const fn is_fresh(&self) -> bool {
        self.looked == 0
    }
}

/// How many bytes at the front need no second look: those above CR, eight at a time.
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    let mut length = 0;
    for eight in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        // The high bit of the first byte that is not above it, and perhaps of some behind that.
        let low = word.wrapping_sub(EACH * 0x0e) & !word & (EACH * 0x80);
        if low != 0 {
            return length + low.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().take_while(|byte| **byte > b'\r').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn finds_the_end_however_the_bytes_arrive() {
        let stream = [HEAD, b"body\r\n\r\n"].concat();
        assert_eq!(Scan::new(100).find_end(&stream), Ok(Some(HEAD.len())));
        let mut scan = Scan::new(100);
        for end in 0..HEAD.len() {
            assert_eq!(scan.find_end(&stream[..end]), Ok(None), "at {end}");
        }
        assert_eq!(scan.find_end(&stream), Ok(Some(HEAD.len())));
        for at in 0..HEAD.len() {
            let mut scan = Scan::new(100);
            assert_eq!(scan.find_end(&stream[..at]), Ok(None));
            assert_eq!(
                scan.find_end(&stream),
                Ok(Some(HEAD.len())),
                "split at {at}"
            );
        }
    }

    #[test]
    fn refuses_what_readers_disagree_about() {
        for (data, byte) in [
            (&b"GET / HTTP/1.1\nHost: a\n\n"[..], b'\n'),
            (b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", b'\r'),
            (b"GET / HTTP/1.1\r\r\n\r\n", b'\r'),
            (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 0),
        ] {
            let expected = Err(Error::BadByte(byte));
            assert_eq!(Scan::new(100).find_end(data), expected, "{data:?}");
            let mut scan = Scan::new(100);
            let first = (1..=data.len()).find_map(|end| scan.find_end(&data[..end]).err());
            assert_eq!(first, Some(Error::BadByte(byte)), "{data:?} byte by byte");
        }
    }

    #[test]
    fn passes_over_what_needs_no_second_look() {
        for at in 0..40 {
            for byte in 0..=255 {
                let mut bytes = vec![b'a'; 40];
                bytes[at] = byte;
                let expected = if byte > b'\r' { 40 } else { at };
                assert_eq!(plain(&bytes), expected, "{byte} at {at}");
                // Whatever is behind it.
                bytes[at..].fill(byte);
                assert_eq!(plain(&bytes), expected, "{byte} from {at}");
            }
        }
    }

    #[test]
    fn ends_at_the_limit() {
        let long = [b"GET /".as_slice(), &[b'a'; 200]].concat();
        assert_eq!(Scan::new(100).find_end(&long), Err(Error::TargetTooLong));
        let long = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 200]].concat();
        assert_eq!(Scan::new(100).find_end(&long), Err(Error::HeadTooLong));
        assert_eq!(Scan::new(HEAD.len()).find_end(HEAD), Ok(Some(HEAD.len())));
        let short = Scan::new(HEAD.len() - 1).find_end(HEAD);
        assert_eq!(short, Err(Error::HeadTooLong));
    }

    /// Sixteen thousand bytes one by one are sixteen thousand looks, not a hundred million.
    #[test]
    fn looks_at_each_byte_once() {
        let head = [
            b"GET / HTTP/1.1\r\nA: ".as_slice(),
            &[b'a'; 16_000],
            b"\r\n\r\n",
        ]
        .concat();
        let mut scan = Scan::new(20_000);
        let mut looks = 0;
        for end in 1..=head.len() {
            let before = scan.looked();
            let found = scan.find_end(&head[..end]).unwrap();
            looks += scan.looked() - before;
            assert_eq!(found.is_some(), end == head.len());
        }
        assert_eq!(looks, head.len());
    }
}
