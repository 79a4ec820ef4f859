//! UTF-8 as it arrives, in pieces cut anywhere.

/// Looks whether the pieces of a text are UTF-8, and says so at the first byte that is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// The beginning of a character that the last piece has cut.
    cut: [u8; 4],
    length: u8,
}

impl Utf8 {
    /// Takes the next piece. False if no text goes on like this.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while self.length > 0 {
            let Some((byte, behind)) = rest.split_first() else {
                return true;
            };
            rest = behind;
            self.cut[usize::from(self.length)] = *byte;
            self.length += 1;
            match core::str::from_utf8(&self.cut[..usize::from(self.length)]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(rest) else {
            return true;
        };
        let cut = &rest[error.valid_up_to()..];
        if error.error_len().is_some() {
            return false;
        }
        self.cut[..cut.len()].copy_from_slice(cut);
        self.length = cut.len() as u8;
        true
    }

    /// True if the text may end here.
    pub const fn is_complete(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which byte it is refused, if these bytes come one by one.
    fn refused(bytes: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        (0..bytes.len()).find(|at| !utf8.push(&bytes[*at..=*at]))
    }

    #[test]
    fn text_is_text_wherever_it_is_cut() {
        let text = "κόσμε, 1 € = 𝄞\u{10ffff}\u{0}".as_bytes();
        assert_eq!(refused(text), None);
        for one in 0..=text.len() {
            for two in one..=text.len() {
                let mut utf8 = Utf8::default();
                for piece in [&text[..one], &text[one..two], &text[two..]] {
                    assert!(utf8.push(piece), "{one} {two}");
                }
                assert!(utf8.is_complete());
            }
        }
    }

    #[test]
    fn the_first_byte_that_cannot_be_there_is_refused() {
        for (bytes, at) in [
            (&b"\x80"[..], 0),
            (b"a\xff", 1),
            (b"\xc0\xaf", 0),
            (b"\xc1\x81", 0),
            (b"\xe0\x80\xaf", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf0\x80\x80\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80", 0),
            (b"\xe2\x82a", 2),
            (
                b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
                12,
            ),
        ] {
            assert_eq!(refused(bytes), Some(at), "{}", bytes.escape_ascii());
            assert!(!Utf8::default().push(bytes));
            for cut in 0..=bytes.len() {
                let mut utf8 = Utf8::default();
                let all = utf8.push(&bytes[..cut]) && utf8.push(&bytes[cut..]);
                assert!(!all, "{} cut at {cut}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_no_text() {
        for text in ["é", "€", "𝄞"] {
            for end in 1..text.len() {
                let mut utf8 = Utf8::default();
                assert!(utf8.push(&text.as_bytes()[..end]) && !utf8.is_complete());
            }
        }
    }
}
