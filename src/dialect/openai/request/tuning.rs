//! The keys of a chat completions request that tune the model: sampling, effort, tier, notes. Which of them a provider, or a
//! model of OpenAI's, takes is decided here; what it does not take is named.

use crate::chat::{Effort, Raw, Reasoning, Request, ServiceTier};
use crate::dialect::Quirks;
use crate::dialect::json::Object;
use crate::dialect::{reasoning, tier};

/// Writes what `request` has of them for `model`.
pub(super) fn write(
    body: &mut Object<'_>,
    request: &Request<'_>,
    model: &str,
    quirks: Quirks,
    dropped: &mut Vec<String>,
) {
    let mut number = |name: &str, value: Option<Raw<'_>>, is_taken: bool| match value {
        Some(value) if is_taken => body.raw(name, value),
        Some(_) => dropped.push(name.to_owned()),
        None => {}
    };
    let is_sampled = takes_sampling(model, quirks);
    let is_one = |value: Option<Raw<'_>>| value.is_some_and(|value| matches!(value.0, "1" | "1.0"));
    number("temperature", request.temperature, is_sampled || is_one(request.temperature));
    number("top_p", request.top_p, is_sampled || is_one(request.top_p));
    // Those that serve open models take it, but none says so in a way that could be relied on.
    number("top_k", request.top_k, false);
    number("seed", request.seed, !is_strict(quirks));
    number("presence_penalty", request.presence_penalty, is_sampled);
    number("frequency_penalty", request.frequency_penalty, is_sampled);
    number("metadata", request.metadata, quirks.is_openai);
    write_effort(body, request.reasoning, model, quirks, dropped);
    write_tier(body, request.service_tier, quirks, dropped);
}

/// Whether it refuses each key that its own documents do not name; Mistral calls a seed `random_seed` and has effort for one
/// model only.
fn is_strict(quirks: Quirks) -> bool {
    !quirks.user && !quirks.stream_options
}

/// Thoughts are never shown in a chat completion of OpenAI's, so a wish to see them can't be told.
fn write_effort(
    body: &mut Object<'_>,
    reasoning: Option<Reasoning>,
    model: &str,
    quirks: Quirks,
    dropped: &mut Vec<String>,
) {
    let Some(wanted) = reasoning else { return };
    let effort = wanted.effort.or(wanted.budget_tokens.map(reasoning::effort_of));
    match effort {
        // Others refuse the word for models that do not think, and some for those that do.
        Some(Effort::None) if !quirks.is_openai => dropped.push("reasoning_effort".to_owned()),
        Some(effort) if takes_effort(model, quirks) => {
            let word = word(effort, model, quirks);
            body.text("reasoning_effort", word);
            if effort == Effort::None && word != "none" {
                dropped.push("reasoning_effort".to_owned());
            }
        }
        // A model that does not think does as it is told.
        Some(Effort::None) => {}
        Some(_) => dropped.push("reasoning_effort".to_owned()),
        None => {}
    }
}

/// Only OpenAI itself knows all the words, its first models fewer (<https://platform.openai.com/docs/guides/reasoning>); the
/// nearest stands for what is not taken.
fn word(effort: Effort, model: &str, quirks: Quirks) -> &'static str {
    let (is_first, is_gpt) = (is_first_thinker(model), base(model).starts_with("gpt-5"));
    match effort {
        Effort::None if is_first && is_gpt => "minimal",
        Effort::None if is_first => "low",
        Effort::Minimal if !quirks.is_openai || is_first && !is_gpt => "low",
        Effort::ExtraHigh | Effort::Max if !quirks.is_openai || is_first => "high",
        _ => reasoning::word(effort),
    }
}

/// OpenAI's first models that think refuse whatever tunes their sampling; the later (`gpt-5.1` and up) decide by effort
/// (<https://platform.openai.com/docs/guides/latest-model>).
fn takes_sampling(model: &str, quirks: Quirks) -> bool {
    !(quirks.is_openai && is_first_thinker(model))
}

fn is_first_thinker(model: &str) -> bool {
    is_one_of(&["o1", "o3", "o4", "gpt-5"], base(model)) && !base(model).contains("-chat")
}

/// Whether a model of OpenAI's takes `stop`: `o3` and `o4-mini` do not by its documents
/// (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-stop>), the others by their answer, a 400.
pub(super) fn takes_stop(model: &str) -> bool {
    let name = base(model);
    let is_refused = is_one_of(&["o3", "o4", "gpt-5", "o1-mini", "o1-preview"], name);
    !is_refused || is_one_of(&["o3-mini"], name) || name.contains("-chat")
}

/// Whether a model's name is one of these, or begins with one and a dash.
fn is_one_of(names: &[&str], name: &str) -> bool {
    let is_named =
        |start: &&str| name.strip_prefix(*start).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    names.iter().any(is_named)
}

/// A model's name without its maker's; a tuned one is named `ft:` and its base.
fn base(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("ft:").unwrap_or(name)
}

/// OpenAI's models that do not think refuse the key.
fn takes_effort(model: &str, quirks: Quirks) -> bool {
    const SILENT: [&str; 5] = ["gpt-3", "gpt-4", "chatgpt-", "o1-mini", "o1-preview"];
    let name = base(model);
    let is_silent = SILENT.iter().any(|start| name.starts_with(start)) || name.contains("-chat");
    !(is_strict(quirks) || quirks.is_openai && is_silent)
}

fn write_tier(body: &mut Object<'_>, tier: Option<ServiceTier>, quirks: Quirks, dropped: &mut Vec<String>) {
    match tier {
        Some(tier) if quirks.is_openai => body.text("service_tier", tier::word(tier)),
        Some(_) => dropped.push("service_tier".to_owned()),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::request::decode;

    fn written(model: &str, fields: &str, quirks: Quirks) -> (String, Vec<String>) {
        let input = format!(r#"{{"messages":[],{fields}}}"#);
        let (mut out, mut dropped) = (Vec::new(), Vec::new());
        let mut body = Object::begin(&mut out);
        write(&mut body, &decode(input.as_bytes()).unwrap(), model, quirks, &mut dropped);
        body.end();
        (String::from_utf8(out).unwrap(), dropped)
    }

    #[test]
    fn effort_goes_where_it_is_taken() {
        for (model, quirks, effort, expected) in [
            ("gpt-5", Quirks::OPENAI, "minimal", Some("minimal")),
            ("openai/o3", Quirks::OPENAI, "xhigh", Some("high")),
            ("o3", Quirks::OPENAI, "minimal", Some("low")),
            ("gpt-5.2", Quirks::OPENAI, "none", Some("none")),
            ("gpt-5.2", Quirks::OPENAI, "xhigh", Some("xhigh")),
            ("qwen-3", Quirks::COMPATIBLE, "none", None),
            ("gpt-4o-mini", Quirks::OPENAI, "high", None),
            ("ft:gpt-4.1:x", Quirks::OPENAI, "high", None),
            ("gpt-5-chat-latest", Quirks::OPENAI, "low", None),
            ("gpt-4o", Quirks::COMPATIBLE, "max", Some("high")),
            ("qwen-3", Quirks::TELLING, "minimal", Some("low")),
            ("mistral-large", Quirks::STRICT, "low", None),
        ] {
            let (out, dropped) = written(model, &format!(r#""reasoning_effort":"{effort}""#), quirks);
            let body = expected.map_or("{}".to_owned(), |word| format!(r#"{{"reasoning_effort":"{word}"}}"#));
            assert_eq!(out, body, "{model}");
            assert_eq!(dropped.is_empty(), expected.is_some(), "{model}");
        }
        let none = r#""reasoning_effort":"none""#;
        assert_eq!(written("gpt-4o", none, Quirks::OPENAI), ("{}".into(), vec![]));
        let least = (r#"{"reasoning_effort":"minimal"}"#.to_owned(), vec!["reasoning_effort".to_owned()]);
        assert_eq!(written("gpt-5-mini", none, Quirks::OPENAI), least);
        let budget = r#""thinking":{"type":"enabled","budget_tokens":5000}"#;
        assert_eq!(written("gpt-5", budget, Quirks::OPENAI).0, r#"{"reasoning_effort":"medium"}"#);
    }

    #[test]
    fn numbers_keep_their_spelling_and_what_is_not_taken_is_named() {
        let fields = r#""temperature":0.70,"seed":12345678901234567890123,"presence_penalty":1e-1,"frequency_penalty":-0.5,"top_k":4,"metadata":{"a": "b"},"service_tier":"flex""#;
        let (out, dropped) = written("gpt-5", fields, Quirks::OPENAI);
        assert!(out.starts_with(r#"{"seed":12345678901234567890123,"metadata""#), "{out}");
        assert_eq!(dropped, ["temperature", "top_k", "presence_penalty", "frequency_penalty"]);
        assert_eq!(written("o3", r#""temperature":1.0"#, Quirks::OPENAI).0, r#"{"temperature":1.0}"#);
        let (out, dropped) = written("gpt-5.1", fields, Quirks::OPENAI);
        assert_eq!(
            out,
            r#"{"temperature":0.70,"seed":12345678901234567890123,"presence_penalty":1e-1,"frequency_penalty":-0.5,"metadata":{"a": "b"},"service_tier":"flex"}"#
        );
        assert_eq!(dropped, ["top_k"]);
        let (_, dropped) = written("m", fields, Quirks::STRICT);
        assert_eq!(dropped, ["top_k", "seed", "metadata", "service_tier"]);
    }
}
