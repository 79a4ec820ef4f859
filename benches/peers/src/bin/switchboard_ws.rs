//! switchboard's WebSocket server, with all its limits and deadlines as they are
//! by default.
//!
//! Run: `cargo run --release --bin switchboard_ws -- 127.0.0.1:0`
//! (prints `listening ws 127.0.0.1:PORT` once connections are accepted). It
//! echoes; with `--broadcast` each message goes to all clients, its sender
//! included. With `--deflate` messages are compressed where a client offers that.
#![forbid(unsafe_code)]

use clap::Parser;
use switchboard::websocket::{self, Message};
use switchboard::{Config, Kind, Publish, Reactor, http};

#[derive(Parser)]
struct Arguments {
    address: String,
    #[arg(long)]
    broadcast: bool,
    #[arg(long)]
    deflate: bool,
}

struct App {
    broadcast: bool,
}

impl websocket::Handler for App {
    type Conn = ();

    fn on_open(&mut self, cx: &mut websocket::Cx<'_>, _: &http::Request<'_>) -> Option<()> {
        if self.broadcast {
            cx.subscribe("all");
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut websocket::Cx<'_>, (): &mut (), message: Message<'_>) {
        if !self.broadcast {
            return cx.send(message).ignore();
        }
        let kind = match message {
            Message::Text(_) => Kind::Text,
            Message::Binary(_) => Kind::Binary,
        };
        cx.publish(Publish {
            topic: "all",
            data: message.as_bytes(),
            kind,
            except: None,
        });
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut reactor = Reactor::new(Config::default())?;
    let endpoint = reactor.add_driver(websocket::Endpoint::with(websocket::Options {
        deflate: arguments.deflate.then(websocket::Compression::default),
        ..websocket::Options::default()
    }));
    let server = http::Server::new().mount("/", websocket::Mount::new(endpoint));
    let server = reactor.add_driver(server);
    let listening = reactor.listen(arguments.address.as_str(), server)?;
    println!("listening ws {}", listening.local_addr);
    reactor.run(&mut App {
        broadcast: arguments.broadcast,
    })?;
    Ok(())
}
