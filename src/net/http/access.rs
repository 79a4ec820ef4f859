//! The access log: a line for each answer.

use std::fmt::Write;
use std::net::IpAddr;

use crate::proto::http1::{self, Version};

/// What was asked, for between the quotation marks.
pub(super) fn line(head: &http1::Request<'_>) -> Box<str> {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    let text = format!("{} {} {version}", head.method, head.target);
    // Nothing else in it could end it: there are neither spaces nor control characters in a target.
    text.replace('\\', "\\\\").replace('"', "\\\"").into()
}

/// A line in the common log format of NCSA and Apache: `host ident user [date] "request" status
/// bytes`.
pub(super) fn entry(
    client: Option<IpAddr>,
    date: &str,
    line: &str,
    status: u16,
    sent: u64,
) -> String {
    let mut entry = String::with_capacity(80 + line.len());
    let _ = match client {
        Some(client) => write!(entry, "{client}"),
        None => write!(entry, "-"),
    };
    let _ = write!(entry, " - - [{date}] \"{line}\" {status} ");
    let _ = match sent {
        0 => write!(entry, "-"),
        sent => write!(entry, "{sent}"),
    };
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let head = b"GET /a\"%0a\\b HTTP/1.0\r\n\r\n";
        let mut space = http1::Space::new();
        let head = http1::Request::parse(head, &mut space).unwrap();
        let client = Some([127, 0, 0, 1].into());
        let entry = |client, sent| {
            entry(
                client,
                "06/Nov/1994:08:49:37 +0000",
                &line(&head),
                200,
                sent,
            )
        };
        assert_eq!(
            entry(client, 5),
            r#"127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] "GET /a\"%0a\\b HTTP/1.0" 200 5"#
        );
        assert!(entry(None, 0).starts_with("- - - [") && entry(None, 0).ends_with(" 200 -"));
    }
}
