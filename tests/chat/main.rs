//! The chat example, as those meet it who use it: by its page's WebSocket, by lines, by datagrams.
//! Its parts that know no sockets have their tests beside them, which run here, too.
#![allow(
    clippy::unwrap_used,
    reason = "helpers may end a test as the tests themselves do"
)]

mod parts;
mod people;
mod server;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

use serde_json::json;

use people::{Nc, Page};
use server::{Chat, refused};

#[test]
fn what_one_says_all_others_hear_whichever_way_they_came() {
    let chat = Chat::start();
    let (mut otter, mut heron) = (Page::join(&chat, "otter"), Nc::join(&chat, "heron"));
    otter.expect("joined", &json!({ "nick": "heron", "via": "nc" }));
    heron.say("from a terminal");
    let line = otter.next("line");
    assert_eq!(line["nick"], "heron");
    assert_eq!(line["via"], "nc");
    assert_eq!(line["text"], "from a terminal");
    assert_eq!(line["action"], false);
    otter.say("from a page");
    assert_eq!(heron.next(), "otter: from a page");
    // Who uses a page hears his own line, with its number; then that it has been dealt with.
    assert!(otter.next("line")["number"].as_u64() > line["number"].as_u64());
    otter.expect("done", &json!(true));
    otter.say("/me waves");
    assert_eq!(heron.next(), "* otter waves");
    assert_eq!(otter.next("line")["action"], true);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    for (datagram, nick, text) in [
        ("lark: by datagram\n", "lark", "by datagram"),
        (
            "nobody in particular",
            "udp:127.0.0.1",
            "nobody in particular",
        ),
        // A name that somebody has is not lent to others.
        ("Otter: I am it", "udp:127.0.0.1", "Otter: I am it"),
        ("12:30 is lunch", "12", "30 is lunch"),
        (": ", "udp:127.0.0.1", ":"),
    ] {
        udp.send_to(datagram.as_bytes(), chat.udp).unwrap();
        assert_eq!(heron.next(), format!("{nick}: {text}"));
        let line = otter.next("line");
        assert_eq!((&line["nick"], &line["via"]), (&json!(nick), &json!("udp")));
    }
    assert!(udp.recv(&mut [0; 100]).is_err(), "nobody is answered");
}

#[test]
fn names_are_unique_and_without_tricks() {
    let chat = Chat::start();
    let mut heron = Nc::join(&chat, "heron");
    let mut other = Nc::connect(&chat);
    for (name, why) in [
        ("HERON", "already"),
        ("", "needed"),
        ("two words", "letters and digits"),
        ("-dash", "begins with"),
        ("a\u{202e}b", "letters and digits"),
        ("a\u{200b}b", "letters and digits"),
        ("nnnnnnnnnnnnnnnnnnnnnnnnn", "at most 24"),
    ] {
        other.say(name);
        let answer = other.next();
        assert!(
            answer.starts_with("-- ") && answer.contains(why),
            "{name:?}: {answer}"
        );
    }
    other.say("水獺");
    other.until("-- You are 水獺, in lobby.");
    heron.until("-- 水獺 is here.");
    other.say("/join tea");
    heron.until("-- 水獺 has left.");
    // In whatever room the other one is.
    heron.say("/nick 水獺");
    assert!(heron.next().contains("already"));
    heron.say("/nick Heron");
    assert_eq!(heron.next(), "-- heron is called Heron now.");
    heron.say("/nick wren");
    assert_eq!(heron.next(), "-- Heron is called wren now.");
    // What is free is free again at once.
    let mut page = Page::join(&chat, "heron");
    page.say("/nick WREN");
    assert!(page.next("refused").as_str().unwrap().contains("already"));
}

#[test]
fn rooms_keep_to_themselves() {
    let chat = Chat::start();
    let (mut otter, mut heron) = (Page::join(&chat, "otter"), Nc::join(&chat, "heron"));
    heron.say("/join #Tea");
    heron.until("-- You are heron, in tea. Here: heron (nc).");
    otter.expect("left", &json!("heron"));
    heron.say("about tea");
    otter.say("about the lobby");
    otter.next("done");
    let rooms = json!([{ "name": "lobby", "people": 1 }, { "name": "tea", "people": 1 }]);
    otter.until("rooms", &rooms);
    otter.say("/join tea");
    let here = otter.next("here");
    assert_eq!(here["room"], "tea");
    assert_eq!(here["people"].as_array().unwrap().len(), 2);
    assert_eq!(here["lines"][0]["text"], "about tea");
    assert_eq!(
        here["ports"],
        json!({ "nc": chat.lines.port(), "udp": chat.udp.port() })
    );
    assert_eq!(heron.next(), "-- /help lists the commands.");
    assert_eq!(heron.next(), "-- otter is here.");
    heron.say("/rooms");
    assert_eq!(heron.next(), "-- Rooms: lobby (0), tea (2).");
    heron.say("/who");
    assert_eq!(heron.next(), "-- Here: heron (nc), otter (web).");
    heron.say("/help");
    assert!(heron.next().starts_with("-- /join ROOM"));
    heron.until("-- //TEXT");
    for (command, answer) in [
        ("/join", "-- Say where"),
        ("/join TEA", "-- You are in tea already."),
        ("/teapot", "-- There is no /teapot; /help"),
    ] {
        heron.say(command);
        assert!(heron.next().starts_with(answer));
    }
    heron.say("/quit");
    assert_eq!(heron.rest(), "");
    otter.expect("left", &json!("heron"));
    otter.say("/quit");
    assert_eq!(otter.close_code(), 1000);
}

#[test]
fn fifty_lines_are_remembered_and_who_returns_gets_those_it_has_missed() {
    let chat = Chat::start();
    let mut heron = Nc::join(&chat, "heron");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    // More than one may say in one go.
    for speaker in 0..7 {
        let mut nc = Nc::join(&chat, &format!("p{speaker}"));
        for number in 0..9 {
            nc.say(&format!("line {}", 9 * speaker + number));
            heron.until(&format!("p{speaker}: line"));
        }
    }
    let mut otter = Page::connect(&chat);
    otter.send(&json!({ "join": { "nick": "otter", "key": "secret" } }));
    let lines = otter.next("here")["lines"].clone();
    let lines = lines.as_array().unwrap();
    let texts = lines.iter().map(|line| line["text"].as_str().unwrap());
    assert!(texts.eq((13..63).map(|number| format!("line {number}"))));

    let since = &lines[49]["number"];
    drop(otter);
    heron.until("-- otter has left.");
    udp.send_to(b"missed", chat.udp).unwrap();
    heron.until("udp:127.0.0.1: missed");
    let join = json!({ "join": { "nick": "otter", "since": since, "key": "secret" } });
    let mut otter = Page::connect(&chat);
    otter.send(&join);
    let here = otter.next("here");
    assert_eq!(here["lines"].as_array().unwrap().len(), 1);
    assert_eq!(here["lines"][0]["text"], "missed");
    heron.until("-- otter is here.");

    // Its name is its own, even before the server has noticed that the connection has broken.
    let mut stranger = Page::connect(&chat);
    stranger.send(&json!({ "join": { "nick": "otter", "key": "a guess" } }));
    stranger.next("refused");
    let mut again = Page::connect(&chat);
    again.send(&join);
    assert_eq!(again.next("here")["people"].as_array().unwrap().len(), 2);
    again.say("back");
    assert_eq!(heron.next(), "otter: back", "without having left");
}

/// What is too much waits, and others are heard in between.
#[test]
fn a_flood_is_told_and_slowed_and_nothing_of_it_is_lost() {
    let chat = Chat::start();
    let (mut otter, mut flood) = (Page::join(&chat, "otter"), Nc::join(&chat, "flood"));
    let lines: String = (0..25).map(|number| format!("{number}\n")).collect();
    flood.write(lines.as_bytes());
    flood.until("-- Slow down");
    otter.say("in between");
    let mut heard = Vec::new();
    while heard.len() < 14 || !heard.iter().any(|text| text == "in between") {
        heard.push(otter.next("line")["text"].as_str().unwrap().to_owned());
    }
    let last = "24".to_owned();
    assert!(!heard.contains(&last), "others are heard before it is over");
    heard.retain(|text| text != "in between");
    let numbers = (0..heard.len()).map(|number| number.to_string());
    assert!(numbers.eq(heard));

    let mut page = Page::join(&chat, "page");
    page.say_at_once(&["faster"; 12]);
    assert!(
        page.next("notice")
            .as_str()
            .unwrap()
            .starts_with("Slow down")
    );
    // Datagrams have nowhere to wait.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..100 {
        udp.send_to(format!("shout {number}").as_bytes(), chat.udp)
            .unwrap();
    }
    let mut nc = Nc::join(&chat, "heron");
    nc.say("/who");
    let mut shouts = 0;
    loop {
        let line = nc.next();
        if line.starts_with("-- Here: ") {
            break;
        }
        shouts += usize::from(line.starts_with("udp:"));
    }
    assert!((1..50).contains(&shouts), "{shouts} of 100 were heard");
}

#[test]
fn what_is_too_long_or_no_text_is_refused_and_the_connection_stays() {
    let chat = Chat::start();
    let (mut otter, mut heron) = (Page::join(&chat, "otter"), Nc::join(&chat, "heron"));
    let (longest, longer) = ("ü".repeat(2_000), "ü".repeat(2_001));
    heron.say(&longer);
    assert_eq!(
        heron.next(),
        "-- That is too long: 2000 characters at most."
    );
    heron.write(b"\xff\xfe\n");
    assert_eq!(heron.next(), "-- That is no UTF-8, and was not said.");
    heron.say("");
    assert_eq!(heron.next(), "-- There is nothing to say.");
    heron.say(&longest);
    assert_eq!(otter.next("line")["text"], longest);
    otter.say(&longer);
    assert!(otter.next("refused").as_str().unwrap().contains("too long"));
    for rubbish in [
        "",
        "{",
        "[]",
        "7",
        "{\"say\": 7}",
        "{\"shout\": \"a\"}",
        "{\"join\": {}}",
    ] {
        otter.send_text(rubbish);
        assert!(
            otter
                .next("refused")
                .as_str()
                .unwrap()
                .starts_with("Expected")
        );
    }
    let mut stranger = Page::connect(&chat);
    stranger.say("who am I");
    assert_eq!(stranger.next("refused"), "Say who you are first.");
    heron.say("\x1b[2J\x07still \u{202e}here");
    assert_eq!(otter.next("line")["text"], "[2Jstill here");
    // What is no line any more ends it.
    heron.write(&[b'x'; 70_000]);
    assert!(
        heron
            .rest()
            .starts_with("-- Good bye: line longer than 65536 bytes.")
    );
}

#[test]
fn who_does_not_read_is_disconnected_and_the_others_go_on() {
    let chat = Chat::start();
    let mut heron = Nc::join(&chat, "heron");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.connect(&chat.lines.into()).unwrap();
    TcpStream::from(socket.try_clone().unwrap())
        .write_all(b"sloth\n")
        .unwrap();
    heron.until("-- sloth is here.");
    let long = "水".repeat(2_000);
    // Each may say ten things in one go, the name and the farewell among them; that makes 48 KB.
    let left = (0..200).any(|number| {
        let mut nc = Nc::join(&chat, &format!("p{number}"));
        for _ in 0..8 {
            nc.say(&long);
        }
        nc.say("/quit");
        let mut left = false;
        loop {
            let line = heron.next();
            left |= line == "-- sloth has left.";
            if line == format!("-- p{number} has left.") {
                return left;
            }
        }
    });
    assert!(left, "after megabytes it is still there");
    heron.say("/who");
    assert_eq!(heron.next(), "-- Here: heron (nc).");
}

#[test]
fn at_its_end_everybody_is_told() {
    let mut chat = Chat::start();
    let (mut otter, mut heron) = (Page::join(&chat, "otter"), Nc::join(&chat, "heron"));
    chat.signal("TERM");
    assert_eq!(heron.rest(), "-- The server stops.\n");
    otter.expect("joined", &json!({ "nick": "heron", "via": "nc" }));
    otter.expect("notice", &json!("The server stops."));
    assert_eq!(otter.close_code(), 1001);
    drop((otter, heron));
    assert_eq!(chat.exit_code(), Some(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut chat = Chat::start();
    let mut heron = Nc::join(&chat, "heron");
    chat.signal("INT");
    heron.until("-- The server stops.");
    chat.signal("INT");
    assert_eq!(chat.exit_code(), Some(1));
}

#[test]
fn the_page_comes_from_here_alone_and_talks_to_nobody_else() {
    let chat = Chat::start();
    for (path, content_type) in [
        ("/", "text/html"),
        ("/chat.css", "text/css"),
        ("/chat.js", "text/javascript"),
    ] {
        let answer = chat.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            head.contains(&format!("Content-Type: {content_type}; charset=utf-8")),
            "{head}"
        );
        assert!(
            head.contains("Content-Security-Policy: default-src 'none'; "),
            "{head}"
        );
        assert!(!head.contains("unsafe"), "{head}");
        assert!(
            !body.contains("innerHTML") && !body.contains("src=\"http"),
            "{path}"
        );
    }
    let upgrade = "GET /ws HTTP/1.1\r\nHost: chat.example\r\nOrigin: http://evil.example\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(
        chat.ask(upgrade).starts_with("HTTP/1.1 403 "),
        "a page of another site"
    );
}

#[test]
fn an_address_that_cannot_be_had_is_named_with_what_to_do() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (flag, taken) in [
        ("--listen", tcp.local_addr().unwrap()),
        ("--lines", tcp.local_addr().unwrap()),
        ("--udp", udp.local_addr().unwrap()),
    ] {
        let taken = taken.to_string();
        let mut flags = vec!["--listen", "127.0.0.1:0", "--lines", "127.0.0.1:0"];
        flags.extend(["--udp", "127.0.0.1:0"]);
        let at = flags.iter().position(|other| *other == flag).unwrap();
        flags[at + 1] = &taken;
        let (code, complaint) = refused(&flags);
        assert_eq!(code, Some(1));
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        for word in ["error: ", &taken, "in use", "choose another address", flag] {
            assert!(complaint.contains(word), "no `{word}` in: {complaint}");
        }
    }
}

#[test]
fn bad_arguments_are_exit_code_2() {
    for flags in [
        &["--no-such-flag"][..],
        &["--listen"],
        &["--max-connections", "0"],
        &["--drain=-1"],
        &["surplus"],
    ] {
        let (code, complaint) = refused(flags);
        assert_eq!(code, Some(2), "{flags:?}: {complaint}");
        assert!(complaint.contains("--help"), "{complaint}");
    }
}

/// Who is one too many waits until somebody goes.
#[test]
fn further_people_wait_while_all_places_are_taken() {
    let chat = Chat::with(&["--max-connections", "1"]);
    let mut first = Nc::join(&chat, "first");
    let mut second = TcpStream::connect(chat.lines).unwrap();
    second.write_all(b"second\n").unwrap();
    for _ in 0..5 {
        first.say("/who");
        assert_eq!(first.next(), "-- Here: first (nc).");
    }
    first.say("/quit");
    assert_eq!(first.rest(), "");
    drop(first);
    second.shutdown(Shutdown::Write).unwrap();
    let mut told = String::new();
    second.read_to_string(&mut told).unwrap();
    assert!(told.contains("-- You are second, in lobby."), "{told}");
}
