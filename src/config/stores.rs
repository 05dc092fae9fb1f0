//! `config_store`, which must be off, and `logs_store`: where log rows go. It connects to nothing.

use std::path::PathBuf;

use super::document::{At, Value};
use super::file::{CONFIG_STORE, Key, LOGS_STORE, POSTGRES, SQLITE};
use super::reference::{Present, require};
use super::snapshot::{LogsStore, Postgres, Secret, SslMode, Whence};
use super::{Reading, validate};

/// Postgres's own.
const PORT_DEFAULT: u16 = 5_432;
/// Longest host, user, database or path, bytes: over any that a system takes.
const TEXT_BYTES_MAX: usize = 4_096;

/// Reads both sections; `None`: the log store is left out or switched off, or faulty and reported.
pub(crate) fn read(root: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<LogsStore> {
    let section = |name: &str| root.member(name).filter(|at| matches!(at.node.value, Value::Object(_)));
    if let Some(config_store) = section("config_store") {
        validate::object(&config_store, CONFIG_STORE, true, reading.report);
    }
    let at = section("logs_store")?;
    let enabled = at.member("enabled").and_then(|enabled| enabled.bool());
    validate::object(&at, LOGS_STORE, enabled == Some(true), reading.report);
    if at.member("enabled").is_none() {
        reading.report.warn(at.name_spot(), "no rows are written: it does not say \"enabled\": true");
    }
    if enabled == Some(true) { enabled_store(&at, reading) } else { None }
}

fn enabled_store(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<LogsStore> {
    let Some(kind) = at.member("type") else {
        reading.report.fault(at.name_spot(), "no \"type\": say \"postgres\" or \"sqlite\"");
        return None;
    };
    let keys = match kind.text()? {
        "sqlite" => SQLITE,
        "postgres" => POSTGRES,
        "clickhouse" => {
            reading.report.fault(kind.spot(), "clickhouse is not served: use \"postgres\" or \"sqlite\"");
            return None;
        }
        _ => return None,
    };
    let Some(config) = at.member("config") else {
        reading.report.fault(at.name_spot(), format!("no \"config\" for the {} store", kind.text()?));
        return None;
    };
    let mut fields = Fields { at: checked(config, keys, reading)?, reading };
    if kind.text()? == "sqlite" { fields.sqlite() } else { fields.postgres() }
}

fn checked<'t>(config: At<'t>, keys: &[Key], reading: &mut Reading<'_, '_>) -> Option<At<'t>> {
    if !matches!(config.node.value, Value::Object(_)) {
        return None; // reported as a wrong type
    }
    validate::object(&config, keys, true, reading.report);
    Some(config)
}

/// The fields of `logs_store.config`.
struct Fields<'f, 't, 'r, 'e> {
    at: At<'t>,
    reading: &'f mut Reading<'r, 'e>,
}

impl Fields<'_, '_, '_, '_> {
    fn sqlite(&mut self) -> Option<LogsStore> {
        self.required("path").map(|path| LogsStore::Sqlite { path: PathBuf::from(path) })
    }

    fn postgres(&mut self) -> Option<LogsStore> {
        // Each is read before any is missed, so that all faults are reported.
        let (host, user, db_name) = (self.required("host"), self.required("user"), self.required("db_name"));
        let (port, ssl_mode, password) = (self.port(), self.ssl_mode(), self.password());
        Some(LogsStore::Postgres(Postgres {
            host: host?,
            port: port?,
            user: user?,
            password: password?,
            db_name: db_name?,
            ssl_mode: ssl_mode?,
        }))
    }

    fn required(&mut self, name: &'static str) -> Option<String> {
        if self.at.member(name).is_none() {
            self.reading.report.fault(self.at.name_spot(), format!("no \"{name}\""));
            return None;
        }
        let text = self.optional(name)?;
        if text.is_none() {
            let spot = self.at.member(name)?;
            self.reading.report.fault(spot.spot(), "is empty");
        }
        text
    }

    fn optional(&mut self, name: &'static str) -> Option<Option<String>> {
        Some(self.present(name)?.map(|present| present.text.expose().to_owned()))
    }

    /// `None`: faulty; `Some(None)`: left out or empty in the file.
    fn present(&mut self, name: &'static str) -> Option<Option<Present>> {
        let Some(at) = self.at.member(name) else { return Some(None) };
        let Some(present) = require(&at, stand_in(name), self.reading)? else { return Some(None) };
        let text = present.text.expose();
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            let message = format!("holds a control character, or more than {TEXT_BYTES_MAX} bytes");
            self.reading.report.fault(at.spot(), message);
            return None;
        }
        Some(Some(present))
    }

    fn port(&mut self) -> Option<u16> {
        let Some(digits) = self.optional("port")? else { return Some(PORT_DEFAULT) };
        let port = digits.parse().ok().filter(|port| *port > 0);
        if port.is_none()
            && let Some(at) = self.at.member("port")
        {
            self.reading.report.fault(at.spot(), "expected a port from 1 to 65535");
        }
        port
    }

    fn password(&mut self) -> Option<Option<Secret>> {
        let password = self.present("password")?;
        let stands_in_file = password.as_ref().is_some_and(|password| password.whence == Whence::Config);
        if stands_in_file && let Some(at) = self.at.member("password") {
            validate::warn_of_secret(&at, "POSTGRES_PASSWORD", self.reading.report);
        }
        Some(password.map(|password| password.text))
    }

    fn ssl_mode(&mut self) -> Option<SslMode> {
        let Some(mode) = self.optional("ssl_mode")? else { return Some(SslMode::Prefer) };
        let at = self.at.member("ssl_mode")?;
        Some(match mode.as_str() {
            "disable" => SslMode::Disable,
            "allow" => {
                self.reading
                    .report
                    .warn(at.spot(), "\"allow\" is taken as \"prefer\": TLS where the server has it");
                SslMode::Prefer
            }
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => {
                let message = format!("expected one of {}", SSL_MODES.join(", "));
                self.reading.report.fault(at.spot(), message);
                return None;
            }
        })
    }
}

/// What a field accepts where its value is missing and that is no fault.
fn stand_in(name: &str) -> &'static str {
    match name {
        "port" => "5432",
        "ssl_mode" => "prefer",
        _ => "unset",
    }
}

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
