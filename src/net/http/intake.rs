//! What arrives: heads, and the bodies behind them, whole or piece by piece.

use crate::id::ConnId;
use crate::proto::http1;
use crate::reactor::Hub;

use super::access;
use super::client::client_of;
use super::driver::conn_of;
use super::exchange::{Answer, Incoming, Phase};
use super::mount::Intake;
use super::refusal::Refusal;
use super::router::{Matched, route};
use super::{Request, Server};

/// What a client that waits for it is told before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl<A> Server<A> {
    /// A head is there: `end` bytes of `data`, and behind it perhaps its body. Returns how many
    /// bytes have been used.
    pub(super) fn begin(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        data: &[u8],
        end: usize,
    ) -> usize {
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
    pub(super) fn collect(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8]) -> usize {
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
    pub(super) fn stream(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, data: &[u8]) -> usize {
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
