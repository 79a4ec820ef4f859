//! Row 1: however the bytes of a handshake are cut, it comes about.

use crate::certs::CERTS;
use crate::far::{Far, VERSIONS, client_config, client_of, post, server_of};
use crate::near::{Near, echo};

/// Sends these bytes as the loop is to see them: one piece after the other.
fn post_pieces<'a>(near: &mut Near, far: &Far, pieces: impl IntoIterator<Item = &'a [u8]>) {
    for piece in pieces {
        let before = near.steps;
        post(&far.stream, piece);
        near.turns("a piece to be read", |near| near.steps > before);
    }
}

/// The handshake comes about, and what is said then comes back.
fn assert_opens(near: &mut Near, far: &mut Far) {
    let before = near.world.opened().len();
    near.both(far, "the handshake", |near, far| {
        assert_eq!(far.error, None);
        near.world.opened().len() > before
    });
    near.assert_echoes(far);
}

#[test]
fn tls1_a_client_hello_may_be_split_at_every_byte() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let length = near.stranger(client_config()).take_unsent().len();
    near.rest();
    for at in 1..length {
        let mut far = near.stranger(client_config());
        let hello = far.take_unsent();
        let (first, second) = hello.split_at(at);
        post_pieces(&mut near, &far, [first, second]);
        assert_opens(&mut near, &mut far);
    }
    near.turns("their ends", |near| near.world.closed().len() == length - 1);
    near.assert_nothing_left();
}

#[test]
fn tls1_a_handshake_may_come_byte_by_byte() {
    for versions in VERSIONS {
        let mut near = Near::new();
        near.world.on_data = Some(Box::new(echo));
        let mut far = near.stranger(client_of(versions, None));
        while far.tls.is_handshaking() || far.tls.wants_write() {
            let flight = far.take_unsent();
            post_pieces(&mut near, &far, flight.chunks(1));
            far.pull();
            assert_eq!(far.error, None);
        }
        near.turns("the connection", |near| !near.world.opened().is_empty());
        near.assert_echoes(&mut far);
    }
}

/// A handshake message may be cut into any number of records: RFC 8446, section 5.1.
#[test]
fn tls1_a_client_hello_may_be_of_records_of_one_byte() {
    for versions in VERSIONS {
        let mut near = Near::new();
        near.world.on_data = Some(Box::new(echo));
        let mut far = near.stranger(client_of(versions, None));
        let hello = far.take_unsent();
        let (header, message) = hello.split_at(5);
        let length = u16::from_be_bytes([header[3], header[4]]);
        assert_eq!(usize::from(length), message.len(), "one record");
        let records: Vec<_> = message
            .iter()
            .flat_map(|byte| [header[0], header[1], header[2], 0, 1, *byte])
            .collect();
        post(&far.stream, &records);
        assert_opens(&mut near, &mut far);

        let mut far = near.stranger(client_of(versions, None));
        far.take_unsent();
        post_pieces(&mut near, &far, records.chunks(6));
        near.rest();
        assert_eq!(near.hub().census().handshakes, 1, "it has been answered");
    }
}

#[test]
fn tls1_the_answer_of_a_server_may_be_split_anywhere() {
    for versions in VERSIONS {
        let mut near = Near::new();
        near.world.on_data = Some(Box::new(echo));
        for step in [1, 13, 400] {
            let (mut far, id) = near.dial_far(server_of(versions, &CERTS.server));
            near.turns("a handshake in pieces", |near| {
                far.pull();
                let flight = far.take_unsent();
                for piece in flight.chunks(step) {
                    post(&far.stream, piece);
                    near.turn();
                }
                near.world.opened().contains(&id)
            });
            near.assert_echoes(&mut far);
        }
    }
}
