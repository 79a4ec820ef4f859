//! Builds what a comparison runs, and says where each program is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use super::scenario::{OURS, Program, Server};

/// This package's folder, and the main project's, as they were when compiled.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The built programs.
pub struct Programs {
    /// What is taken for switchboard's server, whatever the scenario says.
    ours: Option<PathBuf>,
    release: PathBuf,
    examples: PathBuf,
}

impl Programs {
    /// Builds the servers' programs and the load client. A given `ours` is
    /// taken as it is. What cannot be built everywhere is left out of the
    /// servers.
    pub fn build(servers: &mut Vec<&Server>, ours: Option<&Path>) -> anyhow::Result<Self> {
        let target = target_directory()?;
        let release = target.join("release");
        build_package(&target)?;
        let project = Path::new(PROJECT)
            .canonicalize()
            .context("the main project is not where it was")?;
        for server in servers.iter() {
            match server.program {
                Program::C(name) => build_c(name, &release, &[])?,
                Program::Example(name) if ours.is_none() => build_example(name, &project)?,
                _ => {}
            }
        }
        servers.retain(|server| {
            let built = match server.program {
                Program::Uws(name) => build_uws(name, &release),
                Program::OpenSsl(name) => build_c(name, &release, &["-lssl", "-lcrypto"])
                    .context("it needs the headers of OpenSSL 3"),
                _ => Ok(()),
            };
            built
                .inspect_err(|error| println!("skipped: {}: {error:#}", server.name))
                .is_ok()
        });
        let at = |path: &Path| {
            path.canonicalize()
                .with_context(|| format!("no server at {}", path.display()))
        };
        Ok(Self {
            ours: ours.map(at).transpose()?,
            release,
            examples: project.join("target/release/examples"),
        })
    }

    pub fn path(&self, server: &Server) -> PathBuf {
        match (&self.ours, server.program) {
            (Some(path), _) if server.name == OURS => path.clone(),
            (_, Program::Example(name)) => self.examples.join(name),
            (
                _,
                Program::C(name)
                | Program::OpenSsl(name)
                | Program::Peer(name)
                | Program::Uws(name),
            ) => self.release.join(name),
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

fn build_c(name: &str, release: &Path, libraries: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(release)?;
    run(Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-o"])
        .arg(release.join(name))
        .arg(Path::new(PACKAGE).join("c").join(format!("{name}.c")))
        .args(libraries))
}

/// Builds a program with the sources of uWebSockets, unless it is there already:
/// that takes a while.
fn build_uws(name: &str, release: &Path) -> anyhow::Result<()> {
    let source = Path::new(PACKAGE).join("cpp").join(format!("{name}.cpp"));
    let program = release.join(name);
    if changed(&program).is_ok_and(|built| changed(&source).is_ok_and(|source| source < built)) {
        return Ok(());
    }
    let above = uws_sources()?;
    let below = above.join("uSockets/src");
    // Not `g++`, which takes C for C++.
    let mut command = Command::new("cc");
    command
        .args(["-O3", "-flto=auto", "-w", "-DLIBUS_NO_SSL", "-I"])
        .arg(above.join("src"))
        .arg("-I")
        .arg(&below)
        .arg("-o")
        .arg(program)
        .args(["-x", "c++", "-std=c++20"])
        .arg(source)
        .args(["-x", "c", "-std=gnu11"]);
    for file in [
        "bsd",
        "context",
        "eventing/epoll_kqueue",
        "loop",
        "socket",
        "udp",
    ] {
        command.arg(below.join(file).with_extension("c"));
    }
    let status = command.args(["-x", "none", "-lstdc++", "-lz"]).status()?;
    ensure!(status.success(), "it needs a compiler for C++, and zlib");
    Ok(())
}

fn changed(path: &Path) -> std::io::Result<SystemTime> {
    path.metadata()?.modified()
}

/// Where the sources are, which one of the packages carries that cargo knows of.
fn uws_sources() -> anyhow::Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--quiet", "--locked", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(Path::new(PACKAGE).join("Cargo.toml"))
        .output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo cannot fetch the sources")?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .find(|package| package["name"] == "libuwebsockets-sys")
        .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .map(|folder| folder.join("uWebSockets"))
        .context("cargo knows of no sources")
}

fn build_example(name: &str, project: &Path) -> anyhow::Result<()> {
    run(cargo()
        .current_dir(project)
        .args(["build", "--quiet", "--release", "--example", name])
        .arg("--target-dir")
        .arg(project.join("target")))
    .with_context(|| format!("cannot build the example `{name}` (--ours PATH takes a built one)"))
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
