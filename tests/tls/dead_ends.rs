//! Row 1: a handshake that comes to nothing leaves nothing, wherever and however it ends. In
//! processes of their own, since descriptors are counted.

use std::net::Shutdown;

use rustls::SupportedProtocolVersion;
use switchboard::ConnId;

use crate::alone::alone;
use crate::certs::CERTS;
use crate::far::{Far, VERSIONS, client_of, post, server_of};
use crate::near::{Near, SECOND};
use crate::support::descriptors;

/// How a peer ends a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// By the alert that says so. As long as anybody could have said so, it is a warning and no more.
    CloseNotify,
    Eof,
    Garbage,
    Reset,
    /// Not at all: it says nothing more.
    Silence,
}

const ACTS: [Act; 5] = [
    Act::CloseNotify,
    Act::Eof,
    Act::Garbage,
    Act::Reset,
    Act::Silence,
];

/// An alert of TLS, in plain: a warning, close_notify.
const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

impl Act {
    fn play(self, far: Far) -> Option<Far> {
        match self {
            Self::CloseNotify => post(&far.stream, &CLOSE_NOTIFY),
            Self::Eof => far.stream.shutdown(Shutdown::Write).unwrap(),
            Self::Garbage => post(&far.stream, &[0xA5; 300]),
            Self::Reset => {
                crate::support::reset(far.stream);
                return None;
            }
            Self::Silence => {}
        }
        Some(far)
    }

    /// The end of the stream is heard at once; the rest may look like the beginning of something.
    const fn is_end(self) -> bool {
        matches!(self, Self::Eof | Self::Reset)
    }
}

/// Where a flight of handshake messages is cut off.
#[derive(Clone, Copy, Debug)]
enum Place {
    Front,
    /// In the midst of the first header, and behind it.
    At(usize),
    Middle,
    LastByte,
}

const PLACES: [Place; 5] = [
    Place::Front,
    Place::At(1),
    Place::At(5),
    Place::Middle,
    Place::LastByte,
];

impl Place {
    const fn of(self, length: usize) -> usize {
        match self {
            Self::Front => 0,
            Self::At(at) => at,
            Self::Middle => length / 2,
            Self::LastByte => length - 1,
        }
    }
}

/// Plays a handshake up to a place in a flight of the far end's.
fn play_up_to(near: &mut Near, far: &mut Far, flight: usize, place: Place) {
    for whole in 0..=flight {
        let mut records = Vec::new();
        near.turns("the far end's turn", |_| {
            far.pull();
            records = far.take_unsent();
            !records.is_empty()
        });
        let most = if whole < flight {
            records.len()
        } else {
            place.of(records.len())
        };
        post(&far.stream, &records[..most]);
        near.rest();
    }
}

/// Goes through all flights, places and acts. `begin` makes a far end.
fn at_each_step(
    near: &mut Near,
    flights: usize,
    mut begin: impl FnMut(&mut Near) -> (Far, Option<ConnId>),
    mut ended: impl FnMut(&mut Near, Option<ConnId>, &str),
) {
    for flight in 0..flights {
        for place in PLACES {
            for act in ACTS {
                let what = format!("flight {flight}, {place:?}, {act:?}");
                let before = descriptors();
                let (mut far, id) = begin(near);
                play_up_to(near, &mut far, flight, place);
                assert_eq!(near.hub().census().handshakes, 1, "{what}");
                let far = act.play(far);
                near.rest();
                let left = near.hub().census().handshakes;
                assert!(left == 0 || !act.is_end(), "{what}: it is still there");
                near.pass(10 * SECOND);
                near.assert_nothing_left();
                assert_eq!(near.world.events, [], "{what}: nobody is to hear of it");
                ended(near, id, &what);
                drop(far);
                assert_eq!(descriptors(), before, "{what}");
            }
        }
    }
}

fn served(versions: &[&'static SupportedProtocolVersion]) {
    let mut near = Near::new();
    let mut count = 0;
    at_each_step(
        &mut near,
        2,
        |near| {
            let far = near.stranger(client_of(versions, None));
            near.turns("the handshake", |near| near.hub().census().handshakes == 1);
            (far, None)
        },
        |near, _, what| {
            count += 1;
            assert_eq!(near.hub().totals().handshakes_failed, count, "{what}");
            assert!(near.failed().is_empty());
        },
    );
    assert_eq!(count, 50);
}

fn dialled(versions: &[&'static SupportedProtocolVersion], flights: usize) {
    let mut near = Near::new();
    at_each_step(
        &mut near,
        flights,
        |near| {
            let (far, id) = near.dial_far(server_of(versions, &CERTS.server));
            near.turns("the handshake", |near| near.hub().census().handshakes == 1);
            (far, Some(id))
        },
        |near, id, what| {
            let failure = near.failure(id.unwrap());
            let begins = failure.text.starts_with("no TLS with tcp 127.0.0.1:");
            assert!(begins, "{what}: {failure:?}");
            assert_eq!(near.hub().totals().handshakes_failed, 0, "of clients only");
        },
    );
}

#[test]
fn tls1_a_client_that_ends_its_handshake_leaves_nothing() {
    alone(1_000, || VERSIONS.into_iter().for_each(served));
}

#[test]
fn tls1_a_server_that_ends_our_handshake_leaves_nothing() {
    alone(1_000, || {
        // By 1.3 a client is done when it has heard the first flight.
        dialled(VERSIONS[0], 2);
        dialled(VERSIONS[1], 1);
    });
}

#[test]
fn tls1_a_dial_says_why_its_handshake_has_failed() {
    for (act, expected) in [
        (Act::Eof, "closed in the midst of the handshake"),
        (Act::Garbage, "received corrupt message"),
        (Act::Reset, "reset"),
        (Act::Silence, "the handshake took longer than 10s"),
    ] {
        let mut near = Near::new();
        let (far, id) = near.dial_far(server_of(VERSIONS[1], &CERTS.server));
        near.turns("the handshake", |near| near.hub().census().handshakes == 1);
        let far = act.play(far);
        near.rest();
        near.pass(10 * SECOND);
        let failure = near.failure(id);
        assert!(failure.text.contains(expected), "{act:?}: {failure:?}");
        drop(far);
    }
}
