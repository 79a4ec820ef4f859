//! Answers everything with OK: the server that introductions to sockets begin with, line for line.
//!
//! ```sh
//! cargo run --release --example ok_server              # then, in another terminal:
//! cargo run --release --example client -- tcp 127.0.0.1:8001
//! ```
//!
//! The usual version, in Python, serves one client at a time, and is told that more of them need
//! threads. This one serves all of them at once, by one thread:
//!
//! ```text
//! sock.bind(...)                    reactor.listen(...)
//! sock.listen(5)                    Listen::backlog(5): who may wait to be accepted, no limit
//! conn, addr = sock.accept()        on_open
//! conn.settimeout(10)               Limits::read_timeout
//! data = conn.recv(1024)            on_message
//! if not data: break                on_eof
//! conn.sendall('OK')                cx.send: queued if the client does not take it at once
//! except socket.timeout             on_timeout
//! conn.close()                      when a callback closes it, or its peer does
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use switchboard::{CloseReason, Config, Limits, Listen, Reactor, Timeout, tcp};

/// Answers everything with OK.
#[derive(Parser)]
struct Args {
    /// Address to serve on. Port 0 lets the system choose.
    #[arg(default_value = "127.0.0.1:8001")]
    address: String,
    /// Close connections that say nothing for this many seconds.
    #[arg(long, value_name = "S", default_value_t = 10)]
    timeout: u64,
    /// Exit when the first client leaves, as the usual version does.
    #[arg(long)]
    once: bool,
}

struct OkServer {
    once: bool,
}

impl tcp::Handler for OkServer {
    type Conn = ();

    fn on_open(&mut self, _: &mut tcp::Cx<'_, tcp::Raw>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), data: &[u8]) {
        // What a stranger sent may contain what a terminal would obey.
        let is_order = |c: char| c.is_control() && c != '\n' && c != '\t';
        let text = String::from_utf8_lossy(data).replace(is_order, "\u{fffd}");
        println!("Get value {text}");
        cx.send(b"OK").ignore();
    }

    fn on_eof(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut ()) {
        println!("Exit Server");
        cx.close_for(CloseReason::Peer);
    }

    fn on_timeout(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): &mut (), timeout: Timeout) {
        println!("Time out");
        cx.close_for(CloseReason::TimedOut(timeout));
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, tcp::Raw>, (): (), _: CloseReason) {
        if self.once {
            cx.shutdown(Duration::from_secs(1));
        }
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
    let driver = reactor.add_driver(tcp::Framed::raw());
    let limits = Limits {
        read_timeout: Some(Duration::from_secs(args.timeout)),
        ..Limits::default()
    };
    let listen = Listen::tcp(&args.address).backlog(5).limits(limits);
    println!("Socket Created");
    let listening = reactor
        .listen(listen, driver)
        .inspect_err(|_| println!("Bind Failed..."))?;
    eprintln!("listening tcp {}", listening.local_addr);
    reactor.run(&mut OkServer { once: args.once })
}
