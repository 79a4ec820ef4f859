//! Starts servers and load clients, each on its own CPU.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use super::build::Programs;
use super::child::Child;
use super::scenario::{Scenario, Server};

/// Valgrind alone needs seconds to start a program.
pub const START_LIMIT: Duration = Duration::from_secs(60);
/// For a whole run of the load client, a slow tool around the server included.
pub const RUN_LIMIT: Duration = Duration::from_secs(1800);
/// Time for a server to go back to sleep after its last message.
pub const SETTLE: Duration = Duration::from_millis(50);

/// What every comparison can be told.
#[derive(Args)]
pub struct Common {
    /// A built server to run as `switchboard`; nothing is built in the main project then
    #[arg(long, value_name = "PATH")]
    ours: Option<PathBuf>,
    /// Only these servers (repeated, or separated by commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    client_cpu: usize,
}

/// How the load client uses its connections.
#[derive(Args)]
pub struct Shape {
    /// [default: 50, for a broadcast 1000, of handshakes 1]
    #[arg(long)]
    connections: Option<usize>,
    /// Bytes of a message [default: 64, by WebSocket 20, by TLS 1024]; bodies of HTTP always have 200
    #[arg(long)]
    size: Option<usize>,
    /// Messages in flight on each connection
    #[arg(long, visible_alias = "pipeline", default_value_t = 1)]
    pub outstanding: usize,
}

impl Shape {
    pub fn size(&self, scenario: &Scenario) -> usize {
        self.size.unwrap_or(scenario.size)
    }

    pub fn connections(&self, scenario: &Scenario) -> usize {
        self.connections.unwrap_or(scenario.connections)
    }

    pub fn describe(&self, scenario: &Scenario) -> String {
        format!(
            "{}: {} connections, {} of {} bytes, {} outstanding on each",
            scenario.title,
            self.connections(scenario),
            scenario.sized,
            self.size(scenario),
            self.outstanding
        )
    }
}

/// A scenario with everything built.
pub struct Bench {
    pub scenario: &'static Scenario,
    pub servers: Vec<&'static Server>,
    programs: Programs,
    server_cpu: usize,
    client_cpu: usize,
}

/// A server that is ready for clients.
pub struct Running {
    pub child: Child,
    pub address: SocketAddr,
    /// The load client's command.
    load: &'static [&'static str],
}

impl Bench {
    pub fn prepare(scenario: &'static Scenario, common: &Common) -> anyhow::Result<Self> {
        for name in &common.only {
            let mut servers = scenario.servers.iter();
            ensure!(
                servers.any(|server| server.name == name),
                "there is no server `{name}`"
            );
        }
        let is_wanted = |server: &&Server| {
            common.only.is_empty() || common.only.iter().any(|name| name == server.name)
        };
        let mut servers: Vec<_> = scenario.servers.iter().filter(is_wanted).collect();
        eprintln!("building");
        let programs = Programs::build(&mut servers, common.ours.as_deref())?;
        Ok(Self {
            scenario,
            servers,
            programs,
            server_cpu: common.server_cpu,
            client_cpu: common.client_cpu,
        })
    }

    /// Starts a server, under another program (its words first) if one is given.
    pub fn start_server(&self, server: &Server, under: &[String]) -> anyhow::Result<Running> {
        let mut command = pinned(self.server_cpu);
        command
            .args(under)
            .arg(self.programs.path(server))
            .args(server.arguments);
        let spoken = server.instead.unwrap_or(self.scenario);
        let child = Child::start(&mut command)?;
        let address = child
            .expect(&format!("listening {} ", spoken.protocol), START_LIMIT)
            .with_context(|| format!("the server `{}` did not start", server.name))?
            .trim()
            .parse()
            .context("the server announced no address")?;
        let load = spoken.load;
        Ok(Running {
            child,
            address,
            load,
        })
    }

    /// Starts the load client for a server with these options and values.
    pub fn start_load(
        &self,
        server: &Running,
        options: &[(&str, &dyn ToString)],
    ) -> anyhow::Result<Child> {
        let mut command = pinned(self.client_cpu);
        command
            .arg(self.programs.load())
            .args(server.load)
            .arg("--connect")
            .arg(server.address.to_string());
        for (name, value) in options {
            command.arg(name).arg(value.to_string());
        }
        Child::start(&mut command)
    }

    /// Starts a load client, which is connected and warm when this returns.
    pub fn start_warm_load(
        &self,
        server: &Running,
        shape: &Shape,
        warmup: u64,
        messages: u64,
    ) -> anyhow::Result<Child> {
        let options: [(&str, &dyn ToString); 5] = [
            ("--connections", &shape.connections(self.scenario)),
            ("--size", &shape.size(self.scenario)),
            ("--outstanding", &shape.outstanding),
            ("--warmup", &warmup),
            ("--messages", &messages),
        ];
        let load = self.start_load(server, &options)?;
        load.expect("connected ", RUN_LIMIT)?;
        load.expect("warm", RUN_LIMIT)?;
        Ok(load)
    }
}

/// Has a warm load client do its counted part, and returns the seconds it took.
pub fn run_counted(load: &mut Child) -> anyhow::Result<f64> {
    load.send_line()?;
    let done = load.expect("done ", RUN_LIMIT)?;
    let seconds = done.rsplit(' ').next().and_then(|last| last.parse().ok());
    seconds.with_context(|| format!("the load client said `done {done}`"))
}

/// Whether a program can be run at all; if not, says that it is skipped.
pub fn is_present(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output();
    if let Err(error) = &found {
        println!("skipped: cannot run {tool}: {error}");
    }
    found.is_ok()
}

/// `taskset` becomes the program that it runs, so that the process id stays.
fn pinned(cpu: usize) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cpu.to_string());
    command
}
