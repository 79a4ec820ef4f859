//! The load client: one thread that keeps messages in flight on many
//! connections and checks every byte that comes back.
//!
//! Run: `cargo run --release --bin load -- --connect 127.0.0.1:PORT` for TCP,
//! `load udp --connect 127.0.0.1:PORT` for datagrams, `load http` for requests,
//! `load ws` for messages of WebSocket, `load broadcast` for such that go to
//! everybody, `load tls` for messages by TLS, `load handshakes` for connections by
//! TLS, or `load idle` to open connections and hold them.
//!
//! It takes turns with whoever measures: it says `connected N`, then `warm` once
//! nothing is in flight, waits for a line on stdin, says `done N seconds S`, and
//! closes its connections only when stdin ends, so that neither clock reading
//! falls into work that is not counted. By hand: `echo | load ...`. When
//! datagrams were lost and had to be sent again, it says `lost N` on stderr.
#![forbid(unsafe_code)]

use std::io::{self, Read};
use std::net::SocketAddr;

use anyhow::ensure;
use clap::{Args, Parser, Subcommand, ValueEnum};
use peers::load::{
    Broadcast, Connection, Handshakes, Http, Load, Run, Shape, Tcp, Tls, Udp, Ws, raise_open_files,
};

/// Keeps messages in flight on many connections to a server that answers each
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    exchange: Option<Exchange>,
}

#[derive(Subcommand)]
enum Mode {
    /// Opens connections and holds them until stdin ends
    Idle(Idle),
    /// The same as without a command, with datagrams
    Udp(Exchange),
    /// The same with requests for HTTP; the size is that of a response's body
    Http(Exchange),
    /// The same with messages of WebSocket
    Ws(Exchange),
    /// The same with messages of WebSocket that some send and all receive, each of which counts once
    /// for each receiver
    Broadcast {
        #[command(flatten)]
        exchange: Exchange,
        /// How many connections send
        #[arg(long, default_value_t = 10)]
        senders: usize,
    },
    /// The same with messages by TLS
    Tls(Exchange),
    /// Connections one after another, each with a full handshake by TLS and one byte echoed; a
    /// message is a connection
    Handshakes(Exchange),
}

#[derive(Args)]
struct Exchange {
    #[arg(long)]
    connect: SocketAddr,
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Bytes of a message [default: 64, or what the protocol has]
    #[arg(long)]
    size: Option<usize>,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1)]
    outstanding: usize,
    /// Messages, over all connections, before those that are counted
    #[arg(long, default_value_t = 20_000)]
    warmup: u64,
    /// Messages that are counted
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
}

#[derive(Args)]
struct Idle {
    #[arg(long)]
    connect: SocketAddr,
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Has one message of so many bytes echoed on each connection first
    #[arg(long, default_value_t = 0)]
    touch: usize,
    #[arg(long, value_enum, default_value_t = Held::Tcp)]
    protocol: Held,
    /// Offers to compress messages of WebSocket, which the server has to accept
    #[arg(long)]
    deflate: bool,
}

/// What idle connections speak.
#[derive(Clone, Copy, ValueEnum)]
enum Held {
    Tcp,
    Tls,
    Ws,
}

impl Exchange {
    fn shape(&self, size: usize) -> Shape {
        Shape {
            connections: self.connections,
            size: self.size.unwrap_or(size),
            outstanding: self.outstanding,
            deflate: false,
        }
    }
}

fn run<C: Connection>(arguments: &Exchange) -> anyhow::Result<()> {
    let mut load = Load::<C>::connect(arguments.connect, &arguments.shape(C::SIZE))?;
    take_turns(arguments, |messages| load.run(messages))
}

fn run_broadcast(arguments: &Exchange, senders: usize) -> anyhow::Result<()> {
    let shape = arguments.shape(Broadcast::SIZE);
    let mut load = Broadcast::connect(arguments.connect, &shape, senders)?;
    take_turns(arguments, |messages| load.run(messages))
}

fn run_handshakes(arguments: &Exchange) -> anyhow::Result<()> {
    let mut load = Handshakes::new(arguments.connect)?;
    take_turns(arguments, |messages| load.run(messages))
}

fn take_turns(
    arguments: &Exchange,
    mut run: impl FnMut(u64) -> anyhow::Result<Run>,
) -> anyhow::Result<()> {
    println!("connected {}", arguments.connections);
    let warmup = run(arguments.warmup)?;
    println!("warm");
    io::stdin().read_line(&mut String::new())?;
    let counted = run(arguments.messages)?;
    let lost = warmup.lost + counted.lost;
    if lost > 0 {
        eprintln!("lost {lost}");
    }
    println!(
        "done {} seconds {:.6}",
        arguments.messages,
        counted.elapsed.as_secs_f64()
    );
    wait_for_end()
}

fn run_idle<C: Connection>(arguments: &Idle) -> anyhow::Result<()> {
    let shape = Shape {
        connections: arguments.connections,
        size: arguments.touch.max(1),
        outstanding: 1,
        deflate: arguments.deflate,
    };
    let mut load = Load::<C>::connect(arguments.connect, &shape)?;
    if arguments.touch > 0 {
        load.run(arguments.connections as u64)?;
    }
    println!("connected {}", arguments.connections);
    wait_for_end()
}

fn wait_for_end() -> anyhow::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    raise_open_files()?;
    match (arguments.mode, arguments.exchange) {
        (Some(Mode::Idle(idle)), _) => {
            let is_ws = matches!(idle.protocol, Held::Ws);
            ensure!(is_ws || !idle.deflate, "--deflate needs --protocol ws");
            match idle.protocol {
                Held::Tcp => run_idle::<Tcp>(&idle),
                Held::Tls => run_idle::<Tls>(&idle),
                Held::Ws => run_idle::<Ws>(&idle),
            }
        }
        (Some(Mode::Udp(exchange)), _) => run::<Udp>(&exchange),
        (Some(Mode::Http(exchange)), _) => run::<Http>(&exchange),
        (Some(Mode::Ws(exchange)), _) => run::<Ws>(&exchange),
        (Some(Mode::Broadcast { exchange, senders }), _) => run_broadcast(&exchange, senders),
        (Some(Mode::Tls(exchange)), _) => run::<Tls>(&exchange),
        (Some(Mode::Handshakes(exchange)), _) => run_handshakes(&exchange),
        (None, Some(exchange)) => run::<Tcp>(&exchange),
        (None, None) => anyhow::bail!("give --connect ADDRESS:PORT; see --help"),
    }
}
