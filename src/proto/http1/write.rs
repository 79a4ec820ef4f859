//! Writes heads and chunks.
//!
//! What is written here cannot be read as something else: a name that is none, or a value with a
//! line end in it, is refused.

use super::Length;

/// Appends the first line of a response.
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    match status {
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        _ => {
            out.extend_from_slice(b"HTTP/1.1 ");
            decimal(out, u64::from(status));
            out.push(b' ');
            out.extend_from_slice(reason(status).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends the first line of a request. False, with nothing appended, if the method is no token or
/// the target has a space or a control character in it.
#[must_use]
pub fn request_line(out: &mut Vec<u8>, method: &str, target: &str) -> bool {
    let fits =
        is_name(method) && !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        for piece in [method, " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    fits
}

/// Appends a field. False, with nothing appended, if the name is no token, or the value has a
/// control character in it: a line end would begin a field of its own.
#[must_use]
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> bool {
    let fits = is_name(name)
        && value
            .iter()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    if fits {
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    fits
}

/// Appends the field that says how a body is framed, if there is one to say it.
pub fn framing(out: &mut Vec<u8>, length: Length) {
    match length {
        Length::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Length::Fixed(length) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Length::None => out.extend_from_slice(b"Content-Length: 0\r\n"),
        Length::UntilClose => {}
    }
}

/// Appends one chunk. Without data nothing is appended, since that would be the last one.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    chunk_head(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends what comes before the data of a chunk; a line end comes behind it.
pub fn chunk_head(out: &mut Vec<u8>, length: usize) {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let value = length >> (4 * digit) & 0xf;
        out.push(b"0123456789abcdef".get(value).copied().unwrap_or(b'0'));
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a body in chunks.
pub fn last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends a number.
pub fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// True if these characters make a name of a field, or a method: RFC 9110, section 5.6.2.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(super::body::is_token)
}

/// The words that stand behind a status: RFC 9110, section 15, and those registered since.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_and_fields() {
        assert_eq!(written(|out| status_line(out, 200)), "HTTP/1.1 200 OK\r\n");
        assert_eq!(
            written(|out| status_line(out, 404)),
            "HTTP/1.1 404 Not Found\r\n"
        );
        assert_eq!(
            written(|out| status_line(out, 299)),
            "HTTP/1.1 299 Unknown\r\n"
        );
        assert_eq!(
            written(|out| framing(out, Length::Fixed(u64::MAX))),
            "Content-Length: 18446744073709551615\r\n"
        );
        assert_eq!(
            written(|out| framing(out, Length::None)),
            "Content-Length: 0\r\n"
        );
        let line = written(|out| assert!(request_line(out, "GET", "/a?b")));
        assert_eq!(line, "GET /a?b HTTP/1.1\r\n");
        assert_eq!(
            written(|out| assert!(field(out, "A-b", b"c d"))),
            "A-b: c d\r\n"
        );
    }

    #[test]
    fn nothing_smuggles_a_line_end_in() {
        for (name, value) in [
            ("A", &b"b\r\nC: d"[..]),
            ("A", b"b\nC: d"),
            ("A", b"\0"),
            ("A\r\nB", b"c"),
            ("A:", b"b"),
            ("A ", b"b"),
            ("", b"b"),
        ] {
            assert_eq!(written(|out| assert!(!field(out, name, value))), "");
        }
        for (method, target) in [
            ("GET", "/ HTTP/1.1\r\nA: b"),
            ("G T", "/"),
            ("", "/"),
            ("GET", ""),
            ("GET", "/\u{e9}"),
        ] {
            assert_eq!(
                written(|out| assert!(!request_line(out, method, target))),
                ""
            );
        }
    }

    #[test]
    fn chunks_say_their_size() {
        assert_eq!(written(|out| chunk(out, b"")), "");
        assert_eq!(written(|out| chunk(out, b"hello")), "5\r\nhello\r\n");
        for (length, head) in [
            (0, "0"),
            (15, "f"),
            (16, "10"),
            (0xabcdef, "abcdef"),
            (usize::MAX, "ffffffffffffffff"),
        ] {
            assert_eq!(
                written(|out| chunk_head(out, length)),
                format!("{head}\r\n")
            );
        }
        assert_eq!(written(last_chunk), "0\r\n\r\n");
    }
}
