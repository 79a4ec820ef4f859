//! The date, as it stands in responses and in the access log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The present second in words. It is made once a second, however many responses have it in them.
#[derive(Debug)]
pub(super) struct Date {
    /// The last field of a head, with the end of that.
    line: String,
    /// When it is over, on the loop's clock.
    until: Option<Instant>,
}

/// Where in the line the date is.
const TEXT: usize = "Date: ".len();

impl Date {
    pub(super) const fn new() -> Self {
        Self {
            line: String::new(),
            until: None,
        }
    }

    /// As in `Date: Sun, 06 Nov 1994 08:49:37 GMT`, and the end of the head: RFC 9110, section
    /// 5.6.7.
    pub(super) fn line(&mut self, now: Instant) -> &str {
        if self.until.is_none_or(|until| now >= until) {
            let time = SystemTime::now();
            self.line = format!("Date: {}\r\n\r\n", httpdate::fmt_http_date(time));
            let second = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let passed = Duration::from_nanos(u64::from(second.subsec_nanos()));
            self.until = Some(now + Duration::from_secs(1).saturating_sub(passed));
        }
        &self.line
    }

    /// As in `06/Nov/1994:08:49:37 +0000`, which is how access logs have it.
    pub(super) fn log_text(&mut self, now: Instant) -> String {
        let text = self.line(now).get(TEXT..).unwrap_or_default();
        let part = |range| text.get(range).unwrap_or_default();
        let (day, month, year) = (part(5..7), part(8..11), part(12..16));
        format!("{day}/{month}/{year}:{} +0000", part(17..25))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_a_second() {
        let (mut date, now) = (Date::new(), Instant::now());
        assert_eq!(date.line(now).len(), TEXT + 29 + 4);
        let then = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        date.line = then.to_owned();
        assert_eq!(date.log_text(now), "06/Nov/1994:08:49:37 +0000");
        assert_eq!(date.line(now), then);
        assert_ne!(date.line(now + Duration::from_secs(1)), then);
    }
}
