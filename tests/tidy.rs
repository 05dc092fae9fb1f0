//! Rules as a test: floors, sizes, docs, leftover markers. It reads the repository's Rust files as text, with strings
//! and comments masked out; it is not a parser, and what rustc and clippy already deny is not repeated here.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A room uses rooms of lower floors only; rooms of one floor do not use each other.
const FLOORS: &[(&str, u8)] = &[
    ("chat", 0),
    ("error", 0),
    ("http", 1),
    ("dialect", 1),
    ("api", 2),
    ("provider", 2),
    ("config", 3),
    ("routing", 4),
    ("governance", 4),
    ("net", 5),
    ("telemetry", 5),
    ("gateway", 6),
    ("worker", 7),
    ("control", 7),
    ("cli", 8),
    ("main", 9),
];

/// The ground: any room may use it, also one of its own floor, and it uses nothing of ours.
const GROUND: [&str; 2] = ["chat", "error"];

/// A file that is longer asks to become a folder.
const FILE_LINES_MAX: usize = 600;

/// A function that is longer does not fit on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Where Rust of ours lives.
const FOLDERS: [&str; 6] = ["src", "tests", "benches", "loadtest/src", "fuzz/src", "fuzz/targets"];

/// What is left behind in a hurry; cut in two, so that this file may name it.
const MARKERS: [&str; 5] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("#[ig", "nore"),
];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for path in FOLDERS.iter().flat_map(|folder| rust_files(&root.join(folder))) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        faults.extend(check(&name, &text));
    }
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(lines.is_empty(), "{} faults:\n{}", lines.len(), lines.join("\n"));
}

/// One broken rule and where.
#[derive(Debug, PartialEq)]
struct Fault {
    file: String,
    /// From 1.
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A file's text beside its mask: the same lines and columns, blanks in place of strings and comments.
struct Source<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
    mask: Vec<char>,
}

fn check(name: &str, text: &str) -> Vec<Fault> {
    let source = Source { name, lines: text.lines().collect(), mask: mask(text) };
    let mut faults = sizes(&source);
    faults.extend(functions(&source));
    faults.extend(undocumented(&source));
    faults.extend(undocumented_variants(&source));
    faults.extend(markers(&source));
    if let Some(path) = name.strip_prefix("src/") {
        faults.extend(floors(&source, path));
    }
    faults.sort_by_key(|fault| fault.line);
    faults
}

fn sizes(source: &Source<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !source.lines.first().is_some_and(|line| line.starts_with("//!")) {
        faults.push(source.fault(1, "the file lacks its opening `//!`: what it is and is not"));
    }
    if source.lines.len() > FILE_LINES_MAX {
        let what = format!("{} lines, {FILE_LINES_MAX} at most: make it a folder", source.lines.len());
        faults.push(source.fault(FILE_LINES_MAX + 1, what));
    }
    faults
}

fn functions(source: &Source<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for at in source.words("fn") {
        let name = source.word_after(at + 2);
        let Some(open) = source.body_of(at).filter(|_| !name.is_empty()) else { continue };
        let lines = source.line_of(source.closing(open)) - source.line_of(at) + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("fn {name} has {lines} lines, {FUNCTION_LINES_MAX} at most");
            faults.push(source.fault(source.line_of(at), what));
        }
    }
    faults
}

/// `pub` items and fields without `///`. A module in a file of its own is documented there.
fn undocumented(source: &Source<'_>) -> Vec<Fault> {
    let masked: String = source.mask.iter().collect();
    let mut faults = Vec::new();
    for (index, line) in masked.lines().enumerate() {
        let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
        let is_file_module = item.starts_with("mod ") && item.trim_end().ends_with(';');
        if item.starts_with("use ") || is_file_module || source.is_documented(index) {
            continue;
        }
        let item: Vec<&str> = item.split_whitespace().take(3).collect();
        faults.push(source.fault(index + 1, format!("`pub {}` lacks its doc", item.join(" "))));
    }
    faults
}

fn undocumented_variants(source: &Source<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for at in source.words("enum") {
        let line = source.line_of(at);
        let is_public = source.mask_line(line).trim_start().starts_with("pub enum ");
        let Some(open) = source.body_of(at).filter(|_| is_public) else { continue };
        for variant in source.entries(open) {
            let line = source.line_of(variant);
            if !source.is_documented(line - 1) {
                let what = format!("the variant `{}` lacks its doc", source.word_after(variant));
                faults.push(source.fault(line, what));
            }
        }
    }
    faults
}

fn markers(source: &Source<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.lines.iter().enumerate() {
        for marker in MARKERS {
            let found = line.match_indices(marker).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + marker.len()..].chars().next();
                let is_open = !marker.ends_with(char::is_alphanumeric) || marker.starts_with('#');
                let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                !is_part(before) && (is_open || !is_part(after))
            });
            if found {
                faults.push(source.fault(index + 1, format!("a leftover `{marker}`")));
            }
        }
    }
    faults
}

fn floors(source: &Source<'_>, path: &str) -> Vec<Fault> {
    let module: Vec<&str> = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let room = module[0];
    if path == "lib.rs" {
        return Vec::new();
    }
    let Some(floor) = floor_of(room) else {
        return vec![source.fault(1, format!("the room `{room}` has no floor: see FLOORS in tests/tidy.rs"))];
    };
    let mut faults = Vec::new();
    for (at, used) in rooms_used(source, module.len()) {
        let line = source.line_of(at);
        match floor_of(&used) {
            _ if used == room => {}
            Some(_) if GROUND.contains(&used.as_str()) && !GROUND.contains(&room) => {}
            Some(lower) if lower < floor => {}
            Some(other) => {
                let what =
                    format!("`{room}` (floor {floor}) uses `{used}` (floor {other}): lower floors only");
                faults.push(source.fault(line, what));
            }
            None if used.starts_with(char::is_lowercase) => {
                faults
                    .push(source.fault(line, format!("`{used}` has no floor: see FLOORS in tests/tidy.rs")));
            }
            None => {}
        }
    }
    faults
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Every name that is looked up at the crate's root, by `crate::`, `corelane::` or enough `super::`.
fn rooms_used(source: &Source<'_>, depth: usize) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for root in ["crate", "corelane"] {
        for at in source.words(root) {
            used.extend(source.first_names(at + root.len()));
        }
    }
    let tests_at = source
        .words("tests")
        .into_iter()
        .find(|at| source.mask_line(source.line_of(*at)).contains("mod tests {"));
    for at in source.words("super") {
        let is_inner = source.mask[..at].iter().rev().find(|c| !c.is_whitespace()) == Some(&':');
        let mut end = at;
        let mut ups = 0;
        while source.starts_with(end, "super::") {
            end += "super::".len();
            ups += 1;
        }
        let nested = usize::from(tests_at.is_some_and(|tests| at > tests));
        if !is_inner && ups >= depth + nested {
            used.extend(source.first_names(end - 2));
        }
    }
    used
}

impl Source<'_> {
    fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { file: self.name.to_owned(), line, what: what.into() }
    }

    fn starts_with(&self, at: usize, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, wanted)| self.mask.get(at + offset) == Some(&wanted))
    }

    /// Where the word stands by itself.
    fn words(&self, word: &str) -> Vec<usize> {
        let length = word.chars().count();
        let is_part = |at: Option<usize>| at.and_then(|at| self.mask.get(at)).is_some_and(|c| is_name(*c));
        (0..self.mask.len())
            .filter(|at| {
                self.starts_with(*at, word) && !is_part(at.checked_sub(1)) && !is_part(Some(at + length))
            })
            .collect()
    }

    fn word_after(&self, at: usize) -> String {
        let rest = self.mask[at..].iter().skip_while(|c| c.is_whitespace());
        rest.take_while(|c| is_name(**c)).collect()
    }

    /// From 1.
    fn line_of(&self, at: usize) -> usize {
        self.mask[..at.min(self.mask.len())].iter().filter(|c| **c == '\n').count() + 1
    }

    fn mask_line(&self, line: usize) -> String {
        self.mask.split(|c| *c == '\n').nth(line - 1).unwrap_or_default().iter().collect()
    }

    /// The brace that opens the body of the item at `at`; None when it ends in a semicolon.
    fn body_of(&self, at: usize) -> Option<usize> {
        let mut depth = 0;
        for (offset, c) in self.mask[at..].iter().enumerate() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                '{' if depth == 0 => return Some(at + offset),
                ';' if depth == 0 => return None,
                _ => {}
            }
        }
        None
    }

    fn closing(&self, open: usize) -> usize {
        let mut depth = 0;
        for (offset, c) in self.mask[open..].iter().enumerate() {
            depth += i32::from(matches!(c, '{' | '(' | '[')) - i32::from(matches!(c, '}' | ')' | ']'));
            if depth == 0 {
                return open + offset;
            }
        }
        self.mask.len()
    }

    /// Where each entry of a comma-separated list in brackets begins, attributes passed over.
    fn entries(&self, open: usize) -> Vec<usize> {
        let close = self.closing(open);
        let (mut entries, mut is_due, mut at) = (Vec::new(), true, open + 1);
        while at < close {
            match self.mask[at] {
                '#' if is_due => at = self.closing(at + 1),
                '{' | '(' | '[' => at = self.closing(at),
                ',' => is_due = true,
                c if is_due && is_name(c) => {
                    entries.push(at);
                    is_due = false;
                }
                _ => {}
            }
            at += 1;
        }
        entries
    }

    /// The names that follow `::` at `at`: one, or the first of each entry in braces.
    fn first_names(&self, at: usize) -> Vec<(usize, String)> {
        let Some(at) = self.starts_with(at, "::").then_some(at + 2) else { return Vec::new() };
        let starts = if self.mask.get(at) == Some(&'{') { self.entries(at) } else { vec![at] };
        starts.into_iter().map(|start| (start, self.word_after(start))).collect()
    }

    /// A doc comment stands above the line, attributes between. `index` is from 0.
    fn is_documented(&self, index: usize) -> bool {
        let mut above = self.lines[..index].iter().rev().map(|line| line.trim());
        while let Some(line) = above.next() {
            if line.starts_with("///") || line.starts_with("#[doc") {
                return true;
            }
            let is_attribute =
                line.starts_with("#[") || (line.ends_with(")]") && above.any(|line| line.starts_with("#[")));
            if !is_attribute {
                return false;
            }
        }
        false
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The text with comments, strings and characters blanked, line breaks kept.
fn mask(text: &str) -> Vec<char> {
    let mut chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        for c in &mut chars[at..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
        at = end.max(at + 1);
    }
    chars
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let follows = |offset: usize| chars.get(at + offset).copied().unwrap_or(' ');
    let is_inside_name = at > 0 && is_name(chars[at - 1]);
    match chars[at] {
        '/' if follows(1) == '/' => end_of(chars, at, |_, c| c == '\n'),
        '/' if follows(1) == '*' => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' if !is_inside_name || at > 0 && matches!(chars[at - 1], 'b' | 'c') => raw_string_end(chars, at),
        '\'' if follows(1) == '\\' => end_of(chars, at + 3, |_, c| c == '\'') + 1,
        '\'' if follows(2) == '\'' => at + 3,
        _ => at,
    }
}

fn end_of(chars: &[char], from: usize, is_end: impl Fn(usize, char) -> bool) -> usize {
    (from..chars.len()).find(|at| is_end(*at, chars[*at])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (1, at + 2);
    while at + 1 < chars.len() && depth > 0 {
        let step = match (chars[at], chars[at + 1]) {
            ('/', '*') => 1,
            ('*', '/') => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
    }
    if depth > 0 { chars.len() } else { at }
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let open = end_of(chars, at + 1, |_, c| c != '#');
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let hashes = open - at - 1;
    let is_end = |at: usize, c: char| {
        c == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (end_of(chars, open + 1, is_end) + 1 + hashes).min(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, text: &str) -> Vec<String> {
        check(name, text).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_room_reaches_down_only() {
        for (name, text, is_fine) in [
            ("src/gateway/mod.rs", "//! x\nuse crate::config::Snapshot;\n", true),
            ("src/config/mod.rs", "//! x\nuse crate::gateway::handle;\n", false),
            ("src/net/mod.rs", "//! x\nuse crate::telemetry::Record;\n", false),
            ("src/net/mod.rs", "//! x\nuse crate::net::pool;\n", true),
            ("src/config/mod.rs", "//! x\nuse crate::{error::Error, net::Io};\n", false),
            ("src/config/mod.rs", "//! x\nuse crate::{error::{Error, Kind}, dialect};\n", true),
            ("src/config/file.rs", "//! x\nuse super::super::gateway::handle;\n", false),
            ("src/config/file.rs", "//! x\nuse super::snapshot;\n", true),
            ("src/chat.rs", "//! x\nuse super::error;\n", false),
            ("src/chat.rs", "//! x\nmod tests {\n    use super::*;\n}\n", true),
            ("src/http/mod.rs", "//! x\nfn f() { crate::net::g() }\n", false),
            ("src/http/mod.rs", "//! x\n// crate::net is above\nconst A: &str = \"crate::net\";\n", true),
            ("src/http/mod.rs", "//! x\nuse crate::error::Error;\n", true),
            ("src/error.rs", "//! x\nuse crate::http::Head;\n", false),
            ("src/attic/mod.rs", "//! x\n", false),
            ("src/main.rs", "//! x\nfn main() { corelane::cli::main() }\n", true),
            ("src/cli.rs", "//! x\nuse crate::attic;\n", false),
        ] {
            assert_eq!(faults(name, text).is_empty(), is_fine, "{name}: {text}");
        }
        assert_eq!(
            faults("src/config/mod.rs", "//! x\n\nuse crate::net::Io;\n"),
            ["src/config/mod.rs:3: `config` (floor 3) uses `net` (floor 5): lower floors only"]
        );
    }

    #[test]
    fn sizes_are_bounded() {
        let function = |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        assert!(faults("src/chat.rs", &function(70)).is_empty());
        assert_eq!(faults("src/chat.rs", &function(71)), ["src/chat.rs:2: fn f has 71 lines, 70 at most"]);
        assert!(faults("src/chat.rs", &format!("//! x\n{}", "\n".repeat(599))).is_empty());
        assert_eq!(faults("src/chat.rs", &format!("//! x\n{}", "\n".repeat(600))).len(), 1);
        assert_eq!(faults("src/chat.rs", "fn f() {}\n").len(), 1);
    }

    #[test]
    fn public_items_say_what_they_are() {
        for (text, count) in [
            ("pub fn f() {}", 1),
            ("/// Doc.\npub fn f() {}", 0),
            ("/// Doc.\n#[derive(Debug)]\n#[serde(\n    untagged\n)]\npub struct S;", 0),
            ("#[derive(Debug)]\npub struct S;", 1),
            ("/// Doc.\npub struct S {\n    pub a: u8,\n    b: u8,\n}", 1),
            ("pub use a::b;\npub mod c;\npub(crate) fn f() {}", 0),
            (
                "/// Doc.\npub enum E {\n    A(u8, u8),\n    /// B.\n    B { c: u8 },\n    #[x(1, 2)]\n    D,\n}",
                2,
            ),
            ("enum E {\n    A,\n}", 0),
        ] {
            assert_eq!(faults("tests/x.rs", &format!("//! x\n{text}\n")).len(), count, "{text}");
        }
    }

    #[test]
    fn leftovers_are_named() {
        for marker in MARKERS {
            assert_eq!(faults("tests/x.rs", &format!("//! x\n// {marker}\n")).len(), 1, "{marker}");
        }
        assert!(faults("tests/x.rs", concat!("//! x\n// a-XX", "XXXX\n")).is_empty());
    }

    #[test]
    fn strings_and_comments_are_masked() {
        for text in
            ["\"a{\\\"b\"", "r#\"a\"{\"#", "/* { /* } */ { */", "// {", "'{'", "'\\''", "b\"{\"", "br\"{\""]
        {
            let masked: String = mask(text).into_iter().collect();
            assert!(!masked.contains(['{', '}', '"', '\'']), "{text}: {masked}");
        }
        let lifetimes = "fn f<'a>(x: &'a str) -> &'a str { x }";
        assert_eq!(mask(lifetimes).into_iter().collect::<String>(), lifetimes);
    }
}
