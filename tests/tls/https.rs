//! What HTTP makes of coming by TLS.

use std::net::TcpStream;
use std::sync::Arc;

use switchboard::http;

use crate::far::{Far, client_config};
use crate::near::{Near, listen, server};
use crate::support::{Listener, World, client, read_some};

/// Reads the head of a request.
fn read_head(near: &mut Near, mut stream: TcpStream) -> String {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    near.turns("the head of a request", |_| {
        let read = read_some(&mut stream, &mut buffer).unwrap_or(0);
        head.extend_from_slice(&buffer[..read]);
        head.ends_with(b"\r\n\r\n")
    });
    String::from_utf8(head).unwrap()
}

#[test]
fn a_proxy_says_how_its_client_has_come() {
    let (mut near, behind) = (Near::new(), Listener::new());
    let upstream = near.reactor.add_driver(http::Upstream::new());
    let proxy = http::Proxy::new(upstream, &behind.address().to_string());
    let driver = http::Server::<World>::new().mount("/", proxy);
    let driver = near.reactor.add_driver(driver);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    let listening = near.reactor.listen(listen(server()), driver).unwrap();
    let address = listening.local_addr.ip().unwrap();
    let mut far = Far::client(address, &Arc::new(client_config()), "localhost");
    far.say(request);
    let mut asked = None;
    near.both(&mut far, "the request by TLS", |_, _| {
        asked = behind.accept();
        asked.is_some()
    });
    let head = read_head(&mut near, asked.unwrap());
    assert!(head.contains("\r\nX-Forwarded-Proto: https\r\n"), "{head}");

    let listening = near.reactor.listen("127.0.0.1:0", driver).unwrap();
    let plain = client(listening.local_addr.ip().unwrap());
    crate::far::post(&plain, request);
    let mut asked = None;
    near.turns("the request", |_| {
        asked = behind.accept();
        asked.is_some()
    });
    let head = read_head(&mut near, asked.unwrap());
    assert!(head.contains("\r\nX-Forwarded-Proto: http\r\n"), "{head}");
}
