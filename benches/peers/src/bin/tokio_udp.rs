//! A plain echo server for datagrams on tokio's current-thread runtime: one
//! task, which receives a datagram and sends it back.
//!
//! Run: `cargo run --release --bin tokio_udp -- 127.0.0.1:0`
//! (prints `listening udp 127.0.0.1:PORT` once datagrams are taken).
#![forbid(unsafe_code)]

use anyhow::Context;
use tokio::net::UdpSocket;

/// Holds any datagram.
const BUFFER: usize = 64 * 1024;

async fn serve(address: &str) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(address).await.context("cannot bind")?;
    println!("listening udp {}", socket.local_addr()?);
    let mut buffer = vec![0; BUFFER];
    loop {
        let (read, peer) = socket
            .recv_from(&mut buffer)
            .await
            .context("cannot receive")?;
        // A datagram that cannot be sent is lost, as any may be.
        let _ = socket.send_to(&buffer[..read], peer).await;
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: tokio_udp ADDRESS:PORT")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&address))
}
