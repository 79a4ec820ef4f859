//! Server-Sent Events: streams of them, and what is published to all who subscribed.

use std::net::{Shutdown, TcpStream};

use switchboard::http::{self, Cx, Event, Mount, Request, RequestId};
use switchboard::{Hub, Kind, Publish};

use crate::mounts::App;
use crate::served::{End, SECOND, Served, request};
use crate::support::reset;

/// Begins a stream, and another event every second.
struct News;

impl Mount<App> for News {
    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>) {
        app.parked.push(cx.id());
        assert!(cx.start_events().is_taken());
        if let Some(last) = request.header("Last-Event-ID") {
            cx.event(&Event {
                id: Some(last),
                ..Event::new("welcome back")
            })
            .ignore();
        }
        assert_eq!(cx.subscribe("news"), request.method() == "GET");
        assert!(cx.set_timer(SECOND, 0).is_some());
    }

    fn on_timer(&mut self, _: &mut App, cx: &mut Cx<'_>, key: u32) {
        cx.event(&Event {
            name: Some("tick"),
            ..Event::new("a\nb")
        })
        .ignore();
        assert!(cx.set_timer(SECOND, key + 1).is_some());
    }

    fn on_abort(&mut self, app: &mut App, _: &mut Hub, _: RequestId) {
        app.drains += 1;
    }
}

fn served() -> Served {
    Served::of(App::default(), http::Server::new().mount("/news", News))
}

/// A client that reads events, and what it was told first.
fn reader(served: &mut Served, fields: &str) -> (TcpStream, String) {
    let mut client = served.connect();
    served.write(&mut client, &request("GET /news", fields, ""));
    let (received, end) = served.peek(&mut client);
    assert_eq!(end, None);
    (client, String::from_utf8(received).unwrap())
}

fn publish(served: &mut Served, text: &str) -> usize {
    let (topic, data) = ("news", text.as_bytes());
    let publish = Publish {
        topic,
        data,
        kind: Kind::Text,
        except: None,
    };
    served.hub().publish(publish).taken
}

fn read(served: &mut Served, client: &mut TcpStream) -> String {
    String::from_utf8(served.peek(client).0).unwrap()
}

#[test]
fn a_stream_begins_with_its_type_and_without_an_end() {
    let mut served = served();
    let (mut client, head) = reader(&mut served, "Last-Event-ID: 7\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"),
        "{head}"
    );
    for field in [
        "Cache-Control: no-cache",
        "Connection: close",
        "X-Accel-Buffering: no",
    ] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
    }
    assert!(
        !head.contains("Transfer-Encoding") && !head.contains("Content-Length"),
        "{head}"
    );
    assert!(
        head.ends_with("\r\n\r\nid: 7\ndata: welcome back\n\n"),
        "{head}"
    );
    served.advance(SECOND);
    assert_eq!(
        read(&mut served, &mut client),
        "event: tick\ndata: a\ndata: b\n\n"
    );
    let id = served.app.parked[0];
    let event = Event {
        id: Some("8"),
        retry: Some(100),
        ..Event::new("posted")
    };
    http::event(served.hub(), id, &event);
    assert_eq!(
        read(&mut served, &mut client),
        "id: 8\nretry: 100\ndata: posted\n\n"
    );
    http::finish(served.hub(), id);
    assert_eq!(served.read_to_end(&mut client), (vec![], End::Fin));
    drop(client);
    served.assert_nothing_left();
    assert_eq!(
        served.app.drains, 0,
        "a stream that was finished is not aborted"
    );
}

#[test]
fn what_is_published_reaches_all_subscribers_as_an_event() {
    let mut served = served();
    let mut readers: Vec<_> = (0..5).map(|_| reader(&mut served, "").0).collect();
    assert_eq!(publish(&mut served, "one\r\ntwo\rthree\n\nid: 9"), 5);
    let expected = "data: one\ndata: two\ndata: three\ndata: \ndata: id: 9\n\n";
    for client in &mut readers {
        assert_eq!(read(&mut served, client), expected);
    }
    drop(readers.pop());
    reset(readers.pop().unwrap());
    readers[0].shutdown(Shutdown::Write).unwrap();
    served.rest();
    assert_eq!((publish(&mut served, "x"), served.app.drains), (2, 3));
    for client in &mut readers[1..] {
        assert_eq!(read(&mut served, client), "data: x\n\n");
    }
    drop(readers);
    served.assert_nothing_left();
    assert_eq!(
        (served.hub().subscribers("news"), served.app.drains),
        (0, 5)
    );
}

#[test]
fn a_reader_lives_for_as_long_as_it_likes() {
    let mut served = served();
    let (mut client, _) = reader(&mut served, "");
    for _ in 0..100 {
        served.advance(SECOND);
        assert_eq!(
            read(&mut served, &mut client),
            "event: tick\ndata: a\ndata: b\n\n"
        );
    }
    // Requests behind it are never taken up.
    served.post(&mut client, &request("GET /behind", "", ""));
    served.assert_silent(&mut client);
}

#[test]
fn a_reader_that_does_not_read_is_reset() {
    let mut served = served();
    let (mut client, _) = reader(&mut served, "");
    let news = "x".repeat(64 * 1024);
    let mut published = 0;
    while publish(&mut served, &news) == 1 {
        served.turn();
        published += 1;
        assert!(published < 1_000, "nothing stops it");
    }
    served.rest();
    assert_eq!(
        (served.read_to_end(&mut client).1, served.app.drains),
        (End::Reset, 1)
    );
    served.assert_nothing_left();
}

#[test]
fn a_stop_ends_streams_of_events_at_the_deadline_at_the_latest() {
    let mut served = served();
    let (mut client, _) = reader(&mut served, "");
    served.hub().shutdown(10 * SECOND);
    for _ in 0..10 {
        served.advance(SECOND);
    }
    assert!(
        served
            .read_to_end(&mut client)
            .0
            .starts_with(b"event: tick")
    );
    drop(client);
    served.assert_nothing_left();
}
