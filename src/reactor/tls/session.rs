//! TLS of one connection: from records to plaintext and back.
//!
//! No socket is touched here. What is received is decrypted in the loop's buffer, and
//! only the beginning of a record that is still to be completed is kept; what is sent is encrypted
//! when the kernel has room for it. An idle session owns no buffer.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use super::explained;
use super::info::Info;
use super::server::Names;

/// What TLS adds to the plaintext of one record at most: RFC 8446, section 5.2.
const OVERHEAD: usize = 5 + 256;

/// Bytes of plaintext in a record at most: RFC 8446, section 5.1.
const RECORD: usize = 16 * 1024;

/// As nginx has it, but for the words.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 36\r\nConnection: close\r\n\r\n400: TLS is spoken here: use https.\n";

/// TLS of one connection.
pub(crate) struct Session {
    side: Side,
    /// What was received and has not been used: the beginning of a record.
    held: Vec<u8>,
    /// Plaintext that came up before anybody could be given it: behind the handshake.
    early: Vec<u8>,
    outgoing: Records,
    /// The handshake is done.
    open: bool,
    /// What came of it was an error.
    failed: Option<Error>,
    /// The peer has said that nothing follows.
    peer_closed: bool,
    /// We have.
    closed: bool,
    /// An end without such a word is as good.
    tolerant: bool,
    server_name: Option<Box<str>>,
}

/// Records to be sent: those from `sent` to `end`. What lies behind is room, which would cost as
/// much to fill with zeros again as it costs to be encrypted into.
struct Records {
    room: Vec<u8>,
    sent: usize,
    end: usize,
}

enum Side {
    Client(UnbufferedClientConnection),
    /// With what knows the name that was asked for, until the handshake is done.
    Server(UnbufferedServerConnection, Option<Arc<Names>>),
}

/// What one step of the state machine has come to.
enum Step {
    /// There may be more to do.
    Again,
    /// Plaintext was delivered.
    Delivered,
    /// More has to be received, or nothing is left to be done.
    Blocked,
    /// It may be written to.
    Ready,
    PeerClosed,
}

/// Something to be done as soon as the state machine lets it.
enum Write<'a> {
    Nothing,
    Data(&'a [u8]),
    CloseNotify,
}

impl Session {
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        tolerant: bool,
    ) -> Result<Self, Error> {
        let server_name = Some(name.to_str().into());
        let side = Side::Client(UnbufferedClientConnection::new(config, name)?);
        let mut session = Self {
            server_name,
            ..Self::new(side, tolerant)
        };
        // It is for a client to begin.
        session.receive(&mut [], |_| {})?;
        Ok(session)
    }

    pub(super) fn server(
        config: Arc<ServerConfig>,
        names: Arc<Names>,
        tolerant: bool,
    ) -> Result<Self, Error> {
        let server = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Side::Server(server, Some(names)), tolerant))
    }

    fn new(side: Side, tolerant: bool) -> Self {
        Self {
            side,
            held: Vec::new(),
            early: Vec::new(),
            outgoing: Records::of(Vec::new()),
            open: false,
            failed: None,
            peer_closed: false,
            closed: false,
            tolerant,
            server_name: None,
        }
    }

    /// The handshake is done.
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// The peer has said that nothing follows.
    pub(crate) const fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// An end of the stream is the end of what was said, and nobody has cut it off.
    pub(crate) const fn ends_cleanly(&self) -> bool {
        self.peer_closed || self.tolerant
    }

    /// Plaintext is there that has yet to be delivered, or an error that has yet to be told.
    pub(crate) fn has_unread(&self) -> bool {
        !self.early.is_empty() || self.failed.is_some()
    }

    /// What came of it was an error: but for the alert nothing more can be said.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// What is known of the peer and of what was agreed on.
    pub(crate) fn info(&self) -> Info {
        Info::of(self.common(), self.server_name.as_deref())
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Client(client) => client,
            Side::Server(server, _) => server,
        }
    }

    /// Keeps what was received and is not to be looked at yet.
    pub(crate) fn hold(&mut self, data: &[u8]) {
        self.held = data.to_vec();
    }

    /// Puts what was kept at the front of `buffer`; returns how many bytes that is.
    pub(crate) fn take_held(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.held.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.held[..length]);
        self.held = Vec::new();
        length
    }

    /// Works through what was received during the handshake, and what followed it at once.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub(crate) fn shake(&mut self, data: &mut [u8]) -> io::Result<()> {
        let mut early = std::mem::take(&mut self.early);
        let result = self.receive(data, |plain| early.extend_from_slice(plain));
        self.early = early;
        if let Side::Server(_, names) = &mut self.side {
            // Nobody else's handshake has been worked on in between.
            let asked = names.as_ref().and_then(|names| names.take_asked());
            if let Some(asked) = asked {
                self.server_name = Some(asked.into());
            }
            if self.open {
                *names = None;
            }
        }
        result.map_err(explained)
    }

    /// Works through what was received. Plaintext is given to `deliver`; what makes no whole record
    /// is kept.
    ///
    /// # Errors
    ///
    /// When the peer has broken the protocol or is not whom we trust. What it is to be told is
    /// [`outgoing`](Self::outgoing).
    pub(crate) fn receive(
        &mut self,
        data: &mut [u8],
        mut deliver: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if !self.early.is_empty() {
            deliver(&std::mem::take(&mut self.early));
        }
        match self.decrypt(data, &mut deliver) {
            Ok(used) => {
                if used < data.len() && !self.peer_closed {
                    self.held = data[used..].to_vec();
                }
                Ok(())
            }
            Err(error) => {
                self.tell();
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Takes steps until one needs more than there is. Returns how many bytes were used.
    fn decrypt(
        &mut self,
        data: &mut [u8],
        deliver: &mut impl FnMut(&[u8]),
    ) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let (discard, step) = self.step(&mut data[used..], deliver, &Write::Nothing)?;
            used += discard;
            match step {
                // Nothing is left to be looked at, as nearly always.
                Step::Delivered if self.open && used == data.len() => break,
                Step::Again | Step::Delivered => {}
                Step::PeerClosed => self.peer_closed = true,
                Step::Ready => {
                    self.open = true;
                    break;
                }
                Step::Blocked => break,
            }
        }
        Ok(used)
    }

    /// After an error: has the alert encoded that goes with it. Not a step more, since rustls would
    /// come upon the same error again, and panic in debug builds.
    fn tell(&mut self) {
        while self.common().wants_write() {
            if self.step(&mut [], &mut |_| {}, &Write::Nothing).is_err() {
                break;
            }
        }
    }

    /// Encrypts some of `data`; returns how much.
    ///
    /// # Errors
    ///
    /// When that is not possible any more.
    pub(crate) fn send(&mut self, data: &[u8]) -> Result<usize, Error> {
        let data = &data[..data.len().min(4 * RECORD)];
        self.write(&Write::Data(data))?;
        Ok(data.len())
    }

    /// Says that nothing follows, once. True if there is something to be sent by that.
    pub(crate) fn close(&mut self) -> bool {
        if self.closed || !self.open {
            return false;
        }
        self.closed = true;
        self.write(&Write::CloseNotify).is_ok()
    }

    /// Runs the state machine to where it can be written to. It may have to say something of its
    /// own before that, and has to be given again what it was given last.
    fn write(&mut self, what: &Write<'_>) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let (mut held, mut early) = (std::mem::take(&mut self.held), Vec::new());
        let mut used = 0;
        let result = loop {
            let mut deliver = |plain: &[u8]| early.extend_from_slice(plain);
            match self.step(&mut held[used..], &mut deliver, what) {
                Ok((discard, step)) => {
                    used += discard;
                    match step {
                        Step::Again | Step::Delivered => {}
                        Step::PeerClosed => self.peer_closed = true,
                        Step::Ready => break Ok(()),
                        Step::Blocked => break Err(Error::HandshakeNotComplete),
                    }
                }
                Err(error) => break Err(error),
            }
        };
        held.drain(..used);
        self.held = held;
        self.early.append(&mut early);
        result
    }

    fn step(
        &mut self,
        data: &mut [u8],
        deliver: &mut impl FnMut(&[u8]),
        write: &Write<'_>,
    ) -> Result<(usize, Step), Error> {
        let (side, outgoing) = (&mut self.side, &mut self.outgoing);
        let stepped = catch_unwind(AssertUnwindSafe(|| match side {
            Side::Client(client) => {
                let status = client.process_tls_records(data);
                take::<ClientConnectionData>(status, deliver, write, outgoing)
            }
            Side::Server(server, _) => {
                let status = server.process_tls_records(data);
                take::<ServerConnectionData>(status, deliver, write, outgoing)
            }
        }));
        // Should there be a case that rustls has not thought of, it costs this connection only.
        stepped.unwrap_or_else(|_| Err(Error::General("rustls panicked".to_owned())))
    }

    /// Has somebody answered who speaks HTTP and no TLS, in words that are understood there.
    pub(crate) fn refuse_plain_http(&mut self) {
        self.outgoing = Records::of(PLAIN_HTTP.to_vec());
    }

    /// Records that are to be sent.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.outgoing.room[self.outgoing.sent..self.outgoing.end]
    }

    /// Forgets records that were sent.
    pub(crate) fn consume(&mut self, sent: usize) {
        self.outgoing.sent += sent;
        if self.outgoing.sent == self.outgoing.end {
            (self.outgoing.sent, self.outgoing.end) = (0, 0);
        }
    }

    /// Takes the loop's room for records, unless there are some of its own to be sent first.
    pub(crate) fn borrow(&mut self, room: &mut Vec<u8>) {
        if self.outgoing.end == 0 {
            self.outgoing.room = std::mem::take(room);
        }
    }

    /// Gives it back. What the kernel has not taken is kept in no more room than it needs.
    pub(crate) fn give_back(&mut self, room: &mut Vec<u8>) {
        let is_lent = room.capacity() == 0;
        if is_lent || self.outgoing.end == 0 {
            let rest = Records::of(self.outgoing().to_vec());
            let used = std::mem::replace(&mut self.outgoing, rest).room;
            if used.capacity() > room.capacity() {
                *room = used;
            }
        }
    }
}

/// Does what the state machine wants done.
fn take<D>(
    status: UnbufferedStatus<'_, '_, D>,
    deliver: &mut impl FnMut(&[u8]),
    write: &Write<'_>,
    outgoing: &mut Records,
) -> Result<(usize, Step), Error> {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                discard += record.discard;
                deliver(record.payload);
            }
            Step::Delivered
        }
        ConnectionState::EncodeTlsData(mut encoding) => {
            outgoing.append(0, |room| match encoding.encode(room) {
                Ok(length) => Ok(length),
                Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                Err(EncodeError::AlreadyEncoded) => Err(None),
            })?;
            Step::Again
        }
        ConnectionState::TransmitTlsData(transmission) => {
            // It leaves with the rest of what is outgoing.
            transmission.done();
            Step::Again
        }
        ConnectionState::WriteTraffic(mut traffic) => {
            let fits = |result| match result {
                Ok(length) => Ok(length),
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            };
            match write {
                Write::Nothing => {}
                Write::Data(data) => {
                    let about = data.len() + OVERHEAD * data.len().div_ceil(RECORD).max(1);
                    outgoing.append(about, |room| fits(traffic.encrypt(data, room)))?;
                }
                Write::CloseNotify => {
                    outgoing.append(OVERHEAD, |room| fits(traffic.queue_close_notify(room)))?;
                }
            }
            Step::Ready
        }
        ConnectionState::PeerClosed => Step::PeerClosed,
        // We do not offer to take early data, so none can come.
        _ => Step::Blocked,
    };
    Ok((discard, step))
}

impl Records {
    fn of(room: Vec<u8>) -> Self {
        let end = room.len();
        Self { room, sent: 0, end }
    }

    /// Appends what `write` puts into the room it is given, which it may ask to be larger.
    fn append(
        &mut self,
        about: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
    ) -> Result<(), Error> {
        let mut wanted = about;
        loop {
            if self.room.len() < self.end + wanted {
                self.room.resize(self.end + wanted, 0);
            }
            match write(&mut self.room[self.end..]) {
                Ok(length) => {
                    self.end += length;
                    return Ok(());
                }
                Err(Some(required)) if required > wanted => wanted = required,
                Err(_) => return Err(Error::EncryptError),
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("open", &self.open)
            .field("peer_closed", &self.peer_closed)
            .field("outgoing", &self.outgoing().len())
            .finish_non_exhaustive()
    }
}
