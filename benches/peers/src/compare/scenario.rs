//! The servers of each scenario, as tables. A new protocol is a new table here
//! and a load client that speaks it.

use clap::ValueEnum;

use crate::load::{Connection, Http, Tcp, Udp};

/// Where a server's program comes from.
#[derive(Clone, Copy)]
pub enum Program {
    /// An example of the main project.
    Example(&'static str),
    /// A C file of `c/`, by its name without `.c`.
    C(&'static str),
    /// A binary of this package.
    Peer(&'static str),
}

/// The server that this is all about.
pub const OURS: &str = "switchboard";

/// One row of a scenario.
pub struct Server {
    pub name: &'static str,
    pub program: Program,
    pub arguments: &'static [&'static str],
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
    /// How many are sent and counted in a run, when nothing else is said.
    pub messages: u64,
    /// The load client's command.
    pub load: &'static [&'static str],
    pub servers: &'static [Server],
    /// The server that the others are divided by.
    pub baseline: &'static str,
}

const C: Server = Server {
    name: "c",
    program: Program::C("epoll_echo"),
    arguments: &["127.0.0.1:0"],
};
const MIO: Server = Server {
    name: "mio",
    program: Program::Peer("mio_echo"),
    arguments: &["127.0.0.1:0"],
};
const TOKIO: Server = Server {
    name: "tokio",
    program: Program::Peer("tokio_echo"),
    arguments: &["127.0.0.1:0"],
};

pub const TCP: Scenario = Scenario {
    protocol: "tcp",
    title: "TCP echo",
    unit: "message",
    sized: "messages",
    size: Tcp::SIZE,
    messages: 200_000,
    load: &[],
    servers: &[
        C,
        MIO,
        TOKIO,
        Server {
            name: OURS,
            program: Program::Example("echo"),
            arguments: &["--tcp", "127.0.0.1:0"],
        },
    ],
    baseline: "c",
};

/// Each server has one socket, which all clients share.
pub const UDP: Scenario = Scenario {
    protocol: "udp",
    title: "UDP echo",
    unit: "message",
    sized: "messages",
    size: Udp::SIZE,
    messages: 200_000,
    load: &["udp"],
    servers: &[
        Server {
            name: "c",
            program: Program::C("epoll_udp"),
            arguments: &["127.0.0.1:0"],
        },
        Server {
            name: "mio",
            program: Program::Peer("mio_udp"),
            arguments: &["127.0.0.1:0"],
        },
        Server {
            name: "tokio",
            program: Program::Peer("tokio_udp"),
            arguments: &["127.0.0.1:0"],
        },
        Server {
            name: OURS,
            program: Program::Example("echo"),
            arguments: &["--udp", "127.0.0.1:0"],
        },
    ],
    baseline: "c",
};

/// Many silent connections: switchboard would close them, or refuse some, with
/// the limits that it has by default.
pub const TCP_IDLE: Scenario = Scenario {
    load: &["idle"],
    servers: &[
        C,
        MIO,
        TOKIO,
        Server {
            name: OURS,
            program: Program::Example("echo"),
            arguments: &[
                "--tcp",
                "127.0.0.1:0",
                "--idle-timeout",
                "600",
                "--max-connections",
                "20000",
            ],
        },
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
        Server {
            name: "hyper",
            program: Program::Peer("hyper_http"),
            arguments: &["127.0.0.1:0"],
        },
        Server {
            name: OURS,
            program: Program::Peer("switchboard_http"),
            arguments: &["127.0.0.1:0"],
        },
    ],
    baseline: "hyper",
};

/// The scenarios in which each message is answered.
#[derive(Clone, Copy, ValueEnum)]
pub enum Protocol {
    Tcp,
    Udp,
    Http,
}

impl Protocol {
    pub fn scenario(self) -> &'static Scenario {
        match self {
            Self::Tcp => &TCP,
            Self::Udp => &UDP,
            Self::Http => &HTTP,
        }
    }
}
