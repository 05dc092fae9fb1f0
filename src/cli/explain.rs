//! `corelane explain`: which provider and keys a model's name leads to, in words or JSON. What is explained is
//! `routing::explain`'s; nothing is connected to.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::output;
use super::place::ConfigPlace;
use crate::config::snapshot::{
    Balance, Credential, Key, KeyId, Origin, Provider, ProviderId, Secret, Snapshot,
};
use crate::config::{Printable, nearest};
use crate::dialect::Operation;
use crate::error::Error;
use crate::provider::MODEL;
use crate::routing::explain::{self, Asked, Because, Candidate, Explanation, Leg, Reason, Rejected};
use crate::routing::health::Untroubled;
use crate::routing::plan::plan;

/// Providers not tried that words name; JSON names all.
const OTHERS_MAX: usize = 10;

/// Vendors whose paths are called.
const HOMES: [&str; 7] = ["openai", "anthropic", "gemini", "cohere", "bedrock", "azure", "vertex"];
/// What a model may be asked for.
const OPERATIONS: [Operation; 5] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Embedding,
    Operation::Moderation,
    Operation::CountTokens,
];

/// `corelane explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Where the config is.
    #[command(flatten)]
    pub source: ConfigPlace,
    /// The model, as a caller would name it.
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// The vendor whose path is called, /openai/…, /anthropic/… or, for gemini, /genai/… [default: /v1/…, nobody's].
    #[arg(long, value_name = "VENDOR", value_parser = PossibleValuesParser::new(HOMES))]
    pub home: Option<String>,
    /// What is asked for, by its name in allowed_requests.
    #[arg(long, value_name = "NAME", default_value = "chat_completion",
        value_parser = PossibleValuesParser::new(OPERATIONS.map(Operation::name)))]
    pub operation: String,
    /// Of a request that asks for a stream.
    #[arg(long)]
    pub stream: bool,
    /// Make the draw that this seed gives, too.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// As if this key were disabled; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub disable: Vec<String>,
    /// As if every key had its value, for a machine without the node's environment.
    #[arg(long)]
    pub assume_keys: bool,
    /// A JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Exit code 0: a request would be tried; 1: it would be refused, or the config is faulty; 2: no key has a name given.
pub(super) fn run(arguments: &Explain) -> ExitCode {
    let mut snapshot = match arguments.source.source().examine_away() {
        Ok(loaded) => loaded.snapshot,
        Err(faults) => return output::faulty(faults, arguments.json, ExitCode::FAILURE),
    };
    for name in &arguments.disable {
        if let Err(message) = disable(&mut snapshot, name) {
            output::complaint(&format!("error: {message}"));
            return ExitCode::from(2);
        }
    }
    if arguments.assume_keys {
        assume_keys(&mut snapshot);
    }
    let Explain { model: name, home, stream, .. } = arguments;
    let operation = Operation::of(&arguments.operation).unwrap_or(Operation::Chat).streamed(*stream);
    let asked = Asked { name, home: home.as_deref(), operation };
    let now = Instant::now();
    let explained = explain::explain(&snapshot, asked, now);
    let is_served = explained.as_ref().is_ok_and(|explained| explained.error.is_none());
    let view = View { arguments, snapshot: &snapshot, asked, now };
    let code = if is_served { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match arguments.json {
        true => output::document(&view.json(&explained), code),
        false => output::answer(view.text(&explained).trim_end(), code),
    }
}

fn disable(snapshot: &mut Snapshot, name: &str) -> Result<(), String> {
    let mut keys = snapshot.providers.iter_mut().flat_map(|provider| &mut provider.keys);
    if let Some(key) = keys.find(|key| key.name == name) {
        key.enabled = false;
        return Ok(());
    }
    let names = snapshot.providers.iter().flat_map(|provider| &provider.keys);
    let meant = nearest(name, names.map(|key| key.name.as_str()));
    let hint = meant.map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default();
    Err(format!("--disable {name}: no key has this name{hint}"))
}

fn assume_keys(snapshot: &mut Snapshot) {
    let keys = snapshot.providers.iter_mut().flat_map(|provider| &mut provider.keys);
    let assumed = Credential::Value(Secret::new("assumed"));
    keys.filter(|key| key.credential.is_none()).for_each(|key| key.credential = Some(assumed.clone()));
}

type Explained<'a> = Result<Explanation<'a>, Error>;

/// An explanation in words.
struct View<'a> {
    arguments: &'a Explain,
    snapshot: &'a Snapshot,
    asked: Asked<'a>,
    now: Instant,
}

/// The one draw of a seed.
struct Drawn<'a> {
    chance: f64,
    provider: &'a Provider,
    key: Option<&'a Key>,
    wire_model: &'a str,
}

impl View<'_> {
    fn provider(&self, id: Option<ProviderId>) -> Option<&Provider> {
        self.snapshot.providers.get(usize::from(id?.0))
    }

    fn key(&self, provider: Option<ProviderId>, key: Option<KeyId>) -> Option<&Key> {
        self.provider(provider)?.keys.get(usize::from(key?.0))
    }

    fn key_name(&self, leg: &Leg<'_>, key: Option<KeyId>) -> &str {
        self.key(leg.provider, key).map_or("(none)", |key| key.name.as_str())
    }

    /// What the plan of such a request begins with.
    fn drawn(&self) -> Option<Drawn<'_>> {
        let seed = self.arguments.seed?;
        let chance = fastrand::Rng::with_seed(seed).f64();
        let (_, first) =
            plan(self.snapshot, self.asked.features(self.now), &Untroubled, self.now, seed).ok()?;
        let (provider, key) = (Some(first.provider), first.key);
        let (provider, key) = (self.provider(provider)?, self.key(provider, key));
        Some(Drawn { chance, provider, key, wire_model: first.wire_model })
    }

    fn text(&self, explained: &Explained<'_>) -> String {
        match explained {
            Err(error) => refusal(error),
            Ok(explanation) => {
                let mut parts = vec![self.meaning(explanation)];
                parts.extend(explanation.error.as_ref().map(refusal));
                for leg in &explanation.legs {
                    let is_answered = explanation.error.is_some() && leg.number == 0;
                    parts.push(if is_answered { String::new() } else { self.leg(leg) });
                    parts.push(self.rejected(leg));
                }
                parts.extend([self.others_line(explanation), self.draw_line()]);
                parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn meaning(&self, explanation: &Explanation<'_>) -> String {
        let Some(provider) = self.provider(Some(explanation.target.provider)) else { return String::new() };
        let why = match explanation.because {
            Because::Prefix => "its name stands before the slash".to_owned(),
            Because::Home => {
                // A vendor's path bears its name, but for Google's and the clouds'.
                let home = self.arguments.home.as_deref().unwrap_or_default();
                let path = match home {
                    "gemini" => "genai",
                    "azure" => "openai/deployments",
                    "vertex" => "genai/v1/publishers/google",
                    home => home,
                };
                format!("the path is /{path}/…")
            }
            Because::OnlyListing => "no other provider's keys list it".to_owned(),
        };
        let operation = self.asked.operation;
        let model = explanation.target.model;
        let path = |key: Option<&Key>| {
            let wire_model = key.map_or(model, |key| key.wire_model(model));
            let way = provider.way_for(key, (model, wire_model), operation.usual_dialect(), operation);
            let bare = provider.cloud.map_or(model, |cloud| cloud.bare(wire_model));
            way.map(|(_, _, target)| target.replace(MODEL, bare))
        };
        let scheme = |origin: &Origin| if origin.tls { "https" } else { "http" };
        let mut urls = String::new();
        if !provider.origin.host.is_empty() && provider.cloud.is_none() {
            let path = path(None).unwrap_or_default();
            urls = format!("{}://{}{path}\n", scheme(&provider.origin), provider.authority);
        }
        for key in provider.keys.iter().filter(|key| key.place.is_some() || provider.cloud.is_some()) {
            let place = key.place.as_deref();
            let (authority, base_path) =
                place.map_or((&*provider.authority, ""), |place| (&*place.authority, &*place.base_path));
            let (name, scheme) = (printable(&key.name), scheme(provider.origin_of(Some(key))));
            let Some(path) = path(Some(key)).or(provider.cloud.is_none().then(String::new)) else { continue };
            urls.push_str(&format!("key {name}: {scheme}://{authority}{base_path}{path}\n"));
        }
        format!("model \"{}\" means the provider {}: {why}\n{urls}", self.arguments.model, provider.name)
    }

    /// What is tried on a leg, and what follows there.
    fn leg(&self, leg: &Leg<'_>) -> String {
        if let Some(error) = &leg.error {
            let which = match leg.number {
                0 => "the provider that is meant".to_owned(),
                number => format!("fallback {number}, {},", printable(leg.name)),
            };
            return format!("{which} is skipped ({})\n  {}\n", error.kind.code(), error.message);
        }
        let whose = match leg.number {
            0 => "first".to_owned(),
            number => format!("then fallback {number}, {}", printable(leg.name)),
        };
        let Some(provider) = self.provider(leg.provider) else { return String::new() };
        let by = match provider.balance {
            _ if leg.candidates.iter().any(|candidate| candidate.key.is_none()) => "without a key",
            Balance::Weighted => "with a key drawn by weight",
            Balance::LeastBusy => {
                "with the key that has the least to do for its weight (the chance when all are idle)"
            }
            Balance::Latency => {
                "with the key that answers soonest for its weight (the chance when none is known)"
            }
        };
        let head = ["key", "chance", "weight", "asks for"].map(str::to_owned);
        let rows = leg.candidates.iter().map(|candidate| self.row(leg, candidate));
        let table = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
        format!("{whose}, {by}\n{table}{}", follows(provider, leg))
    }

    fn row(&self, leg: &Leg<'_>, candidate: &Candidate<'_>) -> [String; 4] {
        let weight = self.key(leg.provider, candidate.key);
        [
            self.key_name(leg, candidate.key).to_owned(),
            percent(candidate.probability),
            weight.map(|key| key.weight.to_string()).unwrap_or_default(),
            candidate.wire_model.to_owned(),
        ]
    }

    fn rejected(&self, leg: &Leg<'_>) -> String {
        let rows = leg.rejected.iter().map(|rejected| {
            let words = rejected.reasons.iter().map(|reason| self.words(leg, rejected.key, *reason));
            let words = words.collect::<Vec<_>>().join("; ");
            [self.key_name(leg, Some(rejected.key)).to_owned(), words]
        });
        match rows.collect::<Vec<_>>() {
            rows if rows.is_empty() => String::new(),
            rows => format!("keys not drawn\n{}", table(&rows)),
        }
    }

    fn others<'e>(&'e self, explanation: &'e Explanation<'_>) -> impl Iterator<Item = &'e str> {
        let providers = explanation.others.iter().map(|id| self.snapshot.providers.get(usize::from(id.0)));
        providers.flatten().map(|provider| provider.name.as_str())
    }

    fn others_line(&self, explanation: &Explanation<'_>) -> String {
        let mut names: Vec<&str> = self.others(explanation).take(OTHERS_MAX).collect();
        if names.is_empty() {
            return String::new();
        }
        if explanation.others.len() > OTHERS_MAX {
            names.push("…");
        }
        let why = match explanation.legs.len() {
            ..=1 => "only the one that is meant is",
            _ => "neither the name nor a fallback means them",
        };
        format!("providers not tried, since {why}\n  {}\n", names.join(", "))
    }

    fn words(&self, leg: &Leg<'_>, key: KeyId, reason: Reason<'_>) -> String {
        let is_by_flag = || {
            let name = self.key_name(leg, Some(key));
            self.arguments.disable.iter().any(|disabled| disabled == name)
        };
        match reason {
            Reason::Disabled if is_by_flag() => "disabled by --disable".to_owned(),
            Reason::Disabled => "disabled (\"enabled\" is false)".to_owned(),
            Reason::NoValue(whence) => format!("no value: {}", whence.lack()),
            Reason::Denied(entry) => format!("denied by \"{entry}\" in \"blacklisted_models\""),
            Reason::NotListed => "neither \"models\" nor \"aliases\" has the model".to_owned(),
            Reason::NoWay => "its API version, or the model's own API, has no such operation, or not as well as another key's".to_owned(),
            Reason::WeightZero => "weight 0: serves only when no key with a weight can".to_owned(),
        }
    }

    fn draw_line(&self) -> String {
        let (Some(seed), Some(drawn)) = (self.arguments.seed, self.drawn()) else { return String::new() };
        let name = drawn.key.map_or("no key", |key| key.name.as_str());
        format!(
            "seed {seed} draws {name}, asking for {} ({:.6})\n",
            printable(drawn.wire_model),
            drawn.chance
        )
    }

    fn json(&self, explained: &Explained<'_>) -> Value {
        let Explain { model, home, stream, .. } = self.arguments;
        let operation = self.asked.operation.name();
        let explanation = match explained {
            Ok(explanation) => explanation,
            Err(error) => {
                return json!({
                    "model": model, "home": home, "operation": operation, "stream": stream, "target": null,
                    "attempts": [], "skipped": [], "rejected": [], "providers_not_tried": [], "error": error_json(error), "draw": null,
                });
            }
        };
        let (served, skipped): (Vec<&Leg<'_>>, Vec<&Leg<'_>>) =
            explanation.legs.iter().partition(|leg| leg.error.is_none());
        let rejected = explanation.legs.first().map(|leg| self.rejected_json(leg)).unwrap_or_default();
        json!({
            "model": model,
            "home": home,
            "operation": operation,
            "stream": stream,
            "target": {
                "provider": self.provider(Some(explanation.target.provider)).map(|provider| &provider.name),
                "model": explanation.target.model,
                "because": because(explanation.because),
            },
            "attempts": served.into_iter().map(|leg| self.leg_json(leg)).collect::<Vec<_>>(),
            "skipped": skipped.into_iter().map(skipped_json).collect::<Vec<_>>(),
            "rejected": rejected,
            "providers_not_tried": self.others(explanation).collect::<Vec<_>>(),
            "error": explanation.error.as_ref().map(error_json),
            "draw": self.draw_json(),
        })
    }

    fn leg_json(&self, leg: &Leg<'_>) -> Value {
        let candidates = leg.candidates.iter().map(|one| self.candidate_json(leg, one));
        let provider = self.provider(leg.provider);
        json!({
            "leg": leg.number,
            "provider": provider.map(|provider| &provider.name),
            "model": leg.model,
            "balance": provider.map(|provider| balance(provider.balance)),
            "candidates": candidates.collect::<Vec<_>>(),
            "rejected": self.rejected_json(leg),
            "retries": provider.map(|provider| json!({
                "max": provider.retry.retries_max,
                "backoff_initial_ms": milliseconds(provider.retry.backoff_initial),
                "backoff_max_ms": milliseconds(provider.retry.backoff_max),
            })),
        })
    }

    fn rejected_json(&self, leg: &Leg<'_>) -> Vec<Value> {
        let rejected = leg.rejected.iter().map(|Rejected { key, reasons }| {
            let reasons = reasons.iter().map(|reason| {
                let words = self.words(leg, *key, *reason);
                json!({ "code": reason.code(), "words": words })
            });
            json!({ "key": self.key_name(leg, Some(*key)), "reasons": reasons.collect::<Vec<_>>() })
        });
        rejected.collect()
    }

    fn candidate_json(&self, leg: &Leg<'_>, candidate: &Candidate<'_>) -> Value {
        let key = self.key(leg.provider, candidate.key);
        json!({
            "key": key.map(|key| &key.name),
            "probability": candidate.probability,
            "weight": key.map(|key| key.weight),
            "wire_model": candidate.wire_model,
        })
    }

    fn draw_json(&self) -> Option<Value> {
        let drawn = self.drawn()?;
        Some(json!({
            "seed": self.arguments.seed,
            "chance": drawn.chance,
            "provider": drawn.provider.name,
            "key": drawn.key.map(|key| &key.name),
            "wire_model": drawn.wire_model,
        }))
    }
}

/// What a failure leads to on a leg.
fn follows(provider: &Provider, leg: &Leg<'_>) -> String {
    let retry = &provider.retry;
    let retries = match retry.retries_max {
        0 => "no retries".to_owned(),
        max => format!(
            "up to {max} {} of what may pass, the first after {} ms, each wait doubled up to {} ms",
            if max == 1 { "retry" } else { "retries" },
            milliseconds(retry.backoff_initial),
            milliseconds(retry.backoff_max)
        ),
    };
    let others = leg.candidates.len() + leg.rejected.iter().filter(|rejected| is_reserve(rejected)).count();
    match others {
        ..=1 => format!("  {retries}\n"),
        _ => format!("  a key that is refused or at its limit gives way to another at once\n  {retries}\n"),
    }
}

/// Whether the key serves after those with a weight.
fn is_reserve(rejected: &Rejected<'_>) -> bool {
    rejected.reasons == [Reason::WeightZero]
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn balance(balance: Balance) -> &'static str {
    match balance {
        Balance::Weighted => "weighted",
        Balance::LeastBusy => "least_busy",
        Balance::Latency => "latency",
    }
}

fn skipped_json(leg: &Leg<'_>) -> Value {
    json!({ "leg": leg.number, "name": leg.name, "error": leg.error.as_ref().map(error_json) })
}

fn refusal(error: &Error) -> String {
    let kind = error.kind;
    format!("a request is answered {} {}\n  {}\n", kind.status(), kind.code(), error.message)
}

fn error_json(error: &Error) -> Value {
    json!({ "status": error.kind.status(), "code": error.kind.code(), "message": error.message })
}

fn because(because: Because) -> &'static str {
    match because {
        Because::Prefix => "prefix",
        Because::Home => "home",
        Because::OnlyListing => "only_listing",
    }
}

/// A share with one decimal; none is said to be 0 or all when it is not.
fn percent(probability: f64) -> String {
    match probability * 100.0 {
        percent if percent > 0.0 && percent < 0.05 => "< 0.1 %".to_owned(),
        percent if percent > 99.95 && percent < 100.0 => "> 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// A config's own words move no terminal's cursor.
fn printable(cell: &str) -> String {
    Printable(cell).to_string()
}

/// Columns under each other, two blanks before each.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = printable(cell).chars().count().max(*width);
        }
    }
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {:width$}", printable(cell)));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_to_none_or_all() {
        for (probability, text) in [
            (1.0, "100.0 %"),
            (0.75, "75.0 %"),
            (1.0 / 3.0, "33.3 %"),
            (0.0, "0.0 %"),
            (1e-12, "< 0.1 %"),
            (1.0 - 1e-12, "> 99.9 %"),
        ] {
            assert_eq!(percent(probability), text);
        }
    }
}
