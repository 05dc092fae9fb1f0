//! OpenAI's Responses as OpenAI has them: `POST /v1/responses`, and what is asked of a stored one. Each key is an account of
//! its own and knows its own responses only; they are kept in memory, the newest of them. No I/O.

mod answer;
mod check;

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use self::answer::Making;
use super::answer::Plan;
use super::call::{self, Call, Dialect, Refusal};
use super::openai;
use super::settings::Script;

/// Responses that are kept, those of all keys together.
const KEPT_MAX: usize = 4_096;

/// The responses that were made.
#[derive(Debug, Default)]
pub struct Responses {
    made: u64,
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// `authorization`, whole.
    account: String,
    making: Making,
}

impl Responses {
    /// The answer to a request below `/v1/responses`; `query` is without its `?`.
    pub fn answer(
        &mut self,
        method: &Method,
        (path, query): (&str, &str),
        headers: &HeaderMap,
        body: &[u8],
        defaults: &Script,
    ) -> Plan {
        let account = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answered = call::authorize(Dialect::OpenAi, headers)
            .and_then(|()| self.route(method, (path, query), account, body, defaults));
        answered.unwrap_or_else(|refusal| refuse(&refusal))
    }

    fn route(
        &mut self,
        method: &Method,
        (path, query): (&str, &str),
        account: &str,
        body: &[u8],
        defaults: &Script,
    ) -> Result<Plan, Refusal> {
        let rest = path.trim_start_matches("/v1/responses").trim_start_matches('/');
        let mut segments = rest.split('/');
        let (id, verb) = (segments.next().unwrap_or_default(), segments.next());
        match (method, id, verb, segments.next()) {
            (&Method::POST, "", None, None) => self.create(account, body, defaults),
            (&Method::POST, "input_tokens", None, None) => self.count(account, body, defaults),
            (&Method::GET, id, None, None) if !id.is_empty() => self.retrieve(account, id, query),
            (&Method::DELETE, id, None, None) if !id.is_empty() => self.delete(account, id),
            (&Method::POST, id, Some("cancel"), None) => self.cancel(account, id),
            (&Method::GET, id, Some("input_items"), None) => self.input_items(account, id, query),
            _ => Err(Refusal::new(404, "invalid_request_error", format!("Invalid URL ({method} {path})"))),
        }
    }

    fn create(&mut self, account: &str, body: &[u8], defaults: &Script) -> Result<Plan, Refusal> {
        let body = check::parse(body)?;
        check::create(&body)?;
        let earlier = self.earlier(account, &body)?;
        check::outputs(&body, earlier)?;
        let call = Call::read(Dialect::OpenAi, check::as_chat(&body).to_string().as_bytes(), defaults)?;
        if let Some(status) = call.script.status {
            let refusal = Refusal { retry_after_s: call.script.retry_after_s, ..Refusal::scripted(status) };
            return Ok(Plan { delay_ms: call.script.delay_ms, ..refuse(&refusal) });
        }
        let context_tokens = earlier.map_or(0, Making::tokens);
        self.made += 1;
        let making = Making::new(self.made, call, body, context_tokens);
        let plan = match making.call.stream {
            true => Plan::events(openai::HEADERS, &making.events(None), &making.call.script),
            false => Plan::whole(openai::HEADERS, &making.response(), &making.call.script),
        };
        if making.body.get("store") != Some(&Value::Bool(false)) {
            self.kept.truncate(KEPT_MAX - 1);
            self.kept.push_front(Kept { account: account.to_owned(), making });
        }
        Ok(plan)
    }

    fn earlier(&self, account: &str, body: &Value) -> Result<Option<&Making>, Refusal> {
        let Some(id) = body.get("previous_response_id").and_then(Value::as_str) else { return Ok(None) };
        self.find(account, id).map(|at| self.kept.get(at).map(|kept| &kept.making)).ok_or_else(|| Refusal {
            code: Some("previous_response_not_found"),
            param: Some("previous_response_id"),
            ..Refusal::new(
                400,
                "invalid_request_error",
                format!("Previous response with id '{id}' not found."),
            )
        })
    }

    fn count(&self, account: &str, body: &[u8], defaults: &Script) -> Result<Plan, Refusal> {
        let body = check::parse(body)?;
        check::count(&body)?;
        let context_tokens = self.earlier(account, &body)?.map_or(0, Making::tokens);
        let call = Call::read(Dialect::OpenAi, check::as_chat(&body).to_string().as_bytes(), defaults)?;
        let count = context_tokens + call.prompt_tokens;
        Ok(plain(&json!({"object": "response.input_tokens", "input_tokens": count})))
    }

    fn retrieve(&mut self, account: &str, id: &str, query: &str) -> Result<Plan, Refusal> {
        let parameters = check::query(
            query,
            &["stream", "starting_after", "include_obfuscation", "include", "include[]"],
        )?;
        let making = self.known(account, id)?;
        making.go_on();
        let value = |name| parameters.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        if value("stream") != Some("true") {
            return Ok(plain(&making.response()));
        }
        let after = value("starting_after").and_then(|number| number.parse().ok());
        Ok(Plan::events(openai::HEADERS, &making.events(after), &Script::default()))
    }

    fn delete(&mut self, account: &str, id: &str) -> Result<Plan, Refusal> {
        let at = self.find(account, id).ok_or_else(|| not_found(id))?;
        self.kept.remove(at);
        Ok(plain(&json!({"id": id, "object": "response", "deleted": true})))
    }

    fn cancel(&mut self, account: &str, id: &str) -> Result<Plan, Refusal> {
        let making = self.known(account, id)?;
        if !making.is_background() {
            return Err(Refusal::new(400, "invalid_request_error", "Cannot cancel a synchronous response."));
        }
        making.cancel();
        Ok(plain(&making.response()))
    }

    fn input_items(&mut self, account: &str, id: &str, query: &str) -> Result<Plan, Refusal> {
        let parameters = check::query(query, &["limit", "order", "after", "before", "include", "include[]"])?;
        let value = |name| parameters.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        let limit = value("limit").map_or(Some(20), |limit| limit.parse().ok());
        let limit = limit.filter(|limit| (1..=100).contains(limit)).ok_or_else(|| Refusal {
            param: Some("limit"),
            ..Refusal::new(400, "invalid_request_error", "Invalid 'limit'.")
        })?;
        let mut items = self.known(account, id)?.input_items();
        if value("order") != Some("asc") {
            items.reverse();
        }
        if let Some(after) = value("after") {
            let at = items.iter().position(|item| item["id"] == after).map_or(items.len(), |at| at + 1);
            items.drain(..at);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let id_of =
            |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned().unwrap_or(Value::Null);
        let (first, last) = (id_of(items.first()), id_of(items.last()));
        Ok(plain(&json!({
            "object": "list", "data": items, "first_id": first, "last_id": last, "has_more": has_more
        })))
    }

    fn find(&self, account: &str, id: &str) -> Option<usize> {
        self.kept.iter().position(|kept| kept.account == account && kept.making.id == id)
    }

    fn known(&mut self, account: &str, id: &str) -> Result<&mut Making, Refusal> {
        let at = self.find(account, id);
        at.and_then(|at| self.kept.get_mut(at)).map(|kept| &mut kept.making).ok_or_else(|| not_found(id))
    }
}

fn not_found(id: &str) -> Refusal {
    Refusal::new(404, "invalid_request_error", format!("Response with id '{id}' not found."))
}

fn plain(body: &Value) -> Plan {
    Plan::json(200, openai::HEADERS, body)
}

fn refuse(refusal: &Refusal) -> Plan {
    let retry_after = refusal.retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = openai::HEADERS.to_vec();
    headers.extend(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
    Plan::json(refusal.status, &headers, &openai::error(refusal))
}

/// The mock's part that a connection asks.
impl super::Mock {
    /// The answer to a request below `/v1/responses`.
    pub fn answer_responses(
        &self,
        method: &Method,
        uri: &http::Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Plan {
        if self.error_is_due() {
            return refuse(&Refusal::scripted(self.settings.error_status));
        }
        let place = (uri.path(), uri.query().unwrap_or_default());
        self.responses.borrow_mut().answer(method, place, headers, body, &self.settings.script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        responses: &mut Responses,
        key: &str,
        method: &Method,
        target: &str,
        body: &Value,
    ) -> (u16, String) {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        let place = target.split_once('?').unwrap_or((target, ""));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let script = Script { chunks: 3, ..Script::default() };
        let plan = responses.answer(method, place, &headers, body.as_bytes(), &script);
        let text: String =
            plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn json_of((status, body): (u16, String)) -> (u16, Value) {
        (status, serde_json::from_str(&body).unwrap())
    }

    #[test]
    fn a_response_is_its_accounts_until_it_is_deleted() {
        let mut responses = Responses::default();
        let create = json!({"model": "gpt-4o", "input": "hello you", "metadata": {"a": "b"}});
        let (status, made) = json_of(ask(&mut responses, "a", &Method::POST, "/v1/responses", &create));
        assert_eq!(
            (status, &made["status"], &made["usage"]["input_tokens"]),
            (200, &json!("completed"), &json!(2))
        );
        let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
        let (status, again) = json_of(ask(&mut responses, "a", &Method::GET, &path, &Value::Null));
        assert_eq!((status, &again), (200, &made));
        assert_eq!(ask(&mut responses, "b", &Method::GET, &path, &Value::Null).0, 404);
        let (_, items) = json_of(ask(
            &mut responses,
            "a",
            &Method::GET,
            &format!("{path}/input_items?limit=5"),
            &Value::Null,
        ));
        assert_eq!(items["data"][0]["content"][0]["text"], "hello you");
        let next = json!({"model": "gpt-4o", "input": "and", "previous_response_id": made["id"]});
        let (status, on) = json_of(ask(&mut responses, "a", &Method::POST, "/v1/responses", &next));
        assert_eq!((status, &on["previous_response_id"]), (200, &made["id"]));
        let (status, error) = json_of(ask(&mut responses, "b", &Method::POST, "/v1/responses", &next));
        assert_eq!((status, &error["error"]["code"]), (400, &json!("previous_response_not_found")));
        assert_eq!(ask(&mut responses, "a", &Method::POST, &format!("{path}/cancel"), &Value::Null).0, 400);
        let (status, deleted) = json_of(ask(&mut responses, "a", &Method::DELETE, &path, &Value::Null));
        assert_eq!((status, &deleted["deleted"]), (200, &json!(true)));
        assert_eq!(ask(&mut responses, "a", &Method::DELETE, &path, &Value::Null).0, 404);
    }

    #[test]
    fn a_stream_tells_the_whole_response_at_its_end() {
        let mut responses = Responses::default();
        let create = json!({"model": "gpt-4o", "input": "hello", "stream": true});
        let (_, text) = ask(&mut responses, "a", &Method::POST, "/v1/responses", &create);
        let events: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
        let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(
            &kinds[..4],
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added"
            ]
        );
        assert_eq!(kinds.last(), Some(&"response.completed"));
        assert!(events.iter().enumerate().all(|(number, event)| event["sequence_number"] == number));
        let said: String = events
            .iter()
            .filter(|event| event["type"] == "response.output_text.delta")
            .map(|event| event["delta"].as_str().unwrap())
            .collect();
        let response = &events.last().unwrap()["response"];
        assert_eq!(response["output"][0]["content"][0]["text"], said.as_str());
        let path = format!("/v1/responses/{}?stream=true&starting_after=2", response["id"].as_str().unwrap());
        let (_, again) = ask(&mut responses, "a", &Method::GET, &path, &Value::Null);
        assert!(
            again.contains("\"sequence_number\":3") && !again.contains("\"sequence_number\":2,"),
            "{again}"
        );
    }

    #[test]
    fn tools_are_called_and_their_results_must_be_of_a_call() {
        let mut responses = Responses::default();
        let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": true}]);
        let create = json!({"model": "m", "input": "go", "tools": tools});
        let (_, made) = json_of(ask(&mut responses, "a", &Method::POST, "/v1/responses", &create));
        let call = &made["output"][0];
        assert_eq!(
            (&call["type"], &call["arguments"]),
            (&json!("function_call"), &json!("{\"city\":\"mock\"}"))
        );
        let result = |id: &Value| json!({"model": "m", "tools": tools, "previous_response_id": made["id"], "input": [{"type": "function_call_output", "call_id": id, "output": "sunny"}]});
        let (status, said) =
            json_of(ask(&mut responses, "a", &Method::POST, "/v1/responses", &result(&call["call_id"])));
        assert_eq!(
            (status, &said["output"][0]["content"][0]["text"]),
            (200, &json!("The tools said: sunny"))
        );
        assert_eq!(ask(&mut responses, "a", &Method::POST, "/v1/responses", &result(&json!("x"))).0, 400);
    }

    #[test]
    fn an_answer_follows_the_schema_that_is_asked_for() {
        let mut responses = Responses::default();
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let format = json!({"type": "json_schema", "name": "answer", "schema": schema});
        let create = json!({"model": "m", "input": "go", "text": {"format": format}});
        let (_, made) = json_of(ask(&mut responses, "a", &Method::POST, "/v1/responses", &create));
        assert_eq!(made["output"][0]["content"][0]["text"], json!("{\"city\":\"mock\"}"));
    }

    #[test]
    fn what_runs_in_the_background_may_be_cancelled() {
        let mut responses = Responses::default();
        let create = json!({"model": "m", "input": "go", "background": true});
        let mut made = || json_of(ask(&mut responses, "a", &Method::POST, "/v1/responses", &create)).1;
        let (first, second) = (made(), made());
        assert_eq!(first["status"], "queued");
        let path = |made: &Value| format!("/v1/responses/{}", made["id"].as_str().unwrap());
        assert_eq!(
            json_of(ask(&mut responses, "a", &Method::GET, &path(&first), &Value::Null)).1["status"],
            "completed"
        );
        let cancel = format!("{}/cancel", path(&second));
        assert_eq!(
            json_of(ask(&mut responses, "a", &Method::POST, &cancel, &Value::Null)).1["status"],
            "cancelled"
        );
    }

    #[test]
    fn is_as_strict_as_openai() {
        let mut responses = Responses::default();
        for (body, word) in [
            (json!({"model": "m", "input": "x", "messages": []}), "messages"),
            (json!({"model": "m", "input": "x", "max_tokens": 5}), "max_tokens"),
            (json!({"model": "m"}), "input"),
            (json!({"input": "x"}), "model"),
            (
                json!({"model": "m", "input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}),
                "input_text",
            ),
            (json!({"model": "m", "input": [{"role": "tool", "content": "x"}]}), "role"),
            (
                json!({"model": "m", "input": "x", "tools": [{"type": "function", "function": {"name": "f"}}]}),
                "tools[0]",
            ),
        ] {
            let (status, error) = ask(&mut responses, "a", &Method::POST, "/v1/responses", &body);
            assert!(status == 400 && error.contains(word), "{body}: {error}");
        }
        assert_eq!(ask(&mut responses, "a", &Method::GET, "/v1/responses/x?limit=3", &Value::Null).0, 400);
        assert_eq!(ask(&mut responses, "bad", &Method::GET, "/v1/responses/x", &Value::Null).0, 401);
        let (_, count) = json_of(ask(
            &mut responses,
            "a",
            &Method::POST,
            "/v1/responses/input_tokens",
            &json!({"model": "m", "input": "a b c"}),
        ));
        assert_eq!(count, json!({"object": "response.input_tokens", "input_tokens": 3}));
    }
}
