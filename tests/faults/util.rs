//! What these tests share beyond the support of all tests.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use switchboard::{ConnId, Hub, Reactor, Turn};

use crate::support::{Event, Rig, World};

/// Connections that the loop would serve again without a new event. A loop with any of them does
/// not sleep, so a reactor at rest that has one is spinning.
pub(crate) fn ready<A>(reactor: &mut Reactor<A>) -> usize {
    let hub = format!("{:?}", reactor.hub());
    let (_, rest) = hub.split_once("ready: ").expect("the length of the queue");
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap()
}

/// Turns until nothing happens any more; then the loop must be able to sleep.
pub(crate) fn assert_rests(rig: &mut Rig) {
    rig.settle();
    assert_eq!(ready(&mut rig.reactor), 0, "the loop spins");
}

/// Turns until a turn of which `done` is true, and returns that turn.
pub(crate) fn turn_with(rig: &mut Rig, what: &str, done: impl Fn(&Turn) -> bool) -> Turn {
    for _ in 0..1_000 {
        let wait = Some(Duration::from_millis(10));
        let turn = rig.reactor.turn(&mut rig.world, wait).unwrap();
        if done(&turn) {
            return turn;
        }
    }
    panic!("no turn with {what}");
}

/// A hook of `on_data` that sends back what came.
pub(crate) fn echo(hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
    hub.send(id, data).ignore();
    data.len()
}

/// This connection is served: what its client sends comes back.
pub(crate) fn assert_echoes(rig: &mut Rig, client: &mut TcpStream) {
    client.write_all(b"still there?").unwrap();
    assert_eq!(rig.read_exactly(client, 12), b"still there?");
}

/// The client finishes, and its connection ends.
pub(crate) fn finish(rig: &mut Rig, client: TcpStream, id: ConnId) {
    client.shutdown(Shutdown::Write).unwrap();
    drop(client);
    rig.until("the connection to end", |world| has_closed(world, id));
}

pub(crate) fn has_closed(world: &World, id: ConnId) -> bool {
    let closes = |event: &Event| matches!(event, Event::Closed(closed, _) if *closed == id);
    world.events.iter().any(closes)
}

/// Waits, without a turn, until the kernel has something to read for this many connections of a
/// listener.
pub(crate) fn wait_until_received(listener: SocketAddr, connections: usize) {
    let received = |state: &str, bytes| usize::from(state != LISTEN && bytes > 0);
    wait_until_queued(listener, connections, received);
}

/// Waits, without a turn, until the kernel has this many connections for a listener to accept.
pub(crate) fn wait_until_acceptable(listener: SocketAddr, connections: usize) {
    let acceptable = |state: &str, waiting| if state == LISTEN { waiting } else { 0 };
    wait_until_queued(listener, connections, acceptable);
}

/// The state of a listener in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Waits until `count`, of the state and the receive queue of each socket with the listener's port,
/// adds up to this many connections.
fn wait_until_queued(
    listener: SocketAddr,
    connections: usize,
    count: impl Fn(&str, usize) -> usize,
) {
    let port = format!(":{:04X}", listener.port());
    let count_line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().filter(|local| local.ends_with(&port))?;
        let state = words.nth(1)?;
        let (_, received) = words.next()?.split_once(':')?;
        let received = usize::from_str_radix(received, 16).expect("hexadecimal");
        Some(count(state, received))
    };
    let mut counted = 0;
    for _ in 0..2_000 {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
        counted = table.lines().filter_map(count_line).sum();
        if counted >= connections {
            return;
        }
        std::thread::yield_now();
    }
    panic!("waited in vain for the queues of {connections} connections, found {counted}");
}

/// Numbers without a pattern, the same ones in each run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
