//! What the heads of requests and responses have in common: fields, and what they say of the body.

use core::fmt;
use core::mem::MaybeUninit;

use super::{Error, Length};

/// Fields of a head at most. Node's servers and hyper stop at 100 as well.
pub const MAX_HEADERS: usize = 100;

/// The version of a message. Anything else is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Where the fields of a head are entered while it is looked at. They borrow from its bytes.
pub struct Space<'a>(pub(super) [MaybeUninit<httparse::Header<'a>>; MAX_HEADERS]);

impl Space<'_> {
    /// For [`MAX_HEADERS`] fields.
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_HEADERS])
    }
}

impl Default for Space<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Space<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

/// One field: a name, of which case does not matter, and a value without the space around it.
#[derive(Clone, Copy)]
pub struct Header<'a>(httparse::Header<'a>);

impl<'a> Header<'a> {
    /// The name as it was sent.
    pub const fn name(&self) -> &'a str {
        self.0.name
    }

    /// The value.
    pub const fn value(&self) -> &'a [u8] {
        self.0.value
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.value().escape_ascii())
    }
}

/// The fields of a head, in the order in which they were sent.
#[derive(Clone, Copy)]
pub struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    pub(super) const fn new(headers: &'a [httparse::Header<'a>]) -> Self {
        Self(headers)
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = Header<'a>> + Clone {
        self.0.iter().map(|header| Header(*header))
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The values of all fields of this name.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The value of the first field of this name.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The same, if it is ASCII.
    pub fn text(self, name: &str) -> Option<&'a str> {
        let value = self.get(name)?;
        value
            .is_ascii()
            .then_some(core::str::from_utf8(value).ok())?
    }

    /// True if the comma-separated lists of this name contain `token`, in any case.
    pub fn has_token(self, name: &str, token: &str) -> bool {
        let is_it = |item: &[u8]| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes());
        self.all(name)
            .any(|value| value.split(|byte| *byte == b',').any(is_it))
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What httparse found wrong with a head.
pub(super) const fn refused(error: httparse::Error) -> Error {
    match error {
        httparse::Error::TooManyHeaders => Error::TooManyFields,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Error::BadField,
        httparse::Error::Version => Error::UnknownVersion,
        _ => Error::BadLine,
    }
}

pub(super) const fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

/// The fields that say how a message is framed, found in one pass.
#[derive(Default)]
pub(super) struct Framing<'a> {
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) connection_upgrade: bool,
    pub(super) upgrade: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) expect: Option<&'a [u8]>,
    transfer_encoding: bool,
}

impl<'a> Framing<'a> {
    /// Reads them.
    pub(super) fn of(headers: Headers<'a>, version: Version) -> Result<Self, Error> {
        let mut framing = Self::default();
        for header in headers.0 {
            // Most fields are told apart by the length of their names.
            match header.name.len() {
                4 if is(header, "host") => once(&mut framing.host, header.value, Error::BadHost)?,
                6 if is(header, "expect") => framing.expect = Some(header.value),
                7 if is(header, "upgrade") => framing.upgrade = Some(header.value),
                10 if is(header, "connection") => framing.connection(header.value),
                14 if is(header, "content-length") => {
                    let length = decimal(header.value).ok_or(Error::BadContentLength)?;
                    once(&mut framing.content_length, length, Error::BadContentLength)?;
                }
                17 if is(header, "transfer-encoding") => {
                    if framing.transfer_encoding || version == Version::Http10 {
                        return Err(Error::BadTransferEncoding);
                    }
                    framing.transfer_encoding = true;
                    framing.chunked = is_chunked(header.value)?;
                }
                _ => {}
            }
        }
        if framing.transfer_encoding && framing.content_length.is_some() {
            return Err(Error::BadTransferEncoding);
        }
        Ok(framing)
    }

    fn connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',') {
            match token.trim_ascii() {
                token if token.eq_ignore_ascii_case(b"close") => self.close = true,
                token if token.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                token if token.eq_ignore_ascii_case(b"upgrade") => self.connection_upgrade = true,
                _ => {}
            }
        }
    }

    /// The body as the fields tell it; `otherwise` if they do not.
    pub(super) const fn body(&self, otherwise: Length) -> Length {
        match (self.chunked, self.content_length) {
            (true, _) => Length::Chunked,
            (false, Some(0)) => Length::None,
            (false, Some(length)) => Length::Fixed(length),
            (false, None) => otherwise,
        }
    }

    /// RFC 9112, section 9.3.
    pub(super) const fn keeps_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
        }
    }

    /// The protocol that the peer would rather speak from here on.
    pub(super) fn upgrade(&self, version: Version) -> Option<&'a str> {
        let asked = self.connection_upgrade && version == Version::Http11;
        let value = self.upgrade.filter(|_| asked)?;
        core::str::from_utf8(value).ok()
    }
}

/// Enters what may be there only once.
fn once<T>(place: &mut Option<T>, value: T, error: Error) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(error),
    }
}

fn is(header: &httparse::Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

/// Digits and nothing else, below 2^64.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// `chunked` and nothing else. What is well-formed but more than that is not supported; what does
/// not end with `chunked` has no end at all (RFC 9112, section 6.3).
fn is_chunked(value: &[u8]) -> Result<bool, Error> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_last = |coding: Option<&[u8]>| {
        coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
    };
    let well_formed = is_last(codings.next_back())
        && codings.all(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked"));
    match well_formed {
        true => Err(Error::UnknownCoding),
        false => Err(Error::BadTransferEncoding),
    }
}
