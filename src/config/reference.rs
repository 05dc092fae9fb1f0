//! A string that may come from elsewhere: `"env.NAME"`, `{"value","env_var","from_env"}`, `{"value","ref","type"}`, or the
//! string itself. It looks the variable up and says where the string came from; what an absent one means is the owner's.

use super::Environment;
use super::document::{At, Value};
use super::fault::Report;

/// Longest name of a variable, bytes: messages quote it.
const VARIABLE_BYTES_MAX: usize = 255;

/// A string with its origin. No `Debug`: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The string; `None`: empty, or its variable is unset or empty.
    pub(crate) text: Option<String>,
    /// The variable's name without `env.`; `None`: it stands in the file.
    pub(crate) variable: Option<String>,
}

/// Resolves a string; `None`: faulty, and reported here or as a wrong type by `validate`.
pub(crate) fn resolve(
    at: &At<'_>,
    environment: &dyn Environment,
    report: &mut Report<'_>,
) -> Option<Resolved> {
    match &at.node.value {
        Value::Text(text) => from_text(at, text, environment, report),
        Value::Number(digits) => Some(literal(digits)),
        Value::Object(_) => from_object(at, environment, report),
        _ => None,
    }
}

/// A string that is there, with its origin. No `Debug`: it may be a secret.
pub(crate) struct Present {
    /// The string, not empty.
    pub(crate) text: String,
    /// The variable's name without `env.`; `None`: it stands in the file.
    pub(crate) variable: Option<String>,
}

impl Present {
    /// ` of the variable NAME`, or nothing: where in a sentence the string is said to come from.
    pub(crate) fn source(&self) -> String {
        self.variable.as_ref().map(|name| format!(" of the variable {name}")).unwrap_or_default()
    }

    /// What stands for the string in the digest: its variable, which may differ from node to node, or itself.
    pub(crate) fn written(&self) -> String {
        self.variable.as_ref().map_or_else(|| self.text.clone(), |name| format!("env.{name}"))
    }
}

/// Like [`resolve`] for what must not be missing unnoticed: an unset variable is a fault. `None`: faulty, and reported;
/// `Some(None)`: empty in the file.
pub(crate) fn require(
    at: &At<'_>,
    environment: &dyn Environment,
    report: &mut Report<'_>,
) -> Option<Option<Present>> {
    match resolve(at, environment, report)? {
        Resolved { text: Some(text), variable } => Some(Some(Present { text, variable })),
        Resolved { text: None, variable: None } => Some(None),
        Resolved { text: None, variable: Some(variable) } => {
            report.fault(at.spot(), format!("the variable {variable} is unset or empty; set it"));
            None
        }
    }
}

fn from_object(at: &At<'_>, environment: &dyn Environment, report: &mut Report<'_>) -> Option<Resolved> {
    let text = |name: &str| at.member(name).and_then(|member| member.text()).filter(|text| !text.is_empty());
    let from_env = at.member("from_env").and_then(|flag| flag.bool()).unwrap_or(false);
    let (value, reference) = (text("value"), text("ref").or(text("env_var")));
    match (text("type"), value, reference) {
        (Some("vault"), ..) => {
            report.fault(at.spot(), "vault references are not served by this version: use \"env.NAME\"");
            None
        }
        (Some("plain_text"), Some(value), _) => Some(literal(value)),
        (Some("plain_text"), None, _) => Some(Resolved { text: None, variable: None }),
        (Some("env"), value, reference) => from_variable(at, reference.or(value), environment, report),
        (_, value, reference) if from_env => from_variable(at, reference.or(value), environment, report),
        (_, Some(value), _) => from_text(at, value, environment, report),
        (_, None, Some(reference)) => from_variable(at, Some(reference), environment, report),
        (_, None, None) => Some(Resolved { text: None, variable: None }),
    }
}

fn from_text(
    at: &At<'_>,
    text: &str,
    environment: &dyn Environment,
    report: &mut Report<'_>,
) -> Option<Resolved> {
    if text.starts_with("env.") {
        return from_variable(at, Some(text), environment, report);
    }
    for prefix in ["file:", "vault."] {
        if text.starts_with(prefix) {
            report.fault(
                at.spot(),
                format!("\"{prefix}\" references are not served by this version: use \"env.NAME\""),
            );
            return None;
        }
    }
    Some(literal(text))
}

fn from_variable(
    at: &At<'_>,
    reference: Option<&str>,
    environment: &dyn Environment,
    report: &mut Report<'_>,
) -> Option<Resolved> {
    let name =
        reference.map(|reference| reference.strip_prefix("env.").unwrap_or(reference)).unwrap_or_default();
    // A name is not quoted before it looks like one: `env.` is easily put before the secret itself.
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = name.bytes().all(is_name_byte) && name.len() <= VARIABLE_BYTES_MAX;
    if !is_name || name.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
        report.fault(at.spot(), "no variable's name: write \"env.NAME\", of letters, digits and _");
        return None;
    }
    let text = environment.variable(name).filter(|text| !text.trim().is_empty());
    Some(Resolved { text, variable: Some(name.to_owned()) })
}

fn literal(text: &str) -> Resolved {
    Resolved { text: (!text.trim().is_empty()).then(|| text.to_owned()), variable: None }
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn check(json: &str) -> Result<(Option<String>, Option<String>), String> {
        let environment = |name: &str| (name == "SET").then(|| "from-env".to_owned());
        let mut report = Report::new("c", json.as_bytes());
        let node = parse(json, &mut report).expect("JSON");
        let resolved = resolve(&At::root(&node), &environment, &mut report);
        resolved
            .map(|resolved| (resolved.text, resolved.variable))
            .ok_or_else(|| report.into_faults().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_form_is_read() {
        let value = |text: &str| Ok((Some(text.to_owned()), None));
        let variable = |name: &str, text: Option<&str>| Ok((text.map(str::to_owned), Some(name.to_owned())));
        assert_eq!(check(r#""sk-1""#), value("sk-1"));
        assert_eq!(check(r#""env.SET""#), variable("SET", Some("from-env")));
        assert_eq!(check(r#""env.UNSET""#), variable("UNSET", None));
        assert_eq!(
            check(r#"{"value":"sk-1****","env_var":"env.SET","from_env":true}"#),
            variable("SET", Some("from-env"))
        );
        assert_eq!(check(r#"{"value":"sk-1","env_var":"","from_env":false}"#), value("sk-1"));
        assert_eq!(check(r#"{"value":"env.SET"}"#), variable("SET", Some("from-env")));
        assert_eq!(check(r#"{"value":"","ref":"env.SET","type":"env"}"#), variable("SET", Some("from-env")));
        assert_eq!(check(r#"{"ref":"SET","type":"env"}"#), variable("SET", Some("from-env")));
        assert_eq!(check(r#"{"value":"env.SET","type":"plain_text"}"#), value("env.SET"));
        assert_eq!(check(r#""""#), Ok((None, None)));
        assert_eq!(check("{}"), Ok((None, None)));
        for faulty in [
            r#""env.""#,
            r#""env.A B""#,
            r#""env.sk-live-1""#,
            r#""env.1A""#,
            &format!("\"env.{}\"", "A".repeat(VARIABLE_BYTES_MAX + 1)),
            r#""file:/run/x""#,
            r#"{"ref":"a#b","type":"vault"}"#,
        ] {
            assert!(check(faulty).is_err(), "{faulty}");
        }
    }
}
