//! `custom_provider_config.allowed_requests` and `request_path_overrides`: what a custom provider may be asked for, and on
//! which paths. The names are Bifrost's request types, and a few that it has none for (`moderation`, `translation`); refusing a request that is
//! not allowed is `routing`'s.

use super::document::At;
use super::fault::{Printable, Report};
use super::file::{Effect, Key, Kind, When};
use super::snapshot::{Operations, Targets};
use super::url::check_target;
use crate::dialect::Operation;
use crate::provider::id_place;

/// Those beside the ones that this version serves: a config may name them, and nothing here asks for them.
const UNSERVED: [&str; 26] = [
    "compaction",
    "ocr",
    "video_generation",
    "video_retrieve",
    "video_download",
    "video_delete",
    "video_list",
    "video_remix",
    "container_create",
    "container_list",
    "container_retrieve",
    "container_delete",
    "container_file_create",
    "container_file_list",
    "container_file_retrieve",
    "container_file_content",
    "container_file_delete",
    "passthrough",
    "passthrough_stream",
    "websocket_responses",
    "realtime",
    "cached_content_create",
    "cached_content_list",
    "cached_content_retrieve",
    "cached_content_update",
    "cached_content_delete",
];

/// The keys of `allowed_requests`.
pub(crate) static ALLOWED_REQUESTS: &[Key] = &keys(Kind::Bool, Effect::Honoured);

/// The keys of `request_path_overrides`.
pub(crate) static PATH_OVERRIDES: &[Key] =
    &keys(Kind::Text, Effect::Ignored(When::Asking, "this version does not serve the operation"));

const SERVED_COUNT: usize = Operation::ALL.len();
const COUNT: usize = SERVED_COUNT + UNSERVED.len();

/// One key for each operation.
const fn keys(kind: Kind, unserved: Effect) -> [Key; COUNT] {
    let mut keys = [Key { name: "", kind, effect: unserved, is_secret: false }; COUNT];
    let mut index = 0;
    while index < COUNT {
        if index < SERVED_COUNT {
            keys[index].name = Operation::ALL[index].name();
            keys[index].effect = Effect::Honoured;
        } else {
            keys[index].name = UNSERVED[index - SERVED_COUNT];
        }
        index += 1;
    }
    keys
}

/// What a custom provider may be asked for: everything, unless the section stands there.
pub(crate) fn allowed(custom: Option<&At<'_>>, report: &mut Report<'_>) -> Operations {
    let Some(at) = custom.and_then(|custom| custom.member("allowed_requests")) else {
        return Operations::default();
    };
    let is_allowed =
        |operation: &Operation| at.member(operation.name()).and_then(|at| at.bool()) == Some(true);
    // As Bifrost has it (compat.md 1.5): where none of them is named, they follow what they are about.
    let stored = || Operation::ALL.into_iter().filter(|operation| operation.is_of_stored());
    let follow =
        is_allowed(&Operation::Responses) && !stored().any(|operation| at.member(operation.name()).is_some());
    let operations = Operation::ALL
        .into_iter()
        .filter(|operation| is_allowed(operation) || (follow && operation.is_of_stored()))
        .fold(Operations::NONE, Operations::with);
    if [Operations::NONE, Operations::NONE.with(Operation::ListModels)].contains(&operations) {
        let message = "the provider serves no conversation: what is not set to true here is refused, \
             chat_completion and chat_completion_stream too";
        report.warn(at.name_spot(), message);
    }
    operations
}

/// Whether a custom provider is said to have `/responses`: nobody can know it of what speaks OpenAI's dialect, and whoever has
/// it not is asked in chat's words.
pub(crate) fn names_responses(custom: &At<'_>) -> bool {
    Operation::ALL.into_iter().filter(|operation| operation.is_of_responses()).any(|operation| {
        let member = |section| custom.member(section).and_then(|at| at.member(operation.name()));
        let path =
            member("request_path_overrides").and_then(|at| at.text().map(|path| !path.trim().is_empty()));
        member("allowed_requests").and_then(|at| at.bool()) == Some(true) || path == Some(true)
    })
}

/// The same without those of Responses where the provider does not speak it: what it cannot be asked for it may not be, so that
/// the normal form says it.
pub(crate) fn spoken(operations: Operations, speaks_responses: bool) -> Operations {
    let unspoken = Operation::ALL.into_iter().filter(|one| !speaks_responses && one.is_of_responses());
    unspoken.fold(operations, Operations::without)
}

/// The paths that a custom provider overrides, each with a leading `/` and perhaps a query; `has` says of an operation
/// whether the base provider's API has it.
pub(crate) fn paths(
    custom: Option<&At<'_>>,
    allowed: Operations,
    has: impl Fn(Operation) -> bool,
    report: &mut Report<'_>,
) -> Targets {
    let mut paths = Targets::default();
    let Some(at) = custom.and_then(|custom| custom.member("request_path_overrides")) else { return paths };
    for operation in Operation::ALL {
        let Some(member) = at.member(operation.name()) else { continue };
        if let Some(path) = path(&member, operation, report) {
            if let Some(place) = id_place(operation).filter(|place| !path.contains(place)) {
                let message = format!("has no effect: write {place} where the id stands");
                report.warn(member.spot(), message);
            } else if has(operation) {
                paths.set(operation, path);
            } else {
                let message = "has no effect: the base provider's API has no such operation";
                report.warn(member.spot(), message);
            }
        }
    }
    for whole in [Operation::Chat, Operation::TextCompletion, Operation::Responses] {
        let stream = whole.streamed(true);
        let (one, other) = match (paths.of(whole), paths.of(stream)) {
            (Some(_), None) if allowed.has(stream) => (whole, stream),
            (None, Some(_)) if allowed.has(whole) => (stream, whole),
            _ => continue,
        };
        if let Some(at) = at.member(one.name()) {
            let other = other.name();
            let message =
                format!("{other} keeps the base provider's own path; name it too if it goes the same way");
            report.warn(at.name_spot(), message);
        }
    }
    paths
}

/// Says of paths beside a base URL that ends in `/v1` that this ending does not go before them, as it does not go before
/// the base provider's own.
pub(crate) fn warn_of_base_ending(custom: Option<&At<'_>>, report: &mut Report<'_>) {
    let Some(at) = custom.and_then(|custom| custom.member("request_path_overrides")) else { return };
    for operation in Operation::ALL {
        if let Some(member) = at.member(operation.name())
            && let Some(path) = member.text().map(str::trim)
            && !path.is_empty()
            && !path.trim_start_matches('/').starts_with("v1/")
        {
            let message =
                "the /v1 that ends base_url does not go before this path: begin it with /v1 if it should";
            report.warn(member.spot(), message);
        }
    }
}

/// An empty one counts as left out, one without its `/` gets it, as Bifrost has it.
fn path(at: &At<'_>, operation: Operation, report: &mut Report<'_>) -> Option<String> {
    let written = at.text()?.trim();
    if written.is_empty() {
        return None;
    }
    let path = if written.starts_with('/') { written.to_owned() } else { format!("/{written}") };
    let is_url = written.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?']));
    let fault = if is_url {
        Some(
            "a whole URL is not served by this version: write a path, and the host in network_config.base_url",
        )
    } else if let Some(place) = id_place(operation) {
        check_target(&path.replacen(place, "id", 1)).err()
    } else {
        check_target(&path).err()
    };
    if let Some(message) = fault {
        report.fault(at.spot(), message);
        return None;
    }
    if path != written {
        report.warn(at.spot(), format!("is taken as \"{}\"", Printable(&path)));
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn checked(json: &str) -> (Targets, Vec<String>, Vec<String>) {
        let mut report = Report::new("c", json.as_bytes());
        let node = parse(json, &mut report).expect("JSON");
        let operations = allowed(Some(&At::root(&node)), &mut report);
        let has = |operation| operation != Operation::CountTokens;
        let paths = paths(Some(&At::root(&node)), operations, has, &mut report);
        let faults = report.faults_count();
        let notices = report.into_notices().iter().map(ToString::to_string).collect();
        (paths, notices, vec![String::new(); faults])
    }

    fn one(path: &str) -> Option<String> {
        let json = serde_json::json!({ "request_path_overrides": { "list_models": path } });
        checked(&json.to_string()).0.of(Operation::ListModels).map(str::to_owned)
    }

    #[test]
    fn operations_are_named_once() {
        let mut names: Vec<_> = ALLOWED_REQUESTS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
        assert!(PATH_OVERRIDES.iter().all(|key| !key.name.is_empty()));
    }

    #[test]
    fn a_path_may_bring_a_query() {
        for (written, taken) in [
            ("/v1/chat", "/v1/chat"),
            ("v1/chat", "/v1/chat"),
            (" /a/b/ ", "/a/b/"),
            ("/", "/"),
            ("/a?api-version=2024-10-21&x=%20", "/a?api-version=2024-10-21&x=%20"),
            ("/a?", "/a?"),
            ("/a:b@c", "/a:b@c"),
            ("/a?next=http://b", "/a?next=http://b"),
            ("/a?next=/b/../c", "/a?next=/b/../c"),
        ] {
            assert_eq!(one(written).as_deref(), Some(taken), "{written}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for written in [
            "https://a.com/v1",
            "//a.com/v1",
            "//",
            "/a//",
            "/a b",
            "/a#b",
            "/a?b#c",
            "/a/../b",
            "/a/./b",
            "/a//b",
            "/a/%2",
            "/a?b=%zz",
            "/a\r\nHost: b",
            "/a?b\nc",
            "/ä",
            "/a?ä",
            "/a\\b",
            "/a?b c",
            &format!("/{}", "a".repeat(2_048)),
        ] {
            let json = serde_json::json!({ "request_path_overrides": { "chat_completion": written } });
            let (paths, _, faults) = checked(&json.to_string());
            assert_eq!((paths.of(Operation::Chat), faults.len()), (None, 1), "{written}");
        }
    }

    #[test]
    fn an_override_of_one_kind_of_conversation_is_warned_of() {
        let (paths, notices, _) =
            checked(r#"{"request_path_overrides": {"chat_completion": "/a", "list_models": ""}}"#);
        let mut expected = Targets::default();
        expected.set(Operation::Chat, "/a".to_owned());
        assert_eq!(paths, expected);
        assert_eq!(
            notices,
            [
                "c:1:29: /request_path_overrides/chat_completion: chat_completion_stream keeps the base provider's \
              own path; name it too if it goes the same way"
            ]
        );
    }

    #[test]
    fn an_override_is_not_warned_of_where_the_other_kind_is_not_allowed() {
        for path in ["chat_completion", "chat_completion_stream", "text_completion_stream"] {
            let json = serde_json::json!({
                "allowed_requests": { path: true }, "request_path_overrides": { path: "/a" }
            });
            assert_eq!(checked(&json.to_string()).1, [""; 0], "{path}");
        }
    }

    #[test]
    fn only_what_is_true_is_allowed() {
        let allowed = |json: &str| {
            let mut report = Report::new("c", json.as_bytes());
            let node = parse(json, &mut report).expect("JSON");
            let operations = allowed(Some(&At::root(&node)), &mut report);
            (operations, report.into_notices().len())
        };
        let (all, none) = (Operations::default(), Operations::NONE);
        assert_eq!(allowed("{}"), (all, 0));
        assert_eq!(allowed(r#"{"allowed_requests": null}"#), (all, 0));
        assert_eq!(allowed(r#"{"allowed_requests": {}}"#), (none, 1));
        let lists = none.with(Operation::ListModels);
        assert_eq!(allowed(r#"{"allowed_requests": {"list_models": true, "ocr": true}}"#), (lists, 1));
        let embeds = none.with(Operation::Embedding);
        assert_eq!(
            allowed(r#"{"allowed_requests": {"list_models": false, "embedding": true}}"#),
            (embeds, 0)
        );
        assert!(embeds.has(Operation::Embedding) && !embeds.has(Operation::Chat));
        assert_eq!(format!("{:?}", embeds.with(Operation::Chat)), r#"["chat_completion", "embedding"]"#);
        for operation in Operation::ALL {
            assert!(all.has(operation) && !none.has(operation) && none.with(operation).has(operation));
        }
    }

    #[test]
    fn what_is_asked_of_stored_responses_follows_them_and_its_path_has_their_id() {
        let (paths, notices, faults) = checked(
            r#"{"allowed_requests": {"responses": true}, "request_path_overrides":
                {"responses_retrieve": "/r/{response_id}?v=1", "responses_delete": "/r", "responses": "/r"}}"#,
        );
        assert_eq!(paths.of(Operation::ResponsesRetrieve), Some("/r/{response_id}?v=1"));
        assert_eq!(paths.of(Operation::ResponsesDelete), None);
        assert!(
            notices.len() == 1 && notices[0].contains("has no effect: write {response_id}"),
            "{notices:?}"
        );
        assert!(faults.is_empty());
        let (_, _, faults) =
            checked(r#"{"request_path_overrides": {"responses_cancel": "/{response_id}/{response_id}"}}"#);
        assert_eq!(faults.len(), 1);
        let allowed = |json: &str| {
            let mut report = Report::new("c", json.as_bytes());
            let node = parse(json, &mut report).expect("JSON");
            let at = At::root(&node);
            (allowed(Some(&at), &mut report).has(Operation::ResponsesDelete), names_responses(&at))
        };
        for (json, expected) in [
            ("{}", (true, false)),
            (r#"{"allowed_requests": {"responses": true}}"#, (true, true)),
            (r#"{"allowed_requests": {"responses": true, "responses_retrieve": true}}"#, (false, true)),
            (r#"{"allowed_requests": {"responses_stream": true, "responses": false}}"#, (false, true)),
            (r#"{"request_path_overrides": {"responses": "/a"}}"#, (true, true)),
            (r#"{"request_path_overrides": {"responses": " "}}"#, (true, false)),
        ] {
            assert_eq!(allowed(json), expected, "{json}");
        }
    }

    #[test]
    fn a_path_of_what_the_base_does_not_have_is_without_effect() {
        let (paths, notices, _) = checked(r#"{"request_path_overrides": {"count_tokens": "/a"}}"#);
        assert_eq!(paths, Targets::default());
        assert!(notices.len() == 1 && notices[0].contains("has no effect"), "{notices:?}");
    }
}
