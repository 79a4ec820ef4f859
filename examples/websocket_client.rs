//! A client of WebSocket for the terminal: lines typed are messages, and messages are printed.
//!
//! ```sh
//! cargo run --release --example echo -- --ws 127.0.0.1:7001      # then, in another terminal:
//! cargo run --release --example websocket_client -- ws://127.0.0.1:7001/
//! printf 'a\nb\n' | cargo run --release --example websocket_client -- ws://127.0.0.1:7001/
//! cargo run --release --example websocket_client -- wss://localhost:7003/ --ca cert.pem
//! ```
//!
//! Messages go to standard output, all else to standard error. Exits with 0 if the connection was
//! closed by us, or by the server with 1000, 1001 or no code; else with 1, and says why.
//!
//! After a close is sent, what still comes counts no more, as in browsers. So the end of input is
//! no reason to close yet, since answers may be on their way: that waits until nothing has come for
//! a second, or as long as `--linger` says.

#[path = "shared/trust.rs"]
mod trust;

use std::any::Any;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind as Usage;
use clap::{CommandFactory, Parser};
use switchboard::signals::{SIGINT, SIGTERM};
use switchboard::websocket::{Closed, Code, Compression, Cx, Dial, Endpoint, Message};
use switchboard::{
    CloseReason, Config, ConnId, DriverId, Hub, Limits, Owner, Reactor, Sent, TimerId, http,
    signals, tcp, tls, websocket,
};

/// Bytes of a line, which is a message: as many as a server here takes by default.
const MAX_LINE: usize = 1024 * 1024;

/// Bytes of a binary message that are shown.
const SHOWN: usize = 16;

/// Header fields that the handshake has of its own.
const RESERVED: [&str; 5] = [
    "Host",
    "Upgrade",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
];

/// Sends lines of standard input as messages of WebSocket, and prints what comes back.
#[derive(Parser)]
struct Args {
    /// Where to connect to: ws://HOST:PORT/PATH, or wss:// for TLS
    #[arg(value_parser = url)]
    url: String,
    #[command(flatten)]
    trust: trust::Options,
    /// A further field of the request; may be given several times.
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<(String, String)>,
    /// A cookie to send along; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = value)]
    cookie: Vec<String>,
    /// A sub-protocol to offer, the best one first; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = token)]
    protocol: Vec<String>,
    /// The origin of the page that we are not, such as https://app.example
    #[arg(long, value_parser = value)]
    origin: Option<String>,
    /// Send lines as binary messages. As text they have to be UTF-8.
    #[arg(long)]
    binary: bool,
    /// Offer to compress messages.
    #[arg(long)]
    deflate: bool,
    /// Print messages as they are: text with what a terminal would obey, and binary ones without an
    /// end of line. Otherwise text is escaped, and binary messages are shown in hexadecimal.
    #[arg(long)]
    raw: bool,
    /// Seconds to wait for the connection, then for the answer to the handshake, and for that to
    /// our close.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    timeout: Duration,
    /// At the end of input, close when nothing has come for this many seconds.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "1")]
    linger: Duration,
    /// Ping a server that has been silent for this many seconds, and give it up after as many
    /// again; 0 never does.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "25")]
    ping: Duration,
    /// Connect again when that fails or the connection ends, after half a second at first, then
    /// after pauses that double, up to half a minute. Lines wait.
    #[arg(long)]
    reconnect: bool,
    /// The largest message that is taken.
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    max_message: usize,
}

impl Args {
    fn is_secure(&self) -> bool {
        self.url
            .get(..4)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss:"))
    }
}

struct Client {
    args: Args,
    endpoint: DriverId,
    /// For `wss`: one for all connections, so that later ones resume the session of the first.
    tls: Option<tls::Client>,
    server: Option<ConnId>,
    stdin: Option<ConnId>,
    /// A line that no server has taken.
    unsent: Option<Vec<u8>>,
    /// Input has ended: at this time it is quiet.
    quiet: Option<TimerId>,
    /// Connections that came to nothing in a row.
    failures: u32,
    /// We have closed, or will not connect any more.
    ending: bool,
    failed: bool,
}

impl Client {
    fn connect(&self, hub: &mut Hub) -> io::Result<()> {
        let args = &self.args;
        let protocols: Vec<_> = args.protocol.iter().map(String::as_str).collect();
        let mut dial = Dial::new(&args.url)?
            .protocols(&protocols)
            .deadline(args.timeout);
        if let Some(tls) = &self.tls {
            dial = dial.tls(tls);
        }
        for (name, value) in &args.header {
            dial = dial.field(name, value);
        }
        if !args.cookie.is_empty() {
            dial = dial.field("Cookie", &args.cookie.join("; "));
        }
        if let Some(origin) = &args.origin {
            dial = dial.field("Origin", origin);
        }
        Endpoint::<Self>::connect(hub, dial, self.endpoint);
        Ok(())
    }

    /// A line was typed.
    fn typed(&mut self, hub: &mut Hub, line: &[u8]) {
        if !self.args.binary && std::str::from_utf8(line).is_err() {
            let text = "error: standard input: a line is not UTF-8; --binary sends it as it is";
            return self.fail(hub, text);
        }
        let sent = match (self.server, std::str::from_utf8(line)) {
            (None, _) => Sent::Closed,
            (Some(server), Ok(text)) if !self.args.binary => websocket::send(hub, server, text),
            (Some(server), _) => websocket::send(hub, server, line),
        };
        if !sent.is_taken() {
            self.unsent = Some(line.to_vec());
        }
        if let (false, Some(stdin)) = (sent == Sent::Accepted, self.stdin) {
            hub.pause(stdin);
        }
    }

    /// The server takes more.
    fn next(&mut self, hub: &mut Hub) {
        match self.stdin {
            Some(stdin) => hub.resume(stdin),
            None => self.wait(hub),
        }
    }

    /// Input has ended: from here on it is to be quiet for a while.
    fn wait(&mut self, hub: &mut Hub) {
        if let Some(quiet) = self.quiet.take() {
            hub.cancel_timer(quiet);
        }
        if let Some(server) = self.server {
            self.quiet = hub.set_timer(Owner::Conn(server), self.args.linger, 0);
        }
    }

    /// Closes, and waits for the answer.
    fn end(&mut self, hub: &mut Hub) {
        self.ending = true;
        match self.server {
            Some(server) => websocket::close(hub, server, Code::NORMAL, ""),
            None => hub.stop(),
        }
    }

    fn fail(&mut self, hub: &mut Hub, what: &str) {
        eprintln!("{what}");
        self.failed = true;
        if let Some(stdin) = self.stdin {
            hub.pause(stdin);
        }
        self.end(hub);
    }

    /// There is no connection, or none any more.
    fn lost(&mut self, hub: &mut Hub, what: &str, advice: &str) {
        if self.ending || !self.args.reconnect {
            return self.fail(hub, &format!("error: {what}{advice}"));
        }
        let pause = Duration::from_millis(500 << self.failures.min(6));
        self.failures += 1;
        eprintln!("{what}; connecting again in {pause:?}");
        if let Some(stdin) = self.stdin {
            hub.pause(stdin);
        }
        hub.set_timer(Owner::App, pause.min(Duration::from_secs(30)), 0);
    }

    fn print(&self, message: Message<'_>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match (message, self.args.raw) {
            (Message::Text(text), true) => writeln!(out, "{text}")?,
            (Message::Text(text), false) => writeln!(out, "{}", printable(text))?,
            (Message::Binary(data), true) => out.write_all(data)?,
            (Message::Binary(data), false) => writeln!(out, "{}", dump(data))?,
        }
        out.flush()
    }
}

/// The server.
impl websocket::Handler for Client {
    type Conn = ();

    fn on_open(&mut self, cx: &mut Cx<'_>, _: &http::Request<'_>) -> Option<()> {
        let protocol = cx.protocol().map(|name| format!(" with {name}"));
        let protocol = protocol.unwrap_or_default();
        let secure = cx.tls(cx.id()).map(|tls| format!(" by {}", secured(&tls)));
        let secure = secure.unwrap_or_default();
        eprintln!("connected to {}{protocol}{secure}", self.args.url);
        (self.server, self.failures) = (Some(cx.id()), 0);
        self.next(cx);
        if let Some(line) = self.unsent.take() {
            self.typed(cx, &line);
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, (): &mut (), message: Message<'_>) {
        if self.failed {
            return;
        }
        if let Err(error) = self.print(message) {
            return self.fail(cx, &format!("error: standard output: {error}"));
        }
        if self.quiet.is_some() {
            self.wait(cx);
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_>, (): &mut ()) {
        self.next(cx);
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, (): &mut (), _: u32) {
        match cx.backlog(cx.id()) {
            0 => self.end(cx),
            _ => self.wait(cx),
        }
    }

    fn on_dial_failed(&mut self, hub: &mut Hub, _: Option<Box<dyn Any>>, error: io::Error) {
        let advice = match error.kind() {
            ErrorKind::ConnectionRefused => "; start the server, or wait for it with --reconnect",
            ErrorKind::TimedOut => "; --timeout waits longer",
            _ => "",
        };
        self.lost(hub, &error.to_string(), advice);
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, (): (), closed: Closed<'_>) {
        (self.server, self.quiet) = (None, None);
        let what = format!("{}: {}", self.args.url, describe(closed));
        let good = [Code::NORMAL, Code::AWAY, Code::NONE].contains(&closed.code);
        if closed.clean && good && (self.ending || !self.args.reconnect) {
            eprintln!("{what}");
            cx.stop();
        } else {
            self.lost(cx, &what, "");
        }
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
        self.wait(cx);
    }
}

/// The version and the cipher suite, in words.
fn secured(info: &tls::Info) -> String {
    format!("{}, {}", info.version, info.cipher_suite)
}

fn describe(closed: Closed<'_>) -> String {
    let Closed { code, reason, .. } = closed;
    match (closed.clean, closed.by, code) {
        (_, CloseReason::Protocol, _) => {
            format!("the server broke the protocol: {reason} ({code})")
        }
        (true, _, Code::NONE) => "closed without a code".to_owned(),
        (true, ..) if reason.is_empty() => format!("closed with {code}"),
        (true, ..) => format!("closed with {code}: {}", printable(reason)),
        (false, by, Code::ABNORMAL) => format!("ended without a close: {by}"),
        (false, by, _) => format!("our close was not answered: {by}"),
    }
}

/// Text without what a terminal would obey.
fn printable(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

fn dump(data: &[u8]) -> String {
    let shown = &data[..data.len().min(SHOWN)];
    let hex: String = shown.iter().map(|byte| format!(" {byte:02x}")).collect();
    let more = if data.len() > SHOWN { " .." } else { "" };
    format!("{} bytes:{hex}{more}", data.len())
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let args = Args::parse();
    let trust::Options {
        ca, insecure, cert, ..
    } = &args.trust;
    if (ca.is_some() || *insecure || cert.is_some()) && !args.is_secure() {
        let text = "--ca, --insecure and --cert are for TLS: write wss:// to have it";
        let mut command = Args::command().bin_name("websocket_client");
        command.error(Usage::ArgumentConflict, text).exit();
    }
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
    let mut reactor = Reactor::new(Config {
        limits: Limits {
            // One line, and what waits before it.
            max_backlog: 2 * MAX_LINE,
            ..Limits::default()
        },
        ..Config::default()
    })?;
    let endpoint = reactor.add_driver(Endpoint::with(websocket::Options {
        max_message: args.max_message,
        ping_interval: Some(args.ping).filter(|ping| !ping.is_zero()),
        close_timeout: args.timeout,
        deflate: args.deflate.then(Compression::default),
        ..websocket::Options::default()
    }));
    let lines = reactor.add_driver(tcp::Framed::new(tcp::Lines::default().max(MAX_LINE)));
    reactor.adopt(switchboard::stdin()?, lines)?;
    signals::on(
        &mut reactor,
        &[SIGINT, SIGTERM],
        |client: &mut Client, hub, _| {
            if client.ending {
                std::process::exit(1);
            }
            client.failed |= client.server.is_none();
            client.end(hub);
        },
    )?;
    reactor.on_timer(|client: &mut Client, hub, _| {
        if let Err(error) = client.connect(hub) {
            client.fail(hub, &format!("error: {error}"));
        }
    });
    let tls = match args.is_secure() {
        true => Some(args.trust.client()?),
        false => None,
    };
    let mut client = Client {
        args,
        endpoint,
        tls,
        server: None,
        stdin: None,
        unsent: None,
        quiet: None,
        failures: 0,
        ending: false,
        failed: false,
    };
    client.connect(reactor.hub())?;
    reactor.run(&mut client)?;
    Ok(!client.failed)
}

fn url(text: &str) -> Result<String, String> {
    match Dial::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, text) = text.split_once(':').ok_or("expected `Name: value`")?;
    let name = token(name)?;
    let websocket = name
        .get(..14)
        .is_some_and(|start| start.eq_ignore_ascii_case("Sec-WebSocket-"));
    if websocket || RESERVED.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
        return Err(format!("{name} is a part of the handshake"));
    }
    Ok((name, value(text.trim())?))
}

fn token(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match !text.is_empty() && text.chars().all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("expected a name, of letters, digits and -._ for instance".to_owned()),
    }
}

fn value(text: &str) -> Result<String, String> {
    match text.chars().any(|c| c.is_control() && c != '\t') {
        true => Err("control characters cannot be sent here".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
