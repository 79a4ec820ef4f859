//! A switchboard with a person at it: clients ask, and whoever sits at the terminal types the
//! answers.
//!
//! ```sh
//! cargo run --release --example operator               # then, in other terminals:
//! cargo run --release --example client -- tcp 127.0.0.1:1234
//! ```
//!
//! Who asked first is answered first, and hung up on then, unless `--keep` says otherwise. While
//! the operator thinks, everybody else is served: the terminal is one more line of the loop.

use std::collections::VecDeque;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use switchboard::{CloseReason, Config, ConnId, Listen, Reactor, tcp};

/// A server whose answers are typed by the person at the terminal.
#[derive(Parser)]
struct Args {
    /// Address to serve on. Port 0 lets the system choose.
    #[arg(default_value = "127.0.0.1:1234")]
    address: String,
    /// Keep the connection after an answer.
    #[arg(long)]
    keep: bool,
}

struct Desk {
    keep: bool,
    /// Those who wait for an answer, the first one first.
    waiting: VecDeque<ConnId>,
}

impl Desk {
    fn prompt(&self) {
        if !self.waiting.is_empty() {
            print!("answer: ");
        }
        std::io::stdout().flush().ok();
    }
}

/// Callers: text, in whatever pieces it comes.
impl tcp::Handler<tcp::Text> for Desk {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Text>) -> Option<()> {
        if let Some(peer) = cx.info().and_then(|info| info.peer_addr) {
            println!("connected by {peer}");
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Text>, (): &mut (), text: &str) {
        // What a stranger sent may contain what a terminal would obey.
        let is_order = |c: char| c.is_control() && c != '\n' && c != '\t';
        let text = text.trim_end().replace(is_order, "\u{fffd}");
        println!("{}: {text}", cx.id());
        self.waiting.push_back(cx.id());
        if self.waiting.len() == 1 {
            self.prompt();
        }
    }

    fn on_error(&mut self, cx: &mut tcp::Cx<'_, tcp::Text>, (): &mut (), error: tcp::text::Error) {
        println!("{}: {error}", cx.id());
    }

    /// Who has finished asking may still wait for the answer.
    fn on_eof(&mut self, cx: &mut tcp::Cx<'_, tcp::Text>, (): &mut ()) {
        if !self.waiting.contains(&cx.id()) {
            cx.close_for(CloseReason::Peer);
        }
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, tcp::Text>, (): (), reason: CloseReason) {
        let id = cx.id();
        log::debug!("{id} ended: {reason}");
        if self.waiting.contains(&id) {
            // Whose answer is being typed may have changed by that.
            println!("\n{id} has left");
            self.waiting.retain(|waiting| *waiting != id);
            self.prompt();
        }
    }
}

/// The terminal: lines.
impl tcp::Handler<tcp::Lines> for Desk {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): &mut (), answer: &[u8]) {
        let Some(caller) = self.waiting.pop_front() else {
            return println!("nobody is waiting for an answer");
        };
        cx.hub().send(caller, answer).ignore();
        if !self.keep {
            cx.hub().close(caller);
            self.waiting.retain(|waiting| *waiting != caller);
        }
        self.prompt();
    }

    /// The operator has left.
    fn on_close(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): (), _: CloseReason) {
        cx.shutdown(Duration::from_secs(1));
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
    let mut reactor = Reactor::new(Config::default())?;
    let callers = reactor.add_driver(tcp::Framed::new(tcp::Text));
    let terminal = reactor.add_driver(tcp::Framed::new(tcp::Lines::default()));
    let listening = reactor.listen(Listen::tcp(&args.address), callers)?;
    println!("listening tcp {}", listening.local_addr);
    println!("server started; Ctrl-D ends it");
    reactor.adopt(switchboard::stdin()?, terminal)?;
    let mut desk = Desk {
        keep: args.keep,
        waiting: VecDeque::new(),
    };
    reactor.run(&mut desk)
}
