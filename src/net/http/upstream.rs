//! The other side of a reverse proxy: connections to the servers that it asks.

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::id::{ConnId, ConnMap};
use crate::proto::http1::{self, Length, Scan, Space, write};
use crate::reactor::{CloseReason, Driver, DriverId, Hub, Origin, Owner, Sent, Timeout};

use super::cx::{abort, finish, post, respond, start};
use super::exchange::RequestId;
use super::proxy::{Told, with_fields};
use super::response::Response;

/// How long a connection whose server has agreed to another protocol waits for its client, which is
/// on its way.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a response's head. As with requests.
const MAX_HEAD: usize = 16 * 1024;

/// What a dial carries: the request that it is for.
pub(super) struct Job {
    pub(super) request: RequestId,
    pub(super) head: Vec<u8>,
    pub(super) method: String,
    /// Another protocol is asked for.
    pub(super) upgrade: bool,
}

/// What a connection that is handed over carries: the one that it is one with from here on.
pub(super) struct Tunnel {
    pub(super) peer: ConnId,
}

/// A driver for the connections to other servers that a [`Proxy`](super::Proxy) asks. One is enough
/// for all of them.
#[derive(Default)]
pub struct Upstream {
    conns: ConnMap<Conn>,
}

enum Conn {
    Asking(Box<Asking>),
    /// The other server has agreed to another protocol; the client is about to be here.
    Switching,
    Tunnel(Half),
}

/// A request that was passed on, and how far its answer has come.
struct Asking {
    request: RequestId,
    method: String,
    upgrade: bool,
    scan: Scan,
    /// The body of the answer, once its head is there.
    body: Option<http1::Body>,
}

/// One of two connections that are one.
struct Half {
    peer: ConnId,
    ended: bool,
}

impl Upstream {
    /// Without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer, as far as it is there. Returns how many bytes have been used.
    fn answer(&mut self, hub: &mut Hub, id: ConnId, data: &[u8]) -> Result<usize, http1::Error> {
        let mut used = 0;
        loop {
            let Some(Conn::Asking(asking)) = self.conns.get_mut(id) else {
                return Ok(used);
            };
            let rest = &data[used..];
            let Some(body) = &mut asking.body else {
                let Some(end) = asking.scan.find_end(rest)? else {
                    return Ok(used);
                };
                used += end;
                if self.head(hub, id, &rest[..end])? {
                    return Ok(used);
                }
                continue;
            };
            let part = body.decode(rest)?;
            used += part.used;
            if !part.data.is_empty() {
                super::write(hub, asking.request, rest[part.data].to_vec());
                let client = asking.request.conn();
                let high = hub.limits(client).map_or(0, |limits| limits.high_water);
                if hub.backlog(client) > high {
                    // The client's `on_drain` lets it go on.
                    hub.pause(id);
                }
            }
            if part.end {
                post(hub, asking.request, Box::new(Told::Over));
                finish(hub, asking.request);
                self.conns.remove(id);
                hub.close(id);
                return Ok(data.len());
            }
            if part.used == 0 || used == data.len() || !hub.wants_data(id) {
                return Ok(used);
            }
        }
    }

    /// The head of an answer. True if what follows is of another protocol.
    fn head(&mut self, hub: &mut Hub, id: ConnId, bytes: &[u8]) -> Result<bool, http1::Error> {
        let Some(Conn::Asking(asking)) = self.conns.get_mut(id) else {
            return Ok(true);
        };
        let (mut space, request) = (Space::new(), asking.request);
        let head = http1::Response::parse(bytes, &asking.method, &mut space)?;
        asking.scan = Scan::new(MAX_HEAD);
        match head.status {
            101 if !asking.upgrade => return Err(http1::Error::BadLine),
            101 => {
                let mut out = Vec::with_capacity(bytes.len());
                write::status_line(&mut out, 101);
                for header in head.headers.iter() {
                    // It has been one before.
                    let _ = write::field(&mut out, header.name(), header.value());
                }
                out.extend_from_slice(b"\r\n");
                self.conns.insert(id, Conn::Switching);
                // Until the client is here, too, if it has not gone meanwhile.
                hub.pause(id);
                hub.set_timer(Owner::Conn(id), JOIN_TIMEOUT, 0);
                post(hub, request, Box::new(Told::Switched(out)));
                return Ok(true);
            }
            // What we send to the client in between is our own affair.
            100..=199 => return Ok(false),
            _ => {}
        }
        let told = head.headers.text("Content-Length");
        let length = match head.body {
            Length::Fixed(length) => Some(length),
            // `HEAD` is answered with the length that `GET` would have.
            Length::None => told.and_then(|told| told.parse().ok()),
            Length::Chunked | Length::UntilClose => None,
        };
        let mut response = with_fields(Response::new(head.status), head.headers);
        response.length = length;
        asking.body = Some(http1::Body::new(head.body));
        start(hub, request, response);
        Ok(false)
    }

    /// The answer has come to a bad end.
    fn fail(&mut self, hub: &mut Hub, id: ConnId, status: u16, why: &dyn fmt::Display) {
        let Some(Conn::Asking(asking)) = self.conns.remove(id) else {
            return;
        };
        log::warn!("{status}: upstream {:?}: {why}", hub.peer_addr(id));
        post(hub, asking.request, Box::new(Told::Over));
        match asking.body {
            None => respond(hub, asking.request, status),
            // Part of it has been sent: only a reset says that this is not all.
            Some(_) => abort(hub, asking.request),
        }
        hub.abort(id);
    }
}

impl<A> Driver<A> for Upstream {
    fn on_open(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, origin: Origin) {
        let ticket = match origin {
            Origin::Dialled { ticket } => ticket,
            Origin::HandedOver { ticket, .. } => ticket,
            _ => None,
        };
        match ticket.map(<Box<dyn Any>>::downcast::<Job>) {
            Some(Ok(job)) => {
                let asking = Asking {
                    request: job.request,
                    method: job.method,
                    upgrade: job.upgrade,
                    scan: Scan::new(MAX_HEAD),
                    body: None,
                };
                hub.send(id, &job.head).ignore();
                post(hub, job.request, Box::new(Told::Opened));
                self.conns.insert(id, Conn::Asking(Box::new(asking)));
            }
            Some(Err(ticket)) => match ticket.downcast::<Tunnel>() {
                Ok(tunnel) => self.join(hub, id, tunnel.peer),
                Err(_) => hub.abort(id),
            },
            None => hub.abort(id),
        }
    }

    fn on_data(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, data: &mut [u8]) -> usize {
        match self.conns.get(id) {
            None => data.len(),
            Some(Conn::Switching) => 0,
            Some(Conn::Tunnel(half)) => {
                if hub.send(half.peer, data) == Sent::Backlogged {
                    hub.pause(id);
                }
                data.len()
            }
            Some(Conn::Asking(_)) => match self.answer(hub, id, data) {
                Ok(used) => used,
                Err(error) => {
                    self.fail(hub, id, 502, &error);
                    data.len()
                }
            },
        }
    }

    fn on_eof(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, _: &mut [u8]) {
        match self.conns.get_mut(id) {
            None | Some(Conn::Switching) => hub.close_for(id, CloseReason::Peer),
            Some(Conn::Tunnel(half)) => {
                half.ended = true;
                let peer = half.peer;
                hub.shutdown_write(peer);
                if matches!(self.conns.get(peer), Some(Conn::Tunnel(half)) if half.ended) {
                    hub.close(peer);
                    hub.close(id);
                }
            }
            Some(Conn::Asking(asking)) => {
                if asking.body.as_mut().is_some_and(http1::Body::close) {
                    post(hub, asking.request, Box::new(Told::Over));
                    finish(hub, asking.request);
                    self.conns.remove(id);
                    hub.close_for(id, CloseReason::Peer);
                } else {
                    self.fail(hub, id, 502, &"it has closed before its answer had ended");
                }
            }
        }
    }

    fn on_drain(&mut self, _: &mut A, hub: &mut Hub, id: ConnId) {
        match self.conns.get(id) {
            Some(Conn::Asking(asking)) => hub.resume(asking.request.conn()),
            Some(Conn::Tunnel(half)) => hub.resume(half.peer),
            Some(Conn::Switching) | None => {}
        }
    }

    fn on_timeout(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, timeout: Timeout) {
        match self.conns.get(id) {
            Some(Conn::Asking(_)) => self.fail(hub, id, 504, &"it does not answer"),
            // What is said there, and how often, is nobody's affair but theirs.
            Some(Conn::Tunnel(_)) if timeout != Timeout::Lifetime => {}
            _ => hub.close_for(id, CloseReason::TimedOut(timeout)),
        }
    }

    /// A client has not come over in time: it has gone.
    fn on_timer(&mut self, _: &mut A, hub: &mut Hub, id: Option<ConnId>, _: u32) {
        if let Some(id) = id {
            if let Some(Conn::Switching) = self.conns.get(id) {
                hub.abort(id);
            }
        }
    }

    fn on_dial_failed(
        &mut self,
        _: &mut A,
        hub: &mut Hub,
        _: ConnId,
        ticket: Option<Box<dyn Any>>,
        error: io::Error,
    ) {
        let Some(Ok(job)) = ticket.map(<Box<dyn Any>>::downcast::<Job>) else {
            return;
        };
        let status = match error.kind() {
            io::ErrorKind::TimedOut => 504,
            _ => 502,
        };
        log::warn!("{status}: {error}");
        post(hub, job.request, Box::new(Told::Over));
        respond(hub, job.request, status);
    }

    /// Answers that are under way may arrive.
    fn on_stop(&mut self, _: &mut A, hub: &mut Hub, driver: DriverId) {
        for id in hub.ids(driver) {
            if !matches!(self.conns.get(id), Some(Conn::Asking(_))) {
                hub.close_for(id, CloseReason::Shutdown);
            }
        }
    }

    fn on_close(&mut self, _: &mut A, hub: &mut Hub, id: ConnId, reason: CloseReason) {
        if let Some(Conn::Asking(_)) = self.conns.get(id) {
            return self.fail(hub, id, 502, &reason);
        }
        if let Some(Conn::Tunnel(half)) = self.conns.remove(id) {
            match reason {
                CloseReason::Local | CloseReason::Peer | CloseReason::Shutdown => {
                    hub.close(half.peer);
                }
                _ => hub.abort(half.peer),
            }
        }
    }
}

impl Upstream {
    /// A client has come over, to be one with the connection that was opened for it.
    fn join(&mut self, hub: &mut Hub, client: ConnId, upstream: ConnId) {
        if !matches!(self.conns.get(upstream), Some(Conn::Switching)) || !hub.is_open(upstream) {
            return hub.abort(client);
        }
        for (id, peer) in [(client, upstream), (upstream, client)] {
            let half = Half { peer, ended: false };
            self.conns.insert(id, Conn::Tunnel(half));
        }
        hub.resume(upstream);
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("connections", &self.conns.len())
            .finish_non_exhaustive()
    }
}
