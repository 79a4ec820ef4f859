//! What is not taken, and what its sender is told.

use std::fmt;

use crate::id::ConnId;
use crate::proto::http1;
use crate::reactor::Hub;

use super::Server;
use super::cx::Cx;
use super::exchange::{Answer, Phase};
use super::response::Response;

/// Why a request is not taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
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

impl<A> Server<A> {
    /// Answers what is no request, or one that cannot be taken, and closes the connection.
    pub(super) fn refuse(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, refusal: Refusal) {
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
}
