//! `compare tcp`, `udp`, `http`, `ws` and `tls`: the servers' CPU time for each
//! message and its answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::procfs;
use super::run::{Bench, Common, SETTLE, Shape, run_counted};
use super::scenario::{Scenario, Server};
use super::stats::Quartiles;
use super::table::{Group, Table};

const QUARTILES: &[&str] = &["q1", "median", "q3"];

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shape: Shape,
    /// Rounds; each runs every server once
    #[arg(long, default_value_t = 15)]
    pairs: usize,
    /// Messages before those that are counted [default: 20000, of handshakes 500]
    #[arg(long)]
    warmup: Option<u64>,
    /// Messages that are counted, in each run [default: 200000, with HTTP 150000, of a broadcast
    /// 500000, which are counted as they are delivered, of handshakes 3000]
    #[arg(long, visible_alias = "requests")]
    messages: Option<u64>,
    /// Also writes every run's figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Arguments {
    fn messages(&self, scenario: &Scenario) -> u64 {
        self.messages.unwrap_or(scenario.messages)
    }

    fn warmup(&self, scenario: &Scenario) -> u64 {
        self.warmup.unwrap_or(scenario.warmup)
    }
}

/// One run of one server.
#[derive(Serialize)]
struct Sample {
    round: usize,
    server: &'static str,
    messages: u64,
    cpu_nanoseconds: u64,
    seconds: f64,
}

impl Sample {
    fn microseconds_per_message(&self) -> f64 {
        self.cpu_nanoseconds as f64 / 1000.0 / self.messages as f64
    }
}

pub fn run(scenario: &'static Scenario, arguments: &Arguments) -> anyhow::Result<()> {
    let bench = Bench::prepare(scenario, &arguments.common)?;
    let mut samples = Vec::new();
    let mut order = bench.servers.clone();
    for round in 1..=arguments.pairs {
        eprintln!("round {round} of {}", arguments.pairs);
        for server in &order {
            let sample = measure(&bench, server, arguments, round)
                .with_context(|| format!("server `{}`, round {round}", server.name))?;
            samples.push(sample);
        }
        // No server is always the one that runs after a certain other one has
        // warmed or throttled the CPU.
        order.rotate_left(1);
    }
    if let Some(path) = &arguments.json {
        write_json(path, scenario, arguments, &samples)?;
    }
    print(&bench, arguments, &samples);
    Ok(())
}

fn measure(
    bench: &Bench,
    server: &Server,
    arguments: &Arguments,
    round: usize,
) -> anyhow::Result<Sample> {
    let running = bench.start_server(server, &[])?;
    let pid = running.child.pid();
    let messages = arguments.messages(bench.scenario);
    let warmup = arguments.warmup(bench.scenario);
    let mut load = bench.start_warm_load(&running, &arguments.shape, warmup, messages)?;
    thread::sleep(SETTLE);
    let before = procfs::cpu_time(pid)?;
    let seconds = run_counted(&mut load)?;
    thread::sleep(SETTLE);
    let used = procfs::cpu_time(pid)? - before;
    Ok(Sample {
        round,
        server: server.name,
        messages,
        cpu_nanoseconds: used.as_nanos() as u64,
        seconds,
    })
}

fn write_json(
    path: &Path,
    scenario: &Scenario,
    arguments: &Arguments,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let document = serde_json::json!({
        "scenario": scenario.protocol,
        "connections": arguments.shape.connections(scenario),
        "size": arguments.shape.size(scenario),
        "outstanding": arguments.shape.outstanding,
        "warmup": arguments.warmup(scenario),
        "messages": arguments.messages(scenario),
        "samples": samples,
    });
    fs::write(path, serde_json::to_string_pretty(&document)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

fn print(bench: &Bench, arguments: &Arguments, samples: &[Sample]) {
    let (scenario, unit) = (bench.scenario, bench.scenario.unit);
    println!(
        "{}; {} rounds of {} {unit}s",
        arguments.shape.describe(scenario),
        arguments.pairs,
        arguments.messages(scenario)
    );
    let mut groups = vec![
        Group::new("", &["server"]),
        Group::new(format!("CPU us per {unit}"), QUARTILES),
    ];
    let ratios = scenario.baselines.iter();
    groups.extend(ratios.map(|name| Group::new(format!("ratio to {name}"), QUARTILES)));
    let floor = scenario.floor.iter();
    groups.extend(floor.map(|name| Group::new(format!("us more than {name}"), QUARTILES)));
    groups.push(Group::new(format!("{unit}s/s"), &["median"]));
    let mut table = Table::new(groups);
    for server in &bench.servers {
        table.push(row(scenario, server.name, samples));
    }
    print!("\n{table}");
}

/// A server's samples, in the order of the rounds.
fn of_server<'a>(samples: &'a [Sample], name: &str) -> Vec<&'a Sample> {
    let own = samples.iter().filter(|sample| sample.server == name);
    own.collect()
}

fn row(scenario: &Scenario, name: &str, samples: &[Sample]) -> Vec<String> {
    let costs = |name| -> Vec<f64> {
        let own = of_server(samples, name).into_iter();
        own.map(Sample::microseconds_per_message).collect()
    };
    let own = costs(name);
    // Within a round, so that what slows a whole round slows both sides.
    let beside = |other, compare: fn(f64, f64) -> f64| -> [String; 3] {
        let pairs = own.iter().zip(costs(other));
        quartile_cells(&pairs.map(|(&a, b)| compare(a, b)).collect::<Vec<_>>())
    };
    let rates: Vec<f64> = of_server(samples, name)
        .iter()
        .map(|sample| sample.messages as f64 / sample.seconds)
        .collect();
    let mut row = vec![name.to_owned()];
    row.extend(quartile_cells(&own));
    for baseline in scenario.baselines {
        row.extend(beside(baseline, |cost, base| cost / base));
    }
    if let Some(floor) = scenario.floor {
        row.extend(beside(floor, |cost, base| cost - base));
    }
    row.extend(Quartiles::of(&rates).map(|rates| format!("{:.0}", rates.median)));
    row
}

fn quartile_cells(values: &[f64]) -> [String; 3] {
    match Quartiles::of(values) {
        Some(quartiles) => {
            [quartiles.first, quartiles.median, quartiles.third].map(|value| format!("{value:.3}"))
        }
        None => ["-"; 3].map(str::to_owned),
    }
}
