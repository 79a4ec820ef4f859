//! switchboard's HTTP server with one route, and all its limits and deadlines
//! as they are by default.
//!
//! Run: `cargo run --release --bin switchboard_http -- 127.0.0.1:0`
//! (prints `listening http 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use anyhow::Context;
use peers::http::{BODY, PATH};
use switchboard::{Config, Reactor, http};

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: switchboard_http ADDRESS:PORT")?;
    let mut reactor = Reactor::new(Config::default())?;
    let server = http::Server::new().get(PATH, |(), cx, _| cx.respond(BODY).ignore());
    let server = reactor.add_driver(server);
    let listening = reactor
        .listen(address.as_str(), server)
        .context("cannot listen")?;
    println!("listening http {}", listening.local_addr);
    reactor.run(&mut ())?;
    Ok(())
}
