//! A stretch of a shared buffer: what is written may have to be written again, also while the kernel still has it from a
//! write that was given up. Its bytes are never changed.

use std::ops::Range;
use std::rc::Rc;

use monoio::buf::{IoBuf, Slice};

/// See the module.
#[derive(Clone)]
pub struct Portion {
    buffer: Rc<Vec<u8>>,
    /// Inside of `buffer`.
    range: Range<usize>,
}

impl Portion {
    /// These bytes of `buffer`, as far as it has them.
    pub fn new(buffer: &Rc<Vec<u8>>, range: Range<usize>) -> Self {
        let end = range.end.min(buffer.len());
        Self { buffer: Rc::clone(buffer), range: range.start.min(end)..end }
    }

    /// What is left of it.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.range.clone()).unwrap_or_default()
    }

    /// Leaves the first `count` bytes behind.
    pub(super) fn advance(&mut self, count: usize) {
        self.range.start = self.range.end.min(self.range.start + count);
    }

    /// Its first bytes, at most `bytes_max`, as a write takes them.
    pub(super) fn piece(&self, bytes_max: usize) -> Slice<Rc<Vec<u8>>> {
        let end = self.range.end.min(self.range.start + bytes_max);
        Rc::clone(&self.buffer).slice(self.range.start..end)
    }
}

impl From<Vec<u8>> for Portion {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { buffer: Rc::new(bytes), range }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_stays_inside_its_buffer() {
        let buffer = Rc::new(b"0123456789".to_vec());
        let mut portion = Portion::new(&buffer, 2..8);
        assert_eq!((portion.bytes(), portion.piece(3).bytes_init()), (b"234567".as_slice(), 3));
        portion.advance(4);
        assert_eq!((portion.bytes(), portion.piece(3).bytes_init()), (b"67".as_slice(), 2));
        portion.advance(9);
        assert_eq!((portion.bytes(), portion.piece(3).bytes_init()), (b"".as_slice(), 0));
        assert_eq!(Portion::new(&buffer, 7..99).bytes(), b"789");
        assert_eq!(Portion::new(&buffer, 98..99).bytes(), b"");
        assert_eq!(Portion::from(b"ab".to_vec()).bytes(), b"ab");
    }
}
