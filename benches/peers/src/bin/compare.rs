//! Compares switchboard's echo server with minimal peers: CPU time, memory,
//! system calls and instructions for each message or connection.
//!
//! Run: `cargo run --release -- tcp` (or `udp`, `idle`, `syscalls`,
//! `instructions`; `--help` lists the options). It builds what it needs. See
//! README.md.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Parser, Subcommand};
use peers::compare::scenario::{TCP, UDP};
use peers::compare::{child, echo, idle, instructions, syscalls};
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
    Tcp(echo::Arguments),
    /// CPU time of a UDP echo
    Udp(echo::Arguments),
    /// Memory of idle TCP connections
    Idle(idle::Arguments),
    /// System calls of an echo (needs strace)
    Syscalls(syscalls::Arguments),
    /// User-space instructions of an echo (needs valgrind)
    Instructions(instructions::Arguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // The servers inherit it.
    raise_open_files().context("cannot raise the limit of open files")?;
    child::kill_on_signal()?;
    match &arguments.measure {
        Measure::Tcp(arguments) => echo::run(&TCP, arguments),
        Measure::Udp(arguments) => echo::run(&UDP, arguments),
        Measure::Idle(arguments) => idle::run(arguments),
        Measure::Syscalls(arguments) => syscalls::run(arguments),
        Measure::Instructions(arguments) => instructions::run(arguments),
    }
}
