//! What these tests share: a reactor that serves any application by any driver, and an application
//! that answers each message with itself.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use switchboard::tcp::{Codec, Cx, Framed, Handler};
use switchboard::{
    Clock, CloseReason, Config, ConnId, Driver, DriverId, Listen, Listening, Reactor,
};

use crate::support::{client, read_some, write_full};

/// Turns after which a test gives up waiting, so that a fault does not hang it; and how many of
/// them may go by without anything happening, each at most `PATIENCE` long.
const MOST_TURNS: usize = 100_000;
const MOST_IDLE: usize = 1_000;
const PATIENCE: Duration = Duration::from_millis(10);

/// An application, its reactor and its clock.
pub(crate) struct Served<A> {
    pub(crate) reactor: Reactor<A>,
    pub(crate) app: A,
    pub(crate) clock: Clock,
    pub(crate) driver: DriverId,
    pub(crate) listening: Listening,
}

impl<A> Served<A> {
    pub(crate) fn new(app: A, driver: impl Driver<A> + 'static) -> Self {
        Self::on("127.0.0.1:0", app, driver)
    }

    pub(crate) fn on(listen: impl Into<Listen>, app: A, driver: impl Driver<A> + 'static) -> Self {
        let clock = Clock::manual();
        let config = Config {
            clock: clock.clone(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).expect("a poller");
        let driver = reactor.add_driver(driver);
        let listening = reactor.listen(listen, driver).expect("a port");
        Self {
            reactor,
            app,
            clock,
            driver,
            listening,
        }
    }

    /// A client, accepted or not.
    pub(crate) fn client(&self) -> TcpStream {
        client(self.listening.local_addr.ip().unwrap())
    }

    /// A client, and its connection here.
    pub(crate) fn connect(&mut self) -> (TcpStream, ConnId) {
        let before = self.reactor.hub().ids(self.driver);
        let client = self.client();
        let mut opened = None;
        self.turns("the connection to be accepted", |served| {
            let ids = served.reactor.hub().ids(served.driver);
            opened = ids.into_iter().find(|id| !before.contains(id));
            opened.is_some()
        });
        (client, opened.expect("the new one"))
    }

    /// One turn that does not wait.
    pub(crate) fn turn(&mut self) {
        let turn = self.reactor.turn(&mut self.app, Some(Duration::ZERO));
        turn.expect("a turn");
    }

    /// Moves the clock and takes one turn.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.turn();
    }

    /// Turns until `done`, or fails naming `what` it waited for.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&A) -> bool) {
        self.turns(what, |served| done(&served.app));
    }

    /// Turns until so many bytes have been received altogether.
    pub(crate) fn until_received(&mut self, bytes: u64) {
        self.turns("the bytes to be received", |served| {
            served.reactor.hub().totals().bytes_read >= bytes
        });
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

    /// Writes all of `data`, turning while the kernel takes no more. Returns what came meanwhile.
    pub(crate) fn write(&mut self, client: &mut TcpStream, data: &[u8]) -> Vec<u8> {
        let (mut written, mut received) = (0, Vec::new());
        self.turns("the client's bytes to be taken", |_| {
            written += write_full(client, &data[written..]);
            read_all(client, &mut received);
            written == data.len()
        });
        received
    }

    /// Writes `pieces`, each behind a turn of its own, finishes right behind the last byte, and
    /// returns all that comes until the other side finishes too.
    pub(crate) fn exchange<'a>(
        &mut self,
        client: &mut TcpStream,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<u8> {
        let mut received = Vec::new();
        for piece in pieces {
            self.turn();
            received.extend(self.write(client, piece));
        }
        client.shutdown(Shutdown::Write).expect("to finish");
        received.extend(self.read_to_end(client));
        received
    }

    /// Turns until the client has read exactly this many bytes.
    pub(crate) fn read(&mut self, client: &mut TcpStream, length: usize) -> Vec<u8> {
        let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        self.turns("the client to read", |_| {
            let most = buffer.len().min(length - received.len());
            match (most, read_some(client, &mut buffer[..most])) {
                (0, _) | (_, None) => {}
                (_, Some(0)) => panic!("EOF after {} of {length} bytes", received.len()),
                (_, Some(read)) => received.extend_from_slice(&buffer[..read]),
            }
            received.len() == length
        });
        received
    }

    /// Turns until the client has read to the end. A reset is a failure.
    pub(crate) fn read_to_end(&mut self, client: &mut TcpStream) -> Vec<u8> {
        let mut received = Vec::new();
        self.turns("the end of the stream", |_| read_all(client, &mut received));
        received
    }
}

/// Reads what there is. True at the end of the stream.
fn read_all(client: &mut TcpStream, received: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    while let Some(read) = read_some(client, &mut buffer) {
        received.extend_from_slice(&buffer[..read]);
        if read == 0 {
            return true;
        }
    }
    false
}

/// Answers each message with itself, and a broken framing with why.
#[derive(Default)]
pub(crate) struct Parrot {
    pub(crate) messages: Vec<(ConnId, Vec<u8>)>,
    pub(crate) errors: Vec<String>,
    pub(crate) closed: Vec<(ConnId, CloseReason)>,
}

impl Parrot {
    /// The messages of one connection.
    pub(crate) fn of(&self, id: ConnId) -> Vec<&[u8]> {
        let own = self.messages.iter().filter(|(from, _)| *from == id);
        own.map(|(_, message)| &message[..]).collect()
    }
}

impl<C> Handler<C> for Parrot
where
    C: for<'a> Codec<In<'a> = &'a [u8], Out<'a> = [u8]>,
{
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, C>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, C>, (): &mut (), message: &[u8]) {
        self.messages.push((cx.id(), message.to_vec()));
        assert!(cx.send(message).is_taken());
    }

    fn on_error(&mut self, cx: &mut Cx<'_, C>, (): &mut (), error: C::Error) {
        self.errors.push(error.to_string());
        assert!(cx.send(error.to_string().as_bytes()).is_taken());
    }

    fn on_close(&mut self, cx: &mut Cx<'_, C>, (): (), reason: CloseReason) {
        self.closed.push((cx.id(), reason));
    }
}

/// A parrot behind a framing.
pub(crate) fn parrot<C>(codec: C) -> Served<Parrot>
where
    C: for<'a> Codec<In<'a> = &'a [u8], Out<'a> = [u8]>,
{
    Served::new(Parrot::default(), Framed::new(codec))
}

/// The same numbers each time, in no order that anybody would see through.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed * 2 + 1)
    }

    /// A number from 1 to `most`.
    pub(crate) fn roll(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        1 + (self.0 >> 33) as usize % most
    }

    /// Cuts `data` into pieces of at most `most` bytes.
    pub(crate) fn cut<'a>(&mut self, data: &'a [u8], most: usize) -> Vec<&'a [u8]> {
        let (mut rest, mut pieces) = (data, Vec::new());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(self.roll(most).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}
