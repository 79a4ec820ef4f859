//! Applications and services: several behaviours on one state, and the state of each connection.

use std::any::Any;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use switchboard::tcp::{Cx, Event, Framed, Handler, Lines, Raw, Service};
use switchboard::{CloseReason, ConnId, Limits, Listen, Listening, Timeout};

use crate::served::Served;
use crate::support::client;

/// The application that all behaviours here share.
#[derive(Default)]
struct Office {
    log: Vec<String>,
    last: Option<ConnId>,
}

/// Its own behaviour with lines: numbers them, for each connection from one.
impl Handler<Lines> for Office {
    type Conn = usize;

    fn on_open(&mut self, cx: &mut Cx<'_, Lines>) -> Option<usize> {
        self.last = Some(cx.id());
        Some(0)
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Lines>, count: &mut usize, line: &[u8]) {
        *count += 1;
        self.log.push(String::from_utf8_lossy(line).into_owned());
        match line {
            b"quit" => cx.close(),
            _ => cx.send(format!("{count}").as_bytes()).ignore(),
        }
    }

    fn on_timeout(&mut self, cx: &mut Cx<'_, Lines>, count: &mut usize, timeout: Timeout) {
        self.log.push(format!("{timeout:?} after {count}"));
        cx.close_for(CloseReason::TimedOut(timeout));
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, Lines>, count: &mut usize, key: u32) {
        cx.send(format!("timer {key} after {count}").as_bytes())
            .ignore();
    }

    fn on_post(&mut self, cx: &mut Cx<'_, Lines>, _: &mut usize, message: Box<dyn Any>) {
        let text = message
            .downcast::<&str>()
            .expect("what the test has posted");
        cx.send(text.as_bytes()).ignore();
    }

    fn on_close(&mut self, _: &mut Cx<'_, Lines>, count: usize, reason: CloseReason) {
        self.log.push(format!("{reason:?} after {count}"));
    }
}

/// And its own behaviour without framing, on the same state.
impl Handler<Raw> for Office {
    type Conn = ();

    fn on_open(&mut self, _: &mut Cx<'_, Raw>) -> Option<()> {
        Some(())
    }

    fn on_message(&mut self, cx: &mut Cx<'_, Raw>, (): &mut (), bytes: &[u8]) {
        self.log.push(format!("{} raw bytes", bytes.len()));
        cx.send(bytes).ignore();
    }
}

/// A behaviour of its own: sends each line on in capitals, to whoever the office's last one is.
struct Shout;

impl Service<Office, Lines> for Shout {
    type Conn = ();

    fn on_open(&mut self, _: &mut Office, _: &mut Cx<'_, Lines>) -> Option<()> {
        Some(())
    }

    fn on_event(
        &mut self,
        app: &mut Office,
        cx: &mut Cx<'_, Lines>,
        (): &mut (),
        event: Event<'_, Lines>,
    ) {
        let Event::Message(line) = event else {
            return event.by_default(cx);
        };
        app.log.push("a shout".into());
        let to = app.last.expect("somebody");
        cx.send_to(to, &line.to_ascii_uppercase()).ignore();
    }
}

/// Another: lets as many in as it has room for, and says its lines backwards.
struct Reverse {
    room: usize,
}

impl Service<Office, Lines> for Reverse {
    type Conn = u16;

    fn on_open(&mut self, _: &mut Office, cx: &mut Cx<'_, Lines>) -> Option<u16> {
        self.room = self.room.checked_sub(1)?;
        Some(cx.info()?.peer_addr?.port())
    }

    fn on_event(
        &mut self,
        _: &mut Office,
        cx: &mut Cx<'_, Lines>,
        _: &mut u16,
        event: Event<'_, Lines>,
    ) {
        let Event::Message(line) = event else {
            return event.by_default(cx);
        };
        let backwards: Vec<u8> = line.iter().rev().copied().collect();
        cx.send(&backwards).ignore();
    }

    fn on_close(&mut self, app: &mut Office, _: &mut Cx<'_, Lines>, port: u16, _: CloseReason) {
        self.room += 1;
        app.log.push(format!("{port} has left"));
    }
}

fn office(listen: impl Into<Listen>) -> Served<Office> {
    Served::on(listen, Office::default(), Framed::new(Lines::default()))
}

fn also(served: &mut Served<Office>, service: impl Service<Office, Lines> + 'static) -> Listening {
    let driver = Framed::with_service(Lines::default(), service);
    let driver = served.reactor.add_driver(driver);
    served.reactor.listen("127.0.0.1:0", driver).unwrap()
}

#[test]
fn s0_03_several_behaviours_of_one_framing_share_an_application() {
    let mut served = office("127.0.0.1:0");
    let shouts = also(&mut served, Shout);
    let reverses = also(&mut served, Reverse { room: 9 });

    let (mut own, _) = served.connect();
    let mut shouting = client(shouts.local_addr.ip().unwrap());
    shouting.write_all(b"hear\n").unwrap();
    assert_eq!(served.read(&mut own, 5), b"HEAR\n");

    let mut reversed = client(reverses.local_addr.ip().unwrap());
    reversed.write_all(b"abc\n").unwrap();
    assert_eq!(served.read(&mut reversed, 4), b"cba\n");

    own.write_all(b"mine\n").unwrap();
    assert_eq!(served.read(&mut own, 2), b"1\n");
    assert_eq!(served.app.log, ["a shout", "mine"]);
}

#[test]
fn s0_03_one_application_handles_several_framings() {
    let mut served = office("127.0.0.1:0");
    let raw = served.reactor.add_driver(Framed::raw());
    let raw = served.reactor.listen("127.0.0.1:0", raw).unwrap();
    let mut bytes = client(raw.local_addr.ip().unwrap());
    bytes.write_all(b"no line").unwrap();
    assert_eq!(served.read(&mut bytes, 7), b"no line");
    let mut lines = served.client();
    lines.write_all(b"a line\n").unwrap();
    assert_eq!(served.read(&mut lines, 2), b"1\n");
    assert_eq!(served.app.log, ["7 raw bytes", "a line"]);
}

/// It is made in on_open, lent with each message, and given back in on_close.
#[test]
fn s0_21_each_connection_has_a_state_of_its_own() {
    let mut served = office("127.0.0.1:0");
    let (mut first, _) = served.connect();
    let (mut second, _) = served.connect();
    first.write_all(b"a\nb\n").unwrap();
    assert_eq!(served.read(&mut first, 4), b"1\n2\n");
    second.write_all(b"c\n").unwrap();
    assert_eq!(served.read(&mut second, 2), b"1\n");
    first.write_all(b"d\nquit\n").unwrap();
    assert_eq!(served.read_to_end(&mut first), b"3\n");
    drop((first, second));
    served.until("both to be closed", |app| app.log.len() == 7);
    assert!(served.app.log.contains(&"Local after 4".into()));
    assert!(served.app.log.contains(&"Peer after 1".into()));
}

/// A refused client is reset, and as it never had a state, none is given back.
#[test]
fn s0_21_a_service_can_refuse_a_connection() {
    let mut served = office("127.0.0.1:0");
    let reverses = also(&mut served, Reverse { room: 1 });
    let mut first = client(reverses.local_addr.ip().unwrap());
    first.write_all(b"ab\n").unwrap();
    assert_eq!(served.read(&mut first, 3), b"ba\n");

    let mut second = client(reverses.local_addr.ip().unwrap());
    let mut refusal = None;
    served.turns("the refusal", |_| {
        match second.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => refusal = Some(other.map_err(|error| error.kind())),
        }
        refusal.is_some()
    });
    assert_eq!(refusal, Some(Err(ErrorKind::ConnectionReset)));
    assert_eq!(served.app.log, [""; 0], "nobody has left");

    let port = first.local_addr().unwrap().port();
    drop(first);
    served.until("the first to leave", |app| !app.log.is_empty());
    assert_eq!(served.app.log, [format!("{port} has left")]);
    let mut third = client(reverses.local_addr.ip().unwrap());
    third.write_all(b"ok\n").unwrap();
    assert_eq!(served.read(&mut third, 3), b"ko\n");
}

#[test]
fn s4_02_timers_and_posts_reach_the_state_of_their_connection() {
    let mut served = office("127.0.0.1:0");
    let (mut client, id) = served.connect();
    client.write_all(b"one\n").unwrap();
    assert_eq!(served.read(&mut client, 2), b"1\n");
    let hub = served.reactor.hub();
    hub.post(id, Box::new("posted"));
    let owner = switchboard::Owner::Conn(id);
    assert!(hub.set_timer(owner, Duration::from_secs(3), 7).is_some());
    assert_eq!(served.read(&mut client, 7), b"posted\n");
    served.advance(Duration::from_secs(3));
    assert_eq!(served.read(&mut client, 16), b"timer 7 after 1\n");
}

#[test]
fn s1_13_a_time_out_is_told_with_the_state() {
    let limits = Limits {
        read_timeout: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let mut served = office(Listen::tcp("127.0.0.1:0").limits(limits));
    let (mut client, _) = served.connect();
    client.write_all(b"one\n").unwrap();
    served.read(&mut client, 2);
    served.advance(Duration::from_millis(9_999));
    assert_eq!(served.app.log, ["one"]);
    served.advance(Duration::from_millis(1));
    assert_eq!(served.app.log, ["one", "Read after 1"]);
    assert_eq!(served.read_to_end(&mut client), b"");
}
