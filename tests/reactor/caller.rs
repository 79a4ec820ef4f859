//! What the tests of dials share: a driver that records their outcomes, addresses that answer in
//! ways of their own, and a place for files.

use std::any::Any;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use switchboard::testing::{Clock, Faults, turn_until};
use switchboard::{CloseReason, Config, ConnId, Dial, Driver, DriverId, Hub, Origin, Reactor};

use crate::support::own_address;

/// What happened to dials.
#[derive(Default)]
pub(crate) struct Caller {
    pub(crate) opened: Vec<(ConnId, Option<&'static str>)>,
    pub(crate) failed: Vec<(ConnId, Option<&'static str>, io::Error)>,
    pub(crate) received: Vec<u8>,
    pub(crate) closed: Vec<(ConnId, CloseReason)>,
}

/// Says `hello` to whom it has reached.
struct Dialler;

fn text(ticket: Option<Box<dyn Any>>) -> Option<&'static str> {
    ticket.map(|ticket| {
        *ticket
            .downcast::<&'static str>()
            .expect("the ticket that was given")
    })
}

impl Driver<Caller> for Dialler {
    fn on_open(&mut self, caller: &mut Caller, hub: &mut Hub, id: ConnId, origin: Origin) {
        let ticket = match origin {
            Origin::Dialled { ticket } => ticket,
            Origin::Accepted { .. } | Origin::Adopted => None,
            other => panic!("{other:?}"),
        };
        caller.opened.push((id, text(ticket)));
        hub.send(id, b"hello").ignore();
    }

    fn on_data(&mut self, caller: &mut Caller, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        caller.received.extend_from_slice(data);
        data.len()
    }

    fn on_dial_failed(
        &mut self,
        caller: &mut Caller,
        _: &mut Hub,
        id: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        caller.failed.push((id, text(ticket), error));
    }

    fn on_close(&mut self, caller: &mut Caller, _: &mut Hub, id: ConnId, reason: CloseReason) {
        caller.closed.push((id, reason));
    }
}

/// A reactor that dials, on a clock and with system calls of its own.
pub(crate) struct Rig {
    pub(crate) reactor: Reactor<Caller>,
    pub(crate) caller: Caller,
    pub(crate) driver: DriverId,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    /// Clock and faults of `config` are replaced by the rig's own.
    pub(crate) fn with(config: Config) -> Self {
        let (clock, faults) = (Clock::manual(), Faults::default());
        let config = Config {
            clock: clock.clone(),
            faults: Some(faults.clone()),
            ..config
        };
        let mut reactor = Reactor::new(config).unwrap();
        let driver = reactor.add_driver(Dialler);
        Self {
            reactor,
            caller: Caller::default(),
            driver,
            clock,
            faults,
        }
    }

    pub(crate) fn connect(&mut self, dial: impl Into<Dial>) -> ConnId {
        let driver = self.driver;
        self.reactor.hub().connect(dial, driver)
    }

    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Caller) -> bool) {
        turn_until(&mut self.reactor, &mut self.caller, what, |caller| {
            done(caller)
        });
    }

    /// Turns until a dial has an outcome that was not there before; none of it may be another's.
    pub(crate) fn outcome(&mut self) {
        let before = self.caller.opened.len() + self.caller.failed.len();
        self.until("the outcome of a dial", |caller| {
            caller.opened.len() + caller.failed.len() > before
        });
        self.turns();
        assert_eq!(
            self.caller.opened.len() + self.caller.failed.len(),
            before + 1
        );
    }

    /// Some turns that do not wait.
    pub(crate) fn turns(&mut self) {
        for _ in 0..20 {
            self.reactor
                .turn(&mut self.caller, Some(Duration::ZERO))
                .unwrap();
        }
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.turns();
    }

    /// Nothing is left of any dial.
    pub(crate) fn assert_empty(&mut self) {
        self.turns();
        let hub = format!("{:?}", self.reactor.hub());
        assert!(hub.contains("slots: 0, ready: 0, timers: 0,"), "{hub}");
        assert_eq!(self.reactor.hub().count(self.driver), 0);
    }

    /// What was said of the one dial that has failed.
    pub(crate) fn error(&self) -> (io::ErrorKind, String) {
        assert!(self.caller.opened.is_empty() && self.caller.closed.is_empty());
        assert_eq!(self.caller.failed.len(), 1);
        let error = &self.caller.failed[0].2;
        (error.kind(), error.to_string())
    }

    /// Our and the peer's address of a connection.
    pub(crate) fn addresses(&mut self, id: ConnId) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let info = self.reactor.hub().info(id).expect("an open connection");
        (info.local_addr, info.peer_addr)
    }
}

/// A listener and its address.
pub(crate) fn server() -> (TcpListener, SocketAddr) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

/// An address at which nobody listens: bound, so that nobody else can take it, and no more.
pub(crate) struct Deserted {
    _socket: Socket,
    pub(crate) address: SocketAddr,
}

impl Deserted {
    pub(crate) fn new() -> Self {
        let socket = bound();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            _socket: socket,
            address,
        }
    }
}

/// An address that does not answer, as if the first packet to it were always lost: the backlog of
/// its listener is full.
pub(crate) struct Silent {
    _socket: Socket,
    pub(crate) address: SocketAddr,
    _filler: TcpStream,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let socket = bound();
        // Linux takes one more than it is told.
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let silent = Self {
            _socket: socket,
            address,
            _filler: TcpStream::connect(address).unwrap(),
        };
        // The client is connected a moment before it is in the backlog.
        for _ in 0..100_000 {
            if silent.is_full() {
                return silent;
            }
            std::thread::yield_now();
        }
        panic!("the backlog is not full");
    }

    /// Whether a client waits to be accepted.
    fn is_full(&self) -> bool {
        let own = format!(":{:04X}", self.address.port());
        sockets().any(|[local, _, state, queues]| {
            local.ends_with(&own) && state == LISTEN && !queues.ends_with(":00000000")
        })
    }

    /// Clients that the kernel still tries to connect to it.
    pub(crate) fn waiting(&self) -> usize {
        let own = format!(":{:04X}", self.address.port());
        let waits =
            |[_, remote, state, _]: &[String; 4]| remote.ends_with(&own) && state == SYN_SENT;
        sockets().filter(waits).count()
    }
}

const SYN_SENT: &str = "02";
const LISTEN: &str = "0A";

/// All sockets of TCP: their addresses, state and queues. One may be missing while others come and
/// go.
fn sockets() -> impl Iterator<Item = [String; 4]> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
    let lines: Vec<String> = table.lines().skip(1).map(str::to_owned).collect();
    lines.into_iter().map(|line| {
        let mut words = line.split_whitespace().skip(1).map(str::to_owned);
        [0; 4].map(|_| words.next().expect("a field"))
    })
}

/// At an address of the test's own: nobody else listens there once it is gone, while the kernel
/// still knocks.
fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&own_address().into()).unwrap();
    socket
}

/// A directory of a test's own, which goes with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("switchboard-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // A process with the same number, which did not come to its end, has left it.
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}"),
            }
        }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
