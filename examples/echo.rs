//! An echo server: what comes in goes out, byte for byte, by TCP, UDP, Unix sockets and WebSocket in
//! one loop, with TLS and without.
//!
//! ```sh
//! cargo run --release --example echo                   # then, in another terminal:
//! nc 127.0.0.1 7000                                    # type, and read it back; Ctrl-D finishes
//! nc -u 127.0.0.1 7000                                 # the same by UDP
//! head -c 100M /dev/urandom > sent; nc -N 127.0.0.1 7000 < sent | cmp - sent
//! cargo run --release --example echo -- --unix /tmp/echo.sock    # nc -U /tmp/echo.sock
//! cargo run --release --example echo -- --ws 127.0.0.1:7001      # new WebSocket("ws://127.0.0.1:7001")
//! cargo run --release --example echo -- --tls 127.0.0.1:7002 --self-signed
//! openssl s_client -connect 127.0.0.1:7002 -CAfile THE_PATH_THAT_WAS_PRINTED -quiet
//! ```
//!
//! `RUST_LOG=trace` shows each step: socket, bind, listen, register, accept, read, write, close.

#[path = "shared/certificate.rs"]
mod certificate;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use switchboard::signals::{SIGINT, SIGTERM};
use switchboard::websocket::Message;
use switchboard::{
    Bind, CloseReason, Config, Kind, Limits, Listen, Publish, Reactor, http, inherited, signals,
    tcp, udp, websocket,
};

use certificate::HTTP;

/// An echo server: what comes in goes out, byte for byte.
///
/// Without an address it serves TCP and UDP on 127.0.0.1:7000.
#[derive(Parser)]
struct Args {
    /// Address to serve TCP on; may be given several times. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR")]
    tcp: Vec<String>,
    /// Address to serve UDP on; may be given several times. Lest two echo servers answer each other
    /// for ever, datagrams from one of these ports are not answered, nor more than 10,000 of a peer
    /// that is never silent for a second.
    #[arg(long, value_name = "ADDR")]
    udp: Vec<String>,
    /// Path to serve on, or @NAME; may be given several times.
    #[arg(long, value_name = "PATH")]
    unix: Vec<PathBuf>,
    /// Address to serve WebSocket on, at any path; may be given several times.
    #[arg(long, value_name = "ADDR")]
    ws: Vec<String>,
    /// Address to serve TCP with TLS on; may be given several times.
    #[arg(long, value_name = "ADDR", requires = "certificate")]
    tls: Vec<String>,
    /// Address to serve WebSocket with TLS on; may be given several times.
    #[arg(long, value_name = "ADDR", requires = "certificate")]
    wss: Vec<String>,
    #[command(flatten)]
    certificate: certificate::Options,
    /// By WebSocket, compress messages where the client offers that.
    #[arg(long)]
    deflate: bool,
    /// By WebSocket, send each message to everybody, its sender included.
    #[arg(long)]
    broadcast: bool,
    /// The largest message that is taken by WebSocket.
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    max_message: usize,
    /// Serve the sockets passed by the parent process (LISTEN_FDS), too.
    #[arg(long)]
    inherited: bool,
    /// Close connections that are idle for this many seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    idle_timeout: Option<Duration>,
    /// Let further clients wait while this many connections are open.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
    /// Close connections for which more than this many bytes wait to be sent.
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    max_backlog: usize,
    /// On SIGINT or SIGTERM, give connections this many seconds to finish. A second signal exits at
    /// once.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    drain: Duration,
}

impl Args {
    fn addresses(&self) -> usize {
        let streams = self.tcp.len() + self.unix.len() + self.ws.len();
        streams + self.udp.len() + self.tls.len() + self.wss.len()
    }
}

#[derive(Default)]
struct Echo {
    /// Our UDP ports. A datagram that claims to come from one would be answered for ever.
    ports: Vec<u16>,
    /// By WebSocket, everybody gets what one says.
    broadcast: bool,
    stopping: bool,
}

impl tcp::Handler for Echo {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        log::debug!("{} opened: {:?}", cx.id(), cx.info());
        if let Some(tls) = cx.tls(cx.id()) {
            let (version, suite, name) = (tls.version, tls.cipher_suite, tls.server_name);
            let shown = tls.peer_certificates.len();
            log::debug!(
                "{} by {version:?}, {suite}, to {name:?}, {shown} certificates",
                cx.id()
            );
        }
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

/// What is known of a peer by UDP.
struct Peer {
    /// Answers since it was last silent.
    answers: u32,
    heard: Instant,
}

/// Answers to a peer that is never silent, and how long it has to be. One forged datagram makes
/// two echo servers answer each other; this makes them stop.
const MOST_ANSWERS: u32 = 10_000;
const SILENCE: Duration = Duration::from_secs(1);

impl udp::Handler for Echo {
    type Session = Peer;

    fn on_open(&mut self, cx: &mut udp::Cx<'_>) -> Option<Peer> {
        let port = cx.peer_addr()?.port();
        let heard = cx.now();
        let peer = Peer { answers: 0, heard };
        Some(peer).filter(|_| !self.ports.contains(&port))
    }

    fn on_message(&mut self, cx: &mut udp::Cx<'_>, peer: &mut Peer, datagram: &[u8]) {
        let now = cx.now();
        if now - peer.heard >= SILENCE {
            peer.answers = 0;
        }
        peer.heard = now;
        peer.answers = peer.answers.saturating_add(1);
        if peer.answers <= MOST_ANSWERS {
            cx.send(datagram).ignore();
        }
    }
}

impl websocket::Handler for Echo {
    type Conn = ();

    fn on_open(&mut self, cx: &mut websocket::Cx<'_>, _: &http::Request<'_>) -> Option<()> {
        if self.broadcast {
            cx.subscribe("all");
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut websocket::Cx<'_>, (): &mut (), message: Message<'_>) {
        if !self.broadcast {
            return cx.send(message).ignore();
        }
        let kind = match message {
            Message::Text(_) => Kind::Text,
            Message::Binary(_) => Kind::Binary,
        };
        cx.publish(Publish {
            topic: "all",
            data: message.as_bytes(),
            kind,
            except: None,
        });
    }

    fn on_close(&mut self, cx: &mut websocket::Cx<'_>, (): (), closed: websocket::Closed<'_>) {
        log::debug!("{} ended: {closed:?}", cx.id());
    }
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    let has_certificate = args.certificate.cert.is_some() || args.certificate.self_signed;
    if has_certificate && args.tls.is_empty() && args.wss.is_empty() {
        let text = "a certificate is for --tls or --wss: give one of them an address";
        let mut command = Args::command().bin_name("echo");
        let error = command.error(ErrorKind::MissingRequiredArgument, text);
        error.exit();
    }
    if args.addresses() == 0 && !args.inherited {
        args.tcp.push("127.0.0.1:7000".to_owned());
        args.udp.push("127.0.0.1:7000".to_owned());
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: Args) -> std::io::Result<()> {
    let limits = Limits {
        idle_timeout: args.idle_timeout,
        max_backlog: args.max_backlog,
        ..Limits::default()
    };
    let mut echo = Echo {
        broadcast: args.broadcast,
        ..Echo::default()
    };
    let files = args.certificate.files()?;
    let mut reactor = Reactor::new(Config::default())?;
    signals::on(
        &mut reactor,
        &[SIGINT, SIGTERM],
        move |echo: &mut Echo, hub, _| {
            if std::mem::replace(&mut echo.stopping, true) {
                std::process::exit(1);
            }
            hub.shutdown(args.drain);
        },
    )?;
    let streams = reactor.add_driver(tcp::Framed::raw());
    let datagrams = reactor.add_driver(udp::Sessions::new());

    let inherited = if args.inherited {
        inherited()?
    } else {
        Default::default()
    };
    let passed = inherited.listeners.len() + inherited.datagrams.len();
    if passed + args.addresses() == 0 {
        let text = "no sockets were passed in LISTEN_FDS; give an address, or let systemd start it";
        return Err(std::io::Error::other(text));
    }
    let limited = |listen: Listen| {
        let listen = listen.limits(limits);
        match args.max_connections {
            Some(most) => listen.max_connections(most as usize),
            None => listen,
        }
    };
    let tcp = args.tcp.into_iter().map(Listen::tcp);
    let unix = args.unix.into_iter().map(Listen::unix);
    for listen in inherited.listeners.into_iter().chain(tcp).chain(unix) {
        let listening = reactor.listen(limited(listen), streams)?;
        let protocol = if listening.local_addr.ip().is_some() {
            "tcp"
        } else {
            "unix"
        };
        println!("listening {protocol} {}", listening.local_addr);
    }
    let udp = args.udp.into_iter().map(Bind::udp);
    for bind in inherited.datagrams.into_iter().chain(udp) {
        let bound = reactor.bind(bind, datagrams)?;
        echo.ports.push(bound.local_addr.port());
        println!("listening udp {}", bound.local_addr);
    }
    let endpoint = reactor.add_driver(websocket::Endpoint::with(websocket::Options {
        max_message: args.max_message,
        deflate: args.deflate.then(|| websocket::Compression {
            from: 0,
            ..websocket::Compression::default()
        }),
        ..websocket::Options::default()
    }));
    let server = http::Server::new().mount("/", websocket::Mount::new(endpoint).any_origin());
    let server = reactor.add_driver(server);
    for address in args.ws {
        let listening = reactor.listen(limited(Listen::tcp(address)), server)?;
        println!("listening ws {}", listening.local_addr);
    }
    if let Some(files) = files {
        for address in args.tls {
            let listen = limited(Listen::tcp(address));
            let listening = files.listen(&mut reactor, listen, streams, &[])?;
            println!("listening tls {}", listening.local_addr);
        }
        for address in args.wss {
            let listen = limited(Listen::tcp(address));
            let listening = files.listen(&mut reactor, listen, server, HTTP)?;
            println!("listening wss {}", listening.local_addr);
        }
    }
    std::io::stdout().flush()?;
    reactor.run(&mut echo)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
