//! What corelane does with a request for a model, and why: the provider that the name means, the keys that may be drawn
//! and how likely each is when all are well and idle, why the others are not, and where the request goes when that fails.
//! It says what a plan decides and decides nothing itself; a test holds it to that.

use std::time::Instant;

use super::keys::{best_way, has_way, keys, wire_model};
use super::legs::Legs;
use super::plan::Features;
use super::target::Target;
use crate::config::Whence;
use crate::config::snapshot::{Balance, Key, KeyId, Provider, ProviderId, Snapshot};
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};

/// What a request says that decides where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The model, as the caller names it.
    pub name: &'a str,
    /// The vendor whose path is called; `None`: nobody's.
    pub home: Option<&'a str>,
    /// What is asked for, in its usual dialect: never the list of models.
    pub operation: Operation,
}

/// A request's way.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'a> {
    /// What the name means.
    pub target: Target<'a>,
    /// Why it means that.
    pub because: Because,
    /// The primary, then its fallbacks of the config, in the order in which they are tried.
    pub legs: Vec<Leg<'a>>,
    /// The providers that no leg means.
    pub others: Vec<ProviderId>,
    /// What the caller is answered when no leg can be taken.
    pub error: Option<Error>,
}

/// Why a name means its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The provider's name stands before the slash.
    Prefix,
    /// The path that was called is this vendor's.
    Home,
    /// No other provider's keys list it.
    OnlyListing,
}

/// A provider and a model that a request goes to, or why it does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg<'a> {
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub number: u16,
    /// How it is named.
    pub name: &'a str,
    /// Who is meant; `None`: nobody.
    pub provider: Option<ProviderId>,
    /// The model without the provider's prefix.
    pub model: &'a str,
    /// One of these is chosen; in the file's order, their probabilities adding up to 1. Empty when the leg is skipped.
    pub candidates: Vec<Candidate<'a>>,
    /// The provider's other keys, in the file's order.
    pub rejected: Vec<Rejected<'a>>,
    /// Why it is skipped.
    pub error: Option<Error>,
}

/// A key that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// Which; `None` for a provider without keys.
    pub key: Option<KeyId>,
    /// The model that the provider is asked for.
    pub wire_model: &'a str,
    /// 0 to 1.
    pub probability: f64,
}

/// A key that is not drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// Which.
    pub key: KeyId,
    /// All that speaks against it, at least one.
    pub reasons: Vec<Reason<'a>>,
}

/// What speaks against a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// `enabled` is false.
    Disabled,
    /// It has no value, which should have come from here.
    NoValue(&'a Whence),
    /// This entry of `blacklisted_models` has the model; it may be `*`.
    Denied(&'a str),
    /// Neither `models` nor `aliases` has the model.
    NotListed,
    /// Its API version, or the model's own API, has no such operation; or another key's has it as it is asked for.
    NoWay,
    /// Its weight is 0, and others that may serve weigh more.
    WeightZero,
}

impl Reason<'_> {
    /// Its word in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NoValue(_) => "no_value",
            Self::Denied(_) => "denied",
            Self::NotListed => "not_listed",
            Self::NoWay => "no_way",
            Self::WeightZero => "weight_zero",
        }
    }
}

/// Explains a request that brings no fallbacks, pin or session of its own. `now` is any time. Errors: what the caller is
/// answered when the name means no provider.
pub fn explain<'a>(snapshot: &'a Snapshot, asked: Asked<'a>, now: Instant) -> Result<Explanation<'a>, Error> {
    let legs = Legs::new(snapshot, asked.features(now))?;
    let target = legs.target(0)?;
    let because = match (target.model.len() < asked.name.len(), asked.home) {
        (true, _) => Because::Prefix,
        (false, Some(_)) => Because::Home,
        (false, None) => Because::OnlyListing,
    };
    let legs: Vec<Leg<'a>> = legs.numbers().map(|number| leg(snapshot, &legs, number)).collect();
    let is_served = legs.iter().any(|leg| leg.error.is_none());
    let error = legs.first().and_then(|primary| primary.error.clone()).filter(|_| !is_served);
    let ids = (0u16..).zip(&snapshot.providers).map(|(index, _)| ProviderId(index));
    let others = ids.filter(|id| legs.iter().all(|leg| leg.provider != Some(*id))).collect();
    Ok(Explanation { target, because, legs, others, error })
}

impl<'a> Asked<'a> {
    /// The same for a plan.
    pub fn features(self, now: Instant) -> Features<'a> {
        Features {
            model: self.name,
            home: self.home,
            operation: self.operation,
            dialect: self.operation.usual_dialect(),
            pin: None,
            session: None,
            fallbacks: None,
            deadline: now,
            record: false,
        }
    }
}

/// Of a provider that must not be asked no key is looked at.
fn leg<'a>(snapshot: &'a Snapshot, legs: &Legs<'a>, number: u16) -> Leg<'a> {
    let target = legs.target(number).ok();
    let provider = target.as_ref().and_then(|target| snapshot.providers.get(usize::from(target.provider.0)));
    let error = legs.leg(number).err();
    let model = target.as_ref().map_or("", |target| target.model);
    let is_about_keys = error.as_ref().is_none_or(|error| error.kind == Kind::NoKeyForModel);
    let (candidates, rejected) = provider
        .filter(|_| is_about_keys)
        .map(|provider| sorted(provider, model, (legs.features().dialect, legs.features().operation)))
        .unwrap_or_default();
    let provider = target.map(|target| target.provider);
    Leg { number, name: legs.name(number), provider, model, candidates, rejected, error }
}

/// The keys that may be chosen, and the others.
fn sorted<'a>(
    provider: &'a Provider,
    model: &'a str,
    asks: (Dialect, Operation),
) -> (Vec<Candidate<'a>>, Vec<Rejected<'a>>) {
    if provider.key_less {
        return (vec![Candidate { key: None, wire_model: model, probability: 1.0 }], Vec::new());
    }
    let serving = keys(provider).map(|(_, key)| key).filter(|key| against(key, model).is_empty());
    let best = best_way(provider, serving, model, asks);
    let mut usable = Vec::new();
    let mut rejected = Vec::new();
    for (id, key) in keys(provider) {
        match against(key, model) {
            reasons if !reasons.is_empty() => rejected.push(Rejected { key: id, reasons }),
            _ if has_way(provider, key, model, asks, best) => usable.push((id, key)),
            _ => rejected.push(Rejected { key: id, reasons: vec![Reason::NoWay] }),
        }
    }
    let has_weight = usable.iter().any(|(_, key)| key.weight > 0.0);
    let most = usable.iter().map(|(_, key)| key.weight).fold(0.0, f64::max);
    let odds = |key: &Key| match provider.balance {
        _ if !has_weight => 1.0,
        Balance::Weighted => key.weight,
        Balance::LeastBusy if key.weight < most => 0.0,
        Balance::LeastBusy | Balance::Latency => f64::from(u8::from(key.weight > 0.0)),
    };
    let total: f64 = usable.iter().map(|(_, key)| odds(key)).sum();
    let mut candidates = Vec::with_capacity(usable.len());
    for (id, key) in usable {
        if has_weight && key.weight <= 0.0 {
            rejected.push(Rejected { key: id, reasons: vec![Reason::WeightZero] });
            continue;
        }
        let (wire_model, probability) = (wire_model(key, model), odds(key) / total);
        candidates.push(Candidate { key: Some(id), wire_model, probability });
    }
    rejected.sort_by_key(|rejected| rejected.key.0);
    (candidates, rejected)
}

/// All that speaks against a key for itself.
pub(super) fn against<'a>(key: &'a Key, model: &str) -> Vec<Reason<'a>> {
    let disabled = (!key.enabled).then_some(Reason::Disabled);
    let no_value = (key.credential.is_none() && !key.is_open).then_some(Reason::NoValue(&key.whence));
    let denied = key.denial(model).map(Reason::Denied);
    let not_listed = (!key.allows(model)).then_some(Reason::NotListed);
    [disabled, no_value, denied, not_listed].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::fixture::snapshot;
    use super::super::health::Untroubled;
    use super::super::keys::no_key;
    use super::super::plan::plan;
    use super::super::target::{permit, resolve};
    use super::*;
    use crate::config::snapshot::{Credential, Secret};

    fn explain<'a>(snapshot: &'a Snapshot, asked: Asked<'a>) -> Result<Explanation<'a>, Error> {
        super::explain(snapshot, asked, Instant::now())
    }

    const CONFIG: &str = r#"{"providers": {
        "openai": {"keys": [
            {"name": "a", "value": "env.SET", "models": ["gpt", "best"], "weight": 3, "aliases": {"best": "gpt-x"}},
            {"name": "b", "value": "env.SET", "models": ["*"], "weight": 1, "blacklisted_models": ["o3"]},
            {"name": "c", "value": "env.SET", "models": ["*"], "weight": 0},
            {"name": "d", "value": "env.UNSET", "models": ["other"], "enabled": false},
            {"name": "e", "value": "env.UNSET", "models": ["*"], "blacklisted_models": ["*"]}
        ]},
        "anthropic": {"keys": [{"name": "z", "value": "env.SET", "models": ["claude"]}]}
    }}"#;

    fn rejected<'a>(key: u16, reasons: &[Reason<'a>]) -> Rejected<'a> {
        Rejected { key: KeyId(key), reasons: reasons.to_vec() }
    }

    fn asked(name: &str) -> Asked<'_> {
        Asked { name, home: None, operation: Operation::Chat }
    }

    #[test]
    fn a_provider_that_must_not_be_asked_has_no_attempt() {
        let snapshot = snapshot(
            r#"{"providers": {"mine": {
                "keys": [{"name": "k", "value": "env.SET", "models": ["m"]}],
                "network_config": {"base_url": "http://127.0.0.1:9"},
                "custom_provider_config": {
                    "base_provider_type": "openai", "allowed_requests": {"chat_completion": true}
                }
            }}}"#,
        );
        let whole = explain(&snapshot, asked("mine/m")).unwrap();
        assert_eq!((whole.legs[0].candidates.len(), whole.error), (1, None));
        let stream =
            explain(&snapshot, Asked { operation: Operation::ChatStream, ..asked("mine/m") }).unwrap();
        assert_eq!((&stream.legs[0].candidates, &stream.legs[0].rejected), (&Vec::new(), &Vec::new()));
        assert_eq!(
            stream.error,
            permit(&snapshot.providers[0], Dialect::OpenAi, Operation::ChatStream).err()
        );
    }

    #[test]
    fn what_a_providers_api_does_not_have_is_for_a_fallback() {
        let mut snapshot = snapshot(CONFIG);
        let asked = Asked { operation: Operation::Embedding, ..asked("anthropic/claude") };
        let alone = explain(&snapshot, asked).unwrap();
        let error = alone.error.unwrap();
        assert_eq!((error.kind, alone.legs[0].candidates.len()), (Kind::ProviderNotSupported, 0));
        assert!(error.message.starts_with("embedding is not served by the provider anthropic: "), "{error}");
        snapshot.providers[0].fallbacks = vec![("*".to_owned(), vec!["openai/gpt".to_owned()])];
        let explained = explain(&snapshot, asked).unwrap();
        assert_eq!((explained.error, explained.legs[1].candidates.len()), (None, 2));
        let now = Instant::now();
        let (_, first) = plan(&snapshot, asked.features(now), &Untroubled, now, 1).unwrap();
        assert_eq!((first.leg, first.model), (1, "gpt"));
    }

    #[test]
    fn a_provider_is_meant_by_prefix_by_path_or_by_being_the_only_one() {
        let snapshot = snapshot(CONFIG);
        let because = |name, home| {
            explain(&snapshot, Asked { name, home, operation: Operation::Chat }).map(|explanation| {
                let provider = &snapshot.providers[usize::from(explanation.target.provider.0)];
                (provider.name.as_str(), explanation.target.model, explanation.because)
            })
        };
        assert_eq!(because("OpenAI/gpt", Some("anthropic")), Ok(("openai", "gpt", Because::Prefix)));
        assert_eq!(because("gpt", Some("anthropic")), Ok(("anthropic", "gpt", Because::Home)));
        assert_eq!(because("claude", None), Ok(("anthropic", "claude", Because::OnlyListing)));
        assert_eq!(because("x/claude", Some("openai")), Ok(("openai", "x/claude", Because::Home)));
        assert_eq!(because("nobody", None).unwrap_err(), resolve(&snapshot, "nobody", None).unwrap_err());
    }

    #[test]
    fn each_key_is_a_candidate_or_has_its_reasons() {
        let snapshot = snapshot(CONFIG);
        let explained = explain(&snapshot, asked("openai/best")).unwrap();
        let candidate = |key, wire_model, probability| {
            let key = Some(KeyId(key));
            Candidate { key, wire_model, probability }
        };
        assert_eq!(explained.legs.len(), 1);
        assert_eq!(explained.legs[0].candidates, [candidate(0, "gpt-x", 0.75), candidate(1, "best", 0.25)]);
        let unset = Whence::Variable("UNSET".to_owned());
        let no_value = Reason::NoValue(&unset);
        assert_eq!(
            explained.legs[0].rejected,
            [
                rejected(2, &[Reason::WeightZero]),
                rejected(3, &[Reason::Disabled, no_value, Reason::NotListed]),
                rejected(4, &[no_value, Reason::Denied("*")]),
            ]
        );
        assert_eq!((explained.others, explained.error), (vec![ProviderId(0)], None));
        let alone = explain(&snapshot, asked("openai/o3")).unwrap();
        assert_eq!(alone.legs[0].candidates, [candidate(2, "o3", 1.0)], "weight 0 serves alone");
    }

    #[test]
    fn without_a_key_the_answer_is_the_one_that_the_draw_gives() {
        let snapshot = snapshot(CONFIG);
        let explained = explain(&snapshot, asked("anthropic/gpt")).unwrap();
        let provider = &snapshot.providers[usize::from(explained.target.provider.0)];
        assert_eq!(explained.legs[0].candidates, []);
        assert_eq!(explained.error, Some(no_key(provider, "gpt")));
        assert_eq!(explained.error, drawn(&snapshot, "anthropic/gpt", 1).err());
    }

    #[test]
    fn fallbacks_are_legs_and_those_that_mean_nobody_are_skipped() {
        let mut snapshot = snapshot(CONFIG);
        let fallbacks = ["anthropic/claude", "openai/gpt", "groq/x", "anthropic/"].map(str::to_owned);
        snapshot.providers[1].fallbacks = vec![("*".to_owned(), fallbacks.to_vec())];
        let explained = explain(&snapshot, asked("openai/best")).unwrap();
        let legs = explained.legs.iter().map(|leg| {
            let error = leg.error.as_ref().map(|error| error.kind);
            (leg.number, leg.name, leg.provider.map(|id| id.0), leg.model, leg.candidates.len(), error)
        });
        assert_eq!(
            legs.collect::<Vec<_>>(),
            [
                (0, "openai/best", Some(1), "best", 2, None),
                (1, "anthropic/claude", Some(0), "claude", 1, None),
                (2, "openai/gpt", Some(1), "gpt", 2, None),
                (3, "groq/x", None, "", 0, Some(Kind::ProviderNotConfigured)),
                (4, "anthropic/", Some(0), "best", 0, Some(Kind::NoKeyForModel)),
            ]
        );
        assert_eq!((explained.others, explained.error), (Vec::new(), None));
        snapshot.providers[1].keys.clear();
        let without = explain(&snapshot, asked("openai/best")).unwrap();
        assert_eq!((without.error, without.legs[0].candidates.len()), (None, 0), "a fallback serves");
        assert_eq!(without.legs[0].error.as_ref().map(|error| error.kind), Some(Kind::NoKeyForModel));
    }

    /// What a plan begins with.
    fn drawn<'a>(snapshot: &'a Snapshot, model: &'a str, seed: u64) -> Result<(Option<u16>, &'a str), Error> {
        let now = Instant::now();
        let (_, first) = plan(snapshot, asked(model).features(now), &Untroubled, now, seed)?;
        Ok((first.key.map(|key| key.0), first.wire_model))
    }

    const DRAWS: u32 = 20_000;
    /// Five standard deviations of a frequency over [`DRAWS`], at its widest.
    const TOLERANCE: f64 = 5.0 * 0.5 / 141.4;

    /// A provider of random keys, many of which cannot serve.
    fn random_provider(provider: &Provider, random: &mut fastrand::Rng) -> Provider {
        let Some(key) = provider.keys.first() else { return provider.clone() };
        let names = ["gpt", "best", "o3", "*"];
        let weights = [0.0, 0.0, 0.001, 0.5, 1.0, 3.0, 1e9];
        let all_zero = random.u8(..8) == 0;
        let list = |share: u8, random: &mut fastrand::Rng| -> Vec<String> {
            let chosen = names.iter().filter(|_| random.u8(..100) < share);
            chosen.map(|name| (*name).to_owned()).collect()
        };
        let keys = (0..random.usize(0..9)).map(|index| Key {
            name: format!("k{index}"),
            credential: (random.u8(..4) > 0).then(|| Credential::Value(Secret::new("sk-1"))),
            models: match random.bool() {
                true => crate::config::snapshot::Models::All,
                false => crate::config::snapshot::Models::Only(list(60, random)),
            },
            blacklisted_models: list(10, random),
            aliases: match random.u8(..3) {
                0 => vec![("best".to_owned(), "gpt-x".to_owned())],
                _ => Vec::new(),
            },
            weight: if all_zero { 0.0 } else { weights[random.usize(..weights.len())] },
            enabled: random.u8(..8) > 0,
            ..key.clone()
        });
        let keys = keys.collect();
        let balance = [Balance::Weighted, Balance::Weighted, Balance::LeastBusy, Balance::Latency];
        let balance = balance[random.usize(..balance.len())];
        Provider { keys, key_less: random.u8(..20) == 0, balance, ..provider.clone() }
    }

    #[test]
    fn frequencies_of_the_draw_are_the_stated_probabilities() {
        let mut snapshot = snapshot(CONFIG);
        let mut random = fastrand::Rng::with_seed(4);
        let template = snapshot.providers[1].clone();
        for round in 0..60 {
            snapshot.providers[1] = random_provider(&template, &mut random);
            let explained = explain(&snapshot, asked("openai/best")).unwrap();
            let mut counts: HashMap<Option<u16>, u32> = HashMap::new();
            for seed in 0..u64::from(DRAWS) {
                match drawn(&snapshot, "openai/best", seed) {
                    Ok((key, wire_model)) => {
                        *counts.entry(key).or_default() += 1;
                        let mut candidates = explained.legs.iter().flat_map(|one| &one.candidates);
                        let candidate = candidates.find(|one| one.key.map(|key| key.0) == key);
                        assert_eq!(candidate.map(|one| one.wire_model), Some(wire_model), "round {round}");
                    }
                    Err(error) => assert_eq!(explained.error, Some(error), "round {round}"),
                }
            }
            let candidates = explained.legs.iter().flat_map(|leg| &leg.candidates);
            for candidate in candidates {
                let count = counts.remove(&candidate.key.map(|key| key.0)).unwrap_or_default();
                let frequency = f64::from(count) / f64::from(DRAWS);
                let difference = (frequency - candidate.probability).abs();
                assert!(difference < TOLERANCE, "round {round}: {candidate:?} drawn {count} times");
            }
            assert_eq!(counts, HashMap::new(), "round {round}: none but candidates are drawn");
            let known = explained.legs[0].candidates.len() + explained.legs[0].rejected.len();
            let provider = &snapshot.providers[1];
            assert_eq!(known, if provider.key_less { 1 } else { provider.keys.len() }, "round {round}");
        }
    }
}
