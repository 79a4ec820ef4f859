//! Row 5: a connection ends when it is said that it does, and not when somebody cuts it off.

use std::net::Shutdown;

use switchboard::testing::{Call, Fault};
use switchboard::{CloseReason, Config, Limits, Timeout};

use crate::far::{End, VERSIONS, client_config, client_of, server_config};
use crate::near::{MILLI, Near, SECOND, echo, listen, server, trusting};
use crate::support::{Event, pattern};

#[test]
fn tls5_a_stream_that_ends_without_a_word_was_cut_off() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let (mut far, id) = near.open(client_of(versions, None));
        far.say(b"all my money goes to");
        far.push();
        far.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.closed(&mut far, id), CloseReason::Truncated);
        assert_eq!(
            near.told(id),
            ["data all my money goes to", "closed Truncated"]
        );
        near.assert_nothing_left();
    }
}

#[test]
fn tls5_half_a_record_is_not_delivered() {
    let mut near = Near::new();
    let (mut far, id) = near.client();
    let record = far.records(b"lost");
    crate::far::post(&far.stream, &record[..record.len() - 1]);
    far.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.closed(&mut far, id), CloseReason::Truncated);
    assert_eq!(near.told(id), ["closed Truncated"]);
}

#[test]
fn tls5_who_tolerates_truncation_is_told_of_an_end() {
    let mut near = Near::with(server().tolerate_truncation(true));
    let (mut far, id) = near.client();
    far.say(b"that is all");
    far.push();
    far.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.closed(&mut far, id), CloseReason::Peer);
    assert_eq!(near.told(id), ["data that is all", "eof", "closed Peer"]);
    assert!(far.notified, "we go on saying it");

    let client = trusting().tolerate_truncation(true);
    let (mut far, id) = near.dial_as(server_config(), |dial| {
        dial.tls(&client, "localhost").unwrap()
    });
    near.both(&mut far, "the handshake", |near, _| {
        near.world.opened().contains(&id)
    });
    far.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.closed(&mut far, id), CloseReason::Peer);
}

#[test]
fn tls5_a_reset_is_no_truncation() {
    let mut near = Near::new();
    let (far, id) = near.client();
    crate::support::reset(far.stream);
    near.turns("the close", |near| near.reason(id).is_some());
    assert_eq!(near.reason(id), Some(CloseReason::Reset));
}

#[test]
fn tls5_closing_says_so_behind_all_that_was_sent() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let (mut far, id) = near.open(client_of(versions, None));
        let said = pattern(500_000);
        assert!(near.hub().send(id, &said).is_taken());
        near.hub().close(id);
        assert_eq!(near.end_of(&mut far), End::Fin);
        assert_eq!(far.error, None);
        assert!(far.notified, "close_notify comes before the end");
        assert!(far.received == said, "and behind everything else");
        far.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.closed(&mut far, id), CloseReason::Local);
        near.assert_nothing_left();
    }
}

#[test]
fn tls5_a_dial_closes_in_the_same_way() {
    let mut near = Near::new();
    let (mut far, id) = near.dialled(server_config());
    near.hub().send(id, b"farewell").ignore();
    near.hub().close(id);
    assert_eq!(near.end_of(&mut far), End::Fin);
    assert_eq!((far.notified, &far.received[..]), (true, &b"farewell"[..]));
    drop(far);
    near.turns("the close", |near| near.reason(id).is_some());
    assert_eq!(near.reason(id), Some(CloseReason::Local));
    near.assert_nothing_left();
}

#[test]
fn tls5_either_side_may_finish_and_go_on_reading() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let (mut far, id) = near.open(client_of(versions, None));
        near.hub().send(id, b"my last word").ignore();
        near.hub().shutdown_write(id);
        assert_eq!(near.end_of(&mut far), End::Fin);
        assert_eq!(
            (far.notified, &far.received[..]),
            (true, &b"my last word"[..])
        );
        far.say(b"I have another one");
        far.push();
        near.turns("it", |near| near.world.data(id).len() == 18);
        far.tls.send_close_notify();
        far.push();
        near.turns("the close", |near| near.reason(id).is_some());
        assert_eq!(
            near.told(id),
            ["data I have another one", "eof", "closed Peer"]
        );
    }
}

#[test]
fn tls5_a_peer_that_has_finished_can_be_answered() {
    for versions in VERSIONS {
        let mut near = Near::new();
        near.world.on_eof = Some(Box::new(|hub, id, ()| {
            hub.send(id, b"thank you").ignore();
            hub.close(id);
        }));
        let (mut far, id) = near.open(client_of(versions, None));
        far.say(b"that is all");
        far.tls.send_close_notify();
        far.push();
        // Without a FIN: the word alone is enough.
        near.both(&mut far, "the answer", |_, far| {
            far.received == b"thank you" && far.notified
        });
        assert_eq!(near.end_of(&mut far), End::Fin);
        drop(far);
        near.turns("the close", |near| near.reason(id).is_some());
        assert_eq!(near.told(id), ["data that is all", "eof", "closed Local"]);
    }
}

/// The peer neither reads nor closes.
#[test]
fn tls5_closing_waits_no_longer_than_it_lingers() {
    for backlog in [0, 900_000] {
        let mut near = Near::of(Config::default(), listen(server()).send_buffer(4096));
        let (far, id) = near.client();
        assert!(near.hub().send(id, &pattern(backlog)).is_taken());
        near.hub().close(id);
        near.rest();
        assert_eq!(near.hub().census().tcp.closing, 1);
        // Nor does the kernel take more by now, as it would when an acknowledgement comes late.
        near.faults.always(Call::Send, Fault::Errno(libc::EAGAIN));
        near.pass(5 * SECOND - MILLI);
        assert_eq!(near.hub().census().tcp.closing, 1, "{backlog}");
        near.pass(MILLI);
        assert_eq!(near.reason(id), Some(CloseReason::Local));
        near.assert_nothing_left();
        drop(far);
    }
}

#[test]
fn tls5_a_shutdown_says_farewell_to_all() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let (mut far, id) = near.client();
    let mut begun = near.stranger(client_config());
    begun.push();
    near.turns("a handshake", |near| near.hub().census().handshakes == 1);
    let trusting = trusting();
    let (mut dialled, dial) = near.dial_as(server_config(), |dial| {
        dial.tls(&trusting, "localhost").unwrap()
    });
    near.turns("another", |near| near.hub().census().handshakes == 2);
    let before = near.hub().totals().handshakes_failed;
    near.hub().shutdown(5 * SECOND);
    assert_eq!(near.end_of(&mut far), End::Fin);
    assert!(far.notified);
    drop(far);
    near.turns("the close", |near| near.reason(id).is_some());
    assert_eq!(near.reason(id), Some(CloseReason::Shutdown));
    near.end_of(&mut begun);
    near.end_of(&mut dialled);
    let failure = near.failure(dial);
    assert!(failure.text.contains("cancelled"), "{failure:?}");
    assert_eq!(near.hub().totals().handshakes_failed, before + 1);
    near.assert_nothing_left();
    let told = [Event::Opened(id), Event::Closed(id, CloseReason::Shutdown)];
    assert_eq!(near.world.events, told, "nobody has heard of the others");
}

#[test]
fn tls5_a_session_that_is_aborted_says_nothing() {
    let mut near = Near::new();
    let (mut far, id) = near.client();
    near.hub().abort(id);
    assert_eq!(near.end_of(&mut far), End::Reset);
    assert!(!far.notified);
    assert_eq!(near.reason(id), Some(CloseReason::Aborted));
}

#[test]
fn tls5_a_timeout_and_a_panic_end_a_session_as_any_connection() {
    let limits = Limits {
        read_timeout: Some(SECOND),
        ..Limits::default()
    };
    let mut near = Near::of(Config::default(), listen(server()).limits(limits));
    let (mut silent, silent_id) = near.client();
    near.rest_with(&mut silent);
    near.pass(SECOND);
    let reason = CloseReason::TimedOut(Timeout::Read);
    assert_eq!(near.closed(&mut silent, silent_id), reason);
    assert!(silent.notified, "in good order");

    near.world.on_data = Some(Box::new(|_, _, _| panic!("on purpose")));
    let (mut far, id) = near.client();
    far.say(b"boo");
    assert_eq!(near.end_of(&mut far), End::Reset);
    near.turns("the close", |near| near.reason(id).is_some());
    assert_eq!(near.reason(id), Some(CloseReason::Panicked));
    near.world.on_data = Some(Box::new(echo));
    let (mut far, _) = near.client();
    near.assert_echoes(&mut far);
}
