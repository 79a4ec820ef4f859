//! What the kernel says of a process, read from /proc.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;

/// Time on a CPU, over all threads that are alive. It is current only while
/// they sleep: the kernel brings it up to date when a thread leaves the CPU.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = match fs::read_to_string(task?.path().join("schedstat")) {
            // The thread has ended since the folder was read.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.context("the kernel keeps no schedstat")?,
        };
        nanoseconds += first_number(&schedstat).context("schedstat has no number")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kibibytes = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(first_number)
        .context("smaps_rollup has no Rss")?;
    Ok(kibibytes * 1024)
}

pub fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let pid = std::process::id();
        cpu_time(pid).unwrap();
        assert!(resident(pid).unwrap() > 0);
        assert!(open_files(pid).unwrap() >= 3);
    }
}
