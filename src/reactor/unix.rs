//! Listening at a path: what stale files, modes and successors require.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::address::context;

/// The file of a listener, which goes with it. Not so if another file has taken its place: that
/// one belongs to a successor.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Notes which file a path names.
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours {
            if let Err(error) = fs::remove_file(&self.path) {
                log::warn!("cannot remove {}: {error}", self.path.display());
            }
        }
    }
}

/// Binds `socket` to a path. Nobody can connect before it listens, so its mode is set in time.
pub(crate) fn bind(
    socket: &Socket,
    path: &Path,
    mode: Option<u32>,
) -> io::Result<Option<SocketFile>> {
    let address = address(path)?;
    if is_abstract(path) {
        socket.bind(&address)?;
        return Ok(None);
    }
    remove_stale(path)?;
    socket.bind(&address)?;
    let file = SocketFile::at(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(Some(file))
}

/// Removes a socket's file that a process has left behind without listening at it any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        let text = "a file that is not a socket is in the way; remove it or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    // Without blocking: if nobody accepts, its full backlog tells that somebody listens.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&address(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            log::info!("removing {}, at which nobody listens", path.display());
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => {
            let text = "another process listens there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

/// Connects without blocking. `WouldBlock` if the backlog there is full.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address(path)?)?;
    Ok(socket.into())
}

fn is_abstract(path: &Path) -> bool {
    cfg!(any(target_os = "linux", target_os = "android"))
        && path.as_os_str().as_encoded_bytes().starts_with(b"@")
}

/// `@name` is a name without a file. Elsewhere than on Linux it is a path like any other.
fn address(path: &Path) -> io::Result<SockAddr> {
    let made = if is_abstract(path) {
        let name = path.to_string_lossy().replacen('@', "\0", 1);
        SockAddr::unix(name)
    } else {
        SockAddr::unix(path)
    };
    made.map_err(|error| context(&error, "a path of the Unix domain has at most 107 bytes"))
}
