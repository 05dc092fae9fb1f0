//! `providers.<name>.fallbacks`: where a provider's requests go when it fails. A list counts for every model; an object
//! has a list for each, `*` for any other. It checks that each target could be meant; whether it serves the model is seen
//! when it is tried (`routing`).

use std::collections::HashMap;

use super::document::{At, Value};
use super::fault::{Printable, Report};
use super::nearest;
use super::snapshot::{FALLBACKS_MAX, Provider};

/// The model that stands for any other.
pub(crate) const ANY_MODEL: &str = "*";
/// Longest model in a target, bytes, as long as a key of the file.
const MODEL_BYTES_MAX: usize = super::KEY_BYTES_MAX;

/// Reads those of all providers into them; `section` is `providers`.
pub(crate) fn read(section: &At<'_>, providers: &mut [Provider], report: &mut Report<'_>) {
    let is_served: HashMap<String, bool> =
        providers.iter().map(|provider| (provider.name.clone(), provider.dialect.is_some())).collect();
    let places: HashMap<String, At<'_>> = section
        .members()
        .filter_map(|(written, at)| Some((written.to_lowercase(), at.member("fallbacks")?)))
        .collect();
    for provider in providers {
        if let Some(at) = places.get(&provider.name) {
            let mut reading = Lists { owner: &provider.name, is_served: &is_served, report: &mut *report };
            provider.fallbacks = reading.all(at);
        }
    }
}

struct Lists<'r, 't> {
    /// The provider whose fallbacks they are.
    owner: &'r str,
    /// All providers by name.
    is_served: &'r HashMap<String, bool>,
    report: &'r mut Report<'t>,
}

impl Lists<'_, '_> {
    /// Sorted by model; equal for equal meanings.
    fn all(&mut self, at: &At<'_>) -> Vec<(String, Vec<String>)> {
        let mut lists = match &at.node.value {
            Value::List(_) => vec![(ANY_MODEL.to_owned(), self.list(ANY_MODEL, at))],
            Value::Object(_) => self.by_model(at),
            _ => return Vec::new(), // reported
        };
        // An empty list says something only where there is another for any model.
        lists.retain(|(model, targets)| model != ANY_MODEL || !targets.is_empty());
        let is_any = lists.iter().any(|(model, _)| model == ANY_MODEL);
        lists.retain(|(_, targets)| is_any || !targets.is_empty());
        lists.sort_unstable();
        lists
    }

    fn by_model(&mut self, at: &At<'_>) -> Vec<(String, Vec<String>)> {
        let mut lists = Vec::new();
        for (model, member) in at.members() {
            if matches!(member.node.value, Value::Null) {
                continue;
            }
            if model.is_empty() {
                self.report
                    .fault(member.name_spot(), "an empty name is no model; \"*\" stands for any other");
            } else if model.split_once('/').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(self.owner))
            {
                let message =
                    "models are named here without their provider: this one is looked for as it stands";
                self.report.warn(member.name_spot(), message);
            }
            lists.push((model.to_owned(), self.list(model, &member)));
        }
        lists
    }

    fn list(&mut self, model: &str, at: &At<'_>) -> Vec<String> {
        if at.elements().count() > FALLBACKS_MAX {
            self.report.fault(at.spot(), format!("more than {FALLBACKS_MAX} fallbacks"));
            return Vec::new();
        }
        let mut targets: Vec<String> = Vec::new();
        for element in at.elements() {
            let Some(target) = self.target(model, &element) else { continue };
            if targets.contains(&target) {
                self.report.warn(element.spot(), format!("\"{}\" stands twice", Printable(&target)));
            }
            targets.push(target);
        }
        targets
    }

    /// `provider/model`, or `provider/` for the same model; `None`: reported.
    fn target(&mut self, asked: &str, at: &At<'_>) -> Option<String> {
        let (provider, model) = match at.text() {
            Some(text) => match text.split_once('/') {
                Some((provider, model)) => (provider, model),
                None => {
                    let message = format!(
                        "\"{}\" names no provider: write \"provider/model\", or \"provider/\" for the same model",
                        Printable(text)
                    );
                    self.report.fault(at.spot(), message);
                    return None;
                }
            },
            None if !matches!(at.node.value, Value::Object(_)) => return None, // reported
            None => {
                let Some(provider) = at.member("provider") else {
                    self.report.fault(at.spot(), "no \"provider\": where is it to go?");
                    return None;
                };
                (provider.text()?, at.member("model").and_then(|model| model.text()).unwrap_or_default())
            }
        };
        let name = provider.to_lowercase();
        self.check_provider(&name, at)?;
        if name == self.owner && (model.is_empty() || model == asked) {
            let message = "falls back to itself: name another provider, or another model; the attempts on the same \
                 one are network_config.max_retries";
            self.report.fault(at.spot(), message);
            return None;
        }
        if model.len() > MODEL_BYTES_MAX {
            self.report.fault(at.spot(), format!("the model's name is longer than {MODEL_BYTES_MAX} bytes"));
            return None;
        }
        Some(format!("{name}/{model}"))
    }

    fn check_provider(&mut self, name: &str, at: &At<'_>) -> Option<()> {
        match self.is_served.get(name) {
            Some(true) => Some(()),
            Some(false) => {
                let message = format!(
                    "is passed over: this version does not serve the provider \"{}\"",
                    Printable(name)
                );
                self.report.warn(at.spot(), message);
                Some(())
            }
            None => {
                let hint = nearest(name, self.is_served.keys().map(String::as_str));
                let hint = hint.map(|known| format!("; did you mean \"{}\"?", Printable(known)));
                let message = format!(
                    "the provider \"{}\" is not configured{}",
                    Printable(name),
                    hint.unwrap_or_default()
                );
                self.report.fault(at.spot(), message);
                None
            }
        }
    }
}
