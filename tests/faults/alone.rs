//! Tests that need a process of their own: they count descriptors or memory, or need more or fewer
//! of them.

use std::any::type_name_of_val;
use std::process::{Command, Stdio};

/// Set in a process that runs one test alone.
const ALONE: &str = "SWITCHBOARD_TEST_ALONE";

/// Runs `body`, a closure of the calling test, in a process with `descriptors` of them.
pub(crate) fn alone<F: FnOnce()>(descriptors: usize, body: F) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let name = test_name(&body);
    let output = command(name, descriptors).output().expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    // A name that no test has would be a success of nothing.
    let passed = output.status.success() && printed.contains("1 passed");
    assert!(passed, "{name} alone: {printed}{complaint}");
}

/// Whether this is the process that [`command`] has started.
pub(crate) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// This test binary again, for one test only, in a process with `descriptors` of them.
pub(crate) fn command(name: &str, descriptors: usize) -> Command {
    let binary = std::env::current_exe().expect("the path of the tests");
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh"])
        .arg(descriptors.to_string())
        .arg(binary)
        .args(["--exact", "--nocapture", "--test-threads=1", name])
        .env(ALONE, "1")
        .stdin(Stdio::null());
    command
}

/// The name by which the test with this closure is known to the harness.
pub(crate) fn test_name<F>(body: &F) -> &'static str {
    let path = type_name_of_val(body).trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, name)| name)
}
