//! Other readers of HTTP: a process that is given connections and says what it has made of them.

use std::io::Write;
use std::process::{Command, Stdio};

/// A request as a reader has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// In hexadecimal.
    pub(crate) body: String,
    pub(crate) keep_alive: bool,
}

/// What a reader has made of a connection: whole requests, and what came behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) requests: Vec<Seen>,
    pub(crate) end: String,
}

impl Verdict {
    /// True if both have read the same requests and then refused, or not, what came behind. A
    /// request that was cut off is as good as refused: neither is served.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let accepted = |verdict: &Self| verdict.end == "closed";
        self.requests == other.requests && accepted(self) == accepted(other)
    }

    /// True if the same bytes were served as different requests, for which there is no excuse.
    /// Who closes where the other does not is no danger to anybody.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        let text = |seen: &Seen| (seen.method.clone(), seen.target.clone(), seen.body.clone());
        let mut pairs = self.requests.iter().zip(&other.requests);
        pairs.any(|(one, two)| text(one) != text(two))
    }
}

/// A program that reads.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    program: String,
    arguments: [&'static str; 2],
    /// Fails where the program lacks something.
    probe: &'static str,
}

impl Peer {
    pub(crate) fn h11() -> Self {
        Self {
            name: "h11",
            program: std::env::var("H11_PYTHON").unwrap_or_else(|_| "python3".to_owned()),
            arguments: ["-B", "tests/differential/h11_reader.py"],
            probe: "import h11",
        }
    }

    pub(crate) fn node() -> Self {
        Self {
            name: "node",
            program: "node".to_owned(),
            arguments: ["--no-warnings", "tests/differential/node_reader.js"],
            probe: "require('http')",
        }
    }

    /// What it makes of each of these connections, or why it cannot be asked.
    pub(crate) fn read(&self, connections: &[Vec<u8>]) -> Result<Vec<Verdict>, String> {
        let flag = if self.name == "node" { "-e" } else { "-c" };
        let mut probe = Command::new(&self.program);
        match probe
            .args([flag, self.probe])
            .stderr(Stdio::null())
            .status()
        {
            Ok(status) if status.success() => {}
            Ok(_) => {
                return Err(format!(
                    "{} is not installed for {}",
                    self.name, self.program
                ));
            }
            Err(error) => return Err(format!("{}: {error}", self.program)),
        }
        let mut child = Command::new(&self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program))?;
        let mut lines = String::new();
        for connection in connections {
            lines.extend(connection.iter().map(|byte| format!("{byte:02x}")));
            lines.push('\n');
        }
        let mut input = child.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = child.wait_with_output().expect("its output");
        writer.join().unwrap().expect("it to read everything");
        let output = String::from_utf8(output.stdout).expect("text");
        let verdicts: Vec<_> = output.lines().map(verdict).collect();
        assert_eq!(verdicts.len(), connections.len(), "{} gave up", self.name);
        Ok(verdicts)
    }
}

/// Reads a line of what the readers write: the end, and then each request.
fn verdict(line: &str) -> Verdict {
    let mut words = line.split(' ');
    let end = text(words.next().expect("an end"));
    let requests = words.map(|word| {
        let parts: Vec<_> = word.split('/').collect();
        let [method, target, body, keeps] = parts[..] else {
            panic!("a request in {} parts", parts.len());
        };
        Seen {
            method: text(method),
            target: text(target),
            body: body.to_owned(),
            keep_alive: keeps == "keeps",
        }
    });
    Verdict {
        requests: requests.collect(),
        end,
    }
}

/// What stands there in hexadecimal.
fn text(digits: &str) -> String {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"));
    bytes.map(char::from).collect()
}
