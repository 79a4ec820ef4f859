//! TLS on the way in: handshakes, and records that become plaintext.
//!
//! A connection whose handshake is under way is none yet: no driver has heard of it, and it has one
//! deadline for all of it. Only so many steps of handshakes are taken in a turn, since a signature
//! costs as much time as thousands of messages of those who are served already.

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::id::ConnId;

use super::accept::Accepted;
use super::address::context;
use super::dialling::Failure;
use super::driver::{CloseReason, Origin};
use super::entry::Entry;
use super::hub::{Due, Errand, Hub, token};
use super::receive::Input;
use super::socket::{Flags, Received, Socket};
use super::sys::Sys;
use super::timers::TimerId;
use super::tls::{Acceptance, Session};

/// Room for records. Rustls gives up on a handshake message of 64 KiB, and never needs more of it.
const RECORDS: usize = 128 * 1024;

/// Bytes received at a time.
const MOST: usize = 64 * 1024;

/// The loop's buffer, where there is TLS: plaintext first, and the records that it is made of
/// behind it.
pub(super) const SECURE_BUFFER: usize = 2 * RECORDS;

/// Reads in a row before the next connection has its turn.
const MOST_READS: usize = 8;

/// A stream whose handshake is under way.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// What it becomes.
    pub(crate) socket: Socket,
    patience: Duration,
    deadline: Option<TimerId>,
    /// `None` if it was accepted: what the dial carries.
    dial: Option<Ticket>,
}

struct Ticket(Option<Box<dyn Any>>);

/// How far a handshake has come.
enum Progress {
    Done,
    /// It waits for the peer.
    Waiting,
    /// There is more to do at once.
    More,
}

impl Handshake {
    /// Of a connection that we have made.
    pub(super) fn dialled(
        socket: Socket,
        patience: Duration,
        deadline: Option<TimerId>,
        ticket: Option<Box<dyn Any>>,
    ) -> Self {
        Self {
            socket,
            patience,
            deadline,
            dial: Some(Ticket(ticket)),
        }
    }

    /// Reads and works until nothing more is there.
    fn go_on(
        &mut self,
        sys: &Sys,
        buffer: &mut [u8],
        steps: &mut usize,
        most: usize,
    ) -> io::Result<Progress> {
        let most_steps = most.min(*steps + MOST_READS);
        while *steps < most_steps {
            self.flush(sys)?;
            let Some(session) = &mut self.socket.tls else {
                return Ok(Progress::Done);
            };
            let held = session.take_held(buffer);
            let most = buffer.len().min(held + MOST);
            let read = match self.socket.receive(sys, &mut buffer[held..most]) {
                Received::Bytes(read) => read,
                Received::Eof => {
                    let text = "closed in the midst of the handshake";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                Received::Failed(error) => return Err(error),
                Received::Nothing => {
                    self.session(|session| session.hold(&buffer[..held]));
                    let flags = self.socket.flags;
                    let interrupted = flags.has(Flags::READABLE) && !flags.has(Flags::STALLED);
                    return Ok(match interrupted {
                        true => Progress::More,
                        false => Progress::Waiting,
                    });
                }
            };
            *steps += 1;
            let data = &mut buffer[..held + read];
            let is_http = self.is_plain_http(data);
            let Some(session) = &mut self.socket.tls else {
                return Ok(Progress::Done);
            };
            let shaken = session.shake(data);
            if is_http {
                session.refuse_plain_http();
            }
            let is_open = session.is_open();
            self.flush(sys)?;
            if is_http {
                let text = "it speaks HTTP without TLS";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            shaken?;
            if is_open {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }

    fn session(&mut self, change: impl FnOnce(&mut Session)) {
        if let Some(session) = &mut self.socket.tls {
            change(session);
        }
    }

    /// Records begin with a number below a space; the methods of HTTP are in capitals.
    fn is_plain_http(&self, data: &[u8]) -> bool {
        let begins = self.socket.bytes_read == data.len() as u64;
        self.dial.is_none() && begins && data.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Sends the records that are to be sent, as far as the kernel takes them.
    fn flush(&mut self, sys: &Sys) -> io::Result<()> {
        self.socket.outbox.get_or_insert_default();
        self.socket.flush(sys, usize::MAX, &mut Vec::new())?;
        Ok(())
    }

    /// Reads what nobody wants any more. An alert on its way would be lost by the reset that
    /// unread input turns a close into; that can be helped as far as it needs no waiting.
    fn drain(&mut self, sys: &Sys, buffer: &mut [u8]) {
        for _ in 0..MOST_READS {
            if !matches!(self.socket.receive(sys, buffer), Received::Bytes(_)) {
                break;
            }
        }
    }
}

impl Hub {
    /// Begins the handshake of a connection that was just accepted.
    pub(super) fn begin_handshake(
        &mut self,
        mut socket: Socket,
        acceptance: &Acceptance,
    ) -> Accepted {
        let (id, peer) = (self.slots.vacant_id(), socket.peer);
        let begun = acceptance.session().and_then(|session| {
            let token = token(id);
            self.sys
                .register(&self.registry, &mut socket.stream, token)?;
            Ok(session)
        });
        match begun {
            Ok(session) => socket.secure(Box::new(session)),
            Err(error) => {
                self.leave_listener(&socket);
                self.turn.accept_errors += 1;
                log::error!("cannot begin TLS with {peer:?}: {error}");
                return Accepted::Skipped;
            }
        }
        let (patience, deadline) = (acceptance.timeout(), self.later(acceptance.timeout()));
        let handshake = Handshake {
            socket,
            patience,
            deadline: self.deadlines.insert(deadline, (id, Due::Patience)),
            dial: None,
        };
        self.slots.insert(Entry::Handshake(Box::new(handshake)));
        log::trace!("accept {id} from {peer:?}, TLS");
        self.turn.accepts += 1;
        Accepted::Skipped
    }

    /// Goes on with a handshake. Returns what `on_open` is to be told if it is done.
    pub(super) fn shake(&mut self, id: ConnId, buffer: &mut [u8]) -> Option<Origin> {
        let Some(Entry::Handshake(handshake)) = self.slots.get_mut(id) else {
            return None;
        };
        if handshake.socket.flags.has(Flags::DEAD) {
            return None;
        }
        if self.turn.handshakes >= self.config.handshake_budget {
            self.queue(id);
            return None;
        }
        let socket = &handshake.socket;
        let before = (socket.bytes_read, socket.bytes_written);
        let progress = handshake.go_on(
            &self.sys,
            buffer,
            &mut self.turn.handshakes,
            self.config.handshake_budget,
        );
        if progress.is_err() {
            handshake.drain(&self.sys, buffer);
        }
        self.turn.bytes_read += handshake.socket.bytes_read - before.0;
        self.turn.bytes_written += handshake.socket.bytes_written - before.1;
        match progress {
            Ok(Progress::Waiting) => {
                if handshake.socket.flags.has(Flags::STALLED) {
                    self.retry_later(id);
                }
                None
            }
            Ok(Progress::More) => {
                self.queue(id);
                None
            }
            Ok(Progress::Done) => self.shaken(id),
            Err(error) => {
                self.handshake_failed(id, error);
                None
            }
        }
    }

    /// A handshake is done: from here on it is a connection.
    fn shaken(&mut self, id: ConnId) -> Option<Origin> {
        let Some(Entry::Handshake(handshake)) = self.slots.get_mut(id) else {
            return None;
        };
        if let Some(deadline) = handshake.deadline.take() {
            self.deadlines.cancel(deadline);
        }
        let origin = match (handshake.dial.take(), handshake.socket.listener) {
            (Some(Ticket(ticket)), _) => Origin::Dialled { ticket },
            (None, Some(listener)) => Origin::Accepted { listener },
            (None, None) => Origin::Adopted,
        };
        let (driver, now) = (handshake.socket.driver, self.millis);
        let stalled = handshake.socket.flags.has(Flags::STALLED);
        self.slots.change(id, |entry| match entry {
            Entry::Handshake(handshake) => Entry::Stream(handshake.into_socket(now)),
            other => other,
        });
        self.count_in(driver);
        self.arm(id);
        if stalled {
            self.retry_later(id);
        }
        log::trace!("TLS with {id} is open");
        Some(origin)
    }

    /// Ends a handshake that came to nothing. No driver has heard of it, but for one that has
    /// dialled.
    pub(super) fn handshake_failed(&mut self, id: ConnId, error: io::Error) {
        let Some(Entry::Handshake(handshake)) = self.slots.get_mut(id) else {
            return;
        };
        if handshake.socket.flags.has(Flags::DEAD) {
            return;
        }
        handshake.socket.flags.set(Flags::DEAD);
        if let Some(deadline) = handshake.deadline.take() {
            self.deadlines.cancel(deadline);
        }
        handshake.socket.stream.shutdown_write();
        let peer = handshake.socket.peer;
        let whom = peer.map_or_else(|| "a Unix socket".to_owned(), |peer| format!("tcp {peer}"));
        match handshake.dial.take() {
            None => {
                self.turn.handshakes_failed += 1;
                log::info!("no TLS with {whom}: {error}");
                self.dead.push_back(id);
            }
            Some(Ticket(ticket)) => {
                let driver = handshake.socket.driver;
                handshake.socket.stream.deregister(&self.registry);
                let error = context(&error, &format!("no TLS with {whom}"));
                self.errands.push_back(Errand::DialFailed(Box::new(Failure {
                    id,
                    driver,
                    ticket,
                    error,
                })));
            }
        }
    }

    /// The deadline of a handshake has passed.
    pub(super) fn handshake_timed_out(&mut self, id: ConnId) {
        if let Some(Entry::Handshake(handshake)) = self.slots.get(id) {
            let text = format!("the handshake took longer than {:?}", handshake.patience);
            self.handshake_failed(id, io::Error::new(io::ErrorKind::TimedOut, text));
        }
    }

    /// Looks for input that is encrypted: one `recv`, or more until plaintext comes of it.
    pub(super) fn receive_secure(
        &mut self,
        id: ConnId,
        buffer: &mut [u8],
        budget: &mut usize,
    ) -> Input {
        let (plain, records) = buffer.split_at_mut(RECORDS);
        while *budget > 0 {
            let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
                break;
            };
            let Some(session) = &mut socket.tls else {
                break;
            };
            let mut length = 0;
            if !session.has_unread() {
                if !socket.flags.has(Flags::READABLE) {
                    break;
                }
                length = session.take_held(records);
                self.turn.reads += 1;
                let most = records.len().min(length + MOST.min(*budget));
                match socket.receive(&self.sys, &mut records[length..most]) {
                    Received::Bytes(read) => {
                        socket.life.heard(self.millis);
                        self.turn.bytes_read += read as u64;
                        *budget -= read;
                        length += read;
                    }
                    other => {
                        if let Some(session) = &mut socket.tls {
                            session.hold(&records[..length]);
                        }
                        return self.records_ended(id, other);
                    }
                }
            }
            if let Some(input) = self.decrypt(id, plain, &mut records[..length]) {
                return input;
            }
        }
        Input::Nothing
    }

    /// Makes plaintext of records. `None` if nothing comes of them.
    fn decrypt(&mut self, id: ConnId, plain: &mut [u8], records: &mut [u8]) -> Option<Input> {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return None;
        };
        let (session, mut held) = (socket.tls.as_mut()?, socket.held.take());
        let (before, mut end) = (held.as_ref().map_or(0, |held| held.len()), 0);
        let result = session.receive(records, |piece| match &mut held {
            Some(held) => held.extend_from_slice(piece),
            None => {
                plain[end..end + piece.len()].copy_from_slice(piece);
                end += piece.len();
            }
        });
        // An alert, or new keys.
        if !session.outgoing().is_empty() {
            socket.outbox.get_or_insert_default();
        }
        if session.is_peer_closed() {
            socket.flags.set(Flags::EOF);
        }
        if result.is_err() {
            socket.flags.set(Flags::BROKEN);
        }
        let came = end > 0 || held.as_ref().is_some_and(|held| held.len() > before);
        match (result, held) {
            // What came before an error is delivered before it.
            (Err(_), held) if came => Some(held.map_or(Input::Buffered(end), Input::Held)),
            (Err(error), _) => {
                log::info!("closing {id}, peer {:?}: TLS: {error}", socket.peer);
                // The alert that says why leaves before that.
                self.close_for(id, CloseReason::Tls);
                Some(Input::Nothing)
            }
            (Ok(()), held) if came => Some(held.map_or(Input::Buffered(end), Input::Held)),
            (Ok(()), held) if socket.flags.has(Flags::EOF) => {
                socket.flags.set(Flags::EOF_TOLD);
                Some(Input::Eof(held.unwrap_or_default()))
            }
            (Ok(()), held) => {
                socket.held = held;
                None
            }
        }
    }

    /// The stream has ended or failed, or there was nothing.
    fn records_ended(&mut self, id: ConnId, received: Received) -> Input {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return Input::Nothing;
        };
        match received {
            Received::Eof if socket.tls.as_ref().is_some_and(|tls| tls.ends_cleanly()) => {
                socket.flags.set(Flags::EOF_TOLD);
                return Input::Eof(socket.held.take().unwrap_or_default());
            }
            Received::Eof => self.end(id, CloseReason::Truncated),
            Received::Failed(error) => self.end(id, CloseReason::from_error(&error)),
            Received::Bytes(_) | Received::Nothing => {
                if socket.flags.has(Flags::STALLED) {
                    self.retry_later(id);
                }
            }
        }
        Input::Nothing
    }
}

impl Handshake {
    /// What it becomes when it is done.
    fn into_socket(self, now: u64) -> Socket {
        let mut socket = self.socket;
        socket.life.heard(now);
        // What the events so far said of reading, and of its end, was not kept.
        socket.flags.set(Flags::READABLE);
        socket.flags.set(Flags::URGENT);
        if let Some(tls) = &socket.tls {
            if tls.has_failed() {
                socket.flags.set(Flags::BROKEN);
            } else if tls.is_peer_closed() && !tls.has_unread() {
                // It was said right behind the handshake; nothing else may come to tell of it.
                socket.flags.set(Flags::EOF);
            }
        }
        if socket.backlog() == 0 {
            socket.outbox = None;
        }
        socket
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}
