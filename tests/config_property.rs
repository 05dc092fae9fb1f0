//! Configs made up by chance: each loads, means the same as its printed form and as itself written otherwise, and fits the
//! schema. The same in every run; a failure names its seed.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::path::Path;

use corelane::config::{Environment, Loaded, REDACTED, diff, load, print, schema};
use fastrand::Rng;
use serde_json::{Map, Value, json};

#[path = "config/made_up.rs"]
#[allow(unreachable_pub, reason = "a module of one test")]
mod made_up;

/// Configs that are made up.
const ROUNDS: u64 = 300;

/// Has whatever is asked for.
struct Everything;

impl Environment for Everything {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "CA" => Some(include_str!("config/ca.pem").to_owned()),
            "PROXY_URL" => Some("http://user:word@proxy:1".to_owned()),
            "API_VERSION" => Some("2025-04-01-preview".to_owned()),
            "PORT" => Some("5433".to_owned()),
            "SSL_MODE" => Some("verify-full".to_owned()),
            "UNSET" | "NO_PROXY" => None,
            _ => Some(format!("value-of-{}", name.to_lowercase())),
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("/run/secrets/gone") => Err("cannot be read: gone".to_owned()),
            Some("/run/secrets/ca") => Ok(include_str!("config/ca.pem").to_owned()),
            _ => Ok("value-of-a-file-of-a-secret\n".to_owned()),
        }
    }
}

fn read(text: &str, seed: u64) -> Loaded {
    load(text.as_bytes(), "c", &Everything)
        .unwrap_or_else(|faults| panic!("seed {seed}: {:?}\n{text}", faults.first()))
}

#[test]
fn a_config_means_what_its_printed_form_means() {
    for seed in 0..ROUNDS {
        let config = made_up::config(&mut Rng::with_seed(seed));
        let text = config.to_string();
        let loaded = read(&text, seed);
        let printed = print::document(text.as_bytes(), &loaded);
        let form = printed["config"].to_string();
        assert!(!form.contains("literal-secret"), "seed {seed}: {form}");
        let filled =
            form.replace(&format!("{REDACTED}@"), "u:w@").replace(REDACTED, "another-literal-secret");
        let again = read(&filled, seed);
        assert_eq!(again.normal.config.to_string(), form, "seed {seed}");
        assert_eq!(again.snapshot.digest, loaded.snapshot.digest, "seed {seed}");
        assert!(again.warnings.len() <= loaded.warnings.len() + 1_000);
        let places = printed["provenance"].as_object().expect("an object");
        each_leaf(&printed["config"], String::new(), &mut |pointer| {
            assert!(places.contains_key(pointer), "seed {seed}: nothing is said of {pointer}");
        });
        let changes = diff::changes(&loaded, &again);
        assert!(
            changes.iter().all(|change| change.ends_with("its value changed")),
            "seed {seed}: {changes:?}"
        );
        if !form.contains(REDACTED) {
            assert_eq!(changes, [""; 0], "seed {seed}");
        }
    }
}

#[test]
fn spelling_means_nothing() {
    for seed in 0..ROUNDS {
        let rng = &mut Rng::with_seed(seed);
        let config = made_up::config(rng);
        let loaded = read(&config.to_string(), seed);
        let mut shuffled = String::new();
        write_shuffled(&config, &mut shuffled, rng);
        let again = read(&shuffled, seed);
        assert_eq!(again.normal, loaded.normal, "seed {seed}: shuffled\n{shuffled}");
        assert_eq!(again.snapshot.digest, loaded.snapshot.digest, "seed {seed}");
        assert_eq!(diff::changes(&loaded, &again), [""; 0], "seed {seed}");
        let mut respelled = config.clone();
        made_up::respell(&mut respelled, rng);
        let again = read(&respelled.to_string(), seed);
        assert_eq!(again.normal.config, loaded.normal.config, "seed {seed}: {config}\n{respelled}");
        assert_eq!(diff::changes(&loaded, &again), [""; 0], "seed {seed}");
    }
}

#[test]
fn what_loads_fits_the_schema() {
    let validator = jsonschema::draft202012::new(&schema::schema()).expect("a schema");
    for seed in 0..ROUNDS {
        let config = made_up::config(&mut Rng::with_seed(seed));
        let loaded = read(&config.to_string(), seed);
        for config in [&config, &loaded.normal.config] {
            let faults: Vec<_> = validator.iter_errors(config).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "seed {seed}: {faults:?}");
        }
    }
}

#[test]
fn configs_that_differ_are_told_apart() {
    for seed in 0..ROUNDS {
        let (one, other) =
            (made_up::config(&mut Rng::with_seed(seed)), made_up::config(&mut Rng::with_seed(seed + 1)));
        let (one, other) = (read(&one.to_string(), seed), read(&other.to_string(), seed));
        let is_same = one.normal == other.normal;
        assert_eq!(one.snapshot.digest == other.snapshot.digest, is_same, "seed {seed}");
        let changes = diff::changes(&one, &other);
        assert!(!changes.is_empty() || is_same, "seed {seed}");
        assert!(
            changes.iter().all(|change| !change.contains("value-of-") && !change.contains("literal-secret"))
        );
        assert!(changes.iter().all(|change| !change.contains(char::is_control)), "seed {seed}");
    }
}

fn each_leaf(form: &Value, pointer: String, work: &mut impl FnMut(&str)) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match form {
        Value::Object(members) if !members.is_empty() && !members.contains_key("type") => {
            members
                .iter()
                .for_each(|(name, value)| each_leaf(value, format!("{pointer}/{}", escaped(name)), work));
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, value)| each_leaf(value, format!("{pointer}/{index}"), work));
        }
        Value::Object(members) if members.contains_key("type") && !members.contains_key("value") => {
            members
                .iter()
                .for_each(|(name, value)| each_leaf(value, format!("{pointer}/{}", escaped(name)), work));
        }
        _ => work(&pointer),
    }
}

/// As JSON with its members in any order and spaces anywhere.
fn write_shuffled(value: &Value, out: &mut String, rng: &mut Rng) {
    let space = |out: &mut String, rng: &mut Rng| out.push_str(["", " ", "\n", "\t"][rng.usize(..4)]);
    space(out, rng);
    match value {
        Value::Object(members) => write_members(members, out, rng),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_shuffled(element, out, rng);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
    space(out, rng);
}

fn write_members(members: &Map<String, Value>, out: &mut String, rng: &mut Rng) {
    let mut members: Vec<_> = members.iter().collect();
    rng.shuffle(&mut members);
    out.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        out.push_str(&json!(name).to_string());
        out.push(':');
        write_shuffled(value, out, rng);
    }
    out.push('}');
}
