//! Where a thought's proof comes from. A signature and a sealed thought mean something to the provider that made them and to
//! nobody else: Anthropic and Google refuse a whole request for one of another's. So what a caller gets of a provider
//! that speaks another dialect than its own is marked, its SDK brings the mark back, and each proof goes to its own
//! provider again, to the byte, and is left out for all others. What is not marked is of the caller's own dialect.
//!
//! Google's SDKs take a signature for base64 and give it back in another alphabet, and AWS's a sealed thought: to their
//! callers mark and proof go as base64 of both. Marks are of letters and digits, and of whole groups of four, so that base64 behind one stays base64.

use std::borrow::Cow;

use super::dropped::once;
use super::responses::thought;
use super::{Dialect, base64};
use crate::chat::{Event, Part, Request};

/// Who made a proof, by what stands before it. That of Responses stands there in neutral words already.
const MARKS: [(Dialect, &str); 6] = [
    (Dialect::OpenAi, "corelaneOpenAi00"),
    (Dialect::Anthropic, "corelaneAnthropic000"),
    (Dialect::Gemini, "corelaneGemini00"),
    (Dialect::Responses, thought::OWN),
    // It proves nothing yet.
    (Dialect::Cohere, "corelaneCohere00"),
    (Dialect::Bedrock, "corelaneBedrock0"),
];

/// In place of a proof where there is none, for callers whose provider would refuse a thought without: the mark tells that it
/// was not theirs.
pub(super) const UNSIGNED: &str = "corelaneUnsigned";

/// The proof of a provider that speaks `from`, for a caller that speaks `to`.
pub(super) fn marked(from: Dialect, to: Dialect, proof: &str) -> String {
    let mark = MARKS.iter().find(|(one, _)| *one == from).map_or("", |(_, mark)| *mark);
    // What Responses gave is marked by its decode half, and for its own callers unmarked by its encode half.
    let is_marked = from == to || proof.is_empty() || proof.starts_with(mark);
    let proof = if is_marked { proof.to_owned() } else { format!("{mark}{proof}") };
    if from == to || !recodes(to) || proof.is_empty() {
        return proof;
    }
    let mut letters = Vec::new();
    base64::encode(&mut letters, proof.as_bytes());
    String::from_utf8(letters).unwrap_or_default()
}

/// Whether SDKs of this dialect take a proof for base64, and so would spoil a text.
pub(super) fn recodes(caller: Dialect) -> bool {
    matches!(caller, Dialect::Gemini | Dialect::Bedrock)
}

/// Marks what a provider's whole answer proves.
pub(super) fn mark_parts(from: Dialect, to: Dialect, parts: &mut [Part<'_>]) {
    for part in parts {
        match part {
            Part::Reasoning { signature: Some(proof), .. } | Part::ReasoningEncrypted { data: proof } => {
                *proof = Cow::Owned(marked(from, to, proof));
            }
            _ => {}
        }
    }
}

/// Marks what comes in a stream.
pub(super) struct Marker {
    from: Dialect,
    to: Dialect,
    /// The thought whose signature has begun: more of it has no mark of its own.
    signed: Option<u32>,
}

impl Marker {
    /// For a provider's dialect and a caller's.
    pub(super) fn new(from: Dialect, to: Dialect) -> Self {
        Self { from, to, signed: None }
    }

    /// The proof of an event as the caller gets it; `None`: the event goes as it is.
    pub(super) fn proof(&mut self, event: Event<'_>) -> Option<String> {
        match event {
            Event::ReasoningSignature { index, signature } => {
                let is_first = self.signed.replace(index) != Some(index);
                is_first.then(|| marked(self.from, self.to, signature))
            }
            Event::ReasoningEncrypted { data, .. } => Some(marked(self.from, self.to, data)),
            _ => None,
        }
    }
}

/// The event with another proof.
pub(super) fn with_proof<'a>(event: Event<'a>, proof: &'a str) -> Event<'a> {
    match event {
        Event::ReasoningSignature { index, .. } => Event::ReasoningSignature { index, signature: proof },
        Event::ReasoningEncrypted { index, .. } => Event::ReasoningEncrypted { index, data: proof },
        other => other,
    }
}

/// Gives a provider that speaks `to` what it made itself, and nobody else's; what is left out keeps its place as a thought
/// without words, for the indices in errors, and is named. Chat completions takes no thoughts at all and says so itself.
pub(super) fn sort(from: Dialect, to: Dialect, request: &mut Request<'_>) {
    if to == Dialect::OpenAi {
        return;
    }
    let mut is_left_out = false;
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        let (Part::Reasoning { signature: Some(proof), .. } | Part::ReasoningEncrypted { data: proof }) =
            part
        else {
            continue;
        };
        if let Some(own) = own(from, to, proof) {
            *proof = Cow::Owned(own);
            continue;
        }
        is_left_out = true;
        match part {
            Part::Reasoning { signature, .. } => *signature = None,
            sealed => *sealed = Part::Reasoning { text: Cow::Borrowed(""), signature: None },
        }
    }
    if is_left_out {
        once(&mut request.dropped, "messages.reasoning_details");
    }
}

/// The proof as the provider gave it; `None`: another made it.
pub(super) fn own(from: Dialect, to: Dialect, proof: &str) -> Option<String> {
    let unwrapped = if recodes(from) { unwrapped(proof) } else { None };
    let proof = unwrapped.as_deref().unwrap_or(proof);
    let marked = MARKS.iter().find_map(|(origin, mark)| Some((*origin, proof.strip_prefix(*mark)?)));
    let (origin, payload) = marked.unwrap_or((from, proof));
    // The encode half of Responses wants its mark and takes it off.
    let payload = if origin == Dialect::Responses { proof } else { payload };
    (origin == to).then(|| payload.to_owned())
}

/// Mark and proof out of the base64 that went through such an SDK.
fn unwrapped(proof: &str) -> Option<String> {
    let text = String::from_utf8(base64::decode(proof)?).ok()?;
    MARKS.iter().any(|(_, mark)| text.starts_with(mark)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDERS: [Dialect; 4] =
        [Dialect::Anthropic, Dialect::Gemini, Dialect::Responses, Dialect::Bedrock];

    fn given(provider: Dialect, proof: &str) -> String {
        if provider == Dialect::Responses { format!("{}{proof}", thought::OWN) } else { proof.to_owned() }
    }

    #[test]
    fn a_proof_goes_back_to_who_made_it_and_to_nobody_else() {
        for proof in ["EqQB+/8=", "gAAAAA-_", "{\"é\"}"] {
            for (provider, caller) in
                PROVIDERS.into_iter().flat_map(|one| Dialect::ALL.map(|caller| (one, caller)))
            {
                let neutral = given(provider, proof);
                let carried = marked(provider, caller, &neutral);
                for next in PROVIDERS {
                    let expected = (next == provider).then_some(&neutral);
                    assert_eq!(own(caller, next, &carried).as_ref(), expected, "{provider:?} {caller:?}");
                }
            }
        }
    }

    #[test]
    fn what_goes_through_googles_sdk_is_base64_of_either_alphabet() {
        let carried = marked(Dialect::Anthropic, Dialect::Gemini, "EqQB+/8=???>>>");
        assert!(base64::decode(&carried).is_some());
        let spelled = carried.replace('+', "-").replace('/', "_");
        let own = own(Dialect::Gemini, Dialect::Anthropic, spelled.trim_end_matches('='));
        assert_eq!(own.as_deref(), Some("EqQB+/8=???>>>"));
    }

    #[test]
    fn a_native_proof_is_of_its_own_dialect() {
        assert_eq!(own(Dialect::Gemini, Dialect::Gemini, "QQ==").as_deref(), Some("QQ=="));
        assert_eq!(own(Dialect::Gemini, Dialect::Anthropic, "QQ=="), None);
        assert_eq!(own(Dialect::Anthropic, Dialect::Gemini, "QQ=="), None);
        assert_eq!(own(Dialect::OpenAi, Dialect::Anthropic, "QQ=="), None);
    }

    #[test]
    fn a_signature_in_pieces_has_one_mark() {
        let mut marker = Marker::new(Dialect::Anthropic, Dialect::OpenAi);
        let piece = |index| Event::ReasoningSignature { index, signature: "QQ" };
        assert_eq!(marker.proof(piece(0)).as_deref(), Some("corelaneAnthropic000QQ"));
        assert_eq!(marker.proof(piece(0)), None);
        assert!(marker.proof(piece(1)).is_some());
    }
}
