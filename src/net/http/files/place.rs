//! Where a file lies, and what is done with it there.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// A path below the root, out of what stands in a request. `None` if it might lead elsewhere, or to
/// what is hidden.
pub(super) fn inside(rest: &str) -> Option<PathBuf> {
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
pub(super) fn open_inside(root: &Path, path: &Path) -> io::Result<Option<File>> {
    let file = open_now(path)?;
    // Asked of what was opened and not of the path, which may have become another meanwhile.
    let place = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
    let place = fs::read_link(place).or_else(|_| path.canonicalize())?;
    Ok(place.starts_with(root).then_some(file))
}

/// Opens a file without waiting for whoever is at the other end of it.
pub(super) fn open_now(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Reads so many bytes, or as many as there are.
pub(super) fn read_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
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

pub(super) fn content_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_raw();
    let guess = guess.unwrap_or("application/octet-stream");
    match guess.starts_with("text/") {
        true => format!("{guess}; charset=utf-8"),
        false => guess.to_owned(),
    }
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
