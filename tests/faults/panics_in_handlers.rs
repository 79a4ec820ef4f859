//! The same through `tcp::Handler`: what a panic has left of a connection's state is dropped, and
//! shown to nobody.

use std::any::Any;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use switchboard::tcp::{self, Cx, Framed, Handler, Lines};
use switchboard::{
    Clock, CloseReason, Config, ConnId, DriverId, Hub, Limits, Listen, Reactor, Timeout,
};

use crate::support::{client, pattern, read_some};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    Open,
    Message,
    Error,
    Eof,
    Drain,
    Timeout,
    Timer,
    Post,
    Close,
}

/// Panics in one callback of one connection, the one with this number, and answers every line.
struct Fragile {
    at: In,
    victim: usize,
    opened: usize,
    alive: Rc<Cell<usize>>,
    /// The callbacks of the victim, in order.
    calls: Vec<In>,
    victim_id: Option<ConnId>,
    /// Whose panics were told.
    panicked: Vec<ConnId>,
}

/// The state of a connection.
struct State {
    number: usize,
    alive: Rc<Cell<usize>>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

impl Fragile {
    fn meet(&mut self, number: usize, callback: In) {
        if number == self.victim {
            self.calls.push(callback);
            assert_ne!(callback, self.at, "here it is");
        }
    }
}

impl Handler<Lines> for Fragile {
    type Conn = State;

    fn on_open(&mut self, cx: &mut Cx<'_, Lines>) -> Option<State> {
        let number = self.opened;
        self.opened += 1;
        self.alive.set(self.alive.get() + 1);
        let alive = Rc::clone(&self.alive);
        let state = State { number, alive };
        if number == self.victim {
            self.victim_id = Some(cx.id());
            cx.set_timer(Duration::from_secs(10), 1);
            let limits = Limits {
                idle_timeout: Some(Duration::from_secs(20)),
                ..Limits::default()
            };
            let id = cx.id();
            cx.set_limits(id, limits);
        }
        self.meet(number, In::Open);
        Some(state)
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, state: &mut State, line: &[u8]) {
        if line == b"much" {
            cx.send(&pattern(900_000)).ignore();
        } else {
            cx.send(line).ignore();
        }
        self.meet(state.number, In::Message);
    }

    fn on_error(&mut self, _: &mut Cx<'_, Lines>, state: &mut State, _: tcp::line::Error) {
        self.meet(state.number, In::Error);
    }

    fn on_eof(&mut self, cx: &mut Cx<'_, Lines>, state: &mut State) {
        self.meet(state.number, In::Eof);
        cx.close();
    }

    fn on_drain(&mut self, _: &mut Cx<'_, Lines>, state: &mut State) {
        self.meet(state.number, In::Drain);
    }

    fn on_timeout(&mut self, cx: &mut Cx<'_, Lines>, state: &mut State, _: Timeout) {
        self.meet(state.number, In::Timeout);
        cx.close();
    }

    fn on_timer(&mut self, _: &mut Cx<'_, Lines>, state: &mut State, _: u32) {
        self.meet(state.number, In::Timer);
    }

    fn on_post(&mut self, _: &mut Cx<'_, Lines>, state: &mut State, _: Box<dyn Any>) {
        self.meet(state.number, In::Post);
    }

    fn on_close(&mut self, _: &mut Cx<'_, Lines>, state: State, _: CloseReason) {
        self.meet(state.number, In::Close);
    }

    fn on_panicked(&mut self, hub: &mut Hub, id: ConnId) {
        assert!(!hub.is_open(id));
        self.panicked.push(id);
    }
}

struct Stage {
    reactor: Reactor<Fragile>,
    app: Fragile,
    clock: Clock,
    driver: DriverId,
    address: SocketAddr,
}

impl Stage {
    fn new(at: In) -> Self {
        let clock = Clock::manual();
        let config = Config {
            clock: clock.clone(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).unwrap();
        let lines = Lines::default().max(100);
        let driver = reactor.add_driver(Framed::<Fragile, Lines>::new(lines));
        let listen = Listen::tcp("127.0.0.1:0").send_buffer(4096);
        let address = reactor
            .listen(listen, driver)
            .unwrap()
            .local_addr
            .ip()
            .unwrap();
        let app = Fragile {
            at,
            victim: 1,
            opened: 0,
            alive: Rc::default(),
            calls: Vec::new(),
            victim_id: None,
            panicked: Vec::new(),
        };
        Self {
            reactor,
            app,
            clock,
            driver,
            address,
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..5_000 {
            if done(self) {
                return;
            }
            let wait = Some(Duration::from_millis(10));
            self.reactor.turn(&mut self.app, wait).unwrap();
        }
        panic!("waited in vain for {what}; calls: {:?}", self.app.calls);
    }

    fn connect(&mut self) -> TcpStream {
        let before = self.app.opened;
        let client = client(self.address);
        self.until("a connection", |stage| stage.app.opened > before);
        client
    }

    fn assert_echoes(&mut self, client: &mut TcpStream) {
        client.write_all(b"still there?\n").unwrap();
        let mut received = Vec::new();
        self.until("the echo", |_| {
            let mut buffer = [0; 64];
            let read = read_some(client, &mut buffer).unwrap_or(0);
            received.extend_from_slice(&buffer[..read]);
            received == b"still there?\n"
        });
    }

    /// Does what leads to the callback.
    fn provoke(&mut self, victim: &mut TcpStream) {
        match self.app.at {
            In::Open => {}
            In::Message => victim.write_all(b"hello\nand more\n").unwrap(),
            In::Error => victim.write_all(&[b'x'; 200]).unwrap(),
            In::Eof => victim.shutdown(Shutdown::Write).unwrap(),
            In::Drain => {
                victim.write_all(b"much\n").unwrap();
                self.until("the drain", |stage| {
                    let mut buffer = [0; 64 * 1024];
                    while victim.read(&mut buffer).is_ok_and(|read| read > 0) {}
                    stage.app.calls.contains(&In::Drain)
                });
            }
            In::Timer => self.clock.advance(Duration::from_secs(10)),
            In::Timeout => self.clock.advance(Duration::from_secs(20)),
            In::Post => {
                let id = self.app.victim_id.unwrap();
                self.reactor.hub().post(id, Box::new(()));
            }
            In::Close => {
                let id = self.app.victim_id.unwrap();
                self.reactor.hub().abort(id);
            }
        }
    }
}

/// Once the callback has panicked, the connection's state is gone, and none of its callbacks is
/// called any more.
fn assert_gone_without_a_word(at: In) {
    let mut stage = Stage::new(at);
    let mut other = stage.connect();
    let mut victim = stage.connect();
    stage.provoke(&mut victim);
    stage.until("the close", |stage| {
        stage.reactor.hub().totals().closes == 1
    });
    assert_eq!(stage.app.calls.last(), Some(&at));
    assert_eq!(stage.reactor.hub().totals().panics, 1);
    assert_eq!(stage.app.alive.get(), 1, "its state is still there");
    // It is told once, but for a panic in what would have told the end anyway.
    let told: Vec<_> = stage
        .app
        .victim_id
        .into_iter()
        .filter(|_| at != In::Close)
        .collect();
    assert_eq!(stage.app.panicked, told);
    assert_eq!(stage.reactor.hub().count(stage.driver), 1);
    assert_eq!(stage.reactor.hub().pending_timers(), 0);
    stage.assert_echoes(&mut other);
    let mut next = stage.connect();
    stage.assert_echoes(&mut next);
}

#[test]
fn f19_a_handler_that_panics_in_on_open() {
    assert_gone_without_a_word(In::Open);
}

#[test]
fn f19_a_handler_that_panics_in_on_message() {
    assert_gone_without_a_word(In::Message);
}

#[test]
fn f19_a_handler_that_panics_in_on_error() {
    assert_gone_without_a_word(In::Error);
}

#[test]
fn f19_a_handler_that_panics_in_on_eof() {
    assert_gone_without_a_word(In::Eof);
}

#[test]
fn f19_a_handler_that_panics_in_on_drain() {
    assert_gone_without_a_word(In::Drain);
}

#[test]
fn f19_a_handler_that_panics_in_on_timeout() {
    assert_gone_without_a_word(In::Timeout);
}

#[test]
fn f19_a_handler_that_panics_in_on_timer() {
    assert_gone_without_a_word(In::Timer);
}

#[test]
fn f19_a_handler_that_panics_in_on_post() {
    assert_gone_without_a_word(In::Post);
}

#[test]
fn f19_a_handler_that_panics_in_on_close() {
    assert_gone_without_a_word(In::Close);
}
