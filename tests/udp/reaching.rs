//! What reaches a session from elsewhere: timers, posts, topics, other threads, other protocols.

use std::io::Write;

use switchboard::{Kind, Owner, Publish, Published};

use crate::served::{Event, MILLI, Peer, SECOND, Served};
use crate::support::{pattern, read_some};

fn news<'a>(data: &'a [u8]) -> Publish<'a> {
    Publish {
        topic: "news",
        data,
        kind: Kind::Text,
        except: None,
    }
}

#[test]
fn timers_fire_for_their_session_and_end_with_it() {
    let mut served = Served::new();
    served.app.on_message = Some(Box::new(|cx, message| {
        cx.set_timer(SECOND, u32::from(message[0])).unwrap();
    }));
    served.app.on_timer = Some(Box::new(|cx, key| cx.send(&[key as u8]).ignore()));
    let (one, first) = served.meet();
    let (other, second) = served.meet();
    served.advance(SECOND - MILLI);
    assert_eq!(served.app.events.len(), 4);
    assert_eq!(served.advance(MILLI).timers, 2);
    let expected = [Event::Timer(first, 104), Event::Timer(second, 104)];
    assert_eq!(served.app.events[4..], expected);
    assert_eq!(served.receive(&one), b"h");
    assert_eq!(served.receive(&other), b"h");
    one.send(b"1");
    other.send(b"2");
    served.until_arrived(4);
    served.hub().close(first);
    served.turn();
    assert_eq!(served.advance(SECOND).timers, 1);
    assert_eq!(served.receive(&other), b"2");
    assert_eq!(one.receive(), None);
    assert_eq!(served.hub().pending_timers(), 1, "an idle time-out");
}

#[test]
fn posts_reach_sessions() {
    let mut served = Served::new();
    served.app.on_post = Some(Box::new(|cx| cx.send(b"news for you").ignore()));
    let (peer, id) = served.meet();
    let (_, other) = served.meet();
    served.hub().post(id, Box::new("a"));
    served.hub().post(other, Box::new("b"));
    served.turn();
    let expected = [Event::Posted(id, "a"), Event::Posted(other, "b")];
    assert_eq!(served.app.events[4..], expected);
    assert_eq!(served.receive(&peer), b"news for you");
    // To one that closes before it is told, a post is lost.
    served.hub().post(id, Box::new("c"));
    served.hub().close(id);
    let turn = served.turn();
    assert_eq!((turn.stale, turn.closes), (1, 1));
}

#[test]
fn jobs_of_other_threads_reach_sessions() {
    let mut served = Served::new();
    let (peer, id) = served.meet();
    let remote = served.reactor.remote();
    let thread = std::thread::spawn(move || {
        remote.post(move |_, hub| hub.send(id, b"from another thread").ignore())
    });
    thread.join().unwrap().unwrap();
    assert_eq!(served.receive(&peer), b"from another thread");
}

#[test]
fn what_is_published_reaches_each_subscriber_as_one_datagram() {
    let mut served = Served::new();
    served.app.on_open = Some(Box::new(|cx| cx.subscribe("news")));
    let peers: Vec<_> = (0..5).map(|_| served.meet()).collect();
    assert_eq!(served.hub().subscribers("news"), 5);
    // A small one is copied, a large one is shared; an empty one is one too.
    for data in [&b"tidings"[..], &pattern(65_507), b""] {
        let published = served.hub().publish(news(data));
        assert_eq!(
            published,
            Published {
                taken: 5,
                missed: 0
            }
        );
        for (peer, _) in &peers {
            assert_eq!(served.receive(peer), data);
        }
    }
    let except = Some(peers[0].1);
    served.hub().unsubscribe(peers[1].1, "news");
    served.hub().close(peers[2].1);
    let published = served.hub().publish(Publish {
        except,
        ..news(b"for two")
    });
    // Its close has been asked for and has yet to be told.
    assert_eq!(
        published,
        Published {
            taken: 2,
            missed: 1
        }
    );
    served.rest();
    for (number, (peer, _)) in peers.iter().enumerate() {
        let expected = (number > 2).then(|| b"for two".to_vec());
        assert_eq!(peer.receive(), expected, "{number}");
    }
    assert_eq!(served.hub().subscribers("news"), 3);
    let too_large = served.hub().publish(news(&pattern(65_508)));
    assert_eq!(
        too_large,
        Published {
            taken: 0,
            missed: 3
        }
    );
}

/// A topic does not ask by which protocol its members came.
#[test]
fn a_topic_reaches_tcp_and_udp_alike() {
    let mut served = Served::new();
    let mut client = served.tcp_client();
    let tcp = served.tcp;
    let connection = served.hub().ids(tcp)[0];
    served.hub().subscribe(connection, "news");
    served.app.on_message = Some(Box::new(|cx, message| {
        let published = cx.publish(Publish {
            except: None,
            ..news(message)
        });
        assert_eq!(published.missed, 0);
    }));
    let (peer, id) = served.meet();
    assert!(served.hub().subscribe(id, "news"));
    peer.send(b"both");
    assert_eq!(served.receive(&peer), b"both");
    let mut read = Vec::new();
    served.turns("the client's share", |_| {
        let mut buffer = [0; 64];
        if let Some(length) = read_some(&mut client, &mut buffer) {
            read.extend_from_slice(&buffer[..length]);
        }
        read == b"helloboth"
    });
    client.write_all(b"t").unwrap();
}

/// A datagram may begin a turn in which everything else is done about its session too.
#[test]
fn timers_of_a_closed_session_cannot_be_set() {
    let mut served = Served::new();
    let peer = Peer::of(served.address);
    served.app.on_message = Some(Box::new(|cx, _| {
        let id = cx.id();
        assert!(cx.set_timer(SECOND, 1).is_some());
        cx.close();
        assert_eq!(cx.set_timer(SECOND, 2), None);
        assert_eq!(cx.hub().set_timer(Owner::Conn(id), SECOND, 3), None);
        assert!(!cx.subscribe("news"));
    }));
    peer.send(b"x");
    served.until("the close", |app| !app.closed().is_empty());
    assert_eq!(served.hub().totals().panics, 0);
    assert_eq!(served.hub().pending_timers(), 0);
    assert_eq!(served.advance(SECOND).timers, 0);
}
