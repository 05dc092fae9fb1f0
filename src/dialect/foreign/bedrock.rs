//! What is foreign in the body of a Converse request, see [`super`].

use std::ops::Range;

use super::list::Walk;
use crate::dialect::Dialect;
use crate::dialect::dropped::named_once;

/// Finds it. A message of which nothing is left goes, since Converse refuses one without content.
pub(super) fn walk(walk: &mut Walk<'_>) -> Option<()> {
    let messages = walk.whole(&["messages"])?.value(0)?;
    walk.cut_items(&messages, |walk, message| {
        let content = walk.object(message, &["content"]).and_then(|message| message.value(0));
        content.is_some_and(|content| walk.cut_items(&content, goes))
    });
    Some(())
}

/// Whether a block is a thought that another provider proved.
fn goes(walk: &mut Walk<'_>, block: &Range<usize>) -> bool {
    let thought = walk.object(block, &["reasoningContent"]).and_then(|block| block.value(0));
    let Some(thought) =
        thought.and_then(|thought| walk.object(&thought, &["reasoningText", "redactedContent"]))
    else {
        return false;
    };
    let signed = thought.value(0).and_then(|signed| walk.object(&signed, &["signature"]));
    let proof = signed.and_then(|signed| signed.value(0)).or(thought.value(1));
    let goes = walk.is_foreign(Dialect::Bedrock, proof);
    if goes {
        named_once(&mut walk.dropped, "messages.content.reasoningContent");
    }
    goes
}

#[cfg(test)]
mod tests {
    use super::super::{Search, find};
    use super::*;
    use crate::dialect::origin::marked;

    #[test]
    fn another_providers_thoughts_go_and_ones_own_stay() {
        let foreign = marked(Dialect::Gemini, Dialect::Bedrock, "QQ==");
        let thought = |proof: &str| format!(r#"{{"reasoningContent":{{"redactedContent":"{proof}"}}}}"#);
        let signed =
            format!(r#"{{"reasoningContent":{{"reasoningText":{{"text":"t","signature":"{foreign}"}}}}}}"#);
        let text = r#"{"text":"a"}"#;
        let body = format!(
            r#"{{"messages":[{{"role":"assistant","content":[{},{text},{signed},{}]}},{{"role":"assistant","content":[{signed}]}}]}}"#,
            thought(&foreign),
            thought("QQ==")
        );
        assert!(Search::default().is_found(Dialect::Bedrock, body.as_bytes()));
        let found = find(Dialect::Bedrock, "m", body.as_bytes());
        let mut left = body;
        for (span, bytes) in found.edits.into_iter().rev() {
            left.replace_range(span, std::str::from_utf8(&bytes).unwrap());
        }
        let expected =
            format!(r#"{{"messages":[{{"role":"assistant","content":[{text},{}]}}]}}"#, thought("QQ=="));
        assert_eq!((left, found.dropped), (expected, vec!["messages.content.reasoningContent".to_owned()]));
    }
}
