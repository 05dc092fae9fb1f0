//! JSON text to a tree whose values know where they stand. Strict (RFC 8259): no comments, no trailing commas, one value,
//! no key twice; bounded before anything recurses. It knows nothing of the config's keys (`file` does).

use std::borrow::Cow;
use std::collections::HashMap;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::fault::{Printable, Report, Spot};

/// Largest config file, bytes: 5,000 keys take about one MiB.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Deepest nesting of arrays and objects; the deepest known key is under 12.
pub const DEPTH_MAX: usize = 64;
/// Most values in a file; each takes about 100 bytes of memory while the file is read.
pub const VALUES_MAX: usize = 1_000_000;
/// Longest key, bytes: a pointer holds every key on the way, and a finding holds a pointer.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Longest number, bytes: more digits than any 64-bit number has.
pub const NUMBER_BYTES_MAX: usize = 40;

/// A value and where it starts.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    /// The value.
    pub(crate) value: Value<'t>,
    /// Byte offset into the text.
    pub(crate) start: usize,
}

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Value<'t> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written, finite and at most [`NUMBER_BYTES_MAX`] long.
    Number(&'t str),
    /// A string, unescaped.
    Text(Cow<'t, str>),
    /// An array.
    List(Vec<Node<'t>>),
    /// An object, in the file's order, each key once.
    Object(Vec<Member<'t>>),
}

impl Value<'_> {
    /// The value's type, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// One member of an object.
#[derive(Debug)]
pub(crate) struct Member<'t> {
    /// The key, unescaped.
    pub(crate) name: Cow<'t, str>,
    /// Byte offset of the key.
    pub(crate) name_start: usize,
    /// The value.
    pub(crate) node: Node<'t>,
}

/// A file that is no JSON at all, before any text can be trusted.
pub(crate) struct Malformed {
    /// Byte offset into the text after its byte order mark.
    pub(crate) offset: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// The text of a file: a UTF-8 byte order mark is skipped, the rest must be UTF-8 and within the bounds.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.len() > FILE_BYTES_MAX {
        let message =
            format!("the file has {} bytes; a config has at most {FILE_BYTES_MAX} (16 MiB)", bytes.len());
        return Err(Malformed { offset: usize::MAX, message });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Malformed {
        offset: error.valid_up_to(),
        message: "the file is not UTF-8 here; save it as UTF-8".to_owned(),
    })?;
    check_bounds(text.as_bytes())?;
    Ok(text)
}

/// The tree of a text that [`decode`] let pass; `None`: malformed, and reported.
pub(crate) fn parse<'t>(text: &'t str, report: &mut Report<'_>) -> Option<Node<'t>> {
    // serde_json decides what JSON is (the other parser lets raw control characters and Unicode spaces pass); its
    // messages never quote the text.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let offset = report.offset(error.line(), error.column());
        report.fault(Spot { pointer: "", offset }, syntax_message(&error));
        return None;
    }
    match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(result) => Some(convert(result.value?, &mut String::new(), report)),
        Err(error) => {
            let spot = Spot { pointer: "", offset: error.range().start };
            report.fault(spot, format!("malformed JSON: {}", error.kind()));
            None
        }
    }
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn syntax_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(&text);
    let hint = match what {
        "EOF while parsing a value" => "; the file is empty or cut short",
        "trailing comma" => "; JSON has none before a closing bracket",
        "trailing characters" => "; a config is one object and nothing after it",
        "key must be a string" => "; JSON has no comma before }, no comments and no bare words",
        _ => "",
    };
    format!("malformed JSON: {what}{hint}")
}

/// Walks the bytes once without recursion, so that no text can make a later pass recurse or allocate without bound.
fn check_bounds(text: &[u8]) -> Result<(), Malformed> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0_usize, 1_usize, false, false);
    for (offset, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} arrays and objects");
            return Err(Malformed { offset, message });
        }
        if values > VALUES_MAX {
            return Err(Malformed { offset, message: format!("more than {VALUES_MAX} values") });
        }
    }
    Ok(())
}

/// Recurses at most [`DEPTH_MAX`] deep.
fn convert<'t>(value: ast::Value<'t>, pointer: &mut String, report: &mut Report<'_>) -> Node<'t> {
    let start = value.start();
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::StringLit(literal) => Value::Text(literal.value),
        ast::Value::NumberLit(literal) => number(literal.value, Spot { pointer, offset: start }, report),
        ast::Value::Array(array) => Value::List(
            array
                .elements
                .into_iter()
                .enumerate()
                .map(|(index, element)| {
                    within(pointer, &index.to_string(), |pointer| convert(element, pointer, report))
                })
                .collect(),
        ),
        ast::Value::Object(object) => Value::Object(members(object, pointer, report)),
    };
    Node { value, start }
}

fn number<'t>(digits: &'t str, spot: Spot<'_>, report: &mut Report<'_>) -> Value<'t> {
    if digits.len() > NUMBER_BYTES_MAX {
        report.fault(spot, format!("a number of {} bytes; at most {NUMBER_BYTES_MAX}", digits.len()));
        return Value::Number("0");
    }
    if !digits.parse::<f64>().is_ok_and(f64::is_finite) {
        report.fault(spot, "a number too large to be represented");
        return Value::Number("0");
    }
    Value::Number(digits)
}

fn members<'t>(object: ast::Object<'t>, pointer: &mut String, report: &mut Report<'_>) -> Vec<Member<'t>> {
    let mut members = Vec::with_capacity(object.properties.len());
    let mut first_starts: HashMap<String, usize> = HashMap::with_capacity(object.properties.len());
    for property in object.properties {
        let name_start = property.name.start();
        let name = match property.name {
            ast::ObjectPropName::String(literal) => literal.value,
            ast::ObjectPropName::Word(literal) => Cow::Borrowed(literal.value),
        };
        if name.len() > KEY_BYTES_MAX {
            let message = format!("a key of {} bytes; at most {KEY_BYTES_MAX}", name.len());
            report.fault(Spot { pointer, offset: name_start }, message);
            continue;
        }
        let node = within(pointer, &name, |pointer| {
            if let Some(first) = first_starts.get(name.as_ref()) {
                let line = report.line(*first);
                let message =
                    format!("the key \"{}\" stands twice, first on line {line}; keep one", Printable(&name));
                report.fault(Spot { pointer, offset: name_start }, message);
            }
            convert(property.value, pointer, report)
        });
        if !first_starts.contains_key(name.as_ref()) {
            first_starts.insert(name.clone().into_owned(), name_start);
            members.push(Member { name, name_start, node });
        }
    }
    members
}

/// Runs `work` with the pointer one segment longer.
fn within<T>(pointer: &mut String, segment: &str, work: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    push_segment(pointer, segment);
    let result = work(pointer);
    pointer.truncate(length);
    result
}

/// Appends a segment to a JSON pointer (RFC 6901 §3).
fn push_segment(pointer: &mut String, segment: &str) {
    pointer.push('/');
    for char in segment.chars() {
        match char {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(char),
        }
    }
}

/// A pointer with one segment more.
pub(crate) fn joined(pointer: &str, segment: &str) -> String {
    let mut pointer = pointer.to_owned();
    push_segment(&mut pointer, segment);
    pointer
}

/// A value in the tree with its pointer: what the readers walk with.
#[derive(Clone, Debug)]
pub(crate) struct At<'t> {
    /// The value.
    pub(crate) node: &'t Node<'t>,
    /// JSON pointer to it.
    pub(crate) pointer: String,
    name_start: usize,
}

impl<'t> At<'t> {
    /// The whole document.
    pub(crate) fn root(node: &'t Node<'t>) -> Self {
        Self { node, pointer: String::new(), name_start: node.start }
    }

    /// Where the value stands.
    pub(crate) fn spot(&self) -> Spot<'_> {
        Spot { pointer: &self.pointer, offset: self.node.start }
    }

    /// Where its key stands; for an array's element the same as [`At::spot`].
    pub(crate) fn name_spot(&self) -> Spot<'_> {
        Spot { pointer: &self.pointer, offset: self.name_start }
    }

    /// A member that is present and not `null` (Bifrost's decoder takes `null` as left out).
    pub(crate) fn member(&self, name: &str) -> Option<At<'t>> {
        let Value::Object(members) = &self.node.value else { return None };
        let member = members.iter().find(|member| member.name == name)?;
        (!matches!(member.node.value, Value::Null)).then(|| self.down(name, &member.node, member.name_start))
    }

    /// All members with their names, `null` ones too; none when it is no object.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'t str, At<'t>)> + '_ {
        let members = if let Value::Object(members) = &self.node.value { members.as_slice() } else { &[] };
        members
            .iter()
            .map(|member| (member.name.as_ref(), self.down(&member.name, &member.node, member.name_start)))
    }

    /// All elements; none when it is no array.
    pub(crate) fn elements(&self) -> impl Iterator<Item = At<'t>> + '_ {
        let elements = if let Value::List(elements) = &self.node.value { elements.as_slice() } else { &[] };
        elements.iter().enumerate().map(|(index, node)| self.down(&index.to_string(), node, node.start))
    }

    /// The string, if it is one.
    pub(crate) fn text(&self) -> Option<&'t str> {
        if let Value::Text(text) = &self.node.value { Some(text) } else { None }
    }

    /// The strings of an array; others are left out (`validate` has reported them).
    pub(crate) fn texts(&self) -> Vec<&'t str> {
        self.elements().filter_map(|element| element.text()).collect()
    }

    /// The boolean, if it is one.
    pub(crate) fn bool(&self) -> Option<bool> {
        if let Value::Bool(bool) = self.node.value { Some(bool) } else { None }
    }

    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        if let Value::Number(digits) = self.node.value { digits.parse().ok() } else { None }
    }

    /// The number, if it is a whole one without sign, point or exponent.
    pub(crate) fn integer(&self) -> Option<u64> {
        if let Value::Number(digits) = self.node.value { digits.parse().ok() } else { None }
    }

    fn down(&self, segment: &str, node: &'t Node<'t>, name_start: usize) -> At<'t> {
        At { node, pointer: joined(&self.pointer, segment), name_start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut report = Report::new("c", text.as_bytes());
        parse(text, &mut report);
        report.into_faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_strict_json_passes() {
        assert!(faults(r#"{"a": [1, -2.5e3, true, null, "\u00e4\ud83d\ude00"]}"#).is_empty());
        for text in [
            "",
            " ",
            "{",
            "{} {}",
            "{}x",
            "{,}",
            r#"{"a":1,}"#,
            "[1,]",
            "{'a':1}",
            "{a:1}",
            r#"{"a":.5}"#,
            r#"{"a":5.}"#,
            r#"{"a":+1}"#,
            r#"{"a":01}"#,
            r#"{"a":0x1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":-Infinity}"#,
            r#"{"a":1 "b":2}"#,
            "// c\n{}",
            "{}/**/",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\u{1}\"}",
            "\u{a0}{}",
            r#"{"a":"\x41"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"a":1e999}"#,
        ] {
            assert_eq!(faults(text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_key_stands_once() {
        let faults = faults("{\"a\": {\"b/c\": 1,\n \"b\\u002fc\": 2}}");
        assert_eq!(faults, ["c:2:2: /a/b~1c: the key \"b/c\" stands twice, first on line 1; keep one"]);
    }

    #[test]
    fn bounds_hold_at_the_limit_and_one_past_it() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(decode(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(decode(nested(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(decode("[".repeat(1_000_000).as_bytes()).is_err());
        assert!(decode(" ".repeat(FILE_BYTES_MAX).as_bytes()).is_ok());
        assert!(decode(" ".repeat(FILE_BYTES_MAX + 1).as_bytes()).is_err());
        assert!(faults(&"1".repeat(NUMBER_BYTES_MAX)).is_empty());
        assert_eq!(faults(&"1".repeat(NUMBER_BYTES_MAX + 1)).len(), 1);
        let key = |bytes: usize| format!("{{\"{}\": 1}}", "k".repeat(bytes));
        assert!(faults(&key(KEY_BYTES_MAX)).is_empty());
        assert_eq!(faults(&key(KEY_BYTES_MAX + 1)).len(), 1);
    }
}
