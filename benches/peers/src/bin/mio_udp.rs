//! A plain edge-triggered echo server for datagrams on mio: reads until
//! `WouldBlock` and sends each datagram back.
//!
//! Run: `cargo run --release --bin mio_udp -- 127.0.0.1:0`
//! (prints `listening udp 127.0.0.1:PORT` once datagrams are taken).
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::Context;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

const SOCKET: Token = Token(0);
const EVENTS: usize = 1;
/// Holds any datagram.
const BUFFER: usize = 64 * 1024;

fn echo_all(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match socket.recv_from(buffer) {
            Ok((read, peer)) => {
                // A datagram that cannot be sent is lost, as any may be.
                let _ = socket.send_to(&buffer[..read], peer);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn run(poll: &mut Poll, socket: &UdpSocket) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; BUFFER];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if !events.is_empty() {
            echo_all(socket, &mut buffer)?;
        }
    }
}

fn main() -> anyhow::Result<()> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .context("usage: mio_udp ADDRESS:PORT")?
        .parse()
        .context("not an address and port")?;
    let mut poll = Poll::new()?;
    let mut socket = UdpSocket::bind(address).context("cannot bind")?;
    // Not for writing: each datagram that has left would be one more edge.
    poll.registry()
        .register(&mut socket, SOCKET, Interest::READABLE)?;
    println!("listening udp {}", socket.local_addr()?);
    run(&mut poll, &socket).context("the event loop failed")
}
