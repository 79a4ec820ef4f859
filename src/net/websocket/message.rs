//! Messages: as they arrive, and framed before they are sent.

use bytes::Bytes;

use crate::id::ConnId;
use crate::proto::websocket::{OpCode, write};
use crate::reactor::{Hub, Kind, Sent};

use super::framing::{MASKED, PLAIN, without_deflate};

/// A message, borrowed from where it was found or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Its bytes, whatever it is.
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }

    /// What it is, as publishing says it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    pub(super) const fn opcode(&self) -> OpCode {
        match self {
            Self::Text(_) => OpCode::Text,
            Self::Binary(_) => OpCode::Binary,
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self::Binary(data)
    }
}

/// A message that is framed once, for any number of receivers: as it is, and compressed as soon as
/// the first one wants that.
#[derive(Clone, Debug)]
pub struct Prepared {
    plain: Bytes,
    /// Where the payload begins in it.
    payload: usize,
    kind: Kind,
    compress: bool,
    deflated: std::cell::OnceCell<Bytes>,
}

impl Prepared {
    /// Frames a message.
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Self {
        let (message, mut out) = (message.into(), Vec::new());
        let data = message.as_bytes();
        write::frame(&mut out, message.opcode(), true, data, None);
        Self {
            payload: out.len() - data.len(),
            plain: out.into(),
            kind: message.kind(),
            compress: true,
            deflated: std::cell::OnceCell::new(),
        }
    }

    /// Sends it as it is, even where it would be compressed otherwise.
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.compress = false;
        self
    }

    pub(super) fn send(&self, hub: &mut Hub, id: ConnId) -> Sent {
        let form = match self.compress {
            true => hub.form(id),
            false => without_deflate(hub.form(id)),
        };
        if form == PLAIN {
            return hub.send_shared(id, self.plain.clone());
        }
        let data = &self.plain[self.payload..];
        // Each frame to a server has a mask of its own.
        let is_shared = form.0 & MASKED.0 == 0;
        let bytes = match self.deflated.get().filter(|_| is_shared) {
            Some(bytes) => bytes.clone(),
            None => {
                // One that is closing has no frame for the others either.
                let Some(frame) = hub.framed(id, data, self.kind, form) else {
                    return Sent::Closed;
                };
                let bytes = Bytes::from(frame);
                if is_shared {
                    let _ = self.deflated.set(bytes.clone());
                }
                bytes
            }
        };
        hub.send_shared(id, bytes)
    }
}
