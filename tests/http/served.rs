//! What these tests share: a reactor that serves HTTP on a clock of its own, and clients.
//!
//! Nothing sleeps: a test turns until what it waits for has happened, a bounded number of times.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use switchboard::http::{self, Options};
use switchboard::{Clock, Config, ConnId, DriverId, Hub, Listening, Reactor, Turn};

use crate::answer::{Answer, answers};
use crate::mounts::{App, server};
use crate::support::client;

/// Turns after which a test gives up waiting, and how many of them may go by without anything
/// happening, each at most `PATIENCE` long.
const MOST_TURNS: usize = 100_000;
const MOST_IDLE: usize = 500;
const PATIENCE: Duration = Duration::from_millis(10);

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// A server, its application and its clock.
pub(crate) struct Served<A = App> {
    pub(crate) reactor: Reactor<A>,
    pub(crate) app: A,
    pub(crate) clock: Clock,
    pub(crate) driver: DriverId,
    pub(crate) listening: Listening,
}

impl Served {
    /// All mounts, and limits as they are.
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::of(App::default(), server(options))
    }
}

impl<A> Served<A> {
    pub(crate) fn of(app: A, server: http::Server<A>) -> Self
    where
        A: 'static,
    {
        Self::made(app, |_| server)
    }

    /// A server that has to know other drivers.
    pub(crate) fn made(app: A, make: impl FnOnce(&mut Reactor<A>) -> http::Server<A>) -> Self
    where
        A: 'static,
    {
        let clock = Clock::manual();
        let config = Config {
            clock: clock.clone(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).expect("a poller");
        let server = make(&mut reactor);
        let driver = reactor.add_driver(server);
        let listening = reactor.listen("127.0.0.1:0", driver).expect("a port");
        Self {
            reactor,
            app,
            clock,
            driver,
            listening,
        }
    }

    pub(crate) fn hub(&mut self) -> &mut Hub {
        self.reactor.hub()
    }

    /// A client whose connection has been accepted.
    pub(crate) fn connect(&mut self) -> TcpStream {
        self.connect_as().0
    }

    /// A client, and its connection here.
    pub(crate) fn connect_as(&mut self) -> (TcpStream, ConnId) {
        let driver = self.driver;
        let before = self.hub().ids(driver);
        let client = client(self.listening.local_addr.ip().unwrap());
        let mut opened = None;
        self.turns("the connection to be accepted", |served| {
            let ids = served.hub().ids(driver);
            opened = ids.into_iter().find(|id| !before.contains(id));
            opened.is_some()
        });
        (client, opened.expect("the new one"))
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
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&A) -> bool) {
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
        panic!("waited in vain for {what}");
    }

    /// Turns until a turn in which nothing happened.
    pub(crate) fn rest(&mut self) {
        for _ in 0..MOST_TURNS {
            let turn = self.reactor.turn(&mut self.app, Some(2 * MILLI));
            let turn = turn.expect("a turn");
            let done = turn.events + turn.reads + turn.writes + turn.closes;
            if done + turn.accepts + turn.timers + turn.remote == 0 {
                return;
            }
        }
        panic!("never comes to rest");
    }

    /// Writes all of `data`, turning while the kernel takes no more, until it has been received
    /// here or the connection has ended.
    pub(crate) fn write(&mut self, client: &mut TcpStream, data: &[u8]) {
        let expected = self.hub().totals().bytes_read + data.len() as u64;
        let (mut written, closes) = (0, self.hub().totals().closes);
        self.turns("the client's bytes to be taken", |served| {
            while written < data.len() {
                match client.write(&data[written..]) {
                    Ok(more) => written += more,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // The server has closed; what it said before that is still to be read.
                    Err(_) => written = data.len(),
                }
            }
            let totals = *served.hub().totals();
            written == data.len() && (totals.bytes_read >= expected || totals.closes > closes)
        });
    }

    /// Writes without waiting for the server to read it.
    pub(crate) fn post(&mut self, client: &mut TcpStream, data: &[u8]) {
        client.write_all(data).expect("room for it");
        self.rest();
    }

    /// Turns until the connection has ended: what came before, and how.
    pub(crate) fn read_to_end(&mut self, client: &mut TcpStream) -> (Vec<u8>, End) {
        let (mut received, mut buffer, mut end) = (Vec::new(), vec![0; 64 * 1024], None);
        self.turns("the end of the stream", |_| {
            end = loop {
                match client.read(&mut buffer) {
                    Ok(0) => break Some(End::Fin),
                    Ok(read) => received.extend_from_slice(&buffer[..read]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break None,
                    Err(_) => break Some(End::Reset),
                }
            };
            end.is_some()
        });
        (received, end.expect("an end"))
    }

    /// Turns until a whole answer has come, and nothing behind it.
    pub(crate) fn read_answer(&mut self, client: &mut TcpStream) -> Answer {
        let (mut received, mut buffer, mut answer) = (Vec::new(), vec![0; 64 * 1024], None);
        self.turns("an answer", |_| {
            match client.read(&mut buffer) {
                Ok(0) => panic!("the end after `{}`", received.escape_ascii()),
                Ok(read) => received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error} after `{}`", received.escape_ascii()),
            }
            answer = Answer::take(&received, false);
            answer.is_some()
        });
        let (answer, length) = answer.expect("one");
        assert_eq!(
            received[length..].escape_ascii().to_string(),
            "",
            "behind it"
        );
        answer
    }

    /// The only answer of a connection that the server then closes.
    pub(crate) fn read_answer_and_end(&mut self, client: &mut TcpStream) -> Answer {
        let (received, end) = self.read_to_end(client);
        let mut answers = answers(&received);
        assert_eq!((answers.len(), end), (1, End::Fin));
        answers.remove(0)
    }

    /// Turns until so many bytes have come, or the end; returns how many.
    pub(crate) fn read_some(&mut self, client: &mut TcpStream, most: usize) -> usize {
        let (mut received, mut buffer) = (0, vec![0; most]);
        self.turns("bytes", |_| {
            while received < most {
                match client.read(&mut buffer[received..]) {
                    Ok(0) => return true,
                    Ok(read) => received += read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                    Err(error) => panic!("{error} after {received} bytes"),
                }
            }
            true
        });
        received
    }

    /// Reads what has come by now; `None` where the connection has ended.
    pub(crate) fn peek(&mut self, client: &mut TcpStream) -> (Vec<u8>, Option<End>) {
        self.rest();
        let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            match client.read(&mut buffer) {
                Ok(0) => return (received, Some(End::Fin)),
                Ok(read) => received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (received, None),
                Err(_) => return (received, Some(End::Reset)),
            }
        }
    }

    /// Nothing has come, and the connection stands.
    pub(crate) fn assert_silent(&mut self, client: &mut TcpStream) {
        let (received, end) = self.peek(client);
        assert_eq!(
            (received.escape_ascii().to_string(), end),
            (String::new(), None)
        );
    }

    /// Sends `request` on a connection of its own, finishes, and reads to the end.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Vec<Answer> {
        answers(&self.ask_raw(request))
    }

    /// The same, as it came.
    pub(crate) fn ask_raw(&mut self, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = self.connect();
        self.write(&mut client, request.as_ref());
        client.shutdown(Shutdown::Write).expect("to finish");
        let (received, end) = self.read_to_end(&mut client);
        assert_eq!(end, End::Fin);
        received
    }

    /// The same of a server that closes by itself, and has nothing more to say after that.
    pub(crate) fn ask_until_closed(&mut self, request: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut client = self.connect();
        self.write(&mut client, request.as_ref());
        let (received, end) = self.read_to_end(&mut client);
        assert_eq!(end, End::Fin, "after `{}`", received.escape_ascii());
        answers(&received)
    }

    /// The status of the one answer before the server closes.
    pub(crate) fn refusal(&mut self, request: impl AsRef<[u8]>) -> u16 {
        let text = request.as_ref().escape_ascii().to_string();
        let answers = self.ask_until_closed(request);
        assert!(
            answers.len() == 1 && answers[0].closes(),
            "{text}: {answers:?}"
        );
        answers[0].status
    }

    /// All clients have gone: so has everything that was kept for them.
    pub(crate) fn assert_nothing_left(&mut self) {
        let driver = self.driver;
        self.turns("all connections to end", |served| {
            served.hub().count(driver) == 0
        });
        self.turn();
        assert_eq!(self.hub().pending_timers(), 0, "timers are left");
    }
}

/// Makes a request for the mirror: a line without its version, fields with their line ends, a body.
pub(crate) fn request(line: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
}
