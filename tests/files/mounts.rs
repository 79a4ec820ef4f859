//! The application of these tests, which counts requests whose clients have gone, and a server of a
//! folder of their own.

use std::net::TcpStream;

use switchboard::ConnId;
use switchboard::http::{self, Files, Options};

use crate::answer::{Answer, answers};
use crate::folder::Folder;
use crate::served::{Served, request};

#[derive(Debug, Default)]
pub(crate) struct App {
    pub(crate) aborted: usize,
}

/// A server without mounts.
pub(crate) fn server(options: Options) -> http::Server<App> {
    http::Server::with(options).on_abort(|app: &mut App, _, _| app.aborted += 1)
}

/// A folder, and a server that has it at `/files`.
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) served: Served,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(|files| files)
    }

    /// What is served is changed before it is mounted.
    pub(crate) fn with(change: impl FnOnce(Files) -> Files) -> Self {
        let folder = Folder::new();
        let files = change(Files::folder(folder.path("")).unwrap());
        let served = Served::of(
            App::default(),
            server(Options::default()).mount("/files", files),
        );
        Self { folder, served }
    }

    /// The one answer to a request of its own connection, which the client ends after it.
    pub(crate) fn get(&mut self, path: &str, fields: &str) -> Answer {
        let mut answers = self.ask(&format!("GET {path}"), fields);
        assert_eq!(answers.len(), 1, "{path}: {answers:?}");
        answers.remove(0)
    }

    pub(crate) fn status(&mut self, path: &str) -> u16 {
        self.get(path, "").status
    }

    pub(crate) fn ask(&mut self, line: &str, fields: &str) -> Vec<Answer> {
        answers(&self.served.ask_raw(request(line, fields, "")))
    }

    /// The answer to a `HEAD`.
    pub(crate) fn head(&mut self, path: &str, fields: &str) -> Answer {
        let received = self
            .served
            .ask_raw(request(&format!("HEAD {path}"), fields, ""));
        let (answer, length) = Answer::take(&received, true).unwrap();
        assert_eq!(length, received.len(), "{path}: a body");
        answer
    }

    /// A client that has asked for a path and reads nothing yet, so that some of the answer waits
    /// for it: of a file that is larger than what the kernel keeps for both sides.
    pub(crate) fn slow(&mut self, path: &str) -> (TcpStream, ConnId) {
        let (mut client, id) = self.served.connect_as();
        self.served
            .write(&mut client, &request(&format!("GET {path}"), "", ""));
        self.served
            .turns("a piece to wait for the client", |served| {
                served.hub().backlog(id) > 0
            });
        (client, id)
    }
}
