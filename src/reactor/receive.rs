//! The way in: from the kernel to the bytes that a driver is given.
#![expect(
    clippy::box_collection,
    reason = "a socket keeps held bytes behind one pointer"
)]

use std::io;

use crate::id::ConnId;

use super::driver::CloseReason;
use super::entry::Entry;
use super::hub::Hub;
use super::socket::{Flags, Received};

/// What there is for the driver after one look at a connection.
pub(super) enum Input {
    /// This many bytes at the front of the loop's buffer.
    Buffered(usize),
    /// More than the loop's buffer holds: the bytes held so far, and the new ones behind them.
    Held(Box<Vec<u8>>),
    /// The peer has finished; these bytes were never consumed.
    Eof(Box<Vec<u8>>),
    Nothing,
}

impl Hub {
    /// Looks once for input: one `recv`, unless there is something out of the ordinary.
    #[inline]
    pub(super) fn receive(&mut self, id: ConnId, buffer: &mut [u8], budget: &mut usize) -> Input {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return Input::Nothing;
        };
        if socket.is_special() {
            return self.receive_special(id, buffer, budget);
        }
        if !socket.flags.has(Flags::READABLE) {
            return Input::Nothing;
        }
        self.turn.reads += 1;
        let most = (*budget).min(buffer.len());
        let received = socket.receive(&self.sys, &mut buffer[..most]);
        if let Received::Bytes(read) = received {
            socket.life.heard(self.millis);
            self.turn.bytes_read += read as u64;
            *budget -= read;
            log::trace!("read {id}: {read} bytes");
            return Input::Buffered(read);
        }
        self.received_nothing(id, received, Box::default())
    }

    /// The peer has finished, something failed, or there was nothing; `held` was not consumed
    /// before.
    fn received_nothing(&mut self, id: ConnId, received: Received, held: Box<Vec<u8>>) -> Input {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return Input::Nothing;
        };
        match received {
            Received::Eof => {
                socket.flags.set(Flags::EOF_TOLD);
                return Input::Eof(held);
            }
            Received::Failed(error) => self.end(id, CloseReason::from_error(&error)),
            Received::Bytes(_) | Received::Nothing => {
                socket.held = Some(held).filter(|held| !held.is_empty());
                if socket.flags.has(Flags::STALLED) {
                    self.retry_later(id);
                }
            }
        }
        Input::Nothing
    }

    /// The cases that most reads are not: closing, stopped, bytes held from earlier, the end.
    #[cold]
    fn receive_special(&mut self, id: ConnId, buffer: &mut [u8], budget: &mut usize) -> Input {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return Input::Nothing;
        };
        let flags = socket.flags;
        if flags.has(Flags::CLOSING) || flags.has(Flags::DEAD) {
            self.discard(id, buffer, budget);
            return Input::Nothing;
        }
        if !socket.wants_data() || flags.has(Flags::EOF_TOLD) {
            // A failure is reported once, and we shall not come upon it by reading.
            if flags.has(Flags::FAILED) {
                let error = socket.stream.take_error();
                let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
                self.end(id, CloseReason::from_error(&error));
            }
            return Input::Nothing;
        }
        let secure = flags.has(Flags::SECURE) && !flags.has(Flags::EOF);
        if socket.flags.take(Flags::REDELIVER) {
            if let Some(held) = socket.held.take() {
                return Input::Held(held);
            }
        }
        if secure {
            return self.receive_secure(id, buffer, budget);
        }
        if flags.has(Flags::EOF) {
            socket.flags.set(Flags::EOF_TOLD);
            return Input::Eof(socket.held.take().unwrap_or_default());
        }
        if !flags.has(Flags::READABLE) {
            return Input::Nothing;
        }
        let held = socket.held.take().unwrap_or_default();
        self.receive_behind(id, held, buffer, budget)
    }

    /// Reads what follows held bytes. They go to the front of the buffer and the new ones behind
    /// them, as long as half of it stays free.
    fn receive_behind(
        &mut self,
        id: ConnId,
        mut held: Box<Vec<u8>>,
        buffer: &mut [u8],
        budget: &mut usize,
    ) -> Input {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return Input::Nothing;
        };
        let front = if held.len() <= buffer.len() / 2 {
            held.len()
        } else {
            0
        };
        let most = (*budget).min(buffer.len() - front);
        self.turn.reads += 1;
        let received = socket.receive(&self.sys, &mut buffer[front..front + most]);
        let Received::Bytes(read) = received else {
            return self.received_nothing(id, received, held);
        };
        socket.life.heard(self.millis);
        self.turn.bytes_read += read as u64;
        *budget -= read;
        if front == held.len() {
            buffer[..front].copy_from_slice(&held);
            return Input::Buffered(front + read);
        }
        held.extend_from_slice(&buffer[..read]);
        Input::Held(held)
    }

    /// Reads what nobody wants any more, so that closing does not turn into a reset, until the
    /// peer's FIN.
    fn discard(&mut self, id: ConnId, buffer: &mut [u8], budget: &mut usize) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        while *budget > 0 && socket.flags.has(Flags::READABLE) && !socket.flags.has(Flags::DEAD) {
            self.turn.reads += 1;
            match socket.receive(&self.sys, buffer) {
                Received::Bytes(read) => {
                    self.turn.bytes_read += read as u64;
                    *budget = budget.saturating_sub(read);
                }
                Received::Eof => break,
                Received::Nothing => {
                    if socket.flags.has(Flags::STALLED) {
                        self.retry_later(id);
                    }
                    break;
                }
                Received::Failed(_) => return self.end(id, CloseReason::Reset),
            }
        }
    }

    /// Keeps the bytes that a driver did not consume.
    pub(super) fn hold(&mut self, id: ConnId, rest: Vec<u8>, most: usize) {
        let Some(Entry::Stream(socket)) = self.slots.get_mut(id) else {
            return;
        };
        if socket.flags.has(Flags::CLOSING) || socket.flags.has(Flags::DEAD) {
            return;
        }
        // While the connection is stopped nothing follows, and what one read brought may wait.
        if rest.len() > most && socket.wants_data() {
            log::warn!(
                "{id}: {} bytes left unconsumed, at most {most} allowed",
                rest.len()
            );
            return self.close_for(id, CloseReason::Unconsumed);
        }
        socket.held = Some(Box::new(rest));
    }
}
