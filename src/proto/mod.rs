//! Protocols as pure data: bytes in, messages out.
//!
//! Nothing here knows a socket, a clock or an I/O error. What a codec is fed may come from the
//! network, a file or a test, in pieces of any size; where a protocol needs the time, it is an
//! argument.

use std::fmt;

#[cfg(feature = "http")]
pub mod http1;
pub mod length;
pub mod line;
pub mod proxy;
pub mod raw;
pub mod text;
#[cfg(feature = "websocket")]
pub mod websocket;

/// A framing: finds messages in bytes, and makes bytes of messages.
///
/// Each connection has a clone of its own for decoding, in which a codec may remember how far it
/// has looked. Encoding uses what all connections share, so that any of them can be sent to from
/// anywhere.
///
/// See the guide in `docs/protocol-guide.md` for a codec written step by step.
pub trait Codec: Clone + 'static {
    /// What arrives. It may borrow from the bytes in which it was found.
    type In<'a>;

    /// What is sent. It may borrow too.
    type Out<'a>: ?Sized;

    /// Why bytes cannot be decoded, or a message cannot be encoded.
    type Error: Copy + fmt::Debug + fmt::Display + 'static;

    /// Finds the first message in `data`; returns it with the number of bytes that it took. `None`
    /// if it is not complete: the next call brings the same bytes with more behind them.
    ///
    /// # Errors
    ///
    /// When no bytes that may follow can make this a message. The connection is closed.
    fn decode<'a>(
        &mut self,
        data: &'a mut [u8],
    ) -> Result<Option<(usize, Self::In<'a>)>, Self::Error>;

    /// What the undecoded `data` means now that the stream has ended. By default nothing: a message
    /// that is cut off is dropped.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    fn decode_eof<'a>(&mut self, data: &'a mut [u8]) -> Result<Option<Self::In<'a>>, Self::Error> {
        let _ = data;
        Ok(None)
    }

    /// Appends the bytes of `message` to `out`.
    ///
    /// # Errors
    ///
    /// When the protocol cannot express the message. Nothing is appended.
    fn encode(&self, message: &Self::Out<'_>, out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Appends the bytes of a published payload to `out`. By default the payload as it is.
    fn publish(&self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(data);
    }

    /// The most bytes that `decode` may leave waiting for more.
    fn max_undecoded(&self) -> usize;
}
