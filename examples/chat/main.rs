//! A chat that is reached in three ways: a page in the browser, lines by `nc`, and shouts by UDP.
//! One thread, one loop, one application.
//!
//! ```sh
//! cargo run --release --example chat              # then open http://127.0.0.1:5000/, and beside it:
//! nc 127.0.0.1 5001                               # say your name, then talk; /help
//! echo 'mika: anyone there?' | nc -u -w1 127.0.0.1 5002
//! cargo run --release --example chat -- --cert cert.pem --key key.pem    # https, and wss with it
//! ```
//!
//! [`Chat`](chat::Chat) holds the whole state, and the loop lends it to one callback at a time:
//! nothing here is locked. It implements a trait for each way in: `websocket::Handler` in `web.rs`,
//! `tcp::Handler` in `lines.rs`, and `udp::Receiver` in `shouts.rs`. What people can do once they are
//! here is in `chat.rs`, and how they hear of it in `news.rs`. The rest knows no sockets: `room.rs`,
//! `command.rs`, `flood.rs` and `words.rs`.

#[path = "../shared/certificate.rs"]
mod certificate;
mod chat;
mod command;
mod flood;
mod guest;
mod lines;
mod news;
mod room;
mod shouts;
mod web;
mod words;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use switchboard::signals::{SIGINT, SIGTERM};
use switchboard::{Config, Limits, Listen, Reactor, http, signals, tcp, udp, websocket};

use certificate::HTTP;
use chat::Chat;

/// A chat that is reached in three ways: a page in the browser, lines by `nc`, and shouts by UDP.
#[derive(Parser)]
struct Args {
    /// Address of the page. Port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    listen: String,
    #[command(flatten)]
    certificate: certificate::Options,
    /// Address for clients that send lines, such as nc
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5001")]
    lines: String,
    /// Address for datagrams: each is said in the lobby
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5002")]
    udp: String,
    /// Let further people wait while so many are connected, by the page and by lines each
    #[arg(long, value_name = "N", default_value = "10000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// On SIGINT or SIGTERM, give connections so many seconds to finish. A second signal exits at
    /// once
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    drain: Duration,
}

/// The longest line of `nc` and the longest message of the page, in bytes. Far more than anybody
/// may say, so that who says too much is told, and only who sends rubbish is shown out.
const MAX_BYTES: usize = 64 * 1024;

/// Who does not read costs this much memory, and is then disconnected: several times what a room's
/// whole history comes to.
const MAX_BACKLOG: usize = 256 * 1024;

/// A client of lines that has silently gone is noticed by the kernel. The page is pinged.
const KEEPALIVE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> io::Result<()> {
    let mut reactor = Reactor::new(Config::default())?;
    let drain = args.drain;
    signals::on(
        &mut reactor,
        &[SIGINT, SIGTERM],
        move |chat: &mut Chat, hub, _| {
            if chat.is_stopping() {
                std::process::exit(1);
            }
            chat.stop(hub);
            hub.shutdown(drain);
        },
    )?;
    reactor.on_timer(|chat: &mut Chat, hub, _| chat.tell_rooms(hub));

    let endpoint = reactor.add_driver(websocket::Endpoint::with(websocket::Options {
        max_message: MAX_BYTES,
        ..websocket::Options::default()
    }));
    let page = web::pages(http::Server::new()).mount("/ws", websocket::Mount::new(endpoint));
    let page = reactor.add_driver(page);
    let lines = reactor.add_driver(tcp::Framed::new(tcp::Lines::default().max(MAX_BYTES)));
    let shouts = reactor.add_driver(udp::Datagrams::new());

    let limits = Limits {
        max_backlog: MAX_BACKLOG,
        ..Limits::default()
    };
    let listen = |address: &str| {
        Listen::tcp(address)
            .limits(limits)
            .max_connections(args.max_connections as usize)
            .keepalive(Some(KEEPALIVE))
    };
    let mut chat = Chat::new();
    let (listening, scheme) = match args.certificate.files()? {
        Some(files) => {
            let listening = files.listen(&mut reactor, listen(&args.listen), page, HTTP);
            (listening, "https")
        }
        None => (reactor.listen(listen(&args.listen), page), "http"),
    };
    let at = advise(listening, "--listen")?.local_addr;
    println!("listening {scheme} {at}");
    let at = advise(reactor.listen(listen(&args.lines), lines), "--lines")?.local_addr;
    println!("listening lines {at}");
    chat.ports.nc = at.ip().map_or(0, |at| at.port());
    let at = advise(reactor.bind(&*args.udp, shouts), "--udp")?.local_addr;
    println!("listening udp {at}");
    chat.ports.udp = at.port();
    io::stdout().flush()?;
    reactor.run(&mut chat)
}

/// Says what to do about an address that cannot be had.
fn advise<T>(result: io::Result<T>, flag: &str) -> io::Result<T> {
    result.map_err(|error| {
        let text = format!("{error}; choose another address with {flag}, port 0 for any free one");
        io::Error::new(error.kind(), text)
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
