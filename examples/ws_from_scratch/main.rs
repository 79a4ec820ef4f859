//! A WebSocket server by hand, on nothing but TCP: what introductions build on a raw socket, in
//! eight steps. Each says what it does, what the *library* does for it, and what the *usual* code
//! of such introductions gets wrong.
//!
//! ```sh
//! cargo run --release --example ws_from_scratch      # then open http://127.0.0.1:5000/
//! ```
//!
//! It stops short of RFC 6455 where more would hide the steps: it takes text only, and looks
//! whether it is UTF-8 when it is whole; lengths may be written longer than need be; a client that
//! has gone silent is never pinged; there are neither extensions nor sub-protocols.
//! `switchboard::websocket` has all of that; `tests/autobahn/run` tries `examples/echo --ws` by it.

use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use sha1::{Digest, Sha1};
use switchboard::signals::{SIGINT, SIGTERM};
use switchboard::tcp::{self, Cx, Raw};
use switchboard::{CloseReason, Config, Kind, Publish, Reactor, signals};

const PAGE: &str = include_str!("page.html");

/// Bytes of a request's head, as nginx.
const MAX_HEAD: usize = 8 * 1024;
/// Bytes of a message.
const MAX_MESSAGE: usize = 64 * 1024;
/// How long a client may take to send its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A WebSocket server by hand, and a page that talks to it.
#[derive(Parser)]
struct Args {
    /// Address to serve on. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    listen: String,
}

fn main() -> ExitCode {
    let filter = env_logger::Env::default().default_filter_or("warn,ws_from_scratch=info");
    env_logger::Builder::from_env(filter).init();
    match serve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Step 1: a socket with SO_REUSEADDR, bound, listening.
///
/// Library: `listen` does all of it, and the loop accepts whoever comes.
/// Usual: without SO_REUSEADDR, a server that is started again cannot bind for a minute. And while
/// one client is looped for, all others wait to be accepted.
fn serve(args: &Args) -> io::Result<()> {
    let mut reactor = Reactor::new(Config::default())?;
    let driver = reactor.add_driver(tcp::Framed::raw());
    let mut stopping = false;
    signals::on(&mut reactor, &[SIGINT, SIGTERM], move |_, hub, _| {
        if std::mem::replace(&mut stopping, true) {
            std::process::exit(1);
        }
        // Who is connected hears why.
        hub.publish(Publish {
            topic: "open",
            data: &frame(CLOSE, &1001_u16.to_be_bytes()),
            kind: Kind::Binary,
            except: None,
        });
        hub.shutdown(Duration::from_secs(2));
    })?;
    let listening = reactor.listen(args.listen.as_str(), driver)?;
    println!("listening tcp {}", listening.local_addr);
    reactor.run(&mut Server)
}

struct Request<'a> {
    method: &'a str,
    url: &'a str,
    /// By their names in lower case.
    headers: HashMap<String, String>,
}

/// Step 2: the head of the request, up to an empty line, and how many bytes it took; or the status
/// that says what is wrong.
///
/// Library: nothing, on this layer. `switchboard::http` reads heads, forged ones too.
/// Usual: one `recv(1024)`, and the head is taken to be in it, whole and alone. It is not where the
/// cookies are large or the network is slow. Where there is a loop, it has no bound.
fn read_head(data: &[u8], from: usize) -> Result<Option<(Request<'_>, usize)>, &'static str> {
    let mut windows = data[from..].windows(4);
    let end = windows.position(|four| four == b"\r\n\r\n");
    let end = end.map(|at| from + at);
    if end.unwrap_or(data.len()) > MAX_HEAD {
        return Err("431 Request Header Fields Too Large");
    }
    let Some(end) = end else { return Ok(None) };
    let request = Request::parse(&data[..end]).ok_or("400 Bad Request")?;
    Ok(Some((request, end + 4)))
}

impl<'a> Request<'a> {
    fn parse(head: &'a [u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let words: Vec<_> = lines.next()?.split(' ').collect();
        let [method, url, "HTTP/1.1"] = words[..] else {
            return None;
        };
        // Usual: a map of the names as they came; but `host` and `Host` are one.
        let mut headers = HashMap::<String, String>::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let is_odd = |c: char| c.is_control() && c != '\t';
            if name.is_empty() || name.contains(' ') || line.contains(is_odd) {
                return None;
            }
            // What comes twice is a list.
            let values = headers.entry(name.to_ascii_lowercase()).or_default();
            if !values.is_empty() {
                values.push_str(", ");
            }
            values.push_str(value.trim());
        }
        headers.contains_key("host").then_some(Self {
            method,
            url,
            headers,
        })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Usual: `== "Upgrade"`; but Firefox says `Connection: keep-alive, Upgrade`.
    fn lists(&self, name: &str, wanted: &str) -> bool {
        let mut values = self.header(name).split(',');
        values.any(|value| value.trim().eq_ignore_ascii_case(wanted))
    }
}

/// Step 3: is it a handshake, or is the page asked for? Returns whether frames follow.
///
/// Usual: every request is taken for a handshake, and one without a key ends the program. Nobody
/// looks at `Origin`: any page may connect from its visitor's browser, cookies included. Here too,
/// as an echo has no secrets; `websocket::Mount` refuses pages of other origins.
fn answer(cx: &mut Cx<'_, Raw>, request: &Request<'_>) -> Result<bool, &'static str> {
    if request.method != "GET" {
        return Err("405 Method Not Allowed\r\nAllow: GET");
    }
    if request.lists("upgrade", "websocket") && request.lists("connection", "upgrade") {
        return shake_hands(cx, request).map(|()| true);
    }
    if request.url != "/" {
        return Err("404 Not Found");
    }
    respond(cx, "200 OK\r\nContent-Type: text/html; charset=utf-8", PAGE);
    Ok(false)
}

/// Library: `close` waits until all has left, then for the client's end. To close at once resets
/// the connection if anything of it is unread, and the client loses the answer.
fn respond(cx: &mut Cx<'_, Raw>, head: &str, body: &str) {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    cx.send(text.as_bytes()).ignore();
    cx.close();
}

fn refuse(cx: &mut Cx<'_, Raw>, head: &str) {
    respond(cx, head, &format!("{head}\n"));
}

/// Steps 4 and 5: the key is answered, with 101.
///
/// The answer to the key shows that a WebSocket server speaks, and no cache or mail server by
/// chance. It is no secret and keeps nobody out.
/// Usual: `Sec-WebSocket-Extensions` is repeated, and then messages come compressed; to say nothing
/// of it declines. `WebSocket-Location` is sent, which a draft of 2010 asked for (hixie-76), and no
/// browser since. Without the empty line at the end the browser waits for ever.
fn shake_hands(cx: &mut Cx<'_, Raw>, request: &Request<'_>) -> Result<(), &'static str> {
    let key = request.header("sec-websocket-key");
    if request.header("sec-websocket-version") != "13" {
        return Err("426 Upgrade Required\r\nSec-WebSocket-Version: 13");
    }
    if !STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
        return Err("400 Bad Request");
    }
    let hash = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = STANDARD.encode(hash);
    let text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    cx.send(text.as_bytes()).ignore();
    cx.subscribe("open");
    log::info!("{} is open", cx.id());
    Ok(())
}

struct Frame {
    fin: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// Step 6: a frame and how many bytes it took, if it is there whole; or the code of what is wrong.
///
/// ```text
///   FIN, RSV, opcode | MASK, length | length, if that was 126 or 127 | mask | payload
///   1 bit  3     4   |    1     7   |            16 or 64            |  32  |
/// ```
///
/// Library: nothing, on this layer. `switchboard::websocket` unmasks a frame where it lies.
/// Usual: `payload_len = info[1] & 127`, and on with it. The first byte goes unread, so that a ping
/// or a close is printed as text, and a fragment as a message. What is not masked is unmasked. And
/// whatever length is claimed, the memory for it is given.
fn read_frame(data: &[u8], room: usize) -> Result<Option<(Frame, usize)>, u16> {
    let [first, second, rest @ ..] = data else {
        return Ok(None);
    };
    let (fin, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
    let (masked, short) = (second & 0x80 != 0, second & 127);
    let is_control = opcode >= CLOSE;
    // Reserved bits are for extensions. A client has to mask, lest a page make its bytes look like
    // requests to a proxy on the way: RFC 6455, section 10.3.
    if reserved != 0 || !masked || is_control && (!fin || short > 125) {
        return Err(1002);
    }
    let (length, at) = match (short, rest.first_chunk(), rest.first_chunk()) {
        (126, Some(two), _) => (u64::from(u16::from_be_bytes(*two)), 4),
        (127, _, Some(eight)) => (u64::from_be_bytes(*eight), 10),
        (126 | 127, ..) => return Ok(None),
        _ => (u64::from(short), 2),
    };
    // Before any of it has come.
    if !is_control && length > room as u64 {
        return Err(1009);
    }
    let end = at + 4 + length as usize;
    let Some(masked) = data.get(at..end) else {
        return Ok(None);
    };
    let (mask, payload) = masked.split_at(4);
    let unmasked = payload
        .iter()
        .enumerate()
        .map(|(i, byte)| byte ^ mask[i % 4]);
    let payload = unmasked.collect();
    Ok(Some((
        Frame {
            fin,
            opcode,
            payload,
        },
        end,
    )))
}

/// The same the other way: a server does not mask.
///
/// Usual: one byte for the length, which goes well up to 125; or it counts characters, not bytes.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length @ 126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

struct Server;

#[derive(Default)]
struct Conn {
    /// What has come and was not used yet.
    unread: Vec<u8>,
    /// The handshake is over.
    open: bool,
    /// The fragments of a message that has not ended.
    message: Option<Vec<u8>>,
}

/// Step 7: receive, decode, answer, and again.
///
/// Library: it has the loop, and calls this with what one `recv` brought. The answers to all frames
/// in that leave by one `send`, and who does not read them is not read from.
/// Usual: `while True: recv, decode, send`. It works while each `recv` brings one frame, whole and
/// alone; but TCP is a stream, and brings half a frame or twenty. When the client has gone, `recv`
/// brings nothing, at once, for ever.
impl tcp::Handler for Server {
    type Conn = Conn;

    fn on_open(&mut self, cx: &mut Cx<'_, Raw>) -> Option<Conn> {
        cx.set_timer(HEAD_TIMEOUT, 0);
        Some(Conn::default())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Raw>, conn: &mut Conn, bytes: &[u8]) {
        // The end of a head may lie across what came before and now.
        let from = conn.unread.len().saturating_sub(3);
        conn.unread.extend_from_slice(bytes);
        if !conn.open {
            if let Err(head) = conn.begin(cx, from) {
                refuse(cx, head);
            }
        }
        if conn.open {
            if let Err(code) = conn.process(cx) {
                log::info!("{} is closed: {code}", cx.id());
                cx.send(&frame(CLOSE, &code.to_be_bytes())).ignore();
                cx.close_for(CloseReason::Protocol);
            }
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, Raw>, conn: &mut Conn, _: u32) {
        if !conn.open {
            refuse(cx, "408 Request Timeout");
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Raw>, _: Conn, reason: CloseReason) {
        log::info!("{} ended: {reason}", cx.id());
    }
}

impl Conn {
    fn begin(&mut self, cx: &mut Cx<'_, Raw>, from: usize) -> Result<(), &'static str> {
        if let Some((request, used)) = read_head(&self.unread, from)? {
            self.open = answer(cx, &request)?;
            self.unread.drain(..used);
        }
        Ok(())
    }

    fn process(&mut self, cx: &mut Cx<'_, Raw>) -> Result<(), u16> {
        let mut used = 0;
        loop {
            let room = MAX_MESSAGE - self.message.as_ref().map_or(0, Vec::len);
            let Some((frame, length)) = read_frame(&self.unread[used..], room)? else {
                break;
            };
            used += length;
            if frame.opcode == CLOSE {
                return close(cx, &frame.payload);
            }
            self.take(cx, frame)?;
        }
        self.unread.drain(..used);
        Ok(())
    }

    fn take(&mut self, cx: &mut Cx<'_, Raw>, received: Frame) -> Result<(), u16> {
        match received.opcode {
            TEXT | CONTINUATION => {
                // A message that has begun is continued before the next one begins.
                if self.message.is_some() != (received.opcode == CONTINUATION) {
                    return Err(1002);
                }
                let message = self.message.get_or_insert_default();
                message.extend_from_slice(&received.payload);
                if received.fin {
                    let message = self.message.take().unwrap_or_default();
                    let text = std::str::from_utf8(&message).map_err(|_| 1007_u16)?;
                    println!("Receive msg==> {}", printable(text));
                    cx.send(&frame(TEXT, &message)).ignore();
                }
            }
            PING => cx.send(&frame(PONG, &received.payload)).ignore(),
            PONG => {}
            BINARY => return Err(1003),
            _ => return Err(1002),
        }
        Ok(())
    }
}

/// Step 8: a close is answered with its code, and then the connection ends.
///
/// The code says why: 1000 is done, 1001 a page that is gone; it may be missing.
/// Library: a client that goes without a close is an `on_close` like any other.
/// Usual: the connection is dropped, which browsers report as a failure, 1006.
fn close(cx: &mut Cx<'_, Raw>, payload: &[u8]) -> Result<(), u16> {
    match payload {
        [] => log::info!("{} closes", cx.id()),
        [_] => return Err(1002),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            // Codes such as 1006 are never sent: they say that there was none.
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(1002);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| 1007_u16)?;
            log::info!("{} closes: {code} {reason:?}", cx.id());
        }
    }
    cx.send(&frame(CLOSE, &payload[..payload.len().min(2)]))
        .ignore();
    cx.close_for(CloseReason::Peer);
    Ok(())
}

/// Usual: `print(text)`; but what a stranger sends, a terminal may obey.
fn printable(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}
