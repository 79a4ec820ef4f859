//! Forwards a TCP port to another server, as `ssh -L` and HAProxy do.
//!
//! ```sh
//! cargo run --release --example echo &
//! cargo run --release --example forwarder -- 127.0.0.1:7000     # then, in another terminal:
//! nc 127.0.0.1 7020
//! ```
//!
//! Each client has two connections, its own and one to the server, and what one brings the other
//! sends. If a side reads slowly, the other is not read from (`pause`, and `resume` in `on_drain`),
//! so that the kernel's windows carry the pressure all the way through and next to nothing is kept
//! here. A side that finishes sending has the other side's sending finished, and goes on receiving.
//! A reset is passed on as a reset.
//!
//! With `--proxy-out` the server is told who the client is, by a header of the PROXY protocol; with
//! `--proxy-in` the client is expected to be a proxy that says so itself.

use std::any::Any;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use switchboard::net::tcp::{self, Codec};
use switchboard::proto::proxy::{self, Header, Transport};
use switchboard::signals::{self, SIGINT, SIGTERM};
use switchboard::{
    CloseReason, Config, ConnId, ConnMap, Dial, DriverId, Hub, Limits, Listen, Reactor,
};

/// Forwards a TCP port to another server.
#[derive(Parser)]
struct Args {
    /// Server to forward to, HOST:PORT
    #[arg(value_parser = host_and_port)]
    to: String,
    /// Address to serve on. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7020")]
    listen: String,
    /// Expect a header of the PROXY protocol from each client.
    #[arg(long)]
    proxy_in: bool,
    /// Send the server a header of the PROXY protocol.
    #[arg(long, value_name = "VERSION")]
    proxy_out: Option<Version>,
    /// Seconds to wait for the server.
    #[arg(long, value_name = "S", default_value_t = 10)]
    timeout: u64,
    /// Close clients that are idle for this many seconds.
    #[arg(long, value_name = "S")]
    idle_timeout: Option<u64>,
}

/// Looks whether that can be the address of a server. Whether there is one, dialling tells.
fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000".to_owned()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    V1,
    V2,
}

/// Bytes as they come, after a header if one is expected.
#[derive(Clone)]
struct Proxied {
    expects_header: bool,
}

enum Piece<'a> {
    Header(Header),
    Bytes(&'a [u8]),
}

impl Codec for Proxied {
    type In<'a> = Piece<'a>;
    type Out<'a> = [u8];
    type Error = proxy::Error;

    fn decode<'a>(
        &mut self,
        data: &'a mut [u8],
    ) -> Result<Option<(usize, Piece<'a>)>, Self::Error> {
        if !self.expects_header {
            return Ok(Some((data.len(), Piece::Bytes(data))));
        }
        let Some((length, header)) = proxy::decode(data)? else {
            return Ok(None);
        };
        self.expects_header = false;
        Ok(Some((length, Piece::Header(header))))
    }

    fn encode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Self::Error> {
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn max_undecoded(&self) -> usize {
        proxy::MAX_HEADER
    }
}

struct Forwarder {
    args: Args,
    limits: Limits,
    far: DriverId,
    /// The other side of each connection, once it has one.
    other: ConnMap<ConnId>,
}

/// One side of a forwarded connection.
struct Side {
    finished: bool,
}

/// What a dial carries: whom it is for, and what the server is told of it.
struct Call {
    client: ConnId,
    header: Header,
}

impl Forwarder {
    /// Dials the server for a client, which is not read from until there is an outcome.
    fn dial(&self, hub: &mut Hub, client: ConnId, header: Header) {
        hub.pause(client);
        let dial = Dial::tcp(self.args.to.as_str())
            .deadline(Duration::from_secs(self.args.timeout))
            .limits(self.limits)
            .ticket(Call { client, header });
        hub.connect(dial, self.far);
    }

    /// The server has answered: joins the two sides.
    fn join(&mut self, hub: &mut Hub, server: ConnId, call: &Call) {
        if !hub.is_open(call.client) {
            return hub.abort(server);
        }
        self.other.insert(server, call.client);
        self.other.insert(call.client, server);
        let encode = match self.args.proxy_out {
            None => None,
            Some(Version::V1) => Some(proxy::encode_v1 as fn(&Header, &mut Vec<u8>)),
            Some(Version::V2) => Some(proxy::encode_v2 as _),
        };
        if let Some(encode) = encode {
            hub.send_with(server, |out| encode(&call.header, out))
                .ignore();
        }
        hub.resume(call.client);
    }
}

impl tcp::Handler<Proxied> for Forwarder {
    type Conn = Side;

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, Proxied>) -> Option<Side> {
        let id = cx.id();
        match cx
            .take_ticket()
            .and_then(|ticket| ticket.downcast::<Call>().ok())
        {
            Some(call) => self.join(cx, id, &call),
            None if self.args.proxy_in => {}
            None => {
                let info = cx.info()?;
                let header = Header::Proxied {
                    transport: Transport::Stream,
                    source: info.peer_addr?,
                    destination: info.local_addr?,
                };
                self.dial(cx, id, header);
            }
        }
        Some(Side { finished: false })
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, Proxied>, _: &mut Side, piece: Piece<'_>) {
        let id = cx.id();
        match (piece, self.other.get(id)) {
            (Piece::Header(header), _) => self.dial(cx, id, header),
            (Piece::Bytes(bytes), Some(other)) => {
                if cx.hub().send(*other, bytes) == switchboard::Sent::Backlogged {
                    cx.pause();
                }
            }
            (Piece::Bytes(_), None) => {}
        }
    }

    fn on_drain(&mut self, cx: &mut tcp::Cx<'_, Proxied>, _: &mut Side) {
        if let Some(other) = self.other.get(cx.id()) {
            cx.hub().resume(*other);
        }
    }

    fn on_eof(&mut self, cx: &mut tcp::Cx<'_, Proxied>, side: &mut Side) {
        side.finished = true;
        match self.other.get(cx.id()) {
            None => cx.close(),
            Some(other) => {
                cx.hub().shutdown_write(*other);
                // Ours is finished already if the other side was the first.
                cx.hub().post(*other, Box::new(Finished));
            }
        }
    }

    /// The other side has finished, too: nothing more can come.
    fn on_post(&mut self, cx: &mut tcp::Cx<'_, Proxied>, side: &mut Side, _: Box<dyn Any>) {
        if side.finished {
            cx.close();
        }
    }

    fn on_error(&mut self, cx: &mut tcp::Cx<'_, Proxied>, _: &mut Side, error: proxy::Error) {
        log::warn!("{:?}: {error}", cx.info().and_then(|info| info.peer_addr));
    }

    fn on_dial_failed(&mut self, hub: &mut Hub, ticket: Option<Box<dyn Any>>, error: io::Error) {
        log::warn!("{error}");
        if let Some(call) = ticket.and_then(|ticket| ticket.downcast::<Call>().ok()) {
            hub.abort(call.client);
        }
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, Proxied>, _: Side, reason: CloseReason) {
        log::debug!("{} ended: {reason}", cx.id());
        let Some(other) = self.other.remove(cx.id()) else {
            return;
        };
        self.other.remove(other);
        match reason {
            CloseReason::Local | CloseReason::Peer | CloseReason::Shutdown => cx.hub().close(other),
            _ => cx.hub().abort(other),
        }
    }
}

/// Posted to a side when the other one has finished.
struct Finished;

fn main() -> ExitCode {
    let args = Args::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match forward(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forward(args: Args) -> io::Result<()> {
    let limits = Limits {
        full_duplex: true,
        idle_timeout: args.idle_timeout.map(Duration::from_secs),
        ..Limits::default()
    };
    let mut reactor = Reactor::new(Config::default())?;
    signals::on(&mut reactor, &[SIGINT, SIGTERM], |_, hub, _| {
        hub.shutdown(Duration::from_secs(5));
    })?;
    let near = reactor.add_driver(tcp::Framed::new(Proxied {
        expects_header: args.proxy_in,
    }));
    let far = reactor.add_driver(tcp::Framed::new(Proxied {
        expects_header: false,
    }));
    let listening = reactor.listen(Listen::tcp(&args.listen).limits(limits), near)?;
    println!("listening tcp {}", listening.local_addr);
    let mut forwarder = Forwarder {
        args,
        limits,
        far,
        other: ConnMap::new(),
    };
    reactor.run(&mut forwarder)
}
