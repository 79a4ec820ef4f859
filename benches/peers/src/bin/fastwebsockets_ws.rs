//! A WebSocket echo with fastwebsockets on tokio's current-thread runtime, as
//! its own example of an echo server has it: hyper answers the handshake, and
//! one task per connection reads a frame and writes it back.
//!
//! Run: `cargo run --release --bin fastwebsockets_ws -- 127.0.0.1:0`
//! (prints `listening ws 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use std::io::ErrorKind;

use anyhow::Context;
use fastwebsockets::upgrade::{self, UpgradeFut};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

async fn echo(upgrade: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgrade.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgrade) = upgrade::upgrade(&mut request)?;
    // Without a share of turns for others, as in the example.
    tokio::spawn(tokio::task::unconstrained(echo(upgrade)));
    Ok(response)
}

async fn serve_connection(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades()
        .await?;
    Ok(())
}

async fn serve(address: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("cannot listen")?;
    println!("listening ws {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            // A connection's failure is its own: the peer has gone.
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream))),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: fastwebsockets_ws ADDRESS:PORT")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&address))
}
