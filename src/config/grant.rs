//! What a key's tokens are fetched by: an AWS role, a client of Entra ID, a service account of Google. One grant is fetched
//! for once, whichever keys have it. It holds secrets, has no `Debug`, and fetches nothing (`control::tokens` does).

pub(crate) mod account;
pub(crate) mod entra;
pub(crate) mod role;

use super::credential::{AwsKeys, Credential};
use super::reference::{Resolved, Whence};
use super::secret::Secret;
use super::snapshot::Place;

/// See the module. Two are equal when the same is asked of the same place in the same way.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The token endpoint; its path is `base_path`.
    pub place: Place,
    /// What is shown there.
    pub proof: Proof,
}

/// See [`Grant::proof`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Proof {
    /// AWS's access keys, which take a role.
    Role(Box<Role>),
    /// A client's secret, at Entra ID.
    Client(Box<Client>),
    /// A service account's private key, at Google.
    Account(Box<Account>),
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Who takes it, and the region of the keys that come.
    pub keys: AwsKeys,
    /// The role's ARN, 20 to 2,048 bytes.
    pub role_arn: String,
    /// 2 to 64 bytes.
    pub session_name: String,
    /// 2 to 1,224 bytes.
    pub external_id: Option<Secret>,
}

/// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// The application's id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Separated by spaces.
    pub scope: String,
}

/// <https://developers.google.com/identity/protocols/oauth2/service-account>
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// `client_email`.
    pub email: String,
    /// `private_key`: PEM that `http::jwt` takes.
    pub private_key: Secret,
    /// `private_key_id`.
    pub key_id: Option<String>,
    /// `token_uri`, as it is written.
    pub audience: String,
}

impl Grant {
    /// What of it must not be read in an answer or a log.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let (first, second, third) = match &self.proof {
            Proof::Role(role) => {
                (&role.keys.secret_key, role.keys.session_token.as_ref(), role.external_id.as_ref())
            }
            Proof::Client(client) => (&client.client_secret, None, None),
            Proof::Account(account) => (&account.private_key, None, None),
        };
        std::iter::once(first).chain(second).chain(third)
    }

    /// What it is, in an operator's words.
    pub fn what(&self) -> &'static str {
        match self.proof {
            Proof::Role(_) => "keys of the role",
            Proof::Client(_) => "token of Entra ID",
            Proof::Account(_) => "token of the service account",
        }
    }
}

/// What a section of a key authenticates by, or why by nothing.
pub(crate) struct Found {
    /// `None`: something is missing.
    pub(crate) credential: Option<Credential>,
    /// Where the secret, or what is missing, comes from.
    pub(crate) whence: Whence,
    /// Why there is none, as a clause.
    pub(crate) absence: String,
    /// It stands before the key's own value.
    pub(crate) wins: bool,
}

impl Found {
    /// One that lacks this value.
    pub(crate) fn lacking(missing: &Resolved) -> Self {
        let Resolved { whence, absence, .. } = missing.clone();
        Self { credential: None, whence, absence, wins: true }
    }
}
