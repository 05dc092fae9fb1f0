//! Config files: any bytes are either a config, the same each time, or a bounded list of faults in words that a terminal
//! may show; no value of a variable is ever among them.

use corelane::config::{FINDINGS_MAX, load};

/// What every variable holds; nothing may say it.
const VALUE: &str = "value-of-a-variable";

/// Longest message, bytes: a place, and a sentence that quotes some words of the file, each of 200 characters at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// A config file.
pub fn config_file(bytes: &[u8]) {
    let environment =
        |name: &str| name.bytes().next().filter(|first| first % 2 == 0).map(|_| VALUE.to_owned());
    let loaded = match load(bytes, "config.json", &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            assert!((1..=FINDINGS_MAX + 1).contains(&faults.len()), "{} faults", faults.len());
            return faults.iter().for_each(|fault| check_message(&fault.to_string()));
        }
    };
    assert!(loaded.warnings.len() <= FINDINGS_MAX + 1);
    loaded.warnings.iter().for_each(|notice| check_message(&notice.to_string()));
    loaded.unusable_keys.iter().for_each(|key| check_message(&key.to_string()));
    // The database's host and user are no secrets.
    let has_database = loaded.snapshot.logs_store.is_some();
    assert!(has_database || !format!("{loaded:?}").contains(VALUE), "a value in a debug print");
    let again = load(bytes, "another", &environment).expect("it loaded before");
    assert_eq!(again.snapshot.digest, loaded.snapshot.digest);
}

fn check_message(message: &str) {
    assert!(!message.contains(VALUE), "a value in a message: {message}");
    assert!(message.len() <= MESSAGE_BYTES_MAX && !message.contains(char::is_control), "{message:?}");
}
