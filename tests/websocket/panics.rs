//! A panic in a callback costs its own connection, and nobody else anything.

use switchboard::websocket::{self, Dial, Endpoint, Upgrade};

use crate::app::App;
use crate::far::{End, Far, Frame, answer, request};
use crate::served::{SECOND, Served};
use crate::support::{Listener, reset};

/// What is sent to make a callback be called.
fn provoke(served: &mut Served, far: &mut Far, callback: &str) {
    match callback {
        "message" => served.send(far, &[Frame::text("bang"), Frame::text("not heard")]),
        "ping" => served.send(far, &[Frame::ping("")]),
        "pong" => served.send(far, &[Frame::pong("")]),
        "timer" => served.advance(SECOND),
        "post" => served.hub().post(far.id, Box::new("bang")),
        _ => {}
    }
}

/// Sets the hook of a callback.
fn arm(app: &mut App, callback: &str) {
    match callback {
        "message" => app.on_message = Some(Box::new(|_, _| panic!("as planned"))),
        "ping" => app.on_ping = Some(Box::new(|_, ()| panic!("as planned"))),
        "pong" => app.on_pong = Some(Box::new(|_, ()| panic!("as planned"))),
        "timer" => app.on_timer = Some(Box::new(|_, _| panic!("as planned"))),
        "post" => app.on_post = Some(Box::new(|_, ()| panic!("as planned"))),
        other => panic!("{other}"),
    }
}

fn disarm(app: &mut App) {
    app.on_message = None;
    app.on_ping = None;
    app.on_pong = None;
    app.on_timer = None;
    app.on_post = None;
}

#[test]
fn a_panic_ends_its_own_connection_and_is_told_to_nobody() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    for make in [Served::client, Served::dialled] {
        for callback in ["message", "ping", "pong", "timer", "post"] {
            served.app.on_open = Some(Box::new(|cx, _| {
                cx.set_timer(SECOND, 7);
                cx.subscribe("room");
                true
            }));
            let mut far = make(&mut served);
            let id = far.id;
            arm(&mut served.app, callback);
            provoke(&mut served, &mut far, callback);
            assert_eq!(served.read_to_end(&mut far).1, End::Reset, "{callback}");
            disarm(&mut served.app);
            served.turns("the end", |served| !served.hub().is_open(id));
            served.turn();
            assert_eq!(served.app.ended(id), None, "{callback}");
            assert_eq!(served.app.panicked.pop(), Some(id), "{callback}");
            assert_eq!(served.app.alive(), 1, "{callback}");
            assert_eq!(served.hub().subscribers("room"), 0, "{callback}");
            served.assert_serves(&mut witness);
        }
    }
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn a_panic_before_the_connection_is_open() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    served.app.on_upgrade = Some(Box::new(|_, _, _| panic!("as planned")));
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws", ""));
    assert_eq!(served.read_text(&mut far), (String::new(), End::Reset));
    served.app.on_upgrade = None;
    served.app.on_open = Some(Box::new(|_, _| panic!("as planned")));
    let mut far = served.stranger();
    served.write(&mut far, &request("/ws", ""));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    served.app.on_open = None;
    // After a decision that came later.
    served.app.on_upgrade = Some(Box::new(|_, _, _| Upgrade::Later));
    let mut far = served.stranger();
    served.post(&mut far, &request("/ws", ""));
    served.app.on_open = Some(Box::new(|_, _| panic!("as planned")));
    websocket::decide(served.hub(), far.id, websocket::Accept::new());
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    // And as a client.
    let (mut far, asked) = served.dial(|dial| dial.ticket("lost"));
    served.write(&mut far, &answer(&asked, ""));
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    assert_eq!(served.app.failed(), []);
    assert_eq!(served.app.opened(), [witness.id]);
    assert_eq!(served.app.panicked.len(), 4);
    served.assert_serves(&mut witness);
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn a_panic_when_a_backlog_has_drained() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    let mut far = served.client();
    let id = far.id;
    served.app.on_drain = Some(Box::new(|_, ()| panic!("as planned")));
    while websocket::send(served.hub(), id, &[0; 30_000][..]) != switchboard::Sent::Backlogged {}
    assert_eq!(served.read_to_end(&mut far).1, End::Reset);
    assert_eq!(served.app.ended(id), None);
    served.assert_serves(&mut witness);
}

#[test]
fn a_panic_at_the_end() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    served.app.on_close = Some(Box::new(|_, ()| panic!("as planned")));
    for make in [Served::client, Served::dialled] {
        let far = make(&mut served);
        let id = far.id;
        reset(far.stream);
        served.until("the end", |app| app.ended(id).is_some());
    }
    assert_eq!(served.app.alive(), 1);
    served.assert_serves(&mut witness);
    served.app.on_close = None;
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn a_panic_about_a_dial_that_failed() {
    let mut served = Served::quiet();
    let mut witness = served.client();
    served.app.on_dial_failed = Some(Box::new(|_| panic!("as planned")));
    // Nobody listens.
    let address = {
        let listener = Listener::new();
        listener.address()
    };
    let dial = Dial::new(&format!("ws://{address}/"))
        .unwrap()
        .ticket("one");
    let dialler = served.dialler;
    Endpoint::<App>::connect(served.hub(), dial, dialler);
    served.until("the first", |app| app.failed().len() == 1);
    // Somebody listens who does not agree.
    let (mut far, _) = served.dial(|dial| dial.ticket("two"));
    served.write(&mut far, b"HTTP/1.1 404 Not Found\r\n\r\n");
    assert_eq!(served.read_text(&mut far).1, End::Reset);
    // Or nobody answers.
    let (far, _) = served.dial(|dial| dial.ticket("three"));
    drop(far);
    served.until("the third", |app| app.failed().len() == 3);
    served.rest();
    let tickets: Vec<_> = served
        .app
        .failed()
        .into_iter()
        .map(|(ticket, _)| ticket)
        .collect();
    assert_eq!(tickets, [Some("one"), Some("two"), Some("three")]);
    served.assert_serves(&mut witness);
    drop(witness);
    served.assert_nothing_left();
}
