//! What the tests of the proxy share: a server that passes requests below `/app` on, and the other
//! server, which is a listener of the test itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};

use socket2::SockRef;
use switchboard::http::{Options, Proxy, Upstream};
use switchboard::{DriverId, Hub};

use crate::answer::Answer;
use crate::mounts::{App, server};
use crate::served::{End, Served};

/// The high mark of all connections: bytes that wait, above which whoever sends is held back.
const HIGH: usize = 64 * 1024;

/// A proxy, its clients, and the server behind it.
pub(crate) struct Proxied {
    pub(crate) served: Served<App>,
    /// The driver of the connections to the other server.
    pub(crate) upstream: DriverId,
    listener: TcpListener,
    /// Connections that the other server was opened.
    pub(crate) accepted: u64,
}

/// A request as the other server sees it: its head, and what came right behind that.
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) behind: Vec<u8>,
}

impl Proxied {
    pub(crate) fn new() -> Self {
        Self::with(|proxy| proxy)
    }

    /// With another patience, say.
    pub(crate) fn with(change: impl FnOnce(Proxy) -> Proxy) -> Self {
        Self::made(Options::default(), None, change)
    }

    /// To another address than that of the test's own listener.
    pub(crate) fn to(address: SocketAddr, change: impl FnOnce(Proxy) -> Proxy) -> Self {
        Self::made(Options::default(), Some(address), change)
    }

    pub(crate) fn made(
        options: Options,
        to: Option<SocketAddr>,
        change: impl FnOnce(Proxy) -> Proxy,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a flag");
        let to = to.unwrap_or_else(|| listener.local_addr().expect("an address"));
        let mut upstream = None;
        let served = Served::made(App::default(), |reactor| {
            let driver = reactor.add_driver(Upstream::new());
            upstream = Some(driver);
            let proxy = change(Proxy::new(driver, &to.to_string()));
            server(options).mount("/app", proxy)
        });
        Self {
            served,
            upstream: upstream.expect("a driver"),
            listener,
            accepted: 0,
        }
    }

    /// Turns until the other server has been opened a connection.
    pub(crate) fn accept(&mut self) -> TcpStream {
        let (mut accepted, listener) = (None, &self.listener);
        self.served.turns("a connection to the other server", |_| {
            accepted = accept(listener);
            accepted.is_some()
        });
        self.accepted += 1;
        accepted.expect("one")
    }

    /// Connections that the other server has not looked at yet.
    pub(crate) fn unaccepted(&mut self) -> usize {
        let count = std::iter::from_fn(|| accept(&self.listener)).count();
        self.accepted += count as u64;
        count
    }

    /// Turns until the other server has the head of a request.
    pub(crate) fn see(&mut self, other: &mut TcpStream) -> Seen {
        let (mut received, mut end) = (Vec::new(), None);
        self.served.turns("a request's head", |_| {
            read_into(other, &mut received, usize::MAX);
            end = received.windows(4).position(|four| four == b"\r\n\r\n");
            end.is_some()
        });
        let behind = received.split_off(end.expect("its end") + 4);
        Seen {
            head: String::from_utf8(received).expect("a head of text"),
            behind,
        }
    }

    /// A request passed on to the other server: the client, the other server's connection, and what
    /// that has seen.
    pub(crate) fn pass(&mut self, request: impl AsRef<[u8]>) -> (TcpStream, TcpStream, Seen) {
        let mut client = self.connect();
        client.write_all(request.as_ref()).expect("room for it");
        let mut other = self.accept();
        let seen = self.see(&mut other);
        (client, other, seen)
    }

    /// Passes a request on, has it answered so and the connection closed; returns what the client
    /// gets.
    pub(crate) fn answered(&mut self, request: &str, reply: impl AsRef<[u8]>) -> Answer {
        let (mut client, mut other, _) = self.pass(request);
        other.write_all(reply.as_ref()).expect("room for it");
        drop(other);
        self.read_one(&mut client, request.starts_with("HEAD "))
    }

    /// Turns until a whole answer has come, and nothing behind it.
    pub(crate) fn read_one(&mut self, client: &mut TcpStream, to_head: bool) -> Answer {
        let (mut received, mut taken) = (Vec::new(), None);
        self.served.turns("an answer", |_| {
            if let Some(end) = read_into(client, &mut received, usize::MAX) {
                panic!("{end:?} after `{}`", received.escape_ascii());
            }
            taken = Answer::take(&received, to_head);
            taken.is_some()
        });
        let (answer, length) = taken.expect("one");
        let behind = received[length..].escape_ascii().to_string();
        assert_eq!(behind, "", "behind {answer:?}");
        answer
    }

    /// Turns until so many bytes have come.
    pub(crate) fn read_exactly(&mut self, stream: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut received = Vec::new();
        self.served.turns("bytes", |_| {
            let end = read_into(stream, &mut received, length);
            assert!(
                end.is_none() || received.len() == length,
                "{end:?} after {} of {length} bytes",
                received.len()
            );
            received.len() == length
        });
        received
    }

    /// Writes what can be written of `data` from `written` on, while nobody reads it, until the
    /// sender is held back. Returns the most that waited on any one connection, which is more than
    /// the high mark.
    pub(crate) fn stall(
        &mut self,
        from: &mut TcpStream,
        data: &[u8],
        written: &mut usize,
    ) -> usize {
        let (drivers, mut most, mut still) = ([self.driver, self.upstream], 0, 0);
        let hub = self.served.hub();
        for id in drivers.map(|driver| hub.ids(driver)).concat() {
            // The kernel keeps little, whatever it is set to on this system.
            let descriptor = hub.descriptor(id).expect("a socket");
            let socket = SockRef::from(&descriptor);
            socket.set_send_buffer_size(64 * 1024).expect("an option");
        }
        self.served.turns("the sender to be held back", |served| {
            let before = *written;
            write_from(from, data, written);
            most = most.max(most_backlog(served.hub(), drivers));
            still = match most > HIGH && *written == before {
                true => still + 1,
                false => 0,
            };
            still == 10
        });
        most
    }

    /// Connections of clients that speak HTTP, and connections of the upstream's driver.
    pub(crate) fn counts(&mut self) -> (usize, usize) {
        let (server, upstream) = (self.driver, self.upstream);
        (self.hub().count(server), self.hub().count(upstream))
    }

    /// Turns until the connection to the other server is gone, while the clients stay.
    pub(crate) fn until_upstream_is_gone(&mut self) {
        let upstream = self.upstream;
        self.served.turns("the upstream to end", |served| {
            served.hub().count(upstream) == 0
        });
    }

    /// All have gone, each connection was closed once, and nothing is kept for anybody.
    pub(crate) fn assert_nothing_left(&mut self) {
        self.until_upstream_is_gone();
        self.served.assert_nothing_left();
        self.unaccepted();
        let (totals, census) = (*self.hub().totals(), self.hub().census());
        assert_eq!(totals.closes, totals.accepts + self.accepted, "{totals:?}");
        assert_eq!((census.dials, census.backlog), (0, 0), "{census:?}");
        assert_eq!((totals.panics, totals.dropped), (0, 0), "{totals:?}");
    }
}

impl Deref for Proxied {
    type Target = Served<App>;

    fn deref(&self) -> &Self::Target {
        &self.served
    }
}

impl DerefMut for Proxied {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.served
    }
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true).expect("a flag");
            stream.set_nodelay(true).expect("a flag");
            Some(stream)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("accepting: {error}"),
    }
}

/// Reads what there is until `received` has `most` bytes; returns how the stream ended, if it has.
pub(crate) fn read_into(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
    most: usize,
) -> Option<End> {
    let mut buffer = vec![0; 64 * 1024];
    while received.len() < most {
        let room = buffer.len().min(most - received.len());
        match stream.read(&mut buffer[..room]) {
            Ok(0) => return Some(End::Fin),
            Ok(read) => received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => return Some(End::Reset),
        }
    }
    None
}

/// Writes what the kernel takes of `data` from `at` on.
pub(crate) fn write_from(stream: &mut TcpStream, data: &[u8], at: &mut usize) {
    while *at < data.len() {
        match stream.write(&data[*at..]) {
            Ok(written) => *at += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("writing: {error}"),
        }
    }
}

/// The most bytes that wait to be sent on any one connection of these drivers.
pub(crate) fn most_backlog(hub: &Hub, drivers: [DriverId; 2]) -> usize {
    let ids = drivers.into_iter().flat_map(|driver| hub.ids(driver));
    ids.map(|id| hub.backlog(id)).max().unwrap_or_default()
}
