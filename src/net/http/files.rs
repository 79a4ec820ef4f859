//! Files of a folder, or one of them.
//!
//! Whatever touches a disk may block, so all of it is done on a thread of the pool: opening, asking
//! for the length, reading piece by piece, each piece when the client has taken most of the last.

use std::any::Any;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::reactor::{Hub, Sent};

use super::cx::{Cx, post};
use super::exchange::RequestId;
use super::mount::{Intake, Mount};
use super::request::Request;
use super::response::Response;

/// Bytes read and sent at a time. Files up to this length are sent in one go, compressed if the
/// client likes.
const PIECE: usize = 128 * 1024;

/// Serves the files of a folder, or one file: a [`Mount`].
///
/// Answers `GET` and `HEAD`, with `ETag` and `Last-Modified` and the conditions that clients make of
/// them, and single ranges. A folder is its `index.html`; there are no listings. Nothing outside of
/// the folder is served, however the path is written and wherever a link may point; nor are names
/// that begin with a dot, except `.well-known`.
///
/// # Examples
///
/// ```no_run
/// use switchboard::http::{Files, Server};
///
/// let server: Server<()> = Server::new()
///     .mount("/static", Files::folder("public")?)
///     .mount("/favicon.ico", Files::file("public/icon.png")?.content_type("image/png"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Files {
    root: Arc<Path>,
    is_file: bool,
    index: Arc<str>,
    content_type: Option<Arc<str>>,
    cache_control: Option<Arc<str>>,
    sending: HashMap<RequestId, Sending>,
}

/// A file that is on its way to a client.
#[derive(Debug)]
struct Sending {
    file: Arc<File>,
    at: u64,
    left: u64,
    /// A piece is being read, and will be here soon.
    reading: bool,
}

impl Files {
    /// Serves what is in a folder.
    ///
    /// # Errors
    ///
    /// When there is no such folder, or it cannot be read.
    pub fn folder(path: impl AsRef<Path>) -> io::Result<Self> {
        let files = Self::new(path.as_ref())?;
        fs::read_dir(&files.root).map_err(|error| cannot_serve(path.as_ref(), &error))?;
        Ok(files)
    }

    /// Serves one file.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it cannot be read.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut files = Self::new(path.as_ref())?;
        let opened = open_now(&files.root).and_then(|file| file.metadata());
        match opened {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "not a file");
                return Err(cannot_serve(path.as_ref(), &error));
            }
            Err(error) => return Err(cannot_serve(path.as_ref(), &error)),
        }
        files.is_file = true;
        Ok(files)
    }

    fn new(path: &Path) -> io::Result<Self> {
        let root = path
            .canonicalize()
            .map_err(|error| cannot_serve(path, &error))?;
        Ok(Self {
            root: root.into(),
            is_file: false,
            index: "index.html".into(),
            content_type: None,
            cache_control: None,
            sending: HashMap::new(),
        })
    }

    /// Sets what a folder's own page is called. Default `index.html`.
    #[must_use]
    pub fn index(mut self, name: &str) -> Self {
        self.index = name.into();
        self
    }

    /// Sets the type of everything here, instead of guessing it by the ends of names.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets the field `Cache-Control`. Default: none, so that browsers ask again whether a file has
    /// changed.
    #[must_use]
    pub fn cache_control(mut self, value: &str) -> Self {
        self.cache_control = Some(value.into());
        self
    }

    /// Reads the next piece of a file.
    fn read(&mut self, cx: &mut Cx<'_>) {
        let request = cx.id();
        let Some(sending) = self
            .sending
            .get_mut(&request)
            .filter(|sending| !sending.reading)
        else {
            return;
        };
        if sending.left == 0 {
            self.sending.remove(&request);
            return cx.finish();
        }
        sending.reading = true;
        let (file, at) = (Arc::clone(&sending.file), sending.at);
        let length = usize::try_from(sending.left).map_or(PIECE, |left| left.min(PIECE));
        let work = move || read_at(&file, at, length);
        let then = move |hub: &mut Hub, piece: io::Result<Vec<u8>>| {
            post(hub, request, Box::new(Step::Read(piece)));
        };
        if let Err(error) = cx.spawn_blocking(work, then) {
            log::warn!("{}: a file ends early: {error}", request.conn());
            cx.abort();
        }
    }

    /// A piece of a file is there.
    fn send(&mut self, cx: &mut Cx<'_>, piece: io::Result<Vec<u8>>) {
        let Some(sending) = self.sending.get_mut(&cx.id()) else {
            return;
        };
        sending.reading = false;
        match piece {
            Ok(piece) if !piece.is_empty() => {
                sending.at += piece.len() as u64;
                sending.left -= piece.len() as u64;
                if cx.write_shared(Bytes::from(piece)) == Sent::Accepted {
                    self.read(cx);
                }
            }
            // Its length has been told already: only a reset says that this is not all.
            read => {
                let why = match read {
                    Ok(_) => "it has shrunk".to_owned(),
                    Err(error) => error.to_string(),
                };
                log::warn!("{}: a file ends early: {why}", cx.id().conn());
                cx.abort();
            }
        }
    }

    fn begin(&mut self, cx: &mut Cx<'_>, found: Found) {
        let response = match found {
            Found::Answer(response) => response,
            Found::Failed(error) => {
                log::error!("a file cannot be served: {error}");
                Response::plain(500)
            }
            Found::Stream {
                response,
                file,
                at,
                left,
                is_head,
            } => {
                if cx.start(response) == Sent::Closed {
                    return;
                }
                if is_head {
                    return cx.finish();
                }
                let sending = Sending {
                    file: Arc::new(file),
                    at,
                    left,
                    reading: false,
                };
                self.sending.insert(cx.id(), sending);
                return self.read(cx);
            }
        };
        cx.respond(response).ignore();
    }
}

impl<A> Mount<A> for Files {
    fn intake(&mut self, _: &Request<'_>) -> Intake {
        // Nobody reads what is sent along.
        Intake::CollectUpTo(0)
    }

    fn on_request(&mut self, _: &mut A, cx: &mut Cx<'_>, request: &Request<'_>) {
        if !matches!(request.method(), "GET" | "HEAD") {
            let response = Response::plain(405).field("Allow", "GET, HEAD");
            return cx.respond(response).ignore();
        }
        let path = match self.is_file {
            true => Some(PathBuf::new()).filter(|_| {
                let path = request.path();
                request.rest().is_empty() && (path == "/" || !path.ends_with('/'))
            }),
            false => inside(request.rest()),
        };
        let Some(path) = path else {
            return cx.respond(404).ignore();
        };
        let asked = Asked {
            root: Arc::clone(&self.root),
            path,
            is_folder: !self.is_file && request.path().ends_with('/'),
            query: request.query().map(str::to_owned),
            name: request
                .path()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            index: Arc::clone(&self.index),
            content_type: self.content_type.clone(),
            cache_control: self.cache_control.clone(),
            is_head: request.method() == "HEAD",
            if_none_match: request.header("If-None-Match").map(str::to_owned),
            if_modified_since: request.header("If-Modified-Since").map(str::to_owned),
            if_range: request.header("If-Range").map(str::to_owned),
            range: request.header("Range").map(str::to_owned),
        };
        let id = cx.id();
        let work = move || asked.find();
        let then = move |hub: &mut Hub, found: Found| post(hub, id, Box::new(Step::Found(found)));
        if let Err(error) = cx.spawn_blocking(work, then) {
            log::warn!("a file cannot be looked for: {error}");
            cx.respond(Response::plain(503).field("Retry-After", "1"))
                .ignore();
        }
    }

    fn on_post(&mut self, _: &mut A, cx: &mut Cx<'_>, message: Box<dyn Any>) {
        match message.downcast().map(|step| *step) {
            Ok(Step::Found(found)) => self.begin(cx, found),
            Ok(Step::Read(piece)) => self.send(cx, piece),
            Err(_) => {}
        }
    }

    fn on_drain(&mut self, _: &mut A, cx: &mut Cx<'_>) {
        self.read(cx);
    }

    /// A client that has finished sending may well be reading.
    fn on_half_close(&mut self, _: &mut A, _: &mut Cx<'_>) {}

    fn on_abort(&mut self, _: &mut A, _: &mut Hub, request: RequestId) {
        self.sending.remove(&request);
    }

    /// It is on its way, and may arrive.
    fn on_stop(&mut self, _: &mut A, _: &mut Cx<'_>) {}
}

/// What a thread of the pool has to tell.
enum Step {
    Found(Found),
    Read(io::Result<Vec<u8>>),
}

enum Found {
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
struct Asked {
    root: Arc<Path>,
    path: PathBuf,
    /// The path ends with a slash.
    is_folder: bool,
    /// The last segment, as it was sent.
    name: String,
    query: Option<String>,
    index: Arc<str>,
    content_type: Option<Arc<str>>,
    cache_control: Option<Arc<str>>,
    is_head: bool,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
    if_range: Option<String>,
    range: Option<String>,
}

impl Asked {
    /// A request whose job panicked would never be answered.
    fn find(self) -> Found {
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
        let weak = is_small && range.is_none() && super::coding::is_text(&content_type);
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

/// A path below the root, out of what stands in a request. `None` if it might lead elsewhere, or to
/// what is hidden.
fn inside(rest: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Some(path);
    }
    for segment in rest.split('/') {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        let bad = name.is_empty() || name.contains(['/', '\\', '\0']) || has_drive(&name);
        if bad || name.starts_with('.') && name != ".well-known" {
            return None;
        }
        path.push(&*name);
    }
    Some(path)
}

/// `C:`, which on some systems is a place of its own.
fn has_drive(name: &str) -> bool {
    matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Opens a file for reading, if it lies below `root` wherever links may have led. What blocks to be
/// opened, such as a pipe, is opened without waiting, and refused by whoever asks what it is.
fn open_inside(root: &Path, path: &Path) -> io::Result<Option<File>> {
    let file = open_now(path)?;
    // Asked of what was opened and not of the path, which may have become another meanwhile.
    let place = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
    let place = fs::read_link(place).or_else(|_| path.canonicalize())?;
    Ok(place.starts_with(root).then_some(file))
}

/// Opens a file without waiting for whoever is at the other end of it.
fn open_now(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Reads so many bytes, or as many as there are.
fn read_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let (mut data, mut read) = (vec![0; length], 0);
    while read < length {
        match file.read_at(&mut data[read..], at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    data.truncate(read);
    Ok(data)
}

fn content_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_raw();
    let guess = guess.unwrap_or("application/octet-stream");
    match guess.starts_with("text/") {
        true => format!("{guess}; charset=utf-8"),
        false => guess.to_owned(),
    }
}

fn cannot_serve(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot serve {}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_root() {
        for (rest, path) in [
            ("", ""),
            ("a", "a"),
            ("a/b.html", "a/b.html"),
            ("a/", "a"),
            ("a%20b/%C3%A9", "a b/é"),
            (".well-known/x", ".well-known/x"),
            ("a..b", "a..b"),
        ] {
            assert_eq!(inside(rest), Some(PathBuf::from(path)), "{rest}");
        }
        for rest in [
            "..",
            "../a",
            "a/../../b",
            "%2e%2e/a",
            "a/%2E%2e/b",
            "..%2fa",
            "a%2f..%2fb",
            "..\\a",
            "a%5c..%5cb",
            "a%00b",
            "/a",
            "/evil.example/a",
            "a//b",
            ".",
            "./a",
            ".git/config",
            "a/.htaccess",
            "C:/a",
            "c:a",
            "%ff",
            "//",
        ] {
            assert_eq!(inside(rest), None, "{rest}");
        }
    }

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

    #[test]
    fn types_go_by_the_end_of_the_name() {
        for (name, expected) in [
            ("a.css", "text/css; charset=utf-8"),
            ("a.gif", "image/gif"),
            ("a.html", "text/html; charset=utf-8"),
            ("a.jpg", "image/jpeg"),
            ("a.json", "application/json"),
            ("a.png", "image/png"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.unheard-of", "application/octet-stream"),
            ("a", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)), expected);
        }
        assert!(content_type(Path::new("a.js")).contains("javascript"));
    }
}
