//! Headers across the gateway: an allow-list upwards with our own credential on it, everything but the connection's own
//! downwards.

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, MESSAGES, answer, node, ok, on_both};
use crate::support::node::{KEYS, Node};
use crate::support::upstream::Upstream;

/// Credentials and the rest of what must stay here, each with a value that would be seen anywhere.
const STAYS: [&str; 33] = [
    "authorization: Bearer LEAK",
    "Authorization: Basic LEAK",
    "x-api-key: LEAK",
    "X-Api-Key: LEAK",
    "api-key: LEAK",
    "x-goog-api-key: LEAK",
    "cookie: LEAK",
    "proxy-authorization: LEAK",
    "x-bf-vk: LEAK",
    "x-bf-trace: LEAK",
    "user-agent: LEAK",
    "referer: LEAK",
    "origin: http://localhost",
    "x-forwarded-for: LEAK",
    "X-Forwarded-Proto: LEAK",
    "X-Forwarded-Host: LEAK",
    "Forwarded: for=LEAK",
    "x-real-ip: LEAK",
    "Via: 1.1 LEAK",
    "true-client-ip: LEAK",
    "proxy-connection: LEAK",
    "upgrade: LEAK",
    "x-hop: LEAK",
    "accept-encoding: gzip, LEAK",
    "accept-language: LEAK",
    "te: trailers",
    "x-unknown: LEAK",
    "openaix: LEAK",
    "x-bf-eh-: LEAK",
    "x-bf-eh-x-bf-vk: LEAK",
    "x-bf-eh-host: LEAK",
    "x-corelane-anything: LEAK",
    "keep-alive: LEAK",
];

const STAYS_EXTRA: [&str; 22] = [
    "x-bf-eh-authorization: LEAK",
    "X-BF-EH-Authorization: LEAK",
    "x-bf-eh-x-api-key: LEAK",
    "x-bf-eh-api-key: LEAK",
    "x-bf-eh-x-goog-api-key: LEAK",
    "x-bf-eh-cookie: LEAK",
    "x-bf-eh-content-length: 0",
    "x-bf-eh-transfer-encoding: chunked",
    "x-bf-eh-connection: LEAK",
    "x-bf-eh-forwarded: for=LEAK",
    "x-bf-eh-x-forwarded-for: LEAK",
    "x-bf-eh-X_Forwarded_For: LEAK",
    "x-bf-eh-x-real-ip: LEAK",
    "x-bf-eh-via: LEAK",
    "x-bf-eh-te: LEAK",
    "x-bf-eh-proxy-authorization: LEAK",
    "x-bf-eh-x_api_key: LEAK",
    "x-bf-eh-host: LEAK",
    "x-bf-eh-user-agent: LEAK",
    "x-bf-eh-content-encoding: LEAK",
    "x-bf-eh-accept-encoding: LEAK",
    "x-bf-eh-x-corelane-request-id: LEAK",
];

#[test]
fn no_other_header_goes_up_than_the_allowed() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let fields: String = STAYS.iter().chain(&STAYS_EXTRA).map(|field| format!("{field}\r\n")).collect();
        for (path, body, expected) in [
            (
                CHAT,
                ASK,
                vec![
                    "host",
                    "authorization",
                    "user-agent",
                    "accept-encoding",
                    "content-type",
                    "content-length",
                ],
            ),
            (
                MESSAGES,
                r#"{"model":"claude-x"}"#,
                vec![
                    "host",
                    "x-api-key",
                    "user-agent",
                    "accept-encoding",
                    "content-type",
                    "anthropic-version",
                    "content-length",
                ],
            ),
        ] {
            caller.send(request(path, &fields, body));
            assert_eq!(caller.answer().status, 200);
            let received = upstream.last();
            assert_eq!(received.names(), expected);
            assert!(!received.head.contains("LEAK"), "{}", received.head);
            assert_eq!(received.value("host"), upstream.address.to_string());
            assert_eq!(received.value("accept-encoding"), "identity");
            assert!(received.value("user-agent").starts_with("corelane/"));
        }
    });
}

/// RFC 9110 §7.6.1: what a caller's Connection nominates is of that connection, also where it would otherwise pass.
#[test]
fn what_connection_nominates_does_not_cross() {
    on_both(|driver| {
        let fields = "connection: X-Request-Id\r\nConnection: close-not , retry-after\r\nx-request-id: LEAK\r\n\
            retry-after: LEAK\r\nopenai-processing-ms: 4\r\n";
        let upstream = Upstream::answering(answer(200, fields, ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let passing = "idempotency-key: LEAK\r\ntraceparent: LEAK\r\nx-stainless-lang: LEAK\r\nx-bf-eh-x-team: LEAK\r\n";
        for (path, body) in [(CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)] {
            for connection in [
                "Connection: Idempotency-Key, traceparent,x-stainless-lang , X-BF-EH-X-Team, keep-alive",
                "connection: idempotency-key\r\nCONNECTION: traceparent,,x-stainless-lang\r\nconnection: x-bf-eh-x-team",
            ] {
                caller.send(request(path, &format!("{passing}{connection}\r\naccept: */*\r\n"), body));
                let answer = caller.answer();
                assert_eq!(answer.status, 200);
                let received = upstream.last();
                assert!(!received.head.contains("LEAK"), "{}", received.head);
                assert_eq!(received.value("accept"), "*/*");
                assert!(!answer.head.contains("LEAK"), "{}", answer.head);
                assert_eq!(answer.value("openai-processing-ms"), Some("4"));
                // Nominated or not, what is ours stays.
                caller.send(request(
                    path,
                    "connection: authorization, host, content-length, x-api-key\r\n",
                    body,
                ));
                assert_eq!(caller.answer().status, 200);
                let names = upstream.last().names();
                let credential = if path == CHAT { "authorization" } else { "x-api-key" };
                assert!(
                    ["host", "content-length", credential].iter().all(|own| names.contains(&(*own).into()))
                );
            }
        }
    });
}

#[test]
fn a_config_that_would_override_a_credential_does_not_start() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        for (provider, name) in
            [("openai", "Authorization"), ("anthropic", "x-api-key"), ("openai", "Cookie")]
        {
            let mut config = crate::setup::config(upstream.address);
            config["providers"][provider]["network_config"]["extra_headers"] =
                serde_json::json!({ name: "mine" });
            let said = Node::try_start(&config.to_string(), driver, &KEYS).map(drop).unwrap_err();
            assert!(said.join("\n").contains("carries credentials"), "{said:#?}");
        }
    });
}

#[test]
fn the_credential_is_the_providers_own() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        caller.send(request(&format!("{CHAT}?key=LEAK&api_key=LEAK"), "authorization: Bearer LEAK\r\n", ASK));
        assert_eq!(caller.answer().status, 200);
        let received = upstream.last();
        assert_eq!(received.value("authorization"), "Bearer sk-openai-under-test");
        assert!(!received.head.contains("LEAK"));
        caller.send(request(MESSAGES, "x-api-key: LEAK\r\n", r#"{"model":"claude-x"}"#));
        assert_eq!(caller.answer().status, 200);
        let received = upstream.last();
        assert_eq!(received.value("x-api-key"), "sk-ant-under-test");
        assert!(received.values("authorization").is_empty());
    });
}

#[test]
fn what_is_allowed_goes_up_as_it_is() {
    let common = [
        ("Idempotency-Key", "a b;c"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let openai = [
        ("OpenAI-Organization", "org-1"),
        ("openai-beta", "assistants=v2"),
        ("Accept", "text/event-stream"),
        ("X-Stainless-Lang", "python"),
    ];
    let anthropic = [
        ("anthropic-version", "2024-01-01"),
        ("Anthropic-Beta", "a,b"),
        ("x-stainless-os", "Linux"),
        ("accept", "application/json"),
    ];
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for (path, body, own) in [(CHAT, ASK, openai), (MESSAGES, r#"{"model":"claude-x"}"#, anthropic)] {
            let allowed: Vec<_> = common.iter().chain(&own).collect();
            let fields: String =
                allowed.iter().map(|(name, value)| format!("{name}:  {value} \r\n")).collect();
            caller.send(request(
                path,
                &format!("{fields}x-bf-eh-foo: bar\r\nX-Bf-Eh-X-Team: blue\r\n"),
                body,
            ));
            assert_eq!(caller.answer().status, 200);
            let received = upstream.last();
            for (name, value) in allowed {
                assert_eq!(received.value(name), *value);
            }
            assert_eq!((received.value("foo"), received.value("x-team")), ("bar", "blue"));
            assert!(!received.head.to_ascii_lowercase().contains("x-bf-"));
        }
    });
}

#[test]
fn one_dialects_headers_do_not_reach_another() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let fields = "openai-organization: LEAK\r\nx-stainless-lang: LEAK\r\nanthropic-beta: LEAK\r\n";
        caller.send(request(CHAT, fields, ASK.replace("openai/gpt-4o", "anthropic/claude-x")));
        caller.answer();
        let received = upstream.last();
        assert!(!received.head.contains("LEAK"), "{}", received.head);
        assert_eq!(
            (received.value("x-api-key"), received.value("anthropic-version")),
            ("sk-ant-under-test", "2023-06-01")
        );
        assert!(received.values("authorization").is_empty());
    });
}

#[test]
fn the_configs_extra_headers_go_up_alone() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = crate::setup::config(upstream.address);
        let extra = serde_json::json!({
            "X-Tenant": "a, b",
            "OpenAI-Organization": "ours",
            "User-Agent": "ours",
            "anthropic-version": "ours"
        });
        for provider in ["openai", "anthropic"] {
            config["providers"][provider]["network_config"]["extra_headers"] = extra.clone();
        }
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        let fields = "openai-organization: LEAK\r\nx-bf-eh-x-tenant: LEAK\r\nanthropic-version: LEAK\r\n";
        for (path, body) in [(CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)] {
            caller.send(request(path, fields, body));
            assert_eq!(caller.answer().status, 200);
            let received = upstream.last();
            assert!(!received.head.contains("LEAK"), "{}", received.head);
            for (name, value) in extra.as_object().unwrap() {
                assert_eq!(received.value(name), value, "{}", received.head);
            }
        }
    });
}

#[test]
fn answers_bring_back_all_but_the_connections_own() {
    let returned = [
        ("x-request-id", "req-1"),
        ("Retry-After", "7"),
        ("retry-after-ms", "7000"),
        ("x-ratelimit-remaining-tokens", "12"),
        ("anthropic-ratelimit-requests-reset", "2030-01-01T00:00:00Z"),
        ("openai-processing-ms", "4"),
        ("request-id", "req_2"),
    ];
    let kept = [
        "Access-Control-Allow-Origin: LEAK",
        "access-control-allow-credentials: LEAK",
        "X-Accel-Redirect: /LEAK",
        "x-sendfile: /LEAK",
        "nel: LEAK",
        "report-to: LEAK",
        "clear-site-data: LEAK",
        "x-corelane-request-id: LEAK",
        "Set-Cookie: LEAK=1",
        "connection: x-hop",
        "keep-alive: timeout=LEAK",
        "server: LEAK",
        "alt-svc: LEAK",
        "strict-transport-security: LEAK",
        "proxy-authenticate: LEAK",
        "date: LEAK",
        "trailer: LEAK",
        "upgrade: LEAK",
    ];
    let mut fields: String = returned.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    kept.iter().for_each(|field| fields.push_str(&format!("{field}\r\n")));
    fields.push_str("content-type: application/json; charset=utf-8\r\n");
    on_both(|driver| {
        for (status, body) in [(200, ANSWER), (429, r#"{"error":{"message":"slow"}}"#)] {
            let upstream = Upstream::answering(answer(status, &fields, body));
            let node = node(&upstream, driver);
            let mut caller = Caller::new(&node);
            for path in [CHAT, "/openai/v1/chat/completions"] {
                let answer = caller.post(path, ASK);
                assert_eq!(answer.status, status);
                for (name, value) in returned {
                    assert_eq!(answer.value(name), Some(value), "{}", answer.head);
                }
                assert!(answer.value("date").is_some_and(|date| date.ends_with(" GMT")), "{}", answer.head);
                assert!(
                    !answer.head.contains("LEAK") && answer.value("connection").is_none(),
                    "{}",
                    answer.head
                );
                assert!(answer.value("x-corelane-request-id").is_some_and(|id| id.len() == 36));
            }
        }
    });
}

#[test]
fn the_configs_filter_says_which_of_a_callers_headers_go_up() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = crate::setup::config(upstream.address);
        config["client"]["header_filter_config"] = serde_json::json!({
            "allowlist": ["X_Team", "x-trace-*", "authorization", "x-bf-vk", "host"],
            "denylist": ["x-trace-secret", "OpenAI-Project", "idempotency-key"],
        });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        let fields = "x-team: blue\r\nX-Trace-Id: 1\r\nx-bf-eh-x-trace-no: 2\r\nopenai-organization: o\r\n\
            authorization: LEAK\r\nx-bf-vk: LEAK\r\nx-trace-secret: LEAK\r\nx-bf-eh-x-trace-secret: LEAK\r\n\
            x-bf-eh-x-other: LEAK\r\nx-other: LEAK\r\nopenai-project: LEAK\r\nidempotency-key: LEAK\r\n\
            x-bf-eh-authorization: LEAK\r\n";
        for body in [ASK.to_owned(), ASK.replace("openai/gpt-4o", "anthropic/claude-x")] {
            caller.send(request(CHAT, fields, &body));
            assert_eq!(caller.answer().status, if body == ASK { 200 } else { 502 });
            let received = upstream.last();
            assert!(!received.head.contains("LEAK"), "{}", received.head);
            for (name, value) in [("x-team", "blue"), ("x-trace-id", "1"), ("x-trace-no", "2")] {
                assert_eq!(received.value(name), value, "{}", received.head);
            }
            assert_eq!(received.values("openai-organization").len(), usize::from(body == ASK));
        }
    });
}

#[test]
fn the_secrets_of_extra_headers_are_not_read_in_what_a_provider_says() {
    on_both(|driver| {
        let secrets = ["gateway-secret-1", "dGVhbTpzZWNyZXQ=", "plain-visible"];
        let error = format!(r#"{{"error":{{"message":"bad {}","code":"c"}}}}"#, secrets.join(" "));
        let event = format!("data: {error}\n\ndata: [DONE]\n\n");
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let is_stream = String::from_utf8_lossy(&request.body).contains("\"stream\":true");
                let kind = |kind: &str| format!("content-type: {kind}\r\n");
                line.send(match (request.head.starts_with("GET"), is_stream) {
                    (true, _) => answer(500, &kind("application/json"), &error),
                    (_, true) => answer(200, &kind("text/event-stream"), &event),
                    _ => answer(
                        400,
                        &format!("{}x-echo: {}\r\n", kind("application/json"), secrets[0]),
                        &error,
                    ),
                });
            }
        });
        let mut config = crate::setup::config(upstream.address);
        config["providers"]["openai"]["network_config"]["extra_headers"] = serde_json::json!({
            "x-gateway-token": secrets[0],
            "x-forwarded-auth": format!("Basic {}", secrets[1]),
            "x-tenant": secrets[2],
        });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        for body in [ASK, crate::setup::ASK_STREAM] {
            caller.send(request(CHAT, "", body));
            let answer = caller.answer();
            let said = format!("{answer:?}{}", answer.text());
            assert!(said.contains(secrets[2]), "{said}");
            for secret in &secrets[..2] {
                assert!(!said.contains(secret), "{said}");
            }
        }
        caller.send("GET /v1/models HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(caller.answer().status, 200);
        let said = node.said().join("\n");
        assert!(!secrets[..2].iter().any(|secret| said.contains(secret)), "{said}");
    });
}
