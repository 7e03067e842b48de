//! What people do with their own account.

use super::auth::client;
use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{Page, account, table};
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
