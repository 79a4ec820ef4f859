//! How messages are framed for connections of an endpoint from outside of their callbacks.

#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::Pool;
use crate::proto::websocket::{OpCode, write};
use crate::reactor::{Form, Framer, Kind};

use super::link::Keys;
use super::options::Options;

/// To a client, as it is.
pub(super) const PLAIN: Form = Form(0);
/// To a server.
pub(super) const MASKED: Form = Form(1);
/// Compressed, without reference to anything earlier.
#[cfg(feature = "deflate")]
pub(super) const DEFLATED: Form = Form(2);

/// The same form, not compressed.
pub(super) const fn without_deflate(form: Form) -> Form {
    Form(form.0 & MASKED.0)
}

/// Frames what is published to the connections of an endpoint.
#[derive(Debug)]
pub(super) struct AsMessages {
    keys: Keys,
    #[cfg(feature = "deflate")]
    pool: Pool,
    /// Bytes of a message from which on it is compressed.
    #[cfg(feature = "deflate")]
    from: usize,
}

impl AsMessages {
    #[cfg_attr(not(feature = "deflate"), expect(unused_variables))]
    pub(super) fn new(options: &Options) -> Self {
        #[cfg(feature = "deflate")]
        let deflate = options.deflate.unwrap_or_default();
        Self {
            keys: Keys::default(),
            #[cfg(feature = "deflate")]
            pool: Pool::new(deflate.level),
            #[cfg(feature = "deflate")]
            from: deflate.from,
        }
    }
}

impl Framer for AsMessages {
    fn frame(&mut self, data: &[u8], kind: Kind, form: Form, out: &mut Vec<u8>) {
        // What is published as text without being that would cost each receiver its connection.
        let opcode = match kind {
            Kind::Text if simdutf8::basic::from_utf8(data).is_ok() => OpCode::Text,
            _ => OpCode::Binary,
        };
        let key = (form.0 & MASKED.0 != 0).then(|| self.keys.next());
        #[cfg(feature = "deflate")]
        if form.0 & DEFLATED.0 != 0 && data.len() >= self.from {
            let mut payload = Vec::with_capacity(data.len() / 2);
            self.pool.deflate(data, &mut payload);
            if payload.len() < data.len() {
                return write::compressed(out, opcode, true, &payload, key);
            }
        }
        write::frame(out, opcode, true, data, key);
    }
}
