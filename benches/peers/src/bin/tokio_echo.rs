//! A plain echo server on tokio's current-thread runtime: one task per
//! connection, which reads into its own buffer and writes all of it back.
//!
//! Run: `cargo run --release --bin tokio_echo -- 127.0.0.1:0`
//! (prints `listening tcp 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Of each connection: a task cannot lend its buffer to another one.
const BUFFER: usize = 16 * 1024;

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

async fn serve(address: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("cannot listen")?;
    println!("listening tcp {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            // A connection's failure is its own: the peer has gone.
            Ok((stream, _)) => drop(tokio::spawn(echo(stream))),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: tokio_echo ADDRESS:PORT")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&address))
}
