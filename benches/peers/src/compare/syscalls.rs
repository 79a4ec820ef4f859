//! `compare syscalls`: the servers' system calls for each message, counted by
//! strace.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use super::run::{Bench, Common, Shape, is_present, run_counted};
use super::scenario::{Protocol, Server};
use super::table::{Group, Table};
use super::temporary::Folder;

const END_LIMIT: Duration = Duration::from_secs(60);

const RECEIVE: &[&str] = &["read", "readv", "recvfrom", "recvmsg", "recvmmsg"];
const SEND: &[&str] = &["write", "writev", "sendto", "sendmsg", "sendmmsg"];
const WAIT: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];
const CONTROL: &[&str] = &["epoll_ctl"];

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shape: Shape,
    /// Whose servers are measured
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,
    #[arg(long, visible_alias = "requests", default_value_t = 50_000)]
    messages: u64,
}

/// strace's summary: how often each call was made.
struct Summary(Vec<(String, u64)>);

impl Summary {
    /// `None` while the closing line of totals is missing: strace has not
    /// written everything yet.
    fn parse(text: &str) -> Option<Self> {
        let mut calls: Vec<_> = text.lines().filter_map(parse_line).collect();
        let (last, _) = calls.pop()?;
        (last == "total").then_some(Self(calls))
    }

    /// strace ends after the server, and on its own.
    fn wait_for(path: &Path) -> anyhow::Result<Self> {
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline {
            let text = fs::read_to_string(path).context("strace made no file")?;
            if let Some(summary) = Self::parse(&text) {
                return Ok(summary);
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("strace wrote no summary in {END_LIMIT:?}")
    }

    fn calls(&self, names: &[&str]) -> u64 {
        let counted = self.0.iter();
        counted
            .filter(|(name, _)| names.contains(&name.as_str()))
            .map(|(_, calls)| calls)
            .sum()
    }

    fn all(&self) -> u64 {
        self.0.iter().map(|(_, calls)| calls).sum()
    }
}

/// `% time, seconds, usecs/call, calls, [errors,] syscall`
fn parse_line(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    let calls = fields.get(3)?.parse().ok()?;
    Some((name.to_owned(), calls))
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !is_present("strace") {
        return Ok(());
    }
    let bench = Bench::prepare(arguments.protocol.scenario(), &arguments.common)?;
    let unit = bench.scenario.unit;
    let folder = Folder::create()?;
    let mut table = Table::new(vec![
        Group::new("", &["server"]),
        Group::new(
            format!("calls per {unit}"),
            &["receive", "send", "epoll_wait", "all"],
        ),
        Group::new("calls", &["epoll_ctl"]),
    ]);
    for server in &bench.servers {
        eprintln!("server {}", server.name);
        let summary = measure(&bench, server, arguments, &folder.path().join(server.name))
            .with_context(|| format!("server `{}`", server.name))?;
        let share = |calls: u64| format!("{:.3}", calls as f64 / arguments.messages as f64);
        table.push(vec![
            server.name.to_owned(),
            share(summary.calls(RECEIVE)),
            share(summary.calls(SEND)),
            share(summary.calls(WAIT)),
            share(summary.all()),
            summary.calls(CONTROL).to_string(),
        ]);
    }
    println!(
        "System calls under strace. {}; {} {unit}s",
        arguments.shape.describe(bench.scenario),
        arguments.messages
    );
    print!("\n{table}");
    Ok(())
}

fn measure(
    bench: &Bench,
    server: &Server,
    arguments: &Arguments,
    output: &Path,
) -> anyhow::Result<Summary> {
    // With -D the child is the server and strace its descendant: the id is the
    // one to signal, and when it is killed strace ends too.
    let mut strace = ["strace", "-D", "-c", "-f", "-qq", "-o"]
        .map(str::to_owned)
        .to_vec();
    strace.push(output.display().to_string());
    let running = bench.start_server(server, &strace)?;
    let mut load = bench.start_warm_load(&running, &arguments.shape, 0, arguments.messages)?;
    run_counted(&mut load)?;
    running.child.terminate()?;
    // A server that ends gracefully waits for its clients.
    drop(load);
    Summary::wait_for(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_summary_with_and_without_errors() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000030           1        30           recvfrom
 40.00    0.000020           1        20         3 read
  0.00    0.000000           0         7           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.000050           0        57         3 total
";
        let summary = Summary::parse(text).unwrap();
        assert_eq!(summary.calls(RECEIVE), 50);
        assert_eq!(summary.calls(WAIT), 7);
        assert_eq!(summary.calls(SEND), 0);
        assert_eq!(summary.all(), 57);
    }

    #[test]
    fn an_unfinished_summary_is_none() {
        assert!(Summary::parse("").is_none());
        assert!(Summary::parse(" 60.00 0.000030 1 30 recvfrom\n").is_none());
    }
}
