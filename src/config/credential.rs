//! What a key authenticates by: its value, AWS's access keys, by which each request is signed, or what is fetched for it. It
//! holds secrets, has no `Debug`, and signs nothing itself.

use std::sync::Arc;

use super::grant::{Grant, Proof};
use super::secret::Secret;

/// See the module. Two are equal when they authenticate as the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The key's value, sent as its dialect has it.
    Value(Secret),
    /// AWS's access keys: each request is signed, and the secret one is never sent.
    Aws(Box<AwsKeys>),
    /// What the control plane fetches by this: a token, sent as a bearer's, or AWS's temporary access keys.
    Fetched(Arc<Grant>),
}

/// Access keys of AWS and where their signatures hold
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AwsKeys {
    /// The id of the pair, which every signature names: 1 to 128 bytes of letters, digits and `_`.
    pub access_key: String,
    /// What signs; visible ASCII.
    pub secret_key: Secret,
    /// Of temporary keys; sent, visible ASCII.
    pub session_token: Option<Secret>,
    /// The region that signatures are for: 1 to 32 bytes of lower-case letters, digits and `-`.
    pub region: String,
}

impl Credential {
    /// What of it must not be read in an answer or a log.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let (first, second) = match self {
            Self::Value(value) => (Some(value), None),
            Self::Aws(keys) => (Some(&keys.secret_key), keys.session_token.as_ref()),
            Self::Fetched(_) => (None, None),
        };
        let fetched_by = self.grant().into_iter().flat_map(|grant| grant.secrets());
        first.into_iter().chain(second).chain(fetched_by)
    }

    /// AWS's access keys, where it is these.
    pub fn aws(&self) -> Option<&AwsKeys> {
        match self {
            Self::Aws(keys) => Some(keys),
            Self::Value(_) | Self::Fetched(_) => None,
        }
    }

    /// What it is fetched by, where it is.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Fetched(grant) => Some(grant),
            Self::Value(_) | Self::Aws(_) => None,
        }
    }

    /// Whether requests are signed by it, with AWS's keys.
    pub fn signs(&self) -> bool {
        match self {
            Self::Aws(_) => true,
            Self::Fetched(grant) => matches!(grant.proof, Proof::Role(_)),
            Self::Value(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_no_larger_than_its_value_and_a_word() {
        assert!(size_of::<Option<Credential>>() <= size_of::<Secret>() + size_of::<usize>());
    }

    #[test]
    fn what_must_not_be_read_is_known() {
        let secrets = |credential: &Credential| {
            credential.secrets().map(|secret| secret.expose().to_owned()).collect::<Vec<_>>()
        };
        let mut keys = AwsKeys {
            access_key: "AKID".to_owned(),
            secret_key: Secret::new("one"),
            session_token: None,
            region: "us-east-1".to_owned(),
        };
        assert_eq!(secrets(&Credential::Value(Secret::new("value"))), ["value"]);
        assert_eq!(secrets(&Credential::Aws(Box::new(keys.clone()))), ["one"]);
        keys.session_token = Some(Secret::new("two"));
        assert_eq!(secrets(&Credential::Aws(Box::new(keys))), ["one", "two"]);
    }
}
