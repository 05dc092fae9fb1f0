//! A response as OpenAI words it: whole, and as the events of a stream in their order
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>). Pure.

use serde_json::{Map, Value, json};

use super::super::answer::{Event, fail_after};
use super::super::call::Call;
use super::check;

/// Seconds since 1970 that every response claims as its time of making.
const CREATED_S: u64 = 1_750_000_000;

/// One response.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) id: String,
    pub(super) call: Call,
    /// The request's.
    pub(super) body: Value,
    status: &'static str,
    context_tokens: usize,
}

impl Making {
    pub(super) fn new(number: u64, call: Call, body: Value, context_tokens: usize) -> Self {
        let is_background = body.get("background") == Some(&Value::Bool(true));
        let status = match (is_background && !call.stream, call.script.finish_length) {
            (true, _) => "queued",
            (false, true) => "incomplete",
            (false, false) => "completed",
        };
        Self { id: format!("resp_{number:048x}"), call, body, status, context_tokens }
    }

    pub(super) fn is_background(&self) -> bool {
        self.body.get("background") == Some(&Value::Bool(true))
    }

    /// What waits gets done.
    pub(super) fn go_on(&mut self) {
        if self.status == "queued" {
            self.status = "completed";
        }
    }

    pub(super) fn cancel(&mut self) {
        if self.status == "queued" {
            self.status = "cancelled";
        }
    }

    /// Of all that a response after this one is asked with.
    pub(super) fn tokens(&self) -> usize {
        self.context_tokens + self.call.prompt_tokens + self.call.completion_tokens()
    }

    pub(super) fn call_ids(&self) -> Vec<String> {
        (0..self.call.tool_calls.len()).map(|index| self.call_id(index)).collect()
    }

    fn call_id(&self, index: usize) -> String {
        format!("call_{}_{index}", self.id.trim_start_matches("resp_").trim_start_matches('0'))
    }

    /// The items of its input, as they are listed.
    pub(super) fn input_items(&self) -> Vec<Value> {
        let text = self.body.get("input").and_then(Value::as_str);
        let texts = text.map(|text| json!({"role": "user", "content": text}));
        let items = texts.into_iter().chain(check::items(&self.body).cloned()).enumerate();
        items.map(|(index, item)| listed(index, item)).collect()
    }

    /// The whole.
    pub(super) fn response(&self) -> Value {
        let is_done = matches!(self.status, "completed" | "incomplete");
        let output = if is_done { self.output() } else { Vec::new() };
        self.object(self.status, &json!(output), if is_done { self.usage() } else { Value::Null })
    }

    fn output(&self) -> Vec<Value> {
        match self.call.tool_calls.len() {
            0 => vec![self.message("completed", &json!([part(&self.call.text)]))],
            count => (0..count).map(|index| self.function_call(index, "completed", true)).collect(),
        }
    }

    fn message(&self, status: &str, content: &Value) -> Value {
        let id = format!("msg_{}", self.id.trim_start_matches("resp_"));
        json!({"id": id, "type": "message", "status": status, "content": content, "role": "assistant"})
    }

    fn function_call(&self, index: usize, status: &str, is_whole: bool) -> Value {
        let call = self.call.tool_calls.get(index);
        let arguments = call.filter(|_| is_whole).map_or(String::new(), |call| call.arguments.to_string());
        let id = format!("fc_{}_{index}", self.id.trim_start_matches("resp_"));
        json!({
            "id": id, "type": "function_call", "status": status, "arguments": arguments,
            "call_id": self.call_id(index), "name": call.map_or("", |call| &call.name),
        })
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.context_tokens + self.call.prompt_tokens, self.call.completion_tokens());
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input + output,
        })
    }

    fn object(&self, status: &str, output: &Value, usage: Value) -> Value {
        let said = |name: &str, default: Value| self.body.get(name).cloned().unwrap_or(default);
        let reason = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
        json!({
            "id": self.id,
            "object": "response",
            "created_at": CREATED_S,
            "status": status,
            "background": self.is_background(),
            "error": null,
            "incomplete_details": reason,
            "instructions": said("instructions", Value::Null),
            "max_output_tokens": said("max_output_tokens", Value::Null),
            "max_tool_calls": said("max_tool_calls", Value::Null),
            "model": self.call.model,
            "output": output,
            "parallel_tool_calls": said("parallel_tool_calls", json!(true)),
            "previous_response_id": said("previous_response_id", Value::Null),
            "prompt_cache_key": said("prompt_cache_key", Value::Null),
            "reasoning": said("reasoning", json!({"effort": null, "summary": null})),
            "safety_identifier": said("safety_identifier", Value::Null),
            "service_tier": "default",
            "store": said("store", json!(true)),
            "temperature": said("temperature", json!(1.0)),
            "text": said("text", json!({"format": {"type": "text"}, "verbosity": "medium"})),
            "tool_choice": said("tool_choice", json!("auto")),
            "tools": said("tools", json!([])),
            "top_logprobs": said("top_logprobs", json!(0)),
            "top_p": said("top_p", json!(1.0)),
            "truncation": said("truncation", json!("disabled")),
            "usage": usage,
            "user": said("user", Value::Null),
            "metadata": said("metadata", Value::Object(Map::new())),
        })
    }

    /// The events, those behind the number `after` where one is named.
    pub(super) fn events(&self, after: Option<usize>) -> Vec<Event> {
        let begun = self.object("in_progress", &json!([]), Value::Null);
        let mut told = vec![
            Told::frame("response.created", json!({"response": begun})),
            Told::frame("response.in_progress", json!({"response": begun})),
        ];
        match self.call.tool_calls.len() {
            0 => self.tell_text(&mut told),
            count => (0..count).for_each(|index| self.tell_call(index, &mut told)),
        }
        let last = if self.status == "incomplete" { "response.incomplete" } else { "response.completed" };
        told.push(Told::frame(last, json!({"response": self.response()})));
        let from = after.map_or(0, |after| after + 1);
        let count = told.len();
        let events =
            told.into_iter().enumerate().skip(from).map(|(number, told)| told.event(number)).collect();
        let failure =
            json!({"code": "server_error", "message": "The mock was told to fail here.", "param": null});
        fail_after(events, self.call.script.error_after, Told::frame("error", failure).event(count))
    }

    fn tell_text(&self, told: &mut Vec<Told>) {
        let place = |rest: Value| {
            let mut place = self.message("", &Value::Null);
            let id = place.get_mut("id").map(Value::take);
            let mut fields = json!({"item_id": id, "output_index": 0, "content_index": 0});
            if let (Value::Object(fields), Value::Object(rest)) = (&mut fields, rest) {
                fields.extend(rest);
            }
            fields
        };
        let begun = self.message("in_progress", &json!([]));
        told.push(Told::frame("response.output_item.added", json!({"output_index": 0, "item": begun})));
        told.push(Told::frame("response.content_part.added", place(json!({"part": part("")}))));
        let parts = self.call.text_parts();
        told.extend(parts.iter().map(|text| {
            Told::content("response.output_text.delta", place(json!({"delta": text, "logprobs": []})))
        }));
        let text = &self.call.text;
        told.push(Told::frame("response.output_text.done", place(json!({"text": text, "logprobs": []}))));
        told.push(Told::frame("response.content_part.done", place(json!({"part": part(text)}))));
        let done = self.message("completed", &json!([part(text)]));
        told.push(Told::frame("response.output_item.done", json!({"output_index": 0, "item": done})));
    }

    fn tell_call(&self, index: usize, told: &mut Vec<Told>) {
        let (begun, done) =
            (self.function_call(index, "in_progress", false), self.function_call(index, "completed", true));
        let (id, arguments) = (done.get("id").cloned(), done.get("arguments").and_then(Value::as_str));
        let arguments = arguments.unwrap_or_default().to_owned();
        told.push(Told::frame("response.output_item.added", json!({"output_index": index, "item": begun})));
        let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        told.extend([first, second].map(|delta| {
            let fields = json!({"item_id": id, "output_index": index, "delta": delta});
            Told::content("response.function_call_arguments.delta", fields)
        }));
        let fields =
            json!({"item_id": id, "output_index": index, "arguments": arguments, "name": done.get("name")});
        told.push(Told::frame("response.function_call_arguments.done", fields));
        told.push(Told::frame("response.output_item.done", json!({"output_index": index, "item": done})));
    }
}

/// An event that has no number yet.
struct Told {
    kind: &'static str,
    fields: Value,
    is_content: bool,
}

impl Told {
    fn frame(kind: &'static str, fields: Value) -> Self {
        Self { kind, fields, is_content: false }
    }

    fn content(kind: &'static str, fields: Value) -> Self {
        Self { kind, fields, is_content: true }
    }

    fn event(self, number: usize) -> Event {
        let mut data = json!({"type": self.kind, "sequence_number": number});
        if let (Value::Object(data), Value::Object(fields)) = (&mut data, self.fields) {
            data.extend(fields);
        }
        Event { text: format!("event: {}\ndata: {data}\n\n", self.kind), is_content: self.is_content }
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

/// An item of the input as the list has it: with an id, its content in parts.
fn listed(index: usize, mut item: Value) -> Value {
    let Value::Object(fields) = &mut item else { return item };
    fields.entry("type").or_insert_with(|| json!("message"));
    fields.entry("id").or_insert_with(|| json!(format!("msg_in_{index}")));
    if let Some(text) = fields.get("content").and_then(Value::as_str) {
        let kind = if fields.get("role").and_then(Value::as_str) == Some("assistant") {
            "output_text"
        } else {
            "input_text"
        };
        let content = json!([{"type": kind, "text": text}]);
        fields.insert("content".to_owned(), content);
    }
    item
}
