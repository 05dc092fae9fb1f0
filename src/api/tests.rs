//! Which path is which route, and what is none.

use super::*;

#[test]
fn only_the_exact_spelling_is_a_route() {
    assert!(find(b"/v1/chat/completions").is_some());
    for path in ["/v1/chat/completions/", "/v1/chat%2Fcompletions", "/x/../v1/models", "//v1/models", ""] {
        assert!(find(path.as_bytes()).is_none(), "{path}");
    }
}

#[test]
fn a_head_that_is_no_request_still_has_a_nearest_shape() {
    for (head, surface) in [
        ("POST /anthropic/v1/messages HTTP/1.1\r\nhost : a", Surface::Anthropic),
        ("\r\nPOST /anthropic/v1/mess", Surface::Anthropic),
        ("GET http://a/openai/models HTTP/2.0\r\n", Surface::OpenAi),
        ("GET HTTPS://a:1/openai/models HTTP/2.0\n", Surface::OpenAi),
        ("BREW /openai/v1/models HTTP/1.1", Surface::OpenAi),
        ("POST /langchain/anthropic/v1/messages HTTP/1.1", Surface::Anthropic),
        ("GET http://openai/v1/models HTTP/1.1", Surface::Native),
        ("GET http:///anthropic/", Surface::Anthropic),
        ("GET\r\n/anthropic/ HTTP/1.1", Surface::Native),
        ("/anthropic/v1/messages", Surface::Native),
        ("\u{16}\u{3}\u{1}", Surface::Native),
        ("", Surface::Native),
    ] {
        assert_eq!(surface_of_head(head.as_bytes()), surface, "{head:?}");
    }
}

#[test]
fn unknown_paths_answer_in_the_nearest_shape() {
    assert_eq!(surface_of(b"/anthropic/v1/complete"), Surface::Anthropic);
    assert_eq!(surface_of(b"/openai/v1/files"), Surface::OpenAi);
    assert_eq!(surface_of(b"/langchain/x"), Surface::OpenAi);
    assert_eq!(surface_of(b"/litellm/anthropic/v1/complete"), Surface::Anthropic);
    for path in ["/v2", "/litellmx/v1/models", "/litellm", "/x/anthropic/v1/messages"] {
        assert_eq!(surface_of(path.as_bytes()), Surface::Native, "{path}");
    }
}

#[test]
fn each_path_stands_once_and_its_errors_are_those_of_its_prefix() {
    let mut paths: Vec<(&str, Method)> = routes().map(|route| (route.path, route.method)).collect();
    for route in routes() {
        assert_eq!(surface_of(route.path.as_bytes()), route.surface, "{route:?}");
        assert_eq!(find_for(route.path.as_bytes(), route.method), Some(route));
    }
    let count = paths.len();
    paths.sort_unstable_by_key(|(path, method)| (*path, method.name()));
    paths.dedup();
    assert_eq!((paths.len(), count), (9 * 28 + 4 * 15 + 8 * 7 + 4 * 6 + 4 * 4 + 9 + 6 * 3 + 2, paths.len()));
    for route in routes() {
        let is_open = OPEN.iter().copied().flatten().any(|open| open == route);
        assert_eq!(route.path.contains('{'), is_open, "{route:?}");
    }
}

#[test]
fn a_stored_response_has_two_methods_and_no_head() {
    let id = b"/v1/responses/resp_1~0";
    let endpoint = |path: &[u8], method| find_for(path, method).map(|route| route.endpoint);
    assert_eq!(endpoint(id, Method::Get), Some(response(Operation::ResponsesRetrieve)));
    assert_eq!(endpoint(id, Method::Delete), Some(response(Operation::ResponsesDelete)));
    for method in [Method::Head, Method::Post] {
        let found = find_for(id, method).unwrap();
        assert!(!found.takes(method) && found.allow() == "GET, DELETE, OPTIONS");
    }
    let items = find_for(b"/openai/responses/a%7Eb/input_items", Method::Get).unwrap();
    assert_eq!(items.parameter(b"/openai/responses/a%7Eb/input_items").as_deref(), Some("a~b"));
    assert_eq!(items.allow(), "GET, OPTIONS");
    let count = find_for(b"/v1/responses/input_tokens", Method::Get).unwrap();
    assert!(!count.takes(Method::Get) && count.allow() == "POST, OPTIONS");
    for path in [
        "/v1/responses/a/b",
        "/v1/responses/",
        "/v1/responses/a%2Fb",
        "/v1/responses/..",
        "/v1/responses/a/cancel/",
    ] {
        assert_eq!(find_for(path.as_bytes(), Method::Get), None, "{path}");
    }
}

#[test]
fn a_vendors_path_is_its_home_and_a_librarys_prefix_is_nobodys() {
    let of = |path: &str| find(path.as_bytes()).map(|route| (route.endpoint, route.surface, route.home));
    let chat = open_ai(Operation::Chat);
    for path in
        ["/litellm/v1/chat/completions", "/langchain/chat/completions", "/pydanticai/chat/completions"]
    {
        assert_eq!(of(path), Some((chat, Surface::OpenAi, None)), "{path}");
    }
    assert_eq!(of("/v1/chat/completions"), Some((chat, Surface::Native, None)));
    assert_eq!(of("/openai/chat/completions"), Some((chat, Surface::OpenAi, OPENAI)));
    for (path, operation) in [
        ("/cohere/v2/chat", Operation::Chat),
        ("/litellm/cohere/v2/embed", Operation::Embedding),
        ("/langchain/cohere/v2/rerank", Operation::Rerank),
        ("/pydanticai/cohere/v1/tokenize", Operation::CountTokens),
    ] {
        assert_eq!(of(path), Some((command(operation), Surface::Cohere, COHERE)), "{path}");
    }
    assert_eq!(of("/v1/rerank"), Some((open_ai(Operation::Rerank), Surface::Native, None)));
    assert_eq!(surface_of(b"/cohere/v1/chat"), Surface::Cohere);
    let count = claude(Operation::CountTokens);
    for path in ["/anthropic/v1/messages/count_tokens", "/pydanticai/anthropic/v1/messages/count_tokens"] {
        assert_eq!(of(path), Some((count, Surface::Anthropic, ANTHROPIC)), "{path}");
    }
    for path in ["/litellm/openai/v1/chat/completions", "/anthropic/messages", "/v1/messages", "/cohere/chat"]
    {
        assert_eq!(of(path), None, "{path}");
    }
}

#[test]
fn a_models_name_is_decoded_once_and_may_hold_slashes() {
    let named = |path: &str| find(path.as_bytes()).and_then(|route| route.model(path.as_bytes()));
    for (path, name) in [
        ("/v1/models/gpt-4o", "gpt-4o"),
        ("/openai/models/openai/gpt-4o", "openai/gpt-4o"),
        ("/litellm/v1/models/a/b/c", "a/b/c"),
        ("/anthropic/v1/models/anthropic%2Fclaude-x", "anthropic/claude-x"),
        ("/v1/models/a%252fb", "a%2fb"),
        ("/v1/models/%c3%a4:free", "ä:free"),
        ("/v1/models/..a", "..a"),
    ] {
        assert_eq!(named(path).as_deref(), Some(name), "{path}");
    }
    for path in [
        "/v1/models/",
        "/v1/models/.",
        "/v1/models/%2e%2E",
        "/v1/models/a/../b",
        "/v1/models/a%2f%2e%2e",
        "/v1/models//a",
        "/v1/models/a/",
        "/v1/models/a%2F",
        "/v1/models/%ff",
        "/v1/models/%0a",
        "/v1/models/%2",
        "/v1/models/%zz",
    ] {
        assert_eq!(find(path.as_bytes()), None, "{path}");
    }
    assert_eq!(named("/v1/models"), None);
}

#[test]
fn a_models_name_may_stand_before_a_method() {
    let operation = |path: &str| {
        let route = find(path.as_bytes())?;
        assert_eq!((route.surface, route.home), (Surface::Gemini, GEMINI), "{path}");
        match route.endpoint {
            Endpoint::Inference(operation, Dialect::Gemini) => {
                Some((route.model(path.as_bytes())?, operation))
            }
            endpoint => {
                assert_eq!(endpoint, Endpoint::Model(Dialect::Gemini), "{path}");
                None
            }
        }
    };
    for (path, name, expected) in [
        ("/genai/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash", Operation::Chat),
        ("/genai/v1/models/openai/gpt-4o-mini:generateContent", "openai/gpt-4o-mini", Operation::Chat),
        ("/genai/v1beta/models/a:free:streamGenerateContent", "a:free", Operation::ChatStream),
        (
            "/litellm/genai/v1/models/a:generateContent:countTokens",
            "a:generateContent",
            Operation::CountTokens,
        ),
        ("/langchain/genai/v1beta/models/a%2Fb%3Ac:embedContent", "a/b:c", Operation::Embedding),
        ("/pydanticai/genai/v1/models/m:batchEmbedContents", "m", Operation::EmbeddingBatch),
    ] {
        assert_eq!(operation(path), Some((name.to_owned(), expected)), "{path}");
    }
    for other in [
        "/genai/v1beta/models/m",
        "/genai/v1beta/models/m:predict",
        "/genai/v1beta/models/m%3AgenerateContent",
        "/genai/v1beta/models/:generateContent",
        "/genai/v1beta/models/..:generateContent",
    ] {
        assert_eq!(operation(other), None, "{other}");
    }
    for none in [
        "/genai/v1beta/models/a/../b:generateContent",
        "/genai/v1beta/models//a:generateContent",
        "/genai/v1beta/models/a%2f..%2fb:generateContent",
        "/genai/v1beta/models/%ff:generateContent",
        "/genai/v2/models/m:generateContent",
        "/genai/models/m:generateContent",
    ] {
        assert_eq!(find(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn a_model_of_bedrocks_may_be_an_arn() {
    let found = |path: &str| {
        let route = find(path.as_bytes())?;
        assert_eq!((route.surface, route.home), (Surface::Bedrock, BEDROCK), "{path}");
        Some((route.endpoint, route.model(path.as_bytes())?))
    };
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x-v1:0";
    let spelled = arn.replace(':', "%3A").replace('/', "%2F");
    for (path, endpoint, model) in [
        (
            "/bedrock/model/anthropic.claude-x-v1%3A0/converse",
            amazon(Operation::Chat),
            "anthropic.claude-x-v1:0",
        ),
        (
            "/litellm/bedrock/model/openai/gpt-4o/converse-stream",
            amazon(Operation::ChatStream),
            "openai/gpt-4o",
        ),
        (&*format!("/bedrock/model/{spelled}/invoke"), claude(Operation::Chat), arn),
        (
            &*format!("/langchain/bedrock/model/{arn}/invoke-with-response-stream"),
            claude(Operation::ChatStream),
            arn,
        ),
    ] {
        assert_eq!(found(path), Some((endpoint, model.to_owned())), "{path}");
    }
    for none in [
        "/bedrock/model//converse",
        "/bedrock/model/m",
        "/bedrock/model/m/count-tokens",
        "/bedrock/model/converse",
    ] {
        assert_eq!(find(none.as_bytes()), None, "{none}");
        assert_eq!(surface_of(none.as_bytes()), Surface::Bedrock);
    }
}

#[test]
fn a_deployments_and_a_projects_paths_name_their_model() {
    let found = |path: &str| {
        let route = find(path.as_bytes())?;
        Some((route.endpoint, route.home, route.model(path.as_bytes())?))
    };
    let (deployed, project) = ("/openai/deployments", "/genai/v1beta1/projects/p/locations/us-east5");
    for (path, endpoint, home, model) in [
        (format!("{deployed}/gpt-4o/chat/completions"), open_ai(Operation::Chat), AZURE, "gpt-4o"),
        (format!("{deployed}/a%2Fb/completions"), open_ai(Operation::TextCompletion), AZURE, "a/b"),
        (format!("{deployed}/w/audio/transcriptions"), open_ai(Operation::Transcription), AZURE, "w"),
        (
            format!("{project}/publishers/google/models/gemini-2.5-pro:generateContent"),
            google(Operation::Chat),
            VERTEX,
            "gemini-2.5-pro",
        ),
        (
            "/genai/v1/publishers/google/models/openai/gpt-4o:streamGenerateContent".to_owned(),
            google(Operation::ChatStream),
            VERTEX,
            "openai/gpt-4o",
        ),
    ] {
        assert_eq!(found(&path), Some((endpoint, home, model.to_owned())), "{path}");
    }
    for none in [
        format!("{deployed}/embeddings"),
        format!("{deployed}/../x/embeddings"),
        format!("{project}/publishers/google/models/m:predict"),
        format!("{project}/publishers/meta/models/m:generateContent"),
        format!("{project}/publishers/google/models/:generateContent"),
        "/genai/v1/projects//locations/l/publishers/google/models/m:generateContent".to_owned(),
        "/genai/v1/projects/p/q/locations/l/publishers/google/models/m:generateContent".to_owned(),
        "/genai/v1/projects/p".to_owned(),
    ] {
        assert_eq!(find(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn a_version_in_the_query_is_azures() {
    let home = |path: &str, query: Option<&str>| {
        find(path.as_bytes()).and_then(|route| route.home_for(query.map(str::as_bytes)))
    };
    for path in ["/openai/responses", "/openai/v1/chat/completions", "/openai/files/f"] {
        assert_eq!(home(path, Some("a=b&api-version=2024-10-21")), AZURE, "{path}");
        assert_eq!(home(path, Some("x-api-version=1")), OPENAI, "{path}");
        assert_eq!(home(path, None), OPENAI, "{path}");
    }
    assert_eq!(home("/v1/responses", Some("api-version=1")), None);
    assert_eq!(home("/anthropic/v1/messages", Some("api-version=1")), ANTHROPIC);
}

#[test]
fn another_parameter_is_one_segment() {
    let route = own("/v1/x/{x_id}/cancel", Endpoint::Health);
    let id = |path: &str| route.parameter(path.as_bytes());
    assert_eq!(id("/v1/x/a%20b:c/cancel").as_deref(), Some("a b:c"));
    for path in ["/v1/x/a/b/cancel", "/v1/x/a%2fb/cancel", "/v1/x//cancel", "/v1/x/cancel", "/v1/x/../cancel"]
    {
        assert_eq!(id(path), None, "{path}");
    }
    assert_eq!(route.model(b"/v1/x/a/cancel"), None);
}
