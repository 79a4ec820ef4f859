//! What these tests share: a reactor on a clock of its own that serves WebSocket under `/ws` and
//! dials it.
//!
//! Nothing sleeps: a test turns until what it waits for has happened, a bounded number of times.

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use switchboard::proto::websocket::Role;
use switchboard::websocket::{Dial, Endpoint, Mount, Options};
use switchboard::{Clock, Config, ConnId, DriverId, Hub, Limits, Listen, Reactor, Turn, http};

use crate::app::App;
use crate::far::{End, Far, Frame, answer, request};
use crate::support::{Listener, client};

/// Turns after which a test gives up waiting, and how many of them in a row may go by without
/// anything happening, each at most `PATIENCE` long.
const MOST_TURNS: usize = 100_000;
const MOST_IDLE: usize = 500;
const PATIENCE: Duration = Duration::from_millis(10);

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The application, its reactor, its server and its clock.
pub(crate) struct Served {
    pub(crate) reactor: Reactor<App>,
    pub(crate) app: App,
    pub(crate) clock: Clock,
    /// The driver of what is served.
    pub(crate) endpoint: DriverId,
    /// The driver of what is dialled.
    pub(crate) dialler: DriverId,
    pub(crate) http: DriverId,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    /// Nobody is pinged.
    pub(crate) fn quiet() -> Self {
        Self::with(Options {
            ping_interval: None,
            ..Options::default()
        })
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::made(options, Limits::default(), |mount| mount)
    }

    /// With limits of the connections that are served.
    pub(crate) fn limited(limits: Limits) -> Self {
        let options = Options {
            ping_interval: None,
            ..Options::default()
        };
        Self::made(options, limits, |mount| mount)
    }

    /// With a mount of which the test says how it is.
    pub(crate) fn made(
        options: Options,
        limits: Limits,
        mount: impl FnOnce(Mount) -> Mount,
    ) -> Self {
        let clock = Clock::manual();
        let config = Config {
            clock: clock.clone(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).expect("a poller");
        let endpoint = reactor.add_driver(Endpoint::with(options));
        let dialler = reactor.add_driver(Endpoint::with(options));
        let server = http::Server::new()
            .get("/", |app: &mut App, cx, _| {
                if let Some(hook) = &mut app.on_get {
                    hook(cx.hub());
                }
                cx.respond("a page").ignore();
            })
            .mount("/ws", mount(Mount::new(endpoint)))
            .mount("/:floor/rooms", Mount::new(endpoint))
            .trust_proxy(["127.0.0.1"])
            .expect("a network");
        let http = reactor.add_driver(server);
        // Small buffers of the kernel's are full soon. Smaller ones would wait for delayed ACKs.
        let listen = Listen::tcp("127.0.0.1:0")
            .send_buffer(64 * 1024)
            .limits(limits);
        let listening = reactor.listen(listen, http).expect("a port");
        Self {
            reactor,
            app: App::default(),
            clock,
            endpoint,
            dialler,
            http,
            address: listening.local_addr.ip().unwrap(),
        }
    }

    pub(crate) fn hub(&mut self) -> &mut Hub {
        self.reactor.hub()
    }

    /// One turn that does not wait.
    pub(crate) fn turn(&mut self) -> Turn {
        let turn = self.reactor.turn(&mut self.app, Some(Duration::ZERO));
        turn.expect("a turn")
    }

    /// Moves the clock, and turns until all that comes of it is done.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.rest();
    }

    /// Turns until `done`, or fails naming `what` it waited for.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&App) -> bool) {
        self.turns(what, |served| done(&served.app));
    }

    /// As [`until`](Self::until), looking at the reactor too.
    pub(crate) fn turns(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let mut idle = 0;
        for _ in 0..MOST_TURNS {
            if done(self) {
                return;
            }
            let turn = self.reactor.turn(&mut self.app, Some(PATIENCE));
            let turn = turn.expect("a turn");
            match turn.events + turn.reads + turn.writes {
                0 => idle += 1,
                _ => idle = 0,
            }
            if idle == MOST_IDLE {
                break;
            }
        }
        let tail = &self.app.events[self.app.events.len().saturating_sub(10)..];
        let tail: String = format!("{tail:?}").chars().take(1_000).collect();
        panic!("waited in vain for {what}; events: {tail}");
    }

    /// Turns until a turn in which nothing happened. That of a single one says little: loopback
    /// delivers while a sender is still at it, and only then.
    pub(crate) fn rest(&mut self) {
        for _ in 0..MOST_TURNS {
            let turn = self.reactor.turn(&mut self.app, Some(2 * MILLI));
            let turn = turn.expect("a turn");
            let done = turn.events + turn.reads + turn.writes + turn.closes;
            if done + turn.accepts + turn.timers + turn.remote + turn.stale == 0 {
                return;
            }
        }
        panic!("never comes to rest");
    }

    /// A client that has connected and said nothing. Its connection here is not known yet.
    pub(crate) fn stranger(&mut self) -> Far {
        let http = self.http;
        let before = self.hub().ids(http);
        let stream = client(self.address);
        let mut opened = None;
        self.turns("the connection to be accepted", |served| {
            let ids = served.hub().ids(http);
            opened = ids.into_iter().find(|id| !before.contains(id));
            opened.is_some()
        });
        Far::new(stream, Role::Client, opened.expect("the new one"))
    }

    /// A client whose handshake has been answered.
    pub(crate) fn client(&mut self) -> Far {
        self.client_of("/ws", "")
    }

    /// The same for a target and with further fields.
    pub(crate) fn client_of(&mut self, target: &str, fields: &str) -> Far {
        let mut far = self.stranger();
        self.write(&mut far, &request(target, fields));
        let (head, behind) = self.read_head(&mut far);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        far.hold(&behind);
        far
    }

    /// Our own connection to a server of the test's own, which has agreed.
    pub(crate) fn dialled(&mut self) -> Far {
        let (mut far, request) = self.dial(|dial| dial);
        self.write(&mut far, &answer(&request, ""));
        let id = far.id;
        self.until("the connection", |app| app.opened().contains(&id));
        far
    }

    /// Our own connection to a server of the test's own, which has only read the request.
    pub(crate) fn dial(&mut self, make: impl FnOnce(Dial) -> Dial) -> (Far, String) {
        let listener = Listener::new();
        let dial = Dial::new(&format!("ws://{}/far", listener.address())).unwrap();
        let dialler = self.dialler;
        let id = Endpoint::<App>::connect(self.hub(), make(dial), dialler);
        let mut stream = None;
        self.turns("the client", |_| {
            stream = listener.accept();
            stream.is_some()
        });
        let mut far = Far::new(stream.unwrap(), Role::Server, id);
        let (head, behind) = self.read_head(&mut far);
        assert_eq!(behind, b"", "nothing before the answer");
        (far, head)
    }

    /// Dials our own server; returns both ends, ours and the one that is served.
    pub(crate) fn pair(&mut self) -> (ConnId, ConnId) {
        let dial = Dial::new(&format!("ws://{}/ws", self.address)).unwrap();
        let dialler = self.dialler;
        let id = Endpoint::<App>::connect(self.hub(), dial, dialler);
        let before = self.app.opened().len();
        self.until("both ends", |app| app.opened().len() >= before + 2);
        let opened = self.app.opened()[before..].to_vec();
        let far = opened.into_iter().find(|own| *own != id);
        (id, far.expect("the other end"))
    }

    /// Turns until a whole head has come; returns it, and what came behind it.
    pub(crate) fn read_head(&mut self, far: &mut Far) -> (String, Vec<u8>) {
        let mut received = Vec::new();
        self.turns("a head", |_| {
            let mut buffer = [0; 4096];
            match std::io::Read::read(&mut far.stream, &mut buffer) {
                Ok(0) => panic!("the end after `{}`", received.escape_ascii()),
                Ok(read) => received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error} after `{}`", received.escape_ascii()),
            }
            received.windows(4).any(|bytes| bytes == b"\r\n\r\n")
        });
        let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let behind = received.split_off(end.unwrap() + 4);
        (String::from_utf8(received).expect("text"), behind)
    }

    /// Writes all of `data`, turning while the kernel takes no more, until it has been received
    /// here or a connection has ended.
    pub(crate) fn write(&mut self, far: &mut Far, data: &[u8]) {
        let expected = self.hub().totals().bytes_read + data.len() as u64;
        let (mut written, closes) = (0, self.hub().totals().closes);
        self.turns("the bytes to be taken", |served| {
            written += far.write(&data[written..]);
            let totals = *served.hub().totals();
            written == data.len() && (totals.bytes_read >= expected || totals.closes > closes)
        });
    }

    /// Sends frames, as [`write`](Self::write) does.
    pub(crate) fn send(&mut self, far: &mut Far, frames: &[Frame]) {
        let bytes = far.bytes(frames);
        self.write(far, &bytes);
    }

    /// Writes what the kernel takes at once, and turns until nothing happens.
    pub(crate) fn post(&mut self, far: &mut Far, data: &[u8]) {
        assert_eq!(far.write(data), data.len(), "room for it");
        self.rest();
    }

    /// Turns until so many frames have come, and nothing behind them.
    pub(crate) fn frames(&mut self, far: &mut Far, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.turns(&format!("{count} frames"), |_| {
            let (_, end) = far.fill();
            frames.append(&mut far.frames());
            assert!(
                end.is_none() || frames.len() >= count,
                "{end:?} after {frames:?}"
            );
            frames.len() >= count
        });
        assert_eq!((frames.len(), far.rest()), (count, 0), "{frames:?}");
        frames
    }

    /// Turns until one frame has come.
    pub(crate) fn frame(&mut self, far: &mut Far) -> Frame {
        self.frames(far, 1).remove(0)
    }

    /// What has come by now, and how the connection ended if it did.
    pub(crate) fn peek(&mut self, far: &mut Far) -> (Vec<Frame>, Option<End>) {
        self.rest();
        let (_, end) = far.fill();
        (far.frames(), end)
    }

    /// Nothing has come, and the connection stands.
    pub(crate) fn assert_silent(&mut self, far: &mut Far) {
        assert_eq!(self.peek(far), (vec![], None));
        assert_eq!(far.rest(), 0);
    }

    /// Turns until the connection has ended: the frames before that, and how.
    pub(crate) fn read_to_end(&mut self, far: &mut Far) -> (Vec<Frame>, End) {
        let (mut frames, mut found) = (Vec::new(), None);
        self.turns("the end of the stream", |_| {
            let (_, end) = far.fill();
            frames.append(&mut far.frames());
            found = end;
            found.is_some()
        });
        assert!(
            found == Some(End::Reset) || far.rest() == 0,
            "cut off: {far:?}"
        );
        (frames, found.unwrap())
    }

    /// Turns until what was said on a connection that is no WebSocket has ended.
    pub(crate) fn read_text(&mut self, far: &mut Far) -> (String, End) {
        let (mut received, mut found) = (Vec::new(), None);
        self.turns("the end of the stream", |_| {
            let mut buffer = [0; 4096];
            loop {
                match std::io::Read::read(&mut far.stream, &mut buffer) {
                    Ok(0) => found = Some(End::Fin),
                    Ok(read) => {
                        received.extend_from_slice(&buffer[..read]);
                        continue;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => found = Some(End::Reset),
                }
                return found.is_some();
            }
        });
        (String::from_utf8(received).expect("text"), found.unwrap())
    }

    /// What the far end says is heard, and the other way round.
    pub(crate) fn assert_serves(&mut self, far: &mut Far) {
        let id = far.id;
        let before = self.app.of(id).len();
        self.send(far, &[Frame::ping("still there?")]);
        self.until("the ping", |app| app.of(id).len() > before);
        assert_eq!(self.app.of(id)[before], "ping still there?");
        assert_eq!(self.frame(far), Frame::pong("still there?"));
    }

    /// The far end closes, and the near end has heard of it.
    pub(crate) fn leave(&mut self, far: Far) {
        far.stream.shutdown(Shutdown::Write).ok();
        let id = far.id;
        self.turns("the end", |served| !served.hub().is_open(id));
    }

    /// All far ends have gone: so has everything that was kept for them.
    pub(crate) fn assert_nothing_left(&mut self) {
        let drivers = [self.endpoint, self.dialler, self.http];
        self.turns("all connections to end", |served| {
            drivers
                .iter()
                .all(|driver| served.hub().count(*driver) == 0)
        });
        self.turn();
        assert_eq!(self.app.alive(), 0, "states are left");
        // Of each endpoint one timer may be left, which finds that there is nobody to look after.
        let left = self.hub().pending_timers();
        assert!(left <= 2, "{left} timers are left");
        self.advance(60 * SECOND);
        assert_eq!(self.hub().pending_timers(), 0, "timers are left");
    }
}

/// However a test went about it, its events came in order.
impl Drop for Served {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.app.assert_orderly();
        }
    }
}
