//! Text as it comes: UTF-8 without any framing.

use core::fmt;
use core::str;

use super::Codec;

/// UTF-8 text, in pieces of whatever arrives. A character that one read has cut in two waits for
/// its rest; bytes that are no UTF-8 are an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

/// The peer sent bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The first byte that cannot be there. None if the stream has ended within a character.
    pub byte: Option<u8>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.byte {
            Some(byte) => write!(f, "byte {byte:#04x} is out of place in UTF-8"),
            None => f.write_str("the end within a UTF-8 character"),
        }
    }
}

impl core::error::Error for Error {}

impl Codec for Text {
    type In<'a> = &'a str;
    type Out<'a> = str;
    type Error = Error;

    fn decode<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<(usize, &'a str)>, Error> {
        let (valid, broken) = match str::from_utf8(data) {
            Ok(_) => (data.len(), None),
            Err(error) => (error.valid_up_to(), error.error_len()),
        };
        if valid == 0 {
            // Up to three bytes may be the beginning of a character.
            return match broken {
                None => Ok(None),
                Some(_) => Err(Error {
                    byte: data.first().copied(),
                }),
            };
        }
        // What follows is looked at again: only then is it an error, after what came before it.
        let text = str::from_utf8(&data[..valid]).unwrap_or_default();
        Ok(Some((valid, text)))
    }

    fn decode_eof<'a>(&mut self, rest: &'a mut [u8]) -> Result<Option<&'a str>, Error> {
        if rest.is_empty() {
            return Ok(None);
        }
        Err(Error { byte: None })
    }

    fn encode(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn max_undecoded(&self) -> usize {
        3
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a driver makes of these pieces: the text, and the error that ends it.
    fn decode(pieces: &[&[u8]]) -> (String, Option<Error>) {
        let (mut text, mut held, mut codec) = (String::new(), Vec::new(), Text);
        for piece in pieces {
            held.extend_from_slice(piece);
            loop {
                match codec.decode(&mut held) {
                    Ok(None) => break,
                    Ok(Some((taken, found))) => {
                        text.push_str(found);
                        held.drain(..taken);
                        if held.is_empty() {
                            break;
                        }
                    }
                    Err(error) => return (text, Some(error)),
                }
            }
            assert!(held.len() <= Text.max_undecoded());
        }
        (text, codec.decode_eof(&mut held).err())
    }

    #[test]
    fn characters_may_be_split_anywhere() {
        let text = "aé服务端🎧z";
        let bytes = text.as_bytes();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single), (text.to_owned(), None));
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(decode(&[first, second]), (text.to_owned(), None), "at {at}");
        }
    }

    #[test]
    fn what_precedes_an_error_is_delivered() {
        for (bytes, text, byte) in [
            (&b"ok\xff"[..], "ok", Some(0xff)),
            (b"\x80", "", Some(0x80)),
            (b"\xc0\xaf", "", Some(0xc0)),
            (b"caf\xc3(", "caf", Some(0xc3)),
            (b"\xed\xa0\x80", "", Some(0xed)),
            (b"cut \xe6\x9c", "cut ", None),
        ] {
            let expected = (text.to_owned(), Some(Error { byte }));
            assert_eq!(decode(&[bytes]), expected, "{bytes:?} whole");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode(&single), expected, "{bytes:?} byte by byte");
        }
    }

    proptest! {
        /// Whatever comes, the text is what the standard library finds valid at its front.
        #[test]
        fn agrees_with_the_standard_library(bytes: Vec<u8>, step in 1usize..5) {
            let pieces: Vec<&[u8]> = bytes.chunks(step).collect();
            let (text, error) = decode(&pieces);
            let valid = match str::from_utf8(&bytes) {
                Ok(_) => bytes.len(),
                Err(error) => error.valid_up_to(),
            };
            prop_assert_eq!(text.as_bytes(), &bytes[..valid]);
            prop_assert_eq!(error.is_some(), valid < bytes.len());
        }
    }
}
