//! Makes frames.

use super::{Code, Header, OpCode, mask};

/// Appends a frame. A client gives a key, which is new and unpredictable for each.
pub fn frame(out: &mut Vec<u8>, opcode: OpCode, fin: bool, payload: &[u8], key: Option<[u8; 4]>) {
    let header = Header {
        fin,
        rsv1: false,
        opcode,
        key,
        length: payload.len() as u64,
    };
    out.reserve(Header::MAX + payload.len());
    header.encode(out);
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask::apply(&mut out[from..], key, 0);
    }
}

/// Appends a message, or its first fragment, whose payload is [compressed](super::deflate).
#[cfg(feature = "deflate")]
pub fn compressed(
    out: &mut Vec<u8>,
    opcode: OpCode,
    fin: bool,
    payload: &[u8],
    key: Option<[u8; 4]>,
) {
    let from = out.len();
    frame(out, opcode, fin, payload, key);
    // The bit that says so: RFC 7692, section 6.
    if let Some(first) = out.get_mut(from) {
        *first |= 0x40;
    }
}

/// Appends a message of text.
pub fn text(out: &mut Vec<u8>, text: &str, key: Option<[u8; 4]>) {
    frame(out, OpCode::Text, true, text.as_bytes(), key);
}

/// Appends a message of bytes.
pub fn binary(out: &mut Vec<u8>, data: &[u8], key: Option<[u8; 4]>) {
    frame(out, OpCode::Binary, true, data, key);
}

/// Appends a close. A code that may not be sent is left out, and the reason with it; a reason that
/// is too long is cut, between two characters.
pub fn close(out: &mut Vec<u8>, code: Code, reason: &str, key: Option<[u8; 4]>) {
    let mut payload = Vec::with_capacity(125);
    if code.may_be_sent() {
        payload.extend_from_slice(&code.0.to_be_bytes());
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        payload.extend_from_slice(&reason.as_bytes()[..end]);
    }
    frame(out, OpCode::Close, true, &payload, key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    /// RFC 6455, section 5.7.
    #[test]
    fn the_examples_of_the_rfc() {
        let key = Some([0x37, 0xfa, 0x21, 0x3d]);
        let hello = b"\x81\x05\x48\x65\x6c\x6c\x6f";
        assert_eq!(written(|out| text(out, "Hello", None)), hello);
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(written(|out| text(out, "Hello", key)), masked);
        let fragments = written(|out| {
            frame(out, OpCode::Text, false, b"Hel", None);
            frame(out, OpCode::Continuation, true, b"lo", None);
        });
        assert_eq!(fragments, b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f");
        let ping = written(|out| frame(out, OpCode::Ping, true, b"Hello", None));
        assert_eq!(ping, b"\x89\x05\x48\x65\x6c\x6c\x6f");
        let pong = written(|out| frame(out, OpCode::Pong, true, b"Hello", key));
        assert_eq!(pong, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        let large = written(|out| binary(out, &[0; 256], None));
        assert_eq!(large[..4], *b"\x82\x7e\x01\x00");
        let huge = written(|out| binary(out, &[0; 65_536], None));
        assert_eq!(huge[..10], *b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    }

    #[test]
    fn a_close_fits_into_a_control_frame() {
        assert_eq!(
            written(|out| close(out, Code::NORMAL, "bye", None)),
            b"\x88\x05\x03\xe8bye"
        );
        assert_eq!(
            written(|out| close(out, Code::NONE, "bye", None)),
            b"\x88\x00"
        );
        let long = written(|out| close(out, Code::NORMAL, &"é".repeat(100), None));
        assert_eq!((long[1], long.len()), (124, 126), "an é has two bytes");
    }
}
