//! `compare instructions`: the servers' user-space instructions for each
//! message, counted by valgrind's callgrind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use super::run::{Bench, Common, Shape, is_present, run_counted};
use super::scenario::{Protocol, Server};
use super::table::{Group, Table};
use super::temporary::Folder;

const END_LIMIT: Duration = Duration::from_secs(60);

/// Has the C library copy and clear without `rep`: callgrind counts such an
/// instruction once for each byte, so that a long copy would seem to cost 30 times
/// as much as it does.
const WITHOUT_REP: &str = "GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824:\
                           glibc.cpu.x86_rep_stosb_threshold=1073741824";

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shape: Shape,
    /// Whose servers are measured
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,
    /// Messages of the first run
    #[arg(long, default_value_t = 20_000)]
    few: u64,
    /// Messages of the second run; starting and ending cost the same in both
    #[arg(long, default_value_t = 60_000)]
    many: u64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.few < arguments.many, "--few must be below --many");
    if !is_present("valgrind") {
        return Ok(());
    }
    let bench = Bench::prepare(arguments.protocol.scenario(), &arguments.common)?;
    let unit = bench.scenario.unit;
    let folder = Folder::create()?;
    let mut table = Table::new(vec![
        Group::new("", &["server"]),
        Group::new(format!("instructions per {unit}"), &[""]),
    ]);
    for server in &bench.servers {
        eprintln!("server {}", server.name);
        let count = |messages| {
            measure(&bench, server, &arguments.shape, messages, folder.path())
                .with_context(|| format!("server `{}`", server.name))
        };
        let added = count(arguments.many)? as f64 - count(arguments.few)? as f64;
        let per_message = added / (arguments.many - arguments.few) as f64;
        table.push(vec![server.name.to_owned(), format!("{per_message:.0}")]);
    }
    println!(
        "User-space instructions under callgrind. {}; {} {unit}s less {}",
        arguments.shape.describe(bench.scenario),
        arguments.many,
        arguments.few
    );
    print!("\n{table}");
    Ok(())
}

fn measure(
    bench: &Bench,
    server: &Server,
    shape: &Shape,
    messages: u64,
    folder: &Path,
) -> anyhow::Result<u64> {
    let output = folder.join(format!("{}-{messages}", server.name));
    // The debugger's pipes would stay in the temporary folder after a kill.
    let mut valgrind = [
        "env",
        WITHOUT_REP,
        "valgrind",
        "-q",
        "--vgdb=no",
        "--tool=callgrind",
    ]
    .map(str::to_owned)
    .to_vec();
    valgrind.push(format!("--callgrind-out-file={}", output.display()));
    let running = bench.start_server(server, &valgrind)?;
    let mut load = bench.start_warm_load(&running, shape, 0, messages)?;
    run_counted(&mut load)?;
    // Callgrind writes its file also when a signal ends the program.
    running.child.terminate()?;
    drop(load);
    running.child.wait_for_end(END_LIMIT)?;
    let text = fs::read_to_string(&output).context("callgrind wrote no file")?;
    total(&text).context("callgrind's file has no total")
}

fn total(text: &str) -> Option<u64> {
    let last = |label: &str| text.lines().rev().find_map(|line| line.strip_prefix(label));
    let line = last("totals:").or_else(|| last("summary:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_total_and_else_the_summary() {
        assert_eq!(total("summary: 7\nfn=x\ntotals: 9\n"), Some(9));
        assert_eq!(total("summary: 7 1\nfn=x\n"), Some(7));
        assert_eq!(total("fn=x\n"), None);
    }
}
