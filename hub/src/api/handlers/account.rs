//! What people do with their own account.

use super::auth::client;
use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{Page, account, auth, table};
use zeroize::Zeroizing;

/// Serves endpoints: `Row(api, context, path, body) -> Answer { expression }`.
macro_rules! serve {
    ($(
        $row:ident($api:ident, $context:ident, $path:pat, $body:pat => $in_path:ty, $in_body:ty)
            -> $out:ty $answer:block
    )+) => { $(
        impl Handle<table::$row> for Api {
            async fn handle(
                &self,
                $context: Context,
                $path: $in_path,
                (): (),
                $body: $in_body,
            ) -> Result<Served<$out>, ApiError> {
                let $api = self;
                Ok(Served::Json($answer))
            }
        }
    )+ };
}

/// A list that is always whole: its length is bounded.
fn whole<T>(items: Vec<T>) -> Page<T> {
    Page { items, next: None }
}

serve! {
    ShowAccount(api, context, (), () => (), ()) -> account::Account {
        api.identity().account(context.caller()?)?
    }

    Confirm(api, context, (), body => (), account::Confirmation) -> () {
        api.identity().confirm(client(&context), context.caller()?, body).await?
    }

    BeginConfirm(api, context, (), () => (), ()) -> auth::PasskeyChallenge {
        api.identity().begin_confirm(&client(&context), context.caller()?)?
    }

    CloseAccount(api, context, (), body => (), account::Confirmation) -> () {
        api.identity().close_account(client(&context), context.caller()?, body).await?
    }

    ChangePassword(api, context, (), body => (), account::ChangePassword) -> () {
        let (old, new) = (Zeroizing::new(body.password), Zeroizing::new(body.new_password));
        let client = client(&context);
        api.identity().change_password(client, context.caller()?, old, new).await?
    }

    ChangeAddress(api, context, (), body => (), account::ChangeAddress) -> () {
        let (client, password) = (client(&context), Zeroizing::new(body.password));
        let caller = context.caller()?;
        api.identity().change_address(client, caller, password, &body.email).await?
    }

    ListSessions(api, context, (), () => (), ()) -> Page<account::Session> {
        whole(api.identity().sessions(context.caller()?)?)
    }

    EndSession(api, context, path, () => account::SessionPath, ()) -> () {
        api.identity().end_session(context.caller()?, path.session).await?
    }

    EndOtherSessions(api, context, (), () => (), ()) -> () {
        api.identity().end_other_sessions(context.caller()?).await?
    }

    BeginTotp(api, context, (), body => (), account::Proof) -> account::NewTotp {
        let (client, password) = (client(&context), Zeroizing::new(body.password));
        api.identity().begin_totp(client, context.caller()?, password).await?
    }

    ConfirmTotp(api, context, (), body => (), account::ConfirmTotp) -> account::RecoveryCodes {
        api.identity().confirm_totp(context.caller()?, &body.setup, &body.code).await?
    }

    RemoveTotp(api, context, (), body => (), account::FullProof) -> () {
        let (client, password) = (client(&context), Zeroizing::new(body.password));
        api.identity().remove_totp(client, context.caller()?, password, &body.code).await?
    }

    RenewRecoveryCodes(api, context, (), body => (), account::FullProof)
        -> account::RecoveryCodes
    {
        let (client, password) = (client(&context), Zeroizing::new(body.password));
        let caller = context.caller()?;
        api.identity().renew_recovery_codes(client, caller, password, &body.code).await?
    }

    ChooseLetters(api, context, (), body => (), account::Letters) -> account::Letters {
        api.identity().choose_letters(context.caller()?, body).await?
    }

    ListPasskeys(api, context, (), () => (), ()) -> Page<account::Passkey> {
        whole(api.identity().passkeys(context.caller()?)?)
    }

    BeginPasskey(api, context, (), body => (), account::Proof) -> auth::PasskeyChallenge {
        let (client, password) = (client(&context), Zeroizing::new(body.password));
        api.identity().begin_passkey(client, context.caller()?, password).await?
    }

    AddPasskey(api, context, (), body => (), account::AddPasskey) -> account::Passkey {
        let account::AddPasskey { challenge, name, credential } = body;
        api.identity().add_passkey(context.caller()?, &challenge, name, credential).await?
    }

    RenamePasskey(api, context, path, body => account::KeyPath, account::Rename)
        -> account::Passkey
    {
        api.identity().rename_passkey(context.caller()?, path.key, body.name).await?
    }

    RemovePasskey(api, context, path, () => account::KeyPath, ()) -> () {
        api.identity().remove_passkey(context.caller()?, path.key).await?
    }

    ListApiKeys(api, context, (), () => (), ()) -> Page<account::ApiKey> {
        whole(api.identity().api_keys(context.caller()?)?)
    }

    CreateApiKey(api, context, (), body => (), account::CreateApiKey) -> account::NewApiKey {
        api.identity().create_api_key(context.caller()?, body).await?
    }

    DeleteApiKey(api, context, path, () => account::ApiKeyPath, ()) -> () {
        api.identity().delete_api_key(context.caller()?, path.key).await?
    }

    ListLinks(api, context, (), () => (), ()) -> Page<account::LinkedAccount> {
        whole(api.identity().links(context.caller()?)?)
    }

    BeginLink(api, context, (), body => (), auth::BeginVisit) -> auth::Begun {
        let caller = Some(context.caller()?);
        api.identity().begin_visit(&client(&context), &body.provider, caller).await?
    }

    FinishLink(api, context, (), body => (), auth::FinishVisit) -> account::LinkedAccount {
        let auth::FinishVisit { state, code, binding } = body;
        api.identity().finish_link(context.caller()?, &state, &binding, &code).await?
    }

    RemoveLink(api, context, path, () => account::ProviderPath, ()) -> () {
        api.identity().remove_link(context.caller()?, &path.provider).await?
    }

    BeginPasskeySignIn(api, context, (), body => (), auth::BeginPasskeySignIn)
        -> auth::PasskeyChallenge
    {
        api.identity().begin_passkey_sign_in(&client(&context), &body.email)?
    }

    ListProviders(api, _context, (), () => (), ()) -> Page<auth::Provider> {
        whole(api.identity().providers())
    }

    BeginVisit(api, context, (), body => (), auth::BeginVisit) -> auth::Begun {
        api.identity().begin_visit(&client(&context), &body.provider, None).await?
    }

    ListSshKeys(api, context, (), () => (), ()) -> Page<account::SshKey> {
        whole(api.identity().ssh_keys(context.caller()?)?)
    }

    AddSshKey(api, context, (), body => (), account::AddSshKey) -> account::SshKey {
        api.identity().add_ssh_key(context.caller()?, body).await?
    }

    RemoveSshKey(api, context, path, () => account::KeyPath, ()) -> () {
        api.identity().remove_ssh_key(context.caller()?, path.key).await?
    }
}
