//! Closing: what was said before it arrives, whatever the peer does meanwhile.

use std::io::Write;

use switchboard::CloseReason;

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
