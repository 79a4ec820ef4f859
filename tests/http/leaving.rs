//! Clients that have finished sending, connections that are given away or reset by ourselves: who is
//! told, and what is still answered.

use std::any::Any;
use std::cell::RefCell;
use std::net::Shutdown;
use std::rc::Rc;

use switchboard::http::{self, Cx, Request, Response};
use switchboard::{CloseReason, ConnId, Driver, Hub, Origin};

use crate::answer::answers;
use crate::mounts::{App, server};
use crate::served::{End, SECOND, Served, request};

#[test]
fn large_answers_behind_a_stream_reach_a_client_that_has_finished_sending() {
    let page = "x".repeat(1 << 20);
    let server = server(http::Options::default()).get(
        "/big",
        move |_: &mut App, cx: &mut Cx<'_>, _: &Request<'_>| {
            cx.respond(Response::typed(200, "x/y", page.clone()))
                .ignore();
        },
    );
    let mut served = Served::of(App::default(), server);
    let mut client = served.connect();
    let pieces = request("GET /pieces", "", "");
    let big = request("GET /big", "", "").repeat(10);
    served.write(&mut client, &[pieces, big].concat());
    client.shutdown(Shutdown::Write).unwrap();
    served.rest();
    served.advance(SECOND);
    served.advance(SECOND);
    let (received, end) = served.read_to_end(&mut client);
    assert_eq!((answers(&received).len(), end), (11, End::Fin));
}

#[test]
fn a_request_parked_behind_a_stream_hears_that_its_client_has_gone() {
    let mut served = Served::new();
    let mut client = served.connect();
    let (pieces, park) = (request("GET /pieces", "", ""), request("GET /park", "", ""));
    served.write(&mut client, &[pieces, park].concat());
    client.shutdown(Shutdown::Write).unwrap();
    served.rest();
    served.advance(SECOND);
    served.advance(SECOND);
    served.peek(&mut client);
    drop(client);
    served.assert_nothing_left();
    assert_eq!(served.app.aborted(), 1);
}

#[test]
fn what_the_server_has_aborted_itself_is_told_as_an_abort() {
    let server = http::Server::new()
        .get("/long", |_: &mut App, cx, _| {
            cx.start(Response::new(200).length(5)).ignore();
            cx.write(b"longer").ignore();
            cx.finish();
        })
        .on_abort(|app, _, _| app.drains += 1);
    let mut served = Served::of(App::default(), server);
    let mut client = served.connect();
    served.write(&mut client, &request("GET /long", "", ""));
    assert_eq!(served.read_to_end(&mut client).1, End::Reset);
    assert_eq!(served.app.drains, 1);
}

struct Other;

impl Driver<App> for Other {
    fn on_open(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: Origin) {}

    fn on_data(&mut self, _: &mut App, _: &mut Hub, _: ConnId, data: &mut [u8]) -> usize {
        data.len()
    }

    fn on_post(&mut self, app: &mut App, _: &mut Hub, _: ConnId, _: Box<dyn Any>) {
        app.posts.push("what is this?".to_owned());
    }

    fn on_close(&mut self, _: &mut App, _: &mut Hub, _: ConnId, _: CloseReason) {}
}

#[test]
fn the_name_of_a_request_handed_over_means_nothing() {
    let mut served = Served::made(App::default(), |reactor| {
        let other = reactor.add_driver(Other);
        http::Server::new().get(
            "/up",
            move |app: &mut App, cx: &mut Cx<'_>, _: &Request<'_>| {
                app.parked.push(cx.id());
                assert!(cx.hand_over(other, Box::new(())));
            },
        )
    });
    let mut client = served.connect();
    served.write(&mut client, &request("GET /up", "", ""));
    let id = served.app.parked[0];
    http::respond(served.hub(), id, "late");
    served.rest();
    assert_eq!(served.app.posts, [""; 0]);
}

#[test]
fn the_log_says_that_a_panic_was_ours() {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&lines);
    let server = server(http::Options::default())
        .get("/panic", |_: &mut App, _, _| panic!("as planned"))
        .access_log(move |line| log.borrow_mut().push(line.to_owned()));
    let mut served = Served::of(App::default(), server);
    let mut client = served.connect();
    served.write(&mut client, &request("GET /panic", "", ""));
    served.rest();
    assert!(lines.borrow()[0].contains("\" 500 "), "{lines:?}");
}
