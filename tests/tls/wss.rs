//! WebSocket by TLS, from the mount on a server of HTTP to `wss://`.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::HandshakeKind;
use switchboard::testing::turn_until;
use switchboard::websocket::{Closed, Code, Cx, Dial, Endpoint, Handler, Message, Mount};
use switchboard::{Clock, Config, ConnId, DriverId, Hub, Kind, Publish, Reactor, Sent, http, tls};

use crate::far::{Far, server_config};
use crate::near::{listen, server, trusting};
use crate::support::{Listener, pattern};

/// What both ends were told, in order.
#[derive(Default)]
struct Log {
    opened: Vec<ConnId>,
    /// By whom it was heard.
    heard: Vec<(ConnId, Vec<u8>)>,
    closed: Vec<(ConnId, Code)>,
    failed: Vec<String>,
}

impl Handler for Log {
    type Conn = ();

    fn on_open(&mut self, cx: &mut Cx<'_>, _: &http::Request<'_>) -> Option<()> {
        self.opened.push(cx.id());
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, (): &mut (), message: Message<'_>) {
        let data = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) => data,
        };
        self.heard.push((cx.id(), data.to_vec()));
    }

    fn on_dial_failed(&mut self, _: &mut Hub, _: Option<Box<dyn Any>>, error: io::Error) {
        self.failed.push(error.to_string());
    }

    fn on_close(&mut self, cx: &mut Cx<'_>, (): (), closed: Closed<'_>) {
        self.closed.push((cx.id(), closed.code));
    }
}

struct Chat {
    reactor: Reactor<Log>,
    log: Log,
    endpoint: DriverId,
    dialler: DriverId,
    address: SocketAddr,
}

impl Chat {
    fn new() -> Self {
        let config = Config {
            clock: Clock::manual(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).unwrap();
        let endpoint = reactor.add_driver(Endpoint::new());
        let dialler = reactor.add_driver(Endpoint::new());
        let http = http::Server::new()
            .get("/", |_: &mut Log, cx, _| {
                cx.respond("a page").ignore();
            })
            .mount("/ws", Mount::new(endpoint));
        let http = reactor.add_driver(http);
        let listening = reactor.listen(listen(server()), http).unwrap();
        Self {
            address: listening.local_addr.ip().unwrap(),
            reactor,
            log: Log::default(),
            endpoint,
            dialler,
        }
    }

    fn dial(&mut self, address: SocketAddr, client: &tls::Client) -> ConnId {
        let dial = Dial::new(&format!("wss://{address}/ws")).unwrap();
        Endpoint::<Log>::connect(self.reactor.hub(), dial.tls(client), self.dialler)
    }

    fn until(&mut self, what: &str, done: impl FnMut(&mut Log) -> bool) {
        turn_until(&mut self.reactor, &mut self.log, what, done);
    }

    /// Dials our own server; returns both ends, ours and the one that is served.
    fn pair(&mut self) -> (ConnId, ConnId) {
        let before = self.log.opened.len();
        let (address, client) = (self.address, trusting());
        let id = self.dial(address, &client);
        self.until("both ends", |log| log.opened.len() == before + 2);
        let opened = self.log.opened[before..].to_vec();
        let served = opened.into_iter().find(|own| *own != id);
        (id, served.unwrap())
    }
}

#[test]
fn messages_go_both_ways_and_closing_is_clean() {
    let mut chat = Chat::new();
    let (id, served) = chat.pair();
    let long = pattern(300_000);
    for (from, to) in [(id, served), (served, id)] {
        for data in [&b"short"[..], &long] {
            let sent = switchboard::websocket::send(chat.reactor.hub(), from, data);
            assert!(matches!(sent, Sent::Accepted | Sent::Backlogged));
        }
        chat.until("both", |log| log.heard.len() == 2);
        let heard = std::mem::take(&mut chat.log.heard);
        assert!(heard == [(to, b"short".to_vec()), (to, long.clone())]);
    }
    assert!(chat.reactor.hub().tls(id).is_some());
    assert!(chat.reactor.hub().tls(served).is_some());
    switchboard::websocket::close(chat.reactor.hub(), id, Code::NORMAL, "");
    chat.until("both ends", |log| log.closed.len() == 2);
    let codes: Vec<_> = chat.log.closed.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [Code::NORMAL; 2]);
    assert_eq!(chat.log.failed, [""; 0]);
}

#[test]
fn what_is_published_reaches_all() {
    let mut chat = Chat::new();
    let pairs = [chat.pair(), chat.pair(), chat.pair()];
    for (_, served) in pairs {
        assert!(chat.reactor.hub().subscribe(served, "news"));
    }
    let published = chat.reactor.hub().publish(Publish {
        topic: "news",
        data: b"hear, hear",
        kind: Kind::Text,
        except: None,
    });
    assert_eq!((published.taken, published.missed), (3, 0));
    chat.until("the news", |log| log.heard.len() == 3);
    let mut heard: Vec<_> = chat.log.heard.iter().map(|(id, _)| *id).collect();
    heard.sort_by_key(|id| id.to_string());
    let mut dialled = pairs.map(|(id, _)| id);
    dialled.sort_by_key(|id| id.to_string());
    assert_eq!(heard, dialled);
    let endpoint = chat.endpoint;
    assert_eq!(chat.reactor.hub().count(endpoint), 3);
}

#[test]
fn a_server_that_is_not_trusted_is_not_spoken_to() {
    let mut chat = Chat::new();
    let port = chat.address.port();
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
    let listening = {
        let dialler = chat.dialler;
        let plain = switchboard::Listen::from(elsewhere).tls(server());
        chat.reactor.listen(plain, dialler)
    };
    assert!(listening.is_ok());
    for (address, client, expected) in [
        (chat.address, tls::Client::webpki(), "UnknownIssuer"),
        // Its certificate is for 127.0.0.1.
        (elsewhere, trusting(), "not valid for"),
    ] {
        chat.log.failed.clear();
        chat.dial(address, &client);
        chat.until("the failure", |log| log.failed.len() == 1);
        assert!(
            chat.log.failed[0].contains(expected),
            "{:?}",
            chat.log.failed
        );
    }
    assert_eq!(chat.log.opened, []);
}

/// A server of the test's own sees how a client comes back.
#[test]
fn dials_of_one_client_share_their_sessions() {
    let (mut chat, client) = (Chat::new(), trusting());
    let config = Arc::new(server_config());
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let listener = Listener::new();
        chat.dial(listener.address(), &client);
        let mut stream = None;
        chat.until("the client", |_| {
            stream = listener.accept();
            stream.is_some()
        });
        let mut far = Far::server(stream.unwrap(), &config);
        chat.until("the request", |_| {
            far.step();
            far.received.ends_with(b"\r\n\r\n")
        });
        // The answer has the tickets before it, and is none of WebSocket's.
        let failed = chat.log.failed.len();
        far.say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        chat.until("the refusal", |log| {
            far.step();
            log.failed.len() > failed
        });
        kinds.extend(far.tls.handshake_kind());
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
}
