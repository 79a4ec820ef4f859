//! A plain HTTP/1.1 server with hyper on tokio's current-thread runtime, as
//! hyper's guide writes it: one task per connection.
//!
//! Run: `cargo run --release --bin hyper_http -- 127.0.0.1:0`
//! (prints `listening http 127.0.0.1:PORT` once connections are accepted).
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::ErrorKind;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use peers::http;
use tokio::net::{TcpListener, TcpStream};

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::default();
    match (request.method(), request.uri().path()) {
        (&Method::GET, http::PATH) => {
            let content_type = HeaderValue::from_static(http::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            *response.body_mut() = Full::from(http::BODY);
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

async fn serve_connection(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    http1::Builder::new()
        // Answers to requests that came together leave together.
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await?;
    Ok(())
}

async fn serve(address: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("cannot listen")?;
    println!("listening http {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            // A connection's failure is its own: the peer has gone.
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream))),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error).context("cannot accept"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: hyper_http ADDRESS:PORT")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(serve(&address))
}
