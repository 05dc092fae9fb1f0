//! Sessions that stay with a key: equal ones are sent to the same key by every core of every node with the same config,
//! without a word between them, so that the provider's prompt cache is warm. By weighted rendezvous: each key has a score
//! for each session, the highest serves; so a key that is out moves its own sessions only, and many sessions are spread
//! by weight. What a caller's session is, is not known here.

/// Odd, with bits that look random: the first 64 of the golden ratio's fraction and of π's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const START: u64 = 0x243f_6a88_85a3_08d3;

/// The number of a session: of the bytes of its id, or of the prefix that the provider is asked to cache. The same
/// everywhere and for ever, since a node that counts otherwise would send a session elsewhere. About 1 ns for 8 bytes.
pub fn session_of(bytes: &[u8]) -> u64 {
    hash(START, bytes)
}

/// What `key` bids for `session`; the highest of the candidates serves. `weight` is over 0. `-weight / ln(u)` with `u` in
/// (0, 1) is such that each wins with a probability of its share of the weights (Schindelhauer and Schomaker, "Weighted
/// distributed hash tables", 2005).
pub(super) fn score(session: u64, key: &str, weight: f64) -> f64 {
    -weight / unit(hash(session, key.as_bytes())).ln()
}

/// In (0, 1): the upper 52 bits, half a step up; with one more the highest would be rounded to 1.
fn unit(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// Ours, so that no library's next version moves a session. Not for keeping secrets, nor against those who seek
/// collisions: who shares a key's session with another has gained nothing.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mixed(seed ^ (bytes.len() as u64).wrapping_mul(FACTOR));
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        state ^= state >> 32;
    }
    mixed(state)
}

/// Each bit of the result depends on each of `state` (Stafford's mix 13, as in SplitMix64).
fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        for (bytes, number) in [
            (&b""[..], 0xa887_1e37_18ca_0053),
            (b"a", 0x7c46_8490_6f91_a954),
            (b"session-1", 0xaead_81eb_c4ae_d24c),
            (b"12345678", 0x83bd_338f_3e2f_2a8e),
            (b"\0\0", 0xf082_1a6e_c7fc_ab40),
            (b"\0\0\0", 0xe324_3127_52cb_9008),
        ] {
            assert_eq!(session_of(bytes), number, "{bytes:?}");
        }
        assert_eq!(hash(session_of(b"session-1"), b"key-1"), 0x63f4_699d_1c8d_36ef);
    }

    #[test]
    fn sessions_are_spread_by_weight() {
        let keys = [("a", 1.0), ("b", 2.0), ("c", 5.0)];
        let sessions = 40_000_u32;
        let mut won = [0_u32; 3];
        for session in 0..sessions {
            won[winner(session_of(session.to_string().as_bytes()), &keys)] += 1;
        }
        for ((_, weight), won) in keys.iter().zip(won) {
            let share = weight / 8.0;
            let sigma = (f64::from(sessions) * share * (1.0 - share)).sqrt();
            assert!((f64::from(won) - f64::from(sessions) * share).abs() < 3.0 * sigma, "{won} of {share}");
        }
    }

    #[test]
    fn a_key_that_is_out_moves_its_own_sessions_only() {
        let keys = [("a", 1.0), ("b", 2.0), ("c", 5.0)];
        let mut moved = [0, 0];
        for session in 0..2_000_u64 {
            let session = session_of(&session.to_le_bytes());
            let (before, after) = (winner(session, &keys), winner(session, &keys[..2]));
            match before {
                2 => moved[after] += 1,
                before => assert_eq!(before, after, "{session}"),
            }
        }
        assert!(moved[0] > 0 && moved[1] > moved[0], "to both, by weight: {moved:?}");
    }

    fn winner(session: u64, keys: &[(&str, f64)]) -> usize {
        let scores = keys.iter().map(|(key, weight)| score(session, key, *weight));
        scores.enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap().0
    }

    #[test]
    fn a_score_is_a_number() {
        for hash in [0, u64::MAX] {
            let unit = unit(hash);
            assert!(unit > 0.0 && unit < 1.0 && unit.ln() < 0.0, "{unit}");
        }
    }
}
