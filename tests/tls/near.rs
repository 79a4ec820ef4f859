//! The near end: a reactor on a clock of its own with a listener that speaks TLS, and a driver that
//! dials.

use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use switchboard::{
    CloseReason, Config, ConnId, Dial, Driver, DriverId, Hub, Listen, Origin, Timeout, Turn, tls,
};

use crate::certs::CERTS;
use crate::far::{End, Far, client_config};
use crate::support::{Event, Listener, Recorder, Rig, World};

/// Turns after which a test gives up waiting, and how many of them in a row may go by without
/// anything happening, each at most `PATIENCE` long.
const MOST_TURNS: usize = 200_000;
const MOST_IDLE: usize = 300;
const PATIENCE: Duration = Duration::from_millis(10);

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A dial that came to nothing.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) id: ConnId,
    pub(crate) ticket: Option<u32>,
    pub(crate) kind: io::ErrorKind,
    pub(crate) text: String,
}

/// A [`Recorder`] for what is dialled, which takes down failures as well.
struct Dialler(Rc<RefCell<Vec<Failed>>>);

impl Driver<World> for Dialler {
    fn on_open(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, origin: Origin) {
        Recorder.on_open(world, hub, id, origin);
    }

    fn on_data(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        Recorder.on_data(world, hub, id, data)
    }

    fn on_eof(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        Recorder.on_eof(world, hub, id, rest);
    }

    fn on_drain(&mut self, world: &mut World, hub: &mut Hub, id: ConnId) {
        Recorder.on_drain(world, hub, id);
    }

    fn on_timeout(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        Recorder.on_timeout(world, hub, id, timeout);
    }

    fn on_dial_failed(
        &mut self,
        _: &mut World,
        _: &mut Hub,
        id: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        self.0.borrow_mut().push(Failed {
            id,
            ticket: ticket.map(|ticket| *ticket.downcast().unwrap()),
            kind: error.kind(),
            text: error.to_string(),
        });
    }

    fn on_close(&mut self, world: &mut World, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        Recorder.on_close(world, hub, id, reason);
    }
}

/// The near end.
pub(crate) struct Near {
    rig: Rig,
    pub(crate) dialler: DriverId,
    failed: Rc<RefCell<Vec<Failed>>>,
    /// Steps of handshakes in all turns.
    pub(crate) steps: usize,
}

impl Near {
    pub(crate) fn new() -> Self {
        Self::with(server())
    }

    pub(crate) fn with(server: tls::Server) -> Self {
        Self::of(Config::default(), listen(server))
    }

    pub(crate) fn of(config: Config, listen: Listen) -> Self {
        let mut rig = Rig::with(config, listen);
        let failed = Rc::default();
        let dialler = rig.reactor.add_driver(Dialler(Rc::clone(&failed)));
        Self {
            rig,
            dialler,
            failed,
            steps: 0,
        }
    }

    pub(crate) fn hub(&mut self) -> &mut Hub {
        self.rig.reactor.hub()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.local_addr.ip().unwrap()
    }

    /// The dials that have failed since this was asked last.
    pub(crate) fn failed(&self) -> Vec<Failed> {
        self.failed.take()
    }

    /// Turns until our own dial has failed, the far end taking its part; why.
    pub(crate) fn failure_with(&mut self, far: &mut Far, id: ConnId) -> Failed {
        self.both(far, "the failure", |near, _| {
            !near.failed.borrow().is_empty()
        });
        self.failure(id)
    }

    /// Why a dial with the ticket 7 has failed, and none besides.
    pub(crate) fn failure(&mut self, id: ConnId) -> Failed {
        self.rest();
        let mut failed = self.failed();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!((failed[0].id, failed[0].ticket), (id, Some(7)));
        failed.remove(0)
    }

    /// One turn that does not wait.
    pub(crate) fn turn(&mut self) -> Turn {
        self.wait(Duration::ZERO)
    }

    fn wait(&mut self, patience: Duration) -> Turn {
        let Rig { reactor, world, .. } = &mut self.rig;
        let turn = reactor.turn(world, Some(patience)).expect("a turn");
        self.steps += turn.handshakes;
        turn
    }

    /// Turns until `done`, or fails naming `what` it waited for.
    pub(crate) fn turns(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let mut idle = 0;
        for _ in 0..MOST_TURNS {
            if done(self) {
                return;
            }
            let turn = self.wait(PATIENCE);
            idle = if worked(&turn) { 0 } else { idle + 1 };
            if idle == MOST_IDLE {
                break;
            }
        }
        let tail = &self.world.events[self.world.events.len().saturating_sub(10)..];
        let tail: String = format!("{tail:?}").chars().take(1_000).collect();
        let failed = self.failed();
        panic!("waited in vain for {what}; events: {tail}, {failed:?}");
    }

    /// Turns, the far end taking its part, until `done`.
    pub(crate) fn both(
        &mut self,
        far: &mut Far,
        what: &str,
        mut done: impl FnMut(&mut Self, &mut Far) -> bool,
    ) {
        self.turns(what, |near| {
            far.step();
            done(near, far)
        });
    }

    /// Turns until nothing happens in two turns, since some things are done without a word and tell
    /// of themselves in the next; then the loop must be able to sleep.
    pub(crate) fn rest(&mut self) {
        let mut idle = 0;
        for _ in 0..MOST_TURNS {
            let turn = self.wait(MILLI);
            idle = if worked(&turn) { 0 } else { idle + 1 };
            if idle == 2 {
                assert_eq!(self.ready(), 0, "the loop spins");
                return;
            }
        }
        panic!("never comes to rest");
    }

    /// Moves the clock, and turns until all that comes of it is done.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.rest();
    }

    /// The same, the far end taking its part.
    pub(crate) fn rest_with(&mut self, far: &mut Far) {
        loop {
            let before = self.hub().totals().bytes_read + self.hub().totals().bytes_written;
            far.step();
            self.rest();
            far.step();
            let after = self.hub().totals().bytes_read + self.hub().totals().bytes_written;
            if before == after {
                return;
            }
        }
    }

    /// Connections that the loop would serve again without a new event.
    pub(crate) fn ready(&mut self) -> usize {
        let hub = format!("{:?}", self.hub());
        let (_, rest) = hub.split_once("ready: ").expect("the length of the queue");
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap()
    }

    /// A client that has connected and said nothing.
    pub(crate) fn stranger(&self, config: ClientConfig) -> Far {
        self.stranger_to(&Arc::new(config), "localhost")
    }

    /// The same, asking for a certain server.
    pub(crate) fn stranger_to(&self, config: &Arc<ClientConfig>, name: &str) -> Far {
        Far::client(self.address(), config, name)
    }

    /// A client whose handshake is done on both sides, and its connection here.
    pub(crate) fn open(&mut self, config: ClientConfig) -> (Far, ConnId) {
        self.open_to(&Arc::new(config), "localhost")
    }

    pub(crate) fn open_to(&mut self, config: &Arc<ClientConfig>, name: &str) -> (Far, ConnId) {
        let before = self.world.opened().len();
        let mut far = self.stranger_to(config, name);
        self.both(&mut far, "a handshake", |near, far| {
            assert_eq!(far.error, None);
            near.world.opened().len() > before && !far.tls.is_handshaking()
        });
        (far, self.world.opened()[before])
    }

    /// A client as most tests have it.
    pub(crate) fn client(&mut self) -> (Far, ConnId) {
        self.open(client_config())
    }

    /// Dials a server of the test's own, which has accepted and said nothing.
    pub(crate) fn dial_far(&mut self, config: ServerConfig) -> (Far, ConnId) {
        let trusting = trusting();
        self.dial_as(config, |dial| dial.tls(&trusting, "localhost").unwrap())
    }

    /// The same with a dial that the test makes; its ticket is 7.
    pub(crate) fn dial_as(
        &mut self,
        config: ServerConfig,
        make: impl FnOnce(Dial) -> Dial,
    ) -> (Far, ConnId) {
        let listener = Listener::new();
        let dial = make(Dial::tcp(listener.address())).ticket(7_u32);
        let dialler = self.dialler;
        let id = self.hub().connect(dial, dialler);
        let mut stream = None;
        self.turns("our own client", |_| {
            stream = listener.accept();
            stream.is_some()
        });
        (Far::server(stream.unwrap(), &Arc::new(config)), id)
    }

    /// Our own connection to a server of the test's own, the handshake being done.
    pub(crate) fn dialled(&mut self, config: ServerConfig) -> (Far, ConnId) {
        let (mut far, id) = self.dial_far(config);
        self.both(&mut far, "our own handshake", |near, _| {
            near.world.opened().contains(&id)
        });
        (far, id)
    }

    /// Dials our own server; returns both ends, ours and the one that is served.
    pub(crate) fn pair(&mut self, dial: Dial) -> (ConnId, ConnId) {
        let before = self.world.opened().len();
        let dialler = self.dialler;
        let id = self.hub().connect(dial, dialler);
        self.turns("both ends", |near| near.world.opened().len() == before + 2);
        let opened = self.world.opened()[before..].to_vec();
        let served = opened.into_iter().find(|own| *own != id);
        (id, served.unwrap())
    }

    /// Turns until the stream has ended for the far end; says how.
    pub(crate) fn end_of(&mut self, far: &mut Far) -> End {
        self.both(far, "the end of the stream", |_, far| far.end.is_some());
        far.end.unwrap()
    }

    /// Turns until a connection has ended, the far end finishing when the near one has; says why.
    pub(crate) fn closed(&mut self, far: &mut Far, id: ConnId) -> CloseReason {
        self.both(far, "the close", |near, far| {
            if far.end.is_some() {
                // It may be so already.
                let _ = far.stream.shutdown(Shutdown::Write);
            }
            near.reason(id).is_some()
        });
        self.reason(id).unwrap()
    }

    pub(crate) fn reason(&self, id: ConnId) -> Option<CloseReason> {
        let closed = self.world.closed().into_iter();
        let mut own = closed.filter(|(own, _)| *own == id);
        own.next().map(|(_, reason)| reason)
    }

    /// What was told of one connection after its opening, in words.
    pub(crate) fn told(&self, id: ConnId) -> Vec<String> {
        let words = |event: &Event| match event {
            Event::Data(own, data) if *own == id => Some(format!("data {}", data.escape_ascii())),
            Event::Eof(own, _) if *own == id => Some("eof".to_owned()),
            Event::Closed(own, reason) if *own == id => Some(format!("closed {reason:?}")),
            _ => None,
        };
        self.world.events.iter().filter_map(words).collect()
    }

    /// What is said here comes back.
    pub(crate) fn assert_echoes(&mut self, far: &mut Far) {
        let from = far.received.len();
        far.say(b"still there?");
        self.both(far, "an echo", |_, far| far.received.len() >= from + 12);
        assert_eq!(&far.received[from..], b"still there?");
    }

    /// Everything that was kept for connections has gone, timers and all.
    pub(crate) fn assert_nothing_left(&mut self) {
        self.assert_nothing_but(0);
    }

    /// The same but for so many connections.
    pub(crate) fn assert_nothing_but(&mut self, open: usize) {
        let (driver, dialler) = (self.driver, self.dialler);
        self.rest();
        let hub = self.hub();
        let census = hub.census();
        let kept = (census.handshakes, census.dials, census.backlog);
        assert_eq!(kept, (0, 0, 0), "{census:?}");
        assert_eq!(hub.count(driver) + hub.count(dialler), open);
        assert_eq!(hub.pending_timers(), 0, "timers are left");
    }
}

impl Deref for Near {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl DerefMut for Near {
    fn deref_mut(&mut self) -> &mut Rig {
        &mut self.rig
    }
}

/// However a test went about it, its events came in order.
impl Drop for Near {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.rig.world.assert_orderly();
        }
    }
}

fn worked(turn: &Turn) -> bool {
    let done = turn.events + turn.reads + turn.writes + turn.handshakes + turn.accepts;
    done + turn.closes + turn.timers + turn.remote > 0
}

/// The server of most tests.
pub(crate) fn server() -> tls::Server {
    tls::Server::files(&CERTS.server.cert, &CERTS.server.key).unwrap()
}

pub(crate) fn listen(server: tls::Server) -> Listen {
    Listen::tcp("127.0.0.1:0").tls(server)
}

/// A client that trusts the authority of these tests.
pub(crate) fn trusting() -> tls::Client {
    tls::Client::authorities(&CERTS.authority.pair.cert).unwrap()
}

/// A hook of `on_data` that sends back what came.
pub(crate) fn echo(hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
    hub.send(id, data).ignore();
    data.len()
}
