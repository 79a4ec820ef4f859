//! The server as a driver: from bytes to requests, through their handlers, and to the next one.
//!
//! One request of a connection is under way at a time. What a client sends ahead of its answer is
//! left with the reactor, so that answers are in order by themselves, and so that the client is
//! held back when it sends too much.

use std::any::Any;

use crate::id::{ConnId, ConnMap};
use crate::proto::{http1, proxy};
use crate::reactor::{CloseReason, Driver, DriverId, Framer, Hub, Origin, Timeout};

use super::client::client_of;
use super::cx::{Action, AsEvents, Cx, OTHERWISE, What};
use super::exchange::{Answer, Conn, Phase, RequestId};
use super::patience::{DEADLINE, LARGE, arm, show_progress};
use super::router::{Matched, route};
use super::{Mount, Request, Server, access};

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
        // From being accepted on: a handshake of TLS counts.
        let patience = options.head_timeout.saturating_sub(hub.age(id));
        conn.deadline = Some(hub.now() + patience);
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

    /// Calls whoever a request leads to, or answers it if it leads nowhere.
    pub(super) fn request(
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
    pub(super) fn with_mount(
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
    pub(super) fn settle(&mut self, hub: &mut Hub, id: ConnId) {
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

    /// Tells that a client has gone before its answer had ended.
    pub(super) fn aborted(&mut self, app: &mut A, hub: &mut Hub, mount: usize, request: RequestId) {
        if let Some(mounted) = self.mounts.get_mut(mount) {
            mounted.mount.on_abort(app, hub, request);
        }
        if let Some(on_abort) = &mut self.on_abort {
            on_abort(app, hub, request);
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

/// Does something to a connection that is there.
pub(super) fn conn_of(conns: &mut ConnMap<Conn>, id: ConnId, change: impl FnOnce(&mut Conn)) {
    if let Some(conn) = conns.get_mut(id) {
        change(conn);
    }
}
