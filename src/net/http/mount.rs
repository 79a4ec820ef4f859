//! What answers requests: a mount, of which routes are the simplest kind.

use std::any::Any;

use crate::reactor::Hub;

use super::cx::Cx;
use super::exchange::RequestId;
use super::request::Request;
use super::response::Response;

/// What a server does about the requests below one path. Files, metrics and a reverse proxy are
/// mounts, and so is every route.
///
/// A request is answered in `on_request`, in a later callback about it, or from anywhere by its
/// [id](Cx::id). Callbacks come in this order: `on_request`, then `on_body` if the body is
/// [streamed](Intake::Stream), with `on_drain`, `on_timer`, `on_post` and `on_half_close` among
/// them; `on_abort` if the client goes before the answer has ended, and then nothing more.
pub trait Mount<A> {
    /// What is to be done about the body of a request, before anything else. By default it is
    /// collected.
    fn intake(&mut self, request: &Request<'_>) -> Intake {
        let _ = request;
        Intake::Collect
    }

    /// A request is there: with its body if that is collected, or without if it is streamed.
    fn on_request(&mut self, app: &mut A, cx: &mut Cx<'_>, request: &Request<'_>);

    /// A piece of a streamed body. After the last one, which may be empty, nothing follows. To
    /// hold the client back, [pause](Hub::pause) the connection.
    fn on_body(&mut self, app: &mut A, cx: &mut Cx<'_>, data: &[u8], last: bool) {
        let _ = (app, cx, data, last);
    }

    /// The client has taken most of what it was sent, after a `Backlogged`.
    fn on_drain(&mut self, app: &mut A, cx: &mut Cx<'_>) {
        let _ = (app, cx);
    }

    /// A timer set by [`Cx::set_timer`] fired.
    fn on_timer(&mut self, app: &mut A, cx: &mut Cx<'_>, key: u32) {
        let _ = (app, cx, key);
    }

    /// Something was posted to this request by [`http::post`](super::post).
    fn on_post(&mut self, app: &mut A, cx: &mut Cx<'_>, message: Box<dyn Any>) {
        let _ = (app, cx, message);
    }

    /// The client has finished sending, and may have gone. By default a request whose answer has
    /// not begun ends here, as with nginx and Node, and so does a stream of events.
    fn on_half_close(&mut self, app: &mut A, cx: &mut Cx<'_>) {
        let _ = app;
        if cx.is_owed() || cx.exchange.events {
            cx.abort();
        }
    }

    /// The client went before the answer had ended. Nothing can be sent to it any more.
    fn on_abort(&mut self, app: &mut A, hub: &mut Hub, request: RequestId) {
        let _ = (app, hub, request);
    }

    /// The server stops: the answer has until the deadline. By default a request whose answer has
    /// not begun gets a 503.
    fn on_stop(&mut self, app: &mut A, cx: &mut Cx<'_>) {
        let _ = app;
        if cx.is_owed() {
            cx.respond(Response::plain(503).field("Retry-After", "1"))
                .ignore();
        }
    }
}

/// What is done about the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Collect it, up to the [limit](super::Options::max_body), and then call `on_request`.
    Collect,
    /// The same with a limit of its own, in bytes.
    CollectUpTo(usize),
    /// Call `on_request` at once, and `on_body` as it comes. No limit holds: count, and answer 413 when
    /// it is too much. Where the bytes go slowly, to a disk by
    /// [`spawn_blocking`](Hub::spawn_blocking) for instance, pause the connection meanwhile.
    Stream,
}

/// A route: a function for one method and path.
pub(super) struct Route<F> {
    pub(super) function: F,
}

impl<A, F: FnMut(&mut A, &mut Cx<'_>, &Request<'_>)> Mount<A> for Route<F> {
    fn on_request(&mut self, app: &mut A, cx: &mut Cx<'_>, request: &Request<'_>) {
        (self.function)(app, cx, request);
    }
}

/// What an application does about requests, instead of routes or where those end. See
/// [`Server::handler`](super::Server::handler).
pub trait Handler: Sized {
    /// A request is there, with its body.
    fn on_request(&mut self, cx: &mut Cx<'_>, request: &Request<'_>);

    /// The client has taken most of what it was sent, after a `Backlogged`.
    fn on_drain(&mut self, cx: &mut Cx<'_>) {
        let _ = cx;
    }

    /// A timer set by [`Cx::set_timer`] fired.
    fn on_timer(&mut self, cx: &mut Cx<'_>, key: u32) {
        let _ = (cx, key);
    }

    /// The client went before the answer had ended.
    fn on_abort(&mut self, hub: &mut Hub, request: RequestId) {
        let _ = (hub, request);
    }
}

/// The mount that an application is itself.
pub(super) struct ByHandler;

impl<A: Handler> Mount<A> for ByHandler {
    fn on_request(&mut self, app: &mut A, cx: &mut Cx<'_>, request: &Request<'_>) {
        app.on_request(cx, request);
    }

    fn on_drain(&mut self, app: &mut A, cx: &mut Cx<'_>) {
        app.on_drain(cx);
    }

    fn on_timer(&mut self, app: &mut A, cx: &mut Cx<'_>, key: u32) {
        app.on_timer(cx, key);
    }

    fn on_abort(&mut self, app: &mut A, hub: &mut Hub, request: RequestId) {
        app.on_abort(hub, request);
    }
}
