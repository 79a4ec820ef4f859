//! Closing: what was said before it arrives, whatever the peer does meanwhile.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use switchboard::{CloseReason, Sent};

use crate::support::{Event, Rig, pattern, write_full};
use crate::tools::count;

/// Closing a socket with unread bytes in it resets the connection, and a reset discards what the
/// peer has not read.
#[test]
fn t20_closing_while_the_client_still_sends_costs_it_no_byte() {
    let mut rig = Rig::new();
    let farewell = pattern(300_000);
    let said = farewell.clone();
    rig.world.on_data = Some(Box::new(move |hub, id, data| {
        assert!(hub.send(id, &said).is_taken());
        hub.close(id);
        data.len()
    }));
    let (mut client, id) = rig.connect();
    client.write_all(b"go").unwrap();
    rig.until("the request", |world| world.data(id) == b"go");
    let noise = pattern(50_000);
    for _ in 0..50 {
        write_full(&mut client, &noise);
        rig.turn();
    }
    assert_eq!(rig.read_to_end(&mut client), farewell);
    write_full(&mut client, &noise);
    rig.settle();
    assert_eq!(rig.world.closed(), [], "the client has not finished yet");
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    assert_eq!(count(&rig.world, &Event::Closed(id, CloseReason::Local)), 1);
    assert_eq!(
        rig.world.data(id).len(),
        2,
        "nothing is delivered after close"
    );
    rig.world.assert_orderly();
}

#[test]
fn t20_bytes_unread_at_the_close_are_read_and_thrown_away() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.connect();
    rig.reactor.hub().pause(id);
    client.write_all(&pattern(100_000)).unwrap();
    rig.settle();
    let hub = rig.reactor.hub();
    assert!(hub.send(id, b"closing time").is_taken());
    hub.close(id);
    assert_eq!(rig.read_to_end(&mut client), b"closing time");
    rig.settle();
    assert_eq!(rig.world.data(id), b"");
}

/// A peer by Unix socket was sent more than it takes, says that it takes no more, then its last
/// words, and goes.
#[test]
fn f11_a_unix_peer_that_takes_no_more_of_a_backlog_is_still_heard() {
    let mut rig = Rig::new();
    rig.world.on_data = Some(Box::new(|_, _, data| data.len()));
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let id = rig.reactor.adopt(ours, rig.driver).unwrap();
    rig.turn();
    while rig.reactor.hub().send(id, &[7; 10_000]) != Sent::Backlogged {}
    rig.turn();
    assert!(rig.reactor.hub().backlog(id) > 0);
    // What the kernel has taken is read, so that nothing of it turns the end into a reset.
    theirs.shutdown(Shutdown::Read).unwrap();
    let mut buffer = vec![0; 1 << 20];
    while matches!((&theirs).read(&mut buffer), Ok(1..)) {}
    (&theirs).write_all(b"last words").unwrap();
    for _ in 0..5 {
        rig.turn();
    }
    drop(theirs);
    rig.until("the end", |world| !world.closed().is_empty());
    assert_eq!(rig.world.data(id), b"last words");
    assert_eq!(rig.world.closed(), [(id, CloseReason::Peer)]);
}
