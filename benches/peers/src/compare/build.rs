//! Builds what a comparison runs, and says where each program is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::scenario::{Program, Server};

/// This package's folder, and the main project's, as they were when compiled.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The built programs.
pub struct Programs {
    ours: PathBuf,
    release: PathBuf,
}

impl Programs {
    /// Builds the servers' programs and the load client. A given `ours` is
    /// taken as it is.
    pub fn build(servers: &[&Server], ours: Option<&Path>) -> anyhow::Result<Self> {
        let target = target_directory()?;
        let release = target.join("release");
        build_package(&target)?;
        for server in servers {
            if let Program::C(name) = server.program {
                build_c(name, &release)?;
            }
        }
        let wanted = servers.iter().any(|server| server.program == Program::Ours);
        let ours = match ours {
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("no server at {}", path.display()))?,
            None if wanted => build_ours()?,
            None => PathBuf::new(),
        };
        Ok(Self { ours, release })
    }

    pub fn path(&self, program: Program) -> PathBuf {
        match program {
            Program::Ours => self.ours.clone(),
            Program::C(name) | Program::Peer(name) => self.release.join(name),
        }
    }

    pub fn load(&self) -> PathBuf {
        self.release.join("load")
    }
}

/// The target folder that this very program was built in.
fn target_directory() -> anyhow::Result<PathBuf> {
    let program = env::current_exe()?;
    program
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .context("this program lies in no target folder")
}

/// `cargo run` builds only the program that it runs, not the ones beside it.
fn build_package(target: &Path) -> anyhow::Result<()> {
    let manifest = Path::new(PACKAGE).join("Cargo.toml");
    run(cargo()
        .args(["build", "--quiet", "--release", "--locked", "--bins"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target))
}

fn build_c(name: &str, release: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(release)?;
    run(Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-o"])
        .arg(release.join(name))
        .arg(Path::new(PACKAGE).join("c").join(format!("{name}.c"))))
}

fn build_ours() -> anyhow::Result<PathBuf> {
    let project = Path::new(PROJECT)
        .canonicalize()
        .context("the main project is not where it was")?;
    let target = project.join("target");
    run(cargo()
        .current_dir(&project)
        .args(["build", "--quiet", "--release", "--example", "echo"])
        .arg("--target-dir")
        .arg(&target))
    .context("cannot build switchboard's echo example (--ours PATH takes a built one)")?;
    Ok(target.join("release/examples/echo"))
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
