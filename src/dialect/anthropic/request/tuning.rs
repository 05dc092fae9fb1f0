//! The keys of a messages request that tune the model: limit, thinking, sampling, tier. Anthropic refuses many of them beside
//! each other; which of two gives way is decided here, once per request, and what gives way is named.

use super::super::claude::{Claude, Off, Thinking};
use super::answer_tool::Form;
use crate::chat::{Effort, Message, Part, Raw, Reasoning, Request, Role, ServiceTier, ToolChoice};
use crate::dialect::dropped::named_once;
use crate::dialect::json::Object;
use crate::dialect::reasoning;

/// Fewest tokens that a model may be told to think.
const BUDGET_TOKENS_MIN: u64 = 1024;

/// What is sent when the caller sets no limit and the model is none of Anthropic's; Anthropic requires one.
const MAX_TOKENS_DEFAULT: u64 = 4096;

/// The `top_p` that may stand beside thinking.
const TOP_P_MIN: f64 = 0.95;

/// How the model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    /// By a type that says all.
    Off(&'static str),
    Budget(u64),
    Adaptive,
}

/// What was decided.
pub(in crate::dialect) struct Plan<'r> {
    claude: Claude,
    max_tokens: u64,
    told: Told,
    is_shown: Option<bool>,
    /// `output_config.effort`.
    pub(in crate::dialect) effort: Option<&'static str>,
    /// How the answer's format is asked for.
    pub(super) form: Form<'r>,
}

impl<'r> Plan<'r> {
    /// Decides for `model`.
    pub(super) fn of(request: &'r Request<'_>, model: &str, dropped: &mut Vec<String>) -> Self {
        let form = Form::of(request, Claude::of(model));
        let is_forced = form.tool().is_some() || is_forced(request.tool_choice.as_ref());
        Self { form, ..Self::forced(request, model, is_forced, dropped) }
    }

    /// The same of a request that forces a tool, or does not, whatever its own words are; the answer's format is not looked at.
    pub(in crate::dialect) fn forced(
        request: &Request<'_>,
        model: &str,
        is_forced: bool,
        dropped: &mut Vec<String>,
    ) -> Self {
        let claude = Claude::of(model);
        let max_tokens = request.max_tokens.unwrap_or_else(|| default_tokens(claude));
        let is_shown = request.reasoning.and_then(|wanted| wanted.is_shown);
        let form = Form::Native;
        let mut plan = Self { claude, max_tokens, told: Told::Nothing, is_shown, effort: None, form };
        if let Some(wanted) = request.reasoning {
            let is_told = plan.think(request, wanted, is_forced);
            if !is_told {
                dropped
                    .push(if wanted.effort.is_some() { "reasoning_effort" } else { "thinking" }.to_owned());
            }
        }
        plan
    }

    /// `false`: it can't be told, or not quite.
    fn think(&mut self, request: &Request<'_>, wanted: Reasoning, is_forced: bool) -> bool {
        let off = Some(Effort::None).filter(|_| wanted.budget_tokens == Some(0));
        let effort = wanted.effort.or(off);
        if effort == Some(Effort::None) {
            return self.think_not();
        }
        match self.claude.thinking() {
            Thinking::Never => false,
            Thinking::Budget => self.think_by_budget(request, wanted, is_forced),
            Thinking::Either if effort.is_none() && wanted.budget_tokens.is_some() => {
                self.think_by_budget(request, wanted, is_forced)
            }
            Thinking::Either | Thinking::Adaptive => {
                self.told = Told::Adaptive;
                let effort = effort.or(wanted.budget_tokens.map(reasoning::effort_of));
                self.effort = effort.map(|effort| self.word(effort));
                true
            }
        }
    }

    fn think_not(&mut self) -> bool {
        match self.claude.off() {
            Off::Unsaid => {}
            Off::Disabled => self.told = Told::Off("disabled"),
            Off::BetweenTools => self.told = Told::Off("between_tools"),
            Off::Never => self.effort = Some("low"),
        }
        self.claude.off() != Off::Never
    }

    /// A budget must leave the answer room, and stands neither beside a forced tool nor in the middle of a round of calls
    /// that was begun without thoughts, or whose thoughts the caller does not hand back
    /// (<https://platform.claude.com/docs/en/build-with-claude/extended-thinking>).
    fn think_by_budget(&mut self, request: &Request<'_>, wanted: Reasoning, is_forced: bool) -> bool {
        if is_forced || !may_begin_thinking(&request.messages) {
            return false;
        }
        let asked = wanted.budget_tokens.map(|tokens| tokens.max(BUDGET_TOKENS_MIN));
        if request.max_tokens.is_none() {
            self.max_tokens = self.max_tokens.max(asked.unwrap_or(0).saturating_add(MAX_TOKENS_DEFAULT));
        }
        if self.max_tokens <= BUDGET_TOKENS_MIN {
            return false;
        }
        let budget = asked.filter(|tokens| *tokens < self.max_tokens);
        let share = if asked.is_some() { Effort::High } else { wanted.effort.unwrap_or(Effort::Medium) };
        self.told = Told::Budget(budget.unwrap_or_else(|| share_of(self.max_tokens, share)));
        true
    }

    /// Anthropic's word for an effort (<https://platform.claude.com/docs/en/build-with-claude/effort>).
    fn word(&self, effort: Effort) -> &'static str {
        match effort {
            Effort::None | Effort::Minimal => "low",
            Effort::ExtraHigh if self.claude.thinking() == Thinking::Either => "high",
            _ => reasoning::word(effort),
        }
    }

    /// Whether the model thinks because we say so.
    fn is_thinking(&self) -> bool {
        matches!(self.told, Told::Budget(_) | Told::Adaptive)
    }

    /// Whether `choice` may be told.
    pub(in crate::dialect) fn takes(&self, choice: Option<&ToolChoice<'_>>) -> bool {
        self.claude.takes_forced_tools() || !is_forced(choice)
    }

    /// Whether a tool may be `strict`.
    pub(in crate::dialect) fn takes_strict_tools(&self) -> bool {
        self.claude.takes_strict_tools()
    }

    /// The limit that must be told; `None`: the model's own default does.
    pub(in crate::dialect) fn limit(&self, asked: Option<u64>) -> Option<u64> {
        asked.map(|_| self.max_tokens).or(matches!(self.told, Told::Budget(_)).then_some(self.max_tokens))
    }

    /// Writes the limit, which stands among the first keys.
    pub(in crate::dialect) fn write_limit(&self, body: &mut Object<'_>) {
        body.number("max_tokens", self.max_tokens);
    }

    /// Writes the rest, and names what can't be told.
    pub(in crate::dialect) fn write(
        &self,
        body: &mut Object<'_>,
        request: &Request<'_>,
        dropped: &mut Vec<String>,
    ) {
        self.write_thinking(body);
        self.write_sampling(body, request, dropped);
        match request.service_tier {
            Some(ServiceTier::Auto) => body.text("service_tier", "auto"),
            Some(ServiceTier::Standard) => body.text("service_tier", "standard_only"),
            Some(ServiceTier::Flex | ServiceTier::Priority) => named_once(dropped, "service_tier"),
            None => {}
        }
        for (value, name) in [
            (request.seed, "seed"),
            (request.presence_penalty, "presence_penalty"),
            (request.frequency_penalty, "frequency_penalty"),
            (request.metadata, "metadata"),
        ] {
            if value.is_some() {
                named_once(dropped, name);
            }
        }
    }

    /// Writes `thinking`, where there is anything to be said.
    pub(in crate::dialect) fn write_thinking(&self, body: &mut Object<'_>) {
        let kind = match self.told {
            Told::Nothing => return,
            Told::Off(kind) => kind,
            Told::Budget(_) => "enabled",
            Told::Adaptive => "adaptive",
        };
        let mut thinking = Object::begin(body.field("thinking"));
        thinking.text("type", kind);
        if let Told::Budget(tokens) = self.told {
            thinking.number("budget_tokens", tokens);
        }
        if let Some(is_shown) = self.is_shown.filter(|_| self.is_thinking()) {
            thinking.text("display", if is_shown { "summarized" } else { "omitted" });
        }
        thinking.end();
    }

    fn write_sampling(&self, body: &mut Object<'_>, request: &Request<'_>, dropped: &mut Vec<String>) {
        let names = ["temperature", "top_p", "top_k"];
        for (name, kept) in names.into_iter().zip(self.sampling(request, dropped)) {
            body.raw_if(name, kept);
        }
    }

    /// What may be told of `temperature`, `top_p` and `top_k`; the rest is named.
    pub(in crate::dialect) fn sampling<'a>(
        &self,
        request: &Request<'a>,
        dropped: &mut Vec<String>,
    ) -> [Option<Raw<'a>>; 3] {
        let is_free = self.claude.takes_sampling() && !self.is_thinking();
        let temperature =
            request.temperature.filter(|value| is_default(*value) || is_free && number(*value) <= 1.0);
        let is_alone = self.claude.takes_both_samplings() || temperature.is_none();
        let top_p = request.top_p.filter(|value| {
            let may_stand = self.claude.takes_sampling() && (is_free || number(*value) >= TOP_P_MIN);
            is_alone && (is_default(*value) || may_stand)
        });
        let top_k = request.top_k.filter(|_| is_free);
        for (name, asked, kept) in [
            ("temperature", request.temperature, temperature),
            ("top_p", request.top_p, top_p),
            ("top_k", request.top_k, top_k),
        ] {
            if kept.is_none() && asked.is_some_and(|asked| name == "top_k" || !is_default(asked)) {
                named_once(dropped, name);
            }
        }
        [temperature, top_p, top_k]
    }
}

/// The most that every model of a generation gives, where the caller sets no limit: whoever speaks another dialect expects
/// no answer to be cut.
fn default_tokens(claude: Claude) -> u64 {
    match claude.generation() {
        None | Some((0..3, _) | (3, 0..5)) => MAX_TOKENS_DEFAULT,
        Some((3, 5..7)) => 8192,
        Some((3, _) | (4, 0..6)) => 32_000,
        Some(_) => 64_000,
    }
}

/// Bifrost's share of a limit for each effort.
fn share_of(max_tokens: u64, effort: Effort) -> u64 {
    let per_mille = match effort {
        Effort::None | Effort::Minimal => 25,
        Effort::Low => 150,
        Effort::Medium => 425,
        Effort::High | Effort::ExtraHigh | Effort::Max => 800,
    };
    let above = max_tokens.saturating_sub(BUDGET_TOKENS_MIN);
    let share = u128::from(above) * per_mille / 1000;
    BUDGET_TOKENS_MIN.saturating_add(u64::try_from(share).unwrap_or(above))
}

/// Whether a choice demands a call.
pub(in crate::dialect) fn is_forced(choice: Option<&ToolChoice<'_>>) -> bool {
    use ToolChoice::{Allowed, Named, Required};
    matches!(choice, Some(Required | Named(_) | Allowed { required: true, .. }))
}

/// Whether the round that the conversation is in begins with a signed thought, or is yet to begin.
fn may_begin_thinking(messages: &[Message<'_>]) -> bool {
    let round = messages.rsplit(|message| message.role == Role::User).next().unwrap_or_default();
    let first = round.iter().find(|message| message.role == Role::Assistant);
    first.is_none_or(|message| message.parts.iter().any(is_signed))
}

fn is_signed(part: &Part<'_>) -> bool {
    matches!(part, Part::Reasoning { signature: Some(_), .. } | Part::ReasoningEncrypted { .. })
}

fn number(value: Raw<'_>) -> f64 {
    value.0.parse().unwrap_or(f64::NAN)
}

/// Anthropic's default of both: models that take no other still take it.
fn is_default(value: Raw<'_>) -> bool {
    number(value) == 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::request::decode;

    fn planned(model: &str, messages: &str, fields: &str) -> (String, Vec<String>) {
        let input = format!(r#"{{"messages":[{messages}],{fields}}}"#);
        let request = decode(input.as_bytes()).unwrap();
        let (mut out, mut dropped) = (Vec::new(), Vec::new());
        let plan = Plan::of(&request, model, &mut dropped);
        let mut body = Object::begin(&mut out);
        plan.write_limit(&mut body);
        plan.write(&mut body, &request, &mut dropped);
        body.end();
        (String::from_utf8(out).unwrap() + plan.effort.unwrap_or_default(), dropped)
    }

    const USER: &str = r#"{"role":"user","content":"hi"}"#;

    #[test]
    fn each_generation_is_told_to_think_in_its_words() {
        let low = r#""reasoning_effort":"low","max_tokens":5024"#;
        let budget = r#""thinking":{"type":"enabled","budget_tokens":2000},"max_tokens":4000"#;
        let none = r#""reasoning_effort":"none","max_tokens":9"#;
        let enabled = |limit: u64, tokens: u64| {
            format!(r#"{{"max_tokens":{limit},"thinking":{{"type":"enabled","budget_tokens":{tokens}}}}}"#)
        };
        let adaptive = |limit: u64, word: &str| {
            format!(r#"{{"max_tokens":{limit},"thinking":{{"type":"adaptive"}}}}{word}"#)
        };
        for (model, fields, expected) in [
            ("claude-sonnet-4-5", low, enabled(5024, 1624)),
            ("claude-sonnet-4-5", budget, enabled(4000, 2000)),
            ("claude-opus-4-6", low, adaptive(5024, "low")),
            ("claude-opus-4-6", budget, enabled(4000, 2000)),
            ("claude-opus-4-6", r#""reasoning_effort":"xhigh","max_tokens":9"#, adaptive(9, "high")),
            ("claude-opus-5", r#""reasoning_effort":"xhigh","max_tokens":9"#, adaptive(9, "xhigh")),
            ("claude-opus-5-5", budget, adaptive(4000, "medium")),
            ("claude-sonnet-4-5", none, r#"{"max_tokens":9}"#.to_owned()),
            ("claude-opus-5", none, r#"{"max_tokens":9,"thinking":{"type":"disabled"}}"#.to_owned()),
            ("claude-sonnet-5-5", none, r#"{"max_tokens":9,"thinking":{"type":"between_tools"}}"#.to_owned()),
        ] {
            let (out, dropped) = planned(model, USER, fields);
            assert_eq!((out, dropped), (expected, Vec::new()), "{model} {fields}");
        }
        for (model, fields, expected, name) in [
            ("claude-3-5-haiku-latest", low, r#"{"max_tokens":5024}"#, "reasoning_effort"),
            ("claude-opus-5-5", none, r#"{"max_tokens":9}low"#, "reasoning_effort"),
            (
                "claude-sonnet-4-5",
                r#""reasoning_effort":"low","max_tokens":9"#,
                r#"{"max_tokens":9}"#,
                "reasoning_effort",
            ),
        ] {
            assert_eq!(planned(model, USER, fields), (expected.to_owned(), vec![name.to_owned()]), "{model}");
        }
    }

    #[test]
    fn a_budget_and_the_limit_agree() {
        let tokens = |fields: &str| planned("claude-sonnet-4-5", USER, fields).0;
        let thinking = |tokens: u64| format!(r#""thinking":{{"type":"enabled","budget_tokens":{tokens}}}"#);
        assert!(tokens(&thinking(50_000)).contains(r#""max_tokens":54096"#));
        assert!(tokens(&thinking(9)).contains(r#""budget_tokens":1024"#));
        assert!(
            tokens(&format!(r#"{},"max_tokens":2024"#, thinking(50_000))).contains(r#""budget_tokens":1824"#)
        );
        assert!(tokens(&thinking(u64::MAX)).contains(r#""max_tokens":18446744073709551615"#));
    }

    #[test]
    fn a_round_that_was_begun_without_thoughts_goes_on_without() {
        let call = r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
        let result = r#"{"role":"tool","tool_call_id":"c","content":"x"}"#;
        let signed = r#","reasoning_details":[{"type":"reasoning.text","text":"t","signature":"s"}]}"#;
        let effort = r#""reasoning_effort":"low""#;
        for (model, messages, is_told) in [
            ("claude-sonnet-4-5", format!("{USER},{call}}},{result}"), false),
            ("claude-sonnet-4-5", format!("{USER},{call}{signed},{result}"), true),
            ("claude-sonnet-4-5", format!("{USER},{call}{signed},{result},{call}}},{result}"), true),
            ("claude-sonnet-4-5", format!("{USER},{call}}},{result},{USER}"), true),
            ("claude-sonnet-4-5", format!(r#"{USER},{{"role":"assistant","content":"So"}}"#), false),
            // A model that thinks as it likes takes a round as it is.
            ("claude-opus-4-6", format!("{USER},{call}}},{result}"), true),
        ] {
            let (out, dropped) = planned(model, &messages, effort);
            assert_eq!((out.contains("thinking"), dropped.is_empty()), (is_told, is_told), "{messages}");
        }
        let forced =
            r#""reasoning_effort":"low","tools":[{"function":{"name":"f"}}],"tool_choice":"required""#;
        assert_eq!(planned("claude-sonnet-4-5", USER, forced).1, ["reasoning_effort"]);
    }

    #[test]
    fn sampling_stands_where_it_may() {
        let all = r#""temperature":0.7,"top_p":0.97,"top_k":5,"max_tokens":9000"#;
        let thinking = format!(r#"{all},"reasoning_effort":"low""#);
        for (model, fields, kept, left) in [
            ("claude-3-5-haiku-latest", all, r#""temperature":0.7,"top_p":0.97,"top_k":5}"#, &[][..]),
            ("claude-sonnet-4-5", all, r#""temperature":0.7,"top_k":5}"#, &["top_p"]),
            ("claude-sonnet-4-5", &thinking, r#""top_p":0.97}"#, &["temperature", "top_k"]),
            ("claude-opus-5", all, r#"{"max_tokens":9000}"#, &["temperature", "top_p", "top_k"]),
            ("claude-opus-5", r#""temperature":1.0,"max_tokens":9"#, r#""temperature":1.0}"#, &[]),
            (
                "claude-sonnet-4-5",
                r#""temperature":1.3,"max_tokens":9"#,
                r#"{"max_tokens":9}"#,
                &["temperature"],
            ),
        ] {
            let (out, dropped) = planned(model, USER, fields);
            assert!(out.ends_with(kept), "{model}: {out}");
            assert_eq!(dropped, left, "{model}");
        }
    }

    #[test]
    fn tiers_are_anthropics_and_the_rest_is_named() {
        let tier = |word: &str| planned("m", USER, &format!(r#""max_tokens":9,"service_tier":"{word}""#));
        assert_eq!(tier("auto").0, r#"{"max_tokens":9,"service_tier":"auto"}"#);
        assert_eq!(tier("default").0, r#"{"max_tokens":9,"service_tier":"standard_only"}"#);
        assert_eq!(tier("priority"), (r#"{"max_tokens":9}"#.to_owned(), vec!["service_tier".to_owned()]));
        let rest = r#""seed":1,"presence_penalty":0.5,"frequency_penalty":0.5,"metadata":{"a":"b"}"#;
        assert_eq!(planned("m", USER, rest).1, ["seed", "presence_penalty", "frequency_penalty", "metadata"]);
    }
}
