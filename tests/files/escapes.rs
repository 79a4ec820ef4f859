//! Paths that would lead out of the folder, and what lies in it that is not for everybody.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use switchboard::http::{Files, Options};

use crate::folder::Folder;
use crate::mounts::{App, Site, server};
use crate::served::Served;

const SECRET: &str = "nobody is to read this";

/// A folder `public` at `/files`, and secrets around it.
fn site() -> Site {
    let folder = Folder::new();
    for name in [
        "secret.txt",
        "public-too/secret.txt",
        "public.txt",
        "public/.env",
        "public/.git/config",
        "public/sub/.htaccess",
        "public/...",
    ] {
        folder.file(name, SECRET);
    }
    folder.file("public/ok.txt", "ok");
    folder.file("public/sub/ok.txt", "ok");
    folder.file("public/.well-known/ok.txt", "ok");
    let files = Files::folder(folder.path("public")).unwrap();
    let server = server(Options::default()).mount("/files", files);
    let served = Served::of(App::default(), server);
    Site { folder, served }
}

fn refused(site: &mut Site, paths: &[&str]) {
    for path in paths {
        let answer = site.get(path, "");
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert!(!answer.text().contains(SECRET), "{path}");
    }
    assert_eq!(site.get("/files/ok.txt", "").text(), "ok");
    site.served.assert_nothing_left();
}

#[test]
fn h14_dots_lead_nowhere() {
    refused(
        &mut site(),
        &[
            "/files/..",
            "/files/../",
            "/files/../secret.txt",
            "/files/../public/ok.txt",
            "/files/../public-too/secret.txt",
            "/files/sub/../../secret.txt",
            "/files/sub/../ok.txt",
            "/files/./ok.txt",
            "/files/.",
            "/files/./",
            "/files/...",
            "/files/....//secret.txt",
            "/files/.../secret.txt",
            "/files/..;/secret.txt",
            "/files/ok.txt/..",
            "/files/ok.txt/../../secret.txt",
            "/files/ok.txt/.",
            "/../secret.txt",
            "/files../secret.txt",
            "/files..",
            "../secret.txt",
        ],
    );
}

#[test]
fn h14_percent_signs_are_resolved_before_the_check_and_once() {
    refused(
        &mut site(),
        &[
            "/files/%2e%2e/secret.txt",
            "/files/%2E%2E/secret.txt",
            "/files/.%2e/secret.txt",
            "/files/%2e./secret.txt",
            "/files/%2e",
            "/files/%2e/ok.txt",
            "/files/..%2fsecret.txt",
            "/files/%2e%2e%2fsecret.txt",
            "/files/sub%2fok.txt",
            "/files/sub%2f..%2f..%2fsecret.txt",
            "/files%2f..%2fsecret.txt",
            "/files%2fok.txt",
            "/files/%252e%252e/secret.txt",
            "/files/%252e%252e%252fsecret.txt",
            "/files/%2%65%2%65/secret.txt",
            "/files/%u002e%u002e/secret.txt",
            // Dots and slashes in more bytes than they need.
            "/files/%c0%ae%c0%ae/secret.txt",
            "/files/%c0%2e%c0%2e/secret.txt",
            "/files/%e0%80%ae%e0%80%ae/secret.txt",
            "/files/..%c0%afsecret.txt",
            "/files/..%ef%bc%8fsecret.txt",
            "/files/%ff",
            "/files/%2e%65%6ev",
            // What ends too early.
            "/files/%2",
            "/files/%",
            "/files/ok.txt%",
        ],
    );
}

#[test]
fn h14_other_separators_and_absolute_paths_lead_nowhere() {
    refused(
        &mut site(),
        &[
            "/files/..\\secret.txt",
            "/files/..%5csecret.txt",
            "/files/sub%5cok.txt",
            "/files/sub\\ok.txt",
            "/files/\\..\\secret.txt",
            "/files//ok.txt",
            "/files//etc/passwd",
            "/files/%2fetc/passwd",
            "/files/%2fetc%2fpasswd",
            "/files///etc/passwd",
            "/files//",
            "//files/ok.txt",
            "//etc/passwd",
            "/etc/passwd",
            "//127.0.0.1/files/ok.txt",
            "/files/C:/ok.txt",
            "/files/c:ok.txt",
            "/files/C%3a%5cok.txt",
            "/files/%5c%5chost%5cshare",
            "/files/ok.txt::$DATA",
            "/files/~root/ok.txt",
            "http://a/files/../secret.txt",
            "http://a/files//etc/passwd",
        ],
    );
}

#[test]
fn h14_a_nul_ends_nothing() {
    let mut site = site();
    refused(
        &mut site,
        &[
            "/files/ok.txt%00",
            "/files/ok.txt%00.png",
            "/files/%00ok.txt",
            "/files/..%00/secret.txt",
            "/files/%00",
        ],
    );
    let answers = site
        .served
        .ask_until_closed(b"GET /files/ok.txt\0.png HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answers[0].status, 400);
}

#[test]
fn h14_names_that_begin_with_a_dot_are_hidden() {
    let mut site = site();
    refused(
        &mut site,
        &[
            "/files/.env",
            "/files/%2eenv",
            "/files/.git/config",
            "/files/%2Egit/config",
            "/files/.git/",
            "/files/.git",
            "/files/sub/.htaccess",
            "/files/.well-known/../.env",
            "/files/.WELL-KNOWN/ok.txt",
        ],
    );
    assert_eq!(site.get("/files/.well-known/ok.txt", "").text(), "ok");
    site.folder.file("public/.well-known/.secret", SECRET);
    refused(&mut site, &["/files/.well-known/.secret"]);
}

#[test]
fn h14_long_names_are_no_fault_of_the_server() {
    let mut site = site();
    let long = format!("/files/{}", "x".repeat(300));
    let deep = format!("/files/{}ok.txt", "x/".repeat(2_500));
    let dots = format!("/files/{}secret.txt", "../".repeat(500));
    refused(&mut site, &[&long, &deep, &dots]);
}

#[test]
fn h14_links_may_lead_about_the_folder_but_not_out_of_it() {
    let mut site = site();
    let outside = site.folder.path("");
    site.folder.link("public/in", "ok.txt");
    site.folder
        .link("public/absolute", site.folder.path("public/ok.txt"));
    site.folder.link("public/folder", "sub");
    site.folder.link("public/round", "../public/sub/ok.txt");
    site.folder.link("public/out", "../secret.txt");
    site.folder.link("public/out2", outside.join("secret.txt"));
    site.folder.link("public/parent", "..");
    site.folder.link("public/neighbour", "../public-too");
    site.folder.link("public/etc", "/etc");
    site.folder.link("public/chain", "out");
    site.folder.link("public/proc", "/proc/self/root");
    site.folder.link("public/none", "nowhere");
    for path in ["in", "absolute", "folder/ok.txt", "round"] {
        assert_eq!(site.get(&format!("/files/{path}"), "").text(), "ok");
    }
    refused(
        &mut site,
        &[
            "/files/out",
            "/files/out2",
            "/files/parent",
            "/files/parent/",
            "/files/parent/secret.txt",
            "/files/parent/public/.env",
            "/files/neighbour/secret.txt",
            "/files/neighbour",
            "/files/etc/passwd",
            "/files/etc/",
            "/files/chain",
            "/files/proc/etc/passwd",
            "/files/none",
        ],
    );
    // A page that is a link, too.
    site.folder
        .link("public/sub/index.html", "../../secret.txt");
    refused(&mut site, &["/files/sub/"]);
}

#[test]
fn h14_links_that_go_round_are_nothing() {
    let mut site = site();
    site.folder.link("public/one", "two");
    site.folder.link("public/two", "one");
    site.folder.link("public/self", "self");
    refused(
        &mut site,
        &["/files/one", "/files/self", "/files/self/self/ok.txt"],
    );
}

#[test]
fn h14_a_folder_may_itself_be_reached_by_a_link() {
    let folder = Folder::new();
    folder.file("real/ok.txt", "ok");
    folder.link("link", "real");
    let files = Files::folder(folder.path("link")).unwrap();
    let server = server(Options::default()).mount("/files", files);
    let mut site = Site {
        folder,
        served: Served::of(App::default(), server),
    };
    assert_eq!(site.get("/files/ok.txt", "").text(), "ok");
}

/// What is checked is what was opened, whatever has become of the path meanwhile.
#[test]
fn h14_a_link_that_is_turned_while_it_is_followed_shows_nothing() {
    let mut site = site();
    let (link, public) = (
        site.folder.path("public/turning"),
        site.folder.path("public"),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let turning = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            for target in ["ok.txt", "../secret.txt"].into_iter().cycle() {
                let next = public.join(".next");
                std::os::unix::fs::symlink(target, &next).unwrap();
                std::fs::rename(next, &link).unwrap();
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    });
    let mut seen = [0, 0];
    for _ in 0..5_000 {
        if seen.iter().all(|count| *count >= 50) {
            break;
        }
        let answer = site.get("/files/turning", "");
        match answer.status {
            200 => assert_eq!(answer.text(), "ok"),
            status => assert_eq!(status, 404),
        }
        seen[usize::from(answer.status == 200)] += 1;
    }
    stop.store(true, Ordering::Relaxed);
    turning.join().unwrap();
    assert!(seen.iter().all(|count| *count >= 50), "{seen:?}");
    site.served.assert_nothing_left();
}

#[test]
fn h14_what_is_no_file_is_not_opened_for_long() {
    let mut site = site();
    site.folder.fifo("public/pipe");
    site.folder.link("public/tty", "/dev/tty");
    site.folder.link("public/zero", "/dev/zero");
    refused(
        &mut site,
        &["/files/pipe", "/files/pipe/", "/files/tty", "/files/zero"],
    );
}

#[test]
fn h14_a_socket_is_nothing_to_be_served() {
    let mut site = site();
    let _listening = UnixListener::bind(site.folder.path("public/socket")).unwrap();
    refused(&mut site, &["/files/socket"]);
}
