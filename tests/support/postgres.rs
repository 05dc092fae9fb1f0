//! A PostgreSQL server of the tests' own: made by initdb in a temporary folder, reached by a UNIX socket only, run as an
//! unprivileged user, ended when dropped or when the test process dies. It never touches a server that is there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use corelane::config::snapshot::{self, LogsStore, Secret, SslMode};
use tempfile::TempDir;

/// The superuser's name and password; the socket's name carries this port.
pub(crate) const USER: &str = "corelane";
pub(crate) const PASSWORD: &str = "a-secret-word";
const PORT: u16 = 5432;

/// Longest wait for the server to come up.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Ends the server at the first line (the signal's name) or at the end of its input, so also when we are killed.
const WATCH: &str = r#""$@" & server=$!; read -r signal; kill "-${signal:-QUIT}" "$server"; wait "$server""#;

/// One server, running or not.
pub(crate) struct Postgres {
    folder: TempDir,
    binaries: PathBuf,
    server: Mutex<Option<Child>>,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// The server that tests share, each with a database of its own; it ends with the last one that holds it.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let postgres = Arc::new(Self::started());
            *shared = Arc::downgrade(&postgres);
            postgres
        })
    }

    /// A server of one test's own, running.
    pub(crate) fn started() -> Self {
        let postgres = Self::stopped();
        postgres.start();
        postgres
    }

    /// A server of one test's own, not running yet.
    pub(crate) fn stopped() -> Self {
        let folder = tempfile::Builder::new().prefix("corelane-pg").tempdir().unwrap();
        let postgres = Self { folder, binaries: binaries(), server: Mutex::new(None) };
        postgres.initialise();
        postgres
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(&self) {
        let data = self.path("data");
        let mut command = self.command("sh");
        command.args(["-c", WATCH, "sh"]).arg(self.binaries.join("postgres")).arg("-D").arg(data);
        for setting in [
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", self.host()),
            format!("port={PORT}"),
            "fsync=off".to_owned(),
            "shared_buffers=32MB".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        let log = fs::File::create(self.path("log")).unwrap();
        let server =
            command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        *self.server.lock().unwrap() = Some(server);
        let deadline = Instant::now() + START_TIMEOUT;
        while self.try_client("postgres").is_err() {
            assert!(Instant::now() < deadline, "no server:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server as `pg_ctl stop -m immediate` does: no goodbye to anyone.
    pub(crate) fn stop(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            let _ = server.stdin.take().map(|mut input| input.write_all(b"QUIT\n"));
            server.wait().unwrap();
        }
    }

    /// The folder of the server's socket, which stands for a host.
    pub(crate) fn host(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// A new empty database's settings.
    pub(crate) fn database(&self, name: &str) -> snapshot::Postgres {
        self.run("postgres", &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"));
        self.settings(name)
    }

    /// The settings for a database, whether or not it is there.
    pub(crate) fn settings(&self, name: &str) -> snapshot::Postgres {
        snapshot::Postgres {
            host: self.host(),
            port: PORT,
            user: USER.to_owned(),
            password: Some(Secret::new(PASSWORD)),
            db_name: name.to_owned(),
            ssl_mode: SslMode::Disable,
        }
    }

    /// The same as a logs store.
    pub(crate) fn logs_store(&self, name: &str) -> LogsStore {
        LogsStore::Postgres(self.settings(name))
    }

    /// A connection of the test's own.
    pub(crate) fn client(&self, database: &str) -> postgres::Client {
        self.try_client(database).unwrap()
    }

    /// Runs SQL.
    pub(crate) fn run(&self, database: &str, sql: &str) {
        self.client(database).batch_execute(sql).unwrap();
    }

    /// The one number that a query gives.
    pub(crate) fn number(&self, database: &str, sql: &str) -> i64 {
        self.client(database).query_one(sql, &[]).unwrap().get(0)
    }

    fn try_client(&self, database: &str) -> Result<postgres::Client, postgres::Error> {
        let mut config = postgres::Config::new();
        config.host(&self.host()).port(PORT).user(USER).password(PASSWORD).dbname(database);
        config.connect(postgres::NoTls)
    }

    fn initialise(&self) {
        let (user, group) = unprivileged();
        let folder = self.folder.path();
        if is_root() {
            chown(folder, Some(user), Some(group)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        let password = self.path("password");
        fs::write(&password, PASSWORD).unwrap();
        let output = self
            .command(self.binaries.join("initdb"))
            .args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(self.path("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A command in the folder, run as somebody whom PostgreSQL accepts: it refuses root.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.folder.path());
        if is_root() {
            let (user, group) = unprivileged();
            command.uid(user).gid(group);
        }
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Ids of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let nobody = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("nobody:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    nobody.unwrap_or((65534, 65534))
}

/// The folder of the server's programs: on the PATH, else the newest where Debian puts them.
fn binaries() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    let is_whole = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    folders
        .into_iter()
        .find(is_whole)
        .expect("these tests need a PostgreSQL server (initdb and postgres); `make deps` installs one")
}
