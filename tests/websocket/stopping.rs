//! The server stops: everybody is told, and nobody is waited for longer than was said.

use std::time::Duration;

use switchboard::CloseReason;
use switchboard::proto::websocket::OpCode;
use switchboard::websocket::{self, Code, Dial, Endpoint, Upgrade};

use crate::far::{End, Far, Frame, request};
use crate::served::{MILLI, SECOND, Served};

const DEADLINE: Duration = Duration::from_secs(5);

/// All far ends have gone, and so the loop ends.
fn assert_ends(served: &mut Served) {
    let drivers = [served.endpoint, served.dialler, served.http];
    served.turns("the end of all", |served| {
        drivers
            .iter()
            .all(|driver| served.hub().count(*driver) == 0)
    });
    // There is nothing left to wait for.
    let Served { reactor, app, .. } = served;
    reactor.run(app).expect("to end");
    assert_eq!(served.app.alive(), 0);
}

#[test]
fn all_are_told_1001_and_the_loop_ends_when_they_have_answered() {
    let mut served = Served::new();
    let mut members: Vec<_> = (0..20).map(|_| served.client()).collect();
    let mut dialled = served.dialled();
    let mut page = served.stranger();
    served.hub().shutdown(DEADLINE);
    for far in &mut members {
        let told = Frame::close(Code::AWAY, "the server stops");
        assert_eq!(served.frame(far), told);
    }
    assert_eq!(served.frame(&mut dialled).opcode, OpCode::Close);
    let answer = Frame::close(Code::AWAY, "");
    for far in &mut members {
        served.send(far, std::slice::from_ref(&answer));
        assert_eq!(served.read_to_end(far), (vec![], End::Fin));
    }
    served.send(&mut dialled, &[answer]);
    assert_eq!(served.read_text(&mut page).1, End::Fin);
    let ids: Vec<_> = members.iter().map(|far| far.id).collect();
    drop((members, dialled, page));
    assert_ends(&mut served);
    for id in ids {
        let ended = served.app.ended(id).unwrap();
        assert_eq!((ended.code, ended.clean), (1001, true));
    }
}

#[test]
fn who_does_not_answer_is_reset_at_the_deadline() {
    let mut served = Served::new();
    let mut far = served.client();
    let id = far.id;
    served.hub().shutdown(DEADLINE);
    let told = Frame::close(Code::AWAY, "the server stops");
    assert_eq!(served.frame(&mut far), told);
    served.advance(DEADLINE - MILLI);
    served.assert_silent(&mut far);
    served.advance(MILLI);
    assert_eq!(served.read_to_end(&mut far).1, End::Reset);
    let ended = served.app.ended(id).expect("the end");
    assert_eq!((ended.clean, ended.by), (false, CloseReason::Shutdown));
    assert_ends(&mut served);
}

#[test]
fn who_was_closing_already_is_told_nothing_else() {
    let mut served = Served::new();
    let mut far = served.client();
    websocket::close(served.hub(), far.id, Code(4000), "before");
    assert_eq!(served.frame(&mut far), Frame::close(Code(4000), "before"));
    served.hub().shutdown(DEADLINE);
    served.assert_silent(&mut far);
    served.send(&mut far, &[Frame::close(Code(4000), "")]);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
    drop(far);
    assert_ends(&mut served);
}

#[test]
fn farewells_of_callbacks_leave_before_the_close_of_others() {
    let mut served = Served::new();
    let (mut far, mut other) = (served.client(), served.client());
    let id = other.id;
    served.app.on_close = Some(Box::new(move |cx, ()| {
        assert!(!websocket::send(cx.hub(), id, "too late").is_taken());
    }));
    served.hub().shutdown(DEADLINE);
    for far in [&mut far, &mut other] {
        assert_eq!(served.frame(far).payload[..2], [3, 233]);
    }
    served.send(&mut far, &[Frame::close(Code::AWAY, "")]);
    let first = far.id;
    drop(far);
    served.until("the end", |app| app.ended(first).is_some());
    served.assert_silent(&mut other);
    drop(other);
    assert_ends(&mut served);
}

#[test]
fn who_waits_for_a_decision_is_answered_503() {
    let mut served = Served::new();
    served.app.on_upgrade = Some(Box::new(|_, _, _| Upgrade::Later));
    let mut far = served.stranger();
    served.post(&mut far, &request("/ws", ""));
    served.hub().shutdown(DEADLINE);
    let (text, end) = served.read_text(&mut far);
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert_eq!(end, End::Fin);
    drop(far);
    assert_ends(&mut served);
    assert!(served.app.events.is_empty());
}

#[test]
fn dials_under_way_have_failed() {
    let mut served = Served::new();
    let (mut asked, _) = served.dial(|dial| dial.ticket("asked"));
    let listener = crate::support::Listener::new();
    let dial = Dial::new(&format!("ws://{}/", listener.address())).unwrap();
    let dialler = served.dialler;
    Endpoint::<crate::app::App>::connect(served.hub(), dial.ticket("dialled"), dialler);
    served.hub().shutdown(DEADLINE);
    served.until("both", |app| app.failed().len() == 2);
    let mut failed = served.app.failed();
    failed.sort();
    assert_eq!(failed[0].0, Some("asked"));
    assert!(failed[0].1.ends_with(": we stop"), "{failed:?}");
    assert_eq!(failed[1].0, Some("dialled"));
    assert_eq!(served.read_text(&mut asked).1, End::Reset);
    drop(asked);
    assert_ends(&mut served);
}

#[test]
fn a_second_shutdown_may_be_in_more_of_a_hurry() {
    let mut served = Served::new();
    let mut far: Far = served.client();
    served.hub().shutdown(60 * SECOND);
    assert_eq!(served.frame(&mut far).payload[..2], [3, 233]);
    served.hub().shutdown(SECOND);
    served.rest();
    served.advance(SECOND);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Reset));
    assert_ends(&mut served);
}
