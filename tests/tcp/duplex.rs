//! Reading while the peer does not: what stops, and what must not.

use switchboard::tcp::{Cx, Framed, Handler, Raw};
use switchboard::testing::{Peer, turn_until};
use switchboard::{Config, Dial, Hub, Limits, Reactor, Sent};

use crate::support::pattern;

const HIGH: usize = 64 * 1024;

/// Counts what it receives, and keeps sending as long as it may.
#[derive(Default)]
struct Sender {
    received: usize,
    to_send: usize,
    sent: usize,
}

impl Sender {
    fn go_on(&mut self, hub: &mut Hub, id: switchboard::ConnId) {
        while self.sent < self.to_send {
            self.sent += 16 * 1024;
            if hub.send(id, &pattern(16 * 1024)) != Sent::Accepted {
                return;
            }
        }
    }
}

impl Handler for Sender {
    type Conn = ();

    fn on_open(&mut self, cx: &mut Cx<'_, Raw>) -> Option<()> {
        let id = cx.id();
        self.go_on(cx, id);
        Some(())
    }

    fn on_message(&mut self, _: &mut Cx<'_, Raw>, (): &mut (), data: &[u8]) {
        self.received += data.len();
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, Raw>, (): &mut ()) {
        let id = cx.id();
        self.go_on(cx, id);
    }
}

/// A connection whose peer does not read, with its backlog above the mark.
fn backlogged(full_duplex: bool) -> (Reactor<Sender>, Sender, Peer) {
    let limits = Limits {
        full_duplex,
        high_water: HIGH,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let mut reactor = Reactor::new(config).unwrap();
    let driver = reactor.add_driver(Framed::raw());
    let peer = Peer::connect(&mut reactor, driver).unwrap();
    let mut sender = Sender {
        to_send: usize::MAX / 2,
        ..Sender::default()
    };
    for _ in 0..10 {
        reactor
            .turn(&mut sender, Some(std::time::Duration::ZERO))
            .unwrap();
    }
    assert!(reactor.hub().backlog(peer.id) > HIGH);
    (reactor, sender, peer)
}

#[test]
fn a_backlogged_connection_is_not_read_from() {
    let (mut reactor, mut sender, mut peer) = backlogged(false);
    peer.send(&mut reactor, &mut sender, b"unheard");
    for _ in 0..10 {
        reactor
            .turn(&mut sender, Some(std::time::Duration::ZERO))
            .unwrap();
    }
    assert_eq!(sender.received, 0);
    sender.to_send = sender.sent;
    let total = sender.sent;
    peer.receive(&mut reactor, &mut sender, total);
    turn_until(
        &mut reactor,
        &mut sender,
        "what was sent before",
        |sender| sender.received == 7,
    );
}

#[test]
fn a_full_duplex_one_is() {
    let (mut reactor, mut sender, mut peer) = backlogged(true);
    peer.send(&mut reactor, &mut sender, b"heard");
    turn_until(&mut reactor, &mut sender, "the peer's bytes", |sender| {
        sender.received == 5
    });
    assert!(reactor.hub().backlog(peer.id) > HIGH);
    // And its own drain is told, as ever.
    sender.to_send = sender.sent + 4 * HIGH;
    let total = sender.to_send;
    peer.receive(&mut reactor, &mut sender, total);
    assert!(sender.sent >= total);
}

/// An echo server that stops reading, and a client that does so too, would wait for each other for
/// ever.
#[test]
fn what_we_dial_is_full_duplex() {
    /// The server: not full duplex, as accepted connections are.
    struct Both {
        client: Sender,
        echoed: usize,
    }
    impl Handler for Both {
        type Conn = bool;

        fn on_open(&mut self, cx: &mut Cx<'_, Raw>) -> Option<bool> {
            let is_client = cx.take_ticket().is_some();
            let id = cx.id();
            if is_client {
                assert!(cx.limits(id)?.full_duplex);
                self.client.go_on(cx, id);
            } else {
                assert!(!cx.limits(id)?.full_duplex);
            }
            Some(is_client)
        }

        fn on_message(&mut self, cx: &mut Cx<'_, Raw>, is_client: &mut bool, data: &[u8]) {
            if *is_client {
                self.client.received += data.len();
            } else {
                self.echoed += data.len();
                cx.send(data).ignore();
            }
        }

        fn on_drain(&mut self, cx: &mut Cx<'_, Raw>, is_client: &mut bool) {
            let id = cx.id();
            if *is_client {
                self.client.go_on(cx, id);
            }
        }
    }
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Framed::raw());
    let listening = reactor.listen("127.0.0.1:0", driver).unwrap();
    let address = listening.local_addr.ip().unwrap();
    let total = 64 * 1024 * 1024;
    let mut both = Both {
        client: Sender {
            to_send: total,
            ..Sender::default()
        },
        echoed: 0,
    };
    reactor.hub().connect(Dial::tcp(address).ticket(()), driver);
    turn_until(&mut reactor, &mut both, "all of it to come back", |both| {
        both.client.received == total
    });
    assert_eq!(both.echoed, total);
}
