//! What can be served at all: said when the server is made, in words that name the path.

use std::fs::File;
use std::os::unix::process::CommandExt;

use switchboard::http::Files;

use crate::alone;
use crate::folder::Folder;
use crate::mounts::Site;

#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = Folder::new();
    folder.file("file", "x");
    for (name, why) in [
        ("none", "No such file or directory"),
        ("file", "Not a directory"),
        ("file/below", "Not a directory"),
    ] {
        let path = folder.path(name);
        let error = Files::folder(&path).unwrap_err().to_string();
        let begins = format!("cannot serve {}: {why}", path.display());
        assert!(error.starts_with(&begins), "{error}");
    }
}

#[test]
fn a_file_that_is_none_is_told() {
    let folder = Folder::new();
    folder.folder("folder");
    for (name, why) in [
        ("none", "No such file or directory"),
        ("folder", "not a file"),
    ] {
        let path = folder.path(name);
        let error = Files::file(&path).unwrap_err().to_string();
        let begins = format!("cannot serve {}: {why}", path.display());
        assert!(error.starts_with(&begins), "{error}");
    }
}

/// A pipe that nobody writes to would be waited for.
#[test]
fn a_pipe_is_no_file_and_is_not_waited_for() {
    let folder = Folder::new();
    folder.fifo("pipe");
    let (told, hears) = std::sync::mpsc::channel();
    let path = folder.path("pipe");
    std::thread::spawn(move || told.send(Files::file(path).is_err()));
    let refused = hears.recv_timeout(std::time::Duration::from_secs(5));
    assert_eq!(refused, Ok(true), "it waits for somebody to write");
}

/// Runs `body` as somebody who may not read everything, as root may.
fn as_anybody(body: fn(), name: &str) {
    let folder = Folder::new();
    folder.file("closed", "x");
    folder.mode("closed", 0o000);
    if File::open(folder.path("closed")).is_err() {
        return body();
    }
    assert!(!alone::is_alone(), "still root");
    let nobody = 65_534;
    match alone::command(name, 256).uid(nobody).gid(nobody).output() {
        Ok(output) => {
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr);
            // Where the tests lie, nobody else may look.
            if output.status.code() == Some(126) {
                return println!("skipped: {name}: {complaint}");
            }
            assert!(
                output.status.success() && printed.contains("1 passed"),
                "{printed}{complaint}"
            );
        }
        Err(error) => println!("skipped: {name}: {error}"),
    }
}

#[test]
fn what_may_not_be_read_is_told() {
    as_anybody(
        || {
            let folder = Folder::new();
            folder.file("file", "x");
            folder.folder("folder");
            for name in ["file", "folder"] {
                folder.mode(name, 0o000);
            }
            for made in [
                Files::file(folder.path("file")),
                Files::folder(folder.path("folder")),
            ] {
                let error = made.unwrap_err().to_string();
                assert!(
                    error.starts_with("cannot serve /") && error.contains("Permission denied"),
                    "{error}"
                );
            }
            folder.mode("folder", 0o700);
        },
        "root::what_may_not_be_read_is_told",
    );
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    as_anybody(
        || {
            let mut site = Site::new();
            site.folder.file("closed.txt", "x");
            site.folder.file("closed/a.txt", "x");
            site.folder.file("open.txt", "x");
            site.folder.mode("closed.txt", 0o000);
            site.folder.mode("closed", 0o000);
            for path in ["closed.txt", "closed/a.txt", "closed/"] {
                assert_eq!(site.status(&format!("/files/{path}")), 403, "{path}");
            }
            assert_eq!(site.status("/files/open.txt"), 200);
            site.folder.mode("closed", 0o700);
        },
        "root::a_file_that_may_not_be_read_is_forbidden",
    );
}
