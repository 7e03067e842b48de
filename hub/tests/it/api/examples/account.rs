//! Examples: the account that is signed in.

use super::{super::world::PASSWORD, Example, Seed, examples};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mamba_wire::api::{Code, account, auth, table};

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

examples! {
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
    ListSessions, _seed => Example::new((), (), ());
    EndSession, seed => {
        let session = seed.world.login(&seed.email()).await.me.session;
        Example::new(account::SessionPath { session }, (), ())
    };
    EndOtherSessions, _seed => Example::new((), (), ());
    BeginTotp, _seed => Example::new((), (), account::Proof { password: PASSWORD.to_owned() });
    ConfirmTotp, _seed => {
        let body = account::ConfirmTotp { setup: "0".repeat(64), code: "000000".to_owned() };
        Example::new((), (), body).refused(Code::NotFound)
    };
    RemoveTotp, _seed => Example::new((), (), full_proof()).refused(Code::NotFound);
    RenewRecoveryCodes, _seed => Example::new((), (), full_proof()).refused(Code::NotFound);
    ListSshKeys, _seed => Example::new((), (), ());
    AddSshKey, seed => Example::new((), (), new_ssh_key(seed));
    RemoveSshKey, seed => Example::new(ssh_key(seed).await, (), ());
}
