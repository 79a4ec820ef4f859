//! Split-invariance over real sockets: the same messages, wherever the stream is cut.

use std::fmt;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use switchboard::tcp::{self, Codec, Cx, Framed, Length, Lines};
use switchboard::{CloseReason, Config, Reactor};

use crate::support::client;

/// What the application saw, as text.
#[derive(Default)]
struct Log(Vec<String>);

impl<C> tcp::Handler<C> for Log
where
    C: for<'a> Codec<In<'a> = &'a [u8]>,
    C::Error: fmt::Debug,
{
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, C>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, _: &mut Cx<'_, C>, (): &mut (), message: &[u8]) {
        self.0.push(message.escape_ascii().to_string());
    }

    fn on_error(&mut self, _: &mut Cx<'_, C>, (): &mut (), error: C::Error) {
        self.0.push(format!("{error:?}"));
    }

    fn on_close(&mut self, _: &mut Cx<'_, C>, (): (), reason: CloseReason) {
        self.0.push(reason.to_string());
    }
}

struct Server {
    reactor: Reactor<Log>,
    log: Log,
    address: SocketAddr,
}

impl Server {
    /// With a buffer and budget of `step` bytes each turn reads no more than that.
    fn new<C>(codec: C, step: usize) -> Self
    where
        C: for<'a> Codec<In<'a> = &'a [u8]>,
    {
        let config = Config {
            read_buffer: step,
            read_budget: step,
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).unwrap();
        let driver = reactor.add_driver(Framed::<Log, C>::new(codec));
        let address = reactor
            .listen("127.0.0.1:0", driver)
            .unwrap()
            .local_addr
            .ip()
            .unwrap();
        Self {
            reactor,
            log: Log::default(),
            address,
        }
    }

    /// What comes of a stream that arrives in these pieces.
    fn receive(&mut self, pieces: &[&[u8]]) -> Vec<String> {
        let mut client = client(self.address);
        let mut total = self.bytes_read();
        for piece in pieces {
            client.write_all(piece).unwrap();
            total += piece.len() as u64;
            self.until(|server| server.bytes_read() == total || !server.log.0.is_empty());
        }
        finish(client);
        self.until(|server| server.reactor.hub().totals().closes == server.opened());
        std::mem::take(&mut self.log.0)
    }

    fn bytes_read(&mut self) -> u64 {
        self.reactor.hub().totals().bytes_read
    }

    fn opened(&mut self) -> u64 {
        self.reactor.hub().totals().accepts.max(1)
    }

    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..5_000 {
            if done(self) {
                return;
            }
            let wait = Some(Duration::from_millis(10));
            self.reactor.turn(&mut self.log, wait).unwrap();
        }
        panic!("waited in vain; so far: {:?}", self.log.0);
    }
}

fn finish(client: TcpStream) {
    client.shutdown(std::net::Shutdown::Write).unwrap();
}

/// Cuts the stream in two and in three at every place, and into steps of every size that a turn may
/// read.
fn assert_split_invariant<C>(codec: &C, stream: &[u8], expected: &[&str])
where
    C: for<'a> Codec<In<'a> = &'a [u8]>,
{
    let mut server = Server::new(codec.clone(), 64 * 1024);
    assert_eq!(server.receive(&[stream]), expected, "in one piece");
    for first in 1..stream.len() {
        let (head, tail) = stream.split_at(first);
        assert_eq!(server.receive(&[head, tail]), expected, "cut at {first}");
        for second in (1..tail.len()).step_by(3) {
            let pieces = [head, &tail[..second], &tail[second..]];
            assert_eq!(server.receive(&pieces), expected, "{first} and {second}");
        }
    }
    for step in 1..=stream.len() {
        let mut server = Server::new(codec.clone(), step);
        assert_eq!(server.receive(&[stream]), expected, "steps of {step}");
    }
}

#[test]
fn f14_lines_are_the_same_wherever_the_stream_is_cut() {
    assert_split_invariant(
        &Lines::default().max(10),
        b"one\n\r\ntwo\r\n\nthree\r3\n0123456789\r\nlast",
        &[
            "one",
            "",
            "two",
            "",
            "three\\r3",
            "0123456789",
            "last",
            "closed by the peer",
        ],
    );
}

#[test]
fn f14_a_line_too_long_is_found_wherever_the_stream_is_cut() {
    let too_long = tcp::line::Error::TooLong { max: 10 };
    let error = format!("{too_long:?}");
    assert_split_invariant(
        &Lines::default().max(10),
        b"fits\n0123456789a\nnever seen\n",
        &["fits", &error, "the peer broke the protocol"],
    );
}

#[test]
fn f14_length_prefixed_messages_are_the_same_wherever_the_stream_is_cut() {
    assert_split_invariant(
        &Length::u16(),
        b"\x00\x03one\x00\x00\x00\x0athree three\x00\x01",
        &["one", "", "three thre", "closed by the peer"],
    );
    assert_split_invariant(
        &Length::varint(),
        b"\x03one\x00\x05three",
        &["one", "", "three", "closed by the peer"],
    );
}
