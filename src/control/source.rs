//! Where a config comes from: the file, the `--env-file` beside the process's environment, and the files that it names.
//! `check`, `serve` and a reload read through this. It decides nothing about what was read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::config::env_file::{self, ENV_FILE_BYTES_MAX};
use crate::config::{self, Environment, FILE_BYTES_MAX, Fault, Loaded, SECRET_FILE_BYTES_MAX, Secret};

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
}

impl Source {
    /// Reads the files. Errors: one that cannot be read, or an env file that is malformed; by name, for an operator.
    pub fn read(&self) -> Result<Texts, String> {
        self.texts().map_err(|fault| fault.to_string())
    }

    fn texts(&self) -> Result<Texts, Fault> {
        let name = self.config.display().to_string();
        let config = read(&self.config, FILE_BYTES_MAX as u64);
        let config = config.map_err(|error| unplaced(&self.config, error.to_string()))?;
        let variables = self.env_file.as_deref().map(variables).transpose()?.unwrap_or_default();
        Ok(Texts { name, config, variables, process: self.process })
    }

    /// Reads the files and what they mean. Errors: as [`Source::read`], or every fault of the config.
    pub fn load(&self) -> Result<Loaded, Vec<String>> {
        self.examine().map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// The same with each fault's place apart from its words.
    pub fn examine(&self) -> Result<Loaded, Vec<Fault>> {
        let texts = self.texts().map_err(|fault| vec![fault])?;
        config::load(&texts.config, &texts.name, &texts)
    }
}

impl Texts {
    /// What they mean. Errors: every fault.
    pub fn load(&self) -> Result<Loaded, Vec<String>> {
        config::load(&self.config, &self.name, self)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }
}

impl Environment for Texts {
    fn variable(&self, name: &str) -> Option<String> {
        let own = self.variables.get(name).map(|value| value.expose().to_owned());
        own.or_else(|| (self.process)(name))
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let bytes = read(path, SECRET_FILE_BYTES_MAX).map_err(|error| format!("cannot be read: {error}"))?;
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

fn variables(path: &Path) -> Result<HashMap<String, Secret>, Fault> {
    let named = |error: String| unplaced(path, error);
    let bytes = read(path, ENV_FILE_BYTES_MAX as u64).map_err(|error| named(error.to_string()))?;
    env_file::parse(&bytes).map_err(named)
}

/// At most one byte more than may be, which is how the reader sees that there are too many.
fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
