//! A PostgreSQL server of the run's own: made by initdb in the run's folder, on a free port, ended with the run. A
//! server that is already on the machine is never touched.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The unprivileged user that a run as root starts the server by (PostgreSQL refuses root): `nobody`.
const NOBODY: u32 = 65_534;

/// The role and superuser of the run's database.
pub const USER: &str = "corelane";

/// The commands that start the server, run in turn; the last one stays.
pub struct Plan {
    /// Makes the cluster.
    pub initdb: Command,
    /// Serves it.
    pub serve: Command,
    /// Succeeds once it takes connections.
    pub is_ready: Command,
}

/// Prepares a server in `folder`, on the port, pinned to the core.
pub fn plan(folder: &Path, port: u16, core: usize) -> io::Result<Plan> {
    let programs = programs()?;
    let data = folder.join("postgres");
    fs::create_dir(&data)?;
    let is_root = fs::metadata("/proc/self")?.uid() == 0;
    if is_root {
        chown(&data, Some(NOBODY), Some(NOBODY))?;
    }
    let cluster = data.join("data");
    let mut initdb = command(&programs.join("initdb"), &data, is_root);
    initdb
        .args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&cluster);
    let mut serve = command(Path::new("taskset"), &data, is_root);
    serve.args(["-c", &core.to_string()]).arg(programs.join("postgres")).arg("-D").arg(&cluster);
    serve.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")]);
    serve.args(["-c", &format!("unix_socket_directories={}", data.display())]);
    let mut is_ready = command(&programs.join("pg_isready"), &data, is_root);
    is_ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    Ok(Plan { initdb, serve, is_ready })
}

fn command(program: &Path, folder: &Path, is_root: bool) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The folder of the newest server's programs: Debian's, else the one that `pg_config` names.
fn programs() -> io::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    folders.sort();
    if let Some((_, folder)) = folders.pop() {
        return Ok(folder);
    }
    let named =
        Command::new("pg_config").arg("--bindir").output().map(|output| output.stdout).unwrap_or_default();
    let folder = PathBuf::from(String::from_utf8_lossy(&named).trim());
    if folder.join("initdb").exists() {
        Ok(folder)
    } else {
        Err(io::Error::other("no initdb here; run `make deps`"))
    }
}
