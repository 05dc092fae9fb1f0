//! Where a config comes from: the file, the `--env-file` beside the process's environment, and the files that it names.
//! `check`, `serve` and a reload read through this. It decides nothing about what was read.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::config::env_file::{self, ENV_FILE_BYTES_MAX};
use crate::config::snapshot::Pem;
use crate::config::{self, Environment, FILE_BYTES_MAX, Fault, Loaded, SECRET_FILE_BYTES_MAX, Secret};
use crate::net::listen_tls::PEM_BYTES_MAX;

/// The places of one node's config.
#[derive(Clone, Debug)]
pub struct Source {
    /// config.json.
    pub config: PathBuf,
    /// Variables that stand before the process's own.
    pub env_file: Option<PathBuf>,
    /// The process's environment.
    pub process: fn(&str) -> Option<String>,
}

/// What was read at one moment.
pub struct Texts {
    name: String,
    /// config.json as it is, perhaps one byte longer than a config may be.
    pub config: Vec<u8>,
    variables: HashMap<String, Secret>,
    process: fn(&str) -> Option<String>,
    reading: Reading,
    seen: RefCell<Seen>,
}

/// Which reading of the files it is. A pipe has one only; opened once more, it may keep whoever reads it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    First,
    Again,
}

/// What was seen of files: each one's path and the hash of what was in it, or of why it cannot be read. Equal ones: nothing
/// has changed between the two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Look>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// As much of the file was read, and a byte.
    bytes_max: u64,
    hash: [u8; 32],
}

impl Seen {
    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// The hash of one file.
    pub fn of(&self, path: &Path) -> Option<[u8; 32]> {
        self.0.get(path).map(|look| look.hash)
    }

    /// The same files as they are now. Reads them.
    pub fn again(&self) -> Self {
        let mut again = Self::default();
        for (path, look) in &self.0 {
            again.note(path, look.bytes_max, &read(path, look.bytes_max, Reading::Again));
        }
        again
    }

    fn note(&mut self, path: &Path, bytes_max: u64, content: &io::Result<Vec<u8>>) {
        let hash = match content {
            Ok(bytes) => digest(&SHA256, bytes),
            Err(error) => digest(&SHA256, format!("\0cannot be read: {:?}", error.kind()).as_bytes()),
        };
        let mut look = Look { bytes_max, hash: [0; 32] };
        look.hash.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        self.0.insert(path.to_owned(), look);
    }
}

impl Source {
    /// Reads the files. Errors: one that cannot be read, or an env file that is malformed; by name, for an operator.
    pub fn read(&self) -> Result<Texts, String> {
        self.texts().map_err(|fault| fault.to_string())
    }

    /// The same with the fault's place apart from its words.
    pub fn examine_texts(&self) -> Result<Texts, Vec<Fault>> {
        self.texts().map_err(|fault| vec![fault])
    }

    fn texts(&self) -> Result<Texts, Fault> {
        self.texts_seen(&mut Seen::default(), Reading::First)
    }

    fn texts_seen(&self, seen: &mut Seen, reading: Reading) -> Result<Texts, Fault> {
        let name = self.config.display().to_string();
        let config = read(&self.config, FILE_BYTES_MAX as u64, reading);
        seen.note(&self.config, FILE_BYTES_MAX as u64, &config);
        let env_file = self.env_file.as_deref();
        let env_file = env_file.map(|path| (path, read(path, ENV_FILE_BYTES_MAX as u64, reading)));
        env_file.iter().for_each(|(path, content)| seen.note(path, ENV_FILE_BYTES_MAX as u64, content));
        let config = config.map_err(|error| unplaced(&self.config, error.to_string()))?;
        let variables = env_file.map(|(path, content)| variables(path, content)).transpose()?;
        let (variables, process) = (variables.unwrap_or_default(), self.process);
        Ok(Texts { name, config, variables, process, reading, seen: RefCell::default() })
    }

    /// Whether a second reading finds what the first did: none of its own files is a pipe.
    pub fn can_be_read_again(&self) -> bool {
        let is_pipe = |path: &PathBuf| path.metadata().is_ok_and(|about| about.file_type().is_fifo());
        ![Some(&self.config), self.env_file.as_ref()].into_iter().flatten().any(is_pipe)
    }

    /// As [`Source::load`], and what was seen of every file that was read for it, of those that the config names for later
    /// (certificates) as well.
    pub fn load_seen(&self) -> (Result<Loaded, Vec<String>>, Seen) {
        self.load_as(Reading::First)
    }

    /// The same once more, of a running node. Errors: also a file that is a pipe.
    pub fn load_again(&self) -> (Result<Loaded, Vec<String>>, Seen) {
        self.load_as(Reading::Again)
    }

    fn load_as(&self, reading: Reading) -> (Result<Loaded, Vec<String>>, Seen) {
        let mut seen = Seen::default();
        let texts = match self.texts_seen(&mut seen, reading) {
            Ok(texts) => texts,
            Err(fault) => return (Err(vec![fault.to_string()]), seen),
        };
        let loaded = texts.load();
        seen.0.extend(texts.seen.into_inner().0);
        if let Ok(loaded) = &loaded {
            for path in named(loaded) {
                if seen.of(path).is_none() {
                    seen.note(path, PEM_BYTES_MAX, &read(path, PEM_BYTES_MAX, Reading::Again));
                }
            }
        }
        (loaded, seen)
    }

    /// Reads the files and what they mean. Errors: as [`Source::read`], or every fault of the config.
    pub fn load(&self) -> Result<Loaded, Vec<String>> {
        self.examine().map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// As [`Source::examine`], by [`config::load_away`]: for a machine that is not the node's.
    pub fn examine_away(&self) -> Result<Loaded, Vec<Fault>> {
        self.examine_texts()?.examine_away()
    }

    /// The same with each fault's place apart from its words.
    pub fn examine(&self) -> Result<Loaded, Vec<Fault>> {
        self.examine_texts()?.examine()
    }
}

/// The files that a config names.
fn named(loaded: &Loaded) -> impl Iterator<Item = &Path> {
    let tls = loaded.snapshot.server.tls.iter();
    let pems = tls.flat_map(|tls| [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()]).flatten();
    let certificates = pems.filter_map(|pem| match pem {
        Pem::File(path) => Some(path.as_path()),
        Pem::Text { .. } => None,
    });
    loaded.files.iter().map(PathBuf::as_path).chain(certificates)
}

impl Texts {
    /// As [`Texts::load`], with each fault's place apart from its words.
    pub fn examine(&self) -> Result<Loaded, Vec<Fault>> {
        config::load(&self.config, &self.name, self)
    }

    /// What they mean, by [`config::load_away`]. Errors: every fault.
    pub fn examine_away(&self) -> Result<Loaded, Vec<Fault>> {
        config::load_away(&self.config, &self.name, self)
    }

    /// What they mean. Errors: every fault.
    pub fn load(&self) -> Result<Loaded, Vec<String>> {
        self.examine().map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }
}

impl Environment for Texts {
    fn variable(&self, name: &str) -> Option<String> {
        let own = self.variables.get(name).map(|value| value.expose().to_owned());
        own.or_else(|| (self.process)(name))
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let content = read(path, SECRET_FILE_BYTES_MAX, self.reading);
        self.seen.borrow_mut().note(path, SECRET_FILE_BYTES_MAX, &content);
        let bytes = content.map_err(|error| format!("cannot be read: {error}"))?;
        if bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
            return Err(format!("has more than {SECRET_FILE_BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
    }
}

/// A fault of a file as a whole.
fn unplaced(path: &Path, message: String) -> Fault {
    Fault { file: path.display().to_string(), pointer: String::new(), line: 0, column: 0, message }
}

fn variables(path: &Path, content: io::Result<Vec<u8>>) -> Result<HashMap<String, Secret>, Fault> {
    let named = |error: String| unplaced(path, error);
    let bytes = content.map_err(|error| named(error.to_string()))?;
    env_file::parse(&bytes).map_err(named)
}

/// At most one byte more than may be, which is how the reader sees that there are too many.
fn read(path: &Path, bytes_max: u64, reading: Reading) -> io::Result<Vec<u8>> {
    let file = match reading {
        Reading::First => open(path)?,
        Reading::Again => open_file(path, "is a pipe, which can be read once only")?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a shell hands down (`<(…)`, `/dev/stdin`) is read, once; nobody is waited for at a pipe with a name.
fn open(path: &Path) -> io::Result<File> {
    let is_handed_down =
        path == Path::new("/dev/stdin") || ["/dev/fd", "/proc/self/fd"].iter().any(|at| path.starts_with(at));
    if is_handed_down {
        return File::open(path);
    }
    open_file(path, "is a named pipe, and a file is wanted")
}

/// Without waiting for whoever may write to it; a pipe is refused in these words.
fn open_file(path: &Path, pipe_refusal: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.file_type().is_fifo() {
        true => Err(io::Error::other(pipe_refusal)),
        false => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path) -> Source {
        Source { config: folder.join("config.json"), env_file: Some(folder.join("env")), process: |_| None }
    }

    fn config(secret: &Path) -> String {
        format!(
            r#"{{"providers":{{"openai":{{"keys":[{{"name":"k","value":"file:{}","models":["*"],"weight":1}}]}}}}}}"#,
            secret.display()
        )
    }

    #[test]
    fn whatever_was_read_is_seen_to_change() {
        let folder = tempfile::TempDir::new().unwrap();
        let (source, secret) = (source(folder.path()), folder.path().join("secret"));
        std::fs::write(&source.config, config(&secret)).unwrap();
        std::fs::write(folder.path().join("env"), "A=1\n").unwrap();
        std::fs::write(&secret, "sk-1").unwrap();
        let (loaded, seen) = source.load_seen();
        assert!(loaded.is_ok() && seen.files().count() == 3);
        assert!(seen.again() == seen);
        for path in [source.config.clone(), folder.path().join("env"), secret.clone()] {
            let before = std::fs::read(&path).unwrap();
            for other in [[&before[..], b" "].concat(), Vec::new()] {
                std::fs::write(&path, other).unwrap();
                assert!(seen.again() != seen, "{}", path.display());
            }
            std::fs::remove_file(&path).unwrap();
            assert!(seen.again() != seen, "{}", path.display());
            std::fs::write(&path, before).unwrap();
            assert!(seen.again() == seen, "{}", path.display());
        }
    }

    #[test]
    fn a_pipe_with_a_name_keeps_nobody_waiting() {
        let folder = tempfile::TempDir::new().unwrap();
        let source = Source { env_file: None, ..source(folder.path()) };
        let secret = folder.path().join("secret");
        std::fs::write(&source.config, config(&secret)).unwrap();
        std::fs::write(&secret, "sk-1").unwrap();
        let (_, seen) = source.load_seen();
        assert!(source.can_be_read_again());
        for path in [&secret, &source.config] {
            std::fs::remove_file(path).unwrap();
            let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success() && seen.again() != seen);
        }
        let faults = source.load_again().0.err().unwrap();
        assert!(faults[0].contains("config.json: is a pipe"), "{faults:?}");
        assert!(!source.can_be_read_again());
        let fault = source.read().err().unwrap();
        assert!(fault.ends_with("config.json: is a named pipe, and a file is wanted"), "{fault}");
    }

    #[test]
    fn what_cannot_be_read_is_seen_to_come() {
        let folder = tempfile::TempDir::new().unwrap();
        let (source, secret) = (source(folder.path()), folder.path().join("secret"));
        let (loaded, seen) = source.load_seen();
        let faults = loaded.err().unwrap();
        assert!(faults[0].contains("config.json: No such file"), "{faults:?}");
        std::fs::write(&source.config, config(&secret)).unwrap();
        assert!(seen.again() != seen);
        std::fs::write(folder.path().join("env"), "").unwrap();
        let (loaded, seen) = source.load_seen();
        assert_eq!(loaded.ok().map(|loaded| loaded.unusable_keys.len()), Some(1));
        std::fs::write(&secret, "sk-1").unwrap();
        assert!(seen.again() != seen, "the secret came");
        // One that is too long is cut alike at each look.
        std::fs::write(&secret, vec![b'a'; SECRET_FILE_BYTES_MAX as usize + 9]).unwrap();
        let (_, seen) = source.load_seen();
        assert!(seen.again() == seen);
    }
}
