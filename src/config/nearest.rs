//! The known word nearest to a misspelt one, by edit distance. Not a spell checker: it answers only where one word is
//! close and no other is as close.

/// Words longer than this are not compared (the work grows with its square).
const WORD_CHARS_MAX: usize = 64;

/// The one known word within two edits (a third of the word's length, if that is less), case aside.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> =
        word.chars().map(|char| char.to_ascii_lowercase()).take(WORD_CHARS_MAX + 1).collect();
    if word.len() > WORD_CHARS_MAX {
        return None;
    }
    let edits_max = 2.min(word.len() / 3).max(1);
    let mut best: Option<(usize, &'k str)> = None;
    let mut is_alone = true;
    for name in known.filter(|name| !name.is_empty()) {
        let distance = edits(&word, &name.chars().map(|char| char.to_ascii_lowercase()).collect::<Vec<_>>());
        match best {
            _ if distance > edits_max => {}
            Some((least, _)) if distance > least => {}
            Some((least, _)) if distance == least => is_alone = false,
            _ => (best, is_alone) = (Some((distance, name)), true),
        }
    }
    best.filter(|_| is_alone).map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn edits(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(a != b);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let swapped =
                row > 0 && column > 0 && from.get(row - 1) == Some(b) && to.get(column - 1) == Some(a);
            if swapped {
                least = least.min(at(&before_last, column - 1) + 1);
            }
            next.push(least);
        }
        before_last = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        let known = || ["openai", "opencode-go", "anthropic", "groq"].into_iter();
        assert_eq!(nearest("opnai", known()), Some("openai"));
        assert_eq!(nearest("OpenAI", known()), Some("openai"));
        assert_eq!(nearest("antrhopic", known()), Some("anthropic"));
        assert_eq!(nearest("gorq", known()), Some("groq"));
        assert_eq!(nearest("acme", known()), None);
        assert_eq!(nearest("", known()), None);
        assert_eq!(nearest("bat", ["cat", "rat"].into_iter()), None);
        assert_eq!(nearest(&"o".repeat(5_000), known()), None);
    }
}
