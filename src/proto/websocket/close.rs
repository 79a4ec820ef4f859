//! Why a connection ends, as one side tells the other: RFC 6455, section 7.4.

use core::fmt;

use super::Error;

/// The number that says why.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl Code {
    /// It has served its purpose.
    pub const NORMAL: Self = Self(1000);
    /// A server shuts down, or a page is left.
    pub const AWAY: Self = Self(1001);
    /// The protocol was broken.
    pub const PROTOCOL: Self = Self(1002);
    /// Data of a kind that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Never sent: there was a close, and no code in it.
    pub const NONE: Self = Self(1005);
    /// Never sent: there was no close.
    pub const ABNORMAL: Self = Self(1006);
    /// Text that is no UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// A rule was broken that has no code of its own.
    pub const POLICY: Self = Self(1008);
    /// A message was too large.
    pub const TOO_LARGE: Self = Self(1009);
    /// A client has missed an extension.
    pub const EXTENSION: Self = Self(1010);
    /// Something unexpected went wrong in the server.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts.
    pub const RESTART: Self = Self(1012);
    /// The server has too much to do.
    pub const TRY_LATER: Self = Self(1013);

    /// True if this may stand in a close: one that is defined for it, registered with IANA, or for
    /// applications, 3000 to 4999.
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a close says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// The code; [`Code::NONE`] if there is none.
    pub code: Code,
    /// The reason, for people.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Reads the payload of a close.
    ///
    /// # Errors
    ///
    /// When it has one byte, a code that may not be sent, or a reason that is no UTF-8.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Error> {
        let (code, reason) = match payload {
            [] => (Code::NONE, &[][..]),
            [high, low, reason @ ..] => (Code(u16::from_be_bytes([*high, *low])), reason),
            [_] => return Err(Error::BadClose),
        };
        if code != Code::NONE && !code.may_be_sent() || code == Code::NONE && !payload.is_empty() {
            return Err(Error::BadClose);
        }
        let reason = simdutf8::basic::from_utf8(reason).map_err(|_| Error::BadText)?;
        Ok(Self { code, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_not_be_sent_are_refused() {
        for code in [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
        ] {
            assert!(!Code(code).may_be_sent(), "{code}");
            assert_eq!(Close::read(&u16::to_be_bytes(code)), Err(Error::BadClose));
        }
        for code in [
            1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
        ] {
            let expected = Close {
                code: Code(code),
                reason: "",
            };
            assert_eq!(Close::read(&u16::to_be_bytes(code)), Ok(expected));
        }
    }

    #[test]
    fn a_close_is_empty_or_has_a_code_and_a_reason() {
        let none = Close {
            code: Code::NONE,
            reason: "",
        };
        assert_eq!(Close::read(b""), Ok(none));
        assert_eq!(Close::read(b"\x03"), Err(Error::BadClose));
        let bye = Close {
            code: Code::NORMAL,
            reason: "bye",
        };
        assert_eq!(Close::read(b"\x03\xe8bye"), Ok(bye));
        assert_eq!(Close::read(b"\x03\xe8\xce\xba\xe1"), Err(Error::BadText));
    }
}
