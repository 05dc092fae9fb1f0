//! A config as it is understood: its normal form with where each value comes from, for eyes (JSON with comments) or for
//! programs (JSON). It holds no secret, and prints nothing itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::document::{self, At, Value as Written, joined};
use super::fault::Report;
use super::normal::Reference;
use super::{BYTE_ORDER_MARK, Loaded, REDACTED};

/// The normal form as JSON with a comment behind every value: `// file 12:5`, `// default`, `// env.NAME (set)`,
/// `// file:/path (unset)`. `text` is the file that was loaded.
pub fn commented(text: &[u8], loaded: &Loaded) -> String {
    let provenance = Provenance::new(text, loaded);
    let mut out = format!("// digest {}\n", loaded.snapshot.digest);
    write_value(&mut out, &loaded.normal.config, "", 0, &provenance);
    out.push('\n');
    out
}

/// `{"digest": …, "config": …, "provenance": {"/pointer": "file 12:5" | "default" | "env.NAME (set)"}}`. What stands in
/// `config` can be loaded as it is, unless the file held a secret itself.
pub fn document(text: &[u8], loaded: &Loaded) -> Value {
    let Provenance(places) = Provenance::new(text, loaded);
    json!({ "digest": loaded.snapshot.digest, "config": loaded.normal.config, "provenance": places })
}

/// Where each leaf of the form comes from, by its pointer.
struct Provenance(BTreeMap<String, String>);

impl Provenance {
    fn new(text: &[u8], loaded: &Loaded) -> Self {
        let bytes = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut report = Report::new("", bytes);
        let decoded = document::decode(bytes).unwrap_or_default();
        let root = document::parse(decoded, &mut report);
        let root = root.as_ref().map(At::root);
        let mut walk =
            Walk { references: &loaded.normal.references, words: BTreeMap::new(), places: Vec::new() };
        walk.down(&loaded.normal.config, root.as_ref(), "");
        let Walk { mut words, mut places, .. } = walk;
        places.sort_by_key(|place| place.offset);
        let located = report.places(places.iter().map(|place| place.offset));
        for (Place { pointer, note, .. }, (line, column)) in places.into_iter().zip(located) {
            words.insert(pointer, format!("file {line}:{column}{note}"));
        }
        Self(words)
    }
}

/// A leaf that stands in the file.
struct Place {
    pointer: String,
    /// Byte offset into the file.
    offset: usize,
    /// What to know about it; begins with a comma, or is empty.
    note: &'static str,
}

struct Walk<'a> {
    references: &'a BTreeMap<String, Reference>,
    words: BTreeMap<String, String>,
    places: Vec<Place>,
}

impl Walk<'_> {
    /// Recurses as deep as the form, which is under ten.
    fn down(&mut self, form: &Value, at: Option<&At<'_>>, pointer: &str) {
        match form {
            Value::Object(members) if !is_leaf(form) => {
                let written = at.map(|at| written(at, pointer)).unwrap_or_default();
                for (name, value) in members {
                    self.down(value, written.get(name), &joined(pointer, name));
                }
            }
            Value::Array(elements) if !is_leaf(form) => {
                let written: Vec<At<'_>> = at.map(|at| at.elements().collect()).unwrap_or_default();
                for (index, value) in elements.iter().enumerate() {
                    self.down(value, written.get(index), &joined(pointer, &index.to_string()));
                }
            }
            leaf => self.leaf(leaf, at, pointer.to_owned()),
        }
    }

    fn leaf(&mut self, form: &Value, at: Option<&At<'_>>, pointer: String) {
        if let Some(Reference { whence, is_set }) = self.references.get(&pointer) {
            let state = if *is_set { "set" } else { "unset" };
            self.words.insert(pointer, format!("{whence} ({state})"));
            return;
        }
        match at {
            None => drop(self.words.insert(pointer, "default".to_owned())),
            Some(at) => {
                let note = match form {
                    Value::String(text) if text.contains(REDACTED) => ", a secret",
                    form if is_alike(form, &at.node.value) => "",
                    _ => ", normalised",
                };
                self.places.push(Place { pointer, offset: at.node.start, note });
            }
        }
    }
}

/// An object's members by name; providers and headers are named without regard to case.
fn written<'t>(at: &At<'t>, pointer: &str) -> HashMap<String, At<'t>> {
    let ignores_case = pointer == "/providers" || pointer.ends_with("/network_config/extra_headers");
    let is_there = |member: &At<'_>| !matches!(member.node.value, Written::Null);
    let name = |written: &str| if ignores_case { written.to_lowercase() } else { written.to_owned() };
    let members = at.members().filter(|(_, member)| is_there(member));
    members.map(|(written, member)| (name(written), member)).collect()
}

/// What is printed on one line: a scalar, a list of them, an empty object, a literal that says that it is one.
fn is_leaf(form: &Value) -> bool {
    match form {
        Value::Object(members) => {
            members.is_empty() || members.get("type").is_some_and(|kind| kind == "plain_text")
        }
        Value::Array(elements) => !elements.iter().any(Value::is_object),
        _ => true,
    }
}

/// Whether the file says it in these very words.
fn is_alike(form: &Value, written: &Written<'_>) -> bool {
    match (form, written) {
        (Value::Bool(form), Written::Bool(written)) => form == written,
        (Value::Number(form), Written::Number(digits)) => form.as_f64() == digits.parse().ok(),
        (Value::String(form), Written::Text(written)) => form == written,
        (Value::Array(form), Written::List(written)) => {
            form.len() == written.len()
                && form.iter().zip(written).all(|(form, node)| is_alike(form, &node.value))
        }
        (Value::Object(form), Written::Object(written)) => form.is_empty() && written.is_empty(),
        _ => false,
    }
}

fn write_value(out: &mut String, form: &Value, pointer: &str, depth: usize, provenance: &Provenance) {
    match form {
        _ if is_leaf(form) => out.push_str(&for_terminals(&form.to_string())),
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| (Some(name.as_str()), joined(pointer, name), value));
            write_members(out, ['{', '}'], members, depth, provenance);
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            let elements = elements.map(|(index, value)| (None, joined(pointer, &index.to_string()), value));
            write_members(out, ['[', ']'], elements, depth, provenance);
        }
        _ => {}
    }
}

/// JSON in which a terminal finds nothing to obey: what JSON itself need not escape, the C1 controls and those that turn the
/// direction of writing.
fn for_terminals(json: &str) -> String {
    let is_obeyed =
        |char: char| char.is_control() || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        if is_obeyed(char) {
            let _ = write!(out, "\\u{:04x}", u32::from(char)); // writing to a String can't fail
        } else {
            out.push(char);
        }
    }
    out
}

fn write_members<'a>(
    out: &mut String,
    [open, close]: [char; 2],
    members: impl ExactSizeIterator<Item = (Option<&'a str>, String, &'a Value)>,
    depth: usize,
    provenance: &Provenance,
) {
    out.push(open);
    let count = members.len();
    for (index, (name, pointer, value)) in members.enumerate() {
        let _ = write!(out, "\n{}", "  ".repeat(depth + 1)); // writing to a String can't fail
        if let Some(name) = name {
            let _ = write!(out, "{}: ", for_terminals(&Value::from(name).to_string()));
        }
        write_value(out, value, &pointer, depth + 1, provenance);
        if index + 1 < count {
            out.push(',');
        }
        if let Some(words) = provenance.0.get(&pointer) {
            let _ = write!(out, " // {words}");
        }
    }
    let _ = write!(out, "\n{}{close}", "  ".repeat(depth));
}
