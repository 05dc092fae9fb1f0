//! Whether the arguments of a call are whole, as they come in pieces: a JSON object or list is at its last bracket. Nothing is
//! kept of it, and whether it is JSON at all is not judged.

/// A value under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whole {
    /// Open brackets.
    depth: u32,
    in_text: bool,
    is_escaped: bool,
    is_done: bool,
}

impl Whole {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_text => self.is_escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_done |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether the last bracket has come. What is no object and no list never is.
    pub(super) fn is_done(self) -> bool {
        self.is_done
    }
}

/// Whether a piece says nothing: JSON may have it anywhere.
pub(super) fn is_blank(piece: &str) -> bool {
    piece.bytes().all(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_at_its_last_bracket_however_it_is_cut() {
        for json in [r#"{}"#, r#" {"a":[1,{"b":"}]\"}\\"}]}"#, r#"[{"é":"\\\""}]"#] {
            for cut in (0..=json.len()).filter(|cut| json.is_char_boundary(*cut)) {
                let mut whole = Whole::default();
                let (start, rest) = json.split_at(cut);
                whole.push(start);
                assert_eq!(whole.is_done(), rest.is_empty(), "{start}");
                whole.push(rest);
                assert!(whole.is_done(), "{json}");
            }
        }
        for never in ["", "null", "\"{}\"", "7", "{\"a\":\"}"] {
            let mut whole = Whole::default();
            whole.push(never);
            assert!(!whole.is_done(), "{never}");
        }
        assert!(is_blank(" \r\n\t") && !is_blank(" }"));
    }
}
