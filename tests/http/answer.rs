//! Responses as a client reads them, by a reading of their own that shares nothing with the server.

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The fields in the order in which they came, names in lower case; without the date.
    pub(crate) fields: Vec<(String, String)>,
    /// The body, taken out of its framing.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| &value[..]);
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// True if the server says that nothing follows.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }

    /// A response that ended before the connection did, if `bytes` begin with a whole one; and how
    /// long it is. `to_head` says that it answers a `HEAD`.
    pub(crate) fn take(bytes: &[u8], to_head: bool) -> Option<(Self, usize)> {
        let (mut answer, mut at) = Self::take_head(bytes)?;
        let bodiless = to_head || matches!(answer.status, 100..=199 | 204 | 304);
        if answer.field("transfer-encoding") == Some("chunked") && !bodiless {
            at += answer.take_chunks(&bytes[at..])?;
        } else if !bodiless {
            let length: usize = answer.field("content-length")?.parse().expect("a length");
            answer.body = bytes.get(at..at + length)?.to_vec();
            at += length;
        }
        Some((answer, at))
    }

    fn take_head(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a first line");
        let mut words = line.splitn(3, ' ');
        assert_eq!(words.next(), Some("HTTP/1.1"), "{line}");
        let status = words.next().and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in `{line}`"));
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let answer = Self {
            status,
            fields: fields.filter(|(name, _)| name != "date").collect(),
            body: Vec::new(),
        };
        Some((answer, end + 4))
    }

    fn take_chunks(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let line = bytes[at..].windows(2).position(|end| end == b"\r\n")?;
            let digits = std::str::from_utf8(&bytes[at..at + line]).expect("a size");
            let size = usize::from_str_radix(digits, 16).expect("a size");
            at += line + 2;
            let data = bytes.get(at..at + size + 2)?;
            assert_eq!(&data[size..], b"\r\n", "the end of a chunk");
            self.body.extend_from_slice(&data[..size]);
            at += size + 2;
            if size == 0 {
                return Some(at);
            }
        }
    }
}

/// All that a client was sent until the connection ended: whole answers, of which the last may end
/// with the connection. 100s are left out.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Answer> {
    answers_to(bytes, &[])
}

/// The same where some answer a `HEAD`, by their places.
pub(crate) fn answers_to(bytes: &[u8], heads: &[usize]) -> Vec<Answer> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while !rest.is_empty() {
        let (answer, length) = match Answer::take(rest, heads.contains(&all.len())) {
            Some(taken) => taken,
            None => {
                let text = rest.escape_ascii();
                let (mut last, head) = Answer::take_head(rest).unwrap_or_else(|| panic!("{text}"));
                let framed = last
                    .field("content-length")
                    .or_else(|| last.field("transfer-encoding"));
                assert_eq!(framed, None, "cut off: {text}");
                last.body = rest[head..].to_vec();
                (last, rest.len())
            }
        };
        rest = &rest[length..];
        if answer.status != 100 {
            all.push(answer);
        }
    }
    all
}
