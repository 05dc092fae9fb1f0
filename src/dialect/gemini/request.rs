//! A neutral request to the bytes of a generateContent request. The turns are `message`'s. What Gemini has no word for is
//! left out and named; what would change the answer's shape is refused.

use std::borrow::Cow;

use super::message;
use crate::chat::{Effort, Format, Raw, Reasoning, Request, ServiceTier, Tool, ToolChoice};
use crate::dialect::dropped::owned;
use crate::dialect::encode::{filled_schema, name_left, offered_tools, refuse_other_shapes};
use crate::dialect::json::{Array, Object, write_string};
use crate::dialect::reasoning;
use crate::error::Error;

/// Top-level keys that a caller of another dialect may add, with their places in Gemini's request: keys of other
/// dialects that mean the same, and keys of Gemini's own. What else is in [`Request::extra`] is dropped.
const KEYS: [(&str, Place, &str); 8] = [
    ("topK", Place::Config, TOP_K),
    ("media_resolution", Place::Config, "mediaResolution"),
    ("mediaResolution", Place::Config, "mediaResolution"),
    ("thinking_config", Place::Config, THINKING),
    (THINKING, Place::Config, THINKING),
    ("safety_settings", Place::Body, "safetySettings"),
    ("safetySettings", Place::Body, "safetySettings"),
    ("cachedContent", Place::Body, "cachedContent"),
];

/// Why other shapes of an answer are refused.
const OTHER_SHAPES: [&str; 3] = [
    "one answer of Gemini's is translated per request; leave `n` out or send several requests",
    "Gemini's token probabilities are not translated; leave `logprobs` out",
    "Gemini's spoken output is not translated; ask for `[\"text\"]`",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Config,
}

const THINKING: &str = "thinkingConfig";
const TOP_K: &str = "topK";

/// Encodes a request for `model`; also gives what was left out. Model and streaming stand in the path, so the last is
/// not looked at; the first tells how the model is told to think.
pub(in crate::dialect) fn encode(
    request: &Request<'_>,
    model: &str,
    _stream: bool,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    refuse_other_shapes(request, OTHER_SHAPES)?;
    let tools = sent_tools(request)?;
    let mut dropped = owned(&request.dropped);
    message::name_left_out(&request.messages, &mut dropped);
    let generation = Generation::of(model);
    let config = typed_config(request, generation, &mut dropped);
    let extra = sort_extra(request, config, &mut dropped);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    message::write_system(&mut body, request)?;
    message::write_contents(&mut body, request, needs_signatures(model))?;
    write_tools(&mut body, request, &tools, &mut dropped);
    write_config(&mut body, request, &extra);
    for (_, name, value) in extra.iter().filter(|(place, ..)| *place == Place::Body) {
        body.raw(name, Raw(value));
    }
    body.end();
    name_wordless(request, &mut dropped);
    Ok((out, dropped))
}

/// The tools to send: an allow list that leaves the model free to call none is expressed by sending no others.
fn sent_tools<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<&'r Tool<'a>>, Error> {
    let offered = offered_tools(request)?;
    match request.tool_choice {
        Some(ToolChoice::Allowed { required: true, .. }) => Ok(request.tools.iter().collect()),
        _ => Ok(offered),
    }
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, tools: &[&Tool<'_>], dropped: &mut Vec<String>) {
    if tools.is_empty() {
        // A choice among nothing.
        if request.tool_choice.is_some() {
            dropped.push("tool_choice".to_owned());
        }
        return;
    }
    let mut array = Array::begin(body.field("tools"));
    let mut tool = Object::begin(array.item());
    let mut declarations = Array::begin(tool.field("functionDeclarations"));
    for tool in tools {
        write_tool(declarations.item(), tool);
    }
    declarations.end();
    tool.end();
    array.end();
    if let Some(choice) = &request.tool_choice {
        write_tool_choice(body, choice);
    }
}

/// `parametersJsonSchema` takes JSON schema as it is, `parameters` only a part of it.
fn write_tool(out: &mut Vec<u8>, tool: &Tool<'_>) {
    let mut object = Object::begin(out);
    object.text("name", &tool.name);
    if let Some(description) = &tool.description {
        object.text("description", description);
    }
    object.raw_if("parametersJsonSchema", filled_schema(tool).map(Raw));
    object.end();
}

fn write_tool_choice(body: &mut Object<'_>, choice: &ToolChoice<'_>) {
    let (mode, names) = match choice {
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => ("AUTO", &[][..]),
        ToolChoice::None => ("NONE", &[][..]),
        ToolChoice::Required => ("ANY", &[][..]),
        ToolChoice::Named(name) => ("ANY", std::slice::from_ref(name)),
        ToolChoice::Allowed { required: true, names } => ("ANY", &**names),
    };
    let mut config = Object::begin(body.field("toolConfig"));
    let mut calling = Object::begin(config.field("functionCallingConfig"));
    calling.text("mode", mode);
    if !names.is_empty() {
        let mut array = Array::begin(calling.field("allowedFunctionNames"));
        names.iter().for_each(|name| write_string(array.item(), name));
        array.end();
    }
    calling.end();
    config.end();
}

type Extra<'a> = (Place, &'static str, Cow<'a, str>);

/// Writes `generationConfig`, when there is anything to say.
fn write_config(body: &mut Object<'_>, request: &Request<'_>, extra: &[Extra<'_>]) {
    let mut out = Vec::new();
    let mut config = Object::begin(&mut out);
    config.raw_if("temperature", request.temperature);
    config.raw_if("topP", request.top_p);
    if let Some(tokens) = request.max_tokens {
        config.number("maxOutputTokens", tokens);
    }
    if !request.stop.is_empty() {
        let mut array = Array::begin(config.field("stopSequences"));
        request.stop.iter().for_each(|text| write_string(array.item(), text));
        array.end();
    }
    if request.format != Format::Text {
        config.text("responseMimeType", "application/json");
    }
    if let Format::JsonSchema { schema, .. } = &request.format {
        config.raw("responseJsonSchema", Raw(schema));
    }
    for (_, name, value) in extra.iter().filter(|(place, ..)| *place == Place::Config) {
        config.raw(name, Raw(value));
    }
    config.end();
    if out != b"{}" {
        body.field("generationConfig").extend_from_slice(&out);
    }
}

const DESCRIPTION: &str = "response_format.json_schema.description";

/// What of a request's own fields Gemini has no word for.
fn name_wordless(request: &Request<'_>, dropped: &mut Vec<String>) {
    let left = [
        (request.user.is_some(), "user"),
        (request.metadata.is_some(), "metadata"),
        (request.service_tier.is_some_and(|tier| tier != ServiceTier::Auto), "service_tier"),
        (request.parallel_tool_calls == Some(false), "parallel_tool_calls"),
        (request.tools.iter().any(|tool| tool.cache.is_some()), "tools.cache_control"),
        (request.tools.iter().any(|tool| tool.strict == Some(true)), "tools.function.strict"),
        (matches!(request.format, Format::JsonSchema { description: Some(_), .. }), DESCRIPTION),
    ];
    name_left(dropped, left);
}

/// The keys of `generationConfig` that are typed in the neutral model and cross as they stand, or by Gemini's own measure.
fn typed_config<'r>(
    request: &'r Request<'_>,
    generation: Generation,
    dropped: &mut Vec<String>,
) -> Vec<Extra<'r>> {
    let mut config: Vec<Extra<'r>> = [
        ("seed", request.seed),
        ("presencePenalty", request.presence_penalty),
        ("frequencyPenalty", request.frequency_penalty),
        (TOP_K, request.top_k),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((Place::Config, name, Cow::Borrowed(value?.0))))
    .collect();
    if let Some(wanted) = request.reasoning {
        match thinking(wanted, generation) {
            Some(thinking) => config.push((Place::Config, THINKING, Cow::Owned(thinking))),
            None => {
                dropped
                    .push(if wanted.effort.is_some() { "reasoning_effort" } else { "thinking" }.to_owned());
            }
        }
    }
    config
}

/// Adds the extra keys that cross, each of Gemini's names once; the others are named.
fn sort_extra<'r>(
    request: &'r Request<'_>,
    mut sorted: Vec<Extra<'r>>,
    dropped: &mut Vec<String>,
) -> Vec<Extra<'r>> {
    for (name, value) in &request.extra {
        match own_key(name) {
            Some((place, own)) if sorted.iter().all(|(_, one, _)| *one != own) => {
                sorted.push((place, own, Cow::Borrowed(value.0)));
            }
            _ => dropped.push(name.clone().into_owned()),
        }
    }
    sorted
}

/// Whether a key is one of Gemini's own that has no neutral word.
pub(in crate::dialect) fn is_own(name: &str) -> bool {
    own_key(name).is_some()
}

fn own_key(name: &str) -> Option<(Place, &'static str)> {
    KEYS.iter().find(|(theirs, ..)| *theirs == name).map(|(_, place, own)| (*place, *own))
}

/// How a model is told to think (<https://ai.google.dev/gemini-api/docs/thinking>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// Not at all: before 2.5, and what is no Gemini.
    Silent,
    /// By tokens: 2.5.
    Budgets(Budgets),
    /// By levels, and a call must come back with its signature: 3 and later, and names without a version.
    Levels {
        /// 3 Pro takes only the lowest and the highest.
        has_medium: bool,
    },
}

/// The budgets that a model takes, tokens (<https://ai.google.dev/gemini-api/docs/thinking#set-budget>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budgets {
    /// The least that is not none.
    tokens_min: u64,
    tokens_max: u64,
    /// It can't be told not to think.
    is_always_on: bool,
}

impl Budgets {
    const PRO: Self = Self { tokens_min: 128, tokens_max: 32_768, is_always_on: true };
    const FLASH: Self = Self { tokens_min: 1, tokens_max: 24_576, is_always_on: false };
    const FLASH_LITE: Self = Self { tokens_min: 512, ..Self::FLASH };

    /// By what stands behind the version in a model's name.
    fn of(rest: &str) -> Self {
        match rest {
            _ if rest.starts_with("-pro") => Self::PRO,
            _ if rest.starts_with("-flash-lite") => Self::FLASH_LITE,
            _ => Self::FLASH,
        }
    }
}

/// Whether the first call of a turn must have a signature: since Gemini 3
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
pub(in crate::dialect) fn needs_signatures(model: &str) -> bool {
    matches!(Generation::of(model), Generation::Levels { .. })
}

impl Generation {
    fn of(model: &str) -> Self {
        let Some((_, rest)) = model.split_once("gemini-") else { return Self::Silent };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (major, rest) = rest.split_at(digits(rest));
        let Ok(major) = major.parse::<u32>() else { return Self::Levels { has_medium: true } };
        let (minor, rest) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        match (major, minor.parse().unwrap_or(0_u32)) {
            (3, 0) => Self::Levels { has_medium: !rest.starts_with("-pro") },
            (3.., _) => Self::Levels { has_medium: true },
            (2, 5..) => Self::Budgets(Budgets::of(rest)),
            _ => Self::Silent,
        }
    }
}

/// Efforts in Google's own mapping of OpenAI's words (<https://ai.google.dev/gemini-api/docs/openai#thinking>); the thoughts
/// are asked for, too, unless the caller does not want them. A budget wins over an effort, it says more. `None`: it can't be
/// told to this model.
fn thinking(wanted: Reasoning, generation: Generation) -> Option<String> {
    let is_shown = wanted.is_shown != Some(false);
    let is_off = wanted.effort == Some(Effort::None) || wanted.budget_tokens == Some(0);
    match (generation, wanted.budget_tokens, wanted.effort) {
        (Generation::Silent, ..) => None,
        // None of these can be told not to think.
        (Generation::Levels { .. } | Generation::Budgets(Budgets { is_always_on: true, .. }), ..)
            if is_off =>
        {
            None
        }
        (Generation::Budgets(_), ..) if is_off => Some(budget(0, false)),
        (Generation::Budgets(taken), Some(tokens), _) => {
            Some(budget(tokens.clamp(taken.tokens_min, taken.tokens_max), is_shown))
        }
        (Generation::Levels { .. }, Some(tokens), _) => Some(budget(tokens, is_shown)),
        (Generation::Budgets(_), None, Some(effort)) => {
            Some(budget(reasoning::tokens(effort).min(EFFORT_TOKENS_MAX), is_shown))
        }
        (Generation::Levels { has_medium }, None, Some(effort)) => Some(level(effort, has_medium, is_shown)),
        (_, None, None) => Some(format!(r#"{{"includeThoughts":{is_shown}}}"#)),
    }
}

/// Most tokens that an effort stands for: Google's own, which every model with budgets takes.
const EFFORT_TOKENS_MAX: u64 = 24_576;

fn budget(tokens: u64, include_thoughts: bool) -> String {
    let thoughts = if include_thoughts { r#","includeThoughts":true"# } else { "" };
    format!(r#"{{"thinkingBudget":{tokens}{thoughts}}}"#)
}

/// `MINIMAL` is not taken by every model of these.
fn level(effort: Effort, has_medium: bool, include_thoughts: bool) -> String {
    let word = match effort {
        Effort::None | Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium if has_medium => "MEDIUM",
        Effort::Medium | Effort::High | Effort::ExtraHigh | Effort::Max => "HIGH",
    };
    let thoughts = if include_thoughts { r#","includeThoughts":true"# } else { "" };
    format!(r#"{{"thinkingLevel":"{word}"{thoughts}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::json;
    use crate::dialect::openai::request::decode;
    use crate::error::Kind;

    fn encoded_for(model: &str, fields: &str) -> Result<(String, Vec<String>), Error> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
        let (out, dropped) = encode(&decode(body.as_bytes())?, model, false)?;
        assert!(json::is_object(std::str::from_utf8(&out).unwrap()));
        Ok((String::from_utf8(out).unwrap(), dropped))
    }

    fn encoded(fields: &str) -> Result<(String, Vec<String>), Error> {
        encoded_for("gemini-2.5-flash", fields)
    }

    fn after_contents(fields: &str) -> String {
        let (out, _) = encoded(fields).unwrap();
        out.split_once(r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#).unwrap().1.to_owned()
    }

    #[test]
    fn other_shapes_are_refused_by_name() {
        for (fields, param) in [
            (r#""n":2"#, "n"),
            (r#""logprobs":true"#, "logprobs"),
            (r#""modalities":["audio"]"#, "modalities"),
        ] {
            let error = encoded(fields).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::UnsupportedParameter, Some(param)));
        }
        let none = r#""n":1,"logprobs":false,"modalities":["text"],"response_format":{"type":"text"}"#;
        assert_eq!(encoded(none).unwrap().1, Vec::<String>::new());
        assert_eq!(after_contents(none), "}");
    }

    #[test]
    fn numbers_stops_and_formats_keep_their_spelling() {
        assert_eq!(
            after_contents(
                r#""temperature":0.70,"top_p":1e-1,"max_tokens":7,"stop":["a","\n"],"seed":12345678901234567890123,"presence_penalty":0.5,"frequency_penalty":-0.5,"top_k":40"#
            ),
            r#","generationConfig":{"temperature":0.70,"topP":1e-1,"maxOutputTokens":7,"stopSequences":["a","\n"],"seed":12345678901234567890123,"presencePenalty":0.5,"frequencyPenalty":-0.5,"topK":40}}"#
        );
        assert_eq!(
            after_contents(r#""response_format":{"type":"json_object"}"#),
            r#","generationConfig":{"responseMimeType":"application/json"}}"#
        );
        assert_eq!(
            after_contents(
                r#""response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"z": 1,"a":[ ]}}}"#
            ),
            r#","generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"z": 1,"a":[ ]}}}"#
        );
    }

    const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"a","description":"d","parameters":{"type": "object"}}},{"type":"function","function":{"name":"b","parameters":{ }}}]"#;

    #[test]
    fn each_tool_choice_has_its_word() {
        const BOTH: &str = r#","tools":[{"functionDeclarations":[{"name":"a","description":"d","parametersJsonSchema":{"type": "object"}},{"name":"b"}]}]"#;
        let allowed = |mode: &str| {
            format!(
                r#"{{"type":"allowed_tools","allowed_tools":{{"mode":"{mode}","tools":[{{"type":"function","function":{{"name":"b"}}}}]}}}}"#
            )
        };
        for (choice, expected) in [
            (r#""auto""#.to_owned(), r#"{"mode":"AUTO"}"#),
            (r#""none""#.to_owned(), r#"{"mode":"NONE"}"#),
            (r#""required""#.to_owned(), r#"{"mode":"ANY"}"#),
            (
                r#"{"type":"function","function":{"name":"b"}}"#.to_owned(),
                r#"{"mode":"ANY","allowedFunctionNames":["b"]}"#,
            ),
            (allowed("required"), r#"{"mode":"ANY","allowedFunctionNames":["b"]}"#),
        ] {
            let out = after_contents(&format!(r#"{TOOLS},"tool_choice":{choice}"#));
            let config = format!(r#"{BOTH},"toolConfig":{{"functionCallingConfig":{expected}}}}}"#);
            assert_eq!(out, config, "{choice}");
        }
        assert_eq!(after_contents(TOOLS), format!("{BOTH}}}"));
        assert_eq!(
            after_contents(&format!(r#"{TOOLS},"tool_choice":{}"#, allowed("auto"))),
            r#","tools":[{"functionDeclarations":[{"name":"b"}]}],"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}}}"#
        );
        let none = format!(r#"{TOOLS},"tool_choice":{}"#, allowed("auto").replace(r#""b""#, r#""c""#));
        assert_eq!(encoded(&none).unwrap_err().param.as_deref(), Some("tool_choice"));
    }

    #[test]
    fn what_has_no_word_is_named() {
        let (out, dropped) = encoded(
            r#""user":"u","parallel_tool_calls":false,"tool_choice":"auto","logit_bias":{},"safety_settings":[],"safetySettings":[1],"service_tier":"flex""#,
        )
        .unwrap();
        assert!(out.ends_with(r#","safetySettings":[]}"#), "{out}");
        assert_eq!(
            dropped,
            ["logit_bias", "safetySettings", "tool_choice", "user", "service_tier", "parallel_tool_calls"]
        );
        let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}},{"type":"file","file":{"filename":"f","file_data":"data:application/pdf;base64,QQ=="}}]},{"role":"assistant","content":"y","reasoning_details":[{"type":"reasoning.encrypted","data":"{}"}]}],"tools":[{"type":"function","function":{"name":"a"},"cache_control":{}}]}"#;
        let (_, dropped) = encode(&decode(body.as_bytes()).unwrap(), "m", true).unwrap();
        assert_eq!(
            dropped,
            [
                "messages.content.cache_control",
                "messages.content.file.filename",
                "messages.reasoning_details",
                "tools.cache_control"
            ]
        );
    }

    #[test]
    fn thinking_is_told_as_the_model_takes_it() {
        let low = r#"{"thinkingBudget":1024,"includeThoughts":true}"#;
        let level = r#"{"thinkingLevel":"LOW","includeThoughts":true}"#;
        let enabled = r#""thinking":{"type":"enabled","budget_tokens":1024}"#;
        for (model, fields, expected) in [
            ("gemini-2.5-pro", r#""reasoning_effort":"low""#, Some(low)),
            ("gemini-2.5-flash", r#""reasoning_effort":"none""#, Some(r#"{"thinkingBudget":0}"#)),
            ("gemini-3-pro-preview", r#""reasoning_effort":"minimal""#, Some(level)),
            ("models/gemini-3.1-flash", r#""reasoning_effort":"none""#, None),
            ("gemini-flash-latest", r#""reasoning_effort":"low""#, Some(level)),
            ("gemini-2.0-flash", r#""reasoning_effort":"low""#, None),
            ("gemma-3-27b-it", r#""reasoning_effort":"low""#, None),
            ("gemini-2.5-pro", r#""reasoning_effort":"a \"new\" one""#, None),
            ("gemini-3-pro", enabled, Some(low)),
            ("gemini-2.5-pro", r#""thinking":{"type":"disabled"}"#, None),
            ("gemini-2.5-pro", r#""reasoning_effort":"none""#, None),
            ("gemini-2.5-pro-preview-06-05", r#""thinking":{"type":"enabled","budget_tokens":0}"#, None),
            ("gemini-2.5-flash-lite", r#""reasoning_effort":"none""#, Some(r#"{"thinkingBudget":0}"#)),
            ("gemini-3-pro", r#""thinking":{"type":"disabled"}"#, None),
            ("gemini-3-pro", r#""thinking":{"type":"adaptive"}"#, Some(r#"{"includeThoughts":true}"#)),
            ("m", r#""thinking_config":{"thinkingBudget":-1}"#, Some(r#"{"thinkingBudget":-1}"#)),
        ] {
            let (out, dropped) = encoded_for(model, fields).unwrap();
            let config = expected.map(|one| format!(r#","generationConfig":{{"thinkingConfig":{one}}}}}"#));
            assert!(
                config.map_or(!out.contains("thinking"), |config| out.ends_with(&config)),
                "{model}: {out}"
            );
            assert_eq!(dropped.is_empty(), expected.is_some(), "{model} {fields}: {dropped:?}");
        }
        for (model, word) in [
            ("gemini-3-pro-preview", "HIGH"),
            ("models/gemini-3-pro", "HIGH"),
            ("gemini-3-flash-preview", "MEDIUM"),
            ("gemini-3.1-pro-preview", "MEDIUM"),
            ("gemini-flash-latest", "MEDIUM"),
        ] {
            let (out, dropped) = encoded_for(model, r#""reasoning_effort":"medium""#).unwrap();
            assert!(out.contains(&format!(r#""thinkingLevel":"{word}""#)) && dropped.is_empty(), "{out}");
        }
        let (out, dropped) = encoded(&format!(r#"{enabled},"reasoning_effort":"high""#)).unwrap();
        assert!(out.contains(low) && dropped.is_empty(), "{out} {dropped:?}");
    }

    #[test]
    fn a_budget_is_one_that_the_model_takes() {
        for (model, asked, told) in [
            ("gemini-2.5-pro", 1, 128),
            ("gemini-2.5-pro", 32_768, 32_768),
            ("gemini-2.5-pro", u64::MAX, 32_768),
            ("gemini-2.5-flash", 1, 1),
            ("gemini-2.5-flash", 32_000, 24_576),
            ("google/gemini-2.5-flash-lite-preview-06-17", 1, 512),
            ("gemini-2.5-flash-lite", 32_000, 24_576),
        ] {
            let fields = format!(r#""thinking":{{"type":"enabled","budget_tokens":{asked}}}"#);
            let (out, dropped) = encoded_for(model, &fields).unwrap();
            let told = format!(r#"{{"thinkingBudget":{told},"includeThoughts":true}}"#);
            assert!(out.contains(&told) && dropped.is_empty(), "{model} {asked}: {out} {dropped:?}");
        }
    }
}
