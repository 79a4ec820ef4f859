//! Edge-triggered readiness: nothing that has arrived is ever left lying.

use std::io::Write;
use std::net::Shutdown;

use switchboard::CloseReason;

use crate::support::{Event, Rig, client};

#[test]
fn t01_data_and_fin_in_one_event_end_in_a_close() {
    let mut rig = Rig::new();
    let mut client = client(rig.listening.local_addr);
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    drop(client);
    rig.until("the close", |world| !world.closed().is_empty());
    let id = rig.world.opened()[0];
    assert_eq!(
        rig.world.events,
        [
            Event::Opened(id),
            Event::Data(id, b"last words".to_vec()),
            Event::Eof(id, Vec::new()),
            Event::Closed(id, CloseReason::Peer),
        ]
    );
}
