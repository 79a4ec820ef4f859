//! `compare idle`: the servers' resident memory for each connection that is
//! open and silent.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::procfs;
use super::run::{Bench, Common, RUN_LIMIT};
use super::scenario::{Scenario, Server, TCP_IDLE, TLS_IDLE, WS_IDLE, WS_IDLE_DEFLATE};
use super::table::{Group, Table};

/// Memory is settled when it stays the same for this long.
const STEADY: Duration = Duration::from_millis(500);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Has one message of so many bytes echoed on each connection first
    #[arg(long, default_value_t = 0)]
    touch: usize,
    /// What the connections speak
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,
    /// Has compression agreed on, without context take-over (only by WebSocket)
    #[arg(long)]
    deflate: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Tcp,
    Tls,
    Ws,
}

impl Arguments {
    fn scenario(&self) -> anyhow::Result<&'static Scenario> {
        Ok(match (self.protocol, self.deflate) {
            (Protocol::Tcp, false) => &TCP_IDLE,
            (Protocol::Tls, false) => &TLS_IDLE,
            (Protocol::Tcp | Protocol::Tls, true) => bail!("--deflate needs --protocol ws"),
            (Protocol::Ws, false) => &WS_IDLE,
            (Protocol::Ws, true) => &WS_IDLE_DEFLATE,
        })
    }
}

/// Resident bytes without and with the connections.
struct Memory {
    before: u64,
    after: u64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bench = Bench::prepare(arguments.scenario()?, &arguments.common)?;
    let mut table = Table::new(vec![
        Group::new("", &["server"]),
        Group::new("resident KiB", &["without", "with"]),
        Group::new("bytes per connection", &[""]),
    ]);
    for server in &bench.servers {
        eprintln!("server {}", server.name);
        let memory = measure(&bench, server, arguments)
            .with_context(|| format!("server `{}`", server.name))?;
        let added = memory.after as f64 - memory.before as f64;
        table.push(vec![
            server.name.to_owned(),
            (memory.before / 1024).to_string(),
            (memory.after / 1024).to_string(),
            format!("{:.0}", added / arguments.connections as f64),
        ]);
    }
    let past = match arguments.touch {
        0 => "which never sent anything".to_owned(),
        size => format!("which had one message of {size} bytes echoed"),
    };
    println!(
        "{} idle connections ({}), {past}",
        arguments.connections, bench.scenario.title
    );
    print!("\n{table}");
    Ok(())
}

fn measure(bench: &Bench, server: &Server, arguments: &Arguments) -> anyhow::Result<Memory> {
    let running = bench.start_server(server, &[])?;
    let pid = running.child.pid();
    let before = settled_memory(pid, 0)?;
    let options: [(&str, &dyn ToString); 2] = [
        ("--connections", &arguments.connections),
        ("--touch", &arguments.touch),
    ];
    let load = bench.start_load(&running, &options)?;
    load.expect("connected ", RUN_LIMIT)?;
    let after = settled_memory(pid, arguments.connections)?;
    Ok(Memory { before, after })
}

/// Waits until the server has accepted so many connections and its memory has
/// stopped changing.
fn settled_memory(pid: u32, connections: usize) -> anyhow::Result<u64> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut last = procfs::resident(pid)?;
    while Instant::now() < deadline {
        thread::sleep(STEADY);
        let now = procfs::resident(pid)?;
        if now == last && procfs::open_files(pid)? >= connections {
            return Ok(now);
        }
        last = now;
    }
    bail!(
        "not settled in {SETTLE_LIMIT:?}, with {} files open",
        procfs::open_files(pid)?
    )
}
