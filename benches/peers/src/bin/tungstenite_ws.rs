//! A WebSocket server with tokio-tungstenite on tokio's current-thread runtime:
//! one task per connection.
//!
//! Run: `cargo run --release --bin tungstenite_ws -- 127.0.0.1:0`
//! (prints `listening ws 127.0.0.1:PORT` once connections are accepted).
//!
//! It echoes as the crate's own example does: what is read is forwarded to the
//! writing half, which is flushed when nothing is left to read.
//!
//! With `--broadcast` each message goes to all clients, its sender included, by
//! one `tokio::sync::broadcast` for all. A message is cloned for each receiver,
//! which shares its bytes, and each task frames it for its own connection and
//! sends it, as most programs do it. With `--batch`, too, all that waits in the
//! channel when a task runs leaves in one write.
//!
//! The read buffer has the 4 KiB that the crate recommends for many connections.
//! All of it is filled with zeros for each read: with the default, 128 KiB, an
//! echo takes three times as long.
#![forbid(unsafe_code)]

use std::io::ErrorKind;

use anyhow::Context;
use clap::Parser;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

const READ_BUFFER: usize = 4 * 1024;

/// Messages that a receiver may be behind.
const CAPACITY: usize = 1024;

#[derive(Parser)]
struct Arguments {
    address: String,
    #[arg(long)]
    broadcast: bool,
    #[arg(long, requires = "broadcast")]
    batch: bool,
}

async fn accept(stream: TcpStream) -> Result<WebSocketStream<TcpStream>, Error> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    accept_async_with_config(stream, Some(config)).await
}

async fn echo(stream: TcpStream) -> anyhow::Result<()> {
    let (write, read) = accept(stream).await?.split();
    read.try_filter(|message| future::ready(is_data(message)))
        .forward(write)
        .await?;
    Ok(())
}

async fn join(stream: TcpStream, everybody: Sender<Message>, batch: bool) -> anyhow::Result<()> {
    // Before the handshake is answered: a member misses nothing.
    let mut heard = everybody.subscribe();
    let mut socket = accept(stream).await?;
    loop {
        tokio::select! {
            biased;
            message = heard.recv() => {
                socket.feed(message?).await?;
                while batch && let Ok(message) = heard.try_recv() {
                    socket.feed(message).await?;
                }
                socket.flush().await?;
            }
            message = socket.next() => match message {
                Some(Ok(message)) if is_data(&message) => drop(everybody.send(message)),
                Some(message) => drop(message?),
                None => return Ok(()),
            }
        }
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(&arguments.address)
        .await
        .context("cannot listen")?;
    println!("listening ws {}", listener.local_addr()?);
    let everybody = Sender::new(CAPACITY);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // A connection's failure is its own: the peer has gone.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("cannot accept"),
        };
        stream.set_nodelay(true)?;
        if arguments.broadcast {
            tokio::spawn(join(stream, everybody.clone(), arguments.batch));
        } else {
            tokio::spawn(echo(stream));
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&arguments))
}
