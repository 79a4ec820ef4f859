//! An HTTP connection of the load client: a request for each response.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, ensure};
use mio::{Registry, Token};

use crate::http::{BODY, PATH};

use super::Shape;
use super::connection::{BUFFER, Connection, Tools};
use super::pattern::Pattern;
use super::stream::Stream;

/// The fields that every browser sends, as one of them does.
const FIELDS: &str = "\
Host: 127.0.0.1:8080\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
\r\n";

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

pub struct Http {
    stream: Stream,
    responses: Responses,
}

impl Connection for Http {
    const SIZE: usize = BODY.len();
    const SIZES: RangeInclusive<usize> = Self::SIZE..=Self::SIZE;
    const SILENCE: Duration = Duration::from_secs(30);

    fn pattern(shape: &Shape) -> Pattern {
        let request = request();
        let longest = BUFFER.max(shape.outstanding * request.len());
        Pattern::of(request.as_bytes(), longest)
    }

    fn open(
        address: SocketAddr,
        _: &Shape,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        let stream = Stream::register(Stream::connect(address)?, registry, token)?;
        Ok(Self {
            stream,
            responses: Responses::default(),
        })
    }

    fn send(&mut self, messages: u64, tools: &mut Tools) -> anyhow::Result<()> {
        let bytes = messages * tools.pattern.period() as u64;
        self.stream.send(bytes, &tools.pattern)
    }

    fn receive(&mut self, tools: &mut Tools) -> anyhow::Result<u64> {
        let Self { stream, responses } = self;
        let mut complete = 0;
        stream.receive(&mut tools.buffer, |data| {
            complete += responses.take(data)?;
            Ok(())
        })?;
        Ok(complete)
    }

    /// Nothing: the system does it.
    fn send_again(&mut self, _: &mut Tools) -> anyhow::Result<u64> {
        Ok(0)
    }
}

fn request() -> String {
    format!("GET {PATH} HTTP/1.1\r\n{FIELDS}")
}

/// What comes back on a connection.
#[derive(Default)]
struct Responses {
    /// The beginning of a response whose end is still to come.
    unread: Vec<u8>,
    /// The last response that was right. Until the date changes, the next ones
    /// are the same, and need not be read: a client that is slower than the
    /// server would have it sleep and wake for each request.
    known: Vec<u8>,
}

impl Responses {
    /// Takes what has arrived, and returns how many responses it completes.
    fn take(&mut self, data: &[u8]) -> anyhow::Result<u64> {
        self.unread.extend_from_slice(data);
        let (mut complete, mut used) = (0, 0);
        while let Some(length) = self.next(used)? {
            used += length;
            complete += 1;
        }
        self.unread.drain(..used);
        Ok(complete)
    }

    /// The length of the response that begins at this place.
    fn next(&mut self, at: usize) -> anyhow::Result<Option<usize>> {
        let rest = &self.unread[at..];
        if !self.known.is_empty() && rest.starts_with(&self.known) {
            return Ok(Some(self.known.len()));
        }
        let length = response(rest)?;
        if let Some(length) = length {
            self.known.clear();
            self.known.extend_from_slice(&rest[..length]);
        }
        Ok(length)
    }
}

/// The length of the response that `data` begins with, when it is right; `None`
/// when its end is still to come.
fn response(data: &[u8]) -> anyhow::Result<Option<usize>> {
    let mut places = data.windows(END_OF_HEAD.len());
    let Some(end) = places.position(|bytes| bytes == END_OF_HEAD) else {
        return Ok(None);
    };
    check_head(&data[..end])?;
    let begin = end + END_OF_HEAD.len();
    let Some(body) = data.get(begin..begin + BODY.len()) else {
        return Ok(None);
    };
    ensure!(body == BODY.as_bytes(), "a response has another body");
    Ok(Some(begin + body.len()))
}

fn check_head(head: &[u8]) -> anyhow::Result<()> {
    let head = str::from_utf8(head).context("a response has a head that is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(
        status == "HTTP/1.1 200 OK",
        "a response begins with `{status}`"
    );
    let lengths: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map(|(_, value)| value.trim())
        .collect();
    ensure!(
        lengths == [BODY.len().to_string()],
        "a response has another length: {head}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: &str, fields: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{fields}\r\n{body}")
    }

    fn right() -> String {
        text("200 OK", "date: today\r\ncontent-length: 200\r\n", BODY)
    }

    #[test]
    fn counts_responses_however_they_arrive() {
        let both = right() + &right();
        for at in 0..both.len() {
            let (one, two) = both.as_bytes().split_at(at);
            let mut responses = Responses::default();
            let complete = responses.take(one).unwrap() + responses.take(two).unwrap();
            assert_eq!((complete, responses.unread.len()), (2, 0), "split at {at}");
        }
    }

    #[test]
    fn sees_what_is_wrong() {
        let length = "Content-Length: 200\r\n";
        for (response, wrong) in [
            (text("404 Not Found", length, BODY), "begins with"),
            (text("200 OK", "", BODY), "another length"),
            (
                text("200 OK", "Content-Length: 199\r\n", BODY),
                "another length",
            ),
            (text("200 OK", &length.repeat(2), BODY), "another length"),
            (text("200 OK", length, &BODY.replace("fox", "cat")), "body"),
        ] {
            let mut responses = Responses::default();
            assert_eq!(responses.take(right().as_bytes()).unwrap(), 1);
            let error = responses.take(response.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(wrong), "{response}: {error}");
        }
    }

    #[test]
    fn the_pattern_is_one_request_after_another() {
        let pattern = Http::pattern(&Shape {
            connections: 1,
            size: Http::SIZE,
            outstanding: 2,
            deflate: false,
        });
        let whole = request();
        assert_eq!(pattern.period(), whole.len());
        let (from, length) = (whole.len() as u64 * 7, whole.len() * 2);
        assert_eq!(pattern.at(from, length), whole.repeat(2).as_bytes());
    }
}
