//! The keys of a chat request of Cohere's that tune the model: sampling, thinking. Which of them it takes, and in which bounds, is
//! decided here (<https://docs.cohere.com/reference/chat>); what it does not take is named.

use crate::chat::{Effort, Raw, Reasoning, Request};
use crate::dialect::cohere::message::encode::thinks;
use crate::dialect::dropped::named_once;
use crate::dialect::json::Object;
use crate::dialect::reasoning;

/// The ends of `p`, as Cohere spells its bounds: a caller who says 1 means all, which is the upper one.
const P_BOUNDS: [(f64, &str); 2] = [(0.01, "0.01"), (0.99, "0.99")];
const K_MAX: f64 = 500.0;
const PENALTY_MAX: f64 = 1.0;

/// Writes what `request` has of them for `model`.
pub(super) fn write(body: &mut Object<'_>, request: &Request<'_>, model: &str, dropped: &mut Vec<String>) {
    let mut number = |name: &str, own: &str, value: Option<Raw<'_>>, most: f64| match value {
        Some(value) if (0.0..=most).contains(&float(value)) => body.raw(own, value),
        Some(_) => named_once(dropped, name),
        None => {}
    };
    number("temperature", "temperature", request.temperature, f64::INFINITY);
    number("top_k", "k", request.top_k, K_MAX);
    number("seed", "seed", request.seed, f64::INFINITY);
    number("frequency_penalty", "frequency_penalty", request.frequency_penalty, PENALTY_MAX);
    number("presence_penalty", "presence_penalty", request.presence_penalty, PENALTY_MAX);
    let [(least, least_text), (most, most_text)] = P_BOUNDS;
    match request.top_p {
        Some(value) if float(value) < least => body.raw("p", Raw(least_text)),
        Some(value) if float(value) > most => body.raw("p", Raw(most_text)),
        value => body.raw_if("p", value),
    }
    if let Some(wanted) = request.reasoning {
        write_thinking(body, wanted, request.max_tokens, model, dropped);
    }
    for (is_there, name) in [
        (request.user.is_some(), "user"),
        (request.metadata.is_some(), "metadata"),
        (request.service_tier.is_some(), "service_tier"),
    ] {
        if is_there {
            named_once(dropped, name);
        }
    }
}

fn write_thinking(
    body: &mut Object<'_>,
    wanted: Reasoning,
    max_tokens: Option<u64>,
    model: &str,
    dropped: &mut Vec<String>,
) {
    let is_off = wanted.effort == Some(Effort::None) || wanted.budget_tokens == Some(0);
    if !thinks(model) {
        // What does not think need not be told to leave it.
        if !is_off {
            named_once(dropped, if wanted.effort.is_some() { "reasoning_effort" } else { "thinking" });
        }
        return;
    }
    let mut thinking = Object::begin(body.field("thinking"));
    thinking.text("type", if is_off { "disabled" } else { "enabled" });
    let budget = wanted.budget_tokens.or(wanted.effort.map(|effort| tokens(effort, max_tokens)));
    if let Some(budget) = budget.filter(|_| !is_off) {
        thinking.number("token_budget", budget);
    }
    thinking.end();
}

/// The tokens that an effort stands for: Bifrost's share of the limit where there is one.
fn tokens(effort: Effort, max_tokens: Option<u64>) -> u64 {
    let Some(max_tokens) = max_tokens else { return reasoning::tokens(effort) };
    let per_mille = match effort {
        Effort::None | Effort::Minimal => 25,
        Effort::Low => 150,
        Effort::Medium => 425,
        Effort::High | Effort::ExtraHigh | Effort::Max => 800,
    };
    let share = u128::from(max_tokens.saturating_sub(1)) * per_mille / 1000;
    u64::try_from(share).unwrap_or(max_tokens).saturating_add(1)
}

fn float(value: Raw<'_>) -> f64 {
    value.0.parse().unwrap_or(f64::NAN)
}
