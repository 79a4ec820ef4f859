//! The date, as it stands in responses and in the access log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The present second in words. It is made once a second, however many responses have it in them.
#[derive(Debug)]
pub(super) struct Date {
    text: String,
    /// When it is over, on the loop's clock.
    until: Option<Instant>,
}

impl Date {
    pub(super) const fn new() -> Self {
        Self {
            text: String::new(),
            until: None,
        }
    }

    /// As in `Sun, 06 Nov 1994 08:49:37 GMT`: RFC 9110, section 5.6.7.
    pub(super) fn text(&mut self, now: Instant) -> &str {
        if self.until.is_none_or(|until| now >= until) {
            let time = SystemTime::now();
            self.text = httpdate::fmt_http_date(time);
            let second = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let passed = Duration::from_nanos(u64::from(second.subsec_nanos()));
            self.until = Some(now + Duration::from_secs(1).saturating_sub(passed));
        }
        &self.text
    }

    /// As in `06/Nov/1994:08:49:37 +0000`, which is how access logs have it.
    pub(super) fn log_text(&mut self, now: Instant) -> String {
        let text = self.text(now);
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
        assert_eq!(date.text(now).len(), 29);
        date.text = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
        assert_eq!(date.log_text(now), "06/Nov/1994:08:49:37 +0000");
        assert!(date.text(now + Duration::from_secs(1)).len() == 29);
        assert_ne!(date.text, "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
