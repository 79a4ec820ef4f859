//! Files as they are: all of them, their fields, and nothing but their fields.

use std::fs;

use switchboard::http::{Files, Options};

use crate::folder::Folder;
use crate::mounts::{App, Site, server};
use crate::served::{Served, request};
use crate::support::pattern;

#[test]
fn files_of_all_lengths_come_whole() {
    let mut site = Site::new();
    for length in [0, 1, 1_000, 131_071, 131_072, 131_073, 262_144, 3_000_001] {
        site.folder.file("it.bin", pattern(length));
        let answer = site.get("/files/it.bin", "");
        assert_eq!(answer.status, 200, "{length}");
        assert_eq!(answer.field("content-length"), Some(&*length.to_string()));
        assert_eq!(answer.field("accept-ranges"), Some("bytes"));
        assert!(answer.body == pattern(length), "{length}");
    }
    site.served.assert_nothing_left();
}

#[test]
fn a_head_is_that_of_the_file_without_the_file() {
    let mut site = Site::new();
    for length in [0, 5, 131_073] {
        site.folder.file("it.bin", pattern(length));
        let (head, get) = (
            site.head("/files/it.bin", ""),
            site.get("/files/it.bin", ""),
        );
        assert_eq!((head.status, &head.fields), (200, &get.fields), "{length}");
    }
    assert_eq!(site.head("/files/none", "").status, 404);
    // Of a file larger than any memory, too.
    site.folder.zeros("huge", 5 << 40);
    let huge = site.head("/files/huge", "");
    assert_eq!(
        huge.field("content-length"),
        Some(&*(5u64 << 40).to_string())
    );
    site.served.assert_nothing_left();
}

#[test]
fn types_go_by_names() {
    let mut site = Site::new();
    for (name, content_type) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("A.TXT", "text/plain; charset=utf-8"),
        ("a", "application/octet-stream"),
        ("a.html.unheard-of", "application/octet-stream"),
    ] {
        site.folder.file(name, "x");
        let answer = site.get(&format!("/files/{name}"), "");
        assert_eq!(answer.field("content-type"), Some(content_type), "{name}");
    }
    site.folder.file("b.js", "x");
    let script = site.get("/files/b.js", "");
    assert!(
        script
            .field("content-type")
            .unwrap()
            .contains("/javascript")
    );
}

#[test]
fn the_type_and_how_long_to_keep_it_can_be_said() {
    let mut site = Site::with(|files| {
        files
            .content_type("text/x-log")
            .cache_control("public, max-age=60")
    });
    site.folder.file("a.html", "x");
    let answer = site.get("/files/a.html", "");
    assert_eq!(answer.field("content-type"), Some("text/x-log"));
    assert_eq!(answer.field("cache-control"), Some("public, max-age=60"));
    let tag = answer.field("etag").unwrap();
    let known = site.get("/files/a.html", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (known.status, known.field("cache-control")),
        (304, Some("public, max-age=60"))
    );
    // Nobody is to keep for a minute that there is none.
    assert_eq!(site.get("/files/b", "").field("cache-control"), None);
}

#[test]
fn names_are_as_they_are_written() {
    let mut site = Site::new();
    for (name, path) in [
        ("with space.txt", "with%20space.txt"),
        ("größe.txt", "gr%C3%B6%C3%9Fe.txt"),
        ("100%.txt", "100%25.txt"),
        ("%41", "%2541"),
        ("a+b&c=d;e,f", "a+b&c=d;e,f"),
        ("what?", "what%3F"),
        ("#1", "%231"),
        ("a..b", "a..b"),
    ] {
        site.folder.file(name, name);
        assert_eq!(site.get(&format!("/files/{path}"), "").text(), name);
    }
}

#[test]
fn only_get_and_head_are_for_files() {
    let mut site = Site::new();
    site.folder.file("a", "x");
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        let answers = site.ask(&format!("{method} /files/a"), "");
        assert_eq!(
            (answers[0].status, answers[0].field("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    assert_eq!(fs::read(site.folder.path("a")).unwrap(), b"x");
}

#[test]
fn what_is_sent_along_is_not_read() {
    let mut site = Site::new();
    site.folder.file("a", "x");
    let put = request("PUT /files/a", "Content-Length: 1000000\r\n", "");
    let answers = site.served.ask_until_closed(put);
    assert_eq!((answers.len(), answers[0].status), (1, 413));
    site.served.assert_nothing_left();
}

#[test]
fn one_file_is_served_at_its_path_and_nothing_below() {
    let folder = Folder::new();
    folder.file("icon.png", pattern(200_000));
    let files = Files::file(folder.path("icon.png")).unwrap();
    let server = server(Options::default()).mount("/favicon.ico", files.content_type("image/x"));
    let mut site = Site {
        folder,
        served: Served::of(App::default(), server),
    };
    let icon = site.get("/favicon.ico", "");
    assert_eq!(
        (icon.status, icon.field("content-type")),
        (200, Some("image/x"))
    );
    assert!(icon.body == pattern(200_000));
    for path in [
        "/favicon.ico/",
        "/favicon.ico/a",
        "/favicon.ico/../icon.png",
    ] {
        assert_eq!(site.status(path), 404, "{path}");
    }
    assert_eq!(site.status("/favicon.ico?v=2"), 200);
    // It is looked for each time, and may come and go.
    fs::remove_file(site.folder.path("icon.png")).unwrap();
    assert_eq!(site.status("/favicon.ico"), 404);
    site.folder.file("icon.png", "new");
    assert_eq!(site.get("/favicon.ico", "").text(), "new");
}

#[test]
fn one_file_may_be_all_there_is() {
    let folder = Folder::new();
    folder.file("page.html", "the page");
    let files = Files::file(folder.path("page.html")).unwrap();
    let server = server(Options::default()).mount("/", files);
    let mut site = Site {
        folder,
        served: Served::of(App::default(), server),
    };
    assert_eq!(site.get("/", "").text(), "the page");
    assert_eq!(site.status("/page.html"), 404);
}

#[cfg(feature = "compression")]
#[test]
fn small_text_is_compressed_for_those_who_like_that() {
    use std::io::Read;

    let mut site = Site::new();
    let text = "all work and no play\n".repeat(1_000);
    for name in ["a.txt", "a.png", "a.html"] {
        site.folder.file(name, &text);
    }
    let accept = "Accept-Encoding: gzip, deflate, br\r\n";
    let coded = site.get("/files/a.txt", accept);
    assert_eq!(coded.field("content-encoding"), Some("gzip"));
    assert_eq!(coded.field("vary"), Some("Accept-Encoding"));
    assert!(coded.field("etag").unwrap().starts_with("W/"));
    let mut plain = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&coded.body[..]);
    decoder.read_to_string(&mut plain).unwrap();
    assert!(plain == text && coded.body.len() < 1_000);
    let coded = site.get("/files/a.html", "Accept-Encoding: deflate\r\n");
    assert_eq!(coded.field("content-encoding"), Some("deflate"));
    let mut plain = String::new();
    let mut decoder = flate2::read::ZlibDecoder::new(&coded.body[..]);
    decoder.read_to_string(&mut plain).unwrap();
    assert!(plain == text);
    // As it is: for those who do not; pieces; and what gains nothing by it.
    for (path, fields) in [
        ("/files/a.txt", String::new()),
        ("/files/a.txt", format!("{accept}Range: bytes=0-9999\r\n")),
        ("/files/a.png", accept.to_owned()),
    ] {
        let answer = site.get(path, &fields);
        assert_eq!(answer.field("content-encoding"), None, "{path} {fields}");
        assert!(text.as_bytes().starts_with(&answer.body));
    }
    // And what is large, which is not kept in memory.
    site.folder.file("large.txt", text.repeat(10));
    let large = site.get("/files/large.txt", accept);
    assert_eq!(large.field("content-encoding"), None);
    assert!(large.body == text.repeat(10).as_bytes());
    assert!(large.field("etag").unwrap().starts_with('"'));
}

#[cfg(feature = "compression")]
#[test]
fn caches_are_told_that_answers_vary_whichever_answer_it_is() {
    let mut site = Site::new();
    site.folder.file("a.txt", "words ".repeat(1_000));
    let accept = "Accept-Encoding: gzip\r\n";
    let get = site.get("/files/a.txt", accept);
    let tag = get.field("etag").unwrap();
    let head = site.head("/files/a.txt", accept);
    let known = site.get("/files/a.txt", &format!("{accept}If-None-Match: {tag}\r\n"));
    let without = site.get("/files/a.txt", "");
    for answer in [&get, &without, &head, &known] {
        let vary = answer.field("vary");
        assert_eq!(vary, Some("Accept-Encoding"), "{}", answer.status);
    }
}
