//! `toolConfig` (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html>). There is no
//! word for "no tool" but none to be offered; a conversation that holds calls must name their tools all the same. Where a
//! model cannot be held to a schema, its answer is a tool of ours that it must call.

use std::collections::HashSet;

use crate::chat::{Format, Part, Raw, Request, Tool, ToolChoice};
use crate::dialect::anthropic::claude::Claude;
use crate::dialect::bedrock::ANSWER_TOOL;
use crate::dialect::bedrock::message::Writer;
use crate::dialect::bedrock::model::Family;
use crate::dialect::dropped::named_once;
use crate::dialect::json::{Array, Object};
use crate::error::{Error, Kind};

/// What is offered and demanded.
pub(super) struct Tools<'r, 'a> {
    offered: Vec<&'r Tool<'a>>,
    /// Names that the conversation calls though nothing is offered.
    recalled: Vec<&'r str>,
    /// A schema for a tool of ours.
    answer: Option<(&'r str, Option<&'r str>)>,
    choice: Choice<'r>,
    is_strict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice<'r> {
    Unsaid,
    Auto,
    Any,
    Named(&'r str),
}

impl<'r, 'a> Tools<'r, 'a> {
    /// Decides for `model`.
    pub(super) fn of(
        request: &'r Request<'a>,
        model: &str,
        dropped: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let family = Family::of(model);
        let answer = match &request.format {
            Format::JsonSchema { schema, description, strict, .. } if !family.takes_schemas(model) => {
                if *strict == Some(true) {
                    named_once(dropped, "response_format.json_schema.strict");
                }
                Some((&**schema, description.as_deref()))
            }
            _ => None,
        };
        let mut tools = Self {
            offered: offered(request)?,
            recalled: Vec::new(),
            answer,
            choice: choice(request.tool_choice.as_ref()),
            is_strict: family.takes_schemas(model),
        };
        tools.choose(request, model, dropped);
        if !tools.is_strict && tools.offered.iter().any(|tool| tool.strict == Some(true)) {
            named_once(dropped, "tools.function.strict");
        }
        if !family.takes_marks() && tools.offered.iter().any(|tool| tool.cache.is_some()) {
            named_once(dropped, "tools.cache_control");
        }
        Ok(tools)
    }

    fn choose(&mut self, request: &'r Request<'a>, model: &str, dropped: &mut Vec<String>) {
        let is_none = request.tool_choice == Some(ToolChoice::None);
        let recalled = calls(request);
        if is_none && recalled.is_empty() {
            self.offered.clear();
        } else if is_none && self.offered.is_empty() == self.answer.is_none() {
            named_once(dropped, "tool_choice");
        }
        if self.offered.is_empty() {
            if request.tool_choice.is_some() && !is_none {
                named_once(dropped, "tool_choice");
            }
            self.choice = Choice::Unsaid;
            self.recalled = recalled;
        }
        if self.answer.is_some() {
            let is_alone = self.offered.is_empty() && self.recalled.is_empty();
            self.choice = if is_alone { Choice::Named(ANSWER_TOOL) } else { Choice::Any };
        }
        let is_refused =
            matches!(Family::of(model), Family::Claude) && !Claude::of(model).takes_forced_tools();
        if is_refused && self.is_forced() {
            if let Choice::Named(name) = self.choice {
                // As near as such a model comes to one by name: no other is there to be called.
                self.offered.retain(|tool| tool.name == name);
            }
            named_once(dropped, "tool_choice");
            self.choice = Choice::Unsaid;
        }
    }

    /// Whether the model must call one.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self.choice, Choice::Any | Choice::Named(_))
    }

    /// Writes `toolConfig`, when there is any.
    pub(super) fn write(&self, body: &mut Object<'_>, writer: &Writer) {
        if self.offered.is_empty() && self.recalled.is_empty() && self.answer.is_none() {
            return;
        }
        let mut config = Object::begin(body.field("toolConfig"));
        let mut tools = Array::begin(config.field("tools"));
        for tool in &self.offered {
            let schema = tool.schema.as_deref().filter(|schema| !is_empty_object(schema)).unwrap_or(EMPTY);
            let is_strict = self.is_strict && tool.strict == Some(true);
            write_tool(tools.item(), (&tool.name, tool.description.as_deref()), schema, is_strict);
            writer.write_mark(&mut tools, tool.cache);
        }
        for name in &self.recalled {
            write_tool(tools.item(), (name, None), EMPTY, false);
        }
        if let Some((schema, description)) = self.answer {
            let description = description.unwrap_or("Gives the answer. Its arguments are the whole answer.");
            write_tool(tools.item(), (ANSWER_TOOL, Some(description)), schema, false);
        }
        tools.end();
        self.write_choice(&mut config);
        config.end();
    }

    fn write_choice(&self, config: &mut Object<'_>) {
        let (kind, name) = match self.choice {
            Choice::Unsaid => return,
            Choice::Auto => ("auto", None),
            Choice::Any => ("any", None),
            Choice::Named(name) => ("tool", Some(name)),
        };
        let mut choice = Object::begin(config.field("toolChoice"));
        let mut inner = Object::begin(choice.field(kind));
        if let Some(name) = name {
            inner.text("name", name);
        }
        inner.end();
        choice.end();
    }
}

fn choice<'r>(choice: Option<&'r ToolChoice<'_>>) -> Choice<'r> {
    match choice {
        None | Some(ToolChoice::None) => Choice::Unsaid,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Choice::Auto,
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => Choice::Any,
        Some(ToolChoice::Named(name)) => Choice::Named(name),
    }
}

/// The tools to send: an allow list is expressed by sending no others.
fn offered<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<&'r Tool<'a>>, Error> {
    let Some(ToolChoice::Allowed { names, .. }) = &request.tool_choice else {
        return Ok(request.tools.iter().collect());
    };
    let names: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let tools: Vec<_> = request.tools.iter().filter(|tool| names.contains(tool.name.as_ref())).collect();
    if tools.is_empty() {
        let message = "`tool_choice.allowed_tools` names no tool of `tools`";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("tool_choice"));
    }
    Ok(tools)
}

/// The functions that the conversation calls, each once.
fn calls<'r>(request: &'r Request<'_>) -> Vec<&'r str> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let mut seen = HashSet::new();
    let names = parts.filter_map(|part| match part {
        Part::ToolCall { name, .. } => Some(&**name),
        _ => None,
    });
    names.filter(|name| seen.insert(*name)).collect()
}

fn write_tool(out: &mut Vec<u8>, (name, description): (&str, Option<&str>), schema: &str, is_strict: bool) {
    let mut tool = Object::begin(out);
    let mut spec = Object::begin(tool.field("toolSpec"));
    spec.text("name", name);
    // An empty one is refused.
    if let Some(description) = description.filter(|text| !text.is_empty()) {
        spec.text("description", description);
    }
    let mut input = Object::begin(spec.field("inputSchema"));
    input.raw("json", Raw(schema));
    input.end();
    if is_strict {
        spec.raw("strict", Raw("true"));
    }
    spec.end();
    tool.end();
}

const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

fn is_empty_object(raw: &str) -> bool {
    let inside = raw.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}
