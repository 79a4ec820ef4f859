//! A web server: files, a few routes, and a page that shows three ways of getting news from a
//! server side by side, with what each of them costs.
//!
//! ```sh
//! cargo run --release --example web                        # then open http://127.0.0.1:8080/
//! cargo run --release --example web -- --root docs         # the folder is at /files/
//! curl -i http://127.0.0.1:8080/hello/you
//! curl http://127.0.0.1:8080/metrics
//! cargo run --release --example web -- --proxy /app=127.0.0.1:8000   # a Flask or Django app, say
//! cargo run --release --example web -- --self-signed --redirect 127.0.0.1:8081
//! curl -L --cacert THE_PATH_THAT_WAS_PRINTED http://localhost:8081/hello/you
//! ```
//!
//! *Polling* asks every second and is answered at once, mostly with nothing. *Long polling* asks
//! once and is answered when there is something: its request is parked, which costs a slot in the
//! loop and no thread. A stream of *Server-Sent Events* asks once, and the answer does not end.

#[path = "../shared/certificate.rs"]
mod certificate;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use switchboard::http::{self, Cx, HttpsRedirect, Request, Response};
use switchboard::signals::{SIGINT, SIGTERM};
use switchboard::{Config, ConnId, ConnMap, Hub, Kind, Listen, Owner, Publish, Reactor, signals};

use certificate::HTTP;

const PAGE: &str = include_str!("index.html");

/// How often the server has something to say by itself.
const TICK: Duration = Duration::from_secs(5);
/// How long a request is parked before it is answered with nothing, so that no proxy loses
/// patience.
const PATIENCE: Duration = Duration::from_secs(25);
/// News that are kept for those who ask late.
const KEPT: usize = 100;
/// Characters of a message.
const LONGEST: usize = 200;

/// A web server: files, a few routes, and three ways of getting news side by side.
#[derive(Parser)]
struct Args {
    /// Address to serve on. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    #[command(flatten)]
    certificate: certificate::Options,
    /// Address to serve plain HTTP on that sends everybody to --listen
    #[arg(long, value_name = "ADDR", requires = "certificate")]
    redirect: Option<String>,
    /// Folder whose files are served at /files/
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Have requests below PATH answered by the server at HOST:PORT
    #[arg(long, value_name = "PATH=HOST:PORT", value_parser = forwarding)]
    proxy: Vec<(String, String)>,
    /// Network of proxies whose X-Forwarded-For is believed, such as 127.0.0.1 or 10.0.0.0/8
    #[arg(long, value_name = "NETWORK")]
    trust_proxy: Vec<String>,
    /// Print a line for each request (common log format).
    #[arg(long)]
    access_log: bool,
}

/// A way of getting news.
#[derive(Clone, Copy)]
enum Way {
    Poll,
    Wait,
    Events,
}

/// What a way has cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    requests: u64,
    /// Bytes from the browser.
    up: u64,
    /// Bytes to the browser.
    down: u64,
}

/// A connection, what it was last used for, and its counters as they were counted last.
#[derive(Clone, Copy)]
struct Meter {
    way: Option<Way>,
    up: u64,
    down: u64,
}

#[derive(Default)]
struct Web {
    /// The number of the newest.
    newest: u64,
    /// The newest ones, as JSON.
    news: Vec<String>,
    waiting: Vec<(http::RequestId, u64)>,
    costs: [Cost; 3],
    meters: ConnMap<Meter>,
    metered: Vec<ConnId>,
}

impl Web {
    /// Charges what a connection has carried since it was looked at last to what it was used for,
    /// and from here on to `next`.
    fn meter(&mut self, hub: &Hub, conn: ConnId, next: Option<Way>) {
        let Some(info) = hub.info(conn) else {
            return;
        };
        let (up, down) = (info.bytes_read, info.bytes_written);
        let new = Meter {
            way: next,
            up,
            down,
        };
        let old = match self.meters.get_mut(conn) {
            Some(meter) => std::mem::replace(meter, new),
            None => {
                self.meters.insert(conn, new);
                self.metered.push(conn);
                Meter {
                    way: next,
                    up: 0,
                    down: 0,
                }
            }
        };
        // What has come is the request; what has gone was the answer to the one before.
        if let Some(way) = next {
            self.costs[way as usize].up += up - old.up;
        }
        if let Some(way) = old.way {
            self.costs[way as usize].down += down - old.down;
        }
    }

    fn asked(&mut self, cx: &mut Cx<'_>, way: Way) {
        let conn = cx.id().conn();
        self.meter(cx.hub(), conn, Some(way));
        self.costs[way as usize].requests += 1;
    }

    /// What has come since the one with this number, as JSON.
    fn since(&self, number: u64) -> String {
        let missed = usize::try_from(self.newest.saturating_sub(number)).unwrap_or(KEPT);
        let from = self.news.len().saturating_sub(missed);
        format!("[{}]", self.news[from..].join(","))
    }

    fn poll(&mut self, cx: &mut Cx<'_>, request: &Request<'_>) {
        self.asked(cx, Way::Poll);
        let news = self.since(number(request));
        cx.respond(Response::json(200, news)).ignore();
    }

    /// Answers when there is something to say.
    fn wait(&mut self, cx: &mut Cx<'_>, request: &Request<'_>) {
        self.asked(cx, Way::Wait);
        let since = number(request);
        if since < self.newest {
            return cx.respond(Response::json(200, self.since(since))).ignore();
        }
        self.waiting.push((cx.id(), since));
        cx.respond_after(PATIENCE, Response::json(200, "[]"));
    }

    fn events(&mut self, cx: &mut Cx<'_>, _: &Request<'_>) {
        self.asked(cx, Way::Events);
        cx.start_events().ignore();
        cx.subscribe("news");
    }

    fn say(&mut self, cx: &mut Cx<'_>, request: &Request<'_>) {
        let text = request
            .form()
            .find(|(name, _)| name == "text")
            .map(|(_, text)| text.chars().take(LONGEST).collect::<String>());
        match text.filter(|text| !text.trim().is_empty()) {
            Some(text) => {
                self.tell(cx.hub(), &text);
                cx.respond(204).ignore();
            }
            None => cx
                .respond(Response::text(400, "send a form with `text` in it\n"))
                .ignore(),
        }
    }

    /// Has something to say, to everybody in every way.
    fn tell(&mut self, hub: &mut Hub, text: &str) {
        self.newest += 1;
        let item = json!({ "number": self.newest, "text": text }).to_string();
        self.news.push(item);
        if self.news.len() > KEPT {
            self.news.remove(0);
        }
        for (request, since) in std::mem::take(&mut self.waiting) {
            http::respond(hub, request, Response::json(200, self.since(since)));
        }
        let data = self.since(self.newest - 1);
        hub.publish(Publish {
            topic: "news",
            data: data.as_bytes(),
            kind: Kind::Text,
            except: None,
        });
    }

    fn costs(&mut self, cx: &mut Cx<'_>) {
        let conn = cx.id().conn();
        self.meter(cx.hub(), conn, None);
        let hub = cx.hub();
        self.metered.retain(|id| hub.is_open(*id));
        for id in self.metered.clone() {
            let way = self.meters.get(id).and_then(|meter| meter.way);
            self.meter(hub, id, way);
        }
        let cost = |way: Way| {
            let Cost { requests, up, down } = self.costs[way as usize];
            json!({ "requests": requests, "up": up, "down": down })
        };
        let costs = json!({
            "newest": self.newest,
            "poll": cost(Way::Poll),
            "wait": cost(Way::Wait),
            "events": cost(Way::Events),
        });
        cx.respond(Response::json(200, costs.to_string())).ignore();
    }
}

/// The number of the last news that a browser has.
fn number(request: &Request<'_>) -> u64 {
    let since = request.query_value("since");
    since.and_then(|since| since.parse().ok()).unwrap_or(0)
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match serve(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forwarding(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((path, to)) if path.starts_with('/') && to.contains(':') => {
            Ok((path.to_owned(), to.to_owned()))
        }
        _ => Err("expected a path and a server, such as /app=127.0.0.1:8000".to_owned()),
    }
}

fn serve(args: Args) -> io::Result<()> {
    let files = args.certificate.files()?;
    let mut reactor = Reactor::new(Config {
        time_callbacks: true,
        ..Config::default()
    })?;
    let mut server = http::Server::new()
        .get("/", |_: &mut Web, cx, _| {
            cx.respond(Response::html(200, PAGE)).ignore();
        })
        .get("/hello/:name", |_, cx, request| {
            let name = request.param("name").unwrap_or_default();
            cx.respond(format!("hello, {name}\n")).ignore();
        })
        .get("/poll", Web::poll)
        .get("/wait", Web::wait)
        .get("/events", Web::events)
        .post("/say", Web::say)
        .get("/costs", |web: &mut Web, cx, _| web.costs(cx))
        .mount("/metrics", http::Metrics::new())
        .on_abort(|web, _, request| web.waiting.retain(|(waiting, _)| *waiting != request));
    if let Some(root) = &args.root {
        server = server.mount("/files", http::Files::folder(root)?);
    }
    let upstream = reactor.add_driver(http::Upstream::new());
    for (path, to) in &args.proxy {
        server = server.mount(path, http::Proxy::new(upstream, to));
    }
    let trusted = args.trust_proxy.iter().map(String::as_str);
    server = server.trust_proxy(trusted).map_err(io::Error::other)?;
    if args.access_log {
        server = server.access_log(|line| println!("{line}"));
    }
    signals::on(&mut reactor, &[SIGINT, SIGTERM], |_, hub, _| {
        hub.shutdown(Duration::from_secs(2));
    })?;
    let driver = reactor.add_driver(server);
    match files {
        Some(files) => {
            let listen = Listen::tcp(&*args.listen);
            let at = files.listen(&mut reactor, listen, driver, HTTP)?.local_addr;
            println!("listening https {at}");
            if let Some(redirect) = &args.redirect {
                let port = at.ip().map_or(443, |at| at.port());
                let server = http::Server::new().mount("/", HttpsRedirect::new().port(port));
                let server = reactor.add_driver(server);
                let listening = reactor.listen(&**redirect, server)?;
                println!("listening http {}", listening.local_addr);
            }
        }
        None => {
            let listening = reactor.listen(&*args.listen, driver)?;
            println!("listening http {}", listening.local_addr);
        }
    }
    reactor.on_timer(|web: &mut Web, hub, _| {
        let number = web.newest + 1;
        web.tell(hub, &format!("tick {number}"));
        hub.set_timer(Owner::App, TICK, 0);
    });
    reactor.hub().set_timer(Owner::App, TICK, 0);
    reactor.run(&mut Web::default())
}
