//! Providers behind proxies: tunnels by CONNECT and SOCKS 5, plain requests handed to an HTTP proxy, credentials that go to
//! the proxy alone, and what the caller is told when a proxy refuses.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, answer, config, ok, on_both};
use crate::support::node::{Node, free_address};
use crate::support::proxy::{CONNECT, Kind, Proxy};
use crate::support::tls::{Certificates, Goodbye, TlsFront};
use crate::support::upstream::Upstream;

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::new);

/// OpenAI at `base_url`, through a proxy; `settings` are further keys of `proxy_config`.
fn through(base_url: &str, kind: &str, proxy: SocketAddr, settings: Value) -> String {
    let mut config = config(proxy);
    let provider = &mut config["providers"]["openai"];
    provider["network_config"]["base_url"] = base_url.into();
    provider["network_config"]["ca_cert_pem"] = CERTIFICATES.ca.as_str().into();
    provider["proxy_config"] = json!({ "type": kind, "url": format!("{kind}://{proxy}") });
    if let (Some(proxy_config), Value::Object(settings)) =
        (provider["proxy_config"].as_object_mut(), settings)
    {
        proxy_config.extend(settings);
    }
    config.to_string()
}

fn credentials() -> Value {
    json!({ "username": "user", "password": "pass word" })
}

/// `user:pass word`.
const BASIC: &str = "Basic dXNlcjpwYXNzIHdvcmQ=";

fn tls_front(upstream: &Upstream) -> TlsFront {
    TlsFront::before(upstream.address, CERTIFICATES.server_config(&CERTIFICATES.server), Goodbye::Notified)
}

fn check_refused(answer: &Answer, word: &str) {
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_unreachable"), "{}", answer.text());
    assert!(answer.text().contains(word), "{word} not in {}", answer.text());
    for secret in ["pass word", "dXNlcjpwYXNzIHdvcmQ"] {
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
}

#[test]
fn an_https_provider_is_reached_by_connect() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let front = tls_front(&upstream);
        let proxy = Proxy::start(CONNECT, front.address);
        for (settings, authorization) in [(json!({}), None), (credentials(), Some(BASIC))] {
            let (asked, seen) = (proxy.asked().len(), upstream.connections());
            // Nobody but the proxy could resolve the name, if anyone.
            let config = through("https://localhost:4443/base", "http", proxy.address, settings);
            let node = Node::start_on(&config, driver, 1);
            let mut caller = Caller::new(&node);
            for _ in 0..3 {
                assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
            }
            assert_eq!(
                (proxy.asked().len(), upstream.connections()),
                (asked + 1, seen + 1),
                "one tunnel, kept"
            );
            let head = proxy.asked().pop().unwrap();
            assert!(
                head.starts_with("CONNECT localhost:4443 HTTP/1.1\r\nhost: localhost:4443\r\n"),
                "{head}"
            );
            let told = head.lines().find_map(|line| line.strip_prefix("proxy-authorization: "));
            assert_eq!(
                (told, head.lines().count()),
                (authorization, 3 + usize::from(authorization.is_some()))
            );
            let request = upstream.last();
            assert!(
                request.head.starts_with("POST /base/v1/chat/completions HTTP/1.1\r\n"),
                "{}",
                request.head
            );
            assert_eq!(request.value("host"), "localhost:4443");
            assert!(request.values("proxy-authorization").is_empty(), "{}", request.head);
        }
    });
}

#[test]
fn a_plain_provider_is_asked_for_with_its_whole_url() {
    on_both(|driver| {
        // The proxy itself, as it gets what it is to forward.
        let proxy = Upstream::answering(ok(ANSWER));
        for (settings, authorization) in [(json!({}), vec![]), (credentials(), vec![BASIC])] {
            let base_url = "http://provider.invalid:8080/base";
            let node = Node::start_on(&through(base_url, "http", proxy.address, settings), driver, 1);
            let mut caller = Caller::new(&node);
            let connections = proxy.connections();
            for _ in 0..2 {
                assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
            }
            assert_eq!(proxy.connections(), connections + 1, "kept");
            let request = proxy.last();
            let line = "POST http://provider.invalid:8080/base/v1/chat/completions HTTP/1.1\r\n";
            assert!(request.head.starts_with(line), "{}", request.head);
            assert_eq!(request.value("host"), "provider.invalid:8080");
            assert_eq!(request.values("proxy-authorization"), authorization);
            assert_eq!(request.value("authorization"), "Bearer sk-openai-under-test");
        }
    });
}

#[test]
fn a_callers_word_to_a_proxy_is_not_passed_on() {
    on_both(|driver| {
        let proxy = Upstream::answering(ok(ANSWER));
        let config = through("http://provider.invalid", "http", proxy.address, json!({}));
        let node = Node::start_on(&config, driver, 1);
        let mut caller = Caller::new(&node);
        let fields =
            "proxy-authorization: Basic eA==\r\nproxy-connection: keep-alive\r\nconnection: keep-alive\r\n";
        caller.send(request(CHAT, fields, ASK));
        assert_eq!(caller.answer().status, 200);
        let names = proxy.last().names();
        assert!(!names.iter().any(|name| name.starts_with("proxy-") || name == "connection"), "{names:?}");
    });
}

#[test]
fn a_proxy_that_wants_other_credentials_is_the_callers_502() {
    on_both(|driver| {
        let fields = "proxy-authenticate: Basic realm=\"x\"\r\n";
        let upstream = Upstream::answering(answer(407, fields, "who are you, user:pass word?"));
        let node = Node::start_on(
            &through("http://provider.invalid", "http", upstream.address, credentials()),
            driver,
            1,
        );
        let refused = Caller::new(&node).post(CHAT, ASK);
        check_refused(&refused, "proxy_config.username");
        assert_eq!(refused.value("proxy-authenticate"), None);
        let proxy = Proxy::start(Kind::Connect("HTTP/1.1 407 Who\r\n\r\n"), free_address());
        let node =
            Node::start_on(&through("https://localhost", "http", proxy.address, credentials()), driver, 1);
        check_refused(&Caller::new(&node).post(CHAT, ASK), "proxy_config.username");
    });
}

#[test]
fn what_a_connect_proxy_refuses_is_told() {
    on_both(|driver| {
        for (answer, word) in [
            ("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", "403"),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not answer in HTTP"),
            ("HTTP/1.1 200 OK\r\n\r\nand more", "behind its answer"),
        ] {
            let proxy = Proxy::start(Kind::Connect(answer), free_address());
            let config = through("https://provider.invalid", "http", proxy.address, credentials());
            let node = Node::start_on(&config, driver, 1);
            let refused = Caller::new(&node).post(CHAT, ASK);
            check_refused(&refused, word);
            assert!(refused.text().contains(&proxy.address.to_string()), "{}", refused.text());
        }
        let config = through("https://provider.invalid", "http", free_address(), json!({}));
        check_refused(&Caller::new(&Node::start_on(&config, driver, 1)).post(CHAT, ASK), "through the proxy");
    });
}

#[test]
fn a_proxy_that_says_nothing_is_waited_for_as_long_as_a_connect() {
    on_both(|driver| {
        let silent = Upstream::start(|line| assert!(line.silence() < Duration::from_secs(15), "it was kept"));
        let asking = ["http", "socks5"].map(|kind| {
            let config = through("https://provider.invalid", kind, silent.address, json!({}));
            let node = Node::start_on(&config, driver, 1);
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ASK));
            (caller, node)
        });
        for (mut caller, _node) in asking {
            check_refused(&caller.answer(), "in time");
        }
    });
}

#[test]
fn a_provider_is_reached_by_socks_and_its_name_is_the_proxys_to_resolve() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let front = tls_front(&upstream);
        for (kind, settings) in
            [(Kind::Socks, json!({})), (Kind::Socks, credentials()), (Kind::SocksWithPassword, credentials())]
        {
            for (base_url, target, asked) in [
                ("http://provider.invalid:8080", upstream.address, "provider.invalid:8080"),
                ("http://127.0.0.1:8080", upstream.address, "127.0.0.1:8080"),
                ("https://localhost", front.address, "localhost:443"),
            ] {
                let proxy = Proxy::start(kind, target);
                let config = through(base_url, "socks5", proxy.address, settings.clone());
                let node = Node::start_on(&config, driver, 1);
                let mut caller = Caller::new(&node);
                for _ in 0..2 {
                    assert_eq!(caller.post(CHAT, ASK).text(), ANSWER, "{kind:?} {base_url}");
                }
                assert_eq!(proxy.asked(), [asked]);
                let request = upstream.last();
                assert!(
                    request.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
                    "{}",
                    request.head
                );
                assert!(request.values("proxy-authorization").is_empty());
            }
        }
    });
}

#[test]
fn what_a_socks_proxy_refuses_is_told() {
    on_both(|driver| {
        let wrong = json!({ "username": "user", "password": "pass word?" });
        for (kind, settings, word) in [
            (Kind::SocksWithPassword, json!({}), "proxy_config.username"),
            (Kind::SocksWithPassword, wrong, "proxy_config.password"),
            (Kind::SocksRefusing(4), credentials(), "unreachable"),
            (Kind::SocksRefusing(5), json!({}), "refused"),
        ] {
            let proxy = Proxy::start(kind, free_address());
            let config = through("http://provider.invalid", "socks5", proxy.address, settings);
            let node = Node::start_on(&config, driver, 1);
            check_refused(&Caller::new(&node).post(CHAT, ASK), word);
        }
    });
}

#[test]
fn no_proxy_is_asked_for_a_metadata_address() {
    on_both(|driver| {
        let proxy = Proxy::start(CONNECT, free_address());
        for base_url in ["https://169.254.169.254", "http://[fd00:ec2::254]"] {
            let config = through(base_url, "http", proxy.address, json!({}));
            let refused = Caller::new(&Node::start_on(&config, driver, 1)).post(CHAT, ASK);
            assert_eq!((refused.status, &*refused.code()), (502, "upstream_address_refused"));
        }
        assert!(proxy.asked().is_empty());
    });
}

#[test]
fn private_and_metadata_addresses_are_not_connected_to() {
    on_both(|driver| {
        for (base_url, allow) in [
            ("http://10.255.255.1", false),
            ("http://192.168.255.1:8080", false),
            ("https://[fd12::1]", false),
            ("http://169.254.169.254", true),
            ("http://[::ffff:169.254.169.254]", true),
            ("http://[64:ff9b::a9fe:a9fe]", true),
            ("http://0.0.0.0:9", true),
        ] {
            let mut config = config(free_address());
            let network = &mut config["providers"]["openai"]["network_config"];
            network["base_url"] = base_url.into();
            network["allow_private_network"] = allow.into();
            let refused = Caller::new(&Node::start_on(&config.to_string(), driver, 1)).post(CHAT, ASK);
            assert_eq!((refused.status, &*refused.code()), (502, "upstream_address_refused"), "{base_url}");
            assert!(refused.text().contains("network_config.allow_private_network"), "{}", refused.text());
        }
    });
}
