//! What the tests of this binary share: small sockets, framed drivers, and child processes.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use switchboard::tcp::{self, Codec};
use switchboard::{CloseReason, Config, ConnId, Limits, Listen};

use crate::support::{Event, Rig, World};

/// A socket buffer of this size is full soon. The kernel makes 8 KiB of it.
const SMALL: usize = 4096;

/// A listener whose connections have a small send buffer.
pub(crate) fn small_listen() -> Listen {
    Listen::tcp("127.0.0.1:0").send_buffer(SMALL)
}

/// A rig whose connections have a small send buffer, and these limits.
pub(crate) fn small_rig(limits: Limits) -> Rig {
    Rig::with(
        Config {
            limits,
            ..Config::default()
        },
        small_listen(),
    )
}

/// A client with a small receive buffer.
pub(crate) fn small_client(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(SMALL).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

/// A [`small_client`], and its connection in the reactor.
pub(crate) fn connect_small(rig: &mut Rig) -> (TcpStream, ConnId) {
    let before = rig.world.opened().len();
    let client = small_client(rig.listening.local_addr.ip().unwrap());
    rig.until("the connection to be accepted", |world| {
        world.opened().len() > before
    });
    (client, rig.world.opened()[before])
}

/// Lets the rig's further clients speak `codec`.
pub(crate) fn speak<C>(rig: &mut Rig, codec: C)
where
    C: for<'a> Codec<In<'a> = &'a [u8]>,
{
    rig.driver = rig.reactor.add_driver(tcp::Framed::new(codec));
    rig.listening = rig.reactor.listen("127.0.0.1:0", rig.driver).unwrap();
}

/// Each message is recorded as data, and goes to the hook of `on_data`.
impl<C> tcp::Handler<C> for World
where
    C: for<'a> Codec<In<'a> = &'a [u8]>,
{
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, C>) -> Option<()> {
        self.events.push(Event::Opened(cx.id()));
        if let Some(hook) = &mut self.on_open {
            let id = cx.id();
            hook(cx.hub(), id, ());
        }
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, C>, (): &mut (), message: &[u8]) {
        let id = cx.id();
        self.events.push(Event::Data(id, message.to_vec()));
        if let Some(hook) = &mut self.on_data {
            hook(cx.hub(), id, &mut message.to_vec());
        }
    }

    fn on_close(&mut self, cx: &mut tcp::Cx<'_, C>, (): (), reason: CloseReason) {
        self.events.push(Event::Closed(cx.id(), reason));
    }
}

/// The messages that a connection has received.
pub(crate) fn messages(world: &World, id: ConnId) -> Vec<Vec<u8>> {
    let of = |event: &Event| match event {
        Event::Data(from, message) if *from == id => Some(message.clone()),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

/// How often this happened.
pub(crate) fn count(world: &World, event: &Event) -> usize {
    world.events.iter().filter(|other| *other == event).count()
}

/// Fails if the reactor would go on turning with nothing to do. The ready queue is in the hub's
/// debug form only.
pub(crate) fn assert_at_rest(rig: &mut Rig) {
    rig.settle();
    let hub = format!("{:?}", rig.reactor.hub());
    assert!(hub.contains("ready: 0,"), "the loop spins: {hub}");
}

/// What there is for the client now, without a turn.
pub(crate) fn read_now(client: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
            Err(error) => panic!("reading: {error}"),
        }
    }
}

/// Turns until `done` has something to say, and returns that.
///
/// While another test's child process is being started it shares all sockets, and what is closed
/// meanwhile closes a moment later. So a test waits for the effect of a close at the other end.
pub(crate) fn turn_until<T>(rig: &mut Rig, mut done: impl FnMut(&mut Rig) -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(result) = done(rig) {
            return result;
        }
        let wait = Some(Duration::from_millis(1));
        rig.reactor.turn(&mut rig.world, wait).unwrap();
    }
    panic!("waited in vain");
}

/// Turns until reading fails, and returns the kind of the error. Panics at an end without one.
pub(crate) fn read_error(rig: &mut Rig, client: &mut TcpStream) -> ErrorKind {
    turn_until(rig, |_| {
        loop {
            match client.read(&mut [0; 1024]) {
                Ok(0) => panic!("the end of the stream and no error"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => return Some(error.kind()),
            }
        }
    })
}

/// Sends until the kernel takes no more and `more` bytes wait in the outbox; returns all that was
/// sent.
pub(crate) fn fill(rig: &mut Rig, id: ConnId, more: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let chunk = crate::support::pattern(1009);
    while rig.reactor.hub().backlog(id) < more {
        assert!(rig.reactor.hub().send(id, &chunk).is_taken());
        rig.reactor.hub().flush(id);
        all.extend_from_slice(&chunk);
    }
    all
}

/// Runs `body` in a process of its own, for what is measured or set for a whole process. `name` is
/// the test's own name with its modules.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    const CHILD: &str = "SWITCHBOARD_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        // Lets glibc give large blocks back when they are freed, so that what is still used can be
        // measured.
        .env("MALLOC_MMAP_THRESHOLD_", "32768")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
