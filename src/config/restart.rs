//! What a running node cannot take over from a new config: settings that hold from the start, and keys that would lose
//! their value. A reload that meets one of these is refused whole. Pure: it compares two snapshots.

use std::collections::HashMap;

use super::fault::Printable;
use super::snapshot::{Key, LogsStore, Postgres, Provider, Snapshot, Whence};

/// A sentence for each setting that differs and holds from the start, its JSON pointer first. `has_log`: rows are written,
/// a log having been opened at the start.
pub fn needs_restart(old: &Snapshot, new: &Snapshot, has_log: bool) -> Vec<String> {
    let mut pointers = Vec::new();
    logs_store(old.logs_store.as_ref(), new.logs_store.as_ref(), &mut pointers);
    let logs = |snapshot: &Snapshot| snapshot.client.enable_logging && snapshot.logs_store.is_some();
    if pointers.is_empty() && !has_log && logs(new) && !logs(old) {
        pointers.push("/client/enable_logging");
    }
    if old.server.tls.is_some() != new.server.tls.is_some() {
        pointers.push("/server/tls");
    }
    let admin_address =
        |snapshot: &Snapshot| snapshot.server.admin.as_ref().map(|admin| admin.address.clone());
    if admin_address(old) != admin_address(new) {
        pointers.push("/server/admin_address");
    }
    let sentence = |pointer: &str| {
        format!("{pointer}: takes effect at the start only: restart to change it, or change it back")
    };
    pointers.into_iter().map(sentence).collect()
}

fn logs_store(old: Option<&LogsStore>, new: Option<&LogsStore>, pointers: &mut Vec<&'static str>) {
    let mut add = |is_same: bool, pointer: &'static str| {
        if !is_same {
            pointers.push(pointer);
        }
    };
    match (old, new) {
        (None, None) => {}
        (Some(LogsStore::Sqlite { path: old }), Some(LogsStore::Sqlite { path: new })) => {
            add(old == new, "/logs_store/config/path");
        }
        (Some(LogsStore::Postgres(old)), Some(LogsStore::Postgres(new))) => {
            let Postgres { host, port, user, password, db_name, ssl_mode } = new;
            add(old.host == *host, "/logs_store/config/host");
            add(old.port == *port, "/logs_store/config/port");
            add(old.user == *user, "/logs_store/config/user");
            add(old.password == *password, "/logs_store/config/password");
            add(old.db_name == *db_name, "/logs_store/config/db_name");
            add(old.ssl_mode == *ssl_mode, "/logs_store/config/ssl_mode");
        }
        (Some(_), Some(_)) => add(false, "/logs_store/type"),
        _ => add(false, "/logs_store"),
    }
}

/// A sentence for each key that serves with a value and, by the new config, would have none: its variable or file is gone.
/// A key that the new config disables or leaves out is meant to go. `has_env_file`: whether variables can change at all.
pub fn lost_values(old: &Snapshot, new: &Snapshot, has_env_file: bool) -> Vec<String> {
    let valued: HashMap<&str, &Key> =
        keys(old).filter(|(_, key)| key.is_usable()).map(|(_, key)| (key.name.as_str(), key)).collect();
    let lost = keys(new).filter(|(_, key)| key.enabled && key.credential.is_none());
    let lost = lost.filter(|(_, key)| valued.contains_key(key.name.as_str()));
    lost.map(|(provider, key)| lost_value(provider, key, has_env_file)).collect()
}

fn keys(snapshot: &Snapshot) -> impl Iterator<Item = (&Provider, &Key)> {
    let served = snapshot.providers.iter().filter(|provider| provider.dialect.is_some());
    served.flat_map(|provider| provider.keys.iter().map(move |key| (provider, key)))
}

fn lost_value(provider: &Provider, key: &Key, has_env_file: bool) -> String {
    let (name, provider) = (Printable(&key.name), Printable(&provider.name));
    let why = key.whence.lack();
    let how = match (&key.whence, has_env_file) {
        (Whence::Config, _) => "give it one",
        (Whence::File(_), _) => "write it",
        (Whence::Variable(_), true) => "set it in the --env-file",
        (Whence::Variable(_), false) => {
            "a process's environment never changes: put the variable into an --env-file, write \"file:/path\", or restart"
        }
    };
    format!(
        "the key \"{name}\" of the provider \"{provider}\" would lose its value: {why}; {how}; or take the key out of \
         service with \"enabled\": false"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn snapshot(json: &str, variables: &[(&str, &str)]) -> Snapshot {
        let environment = |name: &str| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        };
        let mut json: serde_json::Value = serde_json::from_str(json).unwrap();
        let key = serde_json::json!({"name":"other","value":"sk-0","models":["*"],"weight":1});
        json["providers"]["anthropic"]["keys"] = serde_json::json!([key]);
        config::load(json.to_string().as_bytes(), "config.json", &environment).unwrap().snapshot
    }

    fn pointers(old: &str, new: &str, has_log: bool) -> Vec<String> {
        let (old, new) = (snapshot(old, &[]), snapshot(new, &[]));
        let sentences = needs_restart(&old, &new, has_log);
        sentences.iter().map(|sentence| sentence.split(": ").next().unwrap().to_owned()).collect()
    }

    const POSTGRES: &str = r#"{"logs_store":{"enabled":true,"type":"postgres","config":{"host":"a","user":"u","password":"p","db_name":"d"}}}"#;
    const SQLITE: &str = r#"{"logs_store":{"enabled":true,"type":"sqlite","config":{"path":"/a"}}}"#;
    const SILENT: &str = r#"{"client":{"enable_logging":false},"logs_store":{"enabled":true,"type":"sqlite","config":{"path":"/a"}}}"#;

    #[test]
    fn what_holds_from_the_start_is_named() {
        let other = POSTGRES.replace(r#""a""#, r#""b""#).replace(r#""p""#, r#""q""#);
        assert_eq!(
            pointers(POSTGRES, &other, true),
            ["/logs_store/config/host", "/logs_store/config/password"]
        );
        assert_eq!(pointers(POSTGRES, SQLITE, true), ["/logs_store/type"]);
        assert_eq!(pointers(SQLITE, &SQLITE.replace("/a", "/b"), true), ["/logs_store/config/path"]);
        assert_eq!(pointers(SQLITE, "{}", true), ["/logs_store"]);
        assert_eq!(pointers("{}", SQLITE, false), ["/logs_store"]);
        let tls = r#"{"server":{"tls":{"cert":"/c","key":"/k"}}}"#;
        assert_eq!(pointers("{}", tls, true), ["/server/tls"]);
        assert_eq!(pointers(tls, "{}", true), ["/server/tls"]);
        assert_eq!(pointers(tls, &tls.replace("/c", "/d"), true), [""; 0]);
    }

    #[test]
    fn logging_can_be_switched_off_and_on_again_where_a_log_was_opened() {
        assert_eq!(pointers(SQLITE, SILENT, true), [""; 0]);
        assert_eq!(pointers(SILENT, SQLITE, true), [""; 0]);
        assert_eq!(pointers(SILENT, SQLITE, false), ["/client/enable_logging"]);
        let (off, on) = (r#"{"client":{"enable_logging":false}}"#, r#"{"client":{"enable_logging":true}}"#);
        assert_eq!(pointers(off, on, false), [""; 0], "there is no store");
    }

    fn with_key(key: &str) -> String {
        format!(r#"{{"providers":{{"openai":{{"keys":[{{"name":"k","models":["*"],"weight":1,{key}}}]}}}}}}"#)
    }

    #[test]
    fn a_value_is_not_lost_unless_the_key_is_meant_to_go() {
        let (with, set) = (with_key(r#""value":"env.K""#), [("K", "sk-1")]);
        let old = snapshot(&with, &set);
        let lost = |new: &str, variables: &[(&str, &str)], has_env_file| {
            lost_values(&old, &snapshot(new, variables), has_env_file)
        };
        assert_eq!(lost(&with, &set, true), [""; 0]);
        let said = lost(&with, &[], true).join("");
        assert!(
            said.contains("\"k\"") && said.contains("K is unset or empty") && said.contains("--env-file"),
            "{said}"
        );
        let said = lost(&with_key(r#""value":"env.OTHER""#), &set, false).join("");
        assert!(said.contains("OTHER") && said.contains("never changes"), "{said}");
        assert!(lost(&with_key(r#""value":"""#), &set, true).join("").contains("gives it none"));
        assert_eq!(lost(&with_key(r#""value":"env.K","enabled":false"#), &[], true), [""; 0]);
        assert_eq!(lost("{}", &[], true), [""; 0]);
        let never = snapshot(&with, &[]);
        assert_eq!(lost_values(&never, &never, true), [""; 0], "it never had one");
    }
}
