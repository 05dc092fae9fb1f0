//! A secret in memory: nothing prints it, its bytes are wiped when it is dropped, and what somebody presents is compared
//! with it in constant time. It is not a promise about copies that were made before it got here (the file's text, the
//! process's environment).

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

/// A secret's text. It has no `Debug` and no `Display`, and neither has what holds one:
///
/// ```compile_fail,E0277
/// fn printed<T: std::fmt::Debug>() {}
/// printed::<corelane::config::Secret>();
/// ```
/// ```compile_fail,E0277
/// fn printed<T: std::fmt::Display>() {}
/// printed::<corelane::config::Secret>();
/// ```
/// ```compile_fail,E0277
/// fn printed<T: std::fmt::Debug>() {}
/// printed::<corelane::config::snapshot::Snapshot>();
/// ```
/// ```compile_fail,E0277
/// fn printed<T: std::fmt::Debug>() {}
/// printed::<corelane::config::Loaded>();
/// ```
///
/// `==` is for comparing one config with another, and takes as long as two texts are alike: for what a client presents there
/// is [`Secret::is`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the text into keeping.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself; the caller answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether these bytes are the secret. The time it takes says nothing of either but whether their lengths are equal.
    pub fn is(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_it() {
        let secret = Secret::new("sk-live-1");
        assert!(secret.is(b"sk-live-1"));
        for other in ["", "sk-live-", "sk-live-2", "sk-live-11", "SK-LIVE-1"] {
            assert!(!secret.is(other.as_bytes()), "{other}");
        }
        assert!(Secret::new("").is(b""));
    }
}
