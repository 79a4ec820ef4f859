//! The application of these tests, which takes down what becomes of each request, and a mount of each
//! kind.

use std::collections::HashMap;

use switchboard::Hub;
use switchboard::http::{self, Cx, Intake, Mount, Options, Request, RequestId, Response};
use switchboard::proto::http1::Length;

use crate::served::SECOND;

/// What has become of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) answered: usize,
    /// As the server's `on_abort` has it.
    pub(crate) aborted: usize,
    /// As the mount's own has it.
    pub(crate) told: usize,
}

/// The application: a record.
#[derive(Debug, Default)]
pub(crate) struct App {
    /// What the mirror was asked.
    pub(crate) seen: Vec<String>,
    /// Each request that a mount was called for.
    pub(crate) fates: HashMap<RequestId, Fate>,
    /// Those that wait, in the order in which they came.
    pub(crate) parked: Vec<RequestId>,
    /// Pieces of streamed bodies.
    pub(crate) taken: Vec<u8>,
    pub(crate) drains: usize,
    pub(crate) posts: Vec<String>,
    /// What was handed over to the other protocol.
    pub(crate) raw: Vec<u8>,
}

impl App {
    fn fate(&mut self, request: RequestId) -> &mut Fate {
        self.fates.entry(request).or_default()
    }

    /// How many requests were aborted, each of them told once to its mount and once to all.
    pub(crate) fn aborted(&self) -> usize {
        for (request, fate) in &self.fates {
            assert_eq!(fate.aborted, fate.told, "{request:?}: {fate:?}");
            assert!(fate.aborted + fate.answered <= 1, "{request:?}: {fate:?}");
        }
        self.fates.values().map(|fate| fate.aborted).sum()
    }
}

/// Says what it was asked.
pub(crate) fn mirrored(request: &Request<'_>) -> String {
    format!(
        "{} {} host={} [{}]",
        request.method(),
        request.head().target,
        request.host(),
        request.body().escape_ascii()
    )
}

/// Answers at once, with what it was asked.
pub(crate) struct Mirror;
/// Answers when told to, if ever.
pub(crate) struct Park;
/// Answers after a second.
pub(crate) struct Later;
/// Answers in three pieces, a second apart.
pub(crate) struct Pieces;
/// Takes bodies piece by piece, and answers when they have ended.
pub(crate) struct Taker;

macro_rules! tells_aborts {
    () => {
        fn on_abort(&mut self, app: &mut App, _: &mut Hub, request: RequestId) {
            app.fate(request).told += 1;
        }
    };
}

impl Mount<App> for Mirror {
    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>) {
        let seen = mirrored(request);
        app.seen.push(seen.clone());
        app.fate(cx.id()).answered += 1;
        cx.respond(Response::typed(200, "x-switchboard/seen", seen))
            .ignore();
    }

    tells_aborts!();
}

impl Mount<App> for Park {
    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, _: &Request<'_>) {
        app.fate(cx.id());
        app.parked.push(cx.id());
    }

    tells_aborts!();
}

impl Mount<App> for Later {
    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, _: &Request<'_>) {
        app.fate(cx.id());
        assert!(cx.set_timer(SECOND, 0).is_some());
        let own = [u32::MAX, u32::MAX - 1];
        assert_eq!(own.map(|key| cx.set_timer(SECOND, key)), [None, None]);
    }

    fn on_timer(&mut self, app: &mut App, cx: &mut Cx<'_>, _: u32) {
        app.fate(cx.id()).answered += 1;
        cx.respond("later").ignore();
    }

    tells_aborts!();
}

impl Mount<App> for Pieces {
    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>) {
        app.fate(cx.id());
        let response = Response::new(200);
        cx.start(match request.query() {
            Some("length") => response.length(9),
            _ => response,
        })
        .ignore();
        cx.write(b"one").ignore();
        assert!(cx.set_timer(SECOND, 0).is_some());
    }

    fn on_timer(&mut self, app: &mut App, cx: &mut Cx<'_>, key: u32) {
        cx.write([b"two", b"six"][key as usize]).ignore();
        if key == 0 {
            assert!(cx.set_timer(SECOND, 1).is_some());
        } else {
            app.fate(cx.id()).answered += 1;
            cx.finish();
        }
    }

    tells_aborts!();
}

impl Mount<App> for Taker {
    fn intake(&mut self, _: &Request<'_>) -> Intake {
        Intake::Stream
    }

    fn on_request(&mut self, app: &mut App, cx: &mut Cx<'_>, request: &Request<'_>) {
        app.fate(cx.id());
        let early = request.query() == Some("early");
        if early || request.head().body == Length::None {
            app.fate(cx.id()).answered += 1;
            cx.respond("nothing taken").ignore();
        }
    }

    fn on_body(&mut self, app: &mut App, cx: &mut Cx<'_>, data: &[u8], last: bool) {
        app.taken.extend_from_slice(data);
        if last {
            app.fate(cx.id()).answered += 1;
            cx.respond(format!("taken {}", app.taken.len())).ignore();
        }
    }

    fn on_drain(&mut self, app: &mut App, _: &mut Cx<'_>) {
        app.drains += 1;
    }

    tells_aborts!();
}

/// A server with all of them; whatever has no other path leads to the mirror.
pub(crate) fn server(options: Options) -> http::Server<App> {
    http::Server::with(options)
        .mount("/", Mirror)
        .mount("/park", Park)
        .mount("/later", Later)
        .mount("/pieces", Pieces)
        .mount("/take", Taker)
        .on_abort(|app: &mut App, _, request| app.fate(request).aborted += 1)
}
