//! How a peer can break the protocol, and what it is told.

use core::fmt;

use super::Code;

/// Why a connection fails. Each has one [code](Self::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A close with one byte, or with a code that may not be sent.
    BadClose,
    /// A control frame that is fragmented, or longer than 125 bytes.
    BadControl,
    /// Compressed data that nothing inflates to.
    BadData,
    /// A length in more bytes than it needs, or above 2^63.
    BadLength,
    /// A reserved bit that no extension has given a meaning.
    BadReserved,
    /// Text that is no UTF-8.
    BadText,
    /// A continuation of nothing, or a new message within another.
    BadSequence,
    /// A client's frame without a mask, or a server's with one.
    BadMask,
    /// A frame of an unknown kind.
    BadOpCode,
    /// A message larger than is accepted.
    TooLarge,
    /// A message that was begun and does not come to its end.
    TooSlow,
    /// More fragments without a byte than anybody needs.
    TooManyEmpty,
}

impl Error {
    /// What the peer is told.
    pub const fn code(self) -> Code {
        match self {
            Self::BadText | Self::BadData => Code::INVALID_DATA,
            Self::TooLarge => Code::TOO_LARGE,
            Self::TooManyEmpty | Self::TooSlow => Code::POLICY,
            Self::BadClose
            | Self::BadControl
            | Self::BadLength
            | Self::BadReserved
            | Self::BadSequence
            | Self::BadMask
            | Self::BadOpCode => Code::PROTOCOL,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadClose => "a close with a malformed code",
            Self::BadControl => "a control frame that is fragmented or too long",
            Self::BadData => "compressed data that is none",
            Self::BadLength => "a length that is not minimal, or beyond all bounds",
            Self::BadReserved => "a reserved bit without an extension",
            Self::BadText => "text that is no UTF-8",
            Self::BadSequence => "fragments out of order",
            Self::BadMask => "a frame masked or not masked against the rule",
            Self::BadOpCode => "a frame of an unknown kind",
            Self::TooLarge => "a message that is too large",
            Self::TooSlow => "a message that does not come to its end",
            Self::TooManyEmpty => "too many empty fragments",
        })
    }
}

impl core::error::Error for Error {}
