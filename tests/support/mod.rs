//! What tests share: a reactor on a clock of its own, a driver that records what happens to it, and clients.
//!
//! Nothing here sleeps. A test drives `turn()` until what it waits for has happened, and the number of turns is
//! bounded, so that a fault shows as a failure and not as a test that hangs.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::type_complexity,
    reason = "each test binary uses a part of this"
)]

use std::any::Any;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use switchboard::testing::Faults;
use switchboard::{
    Clock, CloseReason, Config, ConnId, Driver, DriverId, Hub, Listen, Listening, Origin, Reactor,
    Timeout, Turn,
};

/// Turns after which a test gives up waiting, each at most `PATIENCE` long.
const MOST_TURNS: usize = 5_000;
/// How long one turn of a test waits for the kernel. Loopback needs microseconds.
const PATIENCE: Duration = Duration::from_millis(10);

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Opened(ConnId),
    Data(ConnId, Vec<u8>),
    Eof(ConnId, Vec<u8>),
    Drained(ConnId),
    TimedOut(ConnId, Timeout),
    Timer(Option<ConnId>, u32),
    Posted(ConnId),
    Closed(ConnId, CloseReason),
}

/// A hook of one callback: what a test wants done in it.
pub type Hook<T> = Option<Box<dyn FnMut(&mut Hub, ConnId, T)>>;

/// The application of most tests: a record, and hooks that act in callbacks.
#[derive(Default)]
pub struct World {
    pub events: Vec<Event>,
    pub on_open: Hook<()>,
    /// Returns how many of the bytes it consumed. Without a hook all of them.
    pub on_data: Option<Box<dyn FnMut(&mut Hub, ConnId, &mut [u8]) -> usize>>,
    /// Without a hook the default: our side closes too.
    pub on_eof: Hook<()>,
    pub on_drain: Hook<()>,
    /// Without a hook the default: the connection closes.
    pub on_timeout: Hook<Timeout>,
    pub on_timer: Option<Box<dyn FnMut(&mut Hub, Option<ConnId>, u32)>>,
    pub on_post: Hook<Box<dyn Any>>,
    pub on_close: Hook<CloseReason>,
}

impl World {
    pub fn opened(&self) -> Vec<ConnId> {
        let opened = |event: &Event| match event {
            Event::Opened(id) => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }

    pub fn closed(&self) -> Vec<(ConnId, CloseReason)> {
        let closed = |event: &Event| match event {
            Event::Closed(id, reason) => Some((*id, *reason)),
            _ => None,
        };
        self.events.iter().filter_map(closed).collect()
    }

    /// All bytes that were delivered for a connection.
    pub fn data(&self, id: ConnId) -> Vec<u8> {
        let mut all = Vec::new();
        for event in &self.events {
            match event {
                Event::Data(of, data) if *of == id => all.extend_from_slice(data),
                _ => {}
            }
        }
        all
    }

    /// Each connection was opened once, and closed at most once, with nothing before and nothing after.
    pub fn assert_orderly(&self) {
        let mut ended: HashMap<ConnId, bool> = HashMap::new();
        for event in &self.events {
            let (id, opens, closes) = match event {
                Event::Opened(id) => (*id, true, false),
                Event::Closed(id, _) => (*id, false, true),
                Event::Timer(None, _) => continue,
                Event::Timer(Some(id), _) => (*id, false, false),
                Event::Data(id, _) | Event::Eof(id, _) | Event::Drained(id) => (*id, false, false),
                Event::TimedOut(id, _) | Event::Posted(id) => (*id, false, false),
            };
            match (opens, ended.get(&id)) {
                (true, None) => drop(ended.insert(id, closes)),
                (false, Some(false)) => drop(ended.insert(id, closes)),
                (_, state) => panic!("{event:?} out of order: ended is {state:?}"),
            }
        }
    }
}

/// A driver that records what happens and calls the hooks of the world.
pub struct Recorder;

impl Driver<World> for Recorder {
    fn on_open(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, _: Origin) {
        world.events.push(Event::Opened(id));
        if let Some(hook) = &mut world.on_open {
            hook(hub, id, ());
        }
    }

    fn on_data(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        let used = match &mut world.on_data {
            Some(hook) => hook(hub, id, data),
            None => data.len(),
        };
        world.events.push(Event::Data(id, data[..used].to_vec()));
        used
    }

    fn on_eof(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        world.events.push(Event::Eof(id, rest.to_vec()));
        match &mut world.on_eof {
            Some(hook) => hook(hub, id, ()),
            None => hub.close_for(id, CloseReason::Peer),
        }
    }

    fn on_drain(&mut self, world: &mut World, hub: &mut Hub, id: ConnId) {
        world.events.push(Event::Drained(id));
        if let Some(hook) = &mut world.on_drain {
            hook(hub, id, ());
        }
    }

    fn on_timeout(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        world.events.push(Event::TimedOut(id, timeout));
        match &mut world.on_timeout {
            Some(hook) => hook(hub, id, timeout),
            None => hub.close_for(id, CloseReason::TimedOut(timeout)),
        }
    }

    fn on_timer(&mut self, world: &mut World, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        world.events.push(Event::Timer(id, key));
        if let Some(hook) = &mut world.on_timer {
            hook(hub, id, key);
        }
    }

    fn on_post(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        world.events.push(Event::Posted(id));
        if let Some(hook) = &mut world.on_post {
            hook(hub, id, message);
        }
    }

    fn on_close(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        world.events.push(Event::Closed(id, reason));
        if let Some(hook) = &mut world.on_close {
            hook(hub, id, reason);
        }
    }
}

/// A reactor with a [`Recorder`], its application, its clock and its script of faults.
pub struct Rig {
    pub reactor: Reactor<World>,
    pub world: World,
    pub clock: Clock,
    pub faults: Faults,
    pub driver: DriverId,
    pub listening: Listening,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Config::default(), "127.0.0.1:0")
    }

    /// Clock and faults of `config` are replaced by the rig's own.
    pub fn with(config: Config, listen: impl Into<Listen>) -> Self {
        let (clock, faults) = (Clock::manual(), Faults::default());
        let config = Config {
            clock: clock.clone(),
            faults: Some(faults.clone()),
            ..config
        };
        let mut reactor = Reactor::new(config).expect("a poller");
        let driver = reactor.add_driver(Recorder);
        let listening = reactor.listen(listen, driver).expect("a port");
        Self {
            reactor,
            world: World::default(),
            clock,
            faults,
            driver,
            listening,
        }
    }

    /// A client connected to the listener, and its connection in the reactor.
    pub fn connect(&mut self) -> (TcpStream, ConnId) {
        let before = self.world.opened().len();
        let client = client(self.listening.local_addr.ip().unwrap());
        self.until("the connection to be accepted", |world| {
            world.opened().len() > before
        });
        let id = self.world.opened()[before];
        (client, id)
    }

    /// One turn that does not wait.
    pub fn turn(&mut self) -> Turn {
        self.reactor
            .turn(&mut self.world, Some(Duration::ZERO))
            .expect("a turn")
    }

    /// Turns until `done`, or fails naming `what` it waited for.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut World) -> bool) {
        for _ in 0..MOST_TURNS {
            if done(&mut self.world) {
                return;
            }
            self.reactor
                .turn(&mut self.world, Some(PATIENCE))
                .expect("a turn");
        }
        panic!(
            "waited in vain for {what}; events: {:?}",
            tail(&self.world.events)
        );
    }

    /// Turns until a turn in which nothing happened at all.
    pub fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            let turn = self
                .reactor
                .turn(&mut self.world, Some(Duration::from_millis(2)))
                .expect("a turn");
            if turn.events
                + turn.reads
                + turn.writes
                + turn.closes
                + turn.accepts
                + turn.timers
                + turn.remote
                == 0
            {
                return;
            }
        }
        panic!("never came to rest; events: {:?}", tail(&self.world.events));
    }

    /// Moves the clock and takes one turn.
    pub fn advance(&mut self, by: Duration) -> Turn {
        self.clock.advance(by);
        self.turn()
    }

    /// Turns until the client has read exactly this many bytes, and returns them.
    pub fn read_exactly(&mut self, client: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut received = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..MOST_TURNS {
            let most = buffer.len().min(length - received.len());
            if most == 0 {
                return received;
            }
            match read_some(client, &mut buffer[..most]) {
                Some(0) => panic!("EOF after {} of {length} bytes", received.len()),
                Some(read) => received.extend_from_slice(&buffer[..read]),
                None => drop(
                    self.reactor
                        .turn(&mut self.world, Some(PATIENCE))
                        .expect("a turn"),
                ),
            }
        }
        panic!(
            "waited in vain for {length} bytes, received {}",
            received.len()
        );
    }

    /// Turns until the client has read to the end of its stream, and returns the bytes. Panics at a reset.
    pub fn read_to_end(&mut self, client: &mut TcpStream) -> Vec<u8> {
        let mut received = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..MOST_TURNS {
            match read_some(client, &mut buffer) {
                Some(0) => return received,
                Some(read) => received.extend_from_slice(&buffer[..read]),
                None => drop(
                    self.reactor
                        .turn(&mut self.world, Some(PATIENCE))
                        .expect("a turn"),
                ),
            }
        }
        panic!(
            "waited in vain for the end, received {} bytes",
            received.len()
        );
    }
}

/// A client. The kernel completes the connection before anybody accepts it.
pub fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("to connect");
    stream.set_nonblocking(true).expect("a flag");
    stream.set_nodelay(true).expect("a flag");
    stream
}

/// Reads what there is. `None` if there is nothing yet.
pub fn read_some(client: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match client.read(buffer) {
        Ok(read) => Some(read),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("reading: {error}"),
    }
}

/// Writes until the kernel takes no more, and returns how much it took.
pub fn write_full(client: &mut TcpStream, data: &[u8]) -> usize {
    let mut written = 0;
    while written < data.len() {
        match client.write(&data[written..]) {
            Ok(taken) => written += taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("writing: {error}"),
        }
    }
    written
}

/// Makes dropping this client a reset instead of a FIN.
pub fn reset(client: TcpStream) {
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .expect("an option");
    drop(client);
}

/// Bytes that differ by position, so that loss, doubling and disorder all show.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

/// Descriptors that this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Resident bytes of this process, counted from its page tables where the kernel does that: the
/// number in `status` is put together from one for each CPU, and on some kernels up to megabytes
/// behind.
pub fn resident() -> usize {
    let counted = std::fs::read_to_string("/proc/self/smaps_rollup");
    let text = counted.or_else(|_| std::fs::read_to_string("/proc/self/status"));
    let text = text.expect("procfs");
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let size = line("Rss:").or_else(|| line("VmRSS:"));
    let kilobytes = size.and_then(|size| size.strip_suffix("kB")?.trim().parse::<usize>().ok());
    kilobytes.expect("the resident set") * 1024
}

fn tail(events: &[Event]) -> &[Event] {
    &events[events.len().saturating_sub(20)..]
}

/// An address at which nobody listens, nor has listened: a listener that is let go may live on for a
/// moment, in a child process that another test is starting.
pub fn deserted() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&own_address().into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    address.as_socket().expect("one of IP")
}

/// A free port of an address that nobody else uses, in this process or another. There it is free by
/// TCP and by UDP, no connection of before waits in TIME_WAIT, and what is given up is not taken by
/// somebody else before it is asked for again. All of 127.0.0.0/8 is this host.
pub fn own_address() -> SocketAddr {
    static ASKED: AtomicU8 = AtomicU8::new(0);
    let row = ASKED.fetch_add(1, Ordering::Relaxed) % 250;
    let [_, _, high, low] = std::process::id().to_be_bytes();
    ([127, row + 2, high, low], 0).into()
}

/// A listener of the test's own: what is said to who connects is up to the test.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a flag");
        Self(listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// Who has connected, if anybody has.
    pub fn accept(&self) -> Option<TcpStream> {
        let (stream, _) = self.0.accept().ok()?;
        stream.set_nonblocking(true).expect("a flag");
        stream.set_nodelay(true).expect("a flag");
        Some(stream)
    }
}
