//! Members, invitations, roles, sub-users, and API keys that are bound to a tenant.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    tenants::Granter,
};
use mamba_wire::api::{
    Endpoint, Page, PageQuery,
    member::*,
    params::{ServerPath, TenantPath},
    table,
};

impl Context {
    pub(super) fn granter(&self) -> Result<Granter, ApiError> {
        Ok(Granter { scope: self.scope()?.clone(), access: self.caller()?.access.clone() })
    }
}

async fn invite(
    api: &Api,
    context: &Context,
    email: &str,
    to: InvitedTo,
) -> Result<Served<NewInvitation>, ApiError> {
    api.identity().count_invitation(context.caller()?, email)?;
    let panel = &api.identity().settings().public_url;
    Ok(Served::Json(api.hub().invite(context.granter()?, panel, email, to).await?))
}

impl Handle<table::CreateInvitation> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        (): (),
        body: CreateInvitation,
    ) -> Result<Served<NewInvitation>, ApiError> {
        invite(self, &context, &body.email, InvitedTo::Member(body.role)).await
    }
}

impl Handle<table::InviteSubUser> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: InviteSubUser,
    ) -> Result<Served<NewInvitation>, ApiError> {
        let to = InvitedTo::SubUser { server: path.server, keys: body.keys };
        invite(self, &context, &body.email, to).await
    }
}

impl Handle<table::ListTenantApiKeys> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<TenantApiKey>>, ApiError> {
        Ok(Served::Json(self.identity().tenant_api_keys(context.scope()?, &query)?))
    }
}

impl Handle<table::EndTenantApiKey> for Api {
    async fn handle(
        &self,
        context: Context,
        path: TenantApiKeyPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let (caller, scope) = (context.caller()?, context.scope()?);
        self.identity().end_tenant_api_key(caller, scope, path.key).await?;
        Ok(Served::Json(()))
    }
}

/// Serves an endpoint by one call.
macro_rules! handlers {
    ($($name:ident($hub:ident, $context:ident, $path:ident: $in_path:ty, $query:ident: $in_query:ty,
        $body:ident: $in_body:ty) => $answer:expr;)+) => { $(
        impl Handle<table::$name> for Api {
            async fn handle(
                &self,
                $context: Context,
                $path: $in_path,
                $query: $in_query,
                $body: $in_body,
            ) -> Result<Served<<table::$name as Endpoint>::Out>, ApiError> {
                let $hub = self.hub();
                Ok(Served::Json($answer))
            }
        }
    )+ };
}

handlers! {
    ListMembers(hub, context, _path: TenantPath, query: PageQuery, _body: ()) =>
        hub.members(context.scope()?, &query)?;
    ShowMember(hub, context, path: MemberPath, _query: (), _body: ()) =>
        hub.member(context.scope()?, path.user)?;
    UpdateMember(hub, context, path: MemberPath, _query: (), body: UpdateMember) =>
        hub.change_member(context.granter()?, path.user, body.role).await?;
    RemoveMember(hub, context, path: MemberPath, _query: (), _body: ()) =>
        hub.remove_member(context.granter()?, path.user).await?;
    ListInvitations(hub, context, _path: TenantPath, query: PageQuery, _body: ()) =>
        hub.invitations(context.scope()?, &query)?;
    RevokeInvitation(hub, context, path: InvitationPath, _query: (), _body: ()) =>
        hub.revoke_invitation(context.granter()?, path.invitation).await?;
    AcceptInvitation(hub, context, _path: (), _query: (), body: AnswerInvitation) =>
        hub.answer_invitation(context.caller()?, &body.token, true).await?;
    DeclineInvitation(hub, context, _path: (), _query: (), body: AnswerInvitation) =>
        hub.answer_invitation(context.caller()?, &body.token, false).await?;
    ListRoles(hub, context, _path: TenantPath, _query: (), _body: ()) =>
        hub.roles(context.scope()?)?;
    ShowRole(hub, context, path: RolePath, _query: (), _body: ()) =>
        hub.role(context.scope()?, path.role)?;
    CreateRole(hub, context, _path: TenantPath, _query: (), body: WriteRole) =>
        hub.create_role(context.granter()?, body.name, body.rights).await?;
    UpdateRole(hub, context, path: RolePath, _query: (), body: WriteRole) =>
        hub.change_role(context.granter()?, path.role, body.name, body.rights).await?;
    DeleteRole(hub, context, path: RolePath, _query: (), _body: ()) =>
        hub.delete_role(context.granter()?, path.role).await?;
    ListSubUsers(hub, context, path: ServerPath, query: PageQuery, _body: ()) =>
        hub.sub_users(context.scope()?, path.server, &query)?;
    ShowSubUser(hub, context, path: SubUserPath, _query: (), _body: ()) =>
        hub.sub_user(context.scope()?, path.server, path.user)?;
    UpdateSubUser(hub, context, path: SubUserPath, _query: (), body: UpdateSubUser) =>
        hub.change_sub_user(context.granter()?, path.server, path.user, body.keys).await?;
    RemoveSubUser(hub, context, path: SubUserPath, _query: (), _body: ()) =>
        hub.remove_sub_user(context.granter()?, path.server, path.user).await?;
}
