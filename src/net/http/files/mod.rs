//! Files of a folder, or one of them.
//!
//! Whatever touches a disk may block, so all of it is done on a thread of the pool: opening, asking
//! for the length, reading piece by piece, each piece when the client has taken most of the last.

mod asked;
mod place;

use std::any::Any;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use self::asked::{Asked, Found};
use self::place::{inside, open_now, read_at};
use super::cx::{Cx, post};
use super::exchange::RequestId;
use super::mount::{Intake, Mount};
use super::request::Request;
use super::response::Response;
use crate::reactor::{Hub, Sent};

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

fn cannot_serve(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot serve {}: {error}", path.display()),
    )
}
