//! A system that is short of something for a moment, in the midst of TLS.

use switchboard::Dial;
use switchboard::testing::{Call, Fault};

use crate::far::{client_config, server_config};
use crate::near::{Near, SECOND, echo, trusting};

/// What passes for a moment's misfortune.
const MOMENTARY: [i32; 3] = [libc::EINTR, libc::ENOBUFS, libc::ENOMEM];

/// The handshake comes about although a call has failed, if only somebody tries again.
fn comes_about(call: Call, errno: i32, dialled: bool) {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let mut far = if dialled {
        let (far, _) = near.dial_far(server_config());
        near.faults.next(call, Fault::Errno(errno));
        far
    } else {
        near.faults.next(call, Fault::Errno(errno));
        near.stranger(client_config())
    };
    let what = format!("{call:?}, errno {errno}, dialled: {dialled}");
    near.both(&mut far, &what, |near, _| {
        near.clock.advance(SECOND / 100);
        !near.world.opened().is_empty()
            || near.hub().census().handshakes == 0 && near.hub().totals().accepts > 0
    });
    assert_eq!(near.world.opened().len(), 1, "{what}");
    near.faults.clear(call);
    far.say(b"still there?");
    near.both(&mut far, &what, |near, far| {
        near.clock.advance(SECOND / 100);
        far.received == b"still there?"
    });
}

#[test]
fn a_handshake_survives_a_receive_that_fails_for_a_moment() {
    for errno in MOMENTARY {
        for dialled in [false, true] {
            comes_about(Call::Receive, errno, dialled);
        }
    }
}

#[test]
fn a_handshake_survives_a_send_that_fails_for_a_moment() {
    for errno in MOMENTARY {
        for dialled in [false, true] {
            comes_about(Call::Send, errno, dialled);
        }
    }
}

#[test]
fn a_client_that_cannot_be_registered_is_let_go() {
    let mut near = Near::new();
    near.faults.next(Call::Register, Fault::Errno(libc::ENOMEM));
    let mut far = near.stranger(client_config());
    near.end_of(&mut far);
    near.assert_nothing_left();
    near.client();
}

#[test]
fn a_connection_survives_what_fails_for_a_moment() {
    for call in [Call::Receive, Call::Send] {
        for errno in MOMENTARY {
            let mut near = Near::new();
            near.world.on_data = Some(Box::new(echo));
            let (mut far, _) = near.client();
            near.rest_with(&mut far);
            near.faults.next(call, Fault::Errno(errno));
            far.say(b"hello");
            near.both(&mut far, "an echo", |near, far| {
                near.clock.advance(SECOND / 100);
                far.received == b"hello"
            });
        }
    }
}

/// No descriptor is left for the connection itself.
#[test]
fn a_dial_without_a_descriptor_says_so() {
    let mut near = Near::new();
    near.faults.next(Call::Connect, Fault::Errno(libc::EMFILE));
    let address = near.address();
    let dial = Dial::tcp(address).tls(&trusting(), "localhost").unwrap();
    let dialler = near.dialler;
    let id = near.hub().connect(dial.ticket(7_u32), dialler);
    near.rest();
    let failure = near.failure(id);
    assert!(
        failure.text.contains("cannot connect to tcp"),
        "{failure:?}"
    );
    near.assert_nothing_left();
}
