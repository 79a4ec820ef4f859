//! Row 1: bytes that somebody has changed on the way. Whatever comes of it, it is no panic, and
//! nothing is left of it.

use crate::certs::CERTS;
use crate::far::{End, Far, VERSIONS, client_of, post, server_of};
use crate::near::{Near, SECOND};

/// The byte of a record with a minor version, which nobody looks at: RFC 8446, section 5.1.
const IGNORED: usize = 2;

/// Goes on until the near end has ended or knows no more; all of it has gone then.
fn assert_ends(near: &mut Near, mut far: Far) {
    near.rest();
    for _ in 0..2 {
        far.pull();
        if far.error.is_none() {
            far.push();
        }
        near.rest();
    }
    assert!(far.received.is_empty());
    drop(far);
    // What looks like the beginning of something is waited for until the deadline.
    near.rest();
    near.pass(10 * SECOND);
    near.assert_nothing_left();
}

#[test]
fn tls1_a_client_hello_with_any_byte_changed_ends_in_order() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let length = near.stranger(client_of(versions, None)).take_unsent().len();
        for at in (0..length).filter(|at| *at != IGNORED && (*at < 50 || at % 7 == 0)) {
            let mut far = near.stranger(client_of(versions, None));
            let mut hello = far.take_unsent();
            let at = at.min(hello.len() - 1);
            hello[at] ^= 1 << (at % 8);
            post(&far.stream, &hello);
            assert_ends(&mut near, far);
        }
        // All of it is signed, by either version.
        assert_eq!(near.world.events, []);
    }
}

#[test]
fn tls1_the_answer_of_a_server_with_any_byte_changed_ends_in_order() {
    for versions in VERSIONS {
        let mut near = Near::new();
        for at in (0..2_000).step_by(11) {
            let (mut far, _) = near.dial_far(server_of(versions, &CERTS.server));
            let mut flight = Vec::new();
            near.turns("the hello", |_| {
                far.pull();
                flight = far.take_unsent();
                !flight.is_empty()
            });
            if at >= flight.len() {
                break;
            }
            flight[at] ^= 1 << (at % 8);
            post(&far.stream, &flight);
            assert_ends(&mut near, far);
            assert_eq!(near.failed().len(), 1, "byte {at}");
        }
        assert_eq!(near.world.events, []);
    }
}

#[test]
fn tls1_a_record_with_any_byte_changed_is_not_delivered() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let length = near
            .open(client_of(versions, None))
            .0
            .records(b"data")
            .len();
        near.rest();
        // The first three bytes may be anything, by 1.3: what they say is said again within.
        for at in 3..length {
            let (mut far, id) = near.open(client_of(versions, None));
            near.rest_with(&mut far);
            let mut record = far.records(b"data");
            record[at] ^= 1 << (at % 8);
            // If it is longer by this than it was, what follows belongs to it.
            record.resize(0x5000, 0);
            post(&far.stream, &record);
            assert_ne!(near.end_of(&mut far), End::Reset, "byte {at}");
            assert!(far.error.is_some(), "an alert for byte {at}");
            drop(far);
            near.turns("the close", |near| near.reason(id).is_some());
            assert_eq!(near.told(id), ["closed Tls"], "byte {at}");
        }
    }
}
