//! Compares switchboard's echo server with minimal peers: CPU time, memory,
//! system calls and instructions for each message or connection.
//!
//! Run: `cargo run --release -- tcp` (or `idle`, `syscalls`, `instructions`;
//! `--help` lists the options). It builds what it needs. See README.md.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Parser, Subcommand};
use peers::compare::{child, idle, instructions, syscalls, tcp};
use peers::load::raise_open_files;

/// Compares switchboard's echo server with minimal peers
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Measure {
    /// CPU time of a TCP echo
    Tcp(tcp::Arguments),
    /// Memory of idle TCP connections
    Idle(idle::Arguments),
    /// System calls of a TCP echo (needs strace)
    Syscalls(syscalls::Arguments),
    /// User-space instructions of a TCP echo (needs valgrind)
    Instructions(instructions::Arguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // The servers inherit it.
    raise_open_files().context("cannot raise the limit of open files")?;
    child::kill_on_signal()?;
    match &arguments.measure {
        Measure::Tcp(arguments) => tcp::run(arguments),
        Measure::Idle(arguments) => idle::run(arguments),
        Measure::Syscalls(arguments) => syscalls::run(arguments),
        Measure::Instructions(arguments) => instructions::run(arguments),
    }
}
