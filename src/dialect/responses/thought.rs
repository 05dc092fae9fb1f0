//! A thought's proof in `encrypted_content` of a reasoning item, and back. OpenAI's own content is opaque and stands there
//! as it is; what another provider gave is marked as such, so that a client that hands its items back gives each provider
//! its own proof again, to the byte, and none another's.
//!
//! | neutral | item |
//! |---|---|
//! | a thought without proof | its words, `corelane.unproven` |
//! | a thought with a signature | its words, `corelane.signature:` and the signature |
//! | a thought that only the provider can read | no words, `corelane.redacted:` and the data |
//! | either of OpenAI's own | the words it has, its own content; in neutral words behind [`OWN`] |

use std::borrow::Cow;

use crate::chat::Part;

/// What stands before a signature of another provider.
const SIGNATURE: &str = "corelane.signature:";
/// What stands before data of another provider.
const REDACTED: &str = "corelane.redacted:";
/// What stands before OpenAI's own content where it is a neutral signature or neutral data. Twenty letters, so that
/// base64 stays base64.
pub(in crate::dialect) const OWN: &str = "corelaneResponses000";

/// `encrypted_content` of a thought that has no proof: OpenAI looks an item without content up by its id, and does not know
/// ours.
pub(super) const UNPROVEN: &str = "corelane.unproven";

/// Between two texts of one thought.
pub(super) const BETWEEN: &str = "\n\n";

/// Whether it is what we write where another provider proved a thought, or nobody did.
pub(in crate::dialect) fn is_anothers(content: &str) -> bool {
    [SIGNATURE, REDACTED, UNPROVEN].iter().any(|mark| content.starts_with(mark))
}

/// What a reasoning item proves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof<'a> {
    /// A thought's signature.
    Signature(Cow<'a, str>),
    /// The thought itself, sealed.
    Redacted(Cow<'a, str>),
    /// OpenAI's own, of whichever kind.
    Own(Cow<'a, str>),
}

/// Reads `encrypted_content`.
pub(super) fn read(content: Cow<'_, str>) -> Proof<'_> {
    if content.starts_with(SIGNATURE) {
        return Proof::Signature(behind(content, SIGNATURE.len()));
    }
    if content.starts_with(REDACTED) {
        return Proof::Redacted(behind(content, REDACTED.len()));
    }
    Proof::Own(content)
}

fn behind(content: Cow<'_, str>, start: usize) -> Cow<'_, str> {
    match content {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..).unwrap_or_default().to_owned()),
    }
}

/// `encrypted_content` of a thought with this signature.
pub(super) fn signed(signature: &str) -> String {
    own(signature).map_or_else(|| format!("{SIGNATURE}{signature}"), str::to_owned)
}

/// `encrypted_content` of a sealed thought.
pub(super) fn redacted(data: &str) -> String {
    own(data).map_or_else(|| format!("{REDACTED}{data}"), str::to_owned)
}

/// OpenAI's own content, if the neutral proof is that.
pub(in crate::dialect) fn own(proof: &str) -> Option<&str> {
    proof.strip_prefix(OWN)
}

/// The part that a reasoning item of an answer is. `text`: its words, `None` if it has not even an empty one.
pub(super) fn part<'a>(text: Option<Cow<'a, str>>, content: Option<Cow<'a, str>>) -> Option<Part<'a>> {
    let proof = content.filter(|content| !content.is_empty() && content != UNPROVEN).map(read);
    let (text, signature) = match (proof, text) {
        (None, None) => return None,
        (None, Some(text)) => (text, None),
        (Some(Proof::Redacted(data)), None) => return Some(Part::ReasoningEncrypted { data }),
        (Some(Proof::Own(content)), None) => {
            return Some(Part::ReasoningEncrypted { data: Cow::Owned(format!("{OWN}{content}")) });
        }
        (Some(Proof::Own(content)), Some(text)) => (text, Some(Cow::Owned(format!("{OWN}{content}")))),
        (Some(Proof::Signature(signature)), text) => (text.unwrap_or_default(), Some(signature)),
        // Words that someone put beside a sealed thought prove nothing.
        (Some(Proof::Redacted(data)), Some(_)) => return Some(Part::ReasoningEncrypted { data }),
    };
    Some(Part::Reasoning { text, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_comes_back_to_the_byte() {
        for proof in
            ["EqQBCg==", "", "corelane.signature:x", "corelane.redacted:x", "é", "corelaneResponses000gAAAA"]
        {
            let signature =
                |text: Option<&'static str>| part(text.map(Cow::Borrowed), Some(Cow::Owned(signed(proof))));
            let expected = |text: &'static str| {
                Some(Part::Reasoning { text: text.into(), signature: Some(proof.into()) })
            };
            assert_eq!(signature(Some("hm")), expected("hm"));
            assert_eq!(signature(Some("")), expected(""));
            let data = part(None, Some(Cow::Owned(redacted(proof))));
            assert_eq!(data, Some(Part::ReasoningEncrypted { data: proof.into() }));
        }
        // A client that forgets an empty summary does no harm.
        let forgotten = part(None, Some(Cow::Owned(signed("s"))));
        assert_eq!(forgotten, Some(Part::Reasoning { text: "".into(), signature: Some("s".into()) }));
    }

    #[test]
    fn openais_own_is_known_for_its_own() {
        let own = part(Some("hm".into()), Some("gAAAA".into())).unwrap();
        assert_eq!(
            own,
            Part::Reasoning { text: "hm".into(), signature: Some("corelaneResponses000gAAAA".into()) }
        );
        assert_eq!(signed("corelaneResponses000gAAAA"), "gAAAA");
        assert_eq!(redacted("corelaneResponses000gAAAA"), "gAAAA");
        assert_eq!(part(None, None), None);
    }
}
