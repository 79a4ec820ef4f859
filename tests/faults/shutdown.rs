//! The end of a reactor in good order, and of a listener.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Config, Limits, Listen, Listening, Reactor};

use crate::alone::alone;
use crate::support::{Recorder, Rig, World, descriptors, own_address, pattern};
use crate::util::{assert_rests, echo, has_closed};

const DEADLINE: Duration = Duration::from_secs(3);

/// Two clients with much to read yet.
fn busy() -> (Rig, Vec<TcpStream>, Vec<u8>) {
    let listen = Listen::from(own_address()).send_buffer(4096);
    let mut rig = Rig::with(Config::default(), listen);
    let message = pattern(500_000);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (client, id) = rig.connect();
        clients.push(client);
        rig.reactor.hub().send(id, &message).ignore();
    }
    rig.settle();
    (rig, clients, message)
}

#[test]
fn f24_a_shutdown_lets_everybody_have_what_was_sent() {
    let (mut rig, mut clients, message) = busy();
    rig.reactor.hub().shutdown(DEADLINE);
    rig.turn();
    // A child process that another test is starting keeps the port for a moment.
    let address = rig.listening.local_addr.ip().unwrap();
    rig.until("a refusal", |_| TcpStream::connect(address).is_err());
    assert_rests(&mut rig);
    for client in &mut clients {
        assert!(rig.world.closed().len() < 2);
        assert_eq!(rig.read_to_end(client), message);
        client.shutdown(Shutdown::Write).unwrap();
    }
    rig.until("the close", |world| world.closed().len() == 2);
    for (_, reason) in rig.world.closed() {
        assert_eq!(reason, CloseReason::Shutdown);
    }
    assert_eq!(rig.reactor.hub().pending_timers(), 0);
    rig.world.assert_orderly();
}

#[test]
fn f24_whoever_is_not_done_at_the_deadline_is_reset() {
    let (mut rig, mut clients, message) = busy();
    rig.reactor.hub().shutdown(DEADLINE);
    rig.turn();
    assert_eq!(rig.read_exactly(&mut clients[0], message.len()), message);
    rig.advance(DEADLINE - Duration::from_millis(1));
    assert_rests(&mut rig);
    assert_eq!(rig.world.closed(), []);
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.world.closed().len(), 2);
    rig.reactor
        .run(&mut rig.world)
        .expect("nothing to wait for");
    clients[1].set_nonblocking(false).unwrap();
    let mut rest = Vec::new();
    let error = clients[1].read_to_end(&mut rest).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(rest.len() < message.len());
}

/// As a second signal would.
#[test]
fn f24_a_second_shutdown_without_patience_ends_it_at_once() {
    let (mut rig, _clients, _) = busy();
    rig.reactor.hub().shutdown(DEADLINE);
    rig.turn();
    assert_eq!(rig.world.closed(), []);
    rig.reactor.hub().shutdown(Duration::ZERO);
    rig.turn();
    rig.turn();
    assert_eq!(rig.world.closed().len(), 2);
    rig.world.assert_orderly();
}

/// Whether the last connection went by itself or by the deadline: nothing is left to wait for, and
/// nothing would wake a loop that waits nevertheless.
#[test]
fn f24_run_after_the_end_returns_at_once() {
    for after in [Duration::ZERO, DEADLINE] {
        let mut rig = Rig::new();
        let (client, _) = rig.connect();
        rig.reactor.hub().shutdown(DEADLINE);
        rig.turn();
        rig.advance(after);
        drop(client);
        rig.until("the close", |world| !world.closed().is_empty());
        rig.faults.next(Call::Poll, Fault::Errno(libc::EBADF));
        let ended = rig.reactor.run(&mut rig.world);
        ended.expect("no further look at the poller");
    }
}

/// Paused connections too: nobody is forgotten because nobody reads from it.
#[test]
fn f24_a_shutdown_ends_paused_connections() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    client.write_all(b"unread").unwrap();
    assert_rests(&mut rig);
    rig.reactor.hub().shutdown(DEADLINE);
    assert_eq!(rig.read_to_end(&mut client), b"");
    drop(client);
    rig.until("the close", |world| has_closed(world, id));
    assert_eq!(rig.world.closed(), [(id, CloseReason::Shutdown)]);
}

/// The whole of it on the system's clock: `run` returns by itself when the last client is done.
#[test]
fn f24_run_returns_when_the_last_connection_has_gone() {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let driver = reactor.add_driver(Recorder);
    let address = reactor
        .listen("127.0.0.1:0", driver)
        .unwrap()
        .local_addr
        .ip()
        .unwrap();
    let mut answered = 0;
    let mut world = World {
        on_data: Some(Box::new(move |hub, id, data| {
            answered += 1;
            if answered == 4 {
                hub.shutdown(Duration::from_secs(600));
            }
            echo(hub, id, data)
        })),
        ..World::default()
    };
    let clients: Vec<_> = (0..4).map(|_| ask_in_a_thread(address)).collect();
    reactor.run(&mut world).unwrap();
    for client in clients {
        assert_eq!(client.join().unwrap(), b"question");
    }
    assert_eq!(reactor.hub().count(driver), 0);
    assert_eq!(world.closed().len(), 4);
}

fn ask_in_a_thread(address: SocketAddr) -> std::thread::JoinHandle<Vec<u8>> {
    let mut stream = TcpStream::connect(address).unwrap();
    std::thread::spawn(move || {
        stream.write_all(b"question").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    })
}

#[test]
fn f28_a_second_listener_on_a_port_is_an_error_that_names_it() {
    alone(256, || {
        let mut rig = Rig::new();
        let address = rig.listening.local_addr.ip().unwrap();
        let before = descriptors();
        for _ in 0..3 {
            let error = rig.reactor.listen(address, rig.driver).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        assert_eq!(descriptors(), before, "a failed attempt left something");
        rig.connect();
    });
}

/// Listens at a port as soon as nobody does: a child process that another test is starting has a
/// copy of who did for a moment.
fn again(rig: &mut Rig, address: SocketAddr) -> Listening {
    for _ in 0..1_000 {
        match rig.reactor.listen(address, rig.driver) {
            Ok(listening) => return listening,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        }
        rig.settle();
    }
    panic!("the port stays in use");
}

/// The connection that our side has closed first lingers in TIME_WAIT on the very port.
#[test]
fn f28_a_port_may_be_listened_on_again_as_soon_as_its_listener_is_closed() {
    let mut rig = Rig::with(Config::default(), own_address());
    let (mut client, id) = rig.connect();
    rig.reactor.hub().close(id);
    assert_eq!(rig.read_to_end(&mut client), b"");
    drop(client);
    rig.until("the close", |world| has_closed(world, id));
    let (_established, other) = rig.connect();
    let old = rig.listening.clone();
    rig.reactor.hub().close(old.id);
    rig.turn();
    assert!(!rig.reactor.hub().is_open(old.id));
    assert!(rig.reactor.hub().is_open(other), "it took its client along");
    let address = old.local_addr.ip().unwrap();
    rig.listening = again(&mut rig, address);
    assert_eq!(rig.listening.local_addr.ip().unwrap(), address);
    rig.connect();
}

/// Clients whose connection the listener has not accepted when it closes are told, and not left
/// waiting.
#[test]
fn f28_clients_in_the_backlog_of_a_closed_listener_are_reset() {
    let limits = Limits::default();
    let listen = Listen::tcp("127.0.0.1:0").max_connections(1).limits(limits);
    let mut rig = Rig::with(Config::default(), listen);
    let (_first, _) = rig.connect();
    let mut waiting = crate::support::client(rig.listening.local_addr.ip().unwrap());
    assert_rests(&mut rig);
    rig.reactor.hub().close(rig.listening.id);
    rig.turn();
    waiting.set_nonblocking(false).unwrap();
    let error = waiting.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_rests(&mut rig);
}
