//! Pure: signing in, and the account that is signed in.

use super::prelude::*;
use crate::api::{account, audit, auth};

endpoints! {
    /// Signing in, and the account that is signed in.
    ACCOUNT "account" for_each_account_endpoint;

    /// Signs in with address and password.
    Login: Post "/api/v1/auth/login", Permission::Public, 200,
        ((), (), auth::Login) -> auth::SignIn, [WrongCredentials, Forbidden];
    /// Completes a sign-in with a second factor.
    SecondFactor: Post "/api/v1/auth/second-factor", Permission::Public, 200,
        ((), (), auth::SecondFactor) -> auth::Tokens, [NotSignedIn, Forbidden];
    /// Gives new tokens for the newest refresh token of a session.
    Refresh: Post "/api/v1/auth/refresh", Permission::Public, 200,
        ((), (), auth::Refresh) -> auth::Tokens, [NotSignedIn, Forbidden];
    /// Ends the session.
    Logout: Post "/api/v1/auth/logout", Permission::SettingUp, 204,
        ((), (), ()) -> ();
    /// Sends a mail that completes a registration; whether there is an account is not said.
    Register: Post "/api/v1/auth/register", Permission::Public, 204,
        ((), (), auth::Register) -> (), [Forbidden];
    /// Makes the account and the tenant of a registration.
    ConfirmRegistration: Post "/api/v1/auth/register/confirm", Permission::Public, 204,
        ((), (), auth::MailToken) -> (), [Forbidden];
    /// Sends a mail that sets a new password; whether there is an account is not said.
    RequestReset: Post "/api/v1/auth/password-reset", Permission::Public, 204,
        ((), (), auth::RequestReset) -> ();
    /// Sets a new password and ends all sessions.
    ResetPassword: Post "/api/v1/auth/password-reset/confirm", Permission::Public, 204,
        ((), (), auth::ResetPassword) -> ();
    /// Confirms that somebody reads mail at the address of an account, or changes the address to it.
    ConfirmAddress: Post "/api/v1/auth/confirm-address", Permission::Public, 204,
        ((), (), auth::MailToken) -> (), [Conflict];

    /// Begins to sign in with a passkey; whether there is an account is not said.
    BeginPasskeySignIn: Post "/api/v1/auth/passkey", Permission::Public, 200,
        ((), (), auth::BeginPasskeySignIn) -> auth::PasskeyChallenge, [Conflict];
    /// Signs in with a passkey.
    FinishPasskeySignIn: Post "/api/v1/auth/passkey/finish", Permission::Public, 200,
        ((), (), auth::FinishPasskeySignIn) -> auth::Tokens, [WrongCredentials, Forbidden];
    /// Lists where people may sign in elsewhere.
    ListProviders: Get "/api/v1/auth/providers", Permission::Public, 200,
        ((), (), ()) -> Page<auth::Provider>;
    /// Begins to sign in elsewhere.
    BeginVisit: Post "/api/v1/auth/visit", Permission::Public, 200,
        ((), (), auth::BeginVisit) -> auth::Begun, [NotFound];
    /// Signs in with what another provider gave.
    FinishVisit: Post "/api/v1/auth/visit/finish", Permission::Public, 200,
        ((), (), auth::FinishVisit) -> auth::SignIn, [NotSignedIn, Conflict, Forbidden];

    /// Says who is signed in.
    WhoAmI: Get "/api/v1/me", Permission::SettingUp, 200,
        ((), (), ()) -> auth::Me;
    /// Lists what the account did, who failed to sign in to it, and ended keys, newest first; a page may be short.
    ListOwnActivity: Get "/api/v1/account/activity", Permission::SignedIn, 200,
        ((), PageQuery, ()) -> Page<audit::AccountEvent>;
    /// Says how the account is protected.
    ShowAccount: Get "/api/v1/account", Permission::SettingUp, 200,
        ((), (), ()) -> account::Account;
    /// Confirms that whoever signed in is there, with the password, a second factor or a passkey.
    Confirm: Post "/api/v1/account/confirm", Permission::SignedIn, 204,
        ((), (), account::Confirmation) -> (), [WrongCredentials, NotFound];
    /// Begins to confirm with a passkey.
    BeginConfirm: Post "/api/v1/account/confirm/passkey", Permission::SignedIn, 200,
        ((), (), ()) -> auth::PasskeyChallenge, [NotFound, Conflict];
    /// Closes the account for ever; the only owner of a tenant gives it away first.
    CloseAccount: Post "/api/v1/account/close", Permission::SignedIn, 204,
        ((), (), account::Confirmation) -> (), [WrongCredentials, NotFound, Conflict];
    /// Changes the password and ends all other sessions.
    ChangePassword: Post "/api/v1/account/password", Permission::SignedIn, 204,
        ((), (), account::ChangePassword) -> (), [WrongCredentials, Forbidden];
    /// Sends a mail that confirms an address of the account.
    ChangeAddress: Post "/api/v1/account/address", Permission::SignedIn, 204,
        ((), (), account::ChangeAddress) -> (), [WrongCredentials, Forbidden];
    /// Lists the account's sessions, the one used last first.
    ListSessions: Get "/api/v1/account/sessions", Permission::SignedIn, 200,
        ((), (), ()) -> Page<account::Session>;
    /// Ends a session.
    EndSession: Delete "/api/v1/account/sessions/{session}", Permission::SignedIn, 204,
        (account::SessionPath, (), ()) -> (), [Forbidden];
    /// Ends all sessions but this.
    EndOtherSessions: Delete "/api/v1/account/sessions", Permission::SignedIn, 204,
        ((), (), ()) -> (), [Forbidden];
    /// Begins to set up an authenticator app.
    BeginTotp: Post "/api/v1/account/totp", Permission::SettingUp, 200,
        ((), (), account::Proof) -> account::NewTotp, [WrongCredentials, Conflict, Forbidden];
    /// Takes an authenticator app into use, and ends all other sessions.
    ConfirmTotp: Post "/api/v1/account/totp/confirm", Permission::SettingUp, 200,
        ((), (), account::ConfirmTotp) -> account::RecoveryCodes, [NotFound, Conflict, Forbidden];
    /// Takes the authenticator app out of use, and ends all other sessions.
    RemoveTotp: Post "/api/v1/account/totp/remove", Permission::SignedIn, 204,
        ((), (), account::FullProof) -> (), [WrongCredentials, NotFound, Forbidden];
    /// Makes new recovery codes; those from before are void.
    RenewRecoveryCodes: Post "/api/v1/account/recovery-codes", Permission::SignedIn, 200,
        ((), (), account::FullProof) -> account::RecoveryCodes,
        [WrongCredentials, NotFound, Forbidden];
    /// Chooses which letters the account gets.
    ChooseLetters: Put "/api/v1/account/letters", Permission::SignedIn, 200,
        ((), (), account::Letters) -> account::Letters;
    /// Lists the account's passkeys.
    ListPasskeys: Get "/api/v1/account/passkeys", Permission::SettingUp, 200,
        ((), (), ()) -> Page<account::Passkey>;
    /// Begins to add a passkey.
    BeginPasskey: Post "/api/v1/account/passkeys/begin", Permission::SettingUp, 200,
        ((), (), account::Proof) -> auth::PasskeyChallenge,
        [WrongCredentials, Conflict, Forbidden];
    /// Adds a passkey.
    AddPasskey: Post "/api/v1/account/passkeys", Permission::SettingUp, 201 keyed,
        ((), (), account::AddPasskey) -> account::Passkey, [NotFound, Conflict, Forbidden];
    /// Gives a passkey another name.
    RenamePasskey: Patch "/api/v1/account/passkeys/{key}", Permission::SignedIn, 200,
        (account::KeyPath, (), account::Rename) -> account::Passkey;
    /// Removes a passkey.
    RemovePasskey: Delete "/api/v1/account/passkeys/{key}", Permission::SignedIn, 204 confirmed,
        (account::KeyPath, (), ()) -> ();
    /// Lists the account's API keys.
    ListApiKeys: Get "/api/v1/account/api-keys", Permission::SignedIn, 200,
        ((), (), ()) -> Page<account::ApiKey>;
    /// Makes an API key.
    CreateApiKey: Post "/api/v1/account/api-keys", Permission::SignedIn, 201 keyed confirmed,
        ((), (), account::CreateApiKey) -> account::NewApiKey, [Conflict];
    /// Deletes an API key; what was opened with it ends.
    DeleteApiKey: Delete "/api/v1/account/api-keys/{key}", Permission::SignedIn, 204,
        (account::ApiKeyPath, (), ()) -> ();
    /// Lists the accounts elsewhere that sign in here.
    ListLinks: Get "/api/v1/account/links", Permission::SignedIn, 200,
        ((), (), ()) -> Page<account::LinkedAccount>;
    /// Begins to link an account elsewhere.
    BeginLink: Post "/api/v1/account/links/begin", Permission::SignedIn, 200 confirmed,
        ((), (), auth::BeginVisit) -> auth::Begun, [NotFound];
    /// Links an account elsewhere.
    FinishLink: Post "/api/v1/account/links", Permission::SignedIn, 201 keyed,
        ((), (), auth::FinishVisit) -> account::LinkedAccount, [Conflict];
    /// Forgets an account elsewhere.
    RemoveLink: Delete "/api/v1/account/links/{provider}", Permission::SignedIn, 204,
        (account::ProviderPath, (), ()) -> ();
    /// Lists the account's SSH keys.
    ListSshKeys: Get "/api/v1/account/ssh-keys", Permission::SignedIn, 200,
        ((), (), ()) -> Page<account::SshKey>;
    /// Adds an SSH key.
    AddSshKey: Post "/api/v1/account/ssh-keys", Permission::SignedIn, 201 keyed confirmed,
        ((), (), account::AddSshKey) -> account::SshKey, [Conflict, Forbidden];
    /// Removes an SSH key.
    RemoveSshKey: Delete "/api/v1/account/ssh-keys/{key}", Permission::SignedIn, 204,
        (account::KeyPath, (), ()) -> (), [Forbidden];
}
