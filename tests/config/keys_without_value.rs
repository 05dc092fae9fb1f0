//! Keys without a value: the config loads, they are named where they stand, and a strict check makes faults of them.

use std::fmt::Write as _;

use corelane::config::{FINDINGS_MAX, Fault, key_states, load};

fn environment(name: &str) -> Option<String> {
    (name == "SET").then(|| "value".to_owned())
}

const FILE: &str = r#"{
  "client": {"initial_pool_size": 1},
  "providers": {
    "openai": {"keys": [
      {"name": "up", "value": "env.SET", "models": ["*"]},
      {"name": "unset", "value": "env.UNSET", "models": ["*"], "wieght": 1},
      {"name": "none", "models": ["*"]},
      {"name": "off", "value": "env.SET", "models": ["*"], "enabled": false}
    ]},
    "runway": {"keys": [{"name": "later", "value": "", "models": ["*"]}]}
  }
}"#;

#[test]
fn they_are_named_where_they_stand() {
    let loaded = load(FILE.as_bytes(), "config.json", &environment).expect("a good file");
    let faults: Vec<_> = loaded.unusable_keys.iter().map(|key| Fault::from(key).to_string()).collect();
    assert_eq!(
        faults,
        [
            "config.json:6:34: /providers/openai/keys/1/value: the key \"unset\" of the provider \"openai\" is never used: \
             the variable UNSET is unset or empty",
            "config.json:7:7: /providers/openai/keys/2: the key \"none\" of the provider \"openai\" is never used: it has \
             no value"
        ]
    );
}

#[test]
fn a_strict_check_finds_them_and_every_warning_in_the_order_of_the_file() {
    let loaded = load(FILE.as_bytes(), "config.json", &environment).expect("a good file");
    let places: Vec<_> =
        loaded.strict_faults().into_iter().map(|fault| (fault.line, fault.column, fault.pointer)).collect();
    let at = |line, column, pointer: &str| (line, column, pointer.to_owned());
    assert_eq!(
        places,
        [
            at(2, 14, "/client/initial_pool_size"),
            at(6, 34, "/providers/openai/keys/1/value"),
            at(6, 64, "/providers/openai/keys/1/wieght"),
            at(7, 7, "/providers/openai/keys/2"),
            at(10, 5, "/providers/runway"),
        ]
    );
    let good = FILE.replace("UNSET", "SET").replace(r#", "wieght": 1"#, "");
    let strict = load(good.as_bytes(), "config.json", &environment).expect("a good file").strict_faults();
    assert_eq!(strict.len(), 3);
}

#[test]
fn what_a_strict_check_finds_is_bounded() {
    let mut keys = String::new();
    for key in 0..FINDINGS_MAX + 7 {
        let _ = write!(keys, r#"{{"name": "{key}", "value": "env.UNSET", "models": ["*"]}},"#);
    }
    let keys = keys.trim_end_matches(',');
    let text = format!(r#"{{"providers": {{"openai": {{"keys": [{keys}]}}}}}}"#);
    let loaded = load(text.as_bytes(), "c", &environment).expect("a good file");
    assert_eq!(loaded.unusable_keys.len(), FINDINGS_MAX + 7);
    let faults = loaded.strict_faults();
    let last = faults.last().expect("a fault");
    // And the warning that no key can be used.
    assert_eq!((faults.len(), last.line), (FINDINGS_MAX + 2, 0));
    assert_eq!(last.message, "and 7 more keys without a value");
    assert!(faults.windows(2).all(|pair| pair[1].line == 0 || pair[0].column <= pair[1].column));
}

#[test]
fn a_key_is_up_when_it_can_be_used() {
    let loaded = load(FILE.as_bytes(), "c", &environment).expect("a good file");
    let states = key_states(&loaded.snapshot);
    let up: Vec<_> = states.iter().map(|state| (state.key_name.as_str(), state.up)).collect();
    assert_eq!(up, [("up", true), ("unset", false), ("none", false), ("off", false)]);
    assert!(states.iter().all(|state| state.provider == "openai" && !state.key_id.is_empty()));
}
