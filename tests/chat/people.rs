//! Those who use it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::server::{Chat, connect};

/// Somebody who has `nc`.
pub(crate) struct Nc(BufReader<TcpStream>);

impl Nc {
    pub(crate) fn connect(chat: &Chat) -> Self {
        let mut nc = Self(BufReader::new(connect(chat.lines)));
        assert_eq!(nc.next(), "-- Welcome. What is your name?");
        nc
    }

    /// One who is in the lobby.
    pub(crate) fn join(chat: &Chat, nick: &str) -> Self {
        let mut nc = Self::connect(chat);
        nc.say(nick);
        nc.until(&format!("-- You are {nick}, in lobby."));
        nc.until("-- /help");
        nc
    }

    /// Says it as clients do that end their lines with CR LF.
    pub(crate) fn say(&mut self, text: &str) {
        self.write(format!("{text}\r\n").as_bytes());
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        assert!(line.ends_with('\n'), "{line:?} and the end");
        line.trim_end_matches('\n').to_owned()
    }

    /// Lets lines pass until one begins so.
    pub(crate) fn until(&mut self, begin: &str) {
        while !self.next().starts_with(begin) {}
    }

    /// What comes until the end.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("an end in time");
        rest
    }
}

/// Somebody who uses the page: its WebSocket.
pub(crate) struct Page(BufReader<TcpStream>);

impl Page {
    pub(crate) fn connect(chat: &Chat) -> Self {
        let mut stream = connect(chat.http);
        let host = chat.http;
        write!(
            stream,
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut page = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(page.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        page
    }

    /// One that is in the lobby.
    pub(crate) fn join(chat: &Chat, nick: &str) -> Self {
        let mut page = Self::connect(chat);
        page.send(&json!({ "join": { "nick": nick } }));
        assert_eq!(page.next("here")["nick"], nick);
        page
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(&json!({ "say": text }));
    }

    /// Says all of it in one write: no token comes in meanwhile, however busy the machine is.
    pub(crate) fn say_at_once(&mut self, texts: &[&str]) {
        let frames = texts.iter().map(|text| json!({ "say": text }).to_string());
        let frames: Vec<u8> = frames.flat_map(|text| Self::frame_of(&text)).collect();
        self.0.get_mut().write_all(&frames).unwrap();
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.0.get_mut().write_all(&Self::frame_of(text)).unwrap();
    }

    /// A frame, under a mask of zeros.
    fn frame_of(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81];
        match text.len() {
            length @ ..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    /// The next message of this name, past those of rooms, which come at their own times, and of
    /// what has been done.
    pub(crate) fn next(&mut self, name: &str) -> Value {
        loop {
            let (opcode, payload) = self.frame();
            assert_eq!(opcode, 1, "text");
            let message: Value = serde_json::from_slice(&payload).unwrap();
            let (found, value) = message.as_object().unwrap().iter().next().unwrap();
            if found == name {
                return value.clone();
            }
            let passing = ["done", "joined", "left", "line", "renamed", "rooms"];
            assert!(
                passing.contains(&&**found),
                "{name} was expected, and came: {message}"
            );
        }
    }

    /// The next message of this name has to be this.
    pub(crate) fn expect(&mut self, name: &str, value: &Value) {
        assert_eq!(&self.next(name), value);
    }

    /// Lets messages pass until this one comes.
    pub(crate) fn until(&mut self, name: &str, value: &Value) {
        while &self.next(name) != value {}
    }

    /// What the server's close says, after which nothing may come.
    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            let (opcode, payload) = self.frame();
            if opcode == 8 {
                // The answer, on which the server ends the connection.
                self.0
                    .get_mut()
                    .write_all(&[0x88, 0x80, 0, 0, 0, 0])
                    .unwrap();
                assert_eq!(self.0.read(&mut [0]).unwrap(), 0);
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a message in time");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).unwrap();
                u64::from_be_bytes(length) as usize
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 15, payload)
    }
}
