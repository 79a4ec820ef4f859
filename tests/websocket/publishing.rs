//! One message for many: framed once, for members of all kinds, in the order of the calls.

use switchboard::websocket::{self, Code};
use switchboard::{Hub, Kind, Publish, tcp};

use crate::far::{Far, Frame};
use crate::served::Served;

fn publish(hub: &mut Hub, topic: &str, data: &[u8], kind: Kind) -> (usize, usize) {
    let published = hub.publish(Publish {
        topic,
        data,
        kind,
        except: None,
    });
    (published.taken, published.missed)
}

/// Members of a room.
fn members(served: &mut Served, count: usize) -> Vec<Far> {
    served.app.on_open = Some(Box::new(|cx, _| {
        assert!(cx.subscribe("room") && !cx.subscribe("room"));
        true
    }));
    (0..count).map(|_| served.client()).collect()
}

#[test]
fn text_is_text_and_bytes_are_bytes() {
    let mut served = Served::quiet();
    let mut members = members(&mut served, 3);
    let mut outsider = {
        served.app.on_open = None;
        served.client()
    };
    let text = "gr\u{fc}\u{df}e".as_bytes();
    assert_eq!(publish(served.hub(), "room", text, Kind::Text), (3, 0));
    assert_eq!(publish(served.hub(), "room", text, Kind::Binary), (3, 0));
    // What is no text is not sent as such: that would cost each of them its connection.
    assert_eq!(publish(served.hub(), "room", b"\xff", Kind::Text), (3, 0));
    let long = vec![b'x'; 70_000];
    assert_eq!(publish(served.hub(), "room", &long, Kind::Text), (3, 0));
    assert_eq!(publish(served.hub(), "elsewhere", text, Kind::Text), (0, 0));
    let expected = [
        Frame::text(text),
        Frame::binary(text),
        Frame::binary(b"\xff"),
        Frame::text(&long),
    ];
    for far in &mut members {
        assert_eq!(served.frames(far, 4), expected);
    }
    served.assert_silent(&mut outsider);
}

#[test]
fn members_get_everything_in_the_order_of_the_calls() {
    let mut served = Served::quiet();
    let mut members = members(&mut served, 2);
    let ids = [members[0].id, members[1].id];
    served.app.on_message = Some(Box::new(move |cx, _| {
        for round in 0..10 {
            for id in ids {
                websocket::send(cx.hub(), id, &format!("{round} to you")).ignore();
            }
            let to_all = format!("{round} to all");
            publish(cx.hub(), "room", to_all.as_bytes(), Kind::Text);
        }
    }));
    served.send(&mut members[0], &[Frame::text("go")]);
    let expected: Vec<_> = (0..10)
        .flat_map(|round| {
            [
                Frame::text(format!("{round} to you")),
                Frame::text(format!("{round} to all")),
            ]
        })
        .collect();
    for far in &mut members {
        assert_eq!(served.frames(far, 20), expected);
    }
}

#[test]
fn the_author_may_be_left_out_and_members_may_leave() {
    let mut served = Served::quiet();
    let mut members = members(&mut served, 3);
    served.app.on_message = Some(Box::new(|cx, message| {
        if message.as_bytes() == b"leave" {
            assert!(cx.unsubscribe("room") && !cx.unsubscribe("room"));
            return;
        }
        let (data, except) = (message.as_bytes(), Some(cx.id()));
        cx.publish(Publish {
            topic: "room",
            data,
            kind: Kind::Text,
            except,
        });
    }));
    served.send(&mut members[0], &[Frame::text("hello")]);
    for far in &mut members[1..] {
        assert_eq!(served.frame(far), Frame::text("hello"));
    }
    served.send(&mut members[1], &[Frame::text("leave")]);
    served.send(&mut members[0], &[Frame::text("again")]);
    assert_eq!(served.frame(&mut members[2]), Frame::text("again"));
    for far in &mut members[..2] {
        served.assert_silent(far);
    }
    assert_eq!(served.hub().subscribers("room"), 2);
    drop(members);
    served.assert_nothing_left();
    assert_eq!(served.hub().subscribers("room"), 0);
}

#[test]
fn who_is_closing_is_missed() {
    let mut served = Served::quiet();
    let mut members = members(&mut served, 4);
    let ids: Vec<_> = members.iter().map(|far| far.id).collect();
    // One has sent its close, one has been sent ours, one is gone by a reset.
    served.send(&mut members[0], &[Frame::close(Code::NORMAL, "")]);
    websocket::close(served.hub(), ids[1], Code(4000), "");
    assert_eq!(served.frame(&mut members[1]), Frame::close(Code(4000), ""));
    served.hub().abort(ids[2]);
    let (taken, missed) = publish(served.hub(), "room", b"news", Kind::Text);
    assert_eq!((taken, missed), (1, 3));
    assert_eq!(served.frame(&mut members[3]), Frame::text("news"));
    served.assert_silent(&mut members[1]);
    let close = Frame::close(Code::NORMAL, "");
    assert_eq!(served.read_to_end(&mut members[0]).0, [close]);
}

/// Lines of text, beside WebSocket.
impl tcp::Handler<tcp::Lines> for crate::app::App {
    type Conn = ();

    fn on_open(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>) -> Option<()> {
        cx.subscribe("room");
        Some(())
    }

    fn on_message(&mut self, cx: &mut tcp::Cx<'_, tcp::Lines>, (): &mut (), line: &[u8]) {
        publish(cx.hub(), "room", line, Kind::Text);
    }
}

#[test]
fn members_of_another_protocol_get_it_framed_their_own_way() {
    let mut served = Served::quiet();
    let lines = served
        .reactor
        .add_driver(tcp::Framed::new(tcp::Lines::default()));
    let mut members = members(&mut served, 1);
    let mut peer = switchboard::testing::Peer::connect(&mut served.reactor, lines).unwrap();
    peer.send(&mut served.reactor, &mut served.app, b"hello\n");
    let heard = peer.receive(&mut served.reactor, &mut served.app, 6);
    assert_eq!(heard, b"hello\n");
    assert_eq!(served.frame(&mut members[0]), Frame::text("hello"));
}
