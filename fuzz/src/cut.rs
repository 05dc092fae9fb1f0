//! Ways in which the same bytes may arrive. Chance comes out of the bytes themselves, so that an input alone repeats
//! what it did.

/// Up to this length an input is also read byte by byte.
const SINGLE_BYTES_MAX: usize = 1024;

/// Ways that are drawn for each input, beside whole and byte by byte.
const DRAWN: usize = 3;

/// Chance that an input decides (splitmix64 over an FNV-1a sum).
pub(crate) struct Chance(u64);

impl Chance {
    /// The chance of this input.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let append = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, append))
    }

    /// A number below `bound`, which is over 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

/// Where the pieces of each way end; the last end is always the whole length.
pub(crate) fn ways(bytes: &[u8]) -> Vec<Vec<usize>> {
    let length = bytes.len();
    let mut chance = Chance::of(bytes);
    let mut ways = vec![vec![length]];
    if length <= SINGLE_BYTES_MAX {
        ways.push((1..=length.max(1)).map(|end| end.min(length)).collect());
    }
    for _ in 0..DRAWN {
        let mut ends: Vec<usize> = (0..1 + chance.below(8)).map(|_| chance.below(length + 1)).collect();
        ends.push(length);
        ends.sort_unstable();
        ways.push(ends);
    }
    ways
}

/// The pieces of each way.
pub(crate) fn cuttings(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    ways(bytes).into_iter().map(|ends| {
        let starts = std::iter::once(0).chain(ends.clone());
        starts.zip(ends).map(|(start, end)| bytes.get(start..end).unwrap_or_default()).collect()
    })
}
