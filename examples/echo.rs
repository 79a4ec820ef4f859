//! An echo server: what comes in goes out, byte for byte.
//!
//! ```sh
//! cargo run --release --example echo                   # then, in another terminal:
//! nc 127.0.0.1 7000                                    # type, and read it back; Ctrl-D finishes
//! head -c 100M /dev/urandom | tee sent | nc -N 127.0.0.1 7000 | cmp - sent
//! ```
//!
//! `RUST_LOG=trace` shows each step: socket, bind, listen, register, accept, close.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use switchboard::{
    CloseReason, Config, ConnId, Driver, DriverId, Hub, Limits, Listen, Origin, Reactor, tcp,
};

/// An echo server: what comes in goes out, byte for byte.
#[derive(Parser)]
struct Args {
    /// Address to serve TCP on; may be given several times. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    tcp: Vec<String>,
    /// Close connections that are idle for this many seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    idle_timeout: Option<Duration>,
    /// Let further clients wait while this many connections are open.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
    /// Close connections for which more than this many bytes wait to be sent.
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    max_backlog: usize,
    /// On SIGINT or SIGTERM, give connections this many seconds to finish.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    drain: Duration,
}

struct Echo;

impl tcp::Handler for Echo {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        log::debug!("{} opened: {:?}", cx.id(), cx.info());
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), message: &[u8]) {
        // A peer that reads slowly is not read from either; one that never reads is closed in the
        // end.
        cx.send(message).ignore();
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): (), reason: CloseReason) {
        log::debug!("{} ended: {reason}", cx.id());
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> std::io::Result<()> {
    let limits = Limits {
        idle_timeout: args.idle_timeout,
        max_backlog: args.max_backlog,
        ..Limits::default()
    };
    let mut reactor = Reactor::new(Config::default())?;
    stop_on_signals(&mut reactor, args.drain)?;
    let echo = reactor.add_driver(tcp::Framed::raw());
    for address in &args.tcp {
        let mut listen = Listen::tcp(address).limits(limits);
        if let Some(most) = args.max_connections {
            listen = listen.max_connections(most as usize);
        }
        let listening = reactor.listen(listen, echo)?;
        println!("listening tcp {}", listening.local_addr);
    }
    std::io::stdout().flush()?;
    reactor.run(&mut Echo)
}

/// Signals as just another connection: the handler writes a byte into one end of a socket pair, and
/// the loop reads the other.
struct Signals {
    drain: Duration,
    stopping: bool,
}

impl Driver<Echo> for Signals {
    fn on_open(&mut self, _: &mut Echo, hub: &mut Hub, id: ConnId, _: Origin) {
        hub.unref(id);
    }

    /// The first signal drains, the second exits at once.
    fn on_data(&mut self, _: &mut Echo, hub: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        if self.stopping || data.len() > 1 {
            std::process::exit(1);
        }
        self.stopping = true;
        hub.shutdown(self.drain);
        data.len()
    }

    /// Stays open while others drain, to see the second signal.
    fn on_stop(&mut self, _: &mut Echo, _: &mut Hub, _: DriverId) {}

    fn on_close(&mut self, _: &mut Echo, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

fn stop_on_signals(reactor: &mut Reactor<Echo>, drain: Duration) -> std::io::Result<()> {
    let signals = reactor.add_driver(Signals {
        drain,
        stopping: false,
    });
    let (ours, theirs) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
    }
    reactor.adopt(ours, signals)?;
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
