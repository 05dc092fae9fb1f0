//! `docs/dialects.md`, made from the tables of the crate: which operation of which provider is asked for in which dialect,
//! as it stands or translated, and what is refused. `UPDATE_EXPECTED=1 cargo test --test dialects_table` rewrites it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test's failure; the environment is the caller's word"
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use corelane::api::{self, Endpoint};
use corelane::dialect::{Dialect, Operation};
use corelane::provider::{self, Entry, Family};

/// Prefixes behind which the same paths stand once more.
const LIBRARIES: [&str; 3] = ["/litellm/", "/langchain/", "/pydanticai/"];

const CALLERS: [Dialect; 6] = [
    Dialect::OpenAi,
    Dialect::Responses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Cohere,
    Dialect::Bedrock,
];

const INTRODUCTION: &str = "\
# Dialects

Which operation a caller may ask for in which dialect, of which provider. This page is made from the tables that the
gateway itself reads (`api`, `provider`, `Operation::ways`); `UPDATE_EXPECTED=1 cargo test --test dialects_table` writes it.

- **native**: the body passes through as it was written, but for the model's name, and unknown fields with it.
- **→ operation**: translated. The provider is asked for that operation in its own dialect, and its answer, streamed or
  whole, comes back in the caller's. What the provider's dialect cannot say is left out and named in
  `x-corelane-dropped-params`; where leaving it out would change the answer's shape (`n` over 1, `logprobs`, audio as
  output) or lose content (a part of a message that the provider cannot take, a URL where it takes bytes alone), the
  request is a 400 that names the field. No URL in a body is ever fetched.
- **—**: refused with a 400 before anything is sent, unless a fallback can do it. The provider's API has no such operation.

Only OpenAI and its kin keep responses. Asked of another provider, what needs that store (`previous_response_id`,
`conversation`, `prompt`, `background`, a reference to an item) is a 400; clients that send references on their own, as the
Vercel AI SDK does, take `store: false`.

A model of Azure's or Vertex' with `claude` in its name, or in its deployment's, is asked for by Anthropic's own API. Azure's paths
are those of its v1 API; a key with a dated `api_version` asks at `/openai/deployments/{model}/…`, and before 2025-03-01-preview
has no responses.

That a provider's API has an operation does not say that the provider serves each model in it; it says so itself.
";

#[test]
fn the_page_is_what_the_tables_say() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dialects.md");
    if std::env::var("UPDATE_EXPECTED").is_ok_and(|word| word == "1") {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/dialects.md is behind the tables: UPDATE_EXPECTED=1 cargo test --test dialects_table"
    );
}

#[test]
fn each_dialect_is_native_somewhere_and_reaches_the_others() {
    for (caller, provider) in CALLERS
        .into_iter()
        .flat_map(|caller| ["openai", "anthropic", "gemini", "cohere", "bedrock"].map(|name| (caller, name)))
    {
        let entry = provider::find(provider).unwrap();
        let chat = if caller == Dialect::Responses { Operation::Responses } else { Operation::Chat };
        let expected = match (caller, provider) {
            (Dialect::OpenAi, "openai") | (Dialect::Anthropic, "anthropic") | (Dialect::Gemini, "gemini") => {
                "native"
            }
            (Dialect::Responses, "openai") | (Dialect::Cohere, "cohere") | (Dialect::Bedrock, "bedrock") => {
                "native"
            }
            _ => "→ `chat_completion`",
        };
        assert_eq!(way(caller, chat, entry, Family::Own), expected, "{caller:?} at {provider}");
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for caller in CALLERS {
        write!(page, "\n## Callers that speak {}\n\n", title(caller)).unwrap();
        table(&mut page, caller);
    }
    page.push_str("\n## Where callers ask\n\nThe same once more behind `/litellm`, `/langchain` and `/pydanticai`. A GET that corelane answers itself takes HEAD as well, one that a provider answers does not (405); `{model}` may hold slashes.\n\n");
    routes(&mut page);
    page.push_str("\n## Providers' paths\n\nBehind the base URL, which `network_config.base_url` moves.\n\n");
    paths(&mut page);
    page.push_str("\n## Known by name, not served\n\nA config may name them; `corelane check` says that they are not served.\n\n");
    let unserved: Vec<String> =
        entries().filter(|entry| entry.dialect.is_none()).map(|entry| format!("`{}`", entry.name)).collect();
    writeln!(page, "{}", unserved.join(", ")).unwrap();
    page
}

fn title(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "OpenAI's chat completions and its kin",
        Dialect::Responses => "OpenAI's responses",
        Dialect::Anthropic => "Anthropic's messages",
        Dialect::Gemini => "Gemini's generateContent",
        Dialect::Cohere => "Cohere's chat, embed and rerank",
        Dialect::Bedrock => "Bedrock's Converse",
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    provider::names().filter_map(provider::find)
}

fn served() -> impl Iterator<Item = &'static Entry> {
    entries().filter(|entry| entry.dialect.is_some())
}

/// Each provider by its name, and once more each cloud for its Claude.
fn faces() -> impl Iterator<Item = (String, &'static Entry, Family)> {
    served().flat_map(|entry| {
        let claude = entry.cloud.map(|_| (format!("claude on {}", entry.name), entry, Family::Claude));
        std::iter::once((entry.name.to_owned(), entry, Family::Own)).chain(claude)
    })
}

fn path(entry: &Entry, family: Family, operation: Operation) -> Option<String> {
    match entry.cloud {
        Some(cloud) => cloud.usual_path(family, operation),
        None => entry.path(operation),
    }
}

/// A row for each set of providers that take the caller's operations alike.
fn table(page: &mut String, caller: Dialect) {
    let asked: Vec<Operation> =
        Operation::ALL.into_iter().filter(|operation| has(caller, *operation)).collect();
    let head: Vec<String> = asked.iter().map(|operation| format!("`{}`", operation.name())).collect();
    writeln!(page, "| provider | {} |\n|---|{}", head.join(" | "), "---|".repeat(head.len())).unwrap();
    let mut rows: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for (name, entry, family) in faces() {
        let cells: Vec<String> =
            asked.iter().map(|operation| way(caller, *operation, entry, family)).collect();
        match rows.iter_mut().find(|(known, _)| *known == cells) {
            Some((_, names)) => names.push(name),
            None => rows.push((cells, vec![name])),
        }
    }
    for (cells, names) in rows {
        writeln!(page, "| {} | {} |", names.join(", "), cells.join(" | ")).unwrap();
    }
}

/// Whether callers of this dialect can ask for the operation: a path has it, as it stands or streamed.
fn has(caller: Dialect, operation: Operation) -> bool {
    api::routes().any(|route| match route.endpoint {
        Endpoint::Inference(asked, dialect) => {
            dialect == caller && (asked == operation || asked.streamed(true) == operation)
        }
        _ => false,
    })
}

fn way(caller: Dialect, operation: Operation, entry: &Entry, family: Family) -> String {
    let dialect = entry.cloud.map(|cloud| cloud.dialect(family)).or(entry.dialect);
    let Some(dialect) = dialect else { return "—".to_owned() };
    let way = operation.ways(caller, dialect).find(|(_, asked)| path(entry, family, *asked).is_some());
    match way {
        None => "—".to_owned(),
        Some((spoken, asked)) if spoken == caller && asked == operation => "native".to_owned(),
        Some((_, asked)) => format!("→ `{}`", asked.name()),
    }
}

/// The paths of each endpoint, those of one operation in one row.
fn routes(page: &mut String) {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let is_library = |path: &str| LIBRARIES.iter().any(|library| path.starts_with(library));
    for route in api::routes().filter(|route| !is_library(route.path)) {
        let what = match route.endpoint {
            Endpoint::Inference(operation, dialect) => {
                format!("`{}` in the dialect `{}`", operation.name(), dialect.name())
            }
            Endpoint::Models(dialect) => format!("the list of models as `{}` has it", dialect.name()),
            Endpoint::Model(dialect) => format!("one model as `{}` has it", dialect.name()),
            other => format!("{other:?}").to_ascii_lowercase(),
        };
        let path = format!("`{} {}`", format!("{:?}", route.method).to_ascii_uppercase(), route.path);
        match rows.iter_mut().find(|(known, _)| *known == what) {
            Some((_, paths)) => paths.push(path),
            None => rows.push((what, vec![path])),
        }
    }
    page.push_str("| what | paths |\n|---|---|\n");
    for (what, paths) in rows {
        writeln!(page, "| {what} | {} |", paths.join(" ")).unwrap();
    }
}

fn paths(page: &mut String) {
    page.push_str("| provider | dialect | base URL | paths |\n|---|---|---|---|\n");
    for (name, entry, family) in faces() {
        let mut by_path: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for operation in Operation::ALL {
            if let Some(path) = path(entry, family, operation) {
                by_path.entry(path).or_default().push(operation.name());
            }
        }
        let paths: Vec<String> = by_path.keys().map(|path| format!("`{path}`")).collect();
        let base =
            if entry.base_url.is_empty() { "each key's own".to_owned() } else { entry.base_url.to_owned() };
        let dialect = entry.cloud.map(|cloud| cloud.dialect(family)).or(entry.dialect);
        let dialect = dialect.map_or("", Dialect::name);
        writeln!(page, "| {name} | {dialect} | {base} | {} |", paths.join(" ")).unwrap();
    }
}
