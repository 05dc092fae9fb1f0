//! A file of variables in the syntax of systemd's `EnvironmentFile=` (systemd.exec(5), as `parse_env_file` reads it):
//! `NAME=value` lines, comments, quotes, continued lines, and nothing that is expanded. It opens no file.

use std::collections::HashMap;

use super::secret::Secret;

/// Largest file, bytes.
pub const ENV_FILE_BYTES_MAX: usize = 1024 * 1024;

/// The file's variables, the last of a name winning; an error names the line (from 1) and never quotes a value.
pub fn parse(bytes: &[u8]) -> Result<HashMap<String, Secret>, String> {
    if bytes.len() > ENV_FILE_BYTES_MAX {
        return Err(format!("has {} bytes; at most {ENV_FILE_BYTES_MAX}", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        format!("line {line} is not UTF-8")
    })?;
    let mut reader = Reader::default();
    text.chars().try_for_each(|char| reader.take(char))?;
    reader.end()
}

/// Where in the syntax the reader stands; systemd's own states.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    BeforeName,
    Name,
    /// After `=`, or after a closing quote.
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuoted,
    DoubleQuoted,
    DoubleQuotedEscape,
    Comment,
    CommentEscape,
}

#[derive(Default)]
struct Reader {
    state: State,
    /// Ends of lines so far.
    lines: usize,
    name: String,
    value: String,
    /// Length of `value` that is kept whatever spaces follow: what was quoted or escaped.
    value_kept: usize,
    variables: HashMap<String, Secret>,
}

impl Reader {
    fn take(&mut self, char: char) -> Result<(), String> {
        if char == '\0' {
            return Err(format!("line {} holds a NUL", self.lines + 1));
        }
        let is_end = matches!(char, '\n' | '\r');
        self.state = match self.state {
            State::BeforeName => match char {
                '#' | ';' => State::Comment,
                char if char.is_ascii_whitespace() => State::BeforeName,
                char => self.name(char),
            },
            State::Name if is_end => return Err(self.no_equals_sign()),
            State::Name if char == '=' => State::BeforeValue,
            State::Name => self.name(char),
            State::BeforeValue | State::Value if is_end => self.finish()?,
            State::BeforeValue => match char {
                '\'' => State::SingleQuoted,
                '"' => State::DoubleQuoted,
                '\\' => State::ValueEscape,
                ' ' | '\t' => State::BeforeValue,
                char => self.value(char),
            },
            State::Value if char == '\\' => State::ValueEscape,
            State::Value => self.value(char),
            State::ValueEscape if is_end => State::Value,
            State::ValueEscape => self.kept(char, State::Value),
            State::SingleQuoted if char == '\'' => State::BeforeValue,
            State::SingleQuoted => self.kept(char, State::SingleQuoted),
            State::DoubleQuoted if char == '"' => State::BeforeValue,
            State::DoubleQuoted if char == '\\' => State::DoubleQuotedEscape,
            State::DoubleQuoted => self.kept(char, State::DoubleQuoted),
            State::DoubleQuotedEscape => self.escaped(char),
            State::Comment if char == '\\' => State::CommentEscape,
            State::Comment if is_end => State::BeforeName,
            State::Comment | State::CommentEscape => State::Comment,
        };
        self.lines += usize::from(char == '\n');
        Ok(())
    }

    fn name(&mut self, char: char) -> State {
        self.name.push(char);
        State::Name
    }

    fn value(&mut self, char: char) -> State {
        self.value.push(char);
        State::Value
    }

    fn kept(&mut self, char: char, next: State) -> State {
        self.value.push(char);
        self.value_kept = self.value.len();
        next
    }

    /// Between double quotes a backslash stands for itself, but before what a shell would take otherwise.
    fn escaped(&mut self, char: char) -> State {
        if char == '\n' {
            return State::DoubleQuoted;
        }
        if !matches!(char, '"' | '\\' | '`' | '$') {
            self.value.push('\\');
        }
        self.kept(char, State::DoubleQuoted)
    }

    fn finish(&mut self) -> Result<State, String> {
        let name = std::mem::take(&mut self.name);
        let name = name.trim_end();
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !name.bytes().all(is_name_byte) || name.bytes().next().is_none_or(|byte| byte.is_ascii_digit()) {
            return Err(format!("line {}: no variable's name before the =", self.lines + 1));
        }
        let trimmed = self.value.trim_end_matches([' ', '\t']).len();
        let mut value = std::mem::take(&mut self.value);
        value.truncate(trimmed.max(std::mem::take(&mut self.value_kept)));
        let value = Secret::new(value);
        self.variables.insert(name.to_owned(), value);
        Ok(State::BeforeName)
    }

    fn end(mut self) -> Result<HashMap<String, Secret>, String> {
        match self.state {
            State::Name => return Err(self.no_equals_sign()),
            State::BeforeValue | State::Value | State::ValueEscape => {
                self.finish()?;
            }
            State::SingleQuoted | State::DoubleQuoted | State::DoubleQuotedEscape => {
                return Err("a quote is opened and never closed".to_owned());
            }
            State::BeforeName | State::Comment | State::CommentEscape => {}
        }
        Ok(self.variables)
    }

    fn no_equals_sign(&self) -> String {
        format!("line {}: expected NAME=value", self.lines + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<(String, String)>, String> {
        let variables = parse(text.as_bytes())?;
        let mut pairs: Vec<_> =
            variables.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
        pairs.sort();
        Ok(pairs)
    }

    #[test]
    fn values_are_read_as_systemd_does() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=b c \t\n", "b c"),
            ("  A =  b", "b"),
            ("A=", ""),
            ("A=\"b c \"", "b c "),
            ("A='b \"c\" \\d'", "b \"c\" \\d"),
            ("A=\"a\\\"b\\\\c\\$d\\n\"", "a\"b\\c$d\\n"),
            ("A='a' \"b\"", "ab"),
            ("A=a\\\nb", "ab"),
            ("A=\"a\nb\"", "a\nb"),
            ("A=$HOME#x", "$HOME#x"),
            ("A=it's", "it's"),
            ("A=a\\ ", "a "),
            ("A=1\r\n", "1"),
            ("A=1\nA=2", "2"),
            ("# B=1 \\\nstill a comment\n;x\nA=2", "2"),
        ] {
            assert_eq!(check(text), Ok(vec![("A".to_owned(), value.to_owned())]), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (text, message) in [
            ("A=1\nsk-live", "line 2: expected NAME=value"),
            ("A=1\nsk-live\n", "line 2: expected NAME=value"),
            ("1A=sk-live", "line 1: no variable's name before the ="),
            ("export A=sk-live", "line 1: no variable's name before the ="),
            ("A=\"sk-live", "a quote is opened and never closed"),
            ("A=\0", "line 1 holds a NUL"),
        ] {
            assert_eq!(check(text), Err(message.to_owned()), "{text:?}");
        }
        assert_eq!(parse(b"A=1\nB=\xff").err().as_deref(), Some("line 2 is not UTF-8"));
    }
}
