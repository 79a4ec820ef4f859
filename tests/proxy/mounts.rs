//! The application of these tests, and a server that passes nothing on.

use switchboard::http::{Options, Server};

/// The application: what has become of requests.
#[derive(Debug, Default)]
pub(crate) struct App {
    /// How many clients went before their answers had ended.
    pub(crate) aborted: usize,
}

/// A server that says hello, and counts who has gone.
pub(crate) fn server(options: Options) -> Server<App> {
    Server::with(options)
        .get("/hello", |_, cx, _| cx.respond("hello").ignore())
        .on_abort(|app: &mut App, _, _| app.aborted += 1)
}
