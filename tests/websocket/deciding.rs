//! Who may connect is the application's decision: at once, or when it knows.

use std::net::Shutdown;

use switchboard::http::Response;
use switchboard::websocket::{self, Accept, Code, Upgrade};
use switchboard::{CloseReason, ConnId, Driver, Hub, Origin, Owner, Sent};

use crate::app::App;
use crate::far::{End, Far, Frame, field, request};
use crate::served::{SECOND, Served};
use crate::support::reset;

/// A client whose handshake waits for a decision.
fn waiting(served: &mut Served) -> Far {
    served.app.on_upgrade = Some(Box::new(|_, _, _| Upgrade::Later));
    let mut far = served.stranger();
    served.post(&mut far, &request("/ws?who=me", ""));
    assert_eq!(served.app.asked.last(), Some(&far.id));
    served.assert_silent(&mut far);
    far
}

/// The handshake has been answered.
fn assert_accepted(served: &mut Served, far: &mut Far) {
    let (head, behind) = served.read_head(far);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(behind, b"");
    served.assert_serves(far);
}

#[test]
fn the_application_sees_what_was_asked() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, request| {
        assert_eq!(request.path(), "/ws");
        assert_eq!(request.query_value("who").as_deref(), Some("me"));
        assert_eq!(request.cookie("session"), Some("abc"));
        assert_eq!(request.client().map(|ip| ip.is_loopback()), Some(true));
        Accept::new().field("Set-Cookie", "seen=1").into()
    }));
    served.app.on_open = Some(Box::new(|cx, request| {
        assert_eq!(request.cookie("session"), Some("abc"));
        assert_eq!(request.client().map(|ip| ip.is_loopback()), Some(true));
        cx.send("welcome").ignore();
        true
    }));
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws?who=me", "Cookie: session=abc\r\n"));
    let (head, behind) = served.read_head(&mut far);
    assert_eq!(field(&head, "Set-Cookie"), Some("seen=1"));
    far.hold(&behind);
    assert_eq!(served.frame(&mut far), Frame::text("welcome"));
}

/// As it would be in a handler of HTTP: by the path of the mount, and behind a proxy.
#[test]
fn the_application_sees_where_it_was_asked_and_by_whom() {
    let mut served = Served::quiet();
    fn look(request: &switchboard::http::Request<'_>) {
        assert_eq!(request.path(), "/4th%20floor/rooms/attic/left");
        assert_eq!(request.param("floor").as_deref(), Some("4th floor"));
        assert_eq!(request.rest(), "attic/left");
        assert_eq!(request.client().unwrap().to_string(), "9.9.9.9");
        assert_eq!(request.peer().unwrap().to_string(), "127.0.0.1");
    }
    served.app.on_upgrade = Some(Box::new(|_, _, request| {
        look(request);
        Upgrade::Later
    }));
    served.app.on_open = Some(Box::new(|_, request| {
        look(request);
        true
    }));
    let mut far = served.stranger();
    let target = "/4th%20floor/rooms/attic/left";
    served.post(&mut far, &request(target, "X-Forwarded-For: 9.9.9.9\r\n"));
    websocket::decide(served.hub(), far.id, Accept::new());
    assert_accepted(&mut served, &mut far);
}

#[test]
fn a_sub_protocol_is_one_that_was_offered() {
    let mut served = Served::quiet();
    for (offered, chosen, answered) in [
        ("Sec-WebSocket-Protocol: a, b\r\n", "b", Some("b")),
        (
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n",
            "b",
            Some("b"),
        ),
        ("Sec-WebSocket-Protocol: a, b\r\n", "c", None),
        ("Sec-WebSocket-Protocol: ab\r\n", "a", None),
        ("Sec-WebSocket-Protocol: a, b\r\n", "a, b", None),
        ("", "a", None),
        ("", "", None),
    ] {
        served.app.on_upgrade = Some(Box::new(move |_, _, request| {
            let names: Vec<_> = websocket::protocols(request).collect();
            let expected: Vec<_> = ["a", "b", "ab"]
                .into_iter()
                .filter(|name| {
                    offered.contains(&format!(" {name}\r"))
                        || offered.contains(&format!(" {name},"))
                })
                .collect();
            assert_eq!(names, expected, "{offered}");
            Accept::new().protocol(chosen).into()
        }));
        let mut far = served.stranger();
        served.write(&mut far, &request("/ws", offered));
        let (head, _) = served.read_head(&mut far);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(
            field(&head, "Sec-WebSocket-Protocol"),
            answered,
            "{offered}{chosen}"
        );
        served.assert_serves(&mut far);
    }
}

#[test]
fn a_refusal_is_an_answer_and_the_end() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, _| {
        let response = Response::text(401, "who are you?").field("WWW-Authenticate", "Basic");
        Upgrade::Refuse(response)
    }));
    let mut far = served.stranger();
    // What comes behind it is no frame, and no request.
    let frames = far.bytes(&[Frame::text("let me in")]);
    let behind = [request("/ws", ""), frames, request("/", "")].concat();
    served.write(&mut far, &behind);
    let (text, end) = served.read_text(&mut far);
    assert_eq!(end, End::Fin);
    assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
    assert_eq!(field(&text, "WWW-Authenticate"), Some("Basic"));
    assert_eq!(field(&text, "Content-Length"), Some("12"));
    assert_eq!(field(&text, "Connection"), Some("close"));
    assert!(text.ends_with("\r\n\r\nwho are you?"), "{text}");
    drop(far);
    assert!(served.app.events.is_empty(), "{:?}", served.app.events);
    served.assert_nothing_left();
}

#[test]
fn on_open_may_still_refuse() {
    let mut served = Served::quiet();
    served.app.on_open = Some(Box::new(|_, _| false));
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws", ""));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    assert!(served.app.events.is_empty(), "{:?}", served.app.events);
    served.assert_nothing_left();
}

#[test]
fn what_is_decided_later_is_done_then() {
    let mut served = Served::quiet();
    let mut far = waiting(&mut served);
    let id = far.id;
    served.advance(SECOND);
    served.assert_silent(&mut far);
    let accept = Accept::new().field("X-Late", "yes");
    websocket::decide(served.hub(), id, accept);
    // Only the first word counts.
    websocket::decide(served.hub(), id, Upgrade::Refuse(Response::plain(403)));
    let (head, _) = served.read_head(&mut far);
    assert_eq!(field(&head, "X-Late"), Some("yes"));
    served.assert_serves(&mut far);
    websocket::decide(served.hub(), id, Accept::new());
    served.assert_serves(&mut far);
    assert_eq!(served.app.opened(), [id]);

    let mut other = waiting(&mut served);
    let refused = Upgrade::Refuse(Response::text(403, "no"));
    websocket::decide(served.hub(), other.id, refused);
    let (text, end) = served.read_text(&mut other);
    assert!(
        text.starts_with("HTTP/1.1 403 ") && end == End::Fin,
        "{text}"
    );
    drop((far, other));
    served.assert_nothing_left();
}

#[test]
fn a_decision_may_be_put_off_again() {
    let mut served = Served::quiet();
    let mut far = waiting(&mut served);
    websocket::decide(served.hub(), far.id, Upgrade::Later);
    served.assert_silent(&mut far);
    websocket::decide(served.hub(), far.id, Accept::new());
    assert_accepted(&mut served, &mut far);
}

#[test]
fn a_timer_may_decide() {
    let mut served = Served::quiet();
    served.reactor.on_timer(|app, hub, key| {
        assert_eq!(key, 7);
        websocket::decide(hub, app.asked[0], Accept::new());
    });
    let mut far = waiting(&mut served);
    served.hub().set_timer(Owner::App, SECOND, 7);
    served.advance(SECOND);
    assert_accepted(&mut served, &mut far);
}

#[test]
fn another_connection_may_decide() {
    let mut served = Served::quiet();
    let mut host = served.client();
    let mut far = waiting(&mut served);
    let guest = far.id;
    served.app.on_message = Some(Box::new(move |cx, _| {
        websocket::decide(cx.hub(), guest, Accept::new());
    }));
    served.send(&mut host, &[Frame::text("let them in")]);
    assert_accepted(&mut served, &mut far);
    served.assert_serves(&mut host);
}

#[test]
fn another_thread_may_decide() {
    let mut served = Served::quiet();
    let mut far = waiting(&mut served);
    let (remote, id) = (served.reactor.remote(), far.id);
    let thread = std::thread::spawn(move || {
        remote.post(move |_, hub| websocket::decide(hub, id, Accept::new()))
    });
    thread.join().unwrap().unwrap();
    assert_accepted(&mut served, &mut far);
}

#[test]
fn a_client_that_has_gone_is_not_waited_for() {
    // A reset is noticed while the decision is pending; the decision then is about nobody.
    let mut served = Served::quiet();
    let far = waiting(&mut served);
    let id = far.id;
    reset(far.stream);
    served.turns("the end", |served| !served.hub().is_open(id));
    websocket::decide(served.hub(), id, Accept::new());
    served.rest();
    assert!(served.app.events.is_empty(), "{:?}", served.app.events);

    // One that has only finished is noticed when reading begins.
    let mut far = waiting(&mut served);
    let id = far.id;
    far.stream.shutdown(Shutdown::Write).unwrap();
    served.rest();
    websocket::decide(served.hub(), id, Accept::new());
    let (head, _) = served.read_head(&mut far);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    served.until("the end", |app| app.ended(id).is_some());
    let ended = served.app.ended(id).unwrap();
    assert_eq!(
        (ended.code, ended.clean, ended.by),
        (1006, false, CloseReason::Peer)
    );

    let far = waiting(&mut served);
    let id = far.id;
    far.stream.shutdown(Shutdown::Write).unwrap();
    served.rest();
    let refused = Upgrade::Refuse(Response::plain(403));
    websocket::decide(served.hub(), id, refused);
    served.turns("the end", |served| !served.hub().is_open(id));
    drop(far);
    served.assert_nothing_left();
}

#[test]
fn messages_right_behind_the_request_wait_for_the_decision() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, _| Upgrade::Later));
    let mut far = served.stranger();
    let first = [Frame::text("first"), Frame::binary(vec![1; 40_000])];
    let whole = [request("/ws", ""), far.bytes(&first)].concat();
    served.post(&mut far, &whole);
    let second = far.bytes(&[Frame::text("third")]);
    served.post(&mut far, &second);
    let id = far.id;
    assert_eq!(served.app.asked, [id]);
    assert!(served.app.events.is_empty());
    served.assert_silent(&mut far);
    websocket::decide(served.hub(), id, Accept::new());
    served.until("the messages", |app| app.of(id).len() == 3);
    let told = served.app.of(id);
    assert_eq!((&*told[0], &*told[2]), ("text first", "text third"));
    assert_accepted(&mut served, &mut far);
}

#[test]
fn a_decision_is_made_about_each_by_itself() {
    let mut served = Served::quiet();
    let mut waiting: Vec<_> = (0..10).map(|_| waiting(&mut served)).collect();
    let ids: Vec<_> = waiting.iter().map(|far| far.id).collect();
    assert_eq!(served.app.asked, ids);
    for (at, id) in ids.iter().enumerate().rev() {
        let upgrade = match at % 2 {
            0 => Upgrade::Refuse(Response::plain(403)),
            _ => Accept::new().into(),
        };
        websocket::decide(served.hub(), *id, upgrade);
    }
    for (at, far) in waiting.iter_mut().enumerate() {
        let (head, _) = served.read_head(far);
        let status = if at % 2 == 0 { "403" } else { "101" };
        assert_eq!(head.split(' ').nth(1), Some(status), "{at}");
    }
    assert_eq!(served.app.opened().len(), 5);
    drop(waiting);
    served.assert_nothing_left();
}

/// Neither what is sent to it nor what is sent to all.
#[test]
fn nothing_comes_before_the_answer_to_who_is_being_asked_about() {
    let mut served = Served::quiet();
    let endpoint = served.endpoint;
    served.app.on_upgrade = Some(Box::new(move |hub, id, _| {
        assert_eq!(websocket::send(hub, id, "early"), Sent::Closed);
        websocket::for_each(hub, endpoint, |hub, id| {
            websocket::send(hub, id, "somebody comes").ignore();
        });
        Accept::new().into()
    }));
    let mut first = served.stranger();
    served.write(&mut first, &request("/ws", ""));
    assert_accepted(&mut served, &mut first);
    let mut second = served.stranger();
    served.write(&mut second, &request("/ws", ""));
    assert_accepted(&mut served, &mut second);
    assert_eq!(served.frame(&mut first), Frame::text("somebody comes"));
}

#[test]
fn a_close_has_all_its_time_though_the_decision_came_late() {
    let mut served = Served::quiet();
    let mut far = waiting(&mut served);
    let id = far.id;
    websocket::decide(served.hub(), id, Accept::new());
    assert_accepted(&mut served, &mut far);
    served.advance(29 * SECOND);
    websocket::close(served.hub(), id, Code::NORMAL, "bye");
    assert_eq!(served.frame(&mut far), Frame::close(Code::NORMAL, "bye"));
    // Thirty seconds were allowed for the decision, ten are for the answer.
    served.advance(9 * SECOND);
    served.assert_silent(&mut far);
    served.send(&mut far, &[Frame::close(Code::NORMAL, "")]);
    assert_eq!(served.read_to_end(&mut far), (vec![], End::Fin));
}

/// A client is refused, and a dial comes to nothing.
#[test]
fn a_close_before_there_is_a_connection_is_not_forgotten() {
    let mut served = Served::quiet();
    let mut far = waiting(&mut served);
    let id = far.id;
    websocket::close(served.hub(), id, Code::POLICY, "no");
    served.rest();
    websocket::decide(served.hub(), id, Accept::new());
    let (text, end) = served.read_text(&mut far);
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert_eq!(end, End::Fin);
    drop(far);

    let (mut far, _) = served.dial(|dial| dial.ticket("closed"));
    let id = far.id;
    websocket::close(served.hub(), id, Code::NORMAL, "no");
    served.until("the failure", |app| !app.failed().is_empty());
    assert_eq!(served.app.failed()[0].0, Some("closed"));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    assert!(served.app.opened().is_empty());
    drop(far);
    served.assert_nothing_left();
}

#[test]
fn whoever_is_closed_while_it_is_asked_about_is_never_open() {
    for close in [Hub::close, Hub::abort] {
        let mut served = Served::quiet();
        served.app.on_upgrade = Some(Box::new(move |hub, id, _| {
            close(hub, id);
            Accept::new().into()
        }));
        let mut far = served.stranger();
        served.post(&mut far, &request("/ws", ""));
        served.rest();
        assert!(served.app.opened().is_empty());
        assert_eq!(served.read_text(&mut far).0, "");
        drop(far);
        served.assert_nothing_left();
    }
}

/// What the next driver sends is its own affair.
#[test]
fn a_connection_may_be_handed_on_before_it_is_decided_about() {
    struct Other;

    impl Driver<App> for Other {
        fn on_open(&mut self, _: &mut App, hub: &mut Hub, id: ConnId, _: Origin) {
            assert_eq!(hub.send(id, b"another protocol"), Sent::Accepted);
            hub.close(id);
        }

        fn on_data(&mut self, _: &mut App, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
            data.len()
        }

        fn on_close(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: CloseReason) {}
    }

    let mut served = Served::quiet();
    let other = served.reactor.add_driver(Other);
    served.app.on_upgrade = Some(Box::new(move |hub, id, _| {
        hub.hand_over(id, other);
        Upgrade::Later
    }));
    let mut far = served.stranger();
    served.post(&mut far, &request("/ws", ""));
    assert_eq!(served.read_text(&mut far).0, "another protocol");
}
