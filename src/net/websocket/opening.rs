//! How connections begin: clients that are led here, and servers that are asked.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::id::ConnId;
use crate::net::http::{Kept, Request, Response};
use crate::proto::http1::{self, Scan, Space, write};
#[cfg(feature = "deflate")]
use crate::proto::websocket::deflate::Deflate;
use crate::proto::websocket::{Role, handshake};
use crate::reactor::{Hub, Owner};

use super::cx::DEADLINE;
use super::dial::Dial;
use super::endpoint::{Endpoint, MAX_HEAD};
use super::framing::MASKED;
use super::member::{Asked, Asking, Member, Stage};
use super::{Accept, Handler, Upgrade};

/// How long a client waits for a decision that is put off: half of nginx's `proxy_read_timeout`.
const DECIDE_TIMEOUT: Duration = Duration::from_secs(30);

impl<A: Handler> Endpoint<A> {
    /// A client was led here: asks the application about it.
    pub(super) fn admit(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, request: Kept) {
        // Whatever is sent to it in the callback must not come before the answer.
        hub.mute(id);
        let upgrade = match self.stopping {
            true => Some(Upgrade::Refuse(Response::plain(503))),
            false => request.lend(|request| app.on_upgrade(hub, id, request)),
        };
        let Some(upgrade) = upgrade else {
            return hub.abort(id);
        };
        let asked = Asked {
            request,
            deadline: None,
        };
        let stage = Stage::Deciding(Box::new(asked));
        let member = Member::new(Role::Server, &self.options, stage);
        self.members.insert(id, member);
        self.decide(app, hub, id, upgrade);
    }

    /// Does as was decided about a client.
    pub(super) fn decide(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, upgrade: Upgrade) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let mut asked = match std::mem::replace(&mut member.stage, Stage::Over) {
            Stage::Deciding(asked) => asked,
            other => return member.stage = other,
        };
        if let Some(deadline) = asked.deadline.take() {
            hub.cancel_timer(deadline);
        }
        match upgrade {
            Upgrade::Later => {
                asked.deadline = hub.set_timer(Owner::Conn(id), DECIDE_TIMEOUT, DEADLINE);
                member.stage = Stage::Deciding(asked);
                hub.pause(id);
            }
            Upgrade::Refuse(response) => {
                hub.unmute(id);
                refuse(hub, id, &response);
                hub.close(id);
            }
            // It was closed while it was being asked about.
            Upgrade::Accept(_) if !hub.is_open(id) => {}
            Upgrade::Accept(accept) => {
                asked
                    .request
                    .lend(|request| self.accept(app, hub, id, request, accept));
            }
        }
    }

    fn accept(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        request: &Request<'_>,
        accept: Accept,
    ) {
        let Ok(offer) = handshake::Offer::read(request.head()) else {
            return hub.abort(id);
        };
        let Accept { protocol, fields } = accept;
        #[cfg(feature = "deflate")]
        let fields = self.agree(hub, id, request.head(), fields);
        hub.unmute(id);
        hub.send_with(id, |out| offer.accept(out, protocol.as_deref(), &fields))
            .ignore();
        let chosen = protocol.filter(|name| offer.protocols().any(|own| own == name));
        hub.resume(id);
        self.open(app, hub, id, request, chosen.as_deref(), None);
    }

    /// Has messages compressed, if the client offers that. Returns the fields of the answer with
    /// what says so.
    #[cfg(feature = "deflate")]
    fn agree(
        &mut self,
        hub: &mut Hub,
        id: ConnId,
        head: &http1::Request<'_>,
        mut fields: Vec<u8>,
    ) -> Vec<u8> {
        let (Some(wish), Some(member)) = (self.options.wish(), self.members.get_mut(id)) else {
            return fields;
        };
        let offers = head.headers.all("Sec-WebSocket-Extensions");
        if let Some(agreed) = Deflate::negotiate(offers, wish) {
            agreed.write(&mut fields);
            let form = member.agree(agreed, &self.options, &self.shared.pool);
            hub.set_form(id, form);
        }
        fields
    }

    /// Both sides have agreed.
    fn open(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        request: &Request<'_>,
        protocol: Option<&str>,
        ticket: Option<Box<dyn Any>>,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let mut cx = self.shared.cx(hub, id, &mut member.link);
        (cx.protocol, cx.ticket) = (protocol, ticket);
        match app.on_open(&mut cx, request) {
            Some(conn) => {
                member.stage = Stage::Open(conn);
                self.watch(hub, id);
            }
            None => hub.abort(id),
        }
    }

    /// The connection for a dial is there: asks for WebSocket on it.
    pub(super) fn ask(&mut self, app: &mut A, hub: &mut Hub, id: ConnId, dial: Dial) {
        let key = handshake::key(self.shared.keys.nonce());
        let names: Vec<&str> = dial.protocols.iter().map(String::as_str).collect();
        let (mut request, fields) = (Vec::new(), dial.fields);
        #[cfg(feature = "deflate")]
        let (fields, deflate) = (self.offer(fields), self.options.wish());
        let (host, target) = (&dial.host, &dial.target);
        let made = handshake::request(&mut request, host, target, &key, &names, &fields);
        let request = Kept::own(request);
        // Later `on_open` is to be lent it.
        if !made || request.lend(|_| ()).is_none() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the request cannot be sent");
            app.on_dial_failed(hub, dial.ticket, error);
            return hub.abort(id);
        }
        hub.send(id, request.head()).ignore();
        // Whatever is sent to it meanwhile must not come before the answer.
        hub.mute(id);
        let patience = dial.deadline.unwrap_or(self.options.close_timeout);
        let deadline = hub.set_timer(Owner::Conn(id), patience, DEADLINE);
        let asking = Asking {
            deadline,
            scan: Scan::new(MAX_HEAD),
            key,
            protocols: dial.protocols,
            #[cfg(feature = "deflate")]
            deflate,
            request,
            ticket: dial.ticket,
        };
        let stage = Stage::Asking(Box::new(asking));
        let member = Member::new(Role::Client, &self.options, stage);
        self.members.insert(id, member);
    }

    /// The fields of a request with what offers to compress messages, if we would.
    #[cfg(feature = "deflate")]
    fn offer(&self, mut fields: Vec<u8>) -> Vec<u8> {
        if let Some(wish) = self.options.wish() {
            wish.offer(&mut fields);
        }
        fields
    }

    /// A server's answer, as far as it is there. Returns how many bytes it took.
    pub(super) fn read_answer(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        data: &[u8],
    ) -> usize {
        let Some(member) = self.members.get_mut(id) else {
            return data.len();
        };
        let Stage::Asking(asking) = &mut member.stage else {
            return 0;
        };
        let end = match asking.scan.find_end(data) {
            Ok(None) => return 0,
            Ok(Some(end)) => end,
            Err(error) => {
                self.unanswered(app, hub, id, error);
                return data.len();
            }
        };
        let agreed = match asking.read(&data[..end]) {
            Ok(agreed) => agreed,
            Err(error) => {
                self.unanswered(app, hub, id, error);
                return data.len();
            }
        };
        let Stage::Asking(asking) = std::mem::replace(&mut member.stage, Stage::Over) else {
            return end;
        };
        if let Some(deadline) = asking.deadline {
            hub.cancel_timer(deadline);
        }
        hub.unmute(id);
        #[cfg(feature = "deflate")]
        let form = match agreed.deflate {
            Some(deflate) => member.agree(deflate, &self.options, &self.shared.pool),
            None => MASKED,
        };
        #[cfg(not(feature = "deflate"))]
        let form = MASKED;
        hub.set_form(id, form);
        let (protocol, ticket) = (agreed.protocol.as_deref(), asking.ticket);
        let open = |request: &Request<'_>| self.open(app, hub, id, request, protocol, ticket);
        asking.request.lend(open);
        end
    }

    /// A dial has come to nothing after all.
    pub(super) fn unanswered(
        &mut self,
        app: &mut A,
        hub: &mut Hub,
        id: ConnId,
        why: impl Into<Box<dyn Error + Send + Sync>>,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if !matches!(member.stage, Stage::Asking(_)) {
            return;
        }
        if let Stage::Asking(asking) = std::mem::replace(&mut member.stage, Stage::Over) {
            let peer = hub
                .peer_addr(id)
                .map_or_else(String::new, |peer| format!(" {peer}"));
            let error = NoWebSocket {
                peer,
                why: why.into(),
            };
            app.on_dial_failed(hub, asking.ticket, io::Error::other(error));
            hub.abort(id);
        }
    }
}

/// What an error of `on_dial_failed` carries if there was a server.
#[derive(Debug)]
struct NoWebSocket {
    peer: String,
    why: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for NoWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no WebSocket with tcp{}: {}", self.peer, self.why)
    }
}

impl Error for NoWebSocket {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.why)
    }
}

/// The status with which a server has refused a dial, 401 for instance, in an error of
/// [`on_dial_failed`](Handler::on_dial_failed). `None` if that was not it.
pub fn status(error: &io::Error) -> Option<u16> {
    let error: &NoWebSocket = error.get_ref()?.downcast_ref()?;
    match error.why.downcast_ref()? {
        handshake::Unanswered::Status(status) => Some(*status),
        _ => None,
    }
}

/// What a server has agreed to.
struct Agreed {
    protocol: Option<String>,
    #[cfg(feature = "deflate")]
    deflate: Option<Deflate>,
}

impl Asking {
    /// Reads the head of a server's answer. The error says why it is none.
    fn read(&self, head: &[u8]) -> Result<Agreed, Box<dyn Error + Send + Sync>> {
        let mut space = Space::new();
        let head = http1::Response::parse(head, "GET", &mut space)?;
        let names: Vec<&str> = self.protocols.iter().map(String::as_str).collect();
        #[cfg(feature = "deflate")]
        let extensions = self.deflate.is_some();
        #[cfg(not(feature = "deflate"))]
        let extensions = false;
        let protocol = handshake::read_answer(&head, &self.key, &names, extensions)?;
        Ok(Agreed {
            protocol: protocol.map(str::to_owned),
            #[cfg(feature = "deflate")]
            deflate: match self.deflate {
                None => None,
                Some(wish) => wish.agreed(head.headers.all("Sec-WebSocket-Extensions"))?,
            },
        })
    }
}

/// Answers a client that it may not connect.
fn refuse(hub: &mut Hub, id: ConnId, response: &Response) {
    hub.send_with(id, |out| {
        write::status_line(out, response.status());
        response.write_fields(out);
        write::framing(out, http1::Length::Fixed(response.payload().len() as u64));
        out.extend_from_slice(b"Connection: close\r\n\r\n");
        out.extend_from_slice(response.payload());
    })
    .ignore();
}
