//! Anything else that mio can poll: what its tests share.

mod ending;
mod readiness;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use mio::event::Source;
use mio::unix::{SourceFd, pipe};
use mio::{Interest, Registry, Token};
use switchboard::source::{Handler, Ready, Sources};
use switchboard::testing::{Clock, Peer, turn_until};
use switchboard::{CloseReason, Config, ConnId, Driver, DriverId, Hub, Origin, Reactor, Turn};

type OnReady = Box<dyn FnMut(&mut Hub, ConnId, &mut pipe::Receiver, Ready)>;

/// What happened to sources, and what is to be done when a pipe can be read. Without that it is
/// read to `WouldBlock`, and closed at its end.
#[derive(Default)]
struct App {
    calls: Vec<(ConnId, Ready)>,
    read: Vec<u8>,
    written: usize,
    closed: Vec<(ConnId, CloseReason)>,
    on_ready: Option<OnReady>,
}

impl App {
    fn calls(&self, id: ConnId) -> usize {
        self.calls.iter().filter(|(of, _)| *of == id).count()
    }

    fn drain(&mut self, hub: &mut Hub, id: ConnId, source: &mut impl Read) {
        let mut buffer = [0; 1024];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return hub.close(id),
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Handler<pipe::Receiver> for App {
    fn on_ready(&mut self, hub: &mut Hub, id: ConnId, pipe: &mut pipe::Receiver, ready: Ready) {
        self.calls.push((id, ready));
        match &mut self.on_ready {
            Some(on_ready) => on_ready(hub, id, pipe, ready),
            None => self.drain(hub, id, pipe),
        }
    }

    fn on_close(&mut self, _: &mut Hub, id: ConnId, reason: CloseReason) {
        self.closed.push((id, reason));
    }
}

/// Writes as long as it can.
impl Handler<pipe::Sender> for App {
    fn on_ready(&mut self, hub: &mut Hub, id: ConnId, pipe: &mut pipe::Sender, ready: Ready) {
        self.calls.push((id, ready));
        loop {
            match pipe.write(&[7; 1024]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                    return hub.close(id);
                }
            }
        }
    }
}

/// Any descriptor at all.
struct Descriptor(OwnedFd);

impl Source for Descriptor {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.raw()).register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.raw()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.raw()).deregister(registry)
    }
}

impl Descriptor {
    fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Reads it once, as it is: whatever comes.
impl Handler<Descriptor> for App {
    fn on_ready(&mut self, _: &mut Hub, id: ConnId, source: &mut Descriptor, ready: Ready) {
        self.calls.push((id, ready));
        let mut buffer = [0; 64];
        let mut file = File::from(source.0.try_clone().unwrap());
        let read = file.read(&mut buffer).unwrap();
        self.read.extend_from_slice(&buffer[..read]);
    }
}

/// Sends back what comes: a connection beside the sources.
struct Echo;

impl Driver<App> for Echo {
    fn on_open(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: Origin) {}

    fn on_data(&mut self, _: &mut App, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        hub.send(id, data).ignore();
        data.len()
    }

    fn on_close(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

struct Rig {
    reactor: Reactor<App>,
    app: App,
    receivers: DriverId,
    senders: DriverId,
    descriptors: DriverId,
    echo: DriverId,
}

impl Rig {
    fn new() -> Self {
        let config = Config {
            clock: Clock::manual(),
            ..Config::default()
        };
        let mut reactor = Reactor::new(config).unwrap();
        Self {
            receivers: reactor.add_driver(Sources::<App, pipe::Receiver>::new()),
            senders: reactor.add_driver(Sources::<App, pipe::Sender>::new()),
            descriptors: reactor.add_driver(Sources::<App, Descriptor>::new()),
            echo: reactor.add_driver(Echo),
            reactor,
            app: App::default(),
        }
    }

    fn watch(&mut self, receiver: pipe::Receiver) -> ConnId {
        let driver = self.receivers;
        let hub = self.reactor.hub();
        hub.watch(receiver, Interest::READABLE, driver).unwrap()
    }

    /// A pipe whose reading end is watched.
    fn pipe(&mut self) -> (pipe::Sender, ConnId) {
        let (sender, receiver) = pipe::new().unwrap();
        let id = self.watch(receiver);
        (sender, id)
    }

    fn turn(&mut self) -> Turn {
        let turn = self.reactor.turn(&mut self.app, Some(Duration::ZERO));
        turn.unwrap()
    }

    fn turns(&mut self) {
        for _ in 0..20 {
            self.turn();
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut App) -> bool) {
        turn_until(&mut self.reactor, &mut self.app, what, |app| done(app));
    }

    fn assert_echoes(&mut self, peer: &mut Peer) {
        peer.send(&mut self.reactor, &mut self.app, b"there?");
        let heard = peer.receive(&mut self.reactor, &mut self.app, 6);
        assert_eq!(heard, b"there?");
    }

    fn assert_rests(&mut self) {
        self.turns();
        let hub = format!("{:?}", self.reactor.hub());
        assert!(hub.contains("ready: 0,"), "the loop spins: {hub}");
    }
}
