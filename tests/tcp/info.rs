//! What is known of a connection: the five items that name it, its traffic and its age.

use std::net::TcpStream;
use std::time::Duration;

use switchboard::tcp::{Cx, Framed, Handler, Raw};
use switchboard::{CloseReason, ConnId, Info, Protocol};

use crate::served::Served;
use crate::support::pattern;

/// Takes down what is known when a connection opens and when it closes.
#[derive(Default)]
struct Registrar {
    opened: Vec<Info>,
    closed: Vec<(ConnId, Info)>,
}

impl Handler for Registrar {
    type Conn = ();

    fn on_open(&mut self, cx: &mut Cx<'_, Raw>) -> Option<()> {
        self.opened.extend(cx.info());
        Some(())
    }

    /// Answers each byte with two.
    fn on_message(&mut self, cx: &mut Cx<'_, Raw>, (): &mut (), bytes: &[u8]) {
        cx.send(bytes).ignore();
        cx.send(bytes).ignore();
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Raw>, (): (), _: CloseReason) {
        let id = cx.id();
        self.closed.extend(cx.info().map(|info| (id, info)));
    }
}

fn registrar() -> Served<Registrar> {
    Served::new(Registrar::default(), Framed::raw())
}

/// Protocol, local address and port, remote address and port, as the peer sees them from its end.
fn assert_names(info: &Info, client: &TcpStream) {
    assert_eq!(info.protocol, Protocol::Tcp);
    assert_eq!(info.local_addr, client.peer_addr().ok());
    assert_eq!(info.peer_addr, client.local_addr().ok());
}

#[test]
fn s0_06_five_items_name_a_connection_from_its_first_callback() {
    let mut served = registrar();
    for number in 0..3 {
        let (client, id) = served.connect();
        let info = served.reactor.hub().info(id).unwrap();
        assert_names(&info, &client);
        assert_names(&served.app.opened[number], &client);
        assert_eq!(info.driver, served.driver);
        drop(client);
    }
}

/// The peer has gone, and the log still has to say who it was.
#[test]
fn s0_06_they_are_still_known_when_it_closes() {
    let mut served = registrar();
    let (client, id) = served.connect();
    let (local, peer) = (client.peer_addr().ok(), client.local_addr().ok());
    crate::support::reset(client);
    served.until("the close", |app| !app.closed.is_empty());
    let (closed, info) = served.app.closed[0];
    assert_eq!((closed, info.local_addr, info.peer_addr), (id, local, peer));
    assert_eq!(served.reactor.hub().info(id), None, "and after it no more");
}

#[test]
fn s2_01_bytes_are_counted_in_each_direction() {
    let mut served = registrar();
    let (mut client, id) = served.connect();
    let (_other, quiet) = served.connect();
    let mut expected = (0, 0);
    for size in [1, 999, 70_000] {
        served.write(&mut client, &pattern(size));
        served.read(&mut client, 2 * size);
        expected = (expected.0 + size as u64, expected.1 + 2 * size as u64);
        let info = served.reactor.hub().info(id).unwrap();
        assert_eq!((info.bytes_read, info.bytes_written), expected);
    }
    let info = served.reactor.hub().info(quiet).unwrap();
    assert_eq!((info.bytes_read, info.bytes_written), (0, 0));
}

#[test]
fn s0_06_age_is_told_by_the_clock_of_the_reactor() {
    let mut served = registrar();
    served.advance(Duration::from_secs(100));
    let (client, id) = served.connect();
    assert_eq!(served.app.opened[0].age, Duration::ZERO);
    served.advance(Duration::from_millis(1_500));
    let age = |served: &mut Served<Registrar>| served.reactor.hub().info(id).unwrap().age;
    assert_eq!(age(&mut served), Duration::from_millis(1_500));
    served.advance(Duration::from_secs(60));
    drop(client);
    served.until("the close", |app| !app.closed.is_empty());
    assert_eq!(served.app.closed[0].1.age, Duration::from_millis(61_500));
}
