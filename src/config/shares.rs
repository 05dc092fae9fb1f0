//! How a change moves the requests of a provider from one key to another: each key's share of each model, before and after,
//! in an operator's words. A share is what `routing` draws by, a key's weight among those that may serve the model; it draws
//! nothing itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::fault::Printable;
use super::snapshot::{Key, Models, Provider};

/// Most names that are compared for a provider: each model of any list with each entry of each key's lists. Over it only
/// weights are told.
const COMPARISONS_MAX: usize = 20_000_000;
/// Models that one line names.
const MODELS_NAMED_MAX: usize = 5;
/// Stands for every model that no list names; it is no model's name.
const OTHERS: &str = "\0";

/// What changed for each key of the new config that was there before: its name, and `share 50 % → 75 % of gpt-4o`. Keys
/// without a value count as well where `by_definition`, and where no key has one.
pub(crate) fn changes<'a>(
    old: &'a Provider,
    new: &'a Provider,
    by_definition: bool,
) -> BTreeMap<&'a str, Vec<String>> {
    let models = models(old, new);
    if models.len().saturating_mul(entries(old) + entries(new)) > COMPARISONS_MAX {
        return BTreeMap::new();
    }
    let by_definition = by_definition
        || [old, new].iter().all(|provider| provider.keys.iter().all(|key| key.credential.is_none()));
    let mut of_keys: BTreeMap<&str, BTreeMap<(String, String), Vec<&str>>> = BTreeMap::new();
    for model in models {
        let (before, after) = (shares(old, model, by_definition), shares(new, model, by_definition));
        for key in new.keys.iter().filter(|key| key.enabled) {
            let share = |shares: &HashMap<&str, f64>| shares.get(key.name.as_str()).copied();
            let (before, after) = (share(&before), share(&after));
            if before.is_none() && after.is_none() {
                continue;
            }
            let pair = (percent(before.unwrap_or(0.0)), percent(after.unwrap_or(0.0)));
            of_keys.entry(key.name.as_str()).or_default().entry(pair).or_default().push(model);
        }
    }
    let worded = of_keys.into_iter().map(|(key, groups)| (key, lines(&groups)));
    worded.filter(|(_, lines)| !lines.is_empty()).collect()
}

/// What is compared with one model to know who serves it.
fn entries(provider: &Provider) -> usize {
    let of_key = |key: &Key| {
        let listed = if let Models::Only(models) = &key.models { models.len() } else { 0 };
        1 + listed + key.aliases.len() + key.blacklisted_models.len()
    };
    provider.keys.iter().map(of_key).sum()
}

fn lines(groups: &BTreeMap<(String, String), Vec<&str>>) -> Vec<String> {
    let moved = groups.iter().filter(|((before, after), _)| before != after);
    moved
        .map(|((before, after), models)| {
            let models = if groups.len() == 1 { named_alone(models) } else { named(models) };
            format!("share {before} → {after} of {models}")
        })
        .collect()
}

/// All that a key serves, alike.
fn named_alone(models: &[&str]) -> String {
    if models.contains(&OTHERS) { "all models".to_owned() } else { named(models) }
}

fn named(models: &[&str]) -> String {
    let mut names: Vec<String> = models
        .iter()
        .filter(|model| **model != OTHERS)
        .take(MODELS_NAMED_MAX)
        .map(|model| Printable(model).to_string())
        .collect();
    let has_others = models.contains(&OTHERS);
    let left_out = models.len() - names.len() - usize::from(has_others);
    if left_out > 0 {
        names.push(format!("{left_out} more"));
    }
    if has_others {
        names.push("all others".to_owned());
    }
    names.join(", ")
}

/// Every name that a list of either has, and [`OTHERS`] where a key serves all.
fn models<'a>(old: &'a Provider, new: &'a Provider) -> BTreeSet<&'a str> {
    let mut models = BTreeSet::new();
    for key in old.keys.iter().chain(&new.keys) {
        match &key.models {
            Models::All => drop(models.insert(OTHERS)),
            Models::Only(names) => models.extend(names.iter().map(String::as_str)),
        }
        models.extend(key.aliases.iter().map(|(alias, _)| alias.as_str()));
        models.extend(key.blacklisted_models.iter().map(String::as_str).filter(|name| *name != "*"));
    }
    models
}

/// The share of each key that may serve the model.
fn shares<'a>(provider: &'a Provider, model: &str, by_definition: bool) -> HashMap<&'a str, f64> {
    let may = |key: &&Key| (by_definition || key.credential.is_some()) && key.serves(model);
    let keys: Vec<&Key> = provider.keys.iter().filter(may).collect();
    let total: f64 = keys.iter().map(|key| key.weight).sum();
    let share = |key: &Key| if total > 0.0 { key.weight / total } else { 1.0 / keys.len() as f64 };
    keys.iter().map(|key| (key.name.as_str(), share(key))).collect()
}

/// With one decimal where it is not whole.
fn percent(share: f64) -> String {
    let tenths = (share * 1_000.0).round();
    let decimals = usize::from(tenths % 10.0 != 0.0);
    format!("{:.decimals$} %", tenths / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_short() {
        let shares = [0.0, 1.0 / 3.0, 0.5, 0.9996, 1.0].map(percent);
        assert_eq!(shares, ["0 %", "33.3 %", "50 %", "100 %", "100 %"]);
    }

    #[test]
    fn many_models_are_counted() {
        assert_eq!(named(&["a", "b"]), "a, b");
        assert_eq!(named(&[OTHERS, "a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e, 2 more, all others");
        assert_eq!(named_alone(&[OTHERS, "a"]), "all models");
        assert_eq!(named_alone(&["a"]), "a");
    }
}
