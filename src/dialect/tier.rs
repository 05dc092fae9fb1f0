//! OpenAI's words for how soon an answer is wanted, the same in both of its dialects, in requests and answers
//! (<https://platform.openai.com/docs/guides/priority-processing>). Others' words are their dialects' own.

use crate::chat::ServiceTier;

/// The neutral word; `None`: there is none for it.
pub(super) fn read(word: &str) -> Option<ServiceTier> {
    match word {
        "auto" => Some(ServiceTier::Auto),
        "default" => Some(ServiceTier::Standard),
        "flex" => Some(ServiceTier::Flex),
        "priority" | "fast" => Some(ServiceTier::Priority),
        _ => None,
    }
}

/// The other way round.
pub(super) fn word(tier: ServiceTier) -> &'static str {
    match tier {
        ServiceTier::Auto => "auto",
        ServiceTier::Standard => "default",
        ServiceTier::Flex => "flex",
        ServiceTier::Priority => "priority",
    }
}
