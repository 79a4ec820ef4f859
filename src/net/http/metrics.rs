//! How the loop fares, for a collector to ask: the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use crate::reactor::{Histogram, Hub};

use super::cx::Cx;
use super::mount::Mount;
use super::request::Request;
use super::response::Response;

/// Serves what the reactor counts and measures: a [`Mount`].
///
/// Turns and what they took, readiness events, connections by protocol and state, bytes, accepts
/// and their errors, the backlog, timers, stale events, dropped messages, panics, and the slowest
/// callback by its name. Callbacks are measured while
/// [`Config::time_callbacks`](crate::Config::time_callbacks) is on.
///
/// # Examples
///
/// ```
/// use switchboard::http::{Metrics, Server};
///
/// let server: Server<()> = Server::new().mount("/metrics", Metrics::new());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics(());

impl Metrics {
    /// With all there is.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<A> Mount<A> for Metrics {
    fn on_request(&mut self, _: &mut A, cx: &mut Cx<'_>, request: &Request<'_>) {
        let response = match request.method() {
            "GET" | "HEAD" => Response::typed(200, "text/plain; version=0.0.4", text(cx.hub())),
            _ => Response::plain(405).field("Allow", "GET, HEAD"),
        };
        cx.respond(response).ignore();
    }
}

/// All of it.
fn text(hub: &Hub) -> String {
    let (totals, census, measures) = (*hub.totals(), hub.census(), hub.measures());
    let mut page = Page(String::with_capacity(8 * 1024));
    page.counter("turns", "Turns of the loop", totals.turns);
    page.counter(
        "accepts",
        "Connections accepted and sessions opened",
        totals.accepts,
    );
    page.counter(
        "accept_errors",
        "Failed calls of accept",
        totals.accept_errors,
    );
    page.counter(
        "refused",
        "Connections and sessions refused by a limit",
        totals.refused,
    );
    page.counter("closes", "Connections closed", totals.closes);
    page.counter("evicted", "Sessions closed to make room", totals.evicted);
    page.counter("dropped", "Messages dropped", totals.dropped);
    page.counter(
        "oversize",
        "Datagrams larger than their socket takes",
        totals.oversize,
    );
    page.counter("panics", "Callbacks that panicked", totals.panics);
    page.counter(
        "stale_events",
        "Events whose connection no longer existed",
        totals.stale,
    );
    page.counter("read_bytes", "Bytes received", totals.bytes_read);
    page.counter("written_bytes", "Bytes sent", totals.bytes_written);

    page.head("connections", "gauge", "Connections by protocol and state");
    for (protocol, connections) in [("tcp", census.tcp), ("unix", census.unix)] {
        for (state, count) in [("open", connections.open), ("closing", connections.closing)] {
            page.line(
                "connections",
                &format!("{{protocol=\"{protocol}\",state=\"{state}\"}}"),
                count,
            );
        }
    }
    page.gauge("udp_sockets", "UDP sockets", census.udp);
    page.gauge("udp_sessions", "Sessions of UDP sockets", census.sessions);
    page.gauge("listeners", "Listeners", census.listeners);
    page.gauge("dials", "Dials in progress", census.dials);
    page.gauge("sources", "Other sources", census.sources);
    page.gauge(
        "backlog_bytes",
        "Bytes that wait to be sent",
        census.backlog,
    );
    page.gauge("timers", "Timers pending", hub.pending_timers());

    page.histogram(
        "turn_seconds",
        "What turns took without their sleep",
        &measures.turns,
        1e-6,
    );
    page.histogram(
        "turn_events",
        "Readiness events in a turn",
        &measures.events,
        1.0,
    );
    let told = "What callbacks took, while they were timed";
    page.histogram("callback_seconds", told, &measures.callbacks, 1e-6);
    if let Some(slowest) = measures.slowest {
        let name = "slowest_callback_seconds";
        page.head(
            name,
            "gauge",
            "The callback that took longest, while they were timed",
        );
        let label = format!("{{callback=\"{}\"}}", slowest.callback);
        page.line(name, &label, slowest.took.as_secs_f64());
    }
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP switchboard_{name} {help}.\n# TYPE switchboard_{name} {kind}"
        );
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "switchboard_{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.head(&name, "counter", help);
        self.line(&name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, unit: f64) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.line(
                &bucket,
                &format!("{{le=\"{}\"}}", bound as f64 * unit),
                count,
            );
        }
        self.line(&bucket, "{le=\"+Inf\"}", histogram.total());
        self.line(&format!("{name}_sum"), "", histogram.sum() as f64 * unit);
        self.line(&format!("{name}_count"), "", histogram.total());
    }
}
