//! A walk through a body by places: objects by the look, lists by their items' spans, and cuts that leave both whole. What is
//! looked for is not known here.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use crate::dialect::look::{self, Look, Members};

/// A body, and what is to be changed in it.
pub(super) struct Walk<'b> {
    body: &'b [u8],
    /// What to put in place of which bytes, apart from each other.
    pub(super) edits: Vec<(Range<usize>, Vec<u8>)>,
    /// Names of what is left out.
    pub(super) dropped: Vec<String>,
}

/// An object in the body.
pub(super) struct Object<const N: usize> {
    start: usize,
    members: Members<N>,
}

impl<const N: usize> Object<N> {
    /// Where a member's value stands in the body.
    pub(super) fn value(&self, index: usize) -> Option<Range<usize>> {
        self.members.value(index).map(|span| self.start + span.start..self.start + span.end)
    }

    /// Count of its members.
    pub(super) fn count(&self) -> usize {
        self.members.count()
    }
}

impl<'b> Walk<'b> {
    /// One that has not begun.
    pub(super) fn new(body: &'b [u8]) -> Self {
        Self { body, edits: Vec::new(), dropped: Vec::new() }
    }

    /// The body's own object.
    pub(super) fn whole<const N: usize>(&self, keys: &'static [&'static str; N]) -> Option<Object<N>> {
        self.object(&(0..self.body.len()), keys)
    }

    /// The object at `span`; `None`: there is none, or it has one of the keys twice.
    pub(super) fn object<const N: usize>(
        &self,
        span: &Range<usize>,
        keys: &'static [&'static str; N],
    ) -> Option<Object<N>> {
        let mut look = Look::new(keys);
        look.push(self.bytes(span)).ok()?;
        Some(Object { start: span.start, members: look.finish().ok()? })
    }

    /// Where the items of the list at `span` stand; `None`: it is no list.
    pub(super) fn items(&self, span: &Range<usize>) -> Option<Vec<Range<usize>>> {
        let items: Vec<&RawValue> = serde_json::from_slice(self.bytes(span)).ok()?;
        let place = |item: &&RawValue| {
            let start = item.get().as_ptr().addr().wrapping_sub(self.body.as_ptr().addr());
            start..start + item.get().len()
        };
        Some(items.iter().map(place).collect())
    }

    /// The text at `span`; `None`: it is none.
    pub(super) fn text(&self, span: &Range<usize>) -> Option<Cow<'b, str>> {
        look::string_value(self.bytes(span))
    }

    /// Whether the text `words` stands there.
    pub(super) fn is(&self, span: Option<Range<usize>>, words: &str) -> bool {
        span.and_then(|span| self.text(&span)).is_some_and(|text| text == words)
    }

    /// The bytes at `span`.
    pub(super) fn bytes(&self, span: &Range<usize>) -> &'b [u8] {
        self.body.get(span.clone()).unwrap_or_default()
    }

    /// Puts something else there.
    pub(super) fn replace(&mut self, span: Range<usize>, bytes: Vec<u8>) {
        self.edits.push((span, bytes));
    }

    /// Takes members out of an object.
    pub(super) fn cut_members<const N: usize>(&mut self, object: &Object<N>, indices: &[usize]) {
        let cuts = object.members.cuts(indices);
        self.edits.extend(
            cuts.into_iter().map(|cut| (object.start + cut.start..object.start + cut.end, Vec::new())),
        );
    }

    /// How many changes there are by now, for [`Self::back_to`].
    pub(super) fn mark(&self) -> usize {
        self.edits.len()
    }

    /// Forgets the changes since: what they are in goes as a whole.
    pub(super) fn back_to(&mut self, mark: usize) {
        self.edits.truncate(mark);
    }

    /// Takes items out of the list at `list`: those of which `is_out` says so, which may change something in the others.
    /// Whether none is left of those that there were; then the list is as it was, and its owner goes.
    pub(super) fn cut_items(
        &mut self,
        list: &Range<usize>,
        mut is_out: impl FnMut(&mut Self, &Range<usize>) -> bool,
    ) -> bool {
        let Some(items) = self.items(list) else { return false };
        let before = self.mark();
        let out: Vec<bool> = items
            .iter()
            .map(|item| {
                let mark = self.mark();
                let is_out = is_out(self, item);
                if is_out {
                    self.back_to(mark);
                }
                is_out
            })
            .collect();
        if !items.is_empty() && out.iter().all(|is_out| *is_out) {
            self.back_to(before);
            return true;
        }
        self.edits.extend(cuts(&items, &out).into_iter().map(|cut| (cut, Vec::new())));
        false
    }
}

/// What goes with the items that are out, of which some stay: each with the one comma that has to go.
fn cuts(items: &[Range<usize>], out: &[bool]) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut kept_end = None;
    for (index, (item, is_out)) in items.iter().zip(out).enumerate() {
        let next = items.get(index + 1).map_or(item.end, |next| next.start);
        match (is_out, kept_end) {
            (false, _) => kept_end = Some(item.end),
            // While all items so far go, no comma stands before what stays: the one behind goes.
            (true, None) => cuts.push(item.start..next),
            (true, Some(end)) => {
                cuts.push(end..item.end);
                kept_end = Some(item.end);
            }
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_list_is_a_list() {
        let body = r#"[ 0 , 1 ,2, 3 ]"#;
        for bits in 0_u32..16 {
            let mut walk = Walk::new(body.as_bytes());
            let is_out = |item: &str| bits >> item.parse::<u32>().unwrap() & 1 == 1;
            let all = walk.cut_items(&(0..body.len()), |walk, item| {
                is_out(std::str::from_utf8(walk.bytes(item)).unwrap())
            });
            assert_eq!(all, bits == 15);
            let mut text = body.to_owned();
            for (cut, _) in walk.edits.iter().rev() {
                text.replace_range(cut.clone(), "");
            }
            let left: Vec<u32> = serde_json::from_str(&text).unwrap();
            let expected: Vec<u32> = (0..4).filter(|item| all || bits >> item & 1 == 0).collect();
            assert_eq!(left, expected, "{bits:b}: {text}");
        }
    }
}
