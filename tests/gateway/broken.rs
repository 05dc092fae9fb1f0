//! Providers that break: what the caller is told, in which status and shape, and that a request is sent once more only
//! where nothing of an answer had come.

use std::time::Duration;

use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, OPENAI_CHAT, answer, chunk, config, node, ok, on_both,
    with_network,
};
use crate::support::node::{Node, free_address};
use crate::support::upstream::{Line, Upstream};

/// Longest answer that is held to its end.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Asks on each path; every answer has this status and code, in its path's shape.
fn check(node: &Node, status: u16, code: &str, what: &str) {
    for (path, ask) in
        [(CHAT, ASK), (CHAT, ASK_STREAM), (OPENAI_CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)]
    {
        let mut caller = Caller::new(node);
        let answer = caller.post(path, ask);
        assert_eq!((answer.status, answer.is_whole), (status, true), "{what}: {}", answer.text());
        assert_eq!(answer.value("content-type"), Some("application/json"), "{what}");
        let body = answer.json();
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        match path {
            MESSAGES => assert_eq!(body["type"], "error", "{what}"),
            _ => assert_eq!(body["error"]["code"], code, "{what}: {}", answer.text()),
        }
        assert_eq!(caller.get("/health").status, 200, "{what}: the connection serves on");
    }
}

#[test]
fn a_refused_connection_is_502() {
    on_both(|driver| {
        let node = Node::start(&config(free_address()).to_string(), driver);
        check(&node, 502, "upstream_unreachable", "refused");
    });
}

#[test]
fn a_name_that_does_not_resolve_is_502() {
    on_both(|driver| {
        let mut config = config(free_address());
        for provider in ["openai", "anthropic"] {
            config["providers"][provider]["network_config"]["base_url"] = "http://nowhere.invalid".into();
        }
        check(&Node::start(&config.to_string(), driver), 502, "upstream_unreachable", "no name");
    });
}

type Script = fn(&mut Line);

#[test]
fn an_answer_that_cannot_be_used_is_502() {
    let scripts: [(&str, &str, Script); 15] = [
        ("closed", "upstream_unreachable", |_| ()),
        ("reset", "upstream_unreachable", Line::reset),
        ("closed inside its head", "upstream_invalid_response", |line| {
            line.send("HTTP/1.1 200 OK\r\ncontent-le")
        }),
        ("reset inside its head", "upstream_invalid_response", |line| {
            line.send("HTTP/1.1 200 OK\r\ncontent-le");
            line.reset();
        }),
        ("garbage", "upstream_invalid_response", |line| line.send("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        ("TLS alert", "upstream_invalid_response", |line| line.send(b"\x15\x03\x01\x00\x02\x02\x46")),
        ("bare LF", "upstream_invalid_response", |line| {
            line.send("HTTP/1.1 200 OK\ncontent-length: 2\n\n{}")
        }),
        ("length and chunks", "upstream_invalid_response", |line| {
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
        }),
        ("two lengths", "upstream_invalid_response", |line| {
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}");
        }),
        ("huge head", "upstream_invalid_response", |line| {
            line.send(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300 * 1024)));
        }),
        ("redirect", "upstream_invalid_response", |line| {
            line.send(answer(307, "location: http://127.0.0.1:1/\r\n", "moved"));
        }),
        ("not modified", "upstream_invalid_response", |line| line.send("HTTP/1.1 304 Same\r\n\r\n")),
        ("coded", "upstream_invalid_response", |line| {
            line.send(answer(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n", "\u{1f}"));
        }),
        ("switching protocols", "upstream_invalid_response", |line| {
            line.send("HTTP/1.1 101 Switching\r\n\r\n")
        }),
        ("short body", "upstream_invalid_response", |line| {
            line.send(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"a\":1}",
            );
        }),
    ];
    on_both(|driver| {
        for (what, code, script) in scripts {
            let upstream = Upstream::start(move |line| {
                if line.receive().is_some() {
                    script(line);
                }
            });
            let node = node(&upstream, driver);
            check(&node, 502, code, what);
            assert_eq!(upstream.requests().len(), 4, "{what}: each request is sent once");
        }
    });
}

#[test]
fn a_dead_kept_connection_costs_a_second_send_and_no_error() {
    let deaths: [(&str, Script); 2] = [("closed", |_| ()), ("reset", Line::reset)];
    on_both(|driver| {
        for (what, death) in deaths {
            let upstream = Upstream::start(move |line| {
                if line.receive().is_some() {
                    line.send(ok(ANSWER));
                }
                // The second request on this connection gets no byte.
                if line.receive().is_some() {
                    death(line);
                }
            });
            let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
            let mut caller = Caller::new(&node);
            for (size, requests, connections) in [(1, 1, 1), (10, 3, 2), (200_000, 5, 3)] {
                let body = format!(r#"{{"x":"{}","model":"gpt-4o"}}"#, "y".repeat(size));
                assert_eq!(caller.post(CHAT, &body).text(), ANSWER, "{what}");
                let received = upstream.requests();
                assert_eq!((received.len(), upstream.connections()), (requests, connections), "{what}");
                assert!(
                    received.iter().rev().take(if size == 1 { 1 } else { 2 }).all(|one| one.text() == body)
                );
                assert!(upstream.scraps().is_empty());
            }
            assert!(caller.is_silent(), "{what}: answered twice");
        }
    });
}

#[test]
fn a_second_death_is_told() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if line.receive().is_some() && line.number == 0 {
                line.send(ok(ANSWER));
                line.receive();
            }
        });
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        let answer = caller.post(CHAT, ASK);
        assert_eq!((answer.status, &*answer.code()), (502, "upstream_unreachable"));
        assert_eq!((upstream.requests().len(), upstream.connections()), (3, 2));
    });
}

#[test]
fn a_kept_connection_that_dies_inside_its_answer_is_not_asked_again() {
    on_both(|driver| {
        for beginning in ["HTTP/1.1 2", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let upstream = Upstream::start(move |line| {
                if line.receive().is_some() {
                    line.send(ok(ANSWER));
                }
                if line.receive().is_some() {
                    line.send(beginning);
                }
            });
            let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
            let mut caller = Caller::new(&node);
            assert_eq!(caller.post(CHAT, ASK).status, 200);
            assert_eq!(caller.post(CHAT, ASK).code(), "upstream_invalid_response");
            assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
        }
    });
}

#[test]
fn an_answer_before_the_whole_request_was_taken_is_passed_on() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if line.receive_head() {
                line.send(answer(
                    413,
                    "content-type: application/json\r\n",
                    r#"{"error":{"message":"too long"}}"#,
                ));
            }
        });
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        let body = format!(r#"{{"model":"openai/gpt-4o","x":"{}"}}"#, "y".repeat(20_000_000));
        for count in 1..3 {
            let answer = caller.post(CHAT, &body);
            assert_eq!(answer.status, 413, "{}", answer.text());
            assert_eq!(answer.json()["error"]["message"], "too long");
            assert_eq!(upstream.connections(), count);
        }
    });
}

#[test]
fn interim_answers_are_passed_over() {
    on_both(|driver| {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec();
        let upstream = Upstream::answering([interim, ok(ANSWER)].concat());
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for _ in 0..2 {
            let answer = caller.post(CHAT, ASK);
            assert_eq!((answer.status, answer.text(), answer.value("link")), (200, ANSWER, None));
        }
        assert_eq!(upstream.connections(), 1);
        let upstream = Upstream::answering("HTTP/1.1 100 Continue\r\n\r\n".repeat(9));
        let node = crate::setup::node(&upstream, driver);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).code(), "upstream_invalid_response");
    });
}

#[test]
fn an_answer_without_content_passes() {
    on_both(|driver| {
        let upstream = Upstream::answering("HTTP/1.1 204 No Content\r\nx-request-id: r\r\n\r\n");
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for _ in 0..2 {
            caller.send(request(CHAT, "", ASK));
            let answer = caller.answer_to(true);
            assert_eq!((answer.status, answer.value("x-request-id")), (204, Some("r")));
            // RFC 9110 section 8.6: a 204 has no content-length.
            assert_eq!((answer.value("content-length"), answer.value("transfer-encoding")), (None, None));
        }
    });
}

#[test]
fn a_web_page_becomes_an_error_in_the_callers_shape() {
    on_both(|driver| {
        let page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>";
        let upstream = Upstream::answering(answer(500, "content-type: text/html\r\n", page));
        let node = node(&upstream, driver);
        for (path, ask) in [(CHAT, ASK), (OPENAI_CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)] {
            let answer = Caller::new(&node).post(path, ask);
            assert_eq!((answer.status, answer.value("content-type")), (500, Some("application/json")));
            assert!(answer.json()["error"]["message"].as_str().unwrap().contains("Bad Gateway"));
        }
    });
}

#[test]
fn a_providers_error_is_passed_on() {
    let openai = r#"{"error":{"message":"slow down","type":"tokens","param":null,"code":"rate_limit_exceeded"},"x":12345678901234567890}"#;
    let claude = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"r"}"#;
    on_both(|driver| {
        for status in [400, 404, 410, 429, 500, 529] {
            let fields = "content-type: application/json\r\nretry-after: 3\r\n";
            let upstream = Upstream::start(move |line| {
                while let Some(request) = line.receive() {
                    let body = if request.head.contains("/messages") { claude } else { openai };
                    line.send(answer(status, fields, body));
                }
            });
            let node = node(&upstream, driver);
            let ask = |path, body: &str| {
                let answer = Caller::new(&node).post(path, body);
                assert_eq!((answer.status, answer.value("retry-after")), (status, Some("3")));
                answer
            };
            assert_eq!(ask(OPENAI_CHAT, ASK).text(), openai);
            assert_eq!(ask(MESSAGES, r#"{"model":"claude-x"}"#).text(), claude);
            let native = ask(CHAT, ASK).json();
            assert_eq!(
                (&native["error"]["code"], &native["status_code"]),
                (&"rate_limit_exceeded".into(), &status.into())
            );
            assert_eq!(
                (&native["extra_fields"]["provider"], &native["is_bifrost_error"]),
                (&"openai".into(), &false.into())
            );
            let translated = ask(CHAT, &ASK.replace("openai/gpt-4o", "anthropic/claude-x")).json();
            assert_eq!(translated["error"]["message"], "busy");
            assert_eq!(ask(CHAT, ASK_STREAM).json()["error"]["message"], "slow down");
        }
    });
}

#[test]
fn the_key_does_not_come_back() {
    on_both(|driver| {
        for (status, told) in [(400, 400), (401, 502)] {
            let upstream = Upstream::start(move |line| {
                while let Some(request) = line.receive() {
                    let key = request
                        .values("authorization")
                        .into_iter()
                        .chain(request.values("x-api-key"))
                        .collect::<String>();
                    let key = key.trim_start_matches("Bearer ").to_owned();
                    let body = format!(
                        r#"{{"error":{{"message":"Incorrect API key provided: {key}. {key}","type":"{key}","code":"{key}"}}}}"#
                    );
                    line.send(answer(
                        status,
                        &format!("content-type: application/json\r\nx-echo: {key}\r\n"),
                        body,
                    ));
                }
            });
            let node = node(&upstream, driver);
            for (path, ask) in [
                (CHAT, ASK.to_owned()),
                (OPENAI_CHAT, ASK.to_owned()),
                (MESSAGES, r#"{"model":"claude-x"}"#.to_owned()),
                (CHAT, ASK.replace("openai/gpt-4o", "anthropic/claude-x")),
            ] {
                let answer = Caller::new(&node).post(path, ask);
                let all = [&answer.head, answer.text()].concat();
                assert_eq!(answer.status, told);
                assert!(!all.contains("under-test") && answer.text().contains("***"), "{all}");
            }
        }
    });
}

#[test]
fn a_slow_answer_is_504() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            let Some(request) = line.receive() else { return };
            if request.text().contains("head") {
                line.send("HTTP/1.1 200 OK\r\n");
            } else if request.text().contains("body") {
                line.send(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
                );
                line.send(chunk("{"));
            }
            assert!(line.silence() < Duration::from_secs(5), "the connection was kept");
        });
        let config = with_network(config(upstream.address), "default_request_timeout_in_seconds", 1);
        let node = Node::start(&config.to_string(), driver);
        let mut callers: Vec<_> = ["nothing", "head", "body"]
            .map(|word| {
                let mut caller = Caller::new(&node);
                caller.send(request(CHAT, "", ASK.replace("hi", word)));
                caller
            })
            .into();
        for caller in &mut callers {
            let answer = caller.answer();
            assert_eq!((answer.status, &*answer.code()), (504, "request_timed_out"));
            assert_eq!(caller.get("/health").status, 200);
        }
        assert_eq!(upstream.requests().len(), 3);
    });
}

#[test]
fn an_answer_too_long_to_be_held_that_breaks_off_is_not_made_whole() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            let Some(request) = line.receive() else { return };
            let piece = format!("{{\"x\":\"{}", "x".repeat(HELD_BYTES_MAX + 100_000));
            let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
            if request.text().contains("chunks") {
                line.send(format!("{json}transfer-encoding: chunked\r\n\r\n"));
                line.send(chunk(piece));
            } else {
                line.send(format!("{json}content-length: {}\r\n\r\n", HELD_BYTES_MAX + 200_000));
                line.send(piece);
            }
        });
        let node = node(&upstream, driver);
        for word in ["chunks", "length"] {
            let mut caller = Caller::new(&node);
            let answer = caller.post(CHAT, ASK.replace("hi", word));
            assert_eq!((answer.status, answer.is_whole), (200, false), "{word}");
            assert!(caller.is_closed());
        }
    });
}
