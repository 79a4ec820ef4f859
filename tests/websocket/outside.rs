//! What can be done about connections from outside of their callbacks.

use switchboard::websocket::{self, Accept, Code, Dial, Prepared, Upgrade};
use switchboard::{ConnId, Hub, Sent};

use crate::far::{Frame, answer};
use crate::served::Served;

fn all(hub: &mut Hub, endpoint: switchboard::DriverId) -> Vec<ConnId> {
    let mut all = Vec::new();
    websocket::for_each(hub, endpoint, |_, id| all.push(id));
    assert_eq!(websocket::count(hub, endpoint), all.len());
    all
}

#[test]
fn everybody_is_whoever_can_be_sent_to() {
    let mut served = Served::quiet();
    let endpoint = served.endpoint;
    assert_eq!(all(served.hub(), endpoint), []);
    let mut members: Vec<_> = (0..3).map(|_| served.client()).collect();
    let ids: Vec<_> = members.iter().map(|far| far.id).collect();
    assert_eq!(all(served.hub(), endpoint), ids);
    // One is closing, and one is not yet decided about.
    websocket::close(served.hub(), ids[0], Code::NORMAL, "");
    served.frame(&mut members[0]);
    served.app.on_upgrade = Some(Box::new(|_, _, _| Upgrade::Later));
    let mut undecided = served.stranger();
    let request = crate::far::request("/ws", "");
    served.write(&mut undecided, &request);
    served.until("the question", |app| app.asked.len() == 4);
    assert_eq!(all(served.hub(), endpoint), ids[1..]);
    websocket::decide(served.hub(), undecided.id, Accept::new());
    served.read_head(&mut undecided);
    assert_eq!(all(served.hub(), endpoint), [ids[1], ids[2], undecided.id]);
    // Who ends in the midst of it is left out.
    let mut seen = Vec::new();
    websocket::for_each(served.hub(), endpoint, |hub, id| {
        seen.push(id);
        hub.abort(ids[2]);
    });
    assert_eq!(seen, [ids[1], undecided.id]);
}

#[test]
fn nothing_is_sent_to_a_server_before_it_has_agreed() {
    let mut served = Served::quiet();
    let (mut far, head) = served.dial(|dial| dial);
    let (id, dialler) = (far.id, served.dialler);
    let hub = served.hub();
    assert_eq!(websocket::send(hub, id, "too early"), Sent::Closed);
    let prepared = Prepared::new("too early");
    assert_eq!(websocket::send_prepared(hub, id, &prepared), Sent::Closed);
    assert_eq!(all(hub, dialler), []);
    served.write(&mut far, &answer(&head, ""));
    served.until("the connection", |app| app.opened().contains(&id));
    assert_eq!(all(served.hub(), dialler), [id]);
    let hub = served.hub();
    let prepared = Prepared::new("in time");
    assert_eq!(websocket::send(hub, id, "in time"), Sent::Accepted);
    assert_eq!(websocket::send_prepared(hub, id, &prepared), Sent::Accepted);
    let expected = [Frame::text("in time"), Frame::text("in time")];
    assert_eq!(served.frames(&mut far, 2), expected);
    assert_ne!(far.keys[0], far.keys[1], "each frame has a mask of its own");
}

#[test]
fn both_sides_know_the_sub_protocol() {
    let mut served = Served::quiet();
    served.app.on_upgrade = Some(Box::new(|_, _, request| {
        let chosen = websocket::protocols(request).find(|name| name.starts_with("chat"));
        match chosen {
            Some(name) => Accept::new().protocol(name).into(),
            // It was not offered, and is therefore not answered.
            None => Accept::new().protocol("chat.v9").into(),
        }
    }));
    for (offered, agreed) in [
        (&["mqtt", "chat.v2", "chat.v1"][..], Some("chat.v2")),
        (&["mqtt"], None),
        (&[], None),
    ] {
        served.app.on_open = Some(Box::new(move |cx, _| {
            assert_eq!(cx.protocol(), agreed);
            true
        }));
        let dial = Dial::new(&format!("ws://{}/ws", served.address)).unwrap();
        let (dialler, before) = (served.dialler, served.app.opened().len());
        let dial = dial.protocols(offered);
        websocket::Endpoint::<crate::app::App>::connect(served.hub(), dial, dialler);
        served.until("both ends", |app| app.opened().len() == before + 2);
    }
}
