//! What lives in a slot.

use super::dialling::Dialling;
use super::driver::{CloseReason, DriverId, Timeout};
use super::handshake::Handshake;
use super::life::Life;
use super::listener::Listener;
use super::session::{Datagrams, Session};
use super::socket::{Flags, Socket};
use super::source::Watched;

/// What lives in a slot. Nearly always a stream, which is why that one has no box around it.
#[derive(Debug)]
pub(crate) enum Entry {
    Datagrams(Box<Datagrams>),
    Dial(Box<Dialling>),
    Handshake(Box<Handshake>),
    Listener(Box<Listener>),
    Session(Session),
    Stream(Socket),
    Watched(Box<Watched>),
}

impl Entry {
    #[inline]
    pub(crate) const fn flags(&self) -> Flags {
        match self {
            Self::Datagrams(datagrams) => datagrams.flags,
            Self::Dial(dialling) => dialling.flags,
            Self::Handshake(handshake) => handshake.socket.flags,
            Self::Listener(listener) => listener.flags,
            Self::Session(session) => session.flags,
            Self::Stream(socket) => socket.flags,
            Self::Watched(watched) => watched.flags,
        }
    }

    #[inline]
    pub(crate) const fn flags_mut(&mut self) -> &mut Flags {
        match self {
            Self::Datagrams(datagrams) => &mut datagrams.flags,
            Self::Dial(dialling) => &mut dialling.flags,
            Self::Handshake(handshake) => &mut handshake.socket.flags,
            Self::Listener(listener) => &mut listener.flags,
            Self::Session(session) => &mut session.flags,
            Self::Stream(socket) => &mut socket.flags,
            Self::Watched(watched) => &mut watched.flags,
        }
    }

    /// True until it is closed, whether by us or by the peer.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        !self.flags().has(Flags::ENDED)
    }

    /// The driver of something that is opened and closed by callbacks: not of a listener or dial.
    #[inline]
    pub(crate) const fn driver(&self) -> Option<DriverId> {
        match self {
            Self::Dial(_) | Self::Handshake(_) | Self::Listener(_) => None,
            Self::Datagrams(datagrams) => Some(datagrams.driver),
            Self::Session(session) => Some(session.driver),
            Self::Stream(socket) => Some(socket.driver),
            Self::Watched(watched) => Some(watched.driver),
        }
    }

    /// Why it ends, in the words of `on_close`.
    pub(crate) const fn reason_mut(&mut self) -> Option<&mut CloseReason> {
        match self {
            Self::Dial(_) | Self::Handshake(_) | Self::Listener(_) => None,
            Self::Datagrams(datagrams) => Some(&mut datagrams.reason),
            Self::Session(session) => Some(&mut session.reason),
            Self::Stream(socket) => Some(&mut socket.reason),
            Self::Watched(watched) => Some(&mut watched.reason),
        }
    }

    /// The limits and times of what has a peer. A datagram socket without one has only sessions,
    /// with lives of their own.
    #[inline]
    pub(crate) fn life(&self) -> Option<&Life> {
        match self {
            Self::Datagrams(datagrams) if datagrams.peer.is_some() => Some(&datagrams.life),
            Self::Session(session) => Some(&session.life),
            Self::Stream(socket) => Some(&socket.life),
            _ => None,
        }
    }

    pub(crate) fn life_mut(&mut self) -> Option<&mut Life> {
        match self {
            Self::Datagrams(datagrams) if datagrams.peer.is_some() => Some(&mut datagrams.life),
            Self::Session(session) => Some(&mut session.life),
            Self::Stream(socket) => Some(&mut socket.life),
            _ => None,
        }
    }

    /// Which time-out has passed at `now`, if any. Silence that has passed begins anew.
    pub(crate) fn passed(&mut self, now: u64) -> Option<Timeout> {
        match self {
            Self::Stream(socket) => socket.passed(now),
            Self::Datagrams(datagrams) if datagrams.peer.is_some() => {
                datagrams.life.excuse(datagrams.flags, now);
                datagrams.life.passed(now)
            }
            _ => self.life_mut()?.passed(now),
        }
    }

    /// When the next of its time-outs passes, in milliseconds, if it has any.
    pub(crate) fn next_deadline(&mut self, now: u64) -> Option<u64> {
        match self {
            Self::Stream(socket) => socket.next_deadline(now),
            _ => self.life()?.next(),
        }
    }
}
