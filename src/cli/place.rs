//! Where a command finds the config: flags, `APP_DIR`, the usual places. It reads no file.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::control::source::Source;

/// The flags that name a config.
#[derive(Debug, Args)]
pub struct ConfigPlace {
    /// The config file, whatever --app-dir says [default: ./config.json, then /etc/corelane/config.json].
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// A folder that holds config.json.
    #[arg(long, env = "APP_DIR", value_name = "DIR")]
    pub app_dir: Option<PathBuf>,
    /// A file of variables (systemd's EnvironmentFile syntax) that stand before the process's own, read again at each reload.
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,
}

impl ConfigPlace {
    /// As it was said, else the first of the usual places that has a config.
    pub fn source(&self) -> Source {
        #[expect(clippy::disallowed_methods, reason = "cli is where the environment is read")]
        let process = |name: &str| std::env::var(name).ok();
        Source { config: self.path(), env_file: self.env_file.clone(), process }
    }

    fn path(&self) -> PathBuf {
        if let Some(path) = &self.config {
            return path.clone();
        }
        if let Some(folder) = &self.app_dir {
            return folder.join("config.json");
        }
        let near = Path::new("config.json");
        let shared = Path::new("/etc/corelane/config.json");
        if near.exists() || !shared.exists() { near.to_owned() } else { shared.to_owned() }
    }
}
