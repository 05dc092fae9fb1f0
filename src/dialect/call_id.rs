//! How the ids of calls are spelled for a target that does not take each: a conversation that another provider began brings
//! its ids along, and one that the target refuses costs the whole request. Nothing is kept: the same id is spelled the same in
//! each request, so that a call and its result stay a pair.

use std::borrow::Cow;

use crate::chat::{Message, Part};

/// Which ids of calls a target takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallIds {
    alphabet: Alphabet,
    chars_min: usize,
    chars_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Any,
    /// ASCII letters, digits, `_` and `-`.
    Word,
    /// ASCII letters and digits.
    Plain,
}

/// Longest id of our spelling, characters; the shortest limit of those who take a longer one is Bedrock's
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html>).
const SPELLED_CHARS_MAX: usize = 64;

/// Digits of a spelling: letters of both cases count.
const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// As many as 64 bits fill.
const DIGITS_COUNT: usize = 11;

impl CallIds {
    /// Each.
    pub const ANY: Self = Self { alphabet: Alphabet::Any, chars_min: 0, chars_max: usize::MAX };
    /// OpenAI's chat completions: "string too long. Expected a string with maximum length 40".
    pub const OPENAI: Self = Self { chars_max: 40, ..Self::ANY };
    /// OpenAI's responses: the same with 64.
    pub(super) const RESPONSES: Self = Self { chars_max: 64, ..Self::ANY };
    /// Anthropic: "String should match pattern '^[a-zA-Z0-9_-]+$'".
    pub(super) const ANTHROPIC: Self = Self { alphabet: Alphabet::Word, chars_min: 1, ..Self::ANY };
    /// Mistral: "must be a-z, A-Z, 0-9, with a length of 9".
    pub const MISTRAL: Self = Self { alphabet: Alphabet::Plain, chars_min: 9, chars_max: 9 };

    fn takes(self, id: &str) -> bool {
        let is_taken = |byte: u8| match self.alphabet {
            Alphabet::Any => true,
            Alphabet::Word => is_word(byte),
            Alphabet::Plain => byte.is_ascii_alphanumeric(),
        };
        // Bytes are never fewer than characters, so most ids need not be counted.
        let is_short = id.len() <= self.chars_max || id.chars().count() <= self.chars_max;
        is_short && id.len() >= self.chars_min && id.bytes().all(is_taken)
    }

    /// The id as the target takes it: as it is where it can be; else a start of it that a reader knows it by, and what tells
    /// it from the others.
    fn spelled<'i>(self, id: &'i str) -> Cow<'i, str> {
        if self.takes(id) {
            return Cow::Borrowed(id);
        }
        let chars_max = self.chars_max.min(SPELLED_CHARS_MAX);
        let word =
            |letter: char| u8::try_from(letter).ok().filter(|byte| is_word(*byte)).map_or('_', char::from);
        let start_max =
            if self.alphabet == Alphabet::Plain { 0 } else { chars_max.saturating_sub(DIGITS_COUNT + 1) };
        let mut spelled: String = id.chars().take(start_max).map(word).collect();
        if start_max > 0 {
            spelled.push('_');
        }
        let room = chars_max.saturating_sub(spelled.len());
        spelled.extend(digits(id).into_iter().take(room).map(char::from));
        Cow::Owned(spelled)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Digits that differ where ids do: a hash of 64 bits, FNV-1a, which is the same in every build.
fn digits(id: &str) -> [u8; DIGITS_COUNT] {
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    std::array::from_fn(|_| {
        let digit = usize::try_from(hash % 62).unwrap_or(0);
        hash /= 62;
        DIGITS.get(digit).copied().unwrap_or(b'0')
    })
}

/// Spells the ids of all calls and results.
pub(super) fn spell(messages: &mut [Message<'_>], taken: CallIds) {
    if taken == CallIds::ANY {
        return;
    }
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        let (Part::ToolCall { id, .. } | Part::ToolResult { call_id: id, .. }) = part else { continue };
        if let Cow::Owned(spelled) = taken.spelled(id) {
            *id = Cow::Owned(spelled);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BEDROCK: CallIds = CallIds { chars_max: 64, ..CallIds::ANTHROPIC };

    #[test]
    fn an_id_that_is_taken_stays() {
        for (taken, id) in [
            (CallIds::ANTHROPIC, "toolu_01-x"),
            (CallIds::ANTHROPIC, &*"a".repeat(200)),
            (BEDROCK, &*"a".repeat(64)),
            (CallIds::MISTRAL, "D681PevKs"),
            (CallIds::OPENAI, "functions.f:0"),
            (CallIds::OPENAI, &*"ü".repeat(40)),
            (CallIds::RESPONSES, &*"a".repeat(64)),
            (CallIds::ANY, ""),
        ] {
            assert_eq!(taken.spelled(id), id);
        }
    }

    #[test]
    fn another_is_spelled_so_that_it_is() {
        let long = "a".repeat(65);
        for taken in [CallIds::ANTHROPIC, BEDROCK, CallIds::MISTRAL, CallIds::OPENAI, CallIds::RESPONSES] {
            let ids = [
                "",
                "functions.f:0",
                "functions.f:1",
                "functions.f_0",
                "functions_f:0",
                "ü",
                "call_1",
                &*long,
            ];
            let spelled: Vec<_> = ids.iter().map(|id| taken.spelled(id)).collect();
            assert!(spelled.iter().all(|id| taken.takes(id)), "{taken:?}: {spelled:?}");
            assert_eq!(spelled.iter().collect::<HashSet<_>>().len(), ids.len(), "{taken:?}: {spelled:?}");
            let again: Vec<_> = ids.iter().map(|id| taken.spelled(id)).collect();
            assert_eq!(spelled, again);
        }
        assert_eq!(CallIds::ANTHROPIC.spelled("functions.f:0"), "functions_f_0_Q8xi6IPMTv6");
        assert_eq!(CallIds::MISTRAL.spelled("call_1"), "9Gd2dIMCT");
    }

    #[test]
    fn ids_of_many_calls_stay_apart() {
        let ids: HashSet<String> = (0..50_000)
            .map(|at| CallIds::MISTRAL.spelled(&format!("functions.f:{at}")).into_owned())
            .collect();
        assert_eq!(ids.len(), 50_000);
    }
}
