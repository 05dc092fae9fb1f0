//! Names of what a translation leaves behind, for `x-corelane-dropped-params`: each once, bounded, fit for a header. What
//! is left behind is each dialect's own decision.

use std::borrow::Cow;

use super::json;

/// Most names in [`super::Encoded::dropped`]; the last then says that there were more.
pub const DROPPED_MAX: usize = 32;

/// Behind this many names no more is looked for or added: they would not be told, and a caller can send a million keys.
const GATHERED_MAX: usize = 2 * DROPPED_MAX;

/// Names something that is left behind, one time however often it stands in the request.
pub(super) fn once<'a>(dropped: &mut Vec<Cow<'a, str>>, path: impl Into<Cow<'a, str>>) {
    let path = path.into();
    if dropped.len() < GATHERED_MAX && !dropped.contains(&path) {
        dropped.push(path);
    }
}

/// The same for an encode half, which gives owned names.
pub(super) fn named_once(dropped: &mut Vec<String>, path: &str) {
    if dropped.len() < GATHERED_MAX && !dropped.iter().any(|one| one == path) {
        dropped.push(path.to_owned());
    }
}

/// What the decode half left behind, for an encode half to go on.
pub(super) fn owned(dropped: &[Cow<'_, str>]) -> Vec<String> {
    dropped.iter().map(|path| path.clone().into_owned()).collect()
}

/// The names are a caller's own words and go into a header.
pub(super) fn bounded_names(all: Vec<String>) -> Vec<String> {
    // Several of our names may be one word of the caller's.
    let mut names: Vec<String> = Vec::new();
    all.iter().for_each(|name| named_once(&mut names, name));
    let is_over = names.len() > DROPPED_MAX;
    let kept = if is_over { DROPPED_MAX - 1 } else { DROPPED_MAX };
    let mut names: Vec<String> = names.iter().take(kept).map(|name| header_word(name)).collect();
    if is_over {
        names.push("...".to_owned());
    }
    names
}

fn header_word(name: &str) -> String {
    let visible = |one: char| if one.is_ascii_graphic() && one != ',' { one } else { '?' };
    json::bounded(name, json::PATH_BYTES_MAX).chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_names_are_bounded_and_fit_a_header() {
        let names = bounded_names((0..40).map(|at| format!("a,b\r\né{}{at}", "x".repeat(100))).collect());
        assert_eq!(names.len(), DROPPED_MAX);
        assert!(names[0].starts_with("a?b???xx") && names[0].len() <= 64, "{}", names[0]);
        assert_eq!(names.last().map(String::as_str), Some("..."));
    }

    #[test]
    fn what_is_not_told_is_not_gathered() {
        let names = bounded_names((0..300_000).map(|at| format!("k{at}")).collect());
        assert_eq!((names.len(), &*names[30], &*names[31]), (DROPPED_MAX, "k30", "..."));
        let mut dropped = Vec::new();
        (0..300_000).for_each(|at| once(&mut dropped, format!("k{at}")));
        once(&mut dropped, "one more");
        assert_eq!((dropped.len(), dropped.contains(&Cow::Borrowed("one more"))), (GATHERED_MAX, false));
    }

    #[test]
    fn a_name_stands_once() {
        let (mut dropped, mut owned) = (Vec::new(), Vec::new());
        for path in ["a", "b", "a"] {
            once(&mut dropped, path);
            named_once(&mut owned, path);
        }
        assert_eq!((dropped.len(), owned), (2, vec!["a".to_owned(), "b".to_owned()]));
    }
}
