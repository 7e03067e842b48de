//! Servers, what is asked of them and what became of it.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::{Deleting, NewServer, ServerChange},
};
use mamba_core::{
    access::Role, blueprint::Blueprint, error::Invalid, ids::ServerId, scope::TenantScope,
    server::AutoStart,
};
use mamba_wire::api::{
    Code, Page, PageQuery,
    activity::ActivityItem,
    params::ServerPath,
    server::{self, CreateServer, DeleteQuery, Server, SuspendQuery, UpdateLimits, UpdateServer},
    table,
    usage::{Usage, UsageQuery},
};
use std::collections::BTreeMap;

impl Api {
    /// Returns the caller's scope for the server of a request.
    fn scope(&self, context: &Context, server: ServerId) -> Result<TenantScope, ApiError> {
        self.server_scope(context.caller()?, server)
    }

    /// Refuses variables that only administrators may change.
    fn check_editable(
        &self,
        context: &Context,
        server: ServerId,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        if context.caller()?.role == Role::Admin {
            return Ok(());
        }
        let server = self.hub().server(&self.scope(context, server)?, server)?;
        let blueprint = Blueprint::built_in().into_iter().find(|it| it.key == server.blueprint);
        let fixed = blueprint.into_iter().flat_map(|it| it.variables);
        let touched = fixed.filter(|it| !it.user_editable).find(|it| {
            variables.get(&it.env).is_some_and(|to| server.variables.get(&it.env) != Some(to))
        });
        touched.map_or(Ok(()), |it| {
            let rule = "may only be changed by an administrator";
            Err(Invalid::new(format!("variables.{}", it.env), rule).into())
        })
    }

    async fn change(
        &self,
        context: &Context,
        server: ServerId,
        change: ServerChange,
    ) -> Result<Served<Server>, ApiError> {
        let scope = self.scope(context, server)?;
        Ok(Served::Json(self.hub().change_server(&scope, server, change).await?))
    }
}

impl Handle<table::CreateServer> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: CreateServer,
    ) -> Result<Served<Server>, ApiError> {
        let admin = context.admin()?;
        if self.identity().tenant(body.tenant)?.is_none() {
            return Err(Invalid::new("tenant", "is not a tenant of this hub").into());
        }
        let new = NewServer {
            name: body.name,
            node: body.node,
            blueprint: body.blueprint,
            image: body.image,
            variables: body.variables,
            limits: body.limits,
            allocations: body.allocations,
            auto_start: body.auto_start.unwrap_or(AutoStart::LastState),
            restart: body.restart.unwrap_or_default(),
        };
        Ok(Served::Json(self.hub().create_server(&admin.tenant(body.tenant), new).await?))
    }
}

impl Handle<table::ListServers> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Server>>, ApiError> {
        let caller = context.caller()?;
        Ok(Served::Json(match caller.role {
            Role::Admin => self.hub().all_servers(&context.admin()?, &query)?,
            Role::Owner(tenant) => {
                self.hub().servers(&TenantScope::granted(tenant, caller.user), &query)?
            }
        }))
    }
}

impl Handle<table::ShowServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let scope = self.scope(&context, path.server)?;
        Ok(Served::Json(self.hub().server(&scope, path.server)?))
    }
}

impl Handle<table::UpdateServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: UpdateServer,
    ) -> Result<Served<Server>, ApiError> {
        if let Some(variables) = &body.variables {
            self.check_editable(&context, path.server, variables)?;
        }
        let UpdateServer { name, variables, auto_start, restart } = body;
        let change =
            ServerChange { name, variables, auto_start, restart, ..ServerChange::default() };
        self.change(&context, path.server, change).await
    }
}

impl Handle<table::UpdateLimits> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: UpdateLimits,
    ) -> Result<Served<Server>, ApiError> {
        let change = ServerChange { limits: Some(body.limits), ..ServerChange::default() };
        self.change(&context, path.server, change).await
    }
}

impl Handle<table::DeleteServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: DeleteQuery,
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let scope = self.scope(&context, path.server)?;
        let force = query.force.unwrap_or_default();
        // Only who sees all servers of the node can know what force would end.
        if force && context.caller()?.role.confined_to().is_some() {
            return Err(ApiError::new(Code::Forbidden, "only an administrator may use force"));
        }
        let usual = Deleting::default();
        let deleting = Deleting {
            after_ms: query.after_ms.unwrap_or(usual.after_ms),
            retain_ms: query.retain_ms.unwrap_or(usual.retain_ms),
            force,
        };
        Ok(Served::Json(self.hub().delete_server(&scope, path.server, deleting).await?))
    }
}

impl Handle<table::SuspendServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: SuspendQuery,
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let force = query.force.unwrap_or_default();
        let change = ServerChange { suspended: Some(true), force, ..ServerChange::default() };
        self.change(&context, path.server, change).await
    }
}

impl Handle<table::UnsuspendServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let change = ServerChange { suspended: Some(false), ..ServerChange::default() };
        self.change(&context, path.server, change).await
    }
}

impl Handle<table::Power> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: server::Power,
    ) -> Result<Served<server::Intent>, ApiError> {
        let scope = self.scope(&context, path.server)?;
        let power = self.hub().power(&scope, path.server, body.action, body.expires_in_ms);
        Ok(Served::Json(power.await?))
    }
}

impl Handle<table::ListIntents> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<server::Intent>>, ApiError> {
        let scope = self.scope(&context, path.server)?;
        Ok(Served::Json(self.hub().intents(&scope, path.server, &query)?))
    }
}

impl Handle<table::ListActivity> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<ActivityItem>>, ApiError> {
        let scope = self.scope(&context, path.server)?;
        Ok(Served::Json(self.hub().activity(&scope, path.server, &query)?))
    }
}

impl Handle<table::ShowUsage> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: UsageQuery,
        (): (),
    ) -> Result<Served<Usage>, ApiError> {
        let scope = self.scope(&context, path.server)?;
        Ok(Served::Json(self.hub().usage(&scope, path.server, &query)?))
    }
}
