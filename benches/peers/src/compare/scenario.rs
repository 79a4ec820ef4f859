//! The servers of each scenario, as tables. A new protocol is a new table here
//! and a load client that speaks it.

use clap::ValueEnum;

/// Where a server's program comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The `echo` example of the main project.
    Ours,
    /// A C file of `c/`, by its name without `.c`.
    C(&'static str),
    /// A binary of this package.
    Peer(&'static str),
}

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
    load: &[],
    servers: &[
        C,
        MIO,
        TOKIO,
        Server {
            name: "switchboard",
            program: Program::Ours,
            arguments: &["--tcp", "127.0.0.1:0"],
        },
    ],
    baseline: "c",
};

/// Each server has one socket, which all clients share.
pub const UDP: Scenario = Scenario {
    protocol: "udp",
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
            name: "switchboard",
            program: Program::Ours,
            arguments: &["--udp", "127.0.0.1:0"],
        },
    ],
    baseline: "c",
};

/// Many silent connections: switchboard would close them, or refuse some, with
/// the limits that it has by default.
pub const TCP_IDLE: Scenario = Scenario {
    protocol: "tcp",
    load: &["idle"],
    servers: &[
        C,
        MIO,
        TOKIO,
        Server {
            name: "switchboard",
            program: Program::Ours,
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
    baseline: "c",
};

/// The scenarios whose messages are echoed.
#[derive(Clone, Copy, ValueEnum)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub fn scenario(self) -> &'static Scenario {
        match self {
            Self::Tcp => &TCP,
            Self::Udp => &UDP,
        }
    }
}
