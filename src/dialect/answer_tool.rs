//! The way back of an answer that was asked for by a tool, where the model knows no other way to follow a schema: the call of
//! that name is the answer's text. Which tool, and for whom, is the target's request half to say; nothing is said to any
//! caller of it.

use std::mem;

use crate::chat::{Event, Finish, Part, Response};

/// Turns a whole answer. `name` is the tool's; empty: there was none.
pub(super) fn turn(name: &str, response: &mut Response<'_>) {
    if name.is_empty() {
        return;
    }
    for part in &mut response.parts {
        if let Part::ToolCall { name: called, arguments, .. } = part
            && called == name
        {
            *part = Part::Text { text: mem::take(arguments), cache: None };
        }
    }
    let has_calls = response.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    response.finish = finish(response.finish, has_calls);
}

/// Turns the events of a stream.
#[derive(Default)]
pub(super) struct Turner {
    /// The tool's; empty: there was none.
    name: String,
    /// Which calls were of it, as many as a stream may have calls.
    turned: Vec<u32>,
    has_calls: bool,
}

impl Turner {
    /// For a tool of this name.
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// The event as it is told; `None`: it is not.
    pub(super) fn turn<'e>(&mut self, event: Event<'e>) -> Option<Event<'e>> {
        if self.name.is_empty() {
            return Some(event);
        }
        Some(match event {
            Event::ToolCall { index, name, .. } if name == self.name => {
                self.turned.push(index);
                return None;
            }
            Event::ToolCall { index, id, name } => {
                self.has_calls = true;
                Event::ToolCall { index: self.lowered(index), id, name }
            }
            Event::ToolArguments { index, json } if self.turned.contains(&index) => Event::Text(json),
            Event::ToolArguments { index, json } => Event::ToolArguments { index: self.lowered(index), json },
            Event::Finish(reason) => Event::Finish(finish(reason, self.has_calls)),
            other => other,
        })
    }

    /// The call's index among those that are told.
    fn lowered(&self, index: u32) -> u32 {
        let before = self.turned.iter().filter(|turned| **turned < index).count();
        index.saturating_sub(u32::try_from(before).unwrap_or(u32::MAX))
    }
}

/// Where nothing is left to be called, the answer was complete.
fn finish(reason: Finish, has_calls: bool) -> Finish {
    if reason == Finish::ToolCalls && !has_calls { Finish::Stop } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(id: &'a str, name: &'a str, arguments: &'a str) -> Part<'a> {
        Part::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    fn text(text: &str) -> Part<'_> {
        Part::Text { text: text.into(), cache: None }
    }

    fn turned<'a>(name: &str, parts: Vec<Part<'a>>, finish: Finish) -> (Vec<Part<'a>>, Finish) {
        let mut response = Response { parts, finish, ..Response::default() };
        turn(name, &mut response);
        (response.parts, response.finish)
    }

    #[test]
    fn a_whole_answer_is_the_calls_arguments() {
        use Finish::{Length, Stop, ToolCalls};
        let (own, other) = (|| call("1", "city", r#"{"a": 1}"#), || call("2", "weather", "{}"));
        let json = || text(r#"{"a": 1}"#);
        assert_eq!(turned("city", vec![own()], ToolCalls), (vec![json()], Stop));
        assert_eq!(turned("city", vec![text("So"), own()], Length), (vec![text("So"), json()], Length));
        assert_eq!(turned("city", vec![own(), other()], ToolCalls), (vec![json(), other()], ToolCalls));
        assert_eq!(turned("city", vec![other()], ToolCalls), (vec![other()], ToolCalls));
        assert_eq!(turned("", vec![own()], ToolCalls), (vec![own()], ToolCalls));
    }

    #[test]
    fn a_streamed_one_is_told_as_it_comes_and_other_calls_count_without_it() {
        let begin = |index, name| Event::ToolCall { index, id: "i", name };
        let more = |index, json| Event::ToolArguments { index, json };
        let input = [
            begin(0, "weather"),
            begin(1, "city"),
            more(1, r#"{"a""#),
            more(0, "{}"),
            begin(2, "time"),
            more(1, ":1}"),
            more(2, "[]"),
            Event::Finish(Finish::ToolCalls),
            Event::End,
        ];
        let mut turner = Turner::new("city".to_owned());
        let told: Vec<_> = input.into_iter().filter_map(|event| turner.turn(event)).collect();
        let expected = [
            begin(0, "weather"),
            Event::Text(r#"{"a""#),
            more(0, "{}"),
            begin(1, "time"),
            Event::Text(":1}"),
            more(1, "[]"),
            Event::Finish(Finish::ToolCalls),
            Event::End,
        ];
        assert_eq!(told, expected);
        let mut alone = Turner::new("city".to_owned());
        assert_eq!(alone.turn(begin(0, "city")), None);
        assert_eq!(alone.turn(Event::Finish(Finish::ToolCalls)), Some(Event::Finish(Finish::Stop)));
        assert_eq!(alone.turn(Event::Finish(Finish::Length)), Some(Event::Finish(Finish::Length)));
        let mut none = Turner::default();
        assert!(input.into_iter().all(|event| none.turn(event) == Some(event)), "nothing is turned");
    }
}
