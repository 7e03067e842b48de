//! What is stored about accounts, tenants and sessions.

use crate::external::{ExternalId, Names};
use ipnet::IpNet;
use mamba_core::{
    access::{AdminRight, Administration, Rights},
    clock::UnixMs,
    db::{RecordError, Table, TableDef, decode_postcard},
    ids::{SessionId, TenantId, TokenId, UserId},
    record,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};

/// Accounts by id.
pub(super) const ACCOUNTS: Table<UserId, Account> = Table::new(150, "accounts");
/// Accounts by address in lower case.
pub(super) const EMAILS: Table<String, EmailOwner> = Table::new(151, "emails");
/// Sessions by id.
pub(super) const SESSIONS: Table<SessionId, Session> = Table::new(153, "sessions");
/// Sessions of each account.
pub(super) const USER_SESSIONS: Table<(UserId, SessionId), Present> =
    Table::new(154, "user_sessions");

/// What an account has besides a password.
pub(super) const FACTORS: Table<UserId, Factors> = Table::new(155, "factors");
/// Passkeys of each account.
pub(super) const PASSKEYS: Table<(UserId, TokenId), PasskeyRecord> = Table::new(156, "passkeys");
/// Owner of each passkey, by its credential id.
pub(super) const PASSKEY_IDS: Table<Vec<u8>, Owned> = Table::new(157, "passkey_ids");
/// Accounts elsewhere, by provider and subject.
pub(super) const LINKS: Table<(String, String), Link> = Table::new(158, "links");
/// Accounts elsewhere, by account and provider.
pub(super) const USER_LINKS: Table<(UserId, String), LinkSubject> = Table::new(159, "user_links");
/// API keys.
pub(super) const API_KEYS: Table<SessionId, ApiKeyRecord> = Table::new(180, "api_keys");
/// API keys of each account.
pub(super) const USER_API_KEYS: Table<(UserId, SessionId), Present> =
    Table::new(181, "user_api_keys");
/// API keys that are bound to each tenant.
pub(super) const TENANT_API_KEYS: Table<(TenantId, SessionId), Present> =
    Table::new(390, "tenant_api_keys");
/// SSH keys of each account.
pub(super) const SSH_KEYS: Table<(UserId, TokenId), SshKeyRecord> = Table::new(182, "ssh_keys");
/// Owner of each SSH key, by the SHA-256 of its blob.
pub(super) const SSH_KEY_IDS: Table<[u8; 32], Owned> = Table::new(183, "ssh_key_ids");
/// Tokens that went out by mail, by hash.
pub(super) const MAIL_TOKENS: Table<[u8; 32], MailToken> = Table::new(184, "mail_tokens");
/// The same, by their end.
pub(super) const MAIL_TOKEN_ENDS: Table<(UnixMs, [u8; 32]), Present> =
    Table::new(185, "mail_token_ends");

/// Which letters an account wants.
pub(super) const LETTERS: Table<UserId, LettersRecord> = Table::new(186, "letters");

/// Where each account was signed in, and when last.
pub(super) const SEEN: Table<(UserId, [u8; 32]), SeenAt> = Table::new(350, "seen_places");

/// Accounts that are root.
pub(super) const ROOTS: Table<UserId, Present> = Table::new(187, "roots");
/// Accounts by their names in another system.
const EXTERNAL_IDS: Table<String, AccountRef> = Table::new(395, "user_external_ids");
/// The same, as they are given and found.
pub(super) const NAMES: Names<AccountRef> = Names::new(EXTERNAL_IDS, "account");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[
    ACCOUNTS.def(),
    EMAILS.def(),
    SESSIONS.def(),
    USER_SESSIONS.def(),
    FACTORS.def(),
    PASSKEYS.def(),
    PASSKEY_IDS.def(),
    LINKS.def(),
    USER_LINKS.def(),
    API_KEYS.def(),
    USER_API_KEYS.def(),
    TENANT_API_KEYS.def(),
    SSH_KEYS.def(),
    SSH_KEY_IDS.def(),
    MAIL_TOKENS.def(),
    MAIL_TOKEN_ENDS.def(),
    LETTERS.def(),
    ROOTS.def(),
    EXTERNAL_IDS.def(),
    SEEN.def(),
];

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Address in lower case.
    pub email: String,
    /// Its part in running the hub.
    pub admin: Administration,
    /// Argon2id in PHC form.
    pub password: String,
    /// When it was made.
    pub made_at: UnixMs,
    /// Since when an administrator lets it in no more.
    pub locked_at: Option<UnixMs>,
    /// Its name in another system, which no other account has.
    pub external_id: Option<ExternalId>,
}

impl Account {
    /// Makes one that may sign in.
    pub(super) fn new(
        email: String,
        admin: Administration,
        password: String,
        made_at: UnixMs,
    ) -> Self {
        Self { email, admin, password, made_at, locked_at: None, external_id: None }
    }

    /// Version 1 had no name in another system.
    fn from_first(version: u8, body: &[u8]) -> Result<Self, RecordError> {
        type First = (String, Administration, String, UnixMs, Option<UnixMs>);
        if version != 1 {
            return Err(RecordError::Unmigratable { found: version });
        }
        let (email, admin, password, made_at, locked_at): First = decode_postcard(version, body)?;
        Ok(Self { locked_at, ..Self::new(email, admin, password, made_at) })
    }
}

/// Which account has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EmailOwner {
    pub(super) user: UserId,
}

/// Points to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccountRef(pub(super) UserId);

/// One session: a family of refresh tokens, each of which gives the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user: UserId,
    pub(super) made_at: UnixMs,
    /// When its refresh token was made.
    pub(super) refreshed_at: UnixMs,
    /// Makes its refresh tokens, together with the hub's key.
    pub(super) salt: [u8; 32],
    /// The newest refresh token.
    pub(super) generation: u64,
    /// End, unless it is refreshed before.
    pub(super) until: UnixMs,
    /// End, however often it is refreshed.
    pub(super) ends_at: UnixMs,
    /// What the client called itself when it refreshed last.
    pub(super) device: String,
    /// Where it was then.
    pub(super) address: IpAddr,
    /// Whether it was begun with a second factor.
    pub(super) has_second_factor: bool,
    /// When whoever signed in proved last to be there.
    pub(super) seen_at: UnixMs,
}

/// What an account has besides a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Factors {
    /// When its owner proved to read mail at its address.
    pub(super) email_verified_at: Option<UnixMs>,
    /// An authenticator app.
    pub(super) totp: Option<TotpRecord>,
    /// BLAKE3 of the recovery codes that were not used.
    pub(super) recovery: Vec<[u8; 32]>,
}

/// An authenticator app. Its seed is in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TotpRecord {
    /// The newest step that was used: none up to it is taken again.
    pub(super) last_step: u64,
    pub(super) made_at: UnixMs,
}

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PasskeyRecord {
    pub(super) name: String,
    /// As `webauthn-rs` writes it, in JSON.
    pub(super) passkey: String,
    pub(super) made_at: UnixMs,
    pub(super) used_at: Option<UnixMs>,
}

/// Points to something that an account owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) user: UserId,
    pub(super) id: TokenId,
}

/// An account elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) user: UserId,
    /// What the account is called there.
    pub(super) name: String,
    pub(super) made_at: UnixMs,
}

/// Which account elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkSubject {
    pub(super) subject: String,
}

/// An API key: what its owner may do, as far as it says so too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ApiKeyRecord {
    pub(super) user: UserId,
    pub(super) name: String,
    /// BLAKE3 of its secret.
    pub(super) hash: [u8; 32],
    pub(super) admin: BTreeSet<AdminRight>,
    pub(super) rights: Rights,
    pub(super) tenant: Option<TenantId>,
    /// Where it may be used from; everywhere when empty.
    pub(super) networks: Vec<IpNet>,
    pub(super) made_at: UnixMs,
    pub(super) until: Option<UnixMs>,
    pub(super) used_at: Option<UnixMs>,
}

/// An SSH key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SshKeyRecord {
    pub(super) name: String,
    /// `ssh-ed25519 AAAA..`, without a comment.
    pub(super) public_key: String,
    /// SHA-256 of its blob.
    pub(super) fingerprint: [u8; 32],
    pub(super) made_at: UnixMs,
}

/// A token that went out by mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MailToken {
    pub(super) purpose: MailUse,
    pub(super) until: UnixMs,
}

/// What a token in a mail is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MailUse {
    /// Nothing: it stands where there is no account, so that this takes as long.
    Decoy,
    /// Sets a new password, as long as the present one and the address are these.
    Reset {
        user: UserId,
        /// BLAKE3 of the password's hash.
        password: [u8; 32],
        /// Where the token went.
        email: String,
    },
    /// Proves that the account's owner reads mail at this address, and makes it the account's in the
    /// place of the one before.
    Address { user: UserId, from: String, email: String },
    /// Makes an account.
    Register {
        email: String,
        /// Argon2id in PHC form.
        password: String,
    },
}

/// Which letters an account wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LettersRecord {
    pub(super) access: bool,
    pub(super) servers: bool,
}

/// When somebody was at a place last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenAt(pub(super) UnixMs);

/// The key says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Present;

record!(Account, 2, Account::from_first);
record!(EmailOwner, 1);
record!(AccountRef, 1);
record!(Session, 1);
record!(Present, 1);
record!(Factors, 1);
record!(ApiKeyRecord, 1);
record!(PasskeyRecord, 1);
record!(Owned, 1);
record!(Link, 1);
record!(LinkSubject, 1);
record!(SshKeyRecord, 1);
record!(MailToken, 1);
record!(LettersRecord, 1);
record!(SeenAt, 1);

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::db::Record;

    #[test]
    fn an_account_of_version_1_has_no_name_in_another_system() {
        let account = Account {
            locked_at: Some(UnixMs(5)),
            ..Account::new(
                "a@b".to_owned(),
                Administration::Root,
                "$argon2id".to_owned(),
                UnixMs(3),
            )
        };
        let mut bytes = account.to_record_bytes().unwrap();
        assert_eq!((bytes[0], bytes.pop()), (2, Some(0)), "without a name the last byte says so");
        bytes[0] = 1;
        assert_eq!(Account::from_record_bytes(&bytes).unwrap(), account);
        bytes.push(0);
        assert!(Account::from_record_bytes(&bytes).is_err(), "nothing followed in version 1");
        let named = Account { external_id: "whmcs-7".parse().ok(), ..account };
        let bytes = named.to_record_bytes().unwrap();
        assert_eq!(Account::from_record_bytes(&bytes).unwrap(), named);
    }
}
