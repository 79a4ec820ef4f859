//! No framing at all: bytes as they come.

use std::convert::Infallible;

use super::Codec;

/// Messages are whatever one read brought. TCP keeps their order and joins or splits them as it
/// likes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type In<'a> = &'a [u8];
    type Out<'a> = [u8];
    type Error = Infallible;

    fn decode<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<(usize, &'a [u8])>, Infallible> {
        Ok(Some((data.len(), data)))
    }

    fn encode(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Infallible> {
        out.extend_from_slice(message);
        Ok(())
    }

    fn max_undecoded(&self) -> usize {
        0
    }
}
