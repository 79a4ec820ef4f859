//! What a request wants of a file, looked up on a thread of the pool: is it there, is it known
//! already, and which part of it.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::PIECE;
use super::place::{content_type, open_inside, read_at};
use crate::net::http::coding::is_text;
use crate::net::http::response::Response;

/// What was found.
pub(super) enum Found {
    Answer(Response),
    Failed(io::Error),
    Stream {
        response: Response,
        file: File,
        at: u64,
        left: u64,
        is_head: bool,
    },
}

/// All that a thread of the pool needs to know of a request.
pub(super) struct Asked {
    pub(super) root: Arc<Path>,
    pub(super) path: PathBuf,
    /// The path ends with a slash.
    pub(super) is_folder: bool,
    /// The last segment, as it was sent.
    pub(super) name: String,
    pub(super) query: Option<String>,
    pub(super) index: Arc<str>,
    pub(super) content_type: Option<Arc<str>>,
    pub(super) cache_control: Option<Arc<str>>,
    pub(super) is_head: bool,
    pub(super) if_none_match: Option<String>,
    pub(super) if_modified_since: Option<String>,
    pub(super) if_range: Option<String>,
    pub(super) range: Option<String>,
}

impl Asked {
    /// A request whose job panicked would never be answered.
    pub(super) fn find(self) -> Found {
        let found = catch_unwind(AssertUnwindSafe(|| self.look()));
        found.unwrap_or_else(|_| Found::Failed(io::Error::other("looking for it panicked")))
    }

    fn look(&self) -> Found {
        match self.open() {
            Ok(Some(found)) => found,
            Ok(None) => Found::Answer(Response::plain(404)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    Found::Answer(Response::plain(404))
                }
                io::ErrorKind::PermissionDenied => Found::Answer(Response::plain(403)),
                // Links that go round, and sockets and devices, which cannot be opened.
                _ if matches!(
                    error.raw_os_error(),
                    Some(libc::ENAMETOOLONG | libc::ELOOP | libc::ENXIO | libc::ENODEV)
                ) =>
                {
                    Found::Answer(Response::plain(404))
                }
                _ => Found::Failed(error),
            },
        }
    }

    fn open(&self) -> io::Result<Option<Found>> {
        let mut path = self.root.join(&self.path);
        if self.path.as_os_str().is_empty() {
            path = self.root.to_path_buf();
        }
        let Some(mut file) = open_inside(&self.root, &path)? else {
            return Ok(None);
        };
        let mut metadata = file.metadata()?;
        if metadata.is_dir() {
            if !self.is_folder {
                let mut location = format!("./{}/", self.name);
                if let Some(query) = &self.query {
                    location.push('?');
                    location.push_str(query);
                }
                let moved = Response::plain(308).field("Location", location);
                return Ok(Some(Found::Answer(moved)));
            }
            path.push(&*self.index);
            match open_inside(&self.root, &path)? {
                Some(index) => file = index,
                None => return Ok(None),
            }
            metadata = file.metadata()?;
        } else if self.is_folder {
            return Ok(None);
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        self.answer(file, &path, metadata.len(), metadata.modified()?)
            .map(Some)
    }

    fn answer(
        &self,
        file: File,
        path: &Path,
        length: u64,
        modified: SystemTime,
    ) -> io::Result<Found> {
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let tag = format!("{:x}-{length:x}", since.as_nanos());
        // A date has four digits of a year, and none before 1970.
        let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let date = httpdate::fmt_http_date(modified.clamp(UNIX_EPOCH, last));
        let content_type = match &self.content_type {
            Some(content_type) => content_type.to_string(),
            None => content_type(path),
        };
        let is_small = length <= PIECE as u64;
        let range = self.range(&tag, &date, length);
        // What may be compressed on its way is not the same byte for byte.
        let weak = is_small && range.is_none() && is_text(&content_type);
        let tag = format!("{}\"{tag}\"", if weak { "W/" } else { "" });
        let with = |mut response: Response| {
            response = response.field("ETag", &tag).field("Last-Modified", &date);
            if weak {
                response = response.field("Vary", "Accept-Encoding");
            }
            match &self.cache_control {
                Some(value) => response.field("Cache-Control", value.as_bytes()),
                None => response,
            }
        };
        if self.is_known(&tag, modified) {
            return Ok(Found::Answer(with(Response::new(304))));
        }
        let (status, at, left) = match range {
            None => (200, 0, length),
            Some(Range::Part(at, left)) => (206, at, left),
            Some(Range::Nowhere) => {
                let response =
                    Response::plain(416).field("Content-Range", format!("bytes */{length}"));
                return Ok(Found::Answer(response));
            }
        };
        let mut response = with(Response::new(status))
            .field("Content-Type", content_type)
            .field("Accept-Ranges", "bytes");
        if status == 206 {
            let last = (at + left).saturating_sub(1);
            response = response.field("Content-Range", format!("bytes {at}-{last}/{length}"));
        }
        if is_small && !self.is_head {
            let data = read_at(&file, at, left as usize)?;
            if data.len() as u64 != left {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it has shrunk",
                ));
            }
            return Ok(Found::Answer(response.body(data)));
        }
        Ok(Found::Stream {
            response: response.length(left),
            file,
            at,
            left,
            is_head: self.is_head,
        })
    }

    /// True if the client has it already: RFC 9110, section 13.2.2.
    fn is_known(&self, tag: &str, modified: SystemTime) -> bool {
        let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        if let Some(known) = &self.if_none_match {
            return known.trim() == "*" || known.split(',').any(|known| bare(known) == bare(tag));
        }
        let since = self.if_modified_since.as_deref();
        let since = since.and_then(|date| httpdate::parse_http_date(date).ok());
        // Dates have no fractions of a second.
        since.is_some_and(|since| modified < since + Duration::from_secs(1))
    }

    /// The part that is asked for, if it is one that can be understood.
    fn range(&self, tag: &str, date: &str, length: u64) -> Option<Range> {
        if self.is_head {
            return None;
        }
        let (unit, range) = self.range.as_deref()?.split_once('=')?;
        let same = |known: &str| known == format!("\"{tag}\"") || known == date;
        if unit.trim() != "bytes" || self.if_range.as_deref().is_some_and(|known| !same(known)) {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Some(text.parse::<u64>().unwrap_or(u64::MAX)),
            false => None,
        };
        let (first, end) = match (first, last) {
            ("", "") => return None,
            ("", last) => (length.saturating_sub(number(last)?), length),
            (first, "") => (number(first)?, length),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, length.min(last.saturating_add(1)))
            }
        };
        match first < end {
            true => Some(Range::Part(first, end - first)),
            false => Some(Range::Nowhere),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// From where, and how many bytes.
    Part(u64, u64),
    /// Behind the end.
    Nowhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_single_and_within() {
        let asked = |range: &str, if_range: Option<&str>| Asked {
            root: Path::new("/").into(),
            path: PathBuf::new(),
            is_folder: false,
            name: String::new(),
            query: None,
            index: "".into(),
            content_type: None,
            cache_control: None,
            is_head: false,
            if_none_match: None,
            if_modified_since: None,
            if_range: if_range.map(str::to_owned),
            range: Some(range.to_owned()),
        };
        let range = |text: &str| asked(text, None).range("t", "d", 100);
        for (text, expected) in [
            ("bytes=0-0", Some(Range::Part(0, 1))),
            ("bytes=0-99", Some(Range::Part(0, 100))),
            ("bytes=10-", Some(Range::Part(10, 90))),
            ("bytes=10-1000", Some(Range::Part(10, 90))),
            ("bytes=-1", Some(Range::Part(99, 1))),
            ("bytes=-1000", Some(Range::Part(0, 100))),
            ("bytes=99999999999999999999-", Some(Range::Nowhere)),
            ("bytes=100-", Some(Range::Nowhere)),
            ("bytes=-0", Some(Range::Nowhere)),
            ("bytes=5-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("0-1", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
        for (known, applies) in [
            ("\"t\"", true),
            ("d", true),
            ("W/\"t\"", false),
            ("\"u\"", false),
        ] {
            let range = asked("bytes=0-0", Some(known)).range("t", "d", 100);
            assert_eq!(range.is_some(), applies, "{known}");
        }
    }
}
