//! Compares switchboard's servers with minimal peers: CPU time, memory, system
//! calls and instructions for each message or connection.
//!
//! Run: `cargo run --release -- tcp` (or `udp`, `http`, `ws`, `tls`, `idle`,
//! `syscalls`, `instructions`; `--help` lists the options). It builds what it
//! needs. See README.md.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Parser, Subcommand};
use peers::compare::scenario::{HTTP, TCP, TLS, TLS_HANDSHAKES, UDP, WS, WS_BROADCAST};
use peers::compare::{child, cpu, idle, instructions, syscalls};
use peers::load::raise_open_files;

/// Compares switchboard's servers with minimal peers
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Measure {
    /// CPU time of a TCP echo
    Tcp(cpu::Arguments),
    /// CPU time of a UDP echo
    Udp(cpu::Arguments),
    /// CPU time of an HTTP request
    Http(cpu::Arguments),
    /// CPU time of a WebSocket echo, or of a message to everybody
    Ws {
        #[command(flatten)]
        arguments: cpu::Arguments,
        /// 10 connections send, and each message goes to all
        #[arg(long)]
        broadcast: bool,
    },
    /// CPU time of an echo by TLS, or of a connection
    Tls {
        #[command(flatten)]
        arguments: cpu::Arguments,
        /// Connections one after another, each with a full handshake, and one byte echoed
        #[arg(long)]
        handshakes: bool,
    },
    /// Memory of idle connections
    Idle(idle::Arguments),
    /// System calls of a message and its answer (needs strace)
    Syscalls(syscalls::Arguments),
    /// User-space instructions of a message and its answer (needs valgrind)
    Instructions(instructions::Arguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // The servers inherit it.
    raise_open_files().context("cannot raise the limit of open files")?;
    child::kill_on_signal()?;
    match &arguments.measure {
        Measure::Tcp(arguments) => cpu::run(&TCP, arguments),
        Measure::Udp(arguments) => cpu::run(&UDP, arguments),
        Measure::Http(arguments) => cpu::run(&HTTP, arguments),
        Measure::Ws {
            arguments,
            broadcast: false,
        } => cpu::run(&WS, arguments),
        Measure::Ws { arguments, .. } => cpu::run(&WS_BROADCAST, arguments),
        Measure::Tls {
            arguments,
            handshakes: false,
        } => cpu::run(&TLS, arguments),
        Measure::Tls { arguments, .. } => cpu::run(&TLS_HANDSHAKES, arguments),
        Measure::Idle(arguments) => idle::run(arguments),
        Measure::Syscalls(arguments) => syscalls::run(arguments),
        Measure::Instructions(arguments) => instructions::run(arguments),
    }
}
