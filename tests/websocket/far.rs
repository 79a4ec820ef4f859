//! The far end of a connection: a client, or a server that does as a script says. It reads and
//! writes frames by itself, and notices what the near end may not do.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use switchboard::ConnId;
use switchboard::proto::websocket::{Code, Header, OpCode, Role, handshake, mask, write};

/// The key of every client here. Its answer is `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// A frame as it came, its mask taken off.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: OpCode,
    pub(crate) fin: bool,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: OpCode, fin: bool, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self {
            opcode,
            fin,
            payload,
        }
    }

    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::new(OpCode::Text, true, text)
    }

    pub(crate) fn binary(data: impl AsRef<[u8]>) -> Self {
        Self::new(OpCode::Binary, true, data)
    }

    pub(crate) fn ping(data: impl AsRef<[u8]>) -> Self {
        Self::new(OpCode::Ping, true, data)
    }

    pub(crate) fn pong(data: impl AsRef<[u8]>) -> Self {
        Self::new(OpCode::Pong, true, data)
    }

    /// A close; without a payload for [`Code::NONE`].
    pub(crate) fn close(code: Code, reason: &str) -> Self {
        let payload = match code {
            Code::NONE => Vec::new(),
            code => [&code.0.to_be_bytes()[..], reason.as_bytes()].concat(),
        };
        Self::new(OpCode::Close, true, payload)
    }

    /// Its bytes, masked or not.
    pub(crate) fn bytes(&self, key: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = Vec::new();
        write::frame(&mut out, self.opcode, self.fin, &self.payload, key);
        out
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.payload.get(..60).unwrap_or(&self.payload);
        let more = if self.fin { "" } else { " .." };
        let length = self.payload.len();
        write!(
            f,
            "{:?}{more} {length} `{}`",
            self.opcode,
            shown.escape_ascii()
        )
    }
}

/// The end that a test holds.
#[derive(Debug)]
pub(crate) struct Far {
    pub(crate) stream: TcpStream,
    /// The connection here.
    pub(crate) id: ConnId,
    /// What the far end is.
    role: Role,
    /// Bytes of a frame that is not complete.
    held: Vec<u8>,
    /// What the frames that came were masked with.
    pub(crate) keys: Vec<[u8; 4]>,
    /// Frames that this end has sent, of which each has another key.
    sent: u32,
}

impl Far {
    pub(crate) fn new(stream: TcpStream, role: Role, id: ConnId) -> Self {
        Self {
            stream,
            id,
            role,
            held: Vec::new(),
            keys: Vec::new(),
            sent: 0,
        }
    }

    /// The bytes of frames as this end sends them.
    pub(crate) fn bytes(&mut self, frames: &[Frame]) -> Vec<u8> {
        let pieces = frames.iter().map(|frame| {
            self.sent = self.sent.wrapping_add(0x9e37_79b9);
            frame.bytes((self.role == Role::Client).then(|| self.sent.to_be_bytes()))
        });
        pieces.collect::<Vec<_>>().concat()
    }

    /// Takes bytes that came before the first frame was looked for.
    pub(crate) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Reads what is there. True if anything was.
    pub(crate) fn fill(&mut self) -> (bool, Option<End>) {
        let (mut any, mut buffer) = (false, vec![0; 64 * 1024]);
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return (any, Some(End::Fin)),
                Ok(read) => {
                    any = true;
                    self.held.extend_from_slice(&buffer[..read]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (any, None),
                Err(_) => return (any, Some(End::Reset)),
            }
        }
    }

    /// The frames that have come. A client's are masked, a server's are not.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Some((length, header)) = Header::decode(&self.held[at..]).expect("a frame") {
            let (from, to) = (at + length, at + length + header.length as usize);
            let Some(payload) = self.held.get_mut(from..to) else {
                break;
            };
            assert_eq!(header.key.is_some(), self.role == Role::Server, "masked");
            assert!(!header.rsv1, "a reserved bit");
            if let Some(key) = header.key {
                mask::apply(payload, key, 0);
                self.keys.push(key);
            }
            frames.push(Frame::new(header.opcode, header.fin, payload));
            at = to;
        }
        self.held.drain(..at);
        frames
    }

    /// The next frame as it came, if one is there: whether it is compressed, and its bytes.
    pub(crate) fn raw_frame(&mut self) -> Option<(bool, Vec<u8>)> {
        let (length, header) = Header::decode(&self.held).expect("a frame")?;
        let end = length + header.length as usize;
        if self.held.len() < end {
            return None;
        }
        Some((header.rsv1, self.held.drain(..end).collect()))
    }

    /// Bytes that are no whole frame yet.
    pub(crate) fn rest(&self) -> usize {
        self.held.len()
    }

    /// Writes as much as the kernel takes, and returns how much that was.
    pub(crate) fn write(&mut self, data: &[u8]) -> usize {
        let mut written = 0;
        while written < data.len() {
            match self.stream.write(&data[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The near end has closed; what it said before that is still to be read.
                Err(_) => return data.len(),
            }
        }
        written
    }
}

/// A handshake for `target`, with further fields, which have their line ends.
pub(crate) fn request(target: &str, fields: &str) -> Vec<u8> {
    let usual = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    bare_request(target, &format!("{usual}{fields}"))
}

/// The same without the fields that make it one.
pub(crate) fn bare_request(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").into_bytes()
}

/// The answer that a server gives to a client's request.
pub(crate) fn answer(request: &str, fields: &str) -> Vec<u8> {
    let key = field(request, "Sec-WebSocket-Key").expect("a key");
    let accept = handshake::accept(key.as_bytes());
    let accept = std::str::from_utf8(&accept).unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// The value of a field of a head, which is there once at most.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let mut values = fields.filter(|(own, _)| own.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value);
    assert!(values.next().is_none(), "{name} is there twice: {head}");
    value
}
