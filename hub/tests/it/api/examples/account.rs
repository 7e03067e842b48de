//! Examples: the account that is signed in.

use super::{
    super::world::{NO_PAGE, PASSWORD, api_key},
    Example, Seed, examples,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mamba_core::ids::TokenId;
use mamba_wire::api::{Code, account, auth, table};
use serde_json::Value;

fn no_token() -> auth::MailToken {
    auth::MailToken { token: "0".repeat(64) }
}

fn full_proof() -> account::FullProof {
    account::FullProof { password: PASSWORD.to_owned(), code: "000000".to_owned() }
}

/// An SSH key that nobody has.
fn new_ssh_key(seed: &Seed<'_>) -> account::AddSshKey {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([7; 30]);
    blob.extend(seed.number().to_be_bytes());
    let public_key = format!("ssh-ed25519 {} me@here", STANDARD.encode(blob));
    account::AddSshKey { name: "laptop".to_owned(), public_key }
}

async fn ssh_key(seed: &Seed<'_>) -> account::KeyPath {
    let owner = seed.world.login(&seed.email()).await.access_token;
    let body = new_ssh_key(seed);
    let added = seed.world.call::<table::AddSshKey>(Some(&owner), &(), &(), &body).await;
    account::KeyPath { key: added.unwrap().key }
}

fn no_key() -> account::KeyPath {
    account::KeyPath { key: TokenId::from_bytes([9; 16]) }
}

fn visit() -> auth::BeginVisit {
    auth::BeginVisit { provider: "nowhere".to_owned() }
}

fn no_visit() -> auth::FinishVisit {
    let (state, code, binding) = ("0".repeat(64), "code".to_owned(), "binding".to_owned());
    auth::FinishVisit { state, code, binding }
}

examples! {
    ListOwnActivity, _seed => Example::new((), NO_PAGE, ());
    Login, seed => {
        let body = auth::Login { email: seed.email(), password: PASSWORD.to_owned() };
        Example::new((), (), body)
    };
    // What a challenge gives is in the tests of accounts.
    SecondFactor, _seed => {
        let (challenge, code) = ("0".repeat(64), "000000".to_owned());
        Example::new((), (), auth::SecondFactor { challenge, code }).refused(Code::NotSignedIn)
    };
    Refresh, seed => {
        let refresh_token = seed.world.login(&seed.email()).await.refresh_token;
        Example::new((), (), auth::Refresh { refresh_token })
    };
    Logout, _seed => Example::new((), (), ());
    // Registration is closed here.
    Register, _seed => {
        let (email, password) = ("new@example.org".to_owned(), PASSWORD.to_owned());
        Example::new((), (), auth::Register { email, password }).refused(Code::Forbidden)
    };
    ConfirmRegistration, _seed => Example::new((), (), no_token()).refused(Code::Forbidden);
    RequestReset, seed => Example::new((), (), auth::RequestReset { email: seed.email() });
    ResetPassword, _seed => {
        let body = auth::ResetPassword { token: "0".repeat(64), password: PASSWORD.to_owned() };
        Example::new((), (), body).refused(Code::Invalid)
    };
    ConfirmAddress, _seed => Example::new((), (), no_token()).refused(Code::Invalid);
    WhoAmI, _seed => Example::new((), (), ());
    ShowAccount, _seed => Example::new((), (), ());
    ChangePassword, _seed => {
        let (password, new_password) = (PASSWORD.to_owned(), PASSWORD.to_owned());
        Example::new((), (), account::ChangePassword { password, new_password })
    };
    ChangeAddress, seed => {
        let body = account::ChangeAddress { password: PASSWORD.to_owned(), email: seed.email() };
        Example::new((), (), body)
    };
    Confirm, _seed => {
        Example::new((), (), account::Confirmation::Password(PASSWORD.to_owned()))
    };
    // Ceremonies are in the tests of presence.
    BeginConfirm, _seed => Example::new((), (), ()).refused(Code::NotFound);
    // The owner is the only one of its tenant.
    CloseAccount, _seed => {
        Example::new((), (), account::Confirmation::Password(PASSWORD.to_owned()))
            .refused(Code::Conflict)
    };
    ListSessions, _seed => Example::new((), (), ());
    EndSession, seed => {
        let session = seed.world.login(&seed.email()).await.me.session;
        Example::new(account::SessionPath { session }, (), ())
    };
    ChooseLetters, _seed => {
        Example::new((), (), account::Letters { access: true, servers: false })
    };
    EndOtherSessions, _seed => Example::new((), (), ());
    BeginTotp, _seed => Example::new((), (), account::Proof { password: PASSWORD.to_owned() });
    ConfirmTotp, _seed => {
        let body = account::ConfirmTotp { setup: "0".repeat(64), code: "000000".to_owned() };
        Example::new((), (), body).refused(Code::NotFound)
    };
    RemoveTotp, _seed => Example::new((), (), full_proof()).refused(Code::NotFound);
    RenewRecoveryCodes, _seed => Example::new((), (), full_proof()).refused(Code::NotFound);
    ListPasskeys, _seed => Example::new((), (), ());
    BeginPasskey, _seed => {
        Example::new((), (), account::Proof { password: PASSWORD.to_owned() })
    };
    // Ceremonies are in the tests of passkeys.
    AddPasskey, _seed => {
        let (challenge, name) = ("0".repeat(64), "laptop".to_owned());
        let body = account::AddPasskey { challenge, name, credential: Value::Null };
        Example::new((), (), body).refused(Code::NotFound)
    };
    RenamePasskey, _seed => {
        let body = account::Rename { name: "laptop".to_owned() };
        Example::new(no_key(), (), body).refused(Code::NotFound)
    };
    RemovePasskey, _seed => Example::new(no_key(), (), ()).refused(Code::NotFound);
    BeginPasskeySignIn, seed => {
        Example::new((), (), auth::BeginPasskeySignIn { email: seed.email() })
    };
    FinishPasskeySignIn, _seed => {
        let body = auth::FinishPasskeySignIn {
            challenge: "0".repeat(64),
            credential: Value::Null,
        };
        Example::new((), (), body).refused(Code::WrongCredentials)
    };
    ListApiKeys, _seed => Example::new((), (), ());
    CreateApiKey, _seed => Example::new((), (), api_key("backup script"));
    DeleteApiKey, seed => {
        let owner = seed.world.login(&seed.email()).await.access_token;
        let body = api_key("backup script");
        let made = seed.world.call::<table::CreateApiKey>(Some(&owner), &(), &(), &body).await;
        Example::new(account::ApiKeyPath { key: made.unwrap().key.key }, (), ())
    };
    // No provider is known here; visits are in the tests of signing in elsewhere.
    ListProviders, _seed => Example::new((), (), ());
    BeginVisit, _seed => Example::new((), (), visit()).refused(Code::NotFound);
    FinishVisit, _seed => Example::new((), (), no_visit()).refused(Code::NotSignedIn);
    ListLinks, _seed => Example::new((), (), ());
    BeginLink, _seed => Example::new((), (), visit()).refused(Code::NotFound);
    FinishLink, _seed => Example::new((), (), no_visit()).refused(Code::NotSignedIn);
    RemoveLink, _seed => {
        let provider = "nowhere".to_owned();
        Example::new(account::ProviderPath { provider }, (), ()).refused(Code::NotFound)
    };
    ListSshKeys, _seed => Example::new((), (), ());
    AddSshKey, seed => Example::new((), (), new_ssh_key(seed));
    RemoveSshKey, seed => Example::new(ssh_key(seed).await, (), ());
}
