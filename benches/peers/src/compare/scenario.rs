//! The servers of each scenario, as tables. A new protocol is a new table here
//! and a load client that speaks it.

use clap::ValueEnum;

use crate::load::{Broadcast, Connection, Http, Tcp, Tls, Udp};

/// Where a server's program comes from.
#[derive(Clone, Copy)]
pub enum Program {
    /// An example of the main project.
    Example(&'static str),
    /// A C file of `c/`, by its name without `.c`.
    C(&'static str),
    /// A binary of this package.
    Peer(&'static str),
    /// A C++ file of `cpp/`, by its name without `.cpp`, on uWebSockets.
    Uws(&'static str),
    /// A C file of `c/`, by its name without `.c`, on OpenSSL.
    OpenSsl(&'static str),
}

/// The server that this is all about.
pub const OURS: &str = "switchboard";

/// One row of a scenario.
pub struct Server {
    pub name: &'static str,
    pub program: Program,
    pub arguments: &'static [&'static str],
    /// What it speaks, and is spoken to, where that is something below what the
    /// scenario is about.
    pub instead: Option<&'static Scenario>,
}

impl Server {
    const fn new(name: &'static str, program: Program, arguments: &'static [&'static str]) -> Self {
        Self {
            name,
            program,
            arguments,
            instead: None,
        }
    }
}

/// Servers that do the same for the same client.
pub struct Scenario {
    /// As the servers name it: a server is ready when it has said `listening`,
    /// this, and its address.
    pub protocol: &'static str,
    /// What is measured, for headings.
    pub title: &'static str,
    /// What the client sends, each of which is answered.
    pub unit: &'static str,
    /// What has [`size`](Self::size) bytes.
    pub sized: &'static str,
    /// Bytes, when nothing else is said.
    pub size: usize,
    /// How many there are, when nothing else is said.
    pub connections: usize,
    /// How many are sent and counted in a run, when nothing else is said.
    pub messages: u64,
    /// How many of them come first and are not counted, when nothing else is said.
    pub warmup: u64,
    /// The load client's command.
    pub load: &'static [&'static str],
    pub servers: &'static [Server],
    /// The servers that the others are divided by.
    pub baselines: &'static [&'static str],
    /// The server that is subtracted from the others.
    pub floor: Option<&'static str>,
}

/// Any free port of the loopback interface.
const ANY: &[&str] = &["127.0.0.1:0"];

const C: Server = Server::new("c", Program::C("epoll_echo"), ANY);
const MIO: Server = Server::new("mio", Program::Peer("mio_echo"), ANY);
const TOKIO: Server = Server::new("tokio", Program::Peer("tokio_echo"), ANY);

pub const TCP: Scenario = Scenario {
    protocol: "tcp",
    title: "TCP echo",
    unit: "message",
    sized: "messages",
    size: Tcp::SIZE,
    connections: 50,
    messages: 200_000,
    warmup: 20_000,
    load: &[],
    servers: &[
        C,
        MIO,
        TOKIO,
        Server::new(OURS, Program::Example("echo"), &["--tcp", "127.0.0.1:0"]),
    ],
    baselines: &["c"],
    floor: None,
};

/// Each server has one socket, which all clients share.
pub const UDP: Scenario = Scenario {
    protocol: "udp",
    title: "UDP echo",
    size: Udp::SIZE,
    load: &["udp"],
    servers: &[
        Server::new("c", Program::C("epoll_udp"), ANY),
        Server::new("mio", Program::Peer("mio_udp"), ANY),
        Server::new("tokio", Program::Peer("tokio_udp"), ANY),
        Server::new(OURS, Program::Example("echo"), &["--udp", "127.0.0.1:0"]),
    ],
    ..TCP
};

/// Many silent connections: switchboard would close them, or refuse some, with
/// the limits that it has by default.
pub const TCP_IDLE: Scenario = Scenario {
    title: "TCP",
    load: &["idle"],
    servers: &[
        C,
        MIO,
        TOKIO,
        Server::new(
            OURS,
            Program::Example("echo"),
            &[
                "--tcp",
                "127.0.0.1:0",
                "--idle-timeout",
                "600",
                "--max-connections",
                "20000",
            ],
        ),
    ],
    ..TCP
};

/// One request after another on connections that stay open, and the same short
/// text for each.
pub const HTTP: Scenario = Scenario {
    protocol: "http",
    title: "HTTP",
    unit: "request",
    sized: "bodies",
    size: Http::SIZE,
    messages: 150_000,
    load: &["http"],
    servers: &[
        Server::new("hyper", Program::Peer("hyper_http"), ANY),
        Server::new(OURS, Program::Peer("switchboard_http"), ANY),
    ],
    baselines: &["hyper"],
    ..TCP
};

const FASTWEBSOCKETS: Server =
    Server::new("fastwebsockets", Program::Peer("fastwebsockets_ws"), ANY);
const TUNGSTENITE: Server = Server::new("tungstenite", Program::Peer("tungstenite_ws"), ANY);
const UWEBSOCKETS: &str = "uwebsockets";
const UWS: Program = Program::Uws("uws_ws");
const SWITCHBOARD_WS: Server = Server::new(OURS, Program::Peer("switchboard_ws"), ANY);

/// What a message costs anyway: the same bytes without frames or encryption.
const FLOOR: Server = Server {
    instead: Some(&TCP),
    ..Server::new("switchboard-tcp", Program::Peer("switchboard_tcp"), ANY)
};

/// Messages of text, each in one frame.
pub const WS: Scenario = Scenario {
    protocol: "ws",
    title: "WebSocket echo",
    size: 20,
    load: &["ws"],
    servers: &[
        FASTWEBSOCKETS,
        TUNGSTENITE,
        Server::new(UWEBSOCKETS, UWS, &["127.0.0.1"]),
        SWITCHBOARD_WS,
        FLOOR,
    ],
    baselines: &["fastwebsockets", "tungstenite"],
    floor: Some(FLOOR.name),
    ..TCP
};

/// Some send, and each message goes to all.
pub const WS_BROADCAST: Scenario = Scenario {
    title: "WebSocket broadcast, 10 senders",
    unit: "delivered message",
    size: Broadcast::SIZE,
    connections: 1000,
    messages: 500_000,
    load: &["broadcast"],
    servers: &[
        Server::new(
            "tungstenite",
            Program::Peer("tungstenite_ws"),
            &["127.0.0.1:0", "--broadcast"],
        ),
        Server::new(
            "tungstenite-batch",
            Program::Peer("tungstenite_ws"),
            &["127.0.0.1:0", "--broadcast", "--batch"],
        ),
        Server::new(UWEBSOCKETS, UWS, &["127.0.0.1", "--broadcast"]),
        Server::new(
            OURS,
            Program::Peer("switchboard_ws"),
            &["127.0.0.1:0", "--broadcast"],
        ),
    ],
    baselines: &["tungstenite", "tungstenite-batch"],
    floor: None,
    ..WS
};

pub const WS_IDLE: Scenario = Scenario {
    title: "WebSocket",
    load: &["idle", "--protocol", "ws"],
    servers: &[
        FASTWEBSOCKETS,
        TUNGSTENITE,
        Server::new(UWEBSOCKETS, UWS, &["127.0.0.1"]),
        SWITCHBOARD_WS,
    ],
    ..WS
};

/// With the servers that can compress: fastwebsockets and tungstenite cannot.
pub const WS_IDLE_DEFLATE: Scenario = Scenario {
    title: "WebSocket, compressed without context take-over",
    load: &["idle", "--protocol", "ws", "--deflate"],
    servers: &[
        Server::new(UWEBSOCKETS, UWS, &["127.0.0.1", "--deflate"]),
        Server::new(
            OURS,
            Program::Peer("switchboard_ws"),
            &["127.0.0.1:0", "--deflate"],
        ),
    ],
    ..WS
};

const TOKIO_RUSTLS: Server = Server::new("tokio-rustls", Program::Peer("tokio_rustls"), ANY);
const OPENSSL: Server = Server::new("openssl", Program::OpenSsl("openssl_echo"), ANY);
const SWITCHBOARD_TLS: Server = Server::new(OURS, Program::Peer("switchboard_tls"), ANY);

/// Messages that are records each, when they come from the client.
pub const TLS: Scenario = Scenario {
    protocol: "tls",
    title: "TLS echo",
    size: Tls::SIZE,
    load: &["tls"],
    servers: &[TOKIO_RUSTLS, OPENSSL, SWITCHBOARD_TLS, FLOOR],
    baselines: &[TOKIO_RUSTLS.name],
    floor: Some(FLOOR.name),
    ..TCP
};

/// Connections one after another.
pub const TLS_HANDSHAKES: Scenario = Scenario {
    title: "TLS, full handshakes one after another",
    unit: "handshake",
    size: 1,
    connections: 1,
    messages: 3_000,
    warmup: 500,
    load: &["handshakes"],
    servers: &[TOKIO_RUSTLS, OPENSSL, SWITCHBOARD_TLS],
    floor: None,
    ..TLS
};

pub const TLS_IDLE: Scenario = Scenario {
    title: "TLS",
    load: &["idle", "--protocol", "tls"],
    ..TLS_HANDSHAKES
};

/// The scenarios in which each message is answered.
#[derive(Clone, Copy, ValueEnum)]
pub enum Protocol {
    Tcp,
    Udp,
    Http,
    Ws,
    WsBroadcast,
    Tls,
    TlsHandshakes,
}

impl Protocol {
    pub fn scenario(self) -> &'static Scenario {
        match self {
            Self::Tcp => &TCP,
            Self::Udp => &UDP,
            Self::Http => &HTTP,
            Self::Ws => &WS,
            Self::WsBroadcast => &WS_BROADCAST,
            Self::Tls => &TLS,
            Self::TlsHandshakes => &TLS_HANDSHAKES,
        }
    }
}
