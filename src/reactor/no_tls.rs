//! What stands for TLS where it is left out: nothing of this kind can be.
#![expect(
    clippy::needless_pass_by_ref_mut,
    reason = "these are the signatures of what is left out"
)]

use std::io;
use std::time::Duration;

#[derive(Debug)]
pub(crate) enum Session {}

#[derive(Clone, Debug)]
pub(crate) enum Acceptance {}

impl Acceptance {
    pub(crate) fn session(&self) -> io::Result<Session> {
        match *self {}
    }

    pub(crate) fn timeout(&self) -> Duration {
        match *self {}
    }
}

impl Session {
    pub(crate) fn is_open(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_peer_closed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn ends_cleanly(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_unread(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_failed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn hold(&mut self, _: &[u8]) {
        match *self {}
    }

    pub(crate) fn take_held(&mut self, _: &mut [u8]) -> usize {
        match *self {}
    }

    pub(crate) fn shake(&mut self, _: &mut [u8]) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn receive(&mut self, _: &mut [u8], _: impl FnMut(&[u8])) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn send(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn close(&mut self) -> bool {
        match *self {}
    }

    pub(crate) fn refuse_plain_http(&mut self) {
        match *self {}
    }

    pub(crate) fn outgoing(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn consume(&mut self, _: usize) {
        match *self {}
    }

    pub(crate) fn borrow(&mut self, _: &mut Vec<u8>) {
        match *self {}
    }

    pub(crate) fn give_back(&mut self, _: &mut Vec<u8>) {
        match *self {}
    }
}
