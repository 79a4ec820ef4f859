//! Requests that are answered later: from a timer, from another connection, from another thread.

use std::net::Shutdown;
use std::time::Duration;

use switchboard::http::{self, Cx, Mount, Options, Request, RequestId, Response};
use switchboard::{Hub, Owner, Sent};

use crate::answer::answers;
use crate::mounts::{App, server};
use crate::served::{End, SECOND, Served, request};
use crate::support::{reset, write_full};

/// A client whose request waits, and the request.
fn parked(served: &mut Served) -> (std::net::TcpStream, RequestId) {
    let before = served.app.parked.len();
    let mut client = served.connect();
    served.write(&mut client, &request("GET /park", "", ""));
    served.until("the request", |app| app.parked.len() > before);
    (client, served.app.parked[before])
}

#[test]
fn answered_from_a_timer_of_nobody() {
    let mut served = Served::new();
    served.reactor.on_timer(|app: &mut App, hub, key| {
        for parked in app.parked.drain(..) {
            http::respond(hub, parked, format!("timer {key}"));
        }
    });
    let (mut client, _) = parked(&mut served);
    assert!(served.hub().set_timer(Owner::App, SECOND, 7).is_some());
    served.assert_silent(&mut client);
    served.advance(SECOND);
    assert_eq!(served.read_answer(&mut client).text(), "timer 7");
}

#[test]
fn answered_from_the_handler_of_another_connection() {
    let tell = |app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>| {
        for parked in app.parked.drain(..) {
            http::respond(
                cx.hub(),
                parked,
                Response::text(200, request.body().to_vec()),
            );
        }
        cx.respond(204).ignore();
    };
    let server = server(Options::default()).post("/tell", tell);
    let mut served = Served::of(App::default(), server);
    let (mut one, _) = parked(&mut served);
    let (mut two, _) = parked(&mut served);
    let told = served.ask(request("POST /tell", "Content-Length: 4\r\n", "news"));
    assert_eq!(told[0].status, 204);
    assert_eq!(served.read_answer(&mut one).text(), "news");
    assert_eq!(served.read_answer(&mut two).text(), "news");
}

#[test]
fn answered_from_another_thread() {
    let mut served = Served::new();
    let (mut client, id) = parked(&mut served);
    let remote = served.reactor.remote();
    let thread = std::thread::spawn(move || {
        remote
            .post(move |_, hub| http::respond(hub, id, "from a thread"))
            .expect("taken");
    });
    assert_eq!(served.read_answer(&mut client).text(), "from a thread");
    thread.join().unwrap();
}

#[test]
fn a_client_that_goes_is_noticed_at_once() {
    let mut served = Served::new();
    let half_close = |client: std::net::TcpStream| {
        client.shutdown(Shutdown::Write).unwrap();
        std::mem::forget(client);
    };
    for leave in [drop::<std::net::TcpStream>, reset, half_close] {
        let (client, id) = parked(&mut served);
        leave(client);
        served.rest();
        assert_eq!(served.app.fates[&id].aborted, 1);
        // The answer comes too late, and does nothing.
        http::respond(served.hub(), id, "too late");
        http::write(served.hub(), id, "too late");
        http::finish(served.hub(), id);
        served.rest();
        served.assert_nothing_left();
    }
    assert_eq!(served.app.aborted(), 3);
}

#[test]
fn only_the_first_answer_counts() {
    let mut served = Served::new();
    let (mut client, id) = parked(&mut served);
    http::respond(served.hub(), id, "first");
    http::respond(served.hub(), id, "second");
    http::start(served.hub(), id, Response::new(201));
    http::abort(served.hub(), id);
    assert_eq!(served.read_answer(&mut client).text(), "first");
    served.assert_silent(&mut client);

    let twice = |_: &mut App, cx: &mut Cx<'_>, _: &Request<'_>| {
        assert!(cx.is_owed() && cx.respond("first").is_taken() && !cx.is_owed());
        assert_eq!(cx.respond("second"), Sent::Dropped);
        assert_eq!(cx.start(Response::new(200)), Sent::Dropped);
        assert_eq!(cx.write(b"third"), Sent::Dropped);
        cx.finish();
    };
    let mut served = Served::of(
        App::default(),
        server(Options::default()).get("/twice", twice),
    );
    assert_eq!(served.ask(request("GET /twice", "", "").repeat(2)).len(), 2);
}

#[test]
fn the_name_of_a_past_request_means_nothing() {
    let mut served = Served::new();
    let (mut client, first) = parked(&mut served);
    http::respond(served.hub(), first, "first");
    assert_eq!(served.read_answer(&mut client).text(), "first");
    served.write(&mut client, &request("GET /park", "", ""));
    let second = served.app.parked[1];
    assert!(first != second && first.conn() == second.conn());
    http::respond(served.hub(), first, "for the first");
    http::abort(served.hub(), first);
    served.assert_silent(&mut client);
    http::respond(served.hub(), second, "second");
    assert_eq!(served.read_answer(&mut client).text(), "second");
}

#[test]
fn a_timer_ends_with_its_request() {
    let mut served = Served::new();
    let mut client = served.connect();
    served.write(&mut client, &request("GET /later", "", ""));
    let later = *served.app.fates.keys().next().unwrap();
    http::respond(served.hub(), later, "sooner");
    assert_eq!(served.read_answer(&mut client).text(), "sooner");
    // The next one sets its own, and is not answered by that of the last one.
    served.clock.advance(SECOND / 2);
    served.write(&mut client, &request("GET /later", "", ""));
    served.advance(SECOND / 2);
    served.assert_silent(&mut client);
    served.advance(SECOND / 2);
    assert_eq!(served.read_answer(&mut client).text(), "later");
}

#[test]
fn requests_behind_a_parked_one_wait_and_keep_their_order() {
    let mut served = Served::new();
    let mut client = served.connect();
    let mut all = Vec::new();
    for number in 0..20 {
        all.extend(request("GET /park", "", ""));
        let body = format!("body {number}");
        let length = format!("Content-Length: {}\r\n", body.len());
        all.extend(request(&format!("POST /{number}"), &length, &body));
    }
    served.write(&mut client, &all);
    for number in 0..20 {
        served.assert_silent(&mut client);
        assert_eq!(
            (served.app.parked.len(), served.app.seen.len()),
            (number + 1, number)
        );
        let id = served.app.parked[number];
        http::respond(served.hub(), id, format!("parked {number}"));
        let (received, _) = served.peek(&mut client);
        let texts: Vec<_> = answers(&received)
            .iter()
            .map(|a| a.text().to_owned())
            .collect();
        let mirrored = format!("POST /{number} host=a [body {number}]");
        assert_eq!(texts, [format!("parked {number}"), mirrored]);
    }
}

#[test]
fn more_than_may_be_pipelined_holds_the_client_back_and_nothing_is_lost() {
    let options = Options {
        max_pipelined: 1_000,
        ..Options::default()
    };
    let mut served = Served::with(options);
    let (mut client, id) = parked(&mut served);
    let (count, long) = (1_500, format!("X: {}\r\n", "x".repeat(10_000)));
    let of = |number: usize| request(&format!("GET /{number}"), &long, "");
    let all: Vec<u8> = (0..count).flat_map(of).collect();
    let mut written = 0;
    loop {
        let more = write_full(&mut client, &all[written..]);
        written += more;
        served.rest();
        if more == 0 {
            break;
        }
    }
    assert!(written < all.len(), "the kernel's buffers take all of it");
    let read = served.hub().totals().bytes_read;
    assert!(read < 140 * 1024, "{read} bytes were read");

    http::respond(served.hub(), id, "at last");
    let mut received = Vec::new();
    while served.app.seen.len() < count {
        written += write_full(&mut client, &all[written..]);
        let (more, end) = served.peek(&mut client);
        assert_eq!(end, None);
        received.extend(more);
    }
    received.extend(served.peek(&mut client).0);
    let answers = answers(&received);
    assert_eq!(answers.len(), count + 1);
    for (number, answer) in answers[1..].iter().enumerate() {
        assert_eq!(answer.text(), format!("GET /{number} host=a []"));
    }
}

#[test]
fn a_client_that_has_finished_sending_gets_all_of_its_answers() {
    let page = "x".repeat(1 << 20);
    let big = move |_: &mut App, cx: &mut Cx<'_>, _: &Request<'_>| {
        cx.respond(Response::typed(200, "x/y", page.clone()))
            .ignore();
    };
    let mut served = Served::of(App::default(), server(Options::default()).get("/big", big));
    let answers = served.ask(request("GET /big", "", "").repeat(30));
    assert!(answers.len() == 30 && answers.iter().all(|answer| answer.body.len() == 1 << 20));

    // Behind one that takes its time, too.
    let mut client = served.connect();
    let all = [
        request("GET /pieces", "", ""),
        request("GET /", "", "").repeat(10),
    ]
    .concat();
    served.write(&mut client, &all);
    client.shutdown(Shutdown::Write).unwrap();
    served.rest();
    served.advance(SECOND);
    served.advance(SECOND);
    let (received, end) = served.read_to_end(&mut client);
    assert_eq!(
        (crate::answer::answers(&received).len(), end),
        (11, End::Fin)
    );
    drop(client);
    served.assert_nothing_left();
}

#[test]
fn a_reset_is_noticed_although_nothing_is_read() {
    let mut served = Served::with(Options {
        max_pipelined: 1_000,
        ..Options::default()
    });
    let (mut client, id) = parked(&mut served);
    write_full(&mut client, &request("GET /", "", "").repeat(5_000));
    served.rest();
    reset(client);
    served.rest();
    assert_eq!(served.app.fates[&id].aborted, 1);
    served.assert_nothing_left();
}

#[test]
fn sixteen_requests_of_one_read_leave_in_one_write() {
    let mut served = Served::new();
    let mut client = served.connect();
    std::io::Write::write_all(&mut client, &request("GET /", "", "").repeat(16)).unwrap();
    let (mut reads, mut writes) = (0, 0);
    served.turns("the answers", |served| {
        let turn = served.turn();
        (reads, writes) = (reads + turn.reads, writes + turn.writes);
        served.app.seen.len() == 16
    });
    served.rest();
    assert_eq!((reads, writes), (1, 1));
    assert_eq!(answers(&served.peek(&mut client).0).len(), 16);
}

#[test]
fn a_graceful_stop_answers_what_is_parked() {
    let mut served = Served::new();
    let (mut waiting, _) = parked(&mut served);
    let mut idle = served.connect();
    let mut half = served.connect();
    served.write(&mut half, &request("POST /", "Content-Length: 2\r\n", "h"));
    let mut streamed = served.connect();
    served.write(&mut streamed, &request("GET /pieces", "", ""));
    served.hub().shutdown(10 * SECOND);
    served.rest();
    let (received, end) = served.read_to_end(&mut waiting);
    let answer = &answers(&received)[0];
    assert_eq!(
        (answer.status, answer.field("retry-after"), end),
        (503, Some("1"), End::Fin)
    );
    assert!(answer.closes());
    assert_eq!(served.read_to_end(&mut idle), (vec![], End::Fin));

    // What is on its way in or out may end.
    served.write(&mut half, b"i");
    let (received, _) = served.read_to_end(&mut half);
    let answer = &answers(&received)[0];
    assert!(answer.text() == "POST / host=a [hi]" && answer.closes());
    served.advance(SECOND);
    served.advance(SECOND);
    let (received, end) = served.read_to_end(&mut streamed);
    assert_eq!((answers(&received)[0].text(), end), ("onetwosix", End::Fin));
    drop((waiting, idle, half, streamed));
    served.assert_nothing_left();
    assert_eq!(served.app.aborted(), 0);
}

/// Tells the request that waits about the stop by an answer of its own.
struct Polite;

impl Mount<App> for Polite {
    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, _: &Request<'_>) {
        app.parked.push(cx.id());
    }

    fn on_stop(&mut self, _: &mut App, cx: &mut Cx<'_>) {
        cx.respond("bye").ignore();
    }

    fn on_post(&mut self, app: &mut App, cx: &mut Cx<'_>, message: Box<dyn std::any::Any>) {
        app.posts.push(*message.downcast().expect("text"));
        cx.respond("posted").ignore();
    }

    fn on_abort(&mut self, _: &mut App, _: &mut Hub, _: RequestId) {}
}

#[test]
fn a_mount_may_say_farewell_and_hears_what_is_posted() {
    let server = || http::Server::new().mount("/", Polite);
    let mut served = Served::of(App::default(), server());
    let (mut client, id) = parked(&mut served);
    http::post(served.hub(), id, Box::new("hello".to_owned()));
    assert_eq!(served.read_answer(&mut client).text(), "posted");
    assert_eq!(served.app.posts, ["hello"]);
    // It is over: nobody is there to hear this.
    http::post(served.hub(), id, Box::new("again".to_owned()));
    served.rest();
    assert_eq!(served.app.posts.len(), 1);

    served.write(&mut client, &request("GET /", "", ""));
    served.hub().shutdown(Duration::from_secs(1));
    let (received, _) = served.read_to_end(&mut client);
    assert_eq!(answers(&received)[0].text(), "bye");
}
