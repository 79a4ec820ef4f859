//! switchboard's TCP echo, built as `switchboard_ws` is: what the one costs more
//! than the other is what WebSocket costs.
//!
//! Run: `cargo run --release --bin switchboard_tcp -- 127.0.0.1:0`
//! (prints `listening tcp 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use anyhow::Context;
use switchboard::{Config, Reactor, tcp};

struct Echo;

impl tcp::Handler for Echo {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), message: &[u8]) {
        cx.send(message).ignore();
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: switchboard_tcp ADDRESS:PORT")?;
    let mut reactor = Reactor::new(Config::default())?;
    let streams = reactor.add_driver(tcp::Framed::raw());
    let listening = reactor
        .listen(address.as_str(), streams)
        .context("cannot listen")?;
    println!("listening tcp {}", listening.local_addr);
    reactor.run(&mut Echo)?;
    Ok(())
}
