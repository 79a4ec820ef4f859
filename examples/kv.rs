//! A key-value store with a protocol of its own: the worked example of `docs/protocol-guide.md`.
//!
//! ```sh
//! cargo run --release --example kv
//! printf 'SET colour blue\nGET colour\nGET size\n' | nc -N 127.0.0.1 7010
//! ```
//!
//! Requests are lines: `SET key value`, `GET key`, `DEL key`, `QUIT`. Each is answered by one line:
//! `OK`, `VALUE value`, `NONE`, `BYE` or `ERROR reason`.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Parser;
use switchboard::tcp::{self, Codec, Lines};
use switchboard::{CloseReason, Config, Reactor};

/// A key-value store with a protocol of lines.
#[derive(Parser)]
struct Args {
    /// Address to serve on. Port 0 lets the system choose.
    #[arg(default_value = "127.0.0.1:7010")]
    address: String,
}

/// What a client asks for. It borrows from the bytes in which it was found.
enum Request<'a> {
    Set(&'a str, &'a str),
    Get(&'a str),
    Del(&'a str),
    Quit,
    Unknown,
}

/// What it is told.
enum Reply<'a> {
    Ok,
    Value(&'a str),
    None,
    Bye,
    Error(&'a str),
}

/// Lines, with words in them.
#[derive(Clone)]
struct Protocol(Lines);

impl Codec for Protocol {
    type In<'a> = Request<'a>;
    type Out<'a> = Reply<'a>;
    type Error = tcp::line::Error;

    fn decode<'a>(
        &mut self,
        data: &'a mut [u8],
    ) -> Result<Option<(usize, Request<'a>)>, Self::Error> {
        let Some((taken, line)) = self.0.decode(data)? else {
            return Ok(None);
        };
        let words = std::str::from_utf8(line).unwrap_or_default();
        let mut words = words.splitn(3, ' ');
        let request = match (words.next(), words.next(), words.next()) {
            (Some("SET"), Some(key), Some(value)) => Request::Set(key, value),
            (Some("GET"), Some(key), None) => Request::Get(key),
            (Some("DEL"), Some(key), None) => Request::Del(key),
            (Some("QUIT"), None, None) => Request::Quit,
            _ => Request::Unknown,
        };
        Ok(Some((taken, request)))
    }

    fn encode(&self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Result<(), Self::Error> {
        let (word, rest) = match reply {
            Reply::Ok => ("OK", ""),
            Reply::Value(value) => ("VALUE ", *value),
            Reply::None => ("NONE", ""),
            Reply::Bye => ("BYE", ""),
            Reply::Error(reason) => ("ERROR ", *reason),
        };
        out.extend_from_slice(word.as_bytes());
        self.0.encode(rest.as_bytes(), out)
    }

    fn max_undecoded(&self) -> usize {
        self.0.max_undecoded()
    }
}

/// Keys that the store takes, so that clients cannot fill the memory. Values are bounded by the
/// line.
const MAX_KEYS: usize = 10_000;

/// The application: one map, which all connections share because there is one thread.
#[derive(Default)]
struct Store {
    map: HashMap<String, String>,
}

impl tcp::Handler<Protocol> for Store {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, Protocol>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, Protocol>, (): &mut (), request: Request<'_>) {
        let reply = match request {
            Request::Set(key, _) if self.map.len() >= MAX_KEYS && !self.map.contains_key(key) => {
                Reply::Error("the store is full")
            }
            Request::Set(key, value) => {
                self.map.insert(key.to_owned(), value.to_owned());
                Reply::Ok
            }
            Request::Get(key) => self
                .map
                .get(key)
                .map_or(Reply::None, |value| Reply::Value(value)),
            Request::Del(key) => self.map.remove(key).map_or(Reply::None, |_| Reply::Ok),
            Request::Quit => Reply::Bye,
            Request::Unknown => Reply::Error("expected SET key value, GET key, DEL key or QUIT"),
        };
        cx.send(&reply).ignore();
        if matches!(request, Request::Quit) {
            cx.close();
        }
    }

    fn on_error(&mut self, cx: &mut tcp::Cx<'_, Protocol>, (): &mut (), error: tcp::line::Error) {
        cx.send(&Reply::Error(&error.to_string())).ignore();
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, Protocol>, (): (), reason: CloseReason) {
        log::debug!("{} ended: {reason}", cx.id());
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(Args::parse().address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: String) -> std::io::Result<()> {
    let mut reactor = Reactor::new(Config::default())?;
    let protocol = Protocol(Lines::default().max(1024));
    let driver = reactor.add_driver(tcp::Framed::new(protocol));
    let listening = reactor.listen(address, driver)?;
    println!("listening tcp {}", listening.local_addr);
    reactor.run(&mut Store::default())
}
