//! A panic in a callback costs its own connection, and nobody else anything.

use std::any::Any;

use switchboard::Hub;
use switchboard::http::{self, Cx, Intake, Mount, Request, RequestId, Response};

use crate::mounts::{App, Mirror};
use crate::served::{End, SECOND, Served, request};
use crate::support::reset;

/// Panics in the callback that the path names.
struct Bomb;

impl Mount<App> for Bomb {
    fn intake(&mut self, request: &Request<'_>) -> Intake {
        assert_ne!(request.rest(), "intake", "as planned");
        match request.rest() {
            "body" => Intake::Stream,
            _ => Intake::Collect,
        }
    }

    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>) {
        assert_ne!(request.rest(), "request", "as planned");
        app.parked.push(cx.id());
        match request.rest() {
            "timer" => drop(cx.set_timer(SECOND, 0)),
            "drain" => {
                cx.start(Response::new(200)).ignore();
                cx.write(&vec![0; 1 << 20]).ignore();
            }
            "answered" => {
                cx.respond("all of it").ignore();
                panic!("as planned");
            }
            _ => {}
        }
    }

    fn on_body(&mut self, _: &mut App, _: &mut Cx<'_>, _: &[u8], _: bool) {
        panic!("as planned");
    }

    fn on_drain(&mut self, _: &mut App, _: &mut Cx<'_>) {
        panic!("as planned");
    }

    fn on_timer(&mut self, _: &mut App, _: &mut Cx<'_>, _: u32) {
        panic!("as planned");
    }

    fn on_post(&mut self, _: &mut App, _: &mut Cx<'_>, _: Box<dyn Any>) {
        panic!("as planned");
    }

    fn on_half_close(&mut self, _: &mut App, _: &mut Cx<'_>) {
        panic!("as planned");
    }

    fn on_abort(&mut self, app: &mut App, _: &mut Hub, _: RequestId) {
        app.drains += 1;
        panic!("as planned");
    }

    fn on_stop(&mut self, _: &mut App, _: &mut Cx<'_>) {
        panic!("as planned");
    }
}

fn served() -> Served {
    let server = http::Server::new()
        .mount("/", Mirror)
        .mount("/bomb", Bomb)
        .on_abort(|app: &mut App, _, _| app.posts.push("aborted".to_owned()));
    Served::of(App::default(), server)
}

#[test]
fn a_panic_ends_its_own_connection_and_is_told_to_nobody() {
    let mut served = served();
    let mut witness = served.connect();
    for (number, callback) in [
        "request",
        "intake",
        "body",
        "drain",
        "timer",
        "post",
        "half_close",
        "answered",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = served.connect();
        let line = format!("POST /bomb/{callback}");
        served.post(&mut client, &request(&line, "Content-Length: 2\r\n", "hi"));
        match callback {
            "timer" => served.advance(SECOND),
            "half_close" => client.shutdown(std::net::Shutdown::Write).unwrap(),
            "post" => {
                let id = *served.app.parked.last().unwrap();
                http::post(served.hub(), id, Box::new(()));
            }
            _ => {}
        }
        let (_, end) = served.read_to_end(&mut client);
        assert_eq!(end, End::Reset, "{callback}");
        assert_eq!(
            served.hub().totals().panics,
            number as u64 + 1,
            "{callback}"
        );
        served.write(&mut witness, &request("GET /", "", ""));
        assert_eq!(
            served.read_answer(&mut witness).text(),
            "GET / host=a []",
            "{callback}"
        );
    }
    // Whose state a panic has left behind is not asked again.
    assert_eq!((served.app.drains, &served.app.posts[..]), (0, &[][..]));
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn a_panic_while_a_client_goes_keeps_nothing_of_it() {
    let mut served = served();
    let mut witness = served.connect();
    let mut client = served.connect();
    served.post(&mut client, &request("GET /bomb/parked", "", ""));
    reset(client);
    served.rest();
    assert_eq!((served.app.drains, served.hub().totals().panics), (1, 1));
    served.write(&mut witness, &request("GET /", "", ""));
    assert_eq!(served.read_answer(&mut witness).status, 200);
    drop(witness);
    served.assert_nothing_left();
}

#[test]
fn a_panic_while_the_server_stops_does_not_keep_it_from_stopping() {
    let mut served = served();
    let mut clients: Vec<_> = (0..3).map(|_| served.connect()).collect();
    for client in &mut clients[..2] {
        served.post(client, &request("GET /bomb/parked", "", ""));
    }
    served.hub().shutdown(SECOND);
    served.rest();
    assert!(served.hub().totals().panics > 0);
    served.advance(2 * SECOND);
    drop(clients);
    served.assert_nothing_left();
}
