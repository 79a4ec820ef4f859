//! Row 8: what comes together is told in order.

use std::net::Shutdown;

use rustls::{AlertDescription, Error};
use switchboard::{CloseReason, Config};

use crate::far::{Far, VERSIONS, client_of, post, server_config};
use crate::near::{Near, echo, listen, server};
use crate::support::pattern;

/// The far end's records with data and its farewell.
fn farewell(far: &mut Far, data: &[u8]) -> Vec<u8> {
    far.say(data);
    far.tls.send_close_notify();
    far.take_unsent()
}

/// Has the handshake go on until only the client's last flight is to be sent: what is to be sent then.
fn last_flight(near: &mut Near, far: &mut Far) -> Vec<u8> {
    let mut last = Vec::new();
    near.turns("the last flight", |_| {
        far.pull();
        let flight = far.take_unsent();
        if far.tls.is_handshaking() {
            post(&far.stream, &flight);
            return false;
        }
        last = flight;
        true
    });
    last
}

#[test]
fn tls8_data_a_farewell_and_the_end_may_come_in_one_segment() {
    for versions in VERSIONS {
        for fin in [false, true] {
            let mut near = Near::new();
            let (mut far, id) = near.open(client_of(versions, None));
            let records = farewell(&mut far, b"the last word");
            post(&far.stream, &records);
            if fin {
                far.stream.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(near.closed(&mut far, id), CloseReason::Peer);
            assert_eq!(near.told(id), ["data the last word", "eof", "closed Peer"]);
            near.assert_nothing_left();
        }
    }
}

/// By 1.3 the client may say anything at once.
#[test]
fn tls8_all_that_may_come_right_behind_a_handshake() {
    for data in [&b"the last word"[..], b""] {
        for fin in [false, true] {
            let mut near = Near::new();
            let mut far = near.stranger(client_of(VERSIONS[1], None));
            let mut last = last_flight(&mut near, &mut far);
            last.append(&mut farewell(&mut far, data));
            post(&far.stream, &last);
            if fin {
                far.stream.shutdown(Shutdown::Write).unwrap();
            }
            let what = format!("the close, {} bytes, FIN: {fin}", data.len());
            near.both(&mut far, &what, |near, far| {
                if far.end.is_some() {
                    let _ = far.stream.shutdown(Shutdown::Write);
                }
                !near.world.closed().is_empty()
            });
            let id = near.world.opened()[0];
            let mut expected = vec!["eof", "closed Peer"];
            if !data.is_empty() {
                expected.insert(0, "data the last word");
            }
            assert_eq!(near.told(id), expected);
            near.assert_nothing_left();
        }
    }
}

#[test]
fn tls8_what_a_server_says_right_behind_its_handshake_is_heard() {
    let mut near = Near::new();
    let (mut far, id) = near.dial_far(server_config());
    near.turns("the hello", |_| {
        far.pull();
        far.tls.wants_write()
    });
    let mut flight = far.take_unsent();
    // By 1.3 a server may speak before it has heard the end of the handshake.
    flight.append(&mut far.records(b"welcome"));
    post(&far.stream, &flight);
    near.both(&mut far, "the welcome", |near, _| {
        near.world.data(id) == b"welcome"
    });
}

/// A record with data, and behind it one that somebody has changed on the way.
fn corrupted(far: &mut Far, data: &[u8]) -> Vec<u8> {
    let mut records = far.records(data);
    let mut changed = far.records(b"changed");
    *changed.last_mut().unwrap() ^= 1;
    records.append(&mut changed);
    records
}

fn assert_told_off(near: &mut Near, far: &mut Far) {
    near.both(far, "an alert", |_, far| {
        far.end.is_some() || far.error.is_some()
    });
    let alert = AlertDescription::BadRecordMac;
    assert_eq!(far.error, Some(Error::AlertReceived(alert)));
}

#[test]
fn tls8_data_before_a_corrupted_record_is_delivered_before_the_close() {
    for versions in VERSIONS {
        let mut near = Near::new();
        let (mut far, id) = near.open(client_of(versions, None));
        let records = corrupted(&mut far, b"good");
        post(&far.stream, &records);
        assert_told_off(&mut near, &mut far);
        far.stream.shutdown(Shutdown::Write).unwrap();
        near.turns("the close", |near| near.reason(id).is_some());
        assert_eq!(near.told(id), ["data good", "closed Tls"]);
        near.assert_nothing_left();
    }
}

/// An answer to what came before cannot be encrypted any more; that is no other reason.
#[test]
fn tls8_an_answer_changes_nothing_about_a_corrupted_record() {
    let mut near = Near::new();
    near.world.on_data = Some(Box::new(echo));
    let (mut far, id) = near.open(client_of(VERSIONS[1], None));
    let records = corrupted(&mut far, b"good");
    post(&far.stream, &records);
    assert_told_off(&mut near, &mut far);
    drop(far);
    near.turns("the close", |near| near.reason(id).is_some());
    assert_eq!(near.told(id), ["data good", "closed Tls"]);
}

/// Records with data, and behind them the alert of a far end that has heard what it could not
/// decrypt.
fn alerting(far: &mut Far, data: &[u8]) -> Vec<u8> {
    let mut records = far.records(data);
    far.hear(&[[23, 3, 3, 0, 40].as_slice(), &[0xA5; 40]].concat());
    assert!(far.error.is_some());
    records.append(&mut far.take_unsent());
    records
}

#[test]
fn tls8_data_before_an_alert_is_delivered_before_the_close() {
    for versions in VERSIONS {
        let mut near = Near::new();
        near.world.on_data = Some(Box::new(echo));
        let (mut far, id) = near.open(client_of(versions, None));
        let records = alerting(&mut far, b"good");
        post(&far.stream, &records);
        near.turns("the end", |near| !near.hub().is_open(id));
        drop(far);
        near.turns("the close", |near| near.reason(id).is_some());
        assert_eq!(near.told(id), ["data good", "closed Tls"]);
        near.assert_nothing_left();
    }
}

/// An error that is not come upon at once, since the application has paused or the budget of the
/// reading is spent, is not made another one by what the application sends meanwhile.
#[test]
fn tls8_an_error_that_waits_is_told_for_what_it_is() {
    for make in [corrupted, alerting as fn(&mut Far, &[u8]) -> Vec<u8>] {
        for pauses in [false, true] {
            let data = pattern(500);
            let config = Config {
                // All of it, and nothing more: the next look at it comes after what is sent.
                read_budget: make(&mut Near::new().client().0, &data).len(),
                ..Config::default()
            };
            let mut near = Near::of(config, listen(server()));
            near.world.on_data = Some(Box::new(move |hub, id, data| {
                if pauses {
                    hub.pause(id);
                }
                echo(hub, id, data)
            }));
            let (mut far, id) = near.open(client_of(VERSIONS[1], None));
            near.rest_with(&mut far);
            let records = make(&mut far, &data);
            post(&far.stream, &records);
            near.turns("the data", |near| near.world.data(id) == data);
            near.rest();
            near.hub().resume(id);
            near.turns("the end", |near| !near.hub().is_open(id));
            drop(far);
            near.turns("the close", |near| near.reason(id).is_some());
            assert_eq!(near.reason(id), Some(CloseReason::Tls), "paused: {pauses}");
        }
    }
}
