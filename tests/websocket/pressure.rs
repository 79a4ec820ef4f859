//! Members that read slowly or not at all: what is kept for them is bounded, and it is they who pay.

use switchboard::websocket::{self, Code};
use switchboard::{CloseReason, Hub, Kind, Limits, Overflow, Publish, Sent};

use crate::alone::alone;
use crate::far::{End, Far, Frame};
use crate::served::Served;

fn served(overflow: Overflow, max_backlog: usize) -> Served {
    Served::limited(Limits {
        overflow,
        max_backlog,
        ..Limits::default()
    })
}

/// A message that says which it is.
fn numbered(number: usize) -> Vec<u8> {
    let mut data = vec![b'.'; 8 * 1024];
    data[..8].copy_from_slice(format!("{number:08}").as_bytes());
    data
}

fn number_of(frame: &Frame) -> usize {
    assert_eq!(frame.payload.len(), 8 * 1024, "{frame:?}");
    let text = std::str::from_utf8(&frame.payload[..8]).unwrap();
    text.parse().expect("a number")
}

fn publish(hub: &mut Hub, number: usize) -> (usize, usize) {
    let published = hub.publish(Publish {
        topic: "room",
        data: &numbered(number),
        kind: Kind::Binary,
        except: None,
    });
    (published.taken, published.missed)
}

/// Sends until the backlog says so; returns how many messages that were.
fn fill(served: &mut Served, far: &Far) -> usize {
    for number in 0..10_000 {
        let sent = websocket::send(served.hub(), far.id, &numbered(number)[..]);
        assert!(sent.is_taken(), "{sent:?}");
        if sent == Sent::Backlogged {
            served.rest();
            let id = far.id;
            if served.hub().backlog(id) > Limits::default().high_water {
                return number + 1;
            }
        }
    }
    panic!("the kernel takes everything");
}

#[test]
fn above_the_high_mark_a_send_says_so_and_on_drain_follows_once() {
    let mut served = served(Overflow::Close, 1 << 20);
    let mut far = served.client();
    let id = far.id;
    let sent = fill(&mut served, &far);
    assert!(served.app.of(id).is_empty());
    served.app.on_drain = Some(Box::new(|cx, ()| cx.send("go on").ignore()));
    let frames = served.frames(&mut far, sent + 1);
    assert!(frames[..sent].iter().map(number_of).eq(0..sent));
    assert_eq!(frames[sent], Frame::text("go on"));
    assert_eq!(served.app.of(id), ["drained"]);
    served.assert_serves(&mut far);
}

#[test]
fn who_does_not_read_is_not_read_from() {
    let mut served = served(Overflow::Close, 1 << 20);
    let mut far = served.client();
    let id = far.id;
    let sent = fill(&mut served, &far);
    let asked = far.bytes(&[Frame::text("one"), Frame::close(Code(4000), "")]);
    served.post(&mut far, &asked);
    assert!(served.app.of(id).is_empty());
    let (frames, end) = served.read_to_end(&mut far);
    assert!(frames[..sent].iter().map(number_of).eq(0..sent));
    assert_eq!(frames[sent..], [Frame::close(Code(4000), "")]);
    assert_eq!(end, End::Fin);
    assert_eq!(served.app.of(id), ["drained", "text one"]);
}

#[test]
fn at_the_most_the_connection_is_reset() {
    let mut served = served(Overflow::Close, 256 * 1024);
    let mut witness = served.client();
    let far = served.client();
    let id = far.id;
    let sent = (0..10_000).find(|number| {
        let sent = websocket::send(served.hub(), id, &numbered(*number)[..]);
        served.turn();
        !sent.is_taken()
    });
    assert!(sent.is_some(), "the kernel takes everything");
    served.until("the end", |app| app.ended(id).is_some());
    let ended = served.app.ended(id).unwrap();
    assert_eq!((ended.code, ended.clean), (1006, false));
    assert_eq!(ended.by, CloseReason::Overflow);
    served.assert_serves(&mut witness);
    drop((far, witness));
    served.assert_nothing_left();
}

#[test]
fn or_messages_are_dropped_and_those_that_come_are_whole() {
    let mut served = served(Overflow::Drop, 256 * 1024);
    let mut far = served.client();
    let id = far.id;
    let (mut taken, mut dropped) = (Vec::new(), 0);
    for number in 0..1_000 {
        match websocket::send(served.hub(), id, &numbered(number)[..]) {
            Sent::Accepted | Sent::Backlogged => taken.push(number),
            Sent::Dropped => dropped += 1,
            other => panic!("{other:?}"),
        }
        served.turn();
        assert!(served.hub().backlog(id) <= 256 * 1024 + 9 * 1024);
    }
    assert!(dropped > 100, "the kernel takes everything");
    assert_eq!(served.hub().totals().dropped, dropped);
    let frames = served.frames(&mut far, taken.len());
    assert!(frames.iter().map(number_of).eq(taken));
    served.assert_serves(&mut far);
}

#[test]
fn a_close_behind_a_backlog_is_sent_behind_it() {
    let mut served = served(Overflow::Close, 1 << 20);
    let mut far = served.client();
    let sent = fill(&mut served, &far);
    websocket::close(served.hub(), far.id, Code(4000), "last");
    served.rest();
    let frames = served.frames(&mut far, sent + 1);
    assert_eq!(frames[sent], Frame::close(Code(4000), "last"));
}

/// Nothing follows it, so that the bound does not stand in its way, whatever the policy.
#[test]
fn a_close_is_answered_behind_a_backlog_that_is_full() {
    for overflow in [Overflow::Close, Overflow::Drop] {
        let mut served = Served::limited(Limits {
            overflow,
            max_backlog: 100_000,
            full_duplex: true,
            ..Limits::default()
        });
        let mut far = served.client();
        let (id, mut sent) = (far.id, 0);
        while served.hub().backlog(id) < 100_000 {
            sent += 1;
            let data = &numbered(sent)[..];
            assert!(websocket::send(served.hub(), id, data).is_taken());
            served.rest();
        }
        let close = far.bytes(&[Frame::close(Code(4000), "bye")]);
        served.post(&mut far, &close);
        let frames = served.frames(&mut far, sent + 1);
        assert_eq!(frames[sent], Frame::close(Code(4000), ""));
    }
}

#[test]
fn who_neither_reads_nor_closes_has_ten_seconds_for_it() {
    let mut served = served(Overflow::Close, 1 << 20);
    let far = served.client();
    let id = far.id;
    fill(&mut served, &far);
    websocket::close(served.hub(), id, Code(4000), "last");
    served.rest();
    served.advance(10 * crate::served::SECOND - crate::served::MILLI);
    assert_eq!(served.app.ended(id), None);
    served.advance(crate::served::MILLI);
    assert_eq!(served.app.ended(id).unwrap().by, CloseReason::Aborted);
    assert_eq!(served.hub().backlog(id), 0);
}

/// What two hundred that do not read do to two hundred that do.
fn beside(overflow: Overflow) {
    const EACH: usize = 200;
    // More than the kernel keeps for one, and what we keep for it.
    const MESSAGES: usize = 150;
    let mut served = served(overflow, 64 * 1024);
    served.app.on_open = Some(Box::new(|cx, _| cx.subscribe("room")));
    let deaf: Vec<_> = (0..EACH)
        .map(|_| {
            let far = served.client();
            let buffer = socket2::SockRef::from(&far.stream).set_recv_buffer_size(4096);
            buffer.unwrap();
            far
        })
        .collect();
    let mut readers: Vec<_> = (0..EACH).map(|_| served.client()).collect();
    let mut missed = 0;
    let mut read: Vec<usize> = vec![0; EACH];
    for number in 0..MESSAGES {
        let published = publish(served.hub(), number);
        missed += published.1;
        let mut left: Vec<_> = (0..EACH).collect();
        served.turns("the readers", |_| {
            left.retain(|at| {
                let (_, end) = readers[*at].fill();
                assert_eq!(end, None);
                for frame in readers[*at].frames() {
                    assert_eq!(number_of(&frame), read[*at]);
                    read[*at] += 1;
                }
                read[*at] <= number
            });
            left.is_empty()
        });
        for far in &deaf {
            let id = far.id;
            assert!(served.hub().backlog(id) <= 64 * 1024 + 9 * 1024);
        }
    }
    assert!(missed >= EACH, "{missed} were missed");
    let ended = served.app.closed();
    match overflow {
        Overflow::Close => assert_eq!(ended.len(), EACH),
        Overflow::Drop => assert_eq!(ended, []),
    }
    for (id, ended) in ended {
        assert!(deaf.iter().any(|far| far.id == id));
        assert_eq!(ended.by, CloseReason::Overflow);
    }
    for far in &mut readers {
        served.assert_serves(far);
    }
    drop((deaf, readers));
    served.assert_nothing_left();
}

#[test]
fn two_hundred_that_never_read_cost_two_hundred_readers_nothing() {
    alone(4_000, || beside(Overflow::Close));
}

#[test]
fn nor_if_messages_are_dropped_for_them() {
    alone(4_000, || beside(Overflow::Drop));
}
