//! The server as a driver: from bytes to requests, through their handlers, and to the next one.
//!
//! One request of a connection is under way at a time. What a client sends ahead of its answer is
//! left with the reactor, so that answers are in order by themselves, and so that the client is
//! held back when it sends too much.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::id::{ConnId, ConnMap};
use crate::proto::{http1, proxy};
use crate::reactor::{CloseReason, Driver, DriverId, Framer, Hub, Origin, Owner, Timeout};

use super::client::{self, Network};
use super::cx::{Action, AsEvents, Cx, OTHERWISE, What};
use super::exchange::{Answer, Conn, Incoming, Phase, RequestId};
use super::mount::Intake;
use super::response::Response;
use super::router::{Matched, Router};
use super::{Mount, Options, Request, Server, access};

/// The key of the server's own timers.
const DEADLINE: u32 = u32::MAX;

/// Over what time a client's taking of a response is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// What a client that waits for it is told before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl<A> Driver<A> for Server<A> {
    fn on_open(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, _: Origin) {
        if let Some(driver) = hub.driver(id) {
            self.shared.driver = driver;
        }
        let options = &self.shared.options;
        if options.min_send_rate > 0 {
            show_progress(hub, id, options.min_send_rate);
        }
        let mut conn = Conn::new(options.proxy_protocol, options.max_head);
        conn.peer = hub.peer_addr(id).map(|peer| peer.ip());
        conn.deadline = Some(hub.now() + options.head_timeout);
        arm(hub, id, &mut conn);
        self.conns.insert(id, conn);
    }

    fn on_data(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        let used = self.feed(app, hub, id, data);
        if data.len() - used > self.shared.options.max_pipelined {
            if let Some(conn) = self.conns.get(id) {
                if conn.phase == Phase::Answer {
                    hub.pause(id);
                }
            }
        }
        self.arm(hub, id);
        used
    }

    fn on_eof(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, rest: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if conn.phase != Phase::Answer {
            // A request that is being streamed is told of by `on_close`.
            return hub.close_for(id, CloseReason::Peer);
        }
        conn.rest = Some(Box::from(&*rest));
        self.with_mount(app, hub, id, |mount, app, cx| mount.on_half_close(app, cx));
        self.go_on(app, hub, id);
    }

    fn on_drain(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        self.with_mount(app, hub, id, |mount, app, cx| mount.on_drain(app, cx));
        self.go_on(app, hub, id);
    }

    fn on_timer(&mut self, app: &mut A, hub: &mut Hub, id: Option<ConnId>, key: u32) {
        let Some(id) = id else { return };
        if key == DEADLINE {
            self.look_at_deadlines(app, hub, id);
        } else {
            self.with_mount(app, hub, id, |mount, app, cx| {
                if key != OTHERWISE {
                    mount.on_timer(app, cx, key);
                } else if let Some(response) = cx.exchange.otherwise.take() {
                    if cx.is_owed() {
                        cx.respond(*response).ignore();
                    }
                }
            });
            self.go_on(app, hub, id);
        }
    }

    fn on_timeout(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        hub.close_for(id, CloseReason::TimedOut(timeout));
    }

    fn on_post(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, message: Box<dyn Any>) {
        let Ok(action) = message.downcast::<Action>() else {
            return log::warn!(
                "{id}: something was posted to a request that is no message for one"
            );
        };
        let is_current = |conn: &Conn| conn.exchange.number == action.number;
        if !self.conns.get(id).is_some_and(is_current) {
            return;
        }
        self.with_mount(app, hub, id, |mount, app, cx| match action.what {
            What::Respond(response) => cx.respond(response).ignore(),
            What::Start(response) => cx.start(response).ignore(),
            What::Write(data) => cx.write(&data).ignore(),
            What::Finish => cx.finish(),
            What::Abort => cx.abort(),
            What::Post(message) => mount.on_post(app, cx, message),
        });
        self.go_on(app, hub, id);
    }

    fn on_stop(&mut self, app: &mut A, hub: &mut Hub, driver: DriverId) {
        self.shared.stopping = true;
        for id in hub.ids(driver) {
            match self.conns.get(id).map(|conn| conn.phase) {
                Some(Phase::Head | Phase::Proxied) => hub.close_for(id, CloseReason::Shutdown),
                Some(_) => {
                    self.with_mount(app, hub, id, |mount, app, cx| mount.on_stop(app, cx));
                    self.go_on(app, hub, id);
                }
                None => {}
            }
        }
    }

    fn on_close(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        conn_of(&mut self.conns, id, |conn| {
            if conn.is_answering() {
                conn.exchange.status = match reason {
                    CloseReason::Panicked => 500,
                    _ => CLIENT_WENT,
                };
            }
        });
        self.log_answer(hub, id);
        let Some(conn) = self.conns.remove(id) else {
            return;
        };
        // What a panic has left is for nobody's eyes.
        if conn.is_answering() && reason != CloseReason::Panicked {
            let request = RequestId {
                conn: id,
                number: conn.exchange.number,
                driver: self.shared.driver,
            };
            self.aborted(app, hub, conn.exchange.mount, request);
        }
    }

    fn max_unconsumed(&self) -> usize {
        let options = &self.shared.options;
        options.max_head.max(options.max_pipelined)
    }

    fn framer(&self) -> Option<Box<dyn Framer>> {
        Some(Box::new(AsEvents))
    }
}

/// What stands in the access log for an answer that nobody waited for, as with nginx.
const CLIENT_WENT: u16 = 499;

impl<A> Server<A> {
    /// Takes what can be taken of `data`; returns how much that is.
    fn feed(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8]) -> usize {
        let mut used = 0;
        while let Some(conn) = self.conns.get_mut(id) {
            let rest = &data[used..];
            match conn.phase {
                Phase::Closing => return data.len(),
                Phase::Answer => break,
                _ if rest.is_empty() => break,
                Phase::Proxied => match proxy::decode(rest) {
                    Ok(None) => break,
                    Ok(Some((length, header))) => {
                        if let Some(source) = header.source() {
                            conn.peer = Some(source.ip());
                        }
                        conn.phase = Phase::Head;
                        used += length;
                    }
                    Err(error) => {
                        log::info!("closing {id}, peer {:?}: {error}", hub.peer_addr(id));
                        conn.phase = Phase::Closing;
                        hub.close_for(id, CloseReason::Protocol);
                        return data.len();
                    }
                },
                Phase::Head => {
                    let is_new = conn.scan.is_fresh() && conn.exchange.number > 0;
                    match conn.scan.find_end(rest) {
                        Ok(Some(end)) => used += self.begin(app, hub, id, rest, end),
                        Ok(None) => {
                            if is_new {
                                let patience = self.shared.options.head_timeout;
                                conn.deadline = Some(hub.now() + patience);
                            }
                            break;
                        }
                        Err(error) => {
                            self.refuse(app, hub, id, error.into());
                            return data.len();
                        }
                    }
                }
                Phase::Collect => used += self.collect(app, hub, id, rest),
                Phase::Stream => used += self.stream(app, hub, id, rest),
            }
            if !hub.wants_data(id) {
                break;
            }
        }
        used
    }

    /// A head is there: `end` bytes of `data`, and behind it perhaps its body. Returns how many
    /// bytes have been used.
    fn begin(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8], end: usize) -> usize {
        let (bytes, rest) = data.split_at(end);
        let mut space = http1::Space::new();
        let head = match http1::Request::parse(bytes, &mut space) {
            Ok(head) if head.target.len() <= self.shared.options.max_target => head,
            read => {
                let error = read.err().unwrap_or(http1::Error::TargetTooLong);
                self.refuse(app, hub, id, error.into());
                return data.len();
            }
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return end;
        };
        conn.exchange.begin(&head);
        (conn.phase, conn.deadline) = (Phase::Answer, None);
        conn.scan = http1::Scan::new(self.shared.options.max_head);
        if self.log.is_some() {
            conn.exchange.line = Some(access::line(&head));
        }
        if head.body == http1::Length::None {
            self.request(app, hub, id, &head, &[]);
            return end;
        }
        match self.intake(id, &head) {
            None => {
                // Nobody takes the body, so nobody knows where the next request begins.
                conn_of(&mut self.conns, id, |conn| conn.exchange.keep_alive = false);
                self.request(app, hub, id, &head, &[]);
            }
            Some(Intake::Stream) => {
                self.expect_body(hub, id, &head, &[], 0);
                conn_of(&mut self.conns, id, |conn| {
                    conn.phase = Phase::Stream;
                    conn.exchange.unread = true;
                });
                self.request(app, hub, id, &head, &[]);
                let waits = self.conns.get(id).is_some_and(|conn| {
                    conn.phase == Phase::Stream && conn.exchange.answer == Answer::Owed
                });
                if head.expects_continue && rest.is_empty() && waits {
                    hub.send(id, CONTINUE).ignore();
                }
            }
            Some(Intake::CollectUpTo(limit)) => {
                if let http1::Length::Fixed(length) = head.body {
                    if length > limit as u64 {
                        self.refuse(app, hub, id, Refusal::TooLarge(limit));
                        return data.len();
                    }
                    // Most bodies come with their heads, and need not be copied.
                    if let Some(body) = rest.get(..length as usize) {
                        self.request(app, hub, id, &head, body);
                        return end + body.len();
                    }
                }
                self.expect_body(hub, id, &head, bytes, limit);
                if head.expects_continue && rest.is_empty() {
                    hub.send(id, CONTINUE).ignore();
                }
            }
            Some(Intake::Collect) => {}
        }
        end
    }

    /// What is to be done about the body of a request: `None` if it leads nowhere.
    fn intake(&mut self, id: ConnId, head: &http1::Request<'_>) -> Option<Intake> {
        let Self {
            router,
            mounts,
            conns,
            shared,
            trusted,
            ..
        } = self;
        let mut matched = Matched::NONE;
        let mount = route(router, head, &mut matched).ok()?;
        let mounted = mounts.get_mut(mount)?;
        let conn = conns.get(id)?;
        let intake = mounted.mount.intake(&Request {
            head,
            matched: &matched,
            body: &[],
            client: client_of(conn, head, trusted),
            peer: conn.peer,
        });
        Some(match intake {
            Intake::Collect => {
                Intake::CollectUpTo(mounted.max_body.unwrap_or(shared.options.max_body))
            }
            intake => intake,
        })
    }

    /// Gets ready for a body that is still to come.
    fn expect_body(
        &mut self,
        hub: &Hub,
        id: ConnId,
        head: &http1::Request<'_>,
        bytes: &[u8],
        limit: usize,
    ) {
        let patience = self.shared.options.body_timeout;
        conn_of(&mut self.conns, id, |conn| {
            conn.phase = Phase::Collect;
            conn.deadline = Some(hub.now() + patience);
            conn.body = Some(Box::new(Incoming {
                head: bytes.into(),
                decoder: http1::Body::new(head.body),
                data: Vec::new(),
                limit,
                began: hub.now(),
                received: 0,
            }));
        });
    }

    /// Collects what `data` has of a body. Returns how many bytes have been used.
    fn collect(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8]) -> usize {
        let Some(conn) = self.conns.get_mut(id) else {
            return 0;
        };
        let Some(incoming) = &mut conn.body else {
            return 0;
        };
        let used = match incoming.take(data) {
            Ok(used) => used,
            Err(refusal) => {
                self.refuse(app, hub, id, refusal);
                return data.len();
            }
        };
        if !incoming.decoder.is_ended() {
            return used;
        }
        (conn.phase, conn.deadline) = (Phase::Answer, None);
        if let Some(incoming) = conn.body.take() {
            let mut space = http1::Space::new();
            // It has been parsed before.
            if let Ok(head) = http1::Request::parse(&incoming.head, &mut space) {
                self.request(app, hub, id, &head, &incoming.data);
            }
        }
        used
    }

    /// Passes on the first piece of a body that `data` has. Returns how many bytes have been used.
    fn stream(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8]) -> usize {
        let Some(conn) = self.conns.get_mut(id) else {
            return 0;
        };
        let Some(incoming) = &mut conn.body else {
            return 0;
        };
        let part = match incoming.decoder.decode(data) {
            Ok(part) => part,
            Err(error) => {
                self.refuse(app, hub, id, error.into());
                return data.len();
            }
        };
        incoming.received += part.used as u64;
        if part.end {
            (conn.phase, conn.deadline) = (Phase::Answer, None);
            conn.exchange.unread = false;
            conn.body = None;
        }
        if part.end || !part.data.is_empty() {
            let piece = &data[part.data];
            self.with_mount(app, hub, id, |mount, app, cx| {
                mount.on_body(app, cx, piece, part.end);
            });
        }
        part.used
    }

    /// Calls whoever a request leads to, or answers it if it leads nowhere.
    fn request(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        head: &http1::Request<'_>,
        body: &[u8],
    ) {
        let Self {
            router,
            mounts,
            conns,
            shared,
            trusted,
            cors,
            ..
        } = self;
        let Some(conn) = conns.get_mut(id) else {
            return;
        };
        let client = client_of(conn, head, trusted);
        conn.exchange.client = client;
        let mut cx = Cx {
            hub,
            conn: id,
            exchange: &mut conn.exchange,
            shared,
        };
        let mut preflight = None;
        if let Some(cors) = cors {
            cors.add(head, &mut cx.exchange.cors);
            preflight = cors.preflight(head);
        }
        let mut matched = Matched::NONE;
        let leads = match preflight {
            None => route(router, head, &mut matched),
            Some(response) => Err(response),
        };
        match leads {
            Err(response) => cx.respond(response).ignore(),
            Ok(mount) => {
                cx.exchange.mount = mount;
                if let Some(mounted) = mounts.get_mut(mount) {
                    let request = Request {
                        head,
                        matched: &matched,
                        body,
                        client,
                        peer: conn.peer,
                    };
                    mounted.mount.on_request(app, &mut cx, &request);
                }
            }
        }
        self.settle(hub, id);
    }

    /// Calls whoever the request under way has led to.
    fn with_mount(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        call: impl FnOnce(&mut dyn Mount<A>, &mut A, &mut Cx<'_>),
    ) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.is_answering()) else {
            return;
        };
        let Some(mounted) = self.mounts.get_mut(conn.exchange.mount) else {
            return;
        };
        let mut cx = Cx {
            hub,
            conn: id,
            exchange: &mut conn.exchange,
            shared: &mut self.shared,
        };
        call(mounted.mount.as_mut(), app, &mut cx);
        self.settle(hub, id);
    }

    /// After a callback: if the answer has ended, gets ready for the next request, or closes.
    fn settle(&mut self, hub: &mut Hub, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let exchange = &mut conn.exchange;
        if exchange.answer != Answer::Done || conn.phase == Phase::Closing {
            return;
        }
        for timer in exchange.timers.drain(..) {
            hub.cancel_timer(timer);
        }
        let keep_alive = exchange.keep_alive && !exchange.unread && !self.shared.stopping;
        if exchange.sent >= LARGE {
            // What the kernel has taken of it already counts.
            let taken = exchange.sent.saturating_sub(hub.backlog(id) as u64);
            let before = hub.bytes_written(id).saturating_sub(taken);
            conn.measured = Some((hub.now(), before));
        }
        if keep_alive {
            conn.phase = Phase::Head;
            conn.deadline = Some(hub.now() + self.shared.options.idle_timeout);
        } else {
            conn.phase = Phase::Closing;
            hub.close_for(id, CloseReason::Local);
        }
        if self.log.is_some() {
            self.log_answer(hub, id);
        }
    }

    /// After callbacks that no bytes have brought about: takes up what has been left lying.
    fn go_on(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        while let Some(conn) = self.conns.get_mut(id) {
            if conn.phase != Phase::Head {
                break;
            }
            let Some(rest) = conn.rest.take() else {
                hub.resume(id);
                hub.redeliver(id);
                break;
            };
            let used = self.feed(app, hub, id, &rest);
            let Some(conn) = self.conns.get_mut(id) else {
                break;
            };
            let left = rest.get(used..).unwrap_or_default();
            match conn.phase {
                // The client has finished sending, which whoever answers now has not heard.
                Phase::Answer => {
                    conn.rest = Some(left.into());
                    self.with_mount(app, hub, id, |mount, app, cx| mount.on_half_close(app, cx));
                }
                // Its answers wait for the client to take them, and so do its requests.
                Phase::Head if !left.is_empty() && hub.backlog(id) > 0 => {
                    conn.rest = Some(left.into());
                    break;
                }
                // Nothing can follow.
                _ => hub.close_for(id, CloseReason::Peer),
            }
        }
        self.arm(hub, id);
    }

    /// Answers what is no request, or one that cannot be taken, and closes the connection.
    fn refuse(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, refusal: Refusal) {
        let status = refusal.status();
        log::info!("{status} to {id}, peer {:?}: {refusal}", hub.peer_addr(id));
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let handled = conn.phase == Phase::Stream && conn.is_answering();
        if handled && conn.exchange.answer != Answer::Owed {
            return hub.abort(id);
        }
        if conn.phase == Phase::Head {
            conn.exchange.begin_unread();
        }
        if self.log.is_some() && conn.exchange.line.is_none() {
            conn.exchange.line = Some("-".into());
        }
        conn.exchange.answer = Answer::Owed;
        let response = Response::text(status, format!("{status}: {refusal}\n"));
        let mut cx = Cx {
            hub,
            conn: id,
            exchange: &mut conn.exchange,
            shared: &mut self.shared,
        };
        cx.respond(response.close()).ignore();
        let (mount, request) = (cx.exchange.mount, cx.id());
        self.settle(hub, id);
        if handled {
            self.aborted(app, hub, mount, request);
        }
    }

    /// Tells that a client has gone before its answer had ended.
    fn aborted(&mut self, app: &mut A, hub: &mut Hub, mount: usize, request: RequestId) {
        if let Some(mounted) = self.mounts.get_mut(mount) {
            mounted.mount.on_abort(app, hub, request);
        }
        if let Some(on_abort) = &mut self.on_abort {
            on_abort(app, hub, request);
        }
    }

    /// The timer of a connection has fired.
    fn look_at_deadlines(&mut self, app: &mut A, hub: &mut Hub, id: ConnId) {
        let now = hub.now();
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.timer = None;
        if !conn.takes_enough(hub, id, self.shared.options.min_send_rate) {
            log::info!(
                "resetting {id}, peer {:?}: it takes its answer too slowly",
                hub.peer_addr(id)
            );
            return hub.abort(id);
        }
        if conn.deadline.is_some_and(|deadline| deadline <= now) {
            match conn.phase {
                // The next request may come when the answer has gone.
                Phase::Head if hub.backlog(id) > 0 => {
                    conn.deadline = Some(now + self.shared.options.idle_timeout);
                }
                Phase::Head if conn.scan.is_fresh() => {
                    conn.phase = Phase::Closing;
                    return hub.close_for(id, CloseReason::TimedOut(Timeout::Idle));
                }
                Phase::Head => return self.refuse(app, hub, id, Refusal::TooSlow),
                Phase::Collect | Phase::Stream => {
                    let deadline = conn.body_deadline(hub, id, &self.shared.options);
                    conn.deadline = deadline;
                    if deadline.is_some_and(|deadline| deadline <= now) {
                        return self.refuse(app, hub, id, Refusal::TooSlow);
                    }
                }
                Phase::Proxied => {
                    conn.phase = Phase::Closing;
                    return hub.close_for(id, CloseReason::TimedOut(Timeout::Read));
                }
                Phase::Answer | Phase::Closing => conn.deadline = None,
            }
        }
        self.arm(hub, id);
    }

    fn arm(&mut self, hub: &mut Hub, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            arm(hub, id, conn);
        }
    }

    /// Writes the line of an answer into the access log.
    fn log_answer(&mut self, hub: &Hub, id: ConnId) {
        let (Some(log), Some(conn)) = (&mut self.log, self.conns.get_mut(id)) else {
            return;
        };
        let Some(line) = conn.exchange.line.take() else {
            return;
        };
        let client = conn.exchange.client.or(conn.peer);
        let date = self.shared.date.log_text(hub.now());
        log(&access::entry(
            client,
            &date,
            &line,
            conn.exchange.status,
            conn.exchange.sent,
        ));
    }
}

/// Has the kernel take bytes for a client only little ahead of what that can be sent. Without a
/// bound it takes some megabytes, and for minutes nobody can tell a client that reads slowly from one
/// that does not read.
fn show_progress(hub: &Hub, id: ConnId, rate: u32) {
    if let Some(descriptor) = hub.descriptor(id) {
        let ahead = rate.saturating_mul(WINDOW.as_secs() as u32);
        // It is of no importance by a Unix socket, which does not know it.
        let _ =
            SockRef::from(&descriptor).set_tcp_notsent_lowat(ahead.clamp(16 * 1024, 128 * 1024));
    }
}

/// Answers from here on are looked after while they leave.
const LARGE: u64 = 16 * 1024;

/// Does something to a connection that is there.
fn conn_of(conns: &mut ConnMap<Conn>, id: ConnId, change: impl FnOnce(&mut Conn)) {
    if let Some(conn) = conns.get_mut(id) {
        change(conn);
    }
}

/// Sets the timer of a connection, unless it fires in time anyway.
fn arm(hub: &mut Hub, id: ConnId, conn: &mut Conn) {
    let streams = matches!(conn.exchange.answer, Answer::Streaming(_)) || conn.measured.is_some();
    let look = streams.then(|| hub.now() + WINDOW);
    let Some(until) = [conn.deadline, look].into_iter().flatten().min() else {
        return;
    };
    if let Some((timer, at)) = conn.timer {
        if at <= until {
            return;
        }
        hub.cancel_timer(timer);
    }
    let after = until.saturating_duration_since(hub.now());
    let timer = hub.set_timer(Owner::Conn(id), after, DEADLINE);
    conn.timer = timer.map(|timer| (timer, until));
}

impl Conn {
    /// False if a response waits for a client that has taken too little of it over the last while.
    fn takes_enough(&mut self, hub: &Hub, id: ConnId, rate: u32) -> bool {
        let (now, written) = (hub.now(), hub.bytes_written(id));
        if hub.backlog(id) == 0 || rate == 0 {
            self.measured = None;
            return true;
        }
        let Some((since, before)) = self.measured else {
            self.measured = Some((now, written));
            return true;
        };
        let passed = now.saturating_duration_since(since);
        if passed < WINDOW {
            return true;
        }
        self.measured = Some((now, written));
        (written - before) as f64 >= f64::from(rate) * passed.as_secs_f64()
    }

    /// When a body has to be here: each second's worth of bytes is another second's time.
    fn body_deadline(&mut self, hub: &Hub, id: ConnId, options: &Options) -> Option<Instant> {
        let incoming = self.body.as_mut()?;
        // What we do not read cannot come.
        if !hub.wants_data(id) {
            (incoming.began, incoming.received) = (hub.now(), 0);
        }
        let rate = f64::from(options.min_body_rate.max(1));
        let earned = Duration::from_secs_f64(incoming.received as f64 / rate);
        Some(incoming.began + options.body_timeout + earned)
    }
}

impl Incoming {
    /// Collects what `data` has of the body; returns how many bytes have been used.
    fn take(&mut self, data: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        loop {
            let rest = &data[used..];
            let part = self.decoder.decode(rest)?;
            if self.data.len() + part.data.len() > self.limit {
                return Err(Refusal::TooLarge(self.limit));
            }
            self.data.extend_from_slice(&rest[part.data]);
            self.received += part.used as u64;
            used += part.used;
            if part.end || part.used == 0 || used == data.len() {
                return Ok(used);
            }
        }
    }
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Malformed(http1::Error),
    TooLarge(usize),
    TooSlow,
}

impl Refusal {
    const fn status(self) -> u16 {
        match self {
            Self::Malformed(error) => error.status(),
            Self::TooLarge(_) => 413,
            Self::TooSlow => 408,
        }
    }
}

impl From<http1::Error> for Refusal {
    fn from(error: http1::Error) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::TooLarge(limit) => write!(f, "the body is larger than {limit} bytes"),
            Self::TooSlow => f.write_str("the request took too long to arrive"),
        }
    }
}

/// Where a request leads: the number of a mount, and in `matched` what the route has found in the
/// path; or the answer, if it leads nowhere.
fn route<'a>(
    router: &'a Router,
    head: &http1::Request<'a>,
    matched: &mut Matched<'a>,
) -> Result<usize, Response> {
    let method = head.method;
    let Some(target) = router.find(head.path, matched) else {
        return Err(match (method, head.path) {
            ("OPTIONS", "*") => Response::new(204),
            ("CONNECT", _) => Response::plain(501).close(),
            _ => Response::plain(404),
        });
    };
    let get = || target.handler("GET").filter(|_| method == "HEAD");
    match target.handler(method).or_else(get) {
        Some(mount) => Ok(mount),
        None if method == "OPTIONS" => Err(Response::new(204).field("Allow", target.allow())),
        None => Err(Response::plain(405).field("Allow", target.allow())),
    }
}

/// Whose request it is.
fn client_of(conn: &Conn, head: &http1::Request<'_>, trusted: &[Network]) -> Option<IpAddr> {
    match (conn.peer, trusted) {
        (peer, []) => peer,
        (peer, trusted) => Some(client::client(peer?, head.headers, trusted)),
    }
}
