//! What a model of Anthropic's takes, told by its name: which way of thinking, sampling, forced tools, strict schemas
//! (<https://platform.claude.com/docs/en/about-claude/models/overview>, and the migration guide of each). A name that is
//! none of theirs is another provider's who speaks this dialect, and is spoken to in its oldest words.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) enum Thinking {
    /// It can't.
    Never,
    /// By a budget of tokens: 3.7 to 4.5.
    Budget,
    /// By a budget, or as it likes with an effort: 4.6.
    Either,
    /// As it likes, with an effort: all later.
    Adaptive,
}

/// The word by which a model does not think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) enum Off {
    /// None is needed.
    Unsaid,
    /// `disabled`.
    Disabled,
    /// `between_tools`.
    BetweenTools,
    /// There is none.
    Never,
}

/// A model, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) struct Claude {
    family: Option<Family>,
    /// Major and minor; `None`: the name tells none, such as `claude-opus-latest`.
    version: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Haiku,
    Sonnet,
    Opus,
    /// Fable and Mythos, which always think.
    Thinker,
}

impl Family {
    fn of(word: &str) -> Option<Self> {
        match word {
            "haiku" => Some(Self::Haiku),
            "sonnet" => Some(Self::Sonnet),
            "opus" => Some(Self::Opus),
            "fable" | "mythos" => Some(Self::Thinker),
            _ => None,
        }
    }
}

impl Claude {
    /// The one that is named so, by whichever cloud: `claude-3-7-sonnet-20250219`, `anthropic.claude-opus-4-7-v1:0`,
    /// `claude-sonnet-4.5@20250929`.
    pub(in crate::dialect) fn of(model: &str) -> Self {
        let words: Vec<&str> = match model.split_once("claude-") {
            Some((_, rest)) => rest.split(['-', '.', '@', ':']).collect(),
            None => Vec::new(),
        };
        let family = words.iter().find_map(|word| Family::of(word));
        // A date is no version.
        let number = |word: &&str| (word.len() <= 2).then(|| word.parse::<u32>().ok()).flatten();
        let mut numbers = words.iter().skip_while(|word| number(word).is_none()).map_while(number);
        let version = numbers.next().map(|major| (major, numbers.next().unwrap_or(0)));
        Self { family, version: version.filter(|_| family.is_some()) }
    }

    /// Its version, where it is one of Anthropic's; what tells none is the latest of its family.
    pub(in crate::dialect) fn generation(self) -> Option<(u32, u32)> {
        self.family.map(|_| self.version())
    }

    /// Its version; what has none is the latest of its family, or, where it is none of Anthropic's, the last that took all
    /// the old words.
    fn version(self) -> (u32, u32) {
        match (self.version, self.family) {
            (Some(version), _) => version,
            (None, Some(_)) => (u32::MAX, 0),
            (None, None) => (4, 0),
        }
    }

    /// How it is told to think.
    pub(in crate::dialect) fn thinking(self) -> Thinking {
        match self.version() {
            (0..3, _) | (3, 0..7) => Thinking::Never,
            (3, _) | (4, 0..6) => Thinking::Budget,
            (4, 6) => Thinking::Either,
            _ => Thinking::Adaptive,
        }
    }

    /// How it is told not to.
    pub(in crate::dialect) fn off(self) -> Off {
        match (self.family, self.version()) {
            (Some(Family::Thinker), _) => Off::Never,
            (_, (..5, _)) => Off::Unsaid,
            (_, (5, 0)) | (Some(Family::Haiku), (5, _)) => Off::Disabled,
            (Some(Family::Sonnet), (5, _)) => Off::BetweenTools,
            _ => Off::Never,
        }
    }

    /// Whether `temperature`, `top_p` and `top_k` may be told; the later ones refuse all but their defaults.
    pub(in crate::dialect) fn takes_sampling(self) -> bool {
        self.thinking() != Thinking::Adaptive
    }

    /// Whether `temperature` and `top_p` may stand together.
    pub(in crate::dialect) fn takes_both_samplings(self) -> bool {
        self.version() < (4, 1)
    }

    /// Whether it may be told that it must call a tool.
    pub(in crate::dialect) fn takes_forced_tools(self) -> bool {
        self.version() <= (5, 0)
    }

    /// Whether a tool may be `strict` (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>).
    pub(in crate::dialect) fn takes_strict_tools(self) -> bool {
        self.version() >= (4, 5)
    }

    /// Whether its answer may be told to follow a schema (the same document); what is none of Anthropic's, or tells no
    /// version, says so itself.
    pub(super) fn takes_schemas(self) -> bool {
        self.generation().is_none_or(|version| version >= (4, 5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_cloud_are_read() {
        for (model, thinking, off) in [
            ("claude-3-opus-20240229", Thinking::Never, Off::Unsaid),
            ("claude-3-5-sonnet-20241022", Thinking::Never, Off::Unsaid),
            ("claude-3-7-sonnet-latest", Thinking::Budget, Off::Unsaid),
            ("claude-sonnet-4-20250514", Thinking::Budget, Off::Unsaid),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Thinking::Budget, Off::Unsaid),
            ("claude-opus-4-6", Thinking::Either, Off::Unsaid),
            ("anthropic/claude-opus-4.7", Thinking::Adaptive, Off::Unsaid),
            ("claude-opus-5", Thinking::Adaptive, Off::Disabled),
            ("claude-sonnet-5-5", Thinking::Adaptive, Off::BetweenTools),
            ("claude-haiku-5-5", Thinking::Adaptive, Off::Disabled),
            ("claude-opus-5-5", Thinking::Adaptive, Off::Never),
            ("claude-fable-5", Thinking::Adaptive, Off::Never),
            ("claude-mythos-preview", Thinking::Adaptive, Off::Never),
            ("claude-opus-latest", Thinking::Adaptive, Off::Never),
            ("claude-test-1", Thinking::Budget, Off::Unsaid),
            ("glm-4.7", Thinking::Budget, Off::Unsaid),
        ] {
            let claude = Claude::of(model);
            assert_eq!((claude.thinking(), claude.off()), (thinking, off), "{model}");
        }
    }

    #[test]
    fn what_later_models_refuse_is_known() {
        let (old, new, newest) =
            (Claude::of("claude-sonnet-4-5"), Claude::of("claude-opus-5"), Claude::of("claude-opus-5-5"));
        assert!(old.takes_sampling() && !old.takes_both_samplings() && old.takes_strict_tools());
        assert!(!new.takes_sampling() && new.takes_forced_tools());
        assert!(!newest.takes_forced_tools());
        assert!(Claude::of("m").takes_both_samplings() && !Claude::of("m").takes_strict_tools());
        assert!(old.takes_schemas() && Claude::of("m").takes_schemas());
        assert!(!Claude::of("claude-sonnet-4-20250514").takes_schemas());
    }
}
