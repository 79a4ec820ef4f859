//! One request and its answer, and the connection that they are on.

use std::net::IpAddr;
use std::time::Instant;

use crate::id::ConnId;
use crate::proto::http1::{self, Scan, Version};
use crate::reactor::{DriverId, TimerId};

use super::coding::Coding;
use super::response::Response;

/// Names one request of one connection for ever. Answering one that has been answered, or whose
/// client has gone, does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    pub(super) conn: ConnId,
    pub(super) number: u32,
    /// The server, which may give the connection away.
    pub(super) driver: DriverId,
}

impl RequestId {
    /// The connection that it came by.
    pub const fn conn(self) -> ConnId {
        self.conn
    }
}

/// A connection, as a server sees it.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) phase: Phase,
    pub(super) scan: Scan,
    pub(super) exchange: Exchange,
    /// When patience with the present phase ends.
    pub(super) deadline: Option<Instant>,
    /// The one timer behind all deadlines, and what it is set to.
    pub(super) timer: Option<(TimerId, Instant)>,
    /// Since when, and after how many bytes, the client's taking of a response is measured.
    pub(super) measured: Option<(Instant, u64)>,
    /// A body on its way.
    pub(super) body: Option<Box<Incoming>>,
    /// The peer, or whom a proxy has named instead.
    pub(super) peer: Option<IpAddr>,
    /// The client has finished sending; these bytes had not been looked at yet.
    pub(super) rest: Option<Box<[u8]>>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of the PROXY protocol is to come.
    Proxied,
    /// No request is under way, or its head is arriving.
    Head,
    /// A body is being collected.
    Collect,
    /// A body is being passed on to its handler, which may be answering.
    Stream,
    /// The request is there, and the answer is owed or under way.
    Answer,
    /// There will be no further request.
    Closing,
}

/// A body on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The head, kept until the body is complete.
    pub(super) head: Box<[u8]>,
    pub(super) decoder: http1::Body,
    /// What has been collected.
    pub(super) data: Vec<u8>,
    pub(super) limit: usize,
    pub(super) began: Instant,
    pub(super) received: u64,
}

/// What has to be known of a request to answer it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) number: u32,
    pub(super) mount: usize,
    pub(super) answer: Answer,
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) keep_alive: bool,
    /// Some of its body is still to come, and nobody may wait for it.
    pub(super) unread: bool,
    pub(super) coding: Coding,
    pub(super) status: u16,
    /// Bytes of the body that were sent.
    pub(super) sent: u64,
    pub(super) line: Option<Box<str>>,
    /// What CORS adds to the answer.
    pub(super) cors: Vec<u8>,
    pub(super) timers: Vec<TimerId>,
    /// The answer if no other comes in time.
    pub(super) otherwise: Option<Box<Response>>,
    /// It is a stream of events, which nobody reads who has finished sending.
    pub(super) events: bool,
    /// Who is in the access log.
    pub(super) client: Option<IpAddr>,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Owed,
    /// Its head has been sent, and the body is framed so.
    Streaming(Framing),
    Done,
    /// The connection has been reset instead.
    Aborted,
    /// Another driver answers.
    HandedOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    /// So many bytes are left.
    Fixed(u64),
    UntilClose,
    /// There is no body to be sent, whatever the handler thinks.
    None,
}

impl Conn {
    pub(super) const fn new(proxied: bool, max_head: usize) -> Self {
        Self {
            phase: if proxied { Phase::Proxied } else { Phase::Head },
            scan: Scan::new(max_head),
            exchange: Exchange::none(),
            deadline: None,
            timer: None,
            measured: None,
            body: None,
            peer: None,
            rest: None,
        }
    }

    /// True if a request waits for its answer, or for the rest of it.
    pub(super) const fn is_answering(&self) -> bool {
        matches!(self.phase, Phase::Answer | Phase::Stream)
            && !matches!(self.exchange.answer, Answer::Done | Answer::HandedOver)
    }
}

impl Exchange {
    const fn none() -> Self {
        Self {
            number: 0,
            mount: 0,
            answer: Answer::Done,
            version: Version::Http11,
            is_head: false,
            keep_alive: false,
            unread: false,
            coding: Coding::Identity,
            status: 0,
            sent: 0,
            line: None,
            cors: Vec::new(),
            timers: Vec::new(),
            otherwise: None,
            events: false,
            client: None,
        }
    }

    /// For the next request of a connection.
    pub(super) fn begin(&mut self, head: &http1::Request<'_>) {
        self.number = self.number.wrapping_add(1);
        self.answer = Answer::Owed;
        self.version = head.version;
        self.is_head = head.method == "HEAD";
        self.keep_alive = head.keep_alive;
        self.unread = false;
        self.coding = Coding::accepted(head.headers);
        (self.status, self.sent) = (0, 0);
        self.cors.clear();
        (self.events, self.client, self.otherwise) = (false, None, None);
    }

    /// For what has come instead of a request.
    pub(super) fn begin_unread(&mut self) {
        let (number, timers) = (
            self.number.wrapping_add(1),
            std::mem::take(&mut self.timers),
        );
        *self = Self {
            number,
            timers,
            ..Self::none()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of an idle connection is decided here, besides what the reactor has of it.
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<Conn>() <= 288, "{} bytes", size_of::<Conn>());
    }
}
