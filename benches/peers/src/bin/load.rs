//! The load client: one thread that keeps messages in flight on many
//! connections and checks every byte that comes back.
//!
//! Run: `cargo run --release --bin load -- --connect 127.0.0.1:PORT` for TCP,
//! `load udp --connect 127.0.0.1:PORT` for datagrams, `load http --connect
//! 127.0.0.1:PORT` for requests, or `load idle --connect 127.0.0.1:PORT` to open
//! TCP connections and hold them.
//!
//! It takes turns with whoever measures: it says `connected N`, then `warm` once
//! nothing is in flight, waits for a line on stdin, says `done N seconds S`, and
//! closes its connections only when stdin ends, so that neither clock reading
//! falls into work that is not counted. By hand: `echo | load ...`. When
//! datagrams were lost and had to be sent again, it says `lost N` on stderr.
#![forbid(unsafe_code)]

use std::io::{self, Read};
use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use peers::load::{Connection, Http, Load, Shape, Tcp, Udp, raise_open_files};

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
    /// Opens TCP connections and holds them until stdin ends
    Idle(Idle),
    /// The same as without a command, with datagrams
    Udp(Exchange),
    /// The same with requests for HTTP; the size is that of a response's body
    Http(Exchange),
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
}

fn run<C: Connection>(arguments: &Exchange) -> anyhow::Result<()> {
    let shape = Shape {
        connections: arguments.connections,
        size: arguments.size.unwrap_or(C::SIZE),
        outstanding: arguments.outstanding,
    };
    let mut load = Load::<C>::connect(arguments.connect, &shape)?;
    println!("connected {}", arguments.connections);
    let warmup = load.run(arguments.warmup)?;
    println!("warm");
    io::stdin().read_line(&mut String::new())?;
    let counted = load.run(arguments.messages)?;
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

fn run_idle(arguments: &Idle) -> anyhow::Result<()> {
    let shape = Shape {
        connections: arguments.connections,
        size: arguments.touch.max(1),
        outstanding: 1,
    };
    let mut load = Load::<Tcp>::connect(arguments.connect, &shape)?;
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
        (Some(Mode::Idle(idle)), _) => run_idle(&idle),
        (Some(Mode::Udp(exchange)), _) => run::<Udp>(&exchange),
        (Some(Mode::Http(exchange)), _) => run::<Http>(&exchange),
        (None, Some(exchange)) => run::<Tcp>(&exchange),
        (None, None) => anyhow::bail!("give --connect ADDRESS:PORT; see --help"),
    }
}
