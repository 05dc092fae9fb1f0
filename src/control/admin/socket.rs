//! The UNIX socket of an operator's commands: bound with mode 0600, in place of a stale one and never of a live one,
//! removed when its owner goes. What is said over it is `routes`'.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Longest path of a socket, bytes: `sun_path` without its NUL (unix(7)).
pub const PATH_BYTES_MAX: usize = 107;
/// Who may connect.
const MODE: u32 = 0o600;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 64;

/// A bound, listening socket; its file goes when this is dropped, if it is still ours.
pub struct Bound {
    /// Non-blocking.
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The name of a socket in the file system.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// Why there is no socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbound {
    /// For an operator.
    pub reason: String,
    /// Another process has it, and may end.
    pub is_held: bool,
}

/// What is wrong with one path.
#[derive(Debug)]
struct Fault {
    what: String,
    /// Another folder may do.
    is_of_folder: bool,
    /// See [`Unbound::is_held`].
    is_held: bool,
}

/// Binds the first of `paths` whose folder can be written to. Errors: why none.
pub fn bind(paths: &[PathBuf]) -> Result<Bound, Unbound> {
    let mut reasons = Vec::new();
    let mut is_held = false;
    for path in paths {
        match bind_one(path) {
            Ok(bound) => return Ok(bound),
            Err(fault) => {
                reasons.push(format!("{}: {}", path.display(), fault.what));
                is_held = fault.is_held;
                if !fault.is_of_folder {
                    break;
                }
            }
        }
    }
    Err(Unbound { reason: reasons.join("; "), is_held })
}

fn bind_one(path: &Path) -> Result<Bound, Fault> {
    let length = path.as_os_str().len();
    if length > PATH_BYTES_MAX {
        let what = format!("the path has {length} bytes; a socket's may have at most {PATH_BYTES_MAX}");
        return Err(Fault { what, is_of_folder: true, is_held: false });
    }
    let listener = match listen(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            match clear(path) {
                Err(fault) if fs::symlink_metadata(path).is_ok() => return Err(fault),
                // It went by itself: its owner ended in this moment.
                _ => listen(path),
            }
        }
        other => other,
    }?;
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
    if metadata.mode() & 0o777 != MODE {
        // `file` removes it.
        let what =
            format!("the system made the socket with mode {:o}, not {MODE:o}", metadata.mode() & 0o777);
        return Err(Fault { what, is_of_folder: true, is_held: false });
    }
    Ok(Bound { listener, file })
}

/// Listens there. The mode is the socket's own before it has a name: Linux gives the file the mode of the descriptor's
/// inode, less the umask (`unix_bind_bsd`), so that at no moment others may connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let descriptor = File::from(OwnedFd::from(socket));
    descriptor.set_permissions(Permissions::from_mode(MODE))?;
    let socket = Socket::from(OwnedFd::from(descriptor));
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(UnixListener::from(OwnedFd::from(socket)))
}

/// Removes a socket that nobody listens on. Errors: it is something else, or somebody does.
fn clear(path: &Path) -> Result<(), Fault> {
    let fault = |what: &str, is_held| Fault { what: what.to_owned(), is_of_folder: false, is_held };
    match answers(path) {
        _ if !fs::symlink_metadata(path)?.file_type().is_socket() => {
            Err(fault("something else is there, no socket", false))
        }
        Ok(true) => Err(fault("another process answers there", true)),
        Ok(false) => Ok(fs::remove_file(path)?),
        Err(error) => Err(fault(&format!("a socket is there that cannot be tried: {error}"), false)),
    }
}

/// Whether somebody listens on the socket. Does not wait. Errors: there is none, or it may not be connected to.
pub fn answers(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(true),
        // Its backlog is full.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(error),
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let of_folder = [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
        let is_of_folder = of_folder.contains(&error.kind()) || error.kind() == ErrorKind::NotADirectory;
        // Taken again between two looks.
        let is_held = error.kind() == ErrorKind::AddrInUse;
        Self { what: error.to_string(), is_of_folder, is_held }
    }
}

impl Bound {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |metadata: fs::Metadata| (metadata.dev(), metadata.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(paths: &[PathBuf]) -> String {
        bind(paths).err().unwrap().reason
    }

    #[test]
    fn only_its_owner_may_connect_and_it_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let bound = bind(std::slice::from_ref(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(answers(&path).unwrap() && bound.path() == path);
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_one_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bound = bind(std::slice::from_ref(&path)).unwrap();
        assert!(refused(std::slice::from_ref(&path)).ends_with("a.sock: another process answers there"));
        assert!(answers(&path).unwrap(), "the first one still does");
        drop(bound);
        fs::write(&path, "a file").unwrap();
        assert!(refused(std::slice::from_ref(&path)).ends_with("something else is there, no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[test]
    fn one_that_was_replaced_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = bind(std::slice::from_ref(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        let second = bind(std::slice::from_ref(&path)).unwrap();
        drop(first);
        assert!(answers(&path).unwrap());
        drop(second);
    }

    #[test]
    fn the_next_folder_is_taken_when_one_cannot_be_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [PathBuf::from("/nonexistent/a.sock"), folder.path().join("a.sock")];
        assert_eq!(bind(&paths).unwrap().path(), paths[1]);
        assert!(refused(&paths[..1]).starts_with("/nonexistent/a.sock: "));
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let fill = "x".repeat(PATH_BYTES_MAX - folder.path().as_os_str().len() - 1);
        let longest = folder.path().join(&fill);
        assert!(bind(std::slice::from_ref(&longest)).is_ok());
        let fault = refused(&[folder.path().join(fill + "x")]);
        assert!(fault.ends_with("the path has 108 bytes; a socket's may have at most 107"), "{fault}");
    }
}
