//! How hard a model is to think, between the dialects' two measures: words and tokens. Which model takes which, and how it
//! is written, is each dialect's own.

use serde::Deserialize;

use super::json::{Span, Text};
use crate::chat::{Effort, Reasoning};

/// Each word with the tokens that it stands for: those of Google's own table
/// (<https://ai.google.dev/gemini-api/docs/openai#thinking>), and beyond it what leaves an answer room.
const TOKENS: [(Effort, &str, u64); 7] = [
    (Effort::None, "none", 0),
    (Effort::Minimal, "minimal", 1024),
    (Effort::Low, "low", 1024),
    (Effort::Medium, "medium", 8192),
    (Effort::High, "high", 24_576),
    (Effort::ExtraHigh, "xhigh", 32_768),
    (Effort::Max, "max", 32_768),
];

/// The effort of this name, as OpenAI and Anthropic call it.
pub(super) fn effort(word: &str) -> Option<Effort> {
    TOKENS.iter().find(|(_, name, _)| *name == word).map(|(effort, ..)| *effort)
}

/// Its name.
pub(super) fn word(effort: Effort) -> &'static str {
    TOKENS.iter().find(|(one, ..)| *one == effort).map_or("medium", |(_, name, _)| name)
}

/// The tokens that an effort stands for.
pub(super) fn tokens(effort: Effort) -> u64 {
    TOKENS.iter().find(|(one, ..)| *one == effort).map_or(0, |(.., tokens)| *tokens)
}

/// The effort that a budget of so many tokens stands for: the smallest of the common words that reaches it.
pub(super) fn effort_of(budget_tokens: u64) -> Effort {
    let common = [Effort::None, Effort::Low, Effort::Medium];
    common.into_iter().find(|effort| budget_tokens <= tokens(*effort)).unwrap_or(Effort::High)
}

#[derive(Deserialize)]
struct WireThinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    budget_tokens: Option<u64>,
    #[serde(borrow)]
    display: Option<Text<'a>>,
}

/// Anthropic's `thinking` object (<https://platform.claude.com/docs/en/build-with-claude/extended-thinking>), which callers
/// of other dialects send, too. `None`: it is none that we know.
pub(super) fn thinking(value: Span<'_>) -> Option<Reasoning> {
    let wire: WireThinking<'_> = value.parse(&"thinking").ok()?;
    let is_shown = wire.display.map(|word| word.0 != "omitted");
    match (&*wire.kind.0, wire.budget_tokens) {
        // `between_tools` is the least that some models go down to.
        ("disabled" | "between_tools", _) => {
            Some(Reasoning { effort: Some(Effort::None), is_shown, ..Reasoning::default() })
        }
        ("adaptive", _) => Some(Reasoning { is_shown, ..Reasoning::default() }),
        ("enabled", Some(tokens)) => {
            Some(Reasoning { budget_tokens: Some(tokens), is_shown, ..Reasoning::default() })
        }
        _ => None,
    }
}

/// What two keys of one request say together; the earlier wins where both say something.
pub(super) fn merged(earlier: Option<Reasoning>, later: Reasoning) -> Reasoning {
    let Some(earlier) = earlier else { return later };
    Reasoning {
        effort: earlier.effort.or(later.effort),
        budget_tokens: earlier.budget_tokens.or(later.budget_tokens),
        is_shown: earlier.is_shown.or(later.is_shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_budgets_agree() {
        for (effort, name, _) in TOKENS {
            assert_eq!(super::effort(name), Some(effort));
            assert_eq!(word(effort), name);
        }
        assert_eq!(effort("a lot"), None);
        for common in [Effort::None, Effort::Low, Effort::Medium, Effort::High] {
            assert_eq!(effort_of(tokens(common)), common);
        }
        assert_eq!(effort_of(u64::MAX), Effort::High);
    }
}
