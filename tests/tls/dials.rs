//! Our own connections: by other ways, in time, and given up.

use std::io::ErrorKind;
use std::time::Duration;

use switchboard::{Config, Dial, Listen};

use crate::certs::folder;
use crate::far::server_config;
use crate::near::{MILLI, Near, SECOND, echo, listen, server, trusting};
use crate::support::{deserted, pattern};

/// A dial whose handshake has begun.
fn begun(near: &mut Near, deadline: Duration) -> (crate::far::Far, switchboard::ConnId) {
    let (mut far, id) = near.dial_as(server_config(), |dial| {
        let dial = dial.tls(&trusting(), "localhost").unwrap();
        dial.deadline(deadline)
    });
    near.turns("the hello", |near| {
        far.pull();
        near.hub().census().handshakes == 1 && far.tls.wants_write()
    });
    (far, id)
}

#[test]
fn an_echo_goes_through_a_unix_socket() {
    let path = folder().join("socket");
    let mut near = Near::of(Config::default(), Listen::unix(&path).tls(server()));
    near.world.on_data = Some(Box::new(echo));
    let dial = Dial::unix(&path).tls(&trusting(), "localhost").unwrap();
    let (id, served) = near.pair(dial);
    let ours = near.hub().tls(id).unwrap();
    assert_eq!(ours.version, switchboard::tls::Version::Tls13);
    // What comes back is sent again, and so on: a hundred thousand bytes on their way round.
    assert!(near.hub().send(id, b"round and round").is_taken());
    near.turns("some rounds", |near| near.world.data(id).len() > 15 * 100);
    near.world.on_data = None;
    near.hub().close(id);
    near.turns("both ends", |near| near.world.closed().len() == 2);
    assert!(near.reason(served).is_some());
    near.assert_nothing_left();
}

#[test]
fn nobody_speaks_tls_at_a_unix_socket_that_is_plain() {
    let path = folder().join("plain");
    let mut near = Near::of(Config::default(), Listen::unix(&path));
    near.world.on_data = Some(Box::new(echo));
    let dial = Dial::unix(&path).tls(&trusting(), "localhost").unwrap();
    let dialler = near.dialler;
    let id = near.hub().connect(dial.ticket(7_u32), dialler);
    near.turns("the failure", |near| !near.world.closed().is_empty());
    let failure = near.failure(id);
    assert!(
        failure.text.starts_with("no TLS with a Unix socket: "),
        "{failure:?}"
    );
}

#[test]
fn the_deadline_of_a_dial_holds_for_its_handshake() {
    let mut near = Near::new();
    let (mut far, id) = begun(&mut near, 3 * SECOND);
    near.pass(3 * SECOND - MILLI);
    assert!(near.failed().is_empty());
    assert!(near.hub().is_open(id));
    near.pass(MILLI);
    let failure = near.failure(id);
    assert_eq!(failure.kind, ErrorKind::TimedOut);
    assert!(failure.text.contains("took longer than 3s"), "{failure:?}");
    near.end_of(&mut far);
    near.assert_nothing_left();
    assert!(!near.hub().is_open(id));
}

#[test]
fn a_dial_may_be_cancelled_during_its_handshake() {
    let mut near = Near::new();
    for abort in [false, true] {
        let (mut far, id) = begun(&mut near, SECOND);
        if abort {
            near.hub().abort(id);
        } else {
            near.hub().close(id);
        }
        assert!(!near.hub().is_open(id), "at once");
        near.hub().close(id);
        near.rest();
        let failure = near.failure(id);
        assert_eq!(failure.kind, ErrorKind::ConnectionAborted);
        assert!(failure.text.ends_with("cancelled"), "{failure:?}");
        near.end_of(&mut far);
        near.assert_nothing_left();
    }
}

/// As little as before the connection is made can be done with it while its handshake is under way.
#[test]
fn a_handshake_is_no_connection_yet() {
    let mut near = Near::new();
    let (mut far, id) = begun(&mut near, SECOND);
    let hub = near.hub();
    assert_eq!(hub.send(id, b"too early"), switchboard::Sent::Closed);
    assert_eq!(hub.try_write(id, b"too early"), None);
    assert_eq!(
        (hub.info(id), hub.tls(id), hub.backlog(id)),
        (None, None, 0)
    );
    hub.pause(id);
    hub.shutdown_write(id);
    near.both(&mut far, "the handshake", |near, _| {
        near.world.opened().contains(&id)
    });
    near.hub().send(id, b"in time").ignore();
    near.both(&mut far, "data", |_, far| far.received == b"in time");
}

#[test]
fn a_dial_that_is_refused_says_so_before_any_tls() {
    let mut near = Near::new();
    let dial = Dial::tcp(deserted()).tls(&trusting(), "localhost").unwrap();
    let dialler = near.dialler;
    let id = near.hub().connect(dial.ticket(7_u32), dialler);
    near.turns("the failure", |near| near.hub().census().dials == 0);
    let failure = near.failure(id);
    assert_eq!(failure.kind, ErrorKind::ConnectionRefused);
    near.assert_nothing_left();
}

/// What is accepted while a handshake is under way counts for the listener's limits.
#[test]
fn handshakes_count_for_the_limits_of_their_listener() {
    let listen = listen(server()).max_connections(2).max_per_source(2);
    let mut near = Near::of(Config::default(), listen);
    let first = near.stranger(crate::far::client_config());
    let (second, _) = near.client();
    let third = near.stranger(crate::far::client_config());
    near.rest();
    let census = near.hub().census();
    assert_eq!(
        (census.handshakes, census.tcp.open),
        (1, 1),
        "the third waits"
    );
    drop(first);
    near.turns("the place to be free", |near| {
        near.hub().totals().accepts == 3
    });
    drop(second);
    drop(third);
    near.turns("all to have gone", |near| {
        let census = near.hub().census();
        (census.handshakes, census.tcp.open, census.tcp.closing) == (0, 0, 0)
    });
    let (mut far, id) = near.client();
    assert!(near.hub().send(id, &pattern(10)).is_taken());
    near.both(&mut far, "data", |_, far| far.received.len() == 10);
}
