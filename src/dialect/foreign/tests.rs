//! What goes out of a body, and what stays: each case with the places marked in it.

use super::*;

fn edited(dialect: Dialect, model: &str, body: &str) -> (String, Vec<String>) {
    let Foreign { edits, dropped } = find(dialect, model, body.as_bytes());
    let (mut out, mut from) = (String::new(), 0);
    for (span, bytes) in &edits {
        out.push_str(&body[from..span.start]);
        out.push_str(std::str::from_utf8(bytes).unwrap());
        from = span.end;
    }
    out.push_str(&body[from..]);
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    (out, dropped)
}

/// `§` stands around what goes, `§a¦b§` is `a` before and `b` behind.
fn check(dialect: Dialect, model: &str, marked: &str, name: &str) {
    let (mut before, mut behind) = (String::new(), String::new());
    for (index, piece) in marked.split('§').enumerate() {
        match (index % 2, piece.split_once('¦')) {
            (0, _) => [&mut before, &mut behind].into_iter().for_each(|text| text.push_str(piece)),
            (_, Some((old, new))) => {
                before.push_str(old);
                behind.push_str(new);
            }
            (_, None) => before.push_str(piece),
        }
    }
    assert!(Search::default().is_found(dialect, before.as_bytes()), "{before}");
    let names: Vec<_> = name.split_whitespace().map(str::to_owned).collect();
    assert_eq!(edited(dialect, model, &before), (behind, names), "{before}");
}

const CLAUDE: &str = "claude-sonnet-4-5";

#[test]
fn anthropics_blocks() {
    let check = |marked, name| check(Dialect::Anthropic, CLAUDE, marked, name);
    let thinking = "messages.content.thinking";
    check(
        r#" {"x": 1.50,"messages" : [ {"role":"user","content":"a"},{"role":"assistant","content":[§{"type":"thinking","thinking":"t","signature":"corelaneOpenAi00QQ=="} , §{"type":"text","text":"b"}]},{"role":"user","content":"c"}],"model":"m" }"#,
        thinking,
    );
    check(
        r#"{"messages":[{"role":"user","content":"a"},{"content":[{"type":"thinking","thinking":"own","signature":"EqQB"}§,{"type":"redacted_thinking","data":"corelaneGemini00QQ"}§§,{"signature":"corelaneResponses000QQ","type":"think\u0069ng","thinking":""}§, {"type":"text","text":"b"}],"role":"assistant"}]}"#,
        thinking,
    );
    // A message of thoughts alone goes with them.
    check(
        r#"{"messages":[{"role":"user","content":"a"}§,{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"corelaneUnsigned"},{"type":"redacted_thinking","data":"corelaneGemini00QQ"}]}§,{"role":"user","content":"c"}]}"#,
        thinking,
    );
    // Its own comes home without a mark.
    check(
        r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":§"corelaneAnthropic000Eq\u0051B"¦"EqQB"§}]}]}"#,
        "",
    );
}

#[test]
fn anthropics_citations() {
    let check = |marked| check(Dialect::Anthropic, CLAUDE, marked, "messages.content.citations");
    check(
        r#"{"messages":[{"role":"assistant","content":[{"type":"text"§,"citations":[{"type":"web_search_result_location","encrypted_index":"corelaneCitation","url":"u"}]§,"text":"b"}]}]}"#,
    );
    check(
        r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"b","citations":[§{"encrypted_index":"corelaneCitation"},§{"encrypted_index":"Eo8B"},{"type":"char_location"}]}]}]}"#,
    );
}

#[test]
fn a_budget_goes_with_the_thoughts_that_it_demands() {
    let call = r#"{"type":"tool_use","id":"c","name":"f","input":{}}"#;
    let result = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"c"}]}"#;
    let foreign = r#"§{"type":"thinking","thinking":"t","signature":"corelaneUnsigned"},§"#;
    let budget = r#"{"type":"enabled","budget_tokens":2000}"#;
    let round = format!(
        r#""messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[{foreign}{call}]}},{result}"#
    );
    let off = format!(r#"§{budget}¦{{"type":"disabled"}}§"#);
    let thinking = "messages.content.thinking";
    let both = "messages.content.thinking thinking";
    for (model, body, names) in [
        (CLAUDE, format!(r#"{{{round}],"thinking":{off}}}"#), both),
        (CLAUDE, format!(r#"{{"thinking":{off},{round}]}}"#), both),
        // The round is over, or the model thinks as it likes, or was not to think.
        (
            CLAUDE,
            format!(
                r#"{{{round},{{"role":"user","content":[{{"type":"text","text":"b"}}]}}],"thinking":{budget}}}"#
            ),
            thinking,
        ),
        (CLAUDE, format!(r#"{{{round},{{"role":"user","content":"b"}}],"thinking":{budget}}}"#), thinking),
        ("claude-opus-4-6", format!(r#"{{{round}],"thinking":{budget}}}"#), thinking),
        (CLAUDE, format!(r#"{{{round}],"thinking":{{"type":"adaptive"}}}}"#), thinking),
    ] {
        check(Dialect::Anthropic, model, &body, names);
    }
}

#[test]
fn items_of_responses() {
    let check = |marked| check(Dialect::Responses, "gpt-5", marked, "input.reasoning");
    check(
        r#"{"input":[{"role":"user","content":"a"},§{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"corelane.signature:corelaneAnthropic000QQ"},§{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"}§,{"type":"reasoning","summary":[],"encrypted_content":"corelane.redacted:corelaneGemini00QQ"}§]}"#,
    );
    check(
        r#"{"input":[§{"type":"reasoning","summary":[],"encrypted_content":"corelane.unproven"},§{"type":"reasoning","summary":[],"encrypted_content":§"corelaneResponses000gAAAA"¦"gAAAA"§}]}"#,
    );
}

#[test]
fn details_of_chat() {
    let check = |marked, name| check(Dialect::OpenAi, "m", marked, name);
    check(
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant"§,"reasoning_details":[{"type":"reasoning.text","text":"t","index":0},{"type":"reasoning.text","signature":"corelaneAnthropic000QQ","index":0}]§,"content":"b"}]}"#,
        "messages.reasoning_details",
    );
    check(
        r#"{"messages":[{"reasoning_details":[{"type":"reasoning.encrypted","data":§"corelaneOpenAi00QQ"¦"QQ"§}],"role":"assistant"}]}"#,
        "",
    );
}

/// `corelaneOpenAi00` and `corelaneGemini00QQ==` as base64.
const OPENAI: &str = "Y29yZWxhbmVPcGVuQWkwMFFRPT0";
const GEMINI: &str = "Y29yZWxhbmVHZW1pbmkwMFFRPT0=";

#[test]
fn signatures_of_gemini() {
    let name = "contents.parts.thoughtSignature";
    let call = r#""functionCall":{"name":"f","args":{}}"#;
    let text = format!(
        r#"{{"contents":[{{"role":"user","parts":[{{"text":"a"}}]}},{{"parts":[§{{"text":"","thoughtSignature":"{OPENAI}"}},§{{"text":"t","thought":true§,"thoughtSignature":"{OPENAI}"§}},{{"text":"b","thoughtSignature":"QQ=="}}],"role":"model"}}]}}"#
    );
    check(Dialect::Gemini, "gemini-2.5-pro", &text, name);
    let body = |goes: &str| {
        format!(r#"{{"generateContentRequest":{{"contents":[{{"parts":[{{{call},{goes}}}]}}]}}}}"#)
    };
    let cut = body("").replace(",}]", &format!(r#"§,"thought_signature":"{OPENAI}"§}}]"#));
    check(Dialect::Gemini, "gemini-2.5-pro", &cut, name);
    let skipped = format!(r#""thoughtSignature":§"{OPENAI}"¦"skip_thought_signature_validator"§"#);
    check(Dialect::Gemini, "gemini-3-pro", &body(&skipped), name);
    let own = format!(r#""thoughtSignature":§"{GEMINI}"¦"QQ=="§"#);
    check(Dialect::Gemini, "gemini-3-pro", &body(&own), "");
    let turn = format!(
        r#"{{"contents":[{{"parts":[{{"text":"a"}}]}}§,{{"parts":[{{"text":"","thought":true,"thoughtSignature":"{OPENAI}"}}]}}§,{{"parts":[{{"text":"b"}}]}}]}}"#
    );
    check(Dialect::Gemini, "gemini-2.5-pro", &turn, name);
}

#[test]
fn what_only_looks_like_it_stays() {
    for dialect in Dialect::ALL {
        for body in [
            r#"{"model":"corelane","messages":"corelane","input":"corelaneUnsigned","contents":{"parts":"Y29yZWxhbm"}}"#,
            r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"corelaneOpenAi00"},{"type":"thinking","thinking":"corelaneOpenAi00","signature":"corelane!"},7,{"type":"thinking"}]},null,"x",{"content":{}}],"input":[1,{"type":"message","encrypted_content":"corelane.redacted:"},{"type":"reasoning","encrypted_content":null}],"contents":[{"parts":[{"text":"Y29yZWxhbm","thoughtSignature":"Y29yZWxhbmU"},3]},{"parts":{}}]}"#,
            r#"{"messages":[{"content":[{"type":"thinking","signature":"corelaneOpenAi00","signature":"x"}]}]}"#,
            "{}",
        ] {
            assert_eq!(edited(dialect, CLAUDE, body), (body.to_owned(), Vec::new()), "{dialect:?}");
        }
    }
}

#[test]
fn every_mark_is_found() {
    let (search, proof) = (Search::default(), "QQ==");
    for (from, to) in Dialect::ALL.into_iter().flat_map(|from| Dialect::ALL.map(|to| (from, to))) {
        let neutral =
            if from == Dialect::Responses { format!("{}{proof}", thought::OWN) } else { proof.to_owned() };
        let body = format!("{{\"a\":\"{}\"}}", origin::marked(from, to, &neutral));
        // Responses' own encode half takes its mark off, or puts another one before those of others.
        let is_marked = from != to || from == Dialect::Responses;
        assert_eq!(search.is_found(to, body.as_bytes()), is_marked, "{from:?} {to:?} {body}");
    }
}
