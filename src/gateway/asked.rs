//! What the caller of a model asks of us, by its body's members and its head's fields: the model, a stream, fallbacks, one
//! key. It is judged for its form alone; what it leads to is `routing`'s.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::noted::Seen;
use super::outgoing::Edit;
use super::path_model;
use crate::config::KEY_BYTES_MAX;
use crate::config::snapshot::FALLBACKS_MAX;
use crate::dialect::look::{self, Members};
use crate::dialect::stream_usage::{self, ASKING_MEMBER};
use crate::dialect::{self, Operation};
use crate::error::{Error, Kind};
use crate::net::server::Request;
use crate::routing::plan::Pin;

/// The top-level keys that decide something here; any of them twice is refused.
pub(super) const KEYS: [&str; 5] = ["model", "stream", "stream_options", "fallbacks", "prompt_cache_key"];
/// The same of a body of InvokeModel's, whose path says the model and whether it streams.
pub(super) const INVOKE_KEYS: [&str; KEYS.len()] =
    ["model", "stream", dialect::invoke::KEYS[0], "fallbacks", dialect::invoke::KEYS[1]];
/// The same of a request for speech, whose answer is events where `stream_format` says so.
pub(super) const SPEECH_KEYS: [&str; KEYS.len()] =
    ["model", "stream", "stream_format", "fallbacks", "prompt_cache_key"];
/// The same of messages in Anthropic's own API, which know no version in the body, as Vertex wants it.
pub(super) const ANTHROPIC_KEYS: [&str; KEYS.len()] =
    ["model", "stream", dialect::vertex::KEY, "fallbacks", "prompt_cache_key"];
const VERSION: usize = 2;
const BETA: usize = 4;
const MODEL: usize = 0;
const STREAM: usize = 1;
const STREAM_OPTIONS: usize = 2;
const FALLBACKS: usize = 3;
const PROMPT_CACHE_KEY: usize = 4;

/// Longest name of a model, bytes; a config has no longer ones.
const MODEL_BYTES_MAX: usize = KEY_BYTES_MAX;

/// The model of a moderation that names none, as OpenAI documents it, of the provider whose default it is.
const MODERATION_MODEL: &str = "openai/omni-moderation-latest";

/// What the look found.
pub(super) struct Asked {
    /// What is asked for: a whole answer, or a stream.
    pub(super) operation: Operation,
    /// The model's name.
    pub(super) model: String,
    /// Where it stands in the body.
    pub(super) model_place: ModelPlace,
    /// Whether a stream's end is to carry the usage.
    pub(super) include_usage: bool,
    /// Where `stream`'s value ends.
    stream_end: usize,
    /// Where `stream_options`' value stands.
    stream_options: Option<Range<usize>>,
    /// The caller's own fallbacks, as a model would be named; `None`: it says nothing of any.
    pub(super) fallbacks: Option<Vec<String>>,
    /// Where these stand in the body, to be cut out: they are addressed to us.
    pub(super) cuts: Vec<Range<usize>>,
    /// Where `prompt_cache_key`'s value stands.
    pub(super) prompt_cache_key: Option<Range<usize>>,
    /// The provider's id of the stored response that it is about.
    pub(super) response_id: Option<String>,
    /// What the body says that is a header elsewhere: `anthropic-beta`.
    pub(super) betas: Option<String>,
}

/// Where a body names its model.
pub(super) enum ModelPlace {
    /// Here, as a string.
    Span(Range<usize>),
    /// Here, as the value of a form's field.
    Form(Range<usize>),
    /// Nowhere, so that the provider takes its own default.
    Default {
        /// Where it could: behind the object's brace.
        at: usize,
        /// Whether other members follow there.
        has_others: bool,
    },
    /// Here, or nowhere, and it does not count: the path says it.
    Deployed {
        /// Where the body has one, as a string.
        named: Option<Range<usize>>,
        /// Where it could stand: behind the object's brace.
        at: usize,
        /// Whether other members follow there.
        has_others: bool,
    },
    /// In the path, and not in the form, whose parts this text parts.
    Unnamed {
        /// The boundary.
        boundary: Vec<u8>,
    },
    /// In the path, and whether it streams, too; a body of Anthropic's has both, here behind the object's brace.
    Invoked {
        /// Where.
        at: usize,
        /// Whether other members follow there.
        has_others: bool,
    },
    /// In the path; here in the body again, each time as a resource's name.
    Path(Vec<Range<usize>>),
}

impl Asked {
    /// What `members` of `body` ask of a route of this operation. Errors: which of them has not the right form.
    pub(super) fn of(
        body: &[u8],
        members: &Members<{ KEYS.len() }>,
        operation: Operation,
    ) -> Result<Self, Error> {
        let raw = |index| members.value(index).and_then(|span| body.get(span));
        let cuts = members.cuts(&[FALLBACKS]);
        let (model, model_place) = match members.value(MODEL) {
            Some(span) => {
                let model = raw(MODEL).and_then(look::string_value);
                let model = model.ok_or_else(|| missing_model("model must be a string"))?.into_owned();
                (bounded(model)?, ModelPlace::Span(span))
            }
            None if operation == Operation::Moderation => {
                let at = memchr::memchr(b'{', body).map_or(0, |brace| brace + 1);
                let has_others = members.count() > cuts.len();
                (MODERATION_MODEL.to_owned(), ModelPlace::Default { at, has_others })
            }
            None => return Err(missing_model("model is required")),
        };
        Self::of_body(body, members, operation, (model, model_place))
    }

    /// The same where the path names a deployment, whose word counts, whatever the body says.
    pub(super) fn deployed(
        body: &[u8],
        members: &Members<{ KEYS.len() }>,
        operation: Operation,
        model: String,
    ) -> Result<Self, Error> {
        let at = memchr::memchr(b'{', body).map_or(0, |brace| brace + 1);
        let has_others = members.count() > members.cuts(&[FALLBACKS]).len();
        let model_place = ModelPlace::Deployed { named: members.value(MODEL), at, has_others };
        Self::of_body(body, members, operation, (bounded(model)?, model_place))
    }

    /// All but the model.
    fn of_body(
        body: &[u8],
        members: &Members<{ KEYS.len() }>,
        operation: Operation,
        (model, model_place): (String, ModelPlace),
    ) -> Result<Self, Error> {
        let raw = |index| members.value(index).and_then(|span| body.get(span));
        let stream = match raw(STREAM) {
            _ if operation == Operation::Speech => raw(STREAM_OPTIONS) == Some(b"\"sse\""),
            Some(b"true") => true,
            None | Some(b"false" | b"null") => false,
            Some(_) => {
                return Err(
                    Error::new(Kind::InvalidRequest, "stream must be true or false").with_param("stream")
                );
            }
        };
        Ok(Self {
            operation: operation.streamed(stream),
            model,
            model_place,
            include_usage: raw(STREAM_OPTIONS).is_some_and(includes_usage),
            stream_end: members.value(STREAM).map_or(0, |span| span.end),
            stream_options: members.value(STREAM_OPTIONS),
            fallbacks: raw(FALLBACKS).map_or(Ok(None), fallbacks)?,
            cuts: members.cuts(&[FALLBACKS]),
            prompt_cache_key: members.value(PROMPT_CACHE_KEY),
            response_id: None,
            betas: None,
        })
    }

    /// What is asked of the stored response of this id.
    pub(super) fn stored(operation: Operation, id: String) -> Self {
        Self {
            operation,
            model: String::new(),
            model_place: ModelPlace::Span(0..0),
            include_usage: false,
            stream_end: 0,
            stream_options: None,
            fallbacks: None,
            cuts: Vec::new(),
            prompt_cache_key: None,
            response_id: Some(id),
            betas: None,
        }
    }

    /// What is asked of an account: a batch, a file. `cuts` are addressed to us.
    pub(super) fn of_account(operation: Operation, cuts: Vec<Range<usize>>) -> Self {
        let model_place = ModelPlace::Path(Vec::new());
        Self { model_place, cuts, response_id: None, ..Self::stored(operation, String::new()) }
    }

    /// What a form asks whose model stands there.
    pub(super) fn in_form(operation: Operation, model: String, place: Range<usize>) -> Result<Self, Error> {
        let (model, model_place) = (bounded(model)?, ModelPlace::Form(place));
        Ok(Self { model, model_place, ..Self::of_account(operation, Vec::new()) })
    }

    /// What a form asks that names no model, where the path does.
    pub(super) fn unnamed(operation: Operation, model: String, boundary: Vec<u8>) -> Result<Self, Error> {
        let (model, model_place) = (bounded(model)?, ModelPlace::Unnamed { boundary });
        Ok(Self { model, model_place, ..Self::of_account(operation, Vec::new()) })
    }

    /// What a request asks whose path names the model; `places` are those inside its body that name it again. Of its members
    /// only `model` and `fallbacks` say anything to us, the rest is its dialect's.
    pub(super) fn named(
        body: &[u8],
        members: &Members<{ KEYS.len() }>,
        operation: Operation,
        (model, mut places): (String, Vec<Range<usize>>),
    ) -> Result<Self, Error> {
        let raw = |index| members.value(index).and_then(|span| body.get(span));
        if let Some(span) = members.value(MODEL) {
            if !raw(MODEL).is_some_and(|value| path_model::is_named(value, &model)) {
                return Err(path_model::another("model".to_owned()));
            }
            places.push(span);
        }
        Self::by_path(body, members, operation, (model, ModelPlace::Path(places)))
    }

    /// The same where the body says nothing of the model.
    pub(super) fn by_path(
        body: &[u8],
        members: &Members<{ KEYS.len() }>,
        operation: Operation,
        (model, model_place): (String, ModelPlace),
    ) -> Result<Self, Error> {
        let raw = |index| members.value(index).and_then(|span| body.get(span));
        Ok(Self {
            operation,
            model: bounded(model)?,
            model_place,
            include_usage: false,
            stream_end: 0,
            stream_options: None,
            fallbacks: raw(FALLBACKS).map_or(Ok(None), fallbacks)?,
            cuts: members.cuts(&[FALLBACKS]),
            prompt_cache_key: None,
            response_id: None,
            betas: None,
        })
    }

    /// What a body of InvokeModel's asks; `members` are of [`INVOKE_KEYS`]. Errors: it says what the path says.
    pub(super) fn invoked(
        body: &[u8],
        members: &Members<{ KEYS.len() }>,
        operation: Operation,
        model: String,
    ) -> Result<Self, Error> {
        for (index, name) in [(MODEL, "model"), (STREAM, "stream")] {
            if members.value(index).is_some() {
                let message = format!("{name} stands in the path of InvokeModel; leave it out of the body");
                return Err(Error::new(Kind::InvalidRequest, message).with_param(name));
            }
        }
        let betas = members.value(BETA).and_then(|span| body.get(span));
        let betas = betas.map(|value| {
            dialect::invoke::beta_header(value).ok_or_else(|| {
                let message = "anthropic_beta must be a list of names";
                Error::new(Kind::InvalidRequest, message).with_param("anthropic_beta")
            })
        });
        let cuts = members.cuts(&[VERSION, FALLBACKS, BETA]);
        let at = memchr::memchr(b'{', body).map_or(0, |brace| brace + 1);
        let has_others = members.count() > cuts.len();
        let place = ModelPlace::Invoked { at, has_others };
        let asked = Self::by_path(body, members, operation, (model, place))?;
        Ok(Self { cuts, betas: betas.transpose()?, ..asked })
    }

    /// Whether a body of Anthropic's has a version, as only Vertex takes one.
    pub(super) fn has_version(&self) -> bool {
        self.stream_options.is_some()
    }

    /// What to change in `body`, a stream's, so that it asks for the usage. `None`: it asks already, or says something of it
    /// that is not understood.
    pub(super) fn usage_edit(&self, body: &[u8]) -> Option<Edit> {
        if self.operation != Operation::ChatStream || self.include_usage {
            return None;
        }
        let Some(options) = self.stream_options.clone() else {
            return Some(Edit { span: self.stream_end..self.stream_end, bytes: ASKING_MEMBER.to_vec() });
        };
        let (span, bytes) = stream_usage::ask_in(body.get(options.clone())?)?;
        let span = options.start + span.start..options.start + span.end;
        Some(Edit { span, bytes: bytes.to_vec() })
    }
}

fn missing_model(message: &'static str) -> Error {
    Error::new(Kind::ModelNotFound, message).with_param("model")
}

/// A name that errors, headers and rows may repeat.
fn bounded(model: String) -> Result<String, Error> {
    if model.len() > MODEL_BYTES_MAX {
        let message = format!("model is longer than {MODEL_BYTES_MAX} bytes, as no model's name is");
        return Err(Error::new(Kind::ModelNotFound, message).with_param("model"));
    }
    Ok(model)
}

fn includes_usage(stream_options: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Options {
        #[serde(default)]
        include_usage: Option<bool>,
    }
    serde_json::from_slice::<Options>(stream_options).is_ok_and(|options| options.include_usage == Some(true))
}

/// `null` is none given; else as [`Fallbacks`] says.
fn fallbacks(value: &[u8]) -> Result<Option<Vec<String>>, Error> {
    serde_json::from_slice::<Option<Fallbacks>>(value).map(|list| list.map(|list| list.0)).map_err(|_| {
        let message = format!(
            "fallbacks must be an array of at most {FALLBACKS_MAX}, each \"provider/model\" or {{\"provider\": …, \"model\": …}}, in at most \
             {MODEL_BYTES_MAX} bytes"
        );
        Error::new(Kind::InvalidRequest, message).with_param("fallbacks")
    })
}

/// At most [`FALLBACKS_MAX`], each a string or an object (Bifrost's shape, compat.md 2.4).
struct Fallbacks(Vec<String>);

impl<'de> Deserialize<'de> for Fallbacks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Fallbacks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Fallbacks, A::Error> {
                let mut names = Vec::new();
                while let Some(fallback) = list.next_element::<Fallback>()? {
                    if names.len() == FALLBACKS_MAX {
                        return Err(de::Error::custom("too many"));
                    }
                    let name = fallback.into_name().filter(|name| name.len() <= MODEL_BYTES_MAX);
                    names.push(name.ok_or_else(|| de::Error::custom("no provider's name, or a long one"))?);
                }
                Ok(Fallbacks(names))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Fallback {
    Name(String),
    Parts {
        #[serde(default)]
        provider: Option<String>,
        model: String,
    },
}

impl Fallback {
    /// As a model would be named; `None`: its provider's name has a slash, and would be read as another's.
    fn into_name(self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name),
            Self::Parts { provider: Some(provider), .. } if provider.contains('/') => None,
            Self::Parts { provider: Some(provider), model } if !provider.is_empty() => {
                Some(format!("{provider}/{model}"))
            }
            Self::Parts { model, .. } => Some(model),
        }
    }
}

/// The key that the caller wants to be served by.
pub(super) enum Wanted {
    /// By `x-bf-api-key-id`.
    Id(String),
    /// By `x-bf-api-key`.
    Name(String),
}

impl Wanted {
    /// The id wins; an empty value asks for nothing. Errors: a field stands twice, or is not UTF-8.
    pub(super) fn of(request: &Request, id: Seen, name: Seen) -> Result<Option<Self>, Error> {
        if (id, name) == (Seen::Never, Seen::Never) {
            return Ok(None);
        }
        let id = text(request, id, "x-bf-api-key-id")?;
        let name = text(request, name, "x-bf-api-key")?;
        Ok(id.map(Self::Id).or(name.map(Self::Name)))
    }

    /// For `routing`.
    pub(super) fn pin(&self) -> Pin<'_> {
        match self {
            Self::Id(id) => Pin::Id(id),
            Self::Name(name) => Pin::Name(name),
        }
    }
}

fn text(request: &Request, seen: Seen, field: &'static str) -> Result<Option<String>, Error> {
    if seen == Seen::Again {
        let message = format!("{field} stands twice; send it once");
        return Err(Error::new(Kind::InvalidRequest, message).with_param(field));
    }
    let value = seen.value(request).map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
    let text = value.map(|value| String::from_utf8(value.to_vec())).transpose();
    text.map_err(|_| {
        Error::new(Kind::KeyNotFound, format!("{field} is not UTF-8, as every key's name and id is"))
            .with_param(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::look::Look;

    fn asked(body: &str) -> Result<Asked, Error> {
        asked_of(Operation::Chat, body)
    }

    fn asked_of(operation: Operation, body: &str) -> Result<Asked, Error> {
        let mut look = Look::new(&KEYS);
        look.push(body.as_bytes()).unwrap();
        Asked::of(body.as_bytes(), &look.finish().unwrap(), operation)
    }

    fn names(fallbacks: &str) -> Result<Option<Vec<String>>, Error> {
        asked(&format!(r#"{{"fallbacks":{fallbacks},"model":"m"}}"#)).map(|asked| asked.fallbacks)
    }

    #[test]
    fn fallbacks_are_names_or_objects() {
        assert_eq!(asked(r#"{"model":"m"}"#).unwrap().fallbacks, None);
        assert_eq!(names("null"), Ok(None));
        assert_eq!(names(" [ ] "), Ok(Some(vec![])));
        let mixed = r#"["openai/gpt","\u0061/b",{"provider":"anthropic","model":"c","x":[1]},{"model":"d/e"},
            {"model":"f","provider":null},{"provider":"g","model":""},{"provider":"","model":"h"}]"#;
        let expected = ["openai/gpt", "a/b", "anthropic/c", "d/e", "f", "g/", "h"];
        assert_eq!(names(mixed), Ok(Some(expected.map(String::from).to_vec())));
        let many = |count| format!("[{}]", vec![r#""a/b""#; count].join(","));
        assert_eq!(names(&many(FALLBACKS_MAX)).unwrap().unwrap().len(), FALLBACKS_MAX);
        for wrong in [
            &many(FALLBACKS_MAX + 1),
            "{}",
            "\"a/b\"",
            "7",
            "true",
            "[7]",
            "[null]",
            "[[\"a/b\"]]",
            r#"[{"provider":"a"}]"#,
            r#"[{"model":7}]"#,
            r#"[{"model":null}]"#,
            r#"[{"provider":"a/b","model":"c"}]"#,
        ] {
            let error = names(wrong).unwrap_err();
            let expected = (Kind::InvalidRequest, Some("fallbacks"));
            assert_eq!((error.kind, error.param.as_deref()), expected, "{wrong}");
        }
    }

    #[test]
    fn fallbacks_are_cut_out_wherever_they_stand() {
        for (body, left) in [
            (r#"{"fallbacks":["a/b"],"model":"m"}"#, r#"{"model":"m"}"#),
            (r#"{"model":"m","fallbacks":null,"x":1}"#, r#"{"model":"m","x":1}"#),
            (r#"{"model":"m" , "fallbacks" : [{"model":"a"}] }"#, r#"{"model":"m"  }"#),
        ] {
            let mut text = body.to_owned();
            for cut in asked(body).unwrap().cuts.into_iter().rev() {
                text.replace_range(cut, "");
            }
            assert_eq!(text, left);
        }
    }

    #[test]
    fn a_stream_asks_for_its_usage_wherever_its_members_stand() {
        let edited = |body: &str| {
            let asked = asked(body).unwrap();
            let edit = asked.usage_edit(body.as_bytes())?;
            let mut text = body.to_owned();
            text.replace_range(edit.span, std::str::from_utf8(&edit.bytes).unwrap());
            Some(text)
        };
        for (body, expected) in [
            (
                r#"{"stream":true,"model":"m"}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#,
            ),
            (
                r#"{"model":"m", "stream" : true }"#,
                r#"{"model":"m", "stream" : true,"stream_options":{"include_usage":true} }"#,
            ),
            (
                r#"{"stream_options":null,"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options": {"include_usage":false}}"#,
                r#"{"model":"m","stream":true,"stream_options": {"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(edited(body).as_deref(), Some(expected));
        }
        for body in [
            r#"{"model":"m"}"#,
            r#"{"model":"m","stream":false,"stream_options":{}}"#,
            r#"{"model":"m","stream":null}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":7}"#,
        ] {
            assert_eq!(edited(body), None, "{body}");
        }
    }

    #[test]
    fn a_model_is_a_string_and_a_stream_is_true_or_false() {
        let kind = |body| asked(body).map(|asked| asked.operation.is_stream()).map_err(|error| error.kind);
        assert_eq!(kind(r#"{"model":"m","stream":true}"#), Ok(true));
        assert_eq!(kind(r#"{"model":"m","stream":null}"#), Ok(false));
        assert_eq!(kind(r#"{"model":"m","stream":1}"#), Err(Kind::InvalidRequest));
        assert_eq!(kind(r#"{"model":1}"#), Err(Kind::ModelNotFound));
        assert_eq!(kind("{}"), Err(Kind::ModelNotFound));
        let embedding = asked_of(Operation::Embedding, r#"{"model":"m","stream":true}"#).unwrap();
        assert_eq!(embedding.operation, Operation::Embedding);
        assert!(asked_of(Operation::Embedding, "{}").is_err());
    }

    #[test]
    fn only_a_moderation_has_a_default_model() {
        for (body, others) in
            [(r#" {"input":"a"}"#, true), (" {}", false), (r#" {"fallbacks":["openai/a"]}"#, false)]
        {
            let asked = asked_of(Operation::Moderation, body).unwrap();
            assert_eq!(asked.model, "openai/omni-moderation-latest");
            let place = match asked.model_place {
                ModelPlace::Default { at, has_others } => Some((at, has_others)),
                ModelPlace::Span(_)
                | ModelPlace::Form(_)
                | ModelPlace::Invoked { .. }
                | ModelPlace::Deployed { .. }
                | ModelPlace::Unnamed { .. }
                | ModelPlace::Path(_) => None,
            };
            assert_eq!(place, Some((2, others)), "{body}");
        }
        assert!(asked_of(Operation::Moderation, r#"{"model":null}"#).is_err());
    }

    #[test]
    fn a_paths_model_is_the_bodys() {
        let named = |body: &str| {
            let mut look = Look::new(&KEYS);
            look.push(body.as_bytes()).unwrap();
            let path = ("gemini/m".to_owned(), Vec::new());
            Asked::named(body.as_bytes(), &look.finish().unwrap(), Operation::ChatStream, path)
        };
        let body = r#"{"model":"models/gemini/m","stream":7,"fallbacks":["a/b"],"contents":[]}"#;
        let asked = named(body).unwrap();
        assert_eq!((asked.operation, &*asked.model), (Operation::ChatStream, "gemini/m"));
        let ModelPlace::Path(places) = &asked.model_place else { panic!("it is the path's") };
        assert_eq!((places.len(), &body[places[0].clone()]), (1, "\"models/gemini/m\""));
        assert_eq!(asked.fallbacks, Some(vec!["a/b".to_owned()]));
        assert_eq!(asked.cuts.len(), 1);
        for wrong in [r#"{"model":"models/x"}"#, r#"{"model":null}"#, r#"{"model":"models/models/gemini/m"}"#]
        {
            assert_eq!(named(wrong).err().and_then(|error| error.param).as_deref(), Some("model"), "{wrong}");
        }
    }
}
