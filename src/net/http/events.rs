//! Server-Sent Events: a response that does not end, read by a browser's `EventSource`.
//!
//! The format is that of the HTML standard, section 9.2.

/// One event of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// Its type: what a page listens for. Without one it is `message`.
    pub name: Option<&'a str>,
    /// What a browser that connects again says that it has seen last, in `Last-Event-ID`.
    pub id: Option<&'a str>,
    /// After how many milliseconds a browser is to connect again.
    pub retry: Option<u64>,
    /// The text, of any number of lines.
    pub data: &'a str,
}

impl<'a> Event<'a> {
    /// An event of nothing but text.
    pub fn new(data: &'a str) -> Self {
        Self {
            data,
            ..Self::default()
        }
    }

    /// Appends the event as it is sent. A line end in its name or id would end them there, so only
    /// what is before it counts.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for (field, value) in [(&b"event: "[..], self.name), (b"id: ", self.id)] {
            if let Some(value) = value {
                out.extend_from_slice(field);
                let end = value.find(['\r', '\n', '\0']).unwrap_or(value.len());
                out.extend_from_slice(&value.as_bytes()[..end]);
                out.push(b'\n');
            }
        }
        if let Some(retry) = self.retry {
            out.extend_from_slice(b"retry: ");
            crate::proto::http1::write::decimal(out, retry);
            out.push(b'\n');
        }
        encode_data(self.data.as_bytes(), out);
    }
}

/// Appends an event of nothing but text. Each of its lines, however it ends, is a line of its own.
pub(super) fn encode_data(data: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let Some(end) = end else {
            out.extend_from_slice(rest);
            out.extend_from_slice(b"\n\n");
            return;
        };
        out.extend_from_slice(&rest[..end]);
        out.push(b'\n');
        let length = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_apart() {
        for (data, sent) in [
            ("", "data: \n\n"),
            ("one", "data: one\n\n"),
            (
                "a\nb\r\nc\rd\n",
                "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n",
            ),
            ("a\n\nid: 7", "data: a\ndata: \ndata: id: 7\n\n"),
        ] {
            let mut out = Vec::new();
            Event::new(data).encode(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), sent, "{data:?}");
        }
    }

    #[test]
    fn names_and_ids_are_one_line() {
        let mut out = Vec::new();
        let event = Event {
            name: Some("tick\ndata: false"),
            id: Some("7\r"),
            retry: Some(1_500),
            data: "x",
        };
        event.encode(&mut out);
        let sent = "event: tick\nid: 7\nretry: 1500\ndata: x\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), sent);
    }
}
