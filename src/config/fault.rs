//! What is wrong with a config file, and what is only worth a warning: where it stands and what to do. A finding's
//! text never holds a value that may be a secret. It does not look for faults itself (`validate` and its neighbours do).

use std::fmt;

/// Faults, and likewise notices, that are kept of one file; the rest is counted in a last one.
pub const FINDINGS_MAX: usize = 1_000;

/// One reason why a file is refused. Displays as `config.json:12:5: /providers/opnai: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name as it was given to `load`.
    pub file: String,
    /// JSON pointer (RFC 6901) to the value; empty: the whole file.
    pub pointer: String,
    /// From 1; 0: nowhere in particular.
    pub line: u32,
    /// Characters from the line's start, from 1; a byte order mark does not count.
    pub column: u32,
    /// What is wrong and what would be right.
    pub message: String,
}

/// One thing worth a warning in a file that is accepted. Displays like [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The file's name as it was given to `load`.
    pub file: String,
    /// JSON pointer (RFC 6901) to the value; empty: the whole file.
    pub pointer: String,
    /// From 1; 0: nowhere in particular.
    pub line: u32,
    /// Characters from the line's start, from 1.
    pub column: u32,
    /// What has no effect, or is taken in a way that one should know.
    pub message: String,
}

impl From<Notice> for Fault {
    /// What a strict check makes of a warning.
    fn from(notice: Notice) -> Self {
        let Notice { file, pointer, line, column, message } = notice;
        Self { file, pointer, line, column, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.pointer.is_empty() {
            write!(f, "{}: ", Printable(&self.pointer))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fault::from(self.clone()).fmt(f)
    }
}

/// A file's own words as one line: control characters are escaped, what is long is cut, and of a word that looks like a
/// secret nothing is said but its beginning.
pub(crate) struct Printable<'t>(pub(crate) &'t str);

/// Characters of a name or pointer that are printed.
const PRINTED_CHARS_MAX: usize = 200;

/// Shortest run of letters and digits that makes a word with a secret's prefix one.
const SECRET_RUN_MIN: usize = 20;

/// Whether a word is, by its looks, a provider's key that was put where a name belongs: a prefix that vendors give theirs,
/// and something random behind it. `sk-team-production-2024` is none.
pub(crate) fn looks_like_secret(word: &str) -> bool {
    let has_prefix =
        ["sk-", "sk_", "gsk_", "xai-", "pplx-", "hf_"].iter().any(|start| word.starts_with(start));
    let is_random = |run: &str| {
        run.len() >= SECRET_RUN_MIN
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let of_google = word.starts_with("AIza") && word.len() > 30;
    of_google || (has_prefix && word.split(|char: char| !char.is_ascii_alphanumeric()).any(is_random))
}

/// As many characters of such a word are shown: its prefix.
const SECRET_CHARS_SHOWN: usize = 3;

fn without_secrets(pointer: &str) -> String {
    let segment = |segment: &str| match looks_like_secret(segment) {
        true => format!("{}…", segment.chars().take(SECRET_CHARS_SHOWN).collect::<String>()),
        false => segment.to_owned(),
    };
    pointer.split('/').map(segment).collect::<Vec<_>>().join("/")
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if looks_like_secret(self.0) {
            return write!(f, "{}…", self.0.chars().take(SECRET_CHARS_SHOWN).collect::<String>());
        }
        for (count, char) in self.0.chars().enumerate() {
            if count == PRINTED_CHARS_MAX {
                return f.write_str("…");
            }
            if char.is_control() { write!(f, "{}", char.escape_default())? } else { write!(f, "{char}")? }
        }
        Ok(())
    }
}

/// Where a finding stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'s> {
    /// JSON pointer.
    pub(crate) pointer: &'s str,
    /// Byte offset into the text; past its end: nowhere in particular.
    pub(crate) offset: usize,
}

/// Gathers the findings of one file, and turns offsets into lines and columns.
pub(crate) struct Report<'t> {
    file: &'t str,
    text: &'t [u8],
    line_starts: Vec<usize>,
    faults: Findings,
    notices: Findings,
}

/// Findings of one sort, in the order in which they were made.
#[derive(Default)]
struct Findings {
    kept: Vec<Finding>,
    left_out: usize,
}

/// A finding whose line and column have not been counted yet.
struct Finding {
    offset: usize,
    pointer: String,
    message: String,
}

impl Findings {
    fn add(&mut self, spot: Spot<'_>, message: impl FnOnce() -> String) {
        if self.kept.len() == FINDINGS_MAX {
            self.left_out += 1;
            return;
        }
        let Spot { pointer, offset } = spot;
        self.kept.push(Finding { offset, pointer: without_secrets(pointer), message: message() });
    }
}

impl<'t> Report<'t> {
    /// A report on `text`, which need not be whole or valid.
    pub(crate) fn new(file: &'t str, text: &'t [u8]) -> Self {
        let ends = memchr::memchr_iter(b'\n', text).map(|end| end + 1);
        Self {
            file,
            text,
            line_starts: std::iter::once(0).chain(ends).collect(),
            faults: Findings::default(),
            notices: Findings::default(),
        }
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, spot: Spot<'_>, message: impl Into<String>) {
        self.faults.add(spot, || message.into());
    }

    /// Notes a warning.
    pub(crate) fn warn(&mut self, spot: Spot<'_>, message: impl Into<String>) {
        self.notices.add(spot, || message.into());
    }

    /// Notes a warning whose words are work; they are not made for one that is only counted.
    pub(crate) fn warn_by(&mut self, spot: Spot<'_>, message: impl FnOnce() -> String) {
        self.notices.add(spot, message);
    }

    /// Faults so far, those left out too.
    pub(crate) fn faults_count(&self) -> usize {
        self.faults.kept.len() + self.faults.left_out
    }

    /// The line that holds `offset`, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The offset of a line (from 1) and a byte column (from 1), within the text.
    pub(crate) fn offset(&self, line: usize, column_bytes: usize) -> usize {
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        (start + column_bytes.saturating_sub(1)).min(self.text.len())
    }

    /// The file's name.
    pub(crate) fn file(&self) -> &str {
        self.file
    }

    /// Line and column of each offset; they come in rising order.
    pub(crate) fn places(&self, offsets: impl Iterator<Item = usize>) -> Vec<(u32, u32)> {
        let mut walk = Walk::default();
        offsets.map(|offset| self.line_and_column(offset, &mut walk)).collect()
    }

    /// All faults, in the order of the file.
    pub(crate) fn into_faults(mut self) -> Vec<Fault> {
        let findings = std::mem::take(&mut self.faults);
        self.located(findings, "faults")
    }

    /// All warnings, in the order of the file.
    pub(crate) fn into_notices(mut self) -> Vec<Notice> {
        let findings = std::mem::take(&mut self.notices);
        let notice = |fault| {
            let Fault { file, pointer, line, column, message } = fault;
            Notice { file, pointer, line, column, message }
        };
        self.located(findings, "warnings").into_iter().map(notice).collect()
    }

    /// Sorts by place, and counts lines and columns in one walk through the text, however long its lines are.
    fn located(&self, findings: Findings, what: &str) -> Vec<Fault> {
        let Findings { mut kept, left_out } = findings;
        kept.sort_by_key(|finding| finding.offset);
        if left_out > 0 {
            let message = format!("and {left_out} more {what}");
            kept.push(Finding { offset: usize::MAX, pointer: String::new(), message });
        }
        let mut walk = Walk::default();
        kept.into_iter()
            .map(|Finding { offset, pointer, message }| {
                let (line, column) = self.line_and_column(offset, &mut walk);
                Fault { file: self.file.to_owned(), pointer, line, column, message }
            })
            .collect()
    }

    /// Offsets come in rising order.
    fn line_and_column(&self, offset: usize, walk: &mut Walk) -> (u32, u32) {
        if offset > self.text.len() {
            return (0, 0);
        }
        let line = self.line(offset);
        if line != walk.line {
            *walk = Walk { line, offset: self.line_starts.get(line - 1).copied().unwrap_or(0), chars: 0 };
        }
        let between = self.text.get(walk.offset..offset).unwrap_or_default();
        // A character is counted at its first byte; what is not UTF-8 still gets a column.
        walk.chars += between.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        walk.offset = offset;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(walk.chars + 1).unwrap_or(u32::MAX))
    }
}

/// How far into a line the characters have been counted.
#[derive(Default)]
struct Walk {
    /// From 1; 0: nowhere yet.
    line: usize,
    offset: usize,
    chars: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_names_place_is_not_quoted() {
        for secret in [
            "sk-AbCdEf0123456789abcd",
            "sk-proj-a_b-0123456789abcdefghij-x",
            "sk-ant-api03-AbCdEf0123456789abcd-_x",
            "gsk_0123456789abcdefghij",
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        ] {
            assert!(looks_like_secret(secret), "{secret}");
            assert_eq!(Printable(secret).to_string().chars().count(), 4, "{secret}");
            assert!(!without_secrets(&format!("/keys/0/{secret}")).contains(secret));
        }
        for word in ["sk-team-production-2024-primary", "sk-abcdefghijklmnopqrstuvwxyz", "gpt-4o", "AIza", ""]
        {
            assert!(!looks_like_secret(word), "{word}");
        }
        assert_eq!(without_secrets("/a~1b//c"), "/a~1b//c");
    }

    #[test]
    fn columns_count_characters() {
        let mut report = Report::new("c.json", "{\n \"ä\": x".as_bytes());
        report.fault(Spot { pointer: "", offset: usize::MAX }, "nowhere");
        report.fault(Spot { pointer: "/ä", offset: 8 }, "no");
        report.fault(Spot { pointer: "/ä", offset: 8 }, "never");
        report.fault(Spot { pointer: "", offset: 3 }, "bad");
        report.fault(Spot { pointer: "", offset: 0 }, "open");
        assert_eq!(
            report.into_faults().iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "c.json:1:1: open",
                "c.json:2:2: bad",
                "c.json:2:6: /ä: no",
                "c.json:2:6: /ä: never",
                "c.json: nowhere"
            ]
        );
    }

    #[test]
    fn what_is_over_the_bound_is_counted() {
        let mut report = Report::new("c.json", b"{}");
        for _ in 0..FINDINGS_MAX + 2 {
            report.fault(Spot { pointer: "", offset: 0 }, "no");
        }
        let faults = report.into_faults();
        assert_eq!(faults.len(), FINDINGS_MAX + 1);
        assert_eq!(faults[FINDINGS_MAX].to_string(), "c.json: and 2 more faults");
    }
}
