//! Where admin sockets stand: the folders of a host, in their order, and the name that a node's port gives. It binds
//! nothing, and reads the environment through what it is handed.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What a socket's name begins and ends with; the port stands between.
const PREFIX: &str = "corelane-";
const SUFFIX: &str = ".sock";
/// Sockets that a search looks at in one folder.
const SOCKETS_MAX: usize = 1024;

/// The process, as far as it decides where a socket stands.
pub struct Surroundings<'a> {
    /// Its environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether it runs as root.
    pub is_root: bool,
}

impl Surroundings<'_> {
    /// Where a node tries to put its socket, in this order: `$RUNTIME_DIRECTORY` (systemd's; the first, when it is a
    /// list) and nothing else, or, without it, `/run` for root, `$XDG_RUNTIME_DIR`, `$TMPDIR` or `/tmp`.
    pub fn homes(&self, port: u16) -> Vec<PathBuf> {
        let folders =
            self.runtime_directory().map_or_else(|| self.common(self.is_root), |folder| vec![folder]);
        folders.iter().map(|folder| folder.join(name(port))).collect()
    }

    /// The sockets that a client may have meant, by port when it said one: in `$RUNTIME_DIRECTORY` alone when that is set.
    /// They stand there; whether a node answers is not known.
    pub fn find(&self, port: Option<u16>) -> Vec<PathBuf> {
        let folders = self.runtime_directory().map_or_else(|| self.usual(), |folder| vec![folder]);
        let mut seen = Vec::new();
        for folder in folders {
            if !seen.contains(&folder) {
                seen.push(folder);
            }
        }
        seen.iter().flat_map(|folder| sockets(folder, port)).collect()
    }

    fn runtime_directory(&self) -> Option<PathBuf> {
        let list = self.said("RUNTIME_DIRECTORY")?;
        list.split(':').find(|folder| !folder.is_empty()).map(PathBuf::from)
    }

    /// Every folder where a node of whatever user may have put its socket. One under systemd was told its folder; who asks
    /// it was not.
    fn usual(&self) -> Vec<PathBuf> {
        [PathBuf::from("/run/corelane")].into_iter().chain(self.common(true)).collect()
    }

    fn common(&self, with_run: bool) -> Vec<PathBuf> {
        let run = with_run.then(|| PathBuf::from("/run"));
        let own = self.said("XDG_RUNTIME_DIR").map(PathBuf::from);
        let temporary = PathBuf::from(self.said("TMPDIR").unwrap_or_else(|| "/tmp".to_owned()));
        run.into_iter().chain(own).chain([temporary]).collect()
    }

    fn said(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

fn name(port: u16) -> String {
    format!("{PREFIX}{port}{SUFFIX}")
}

fn sockets(folder: &Path, port: Option<u16>) -> Vec<PathBuf> {
    if let Some(port) = port {
        return Some(folder.join(name(port))).filter(|path| is_socket(path)).into_iter().collect();
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths =
        entries.filter(|entry| is_name(&entry.file_name().to_string_lossy())).map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| is_socket(path)).take(SOCKETS_MAX).collect();
    paths.sort();
    paths
}

fn is_name(name: &str) -> bool {
    let port = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn homes(variables: &[(&str, &str)], is_root: bool) -> Vec<String> {
        let variable =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let homes = Surroundings { variable: &variable, is_root }.homes(8080);
        homes.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_socket_stands_where_systemd_says_else_where_the_system_keeps_such() {
        let systemd = [("RUNTIME_DIRECTORY", "/run/corelane:/run/other"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(homes(&systemd, false), ["/run/corelane/corelane-8080.sock"]);
        assert_eq!(homes(&[], true), ["/run/corelane-8080.sock", "/tmp/corelane-8080.sock"]);
        assert_eq!(homes(&[], false), ["/tmp/corelane-8080.sock"]);
        let own = [("XDG_RUNTIME_DIR", "/run/user/7"), ("TMPDIR", "/var/tmp"), ("RUNTIME_DIRECTORY", "")];
        assert_eq!(homes(&own, false), ["/run/user/7/corelane-8080.sock", "/var/tmp/corelane-8080.sock"]);
    }

    #[test]
    fn a_client_finds_what_stands_there() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let variable = |name: &str| matches!(name, "XDG_RUNTIME_DIR" | "TMPDIR").then(|| home.clone());
        let surroundings = Surroundings { variable: &variable, is_root: false };
        let ours = |port| {
            let found = surroundings.find(port).into_iter();
            found.filter(|path| path.starts_with(folder.path())).collect::<Vec<_>>()
        };
        assert_eq!(ours(None), Vec::<PathBuf>::new());
        for name in ["corelane-1.sock", "corelane-2.sock", "corelane-x.sock", "other-1.sock"] {
            drop(UnixListener::bind(folder.path().join(name)).unwrap());
        }
        fs::write(folder.path().join("corelane-3.sock"), "no socket").unwrap();
        let path = |port: u16| folder.path().join(name(port));
        assert_eq!(ours(None), [path(1), path(2)], "each once");
        assert_eq!((ours(Some(2)), ours(Some(3)), ours(Some(4))), (vec![path(2)], vec![], vec![]));
        let variable = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| home.clone());
        let told = Surroundings { variable: &variable, is_root: true };
        assert_eq!(told.find(None), [path(1), path(2)], "and nowhere else");
    }
}
