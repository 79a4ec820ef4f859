//! What is answered.

use bytes::Bytes;

use crate::proto::http1::write;

/// A response: status, fields, and a body or the beginning of one.
///
/// What a server has to say of the framing, the connection and the date is added when it is sent.
///
/// # Examples
///
/// ```
/// use switchboard::http::Response;
///
/// let made = Response::text(201, "made").field("Location", "/things/1");
/// let moved = Response::new(308).field("Location", "/new");
/// let short: Response = "hello".into();
/// # assert_eq!((made.status(), moved.status(), short.status()), (201, 308, 200));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub(super) status: u16,
    pub(super) content_type: Option<&'static str>,
    /// Further fields, as they are sent.
    pub(super) fields: Vec<u8>,
    pub(super) body: Payload,
    /// What a streamed body is going to have, if that is known.
    pub(super) length: Option<u64>,
    /// Not to be compressed: it has a coding already, or is a piece of something.
    pub(super) as_it_is: bool,
    pub(super) close: bool,
}

/// The body of a response.
#[derive(Clone, Debug, Default)]
pub(super) enum Payload {
    #[default]
    None,
    Static(&'static [u8]),
    Vec(Vec<u8>),
    Shared(Bytes),
}

impl Payload {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Static(data) => data,
            Self::Vec(data) => data,
            Self::Shared(data) => data,
        }
    }
}

impl Response {
    /// A response without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Text, as UTF-8.
    pub fn text(status: u16, text: impl Into<Body>) -> Self {
        Self::typed(status, "text/plain; charset=utf-8", text)
    }

    /// A page, as UTF-8.
    pub fn html(status: u16, page: impl Into<Body>) -> Self {
        Self::typed(status, "text/html; charset=utf-8", page)
    }

    /// JSON that somebody has written already.
    pub fn json(status: u16, json: impl Into<Body>) -> Self {
        Self::typed(status, "application/json", json)
    }

    /// A body of any type.
    pub fn typed(status: u16, content_type: &'static str, body: impl Into<Body>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            body: body.into().0,
            ..Self::default()
        }
    }

    /// The status in words, for when there is nothing else to say.
    pub fn plain(status: u16) -> Self {
        match status {
            100..=199 | 204 | 205 | 304 => Self::new(status),
            _ => Self::text(status, format!("{status} {}\n", write::reason(status))),
        }
    }

    /// Adds a field. One that would break the head, a value with a line end in it, is left out with
    /// a warning in the log; so is one about the framing, which is the server's affair.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("Content-Length") || is("Transfer-Encoding") || is("Connection") {
            log::warn!("the field {name} of a response is the server's affair, and left out");
            return self;
        }
        if is("Content-Encoding") || is("Content-Range") {
            self.as_it_is = true;
        }
        if is("Content-Type") {
            self.content_type = None;
        }
        push_field(&mut self.fields, name, value);
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into().0;
        self
    }

    /// Says how long a body is that is [streamed](super::Cx::start). Without it, it is sent in
    /// chunks.
    #[must_use]
    pub const fn length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Ends the connection after this response.
    #[must_use]
    pub const fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Appends its fields.
    #[cfg(feature = "websocket")]
    pub(crate) fn write_fields(&self, out: &mut Vec<u8>) {
        if let Some(content_type) = self.content_type {
            // It is our own.
            let _ = write::field(out, "Content-Type", content_type.as_bytes());
        }
        out.extend_from_slice(&self.fields);
    }

    /// Its body.
    #[cfg(feature = "websocket")]
    pub(crate) fn payload(&self) -> &[u8] {
        self.body.as_slice()
    }

    /// Nothing of a body is sent with these, whatever is there.
    pub(super) const fn is_bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }
}

/// What may be the body of a response.
#[derive(Clone, Debug)]
pub struct Body(pub(super) Payload);

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Payload::Static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Body {
    fn from(data: &'static [u8]) -> Self {
        Self(Payload::Static(data))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Payload::Vec(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(data: Vec<u8>) -> Self {
        Self(Payload::Vec(data))
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Self {
        Self(Payload::Shared(data))
    }
}

impl From<&'static str> for Response {
    fn from(text: &'static str) -> Self {
        Self::text(200, text)
    }
}

impl From<String> for Response {
    fn from(text: String) -> Self {
        Self::text(200, text)
    }
}

/// The status alone, in words.
impl From<u16> for Response {
    fn from(status: u16) -> Self {
        Self::plain(status)
    }
}

/// Appends a field, or leaves it out with a warning if it would break the head.
pub(in crate::net) fn push_field(fields: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !write::field(fields, name, value) {
        let (name, value) = (name.escape_debug(), value.escape_ascii());
        log::warn!("a field is left out: {name}: {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_would_break_the_head_are_left_out() {
        let response = Response::new(200)
            .field("A", "b")
            .field("C", "d\r\nE: f")
            .field("G\r\nH", "i")
            .field("content-length", "3")
            .field("Transfer-Encoding", "chunked")
            .field("connection", "close");
        assert_eq!(response.fields, b"A: b\r\n");
    }

    #[test]
    fn a_status_alone_says_what_it_means() {
        let response = Response::from(404);
        assert_eq!(response.body.as_slice(), b"404 Not Found\n");
        assert_eq!(Response::from(304).body.as_slice(), b"");
    }
}
