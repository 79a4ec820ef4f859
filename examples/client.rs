//! A client for whatever speaks text: what is typed goes out, what comes in is printed, both in one
//! loop.
//!
//! ```sh
//! cargo run --release --example client -- tcp 127.0.0.1:7000       # or localhost:7000
//! cargo run --release --example client -- tls localhost:7002 --ca cert.pem
//! cargo run --release --example client -- udp 127.0.0.1:7000
//! cargo run --release --example client -- unix /tmp/echo.sock
//! printf 'SET a 1\nGET a\n' | cargo run --release --example client -- tcp 127.0.0.1:7010
//! ```
//!
//! At a terminal it asks for each line, and an empty one ends it. From a pipe or a file it sends
//! what comes, finishes, and ends when the server has said all it has to say.

#[path = "shared/trust.rs"]
mod trust;

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use switchboard::{
    CloseReason, Config, ConnId, Dial, Hub, Owner, Reactor, Sent, TimerId, tcp, tls, udp,
};

/// Sends lines of standard input, and prints what comes back.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    target: Target,
    /// End each line with a newline, for servers that read lines. From a pipe or a file lines are
    /// sent as they are.
    #[arg(long, global = true)]
    newline: bool,
    /// Seconds to wait for the connection, and by UDP for each answer.
    #[arg(long, global = true, value_name = "S", default_value_t = 5)]
    timeout: u64,
    /// When TCP or the path cannot be connected to, or is lost, try again.
    #[arg(long, global = true)]
    retry: bool,
    /// Ask for each line even if standard input is no terminal.
    #[arg(long, global = true)]
    prompt: bool,
}

#[derive(Clone, Subcommand)]
enum Target {
    /// Connect to HOST:PORT
    Tcp { address: String },
    /// Connect to HOST:PORT, and speak TLS there
    Tls {
        address: String,
        /// The name that the certificate has to be for, if it is not HOST
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        trust: trust::Options,
    },
    /// Exchange datagrams with HOST:PORT
    Udp { address: String },
    /// Connect to a path, or @NAME
    Unix { path: PathBuf },
}

impl Target {
    /// # Errors
    ///
    /// When the name is none that a certificate could be for.
    fn dial(&self, tls: Option<&tls::Client>) -> io::Result<Dial> {
        match self {
            Self::Tcp { address } => Ok(Dial::tcp(&**address)),
            Self::Tls { address, name, .. } => {
                let host = address.rsplit_once(':').map_or("", |(host, _)| host);
                let tls = tls.ok_or(ErrorKind::InvalidInput)?;
                Dial::tcp(&**address).tls(tls, name.as_deref().unwrap_or(host))
            }
            Self::Udp { address } => Ok(Dial::udp(&**address)),
            Self::Unix { path } => Ok(Dial::unix(path)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address } => write!(f, "tcp {address}"),
            Self::Tls { address, .. } => write!(f, "tls {address}"),
            Self::Udp { address } => write!(f, "udp {address}"),
            Self::Unix { path } => write!(f, "unix {}", path.display()),
        }
    }
}

struct Client {
    args: Args,
    /// Lines and answers take turns: each line is asked for, and waits for the answer to the last.
    in_turns: bool,
    server: Option<ConnId>,
    stdin: Option<ConnId>,
    /// When to give an answer up. By UDP nobody tells that it is lost.
    patience: Option<TimerId>,
    failed: bool,
}

impl Client {
    fn is_udp(&self) -> bool {
        matches!(self.args.target, Target::Udp { .. })
    }

    /// The next line may be typed; or there is none, and nothing more to wait for.
    fn next(&self, hub: &mut Hub) {
        match (self.stdin, self.server) {
            (Some(stdin), _) => {
                hub.resume(stdin);
                if self.args.prompt {
                    print!("Please input data:");
                    io::stdout().flush().ok();
                }
            }
            (None, Some(server)) if self.is_udp() => hub.close(server),
            (None, Some(server)) => hub.shutdown_write(server),
            (None, None) => {}
        }
    }

    fn opened(&mut self, hub: &mut Hub, server: ConnId) {
        self.server = Some(server);
        self.next(hub);
    }

    fn typed(&mut self, hub: &mut Hub, line: &[u8]) {
        let Some(server) = self.server else { return };
        if self.args.prompt && line.is_empty() {
            self.server = None;
            return hub.close(server);
        }
        let mut message = line.to_vec();
        if self.args.newline {
            message.push(b'\n');
        }
        let sent = hub.send(server, &message);
        if sent == Sent::Closed {
            // Why is told at once, by `on_close`.
            return;
        }
        if !sent.is_taken() {
            return self.fail(hub, "Send Failed...");
        }
        if self.args.prompt {
            println!("Send Successfully");
        }
        if let (true, Some(stdin)) = (self.in_turns || sent == Sent::Backlogged, self.stdin) {
            hub.pause(stdin);
        }
        if self.is_udp() {
            let patience = Duration::from_secs(self.args.timeout);
            self.patience = hub.set_timer(Owner::Conn(server), patience, 0);
        }
    }

    fn answered(&mut self, hub: &mut Hub, answer: &[u8]) {
        let mut out = io::stdout();
        let printed = if out.is_terminal() {
            // What a stranger sent may contain what a terminal would obey.
            let is_order = |c: char| c.is_control() && c != '\n' && c != '\t';
            let text = String::from_utf8_lossy(answer).replace(is_order, "\u{fffd}");
            out.write_all(text.as_bytes())
        } else {
            out.write_all(answer)
        };
        if let Err(error) = printed.and_then(|()| out.flush()) {
            return self.fail(hub, &format!("error: standard output: {error}"));
        }
        if self.in_turns {
            println!();
            if let Some(patience) = self.patience.take() {
                hub.cancel_timer(patience);
            }
            self.next(hub);
        }
    }

    fn ended(&mut self, hub: &mut Hub, reason: CloseReason) {
        self.server = None;
        match reason {
            CloseReason::Local => hub.stop(),
            CloseReason::Peer if self.stdin.is_none() => hub.stop(),
            _ if self.args.retry => {
                eprintln!("{}: {reason}; trying again", self.args.target);
                // Until there is a server again.
                if let Some(stdin) = self.stdin {
                    hub.pause(stdin);
                }
            }
            CloseReason::Peer => {
                if self.args.prompt {
                    eprintln!("\n{}: {reason}", self.args.target);
                }
                hub.stop();
            }
            _ => self.fail(hub, &format!("error: {}: {reason}", self.args.target)),
        }
    }

    fn fail(&mut self, hub: &mut Hub, what: &str) {
        eprintln!("{what}");
        self.failed = true;
        if let Some(stdin) = self.stdin {
            hub.pause(stdin);
        }
        hub.stop();
    }

    fn not_connected(&mut self, hub: &mut Hub, error: &io::Error) {
        if self.args.retry {
            eprintln!("{error}; trying again");
        } else {
            let advice = match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                    "; start the server, or wait for it with --retry"
                }
                ErrorKind::TimedOut => "; --timeout waits longer",
                _ => "",
            };
            self.fail(hub, &format!("error: {error}{advice}"));
        }
    }
}

/// The server, by TCP or a path.
impl tcp::Handler for Client {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        let id = cx.id();
        self.opened(cx, id);
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), answer: &[u8]) {
        self.answered(cx, answer);
    }

    /// It has taken what was sent: more may follow.
    fn on_drain(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut ()) {
        self.next(cx);
    }

    fn on_dial_failed(&mut self, hub: &mut Hub, _: Option<Box<dyn std::any::Any>>, e: io::Error) {
        self.not_connected(hub, &e);
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): (), reason: CloseReason) {
        self.ended(cx, reason);
    }
}

/// The server, by UDP.
impl udp::Handler for Client {
    type Session = ();

    fn on_open(&mut self, cx: &mut udp::Cx<'_>) -> Option<()> {
        let id = cx.id();
        self.opened(cx, id);
        Some(())
    }

    fn on_message(&mut self, cx: &mut udp::Cx<'_>, (): &mut (), answer: &[u8]) {
        self.answered(cx, answer);
    }

    fn on_error(&mut self, cx: &mut udp::Cx<'_>, (): &mut (), error: io::Error) {
        let text = format!("error: {}: {error}", self.args.target);
        self.fail(cx, &text);
    }

    fn on_timer(&mut self, cx: &mut udp::Cx<'_>, (): &mut (), _: u32) {
        let Args {
            target, timeout, ..
        } = &self.args;
        let text = format!("error: {target}: no answer within {timeout} s");
        self.fail(cx, &text);
    }

    fn on_dial_failed(&mut self, hub: &mut Hub, _: Option<Box<dyn std::any::Any>>, e: io::Error) {
        self.not_connected(hub, &e);
    }

    fn on_close(&mut self, cx: &mut udp::Cx<'_>, (): (), reason: CloseReason) {
        self.ended(cx, reason);
    }
}

/// Standard input. It waits until there is a server to send to.
impl tcp::Handler<tcp::Lines> for Client {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> {
        self.stdin = Some(cx.id());
        if self.server.is_none() {
            cx.pause();
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): &mut (), line: &[u8]) {
        self.typed(cx, line);
    }

    fn on_error(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): &mut (), e: tcp::line::Error) {
        self.fail(cx, &format!("error: standard input: {e}"));
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): (), _: CloseReason) {
        self.stdin = None;
        if self.patience.is_none() {
            self.next(cx);
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let mut args = Args::parse();
    args.prompt |= io::stdin().is_terminal();
    args.newline |= !args.prompt && !matches!(args.target, Target::Udp { .. });
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> io::Result<bool> {
    let mut reactor = Reactor::new(Config::default())?;
    let lines = tcp::Lines::default().delimiter(b'\n').max(64 * 1024);
    let lines = reactor.add_driver(tcp::Framed::new(lines));
    reactor.adopt(switchboard::stdin()?, lines)?;
    let deadline = Duration::from_secs(args.timeout);
    match args.target.clone() {
        target @ Target::Udp { .. } => {
            let sessions = reactor.add_driver(udp::Sessions::new());
            let dial = target.dial(None)?.deadline(deadline);
            reactor.hub().connect(dial, sessions);
        }
        target => {
            let tls = match &target {
                Target::Tls { trust, .. } => Some(trust.client()?),
                _ => None,
            };
            target.dial(tls.as_ref())?;
            let dial = move || {
                let dial = target.dial(tls.as_ref());
                dial.expect("it was good before").deadline(deadline)
            };
            let mut client = tcp::Client::new(tcp::Raw, dial);
            if args.retry {
                client = client.retry(tcp::Retry::default());
            }
            client.start(&mut reactor);
        }
    }
    let mut client = Client {
        in_turns: args.prompt || matches!(args.target, Target::Udp { .. }),
        args,
        server: None,
        stdin: None,
        patience: None,
        failed: false,
    };
    reactor.run(&mut client)?;
    Ok(!client.failed)
}
