//! The example, running.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How long anything may take that should take no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The example. It ends with the test, whatever happens.
pub(crate) struct Chat {
    process: Child,
    output: BufReader<ChildStdout>,
    pub(crate) http: SocketAddr,
    pub(crate) lines: SocketAddr,
    pub(crate) udp: SocketAddr,
}

impl Chat {
    /// Starts it at free ports.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        let mut command = command();
        for flag in ["--listen", "--lines", "--udp"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        let process = command.args(flags).stdout(Stdio::piped()).spawn();
        let mut process = process.unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut listening = |name: &str| {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let address = line.strip_prefix(&format!("listening {name} "));
            address
                .expect("the words")
                .trim_end()
                .parse()
                .expect("an address")
        };
        let (http, lines, udp) = (listening("http"), listening("lines"), listening("udp"));
        Self {
            process,
            output,
            http,
            lines,
            udp,
        }
    }

    /// All that is answered to a request of HTTP.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = connect(self.http);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end. It must have said nothing more.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The example with flags that it does not start with: its exit code, and its complaint.
pub(crate) fn refused(flags: &[&str]) -> (Option<i32>, String) {
    let output = command().args(flags).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), complaint)
}

/// `target/<profile>/examples/chat`, as seen from `target/<profile>/deps`.
fn command() -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.ancestors().nth(2).unwrap().join("examples/chat");
    assert!(
        program.exists(),
        "it is missing: `cargo build --example chat` builds it"
    );
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
