//! Folders: their own pages, and how one gets there.

use switchboard::http::{Files, Options};

use crate::folder::Folder;
use crate::mounts::{App, Site, server};
use crate::served::Served;

/// A folder that is served at another path.
fn at(path: &str, folder: Folder) -> Site {
    let files = Files::folder(folder.path("")).unwrap();
    let served = Served::of(
        App::default(),
        server(Options::default()).mount(path, files),
    );
    Site { folder, served }
}

#[test]
fn a_folder_is_its_own_page() {
    let mut site = Site::new();
    site.folder.file("index.html", "the top");
    site.folder.file("sub/index.html", "below");
    site.folder.folder("empty");
    site.folder.folder("odd/index.html");
    for (path, text) in [
        ("/files/", "the top"),
        ("/files/index.html", "the top"),
        ("/files/sub/", "below"),
    ] {
        let answer = site.get(path, "");
        assert_eq!((answer.status, answer.text()), (200, text), "{path}");
        assert_eq!(
            answer.field("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
    // No listings.
    for path in [
        "/files/empty/",
        "/files/odd/",
        "/files/index.html/",
        "/files/none/",
    ] {
        assert_eq!(site.status(path), 404, "{path}");
    }
}

#[test]
fn the_page_may_have_another_name() {
    let mut site = Site::with(|files| files.index("home.txt"));
    site.folder.file("home.txt", "home");
    site.folder.file("sub/index.html", "not this");
    assert_eq!(site.get("/files/", "").text(), "home");
    assert_eq!(site.status("/files/sub/"), 404);
}

#[test]
fn a_folder_without_its_slash_is_elsewhere() {
    let mut site = Site::new();
    site.folder.file("sub/deep/index.html", "here");
    for (path, location) in [
        ("/files/sub", "./sub/"),
        ("/files/sub/deep", "./deep/"),
        ("/files/%73ub", "./%73ub/"),
    ] {
        let answer = site.get(path, "");
        assert_eq!(
            (answer.status, answer.field("location")),
            (308, Some(location)),
            "{path}"
        );
    }
    let head = site.head("/files/sub", "");
    assert_eq!((head.status, head.field("location")), (308, Some("./sub/")));
}

/// Links in its page are relative to the path that it was asked for by.
#[test]
fn the_mounted_folder_without_its_slash_is_elsewhere_too() {
    let mut site = Site::new();
    site.folder.file("index.html", "<a href=other.html>");
    let answer = site.get("/files", "");
    assert_eq!(
        (answer.status, answer.field("location")),
        (308, Some("./files/"))
    );
}

#[test]
fn a_query_is_kept_on_the_way() {
    let mut site = Site::new();
    site.folder.file("sub/index.html", "here");
    let answer = site.get("/files/sub?page=2&q=%2F", "");
    assert_eq!(
        (answer.status, answer.field("location")),
        (308, Some("./sub/?page=2&q=%2F"))
    );
}

#[test]
fn a_folder_may_be_served_at_the_root_and_deep_down() {
    for (path, base) in [("/", ""), ("/a/b/c", "/a/b/c"), ("/slash/", "/slash")] {
        let folder = Folder::new();
        folder.file("index.html", "top");
        folder.file("sub/index.html", "below");
        folder.file("sub/x.txt", "text");
        let mut site = at(path, folder);
        assert_eq!(site.get(&format!("{base}/"), "").text(), "top");
        assert_eq!(site.get(&format!("{base}/sub/x.txt"), "").text(), "text");
        let moved = site.get(&format!("{base}/sub"), "");
        assert_eq!(moved.field("location"), Some("./sub/"));
    }
}

/// What is asked for never becomes another host, nor another line of the head.
#[test]
fn h14_the_way_to_a_folder_leads_to_no_other_host() {
    let folder = Folder::new();
    for name in [
        "evil.example",
        "https:",
        "a\r\nX: y",
        "@evil.example",
        "a:b",
    ] {
        folder.file(&format!("{name}/index.html"), "here");
    }
    let mut site = at("/", folder);
    for (path, location) in [
        ("/evil.example", Some("./evil.example/")),
        ("/https:", Some("./https:/")),
        ("/@evil.example", Some("./@evil.example/")),
        ("/a%0D%0AX:%20y", Some("./a%0D%0AX:%20y/")),
        ("//evil.example", None),
        ("///evil.example", None),
        ("/%2fevil.example", None),
        ("/%2f%2fevil.example", None),
        ("/\\evil.example", None),
        ("/%5cevil.example", None),
        ("/./evil.example", None),
        ("/.//evil.example", None),
        ("/https:%2f%2fevil.example", None),
        ("http://evil.example", None),
        ("http://evil.example/evil.example", Some("./evil.example/")),
        ("http://evil.example//evil.example", None),
    ] {
        let answer = site.get(path, "");
        assert_eq!(answer.field("location"), location, "{path}");
        assert_eq!(answer.field("x"), None, "{path}");
    }
}
