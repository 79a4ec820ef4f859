//! A WebSocket connection of the load client: messages of text that come back.
//!
//! Each message is one frame and differs from those around it, and so does the
//! key that masks it. An answer has to be one frame, too, with the shortest
//! header that there is, so that what comes back is known byte for byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, ensure};
use mio::{Registry, Token};

use super::Shape;
use super::connection::{BUFFER, Connection, Tools};
use super::pattern::Pattern;
use super::stream::Stream;

/// Prime, and as many characters of ASCII can be printed.
const ALPHABET: u8 = 89;

/// A whole message of text, by the first byte of its frame.
const TEXT: u8 = 0x81;

/// The key of RFC 6455, section 1.3, and what a server has to make of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The longest head of an answer, and how long a server may take for it.
const MAX_HEAD: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Ws {
    stream: Stream,
}

impl Connection for Ws {
    /// As much as servers take by default.
    const SIZES: RangeInclusive<usize> = 0..=1024 * 1024;
    const SILENCE: Duration = Duration::from_secs(30);

    fn pattern(shape: &Shape) -> Pattern {
        let frames: Vec<u8> = (0..ALPHABET)
            .flat_map(|at| client_frame(&message(at, shape.size), at.into()))
            .collect();
        let one = frames.len() / usize::from(ALPHABET);
        Pattern::of(&frames, BUFFER.max(shape.outstanding * one))
    }

    fn answers(shape: &Shape) -> Pattern {
        let frames: Vec<u8> = (0..ALPHABET)
            .flat_map(|at| server_frame(&message(at, shape.size)))
            .collect();
        Pattern::of(&frames, BUFFER)
    }

    fn open(
        address: SocketAddr,
        shape: &Shape,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            stream: open(address, shape.deflate, registry, token)?,
        })
    }

    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        let frame = tools.pattern.period() as u64 / u64::from(ALPHABET);
        self.stream.send(messages * frame, &tools.pattern)
    }

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        let frame = tools.answers.period() / usize::from(ALPHABET);
        self.stream.receive_answers(frame, tools)
    }

    /// Nothing: the system does it.
    fn send_again(&mut self, _: &mut Tools) -> anyhow::Result<u64> {
        Ok(0)
    }
}

/// The text of a message.
fn message(at: u8, size: usize) -> Vec<u8> {
    let alphabet = (0..ALPHABET).map(|character| b'!' + character);
    let text = alphabet.cycle().skip(at.into());
    text.take(size).collect()
}

/// A message as a client sends it; each number makes another key.
pub fn client_frame(text: &[u8], number: u64) -> Vec<u8> {
    // Odd, and with bits all over: hence keys that look like those of browsers.
    let key = (number as u32 + 1).wrapping_mul(0x9e37_79b9).to_be_bytes();
    let mut frame = header(text.len(), 0x80);
    frame.extend_from_slice(&key);
    frame.extend(text.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

/// A message as a server sends it.
pub fn server_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = header(text.len(), 0);
    frame.extend_from_slice(text);
    frame
}

/// RFC 6455, section 5.2.
fn header(length: usize, mask: u8) -> Vec<u8> {
    match length {
        0..126 => vec![TEXT, mask | length as u8],
        126..65_536 => {
            let [high, low] = (length as u16).to_be_bytes();
            vec![TEXT, mask | 126, high, low]
        }
        _ => {
            let mut header = vec![TEXT, mask | 127];
            header.extend_from_slice(&(length as u64).to_be_bytes());
            header
        }
    }
}

/// Connects, and has the server agree to WebSocket.
pub fn open(
    address: SocketAddr,
    deflate: bool,
    registry: &Registry,
    token: Token,
) -> anyhow::Result<Stream> {
    let mut socket = Stream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request(address, deflate).as_bytes())?;
    check_answer(&read_head(&mut socket)?, deflate)?;
    Ok(Stream::register(socket, registry, token)?)
}

fn request(address: SocketAddr, deflate: bool) -> String {
    let extensions = match deflate {
        true => format!("Sec-WebSocket-Extensions: {DEFLATE}\r\n"),
        false => String::new(),
    };
    format!(
        "GET / HTTP/1.1\r\n\
         Host: {address}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\
         {extensions}\r\n"
    )
}

/// Reads up to the empty line. A server says nothing more before it is asked.
fn read_head(socket: &mut TcpStream) -> anyhow::Result<String> {
    let (mut head, mut buffer) = (Vec::new(), [0; MAX_HEAD]);
    while !head.ends_with(b"\r\n\r\n") {
        let read = socket.read(&mut buffer).context("no answer")?;
        ensure!(read > 0, "the server has closed instead of answering");
        head.extend_from_slice(&buffer[..read]);
        ensure!(head.len() <= MAX_HEAD, "the answer has no end");
    }
    String::from_utf8(head).context("the answer is no text")
}

fn check_answer(head: &str, deflate: bool) -> anyhow::Result<()> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(
        status.starts_with("HTTP/1.1 101"),
        "the answer begins with `{status}`"
    );
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let value = |wanted: &str| {
        let mut fields = fields.iter();
        fields
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map_or("", |(_, value)| value.trim())
    };
    let accept = value("Sec-WebSocket-Accept");
    ensure!(accept == ACCEPT, "the answer accepts `{accept}`");
    let extensions = value("Sec-WebSocket-Extensions");
    let agreed: Vec<&str> = extensions.split(';').map(str::trim).collect();
    let wanted = DEFLATE.split("; ").filter(|_| deflate);
    ensure!(
        wanted.clone().all(|part| agreed.contains(&part)) && deflate != extensions.is_empty(),
        "the answer has the extensions `{extensions}`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Load;
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
                          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn shape(size: usize) -> Shape {
        Shape {
            connections: 1,
            size,
            outstanding: 3,
            deflate: false,
        }
    }

    /// The texts of frames, by what the first two bytes say.
    fn read(mut data: &[u8], masked: bool) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        while !data.is_empty() {
            assert_eq!((data[0], data[1] & 0x80 != 0), (0x81, masked));
            let (length, from) = match data[1] & 0x7f {
                126 => (u16::from_be_bytes([data[2], data[3]]).into(), 4),
                127 => (u64::from_be_bytes(data[2..10].try_into().unwrap()), 10),
                short => (short.into(), 2),
            };
            let (key, from) = match masked {
                true => (data[from..from + 4].to_vec(), from + 4),
                false => (vec![0], from),
            };
            let (frame, rest) = data.split_at(from + length as usize);
            let payload = frame[from..].iter().zip(key.iter().cycle());
            texts.push(payload.map(|(a, b)| a ^ b).collect());
            data = rest;
        }
        texts
    }

    /// RFC 6455, section 5.7.
    #[test]
    fn frames_are_those_of_the_rfc() {
        assert_eq!(server_frame(b"Hello"), b"\x81\x05Hello");
        assert_eq!(server_frame(&[b'a'; 126])[..4], *b"\x81\x7e\x00\x7e");
        assert_eq!(server_frame(&[b'a'; 65_535])[..4], *b"\x81\x7e\xff\xff");
        assert_eq!(
            server_frame(&[b'a'; 65_536])[..10],
            *b"\x81\x7f\0\0\0\0\0\x01\0\0"
        );
        let (one, two) = (client_frame(b"Hello", 1), client_frame(b"Hello", 2));
        assert_eq!((one.len(), &one[..2]), (11, &b"\x81\x85"[..]));
        assert_ne!(one[2..6], two[2..6], "each has a key of its own");
        assert_eq!(read(&[one, two].concat(), true), [b"Hello", b"Hello"]);
    }

    #[test]
    fn what_comes_back_is_what_was_sent() {
        for size in [0, 1, 20, 125, 126, 1024, 65_535, 65_536] {
            let (sent, expected) = (Ws::pattern(&shape(size)), Ws::answers(&shape(size)));
            let whole = |pattern: &Pattern, masked| {
                let (mut position, mut data) = (0, Vec::new());
                while position < pattern.period() {
                    let piece = pattern.at(position as u64, pattern.period() - position);
                    position += piece.len();
                    data.extend_from_slice(piece);
                }
                read(&data, masked)
            };
            let texts = whole(&sent, true);
            assert_eq!(texts, whole(&expected, false), "{size}");
            assert_eq!(texts.len(), 89);
            assert!(
                texts
                    .iter()
                    .all(|text| text.len() == size && text.is_ascii())
            );
            assert!(size == 0 || texts.windows(2).all(|two| two[0] != two[1]));
        }
    }

    #[test]
    fn an_answer_has_to_agree() {
        let with = |extensions: &str| {
            let field = format!("\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n");
            ANSWER.replace("\r\n\r\n", &field)
        };
        assert!(check_answer(ANSWER, false).is_ok());
        assert!(check_answer(&with(DEFLATE), true).is_ok());
        for (answer, deflate, wrong) in [
            (ANSWER.replace("101", "400"), false, "begins with"),
            (ANSWER.replace("s3p", "s4p"), false, "accepts"),
            (ANSWER.to_owned(), true, "extensions"),
            (with("permessage-deflate"), true, "extensions"),
            (with(DEFLATE), false, "extensions"),
        ] {
            let error = check_answer(&answer, deflate).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    /// Runs a load of 89 messages against a server that reads all of its first
    /// burst, and answers with these pieces.
    fn run(pieces: Vec<Vec<u8>>) -> anyhow::Result<()> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let shape = Shape {
            outstanding: 89,
            ..shape(20)
        };
        let serving = thread::spawn(move || {
            let (mut socket, _) = server.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            read_head(&mut socket).unwrap();
            socket.write_all(ANSWER.as_bytes()).unwrap();
            socket.read_exact(&mut [0; 89 * 26]).unwrap();
            for piece in pieces {
                // The client may have found a fault and gone.
                let _ = socket.write_all(&piece);
            }
            let _ = socket.read(&mut [0]);
        });
        let outcome = Load::<Ws>::connect(address, &shape).and_then(|mut load| load.run(89));
        serving.join().unwrap();
        outcome.map(|_| ())
    }

    fn answers() -> Vec<u8> {
        Ws::answers(&shape(20)).at(0, 89 * 22).to_vec()
    }

    #[test]
    fn echoes_count_however_they_arrive() {
        run(vec![answers()]).unwrap();
        run(answers().chunks(7).map(<[u8]>::to_vec).collect()).unwrap();
    }

    #[test]
    fn sees_what_is_wrong_with_an_echo() {
        for (at, what) in [
            (0, "not the last frame, or another kind"),
            (1, "masked, or another length"),
            (2, "the first byte of a message"),
            (22 * 88 + 21, "the last byte of the last one"),
        ] {
            let mut wrong = answers();
            wrong[at] ^= 0x80;
            let error = run(vec![wrong]).unwrap_err().to_string();
            assert!(error.starts_with("wrong bytes"), "{what}: {error}");
        }
        let twice = [answers(), answers()].concat();
        let error = run(vec![twice]).unwrap_err().to_string();
        assert!(error.contains("more came back"), "{error}");
    }
}
