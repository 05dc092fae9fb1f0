//! `corelane explain`: what it says of each way in which a name may mean a provider and a key, or none.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{compare, fixtures, folder, run, run_in};

fn explain(arguments: &[&str]) -> crate::Ended {
    run(&[&["explain", "--config", "good.json"], arguments].concat())
}

#[test]
fn the_words_are_these() {
    compare("explain_prefix", &explain(&["--model", "openai/best", "--seed", "7"]));
    compare("explain_home", &explain(&["--model", "o3", "--home", "openai"]));
    compare("explain_only_listing", &explain(&["--model", "claude-sonnet"]));
    compare("explain_key_less", &explain(&["--model", "mine/x", "--seed", "1"]));
    compare(
        "explain_disable",
        &explain(&["--model", "gpt-4o", "--disable", "primary", "--disable", "claude"]),
    );
    compare("explain_whole_only", &explain(&["--model", "whole/x"]));
    compare("explain_stream_refused", &explain(&["--model", "whole/x", "--stream"]));
    compare("explain_no_key", &explain(&["--model", "anthropic/gpt-4o"]));
    compare("explain_unknown_model", &explain(&["--model", "gpt-5"]));
    compare("explain_unknown_provider", &explain(&["--model", "groq/llama"]));
    compare("explain_json", &explain(&["--model", "openai/best", "--seed", "7", "--json"]));
    compare("explain_json_refused", &explain(&["--model", "anthropic/gpt-4o", "--json"]));
    compare("explain_faulty", &run(&["explain", "--config", "faulty.json", "--model", "x"]));
    compare("explain_unset", &run(&["explain", "--config", "warned.json", "--model", "openai/x"]));
}

#[test]
fn a_clouds_urls_are_those_of_each_key() {
    let explain =
        |model: &str| run(&["explain", "--config", "clouds.json", "--assume-keys", "--model", model]);
    compare("explain_azure", &explain("azure/gpt-4o"));
    let home =
        ["explain", "--config", "clouds.json", "--assume-keys", "--model", "gpt-4o", "--home", "azure"];
    assert!(run(&home).text().contains("the path is /openai/deployments/…\n"));
    compare("explain_azure_claude", &explain("azure/claude-sonnet-4-5"));
    compare("explain_vertex", &explain("vertex/google/gemini-2.5-pro"));
    compare("explain_vertex_claude", &explain("vertex/claude-sonnet-4-5@20250929"));
    compare("explain_vertex_refused", &explain("vertex/meta/llama-4"));
}

#[test]
fn fallbacks_are_explained() {
    let explain = |arguments: &[&str]| {
        run(&[&["explain", "--config", "falling_back.json", "--model"], arguments].concat())
    };
    compare("explain_fallbacks", &explain(&["gpt-4o", "--seed", "7"]));
    compare("explain_fallback_serves", &explain(&["openai/gpt-5", "--seed", "7"]));
    let explained = explain(&["gpt-4o", "--seed", "7", "--json"]).json();
    let legs = explained["attempts"].as_array().unwrap();
    assert_eq!((legs.len(), &legs[1]["leg"], &legs[1]["provider"]), (2, &json!(1), &json!("anthropic")));
    assert_eq!(legs[0]["retries"], json!({"max": 2, "backoff_initial_ms": 200, "backoff_max_ms": 3000}));
    assert_eq!((&legs[0]["balance"], &legs[1]["balance"]), (&json!("least_busy"), &json!("weighted")));
    let skipped = explained["skipped"].as_array().unwrap();
    let codes: Vec<&Value> = skipped.iter().map(|leg| &leg["error"]["code"]).collect();
    assert_eq!(codes, ["no_key_for_model", "no_key_for_model"]);
    assert_eq!((&explained["error"], &explained["draw"]["key"]), (&Value::Null, &json!("two")));
    let explained = explain(&["openai/gpt-5", "--seed", "7", "--json"]).json();
    assert_eq!((&explained["error"], &explained["draw"]["provider"]), (&Value::Null, &json!("anthropic")));
}

#[test]
fn wrong_words_are_exit_2() {
    explain(&["--model", "gpt-4o", "--disable", "primry"]).has(2, &["primry", "did you mean \"primary\"?"]);
    explain(&["--model", "gpt-4o", "--disable", "nothing like it"]).has(2, &["no key has this name\n"]);
    explain(&["--model", "gpt-4o", "--seed", "x"]).has(2, &["--seed"]);
    explain(&["--model", "gpt-4o", "--home", "groq"]).has(2, &["openai", "anthropic", "gemini"]);
    explain(&[]).has(2, &["--model"]);
}

#[test]
fn keys_without_values_may_be_assumed() {
    let explain = |more: &[&str]| {
        let words = ["explain", "--config", "good.json", "--model", "openai/gpt-4o"];
        run_in(&fixtures(), &[("ANTHROPIC_API_KEY", "sk-of-anthropic")], &[&words, more].concat())
    };
    explain(&[]).has(1, &["no_key_for_model", "no value: OPENAI_API_KEY is unset or empty"]);
    assert_eq!(
        explain(&["--assume-keys"]).stdout,
        run(&["explain", "--config", "good.json", "--model", "openai/gpt-4o"]).stdout
    );
}

#[test]
fn seeds_draw_as_often_as_is_said() {
    let draws = 60_u32;
    let mut drawn: HashMap<String, u32> = HashMap::new();
    for seed in 0..draws {
        let seed = seed.to_string();
        let explained = explain(&["--model", "gpt-4o", "--home", "openai", "--seed", &seed, "--json"]).json();
        let key = explained["draw"]["key"].as_str().unwrap().to_owned();
        assert_eq!(explained["draw"]["seed"].to_string(), seed);
        *drawn.entry(key).or_default() += 1;
    }
    let primary = drawn.remove("primary").unwrap();
    // 3 of 4, give or take five standard deviations.
    assert!((28..=60).contains(&primary), "{primary}");
    assert_eq!(drawn.remove("secondary"), Some(draws - primary));
    assert!(drawn.is_empty());
}

#[test]
fn json_adds_up() {
    let explained = explain(&["--model", "openai/gpt-4o", "--json"]).json();
    let candidates = explained["attempts"][0]["candidates"].as_array().unwrap();
    let sum: f64 = candidates.iter().map(|candidate| candidate["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{explained}");
    assert_eq!(candidates.len() + explained["rejected"].as_array().unwrap().len(), 5);
    assert_eq!((&explained["draw"], &explained["error"]), (&Value::Null, &Value::Null));
    assert_eq!(explained["target"], json!({"provider": "openai", "model": "gpt-4o", "because": "prefix"}));
}

#[test]
fn a_configs_words_move_no_terminal() {
    let folder = folder(
        r#"{"providers": {"openai": {"keys": [
            {"name": "a", "value": "env.K", "models": ["m"], "aliases": {"m": "\u001b[2J\u009b31m"}},
            {"name": "b", "value": "env.K", "models": ["m"], "weight": 0}]}}}"#,
    );
    let config = folder.path().join("config.json");
    let words =
        ["explain", "--config", config.to_str().unwrap(), "--model", "m", "--assume-keys", "--seed", "1"];
    let ended = run(&words);
    ended.has(0, &["\\u{1b}[2J\\u{9b}31m"]);
}
