//! How a connection ends otherwise: without a close, by a reset, by us, or by a time-out.

use std::net::Shutdown;

use switchboard::websocket::{self, Code};
use switchboard::{CloseReason, Limits, Timeout};

use crate::app::Ended;
use crate::far::{End, Far, Frame, request};
use crate::served::{MILLI, SECOND, Served};
use crate::support::reset;

/// The connection has ended without a close.
fn assert_abnormal(served: &mut Served, far: &Far, by: CloseReason) {
    let id = far.id;
    served.until("the end", |app| app.ended(id).is_some());
    let expected = Ended {
        code: Code::ABNORMAL.0,
        reason: String::new(),
        clean: false,
        by,
    };
    assert_eq!(served.app.ended(id), Some(expected));
}

#[test]
fn an_end_without_a_close_is_abnormal() {
    let mut served = Served::quiet();
    let ends = [Served::client, Served::dialled];
    for make in ends {
        let mut far = make(&mut served);
        let id = far.id;
        served.send(&mut far, &[Frame::text("and then")]);
        far.stream.shutdown(Shutdown::Write).unwrap();
        assert_abnormal(&mut served, &far, CloseReason::Peer);
        assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
        assert_eq!(served.app.of(id), ["text and then"]);
    }
    served.assert_nothing_left();
}

#[test]
fn an_end_within_a_frame_or_a_message_is_abnormal_too() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let bytes = far.bytes(&[Frame::text("cut off"), Frame::text("here")]);
    served.write(&mut far, &bytes[..bytes.len() - 1]);
    far.stream.shutdown(Shutdown::Write).unwrap();
    assert_abnormal(&mut served, &far, CloseReason::Peer);
    assert_eq!(served.app.of(far.id), ["text cut off"]);
    let mut far = served.client();
    let begun = Frame::new(switchboard::proto::websocket::OpCode::Text, false, "cut");
    served.send(&mut far, &[begun]);
    far.stream.shutdown(Shutdown::Write).unwrap();
    assert_abnormal(&mut served, &far, CloseReason::Peer);
    assert!(served.app.of(far.id).is_empty());
}

#[test]
fn a_reset_is_abnormal() {
    let mut served = Served::quiet();
    for make in [Served::client, Served::dialled] {
        let far = make(&mut served);
        let id = far.id;
        reset(far.stream);
        served.until("the end", |app| app.ended(id).is_some());
        let ended = served.app.ended(id).unwrap();
        assert_eq!((ended.code, ended.clean), (1006, false));
        assert_eq!(ended.by, CloseReason::Reset);
    }
    served.assert_nothing_left();
}

#[test]
fn an_end_after_our_close_is_not_clean() {
    let mut served = Served::quiet();
    let mut far = served.client();
    let id = far.id;
    websocket::close(served.hub(), id, Code(4000), "");
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), ""));
    far.stream.shutdown(Shutdown::Write).unwrap();
    served.until("the end", |app| app.ended(id).is_some());
    let ended = served.app.ended(id).unwrap();
    assert_eq!((ended.clean, ended.by), (false, CloseReason::Peer));
    served.assert_nothing_left();
}

#[test]
fn an_abort_is_a_reset() {
    let mut served = Served::quiet();
    let mut far = served.client();
    served.app.on_message = Some(Box::new(|cx, _| {
        cx.abort();
        assert!(!cx.send("never").is_taken());
    }));
    served.send(&mut far, &[Frame::text("now"), Frame::text("not heard")]);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Reset));
    assert_abnormal(&mut served, &far, CloseReason::Aborted);
    assert_eq!(served.app.of(far.id), ["text now"]);
}

#[test]
fn who_has_been_idle_for_too_long_is_told_to_go() {
    let mut served = Served::limited(Limits {
        idle_timeout: Some(3 * SECOND),
        ..Limits::default()
    });
    let mut far = served.client();
    served.advance(3 * SECOND - MILLI);
    served.assert_silent(&mut far);
    served.advance(MILLI);
    let (frames, end) = served.read_to_end(&mut far);
    assert_eq!(frames, [Frame::close(Code::AWAY, "")]);
    assert_eq!(end, End::Fin);
    let id = far.id;
    drop(far);
    served.until("the end", |app| app.ended(id).is_some());
    let ended = served.app.ended(id).unwrap();
    let by = CloseReason::TimedOut(Timeout::Idle);
    assert_eq!((ended.by, ended.clean), (by, false));
    served.assert_nothing_left();
}

#[test]
fn a_slot_that_is_used_again_is_another_connection() {
    let mut served = Served::quiet();
    let far = served.client();
    let old = far.id;
    drop(far);
    served.until("the end", |app| app.ended(old).is_some());
    let mut far = served.client();
    assert_ne!(far.id, old);
    assert!(!websocket::send(served.hub(), old, "who?").is_taken());
    websocket::close(served.hub(), old, Code(4000), "");
    websocket::decide(served.hub(), old, websocket::Accept::new());
    served.assert_silent(&mut far);
    served.assert_serves(&mut far);
}

#[test]
fn a_client_that_goes_within_its_handshake_leaves_nothing() {
    let mut served = Served::quiet();
    let whole = request("/ws", "");
    for at in [1, whole.len() / 2, whole.len() - 1] {
        let mut far = served.stranger();
        served.write(&mut far, &whole[..at]);
        drop(far);
    }
    // It has gone before it was answered.
    let mut far = served.stranger();
    assert_eq!(far.write(&whole), whole.len());
    reset(far.stream);
    served.assert_nothing_left();
    assert!(served.app.closed().len() == served.app.opened().len());
}
