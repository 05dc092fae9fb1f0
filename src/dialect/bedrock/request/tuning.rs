//! What tunes a model on Bedrock: `inferenceConfig`, which all know, and `additionalModelRequestFields`, whose words are the
//! model's own (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html>). Which of Claude's keys give
//! way to others is decided where Anthropic's own are.

use std::borrow::Cow;

use crate::chat::{Effort, Raw, Reasoning, Request};
use crate::dialect::anthropic::request::tuning::Plan;
use crate::dialect::bedrock::model::Family;
use crate::dialect::dropped::named_once;
use crate::dialect::json::{self, Array, Object, Span, write_string};
use crate::dialect::reasoning;

/// What was decided.
pub(super) struct Tuning {
    family: Family,
    claude: Option<Plan<'static>>,
    reasoning: Option<Told>,
    limit: Option<u64>,
    temperature: Option<String>,
    top_p: Option<String>,
    top_k: Option<String>,
}

/// How a model that is none of Anthropic's is told to think.
#[derive(Clone, Copy)]
enum Told {
    /// Nova's `reasoningConfig`; `None`: not at all.
    Nova(Option<&'static str>),
    /// OpenAI's `reasoning_effort`.
    Word(&'static str),
}

impl Tuning {
    /// Decides for `model`; `is_forced`: it must call a tool.
    pub(super) fn of(request: &Request<'_>, model: &str, is_forced: bool, dropped: &mut Vec<String>) -> Self {
        let family = Family::of(model);
        let owned = |value: Option<Raw<'_>>| value.map(|Raw(number)| number.to_owned());
        if family == Family::Claude {
            let plan = Plan::forced(request, model, is_forced, dropped);
            let [temperature, top_p, top_k] = plan.sampling(request, dropped).map(owned);
            let limit = plan.limit(request.max_tokens);
            return Self { family, claude: Some(plan), reasoning: None, limit, temperature, top_p, top_k };
        }
        let reasoning = request.reasoning.and_then(|wanted| told(family, wanted));
        let is_said = request.reasoning.is_some_and(|wanted| wanted.effort == Some(Effort::None));
        if request.reasoning.is_some() && reasoning.is_none() && !is_said {
            named_once(dropped, "reasoning_effort");
        }
        // Nova takes no limits beside its hardest thinking.
        let is_bare = matches!(reasoning, Some(Told::Nova(Some("high"))));
        let share = |value: Option<Raw<'_>>| owned(value.filter(|value| !is_bare && is_share(*value)));
        let tuning = Self {
            family,
            claude: None,
            reasoning,
            limit: request.max_tokens.filter(|_| !is_bare),
            temperature: share(request.temperature),
            top_p: share(request.top_p),
            top_k: owned(request.top_k.filter(|_| top_k_key(family).is_some())),
        };
        for (asked, is_kept, name) in [
            (request.max_tokens.is_some(), tuning.limit.is_some(), "max_tokens"),
            (request.temperature.is_some(), tuning.temperature.is_some(), "temperature"),
            (request.top_p.is_some(), tuning.top_p.is_some(), "top_p"),
            (request.top_k.is_some(), tuning.top_k.is_some(), "top_k"),
        ] {
            if asked && !is_kept {
                named_once(dropped, name);
            }
        }
        tuning
    }

    /// `outputConfig.effort`.
    pub(super) fn effort(&self) -> Option<&'static str> {
        self.claude.as_ref().and_then(|plan| plan.effort)
    }

    /// Writes `inferenceConfig`, when there is any.
    pub(super) fn write_inference(
        &self,
        body: &mut Object<'_>,
        request: &Request<'_>,
        dropped: &mut Vec<String>,
    ) {
        let stop = stop(&request.stop, dropped);
        let is_empty = self.limit.is_none() && self.temperature.is_none() && self.top_p.is_none();
        if is_empty && stop.is_empty() {
            return;
        }
        let mut config = Object::begin(body.field("inferenceConfig"));
        if let Some(limit) = self.limit {
            config.number("maxTokens", limit);
        }
        config.raw_if("temperature", self.temperature.as_deref().map(Raw));
        config.raw_if("topP", self.top_p.as_deref().map(Raw));
        if !stop.is_empty() {
            let mut array = Array::begin(config.field("stopSequences"));
            stop.iter().for_each(|text| write_string(array.item(), text));
            array.end();
        }
        config.end();
    }

    /// Writes `additionalModelRequestFields`, when there is any: what the caller says there itself comes first and wins.
    pub(super) fn write_additional(
        &self,
        body: &mut Object<'_>,
        own: Option<Raw<'_>>,
        dropped: &mut Vec<String>,
    ) {
        let mut text = Vec::new();
        let mut ours = Object::begin(&mut text);
        self.write_own(&mut ours);
        ours.end();
        let (given, ours) = (members(own), members(std::str::from_utf8(&text).ok().map(Raw)));
        if own.is_some() && given.is_none() {
            named_once(dropped, super::ADDITIONAL);
        }
        let given = given.unwrap_or_default();
        let ours = ours.unwrap_or_default();
        let kept = ours.iter().filter(|(name, _)| !given.iter().any(|(one, _)| one == name));
        let mut all = given.iter().chain(kept).peekable();
        if all.peek().is_none() {
            return;
        }
        let mut fields = Object::begin(body.field(super::ADDITIONAL));
        for (name, value) in all {
            fields.key(name).extend_from_slice(value.raw().0.as_bytes());
        }
        fields.end();
    }

    fn write_own(&self, fields: &mut Object<'_>) {
        if let Some(plan) = &self.claude {
            plan.write_thinking(fields);
        }
        match self.reasoning {
            Some(Told::Nova(effort)) => {
                let mut config = Object::begin(fields.field("reasoningConfig"));
                config.text("type", if effort.is_some() { "enabled" } else { "disabled" });
                if let Some(effort) = effort {
                    config.text("maxReasoningEffort", effort);
                }
                config.end();
            }
            Some(Told::Word(word)) => fields.text("reasoning_effort", word),
            None => {}
        }
        let Some((top_k, key)) = self.top_k.as_deref().zip(top_k_key(self.family)) else { return };
        match key.split_once('.') {
            Some((outer, key)) => {
                let mut config = Object::begin(fields.field(outer));
                config.raw(key, Raw(top_k));
                config.end();
            }
            None => fields.raw(key, Raw(top_k)),
        }
    }
}

/// The word for `top_k`, inside an object where it has a dot; `None`: the model has none.
fn top_k_key(family: Family) -> Option<&'static str> {
    match family {
        Family::Claude | Family::Mistral => Some("top_k"),
        Family::Nova(_) => Some("inferenceConfig.topK"),
        Family::Cohere => Some("k"),
        Family::GptOss | Family::Structured | Family::Other => None,
    }
}

/// <https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html>, and what OpenAI's open models take.
fn told(family: Family, wanted: Reasoning) -> Option<Told> {
    let effort = wanted.effort.or(wanted.budget_tokens.map(reasoning::effort_of));
    let word = match effort.unwrap_or(Effort::Medium) {
        Effort::None => None,
        Effort::Minimal | Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High | Effort::ExtraHigh | Effort::Max => Some("high"),
    };
    match family {
        Family::Nova(true) => Some(Told::Nova(word)),
        Family::GptOss => Some(Told::Word(word.unwrap_or("low"))),
        _ => None,
    }
}

/// Converse takes both between 0 and 1.
fn is_share(value: Raw<'_>) -> bool {
    value.0.parse::<f64>().is_ok_and(|number| (0.0..=1.0).contains(&number))
}

/// Stop texts without a visible character are refused, so those are left out.
fn stop<'r, 'a>(stop: &'r [Cow<'a, str>], dropped: &mut Vec<String>) -> Vec<&'r Cow<'a, str>> {
    let kept: Vec<_> = stop.iter().filter(|text| !text.trim().is_empty()).collect();
    if kept.len() < stop.len() {
        named_once(dropped, "stop");
    }
    kept
}

/// The members of an object; `None`: it is none, or has one twice.
fn members(object: Option<Raw<'_>>) -> Option<Vec<(Cow<'_, str>, Span<'_>)>> {
    json::fields(object?.0.as_bytes()).ok()
}
