//! Walks a document with the words of `file`: types, unknown keys with what may have been meant, keys without effect,
//! keys that are refused. What values mean together is for their readers (`providers`, `keys`, `client`, `stores`), who
//! may take it that a wrong type has been reported here.

use super::document::{At, Member, Value};
use super::duration;
use super::fault::{Printable, Report};
use super::file::{Effect, FALLBACK, Key, Kind, REFERENCE, When, plugin_config};
use super::nearest::nearest;
use super::reference::looks_like_reference;

/// Checks an object against its keys. `effects: false`: types and unknown keys only, for what is not served anyway.
pub(crate) fn object(at: &At<'_>, keys: &[Key], effects: bool, report: &mut Report<'_>) {
    if !matches!(at.node.value, Value::Object(_)) {
        return expected(at, "an object", report);
    }
    for (name, member) in at.members() {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            unknown(name, &member, keys, report);
            continue;
        };
        if matches!(member.node.value, Value::Null) {
            continue;
        }
        let is_right = kind(&member, key.kind, effects, report);
        if is_right && effects {
            apply(&member, key.effect, report);
        }
        if is_right && key.is_secret && is_literal(&member) {
            warn_of_secret(&member, &name.to_ascii_uppercase(), report);
        }
    }
}

/// Refuses or names the plugins: none is run, and some would restrict.
pub(crate) fn plugins(root: &At<'_>, report: &mut Report<'_>) {
    let Some(plugins) = root.member("plugins") else { return };
    for plugin in plugins.elements() {
        check_plugin_config(&plugin, report);
        if plugin.member("enabled").and_then(|enabled| enabled.bool()) == Some(false) {
            continue;
        }
        let name = plugin.member("name").and_then(|name| name.text()).unwrap_or_default();
        let asked = |key: &str| {
            plugin.member("config").and_then(|config| config.member(key)).is_some_and(|value| asks(&value))
        };
        match name {
            "governance" if asked("is_vk_mandatory") || asked("required_headers") => report.fault(
                plugin.spot(),
                "the plugin would refuse callers without a virtual key or header, and this version does not \
                 enforce it: remove it, or restrict access in front of corelane",
            ),
            "guardrails" => report.fault(
                plugin.spot(),
                "guardrails would refuse requests, and this version does not enforce them: remove the plugin",
            ),
            "logging" if asked("disable_content_logging") => report.fault(
                plugin.spot(),
                "plugins are not run: set client.disable_content_logging instead, and remove the plugin",
            ),
            _ => report.warn(
                plugin.spot(),
                format!("the plugin \"{}\" has no effect: plugins are not run", Printable(name)),
            ),
        }
    }
}

/// Its words and secrets, whether it is enabled or not.
fn check_plugin_config(plugin: &At<'_>, report: &mut Report<'_>) {
    let keys = plugin.member("name").and_then(|name| name.text()).and_then(plugin_config);
    if let (Some(config), Some(keys)) = (plugin.member("config"), keys) {
        object(&config, keys, false, report);
    }
}

/// Says where a file that names another truth is taken otherwise.
pub(crate) fn source_of_truth(root: &At<'_>, report: &mut Report<'_>) {
    if let Some(at) = root.member("source_of_truth")
        && at.text() == Some("split")
    {
        report.warn(at.spot(), "has no effect: this file is the only truth of a node");
    }
}

/// Whether a value asks for something; see [`When::Asking`].
pub(crate) fn asks(at: &At<'_>) -> bool {
    does_ask(&at.node.value)
}

fn does_ask(value: &Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Number(digits) => digits.parse::<f64>().is_ok_and(|number| number != 0.0),
        Value::Text(text) => !text.is_empty(),
        Value::List(elements) => elements
            .iter()
            .any(|element| !matches!(element.value, Value::Object(_)) || does_ask(&element.value)),
        Value::Object(members) => {
            let is_off = |member: &Member<'_>| {
                matches!(member.name.as_ref(), "enabled" | "is_enabled")
                    && matches!(member.node.value, Value::Bool(false))
            };
            !members.iter().any(is_off) && members.iter().any(|member| does_ask(&member.node.value))
        }
    }
}

/// Whether a value that may come from elsewhere stands in the file itself.
fn is_literal(at: &At<'_>) -> bool {
    let is_text =
        |at: Option<At<'_>>| at.and_then(|at| at.text()).is_some_and(|text| !text.trim().is_empty());
    if !matches!(at.node.value, Value::Object(_)) {
        return at.text().is_none_or(|text| !looks_like_reference(text)) && asks(at);
    }
    let value =
        at.member("value").filter(|value| value.text().is_none_or(|text| !looks_like_reference(text)));
    let is_reference = at.member("from_env").and_then(|flag| flag.bool()) == Some(true)
        || matches!(at.member("type").and_then(|kind| kind.text()), Some("env" | "vault"));
    is_text(value) && !is_reference
}

/// Names the form in which a secret would not stand in the file.
pub(crate) fn warn_of_secret(at: &At<'_>, variable: &str, report: &mut Report<'_>) {
    let message =
        format!("the secret stands in the file; put it into the environment and write \"env.{variable}\"");
    report.warn(at.spot(), message);
}

/// The known word that an unknown one may have meant, worded as the end of a message.
pub(crate) fn did_you_mean(word: &str, known: impl Iterator<Item = &'static str>) -> String {
    nearest(word, known).map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

fn unknown(name: &str, at: &At<'_>, keys: &[Key], report: &mut Report<'_>) {
    if let Some(known) = keys.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
        let message = format!(
            "unknown key \"{}\": write \"{}\" (Bifrost takes either, so that leaving it out could change what it says)",
            Printable(name),
            known.name
        );
        return report.fault(at.name_spot(), message);
    }
    report.warn_by(at.name_spot(), || {
        let hint = did_you_mean(name, keys.iter().map(|key| key.name));
        format!("unknown key \"{}\", without effect{hint}", Printable(name))
    });
}

fn apply(at: &At<'_>, effect: Effect, report: &mut Report<'_>) {
    let concerns = |when| match when {
        When::Given => true,
        When::Asking => asks(at),
    };
    match effect {
        Effect::Ignored(when, why) if concerns(when) => {
            report.warn(at.name_spot(), format!("has no effect: {why}"));
        }
        Effect::Refused(when, why) if concerns(when) => report.fault(at.name_spot(), why),
        Effect::Refused(..) if matches!(at.node.value, Value::List(_) | Value::Object(_)) => {
            report.warn(at.name_spot(), "has no effect: it is empty or switched off, and restricts nothing");
        }
        _ => {}
    }
}

/// Checks one value; `false`: reported.
fn kind(at: &At<'_>, kind: Kind, effects: bool, report: &mut Report<'_>) -> bool {
    let value = &at.node.value;
    let is_object = matches!(value, Value::Object(_));
    let wanted = match kind {
        Kind::Bool => at.bool().is_none().then_some("true or false"),
        Kind::Text => at.text().is_none().then_some("a string"),
        Kind::AnyObject => (!is_object).then_some("an object"),
        Kind::AnyList => (!matches!(value, Value::List(_))).then_some("a list"),
        Kind::Duration => return duration(at, report),
        Kind::DurationOrOff if at.text() == Some("off") => None,
        Kind::DurationOrOff => return duration(at, report),
        Kind::Reference if is_object => return nested(at, REFERENCE, false, report),
        Kind::Reference => at.text().is_none().then_some("a string or \"env.NAME\""),
        Kind::ReferenceOrInteger if is_object => return nested(at, REFERENCE, false, report),
        Kind::ReferenceOrInteger => (at.text().is_none() && at.integer().is_none())
            .then_some("a whole number, a string or \"env.NAME\""),
        Kind::Object(keys) => return nested(at, keys, effects, report),
        Kind::List(keys) => return list(at, keys, effects, report),
        Kind::Texts => return texts(at, report),
        Kind::TextMap => return map(at, |value| value.text().is_some(), "a string", report),
        Kind::BoolMap => return map(at, |value| value.bool().is_some(), "true or false", report),
        Kind::Integer(min, max) => return integer(at, min, max, report),
        Kind::Number(max) => return number(at, max, report),
        Kind::Choice(choices) => return choice(at, choices, report),
        Kind::Fallbacks => return fallbacks(at, effects, report),
        Kind::Any => None,
    };
    if let Some(wanted) = wanted {
        expected(at, wanted, report);
    }
    wanted.is_none()
}

/// Names what was wanted and the type that was found, never the value: it may be a secret in the wrong place.
fn expected(at: &At<'_>, wanted: &str, report: &mut Report<'_>) {
    report.fault(at.spot(), format!("expected {wanted}, found {}", at.node.value.kind()));
}

fn nested(at: &At<'_>, keys: &[Key], effects: bool, report: &mut Report<'_>) -> bool {
    object(at, keys, effects, report);
    true
}

fn list(at: &At<'_>, keys: &[Key], effects: bool, report: &mut Report<'_>) -> bool {
    if !matches!(at.node.value, Value::List(_)) {
        expected(at, "a list of objects", report);
        return false;
    }
    for element in at.elements() {
        object(&element, keys, effects, report);
    }
    true
}

fn texts(at: &At<'_>, report: &mut Report<'_>) -> bool {
    if !matches!(at.node.value, Value::List(_)) {
        expected(at, "a list of strings", report);
        return false;
    }
    for element in at.elements().filter(|element| element.text().is_none()) {
        expected(&element, "a string", report);
    }
    true
}

/// A list of targets, or an object of such lists; what a target may be is for its reader.
fn fallbacks(at: &At<'_>, effects: bool, report: &mut Report<'_>) -> bool {
    match &at.node.value {
        Value::List(_) => targets(at, effects, report),
        Value::Object(_) => {
            for (_, member) in at.members().filter(|(_, member)| !matches!(member.node.value, Value::Null)) {
                match &member.node.value {
                    Value::List(_) => drop(targets(&member, effects, report)),
                    _ => expected(&member, "a list of fallbacks", report),
                }
            }
            true
        }
        _ => {
            expected(at, "a list of fallbacks, or an object with such a list for each model", report);
            false
        }
    }
}

fn targets(at: &At<'_>, effects: bool, report: &mut Report<'_>) -> bool {
    for element in at.elements() {
        match &element.node.value {
            Value::Text(_) => {}
            Value::Object(_) => object(&element, FALLBACK, effects, report),
            _ => expected(&element, "\"provider/model\" or an object", report),
        }
    }
    true
}

fn map(at: &At<'_>, is_right: fn(&At<'_>) -> bool, wanted: &str, report: &mut Report<'_>) -> bool {
    if !matches!(at.node.value, Value::Object(_)) {
        expected(at, "an object", report);
        return false;
    }
    for (_, member) in at.members() {
        if !is_right(&member) {
            expected(&member, wanted, report);
        }
    }
    true
}

fn integer(at: &At<'_>, min: u64, max: u64, report: &mut Report<'_>) -> bool {
    let is_right = at.integer().is_some_and(|integer| (min..=max).contains(&integer));
    if !is_right {
        let bounds = if max == u64::MAX { format!("from {min}") } else { format!("from {min} to {max}") };
        let found = if let Value::Number(digits) = &at.node.value { digits } else { at.node.value.kind() };
        report.fault(at.spot(), format!("expected a whole number {bounds}, found {found}"));
    }
    is_right
}

fn number(at: &At<'_>, max: f64, report: &mut Report<'_>) -> bool {
    let is_right = at.number().is_some_and(|number| (0.0..=max).contains(&number));
    if !is_right {
        let found = if let Value::Number(digits) = &at.node.value { digits } else { at.node.value.kind() };
        report.fault(at.spot(), format!("expected a number from 0 to {max}, found {found}"));
    }
    is_right
}

fn duration(at: &At<'_>, report: &mut Report<'_>) -> bool {
    let checked = duration::check(at);
    match &checked {
        Ok(true) => {}
        Ok(false) => expected(at, "a whole number or a string like \"500ms\"", report),
        Err(message) => report.fault(at.spot(), message.as_str()),
    }
    checked == Ok(true)
}

fn choice(at: &At<'_>, choices: &'static [&'static str], report: &mut Report<'_>) -> bool {
    let Some(text) = at.text() else {
        expected(at, "a string", report);
        return false;
    };
    let is_right = choices.contains(&text);
    if !is_right {
        let all: Vec<_> = choices
            .iter()
            .filter(|choice| !choice.is_empty())
            .map(|choice| format!("\"{choice}\""))
            .collect();
        let hint = did_you_mean(text, choices.iter().copied());
        report.fault(
            at.spot(),
            format!("expected one of {}, found \"{}\"{hint}", all.join(", "), Printable(text)),
        );
    }
    is_right
}
