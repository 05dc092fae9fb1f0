//! Config files: any bytes are either a config, the same each time, or a bounded list of faults in words that a terminal
//! may show; no value of a variable is ever among them. What loads has a normal form that loads and is its own.

use std::path::Path;

use corelane::config::{Environment, FINDINGS_MAX, Loaded, REDACTED, diff, load, print};

/// What every variable holds; nothing may say it.
const VALUE: &str = "value-of-a-variable";

/// Longest message, bytes: a place, and a sentence that quotes some words of the file, each of 200 characters at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Half of all names are of something that is there.
struct Node;

impl Environment for Node {
    fn variable(&self, name: &str) -> Option<String> {
        name.bytes().next().filter(|first| first % 2 == 0).map(|_| VALUE.to_owned())
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let is_there = path.as_os_str().len().is_multiple_of(2);
        if is_there { Ok(format!("{VALUE}\n")) } else { Err("cannot be read: gone".to_owned()) }
    }
}

/// A config file. One that holds the value itself may have it quoted.
pub fn config_file(bytes: &[u8]) {
    if bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()) {
        return;
    }
    let loaded = match load(bytes, "config.json", &Node) {
        Ok(loaded) => loaded,
        Err(faults) => {
            assert!((1..=FINDINGS_MAX + 1).contains(&faults.len()), "{} faults", faults.len());
            return faults.iter().for_each(|fault| check_message(&fault.to_string()));
        }
    };
    assert!(loaded.warnings.len() <= FINDINGS_MAX + 1);
    loaded.warnings.iter().for_each(|notice| check_message(&notice.to_string()));
    loaded.unusable_keys.iter().for_each(|key| check_message(&key.to_string()));
    let again = load(bytes, "another", &Node).expect("it loaded before");
    assert_eq!(again.snapshot.digest, loaded.snapshot.digest);
    if !bytes.windows(REDACTED.len()).any(|window| window == REDACTED.as_bytes()) {
        check_normal_form(bytes, &loaded);
    }
}

/// What the form says in place of a literal secret is refused; any other literal there means the same.
fn check_normal_form(bytes: &[u8], loaded: &Loaded) {
    let form = loaded.normal.config.to_string();
    let printed = print::commented(bytes, loaded);
    assert!(!form.contains(VALUE) && !printed.contains(VALUE), "a value in the normal form");
    assert!(
        printed.lines().count() > 10 && !printed.contains(|char: char| char.is_control() && char != '\n')
    );
    let filled = form.replace(&format!("{REDACTED}@"), "user:word@").replace(REDACTED, "word-of-some-length");
    let again = match load(filled.as_bytes(), "form", &Node) {
        Ok(again) => again,
        Err(faults) => panic!("a form that does not load: {:?}\n{form}", faults.first()),
    };
    assert_eq!(again.normal.config.to_string(), form);
    assert_eq!(again.snapshot.digest, loaded.snapshot.digest);
    for change in diff::changes(loaded, &again) {
        check_message(&change);
        assert!(change.ends_with("its value changed") && form.contains(REDACTED), "{change}");
    }
}

fn check_message(message: &str) {
    assert!(!message.contains(VALUE), "a value in a message: {message}");
    assert!(message.len() <= MESSAGE_BYTES_MAX && !message.contains(char::is_control), "{message:?}");
}
