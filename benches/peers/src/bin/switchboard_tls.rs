//! switchboard's TCP echo under TLS, with all limits and deadlines as they are by
//! default.
//!
//! Run: `cargo run --release --bin switchboard_tls -- 127.0.0.1:0`
//! (prints `listening tls 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use std::fs;

use anyhow::Context;
use peers::compare::temporary::Folder;
use switchboard::{Config, Listen, Reactor, tcp, tls};

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

/// By way of files, which are gone when this returns.
fn server() -> anyhow::Result<tls::Server> {
    let identity = peers::tls::identity()?;
    let folder = Folder::create()?;
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&certificate, identity.cert.pem())?;
    fs::write(&key, identity.signing_key.serialize_pem())?;
    Ok(tls::Server::files(certificate, key)?)
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: switchboard_tls ADDRESS:PORT")?;
    let mut reactor = Reactor::new(Config::default())?;
    let streams = reactor.add_driver(tcp::Framed::raw());
    let listen = Listen::tcp(address.as_str()).tls(server()?);
    let listening = reactor.listen(listen, streams).context("cannot listen")?;
    println!("listening tls {}", listening.local_addr);
    reactor.run(&mut Echo)?;
    Ok(())
}
