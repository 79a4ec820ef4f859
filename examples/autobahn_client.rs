//! Runs the cases of the Autobahn test suite's fuzzing server against our WebSocket client: one
//! connection a case, on which everything is echoed.
//!
//! ```sh
//! wstest -m fuzzingserver -s spec.json                               # listens on port 9001
//! cargo run --release --example autobahn_client -- ws://127.0.0.1:9001
//! ```
//!
//! What came of it is in the reports that the server writes. `tests/autobahn/run client` does all of
//! this, and compares.

use std::any::Any;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use switchboard::websocket::{self, Compression, Cx, Dial, Endpoint, Message, Options};
use switchboard::{Config, DriverId, Hub, Reactor, http};

/// Runs the cases of Autobahn's fuzzing server, one after the other.
#[derive(Parser)]
struct Args {
    /// Where the fuzzing server listens.
    #[arg(value_name = "URL", default_value = "ws://127.0.0.1:9001")]
    server: String,
    /// What we are called in its reports.
    #[arg(long, value_name = "NAME", default_value = "switchboard")]
    agent: String,
}

/// What a connection is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// The server says how many cases there are, in its only message.
    Count,
    /// Whatever comes is echoed.
    Case(u32),
    /// The server writes its reports.
    Reports,
}

struct Run {
    args: Args,
    endpoint: DriverId,
    cases: u32,
    failed: Option<String>,
}

impl Run {
    fn connect(&mut self, hub: &mut Hub, purpose: Purpose) {
        let (server, agent) = (&self.args.server, &self.args.agent);
        let url = match purpose {
            Purpose::Count => format!("{server}/getCaseCount"),
            Purpose::Case(number) => format!("{server}/runCase?case={number}&agent={agent}"),
            Purpose::Reports => format!("{server}/updateReports?agent={agent}"),
        };
        match Dial::new(&url) {
            Ok(dial) => drop(Endpoint::<Self>::connect(
                hub,
                dial.ticket(purpose),
                self.endpoint,
            )),
            Err(error) => self.fail(hub, error.to_string()),
        }
    }

    /// What comes after this.
    fn go_on(&mut self, hub: &mut Hub, done: Purpose) {
        let next = match done {
            Purpose::Count => 1,
            Purpose::Case(number) => number + 1,
            Purpose::Reports => return hub.stop(),
        };
        if next > self.cases {
            return self.connect(hub, Purpose::Reports);
        }
        if next % 50 == 0 {
            eprintln!("case {next} of {}", self.cases);
        }
        self.connect(hub, Purpose::Case(next));
    }

    fn fail(&mut self, hub: &mut Hub, error: String) {
        self.failed = Some(error);
        hub.stop();
    }
}

impl websocket::Handler for Run {
    type Conn = Purpose;

    fn on_open(&mut self, cx: &mut Cx<'_>, _: &http::Request<'_>) -> Option<Purpose> {
        let purpose = cx.take_ticket()?.downcast::<Purpose>().ok()?;
        Some(*purpose)
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, purpose: &mut Purpose, message: Message<'_>) {
        match (purpose, message) {
            (Purpose::Count, Message::Text(count)) => match count.parse() {
                Ok(count) => self.cases = count,
                Err(_) => self.fail(cx, format!("`{count}` is no number of cases")),
            },
            _ => cx.send(message).ignore(),
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, purpose: Purpose, _: websocket::Closed<'_>) {
        self.go_on(cx, purpose);
    }

    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        // That the handshake fails may be what a case wants.
        match ticket.and_then(|ticket| ticket.downcast::<Purpose>().ok()) {
            Some(purpose) if matches!(*purpose, Purpose::Case(_)) => self.go_on(hub, *purpose),
            _ => self.fail(hub, error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    env_logger::init();
    match run(args) {
        Ok(cases) => {
            println!("{cases} cases");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("autobahn_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> io::Result<u32> {
    let mut reactor = Reactor::new(Config::default())?;
    let endpoint = reactor.add_driver(Endpoint::with(Options {
        max_message: 32 * 1024 * 1024,
        ping_interval: None,
        deflate: Some(Compression {
            from: 0,
            ..Compression::default()
        }),
        ..Options::default()
    }));
    let mut run = Run {
        args,
        endpoint,
        cases: 0,
        failed: None,
    };
    run.connect(reactor.hub(), Purpose::Count);
    reactor.run(&mut run)?;
    match run.failed {
        None => Ok(run.cases),
        Some(error) => Err(io::Error::other(error)),
    }
}
