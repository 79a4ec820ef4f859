//! What is wrong with a message, and the status that says so.

use core::fmt;

/// Why a message cannot be read. Each has one [status](Self::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A byte that has no place in a head: NUL, a bare CR or LF, a control character.
    BadByte(u8),
    /// A chunk's size is no hexadecimal number, or exceeds 64 bits; or the chunk does not end
    /// where it should.
    BadChunk,
    /// `Content-Length` is no decimal number, or there are several.
    BadContentLength,
    /// A field is none: no name, a space before the colon, a continued line.
    BadField,
    /// `Host` is missing, double, or no host.
    BadHost,
    /// The first line is no request line or status line.
    BadLine,
    /// The target is no path, and no absolute URI of HTTP.
    BadTarget,
    /// `Transfer-Encoding` is double, or accompanied by `Content-Length`, or in HTTP/1.0, or does
    /// not end with `chunked`.
    BadTransferEncoding,
    /// More bytes of extensions to chunks than anybody needs.
    ExtensionsTooLong,
    /// More bytes in the head than are accepted.
    HeadTooLong,
    /// A first line longer than the whole head may be.
    TargetTooLong,
    /// More fields than are accepted.
    TooManyFields,
    /// More bytes of trailers than are accepted.
    TrailersTooLong,
    /// `Transfer-Encoding` names a coding besides `chunked`.
    UnknownCoding,
    /// `Expect` asks for something else than `100-continue`.
    UnknownExpectation,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    UnknownVersion,
}

impl Error {
    /// The status of the response to a request with this error. The connection is closed after it,
    /// since nobody knows where the next request begins.
    pub const fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::HeadTooLong | Self::TooManyFields => 431,
            Self::UnknownCoding => 501,
            Self::UnknownVersion => 505,
            Self::BadByte(_)
            | Self::BadChunk
            | Self::BadContentLength
            | Self::BadField
            | Self::BadHost
            | Self::BadLine
            | Self::BadTarget
            | Self::BadTransferEncoding
            | Self::ExtensionsTooLong
            | Self::TrailersTooLong => 400,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadByte(byte) => return write!(f, "byte {byte:#04x} has no place there"),
            Self::BadChunk => "a chunk without a proper size or end",
            Self::BadContentLength => "Content-Length is no single decimal number",
            Self::BadField => "a field without a proper name",
            Self::BadHost => "Host is missing, double, or no host",
            Self::BadLine => "the first line is malformed",
            Self::BadTarget => "the target is neither a path nor an absolute URI of HTTP",
            Self::BadTransferEncoding => "Transfer-Encoding is ambiguous",
            Self::ExtensionsTooLong => "the extensions of chunks are too long",
            Self::HeadTooLong => "the head is too long",
            Self::TargetTooLong => "the target is too long",
            Self::TooManyFields => "too many fields",
            Self::TrailersTooLong => "the trailers are too long",
            Self::UnknownCoding => "a transfer coding that is not supported",
            Self::UnknownExpectation => "an expectation that cannot be met",
            Self::UnknownVersion => "neither HTTP/1.0 nor HTTP/1.1",
        })
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stays_small() {
        assert_eq!(size_of::<Error>(), 2);
    }
}
