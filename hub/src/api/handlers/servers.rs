//! Servers, what is asked of them and what became of it.

use crate::{
    api::{Api, ApiError, Context, Handle, Served, resolve::About},
    control::{Deleting, Maker, NewServer, Placing, Seen, ServerChange},
};
use mamba_core::{
    access::{AdminRight, ServerKey, Wanted},
    error::Invalid,
    ids::ServerId,
    lifecycle::PowerAction,
    server::{AutoStart, Limits, PIDS_DEFAULT, RestartPolicy},
    units::Mib,
};
use mamba_wire::api::{
    Code, Page, PageQuery,
    activity::ActivityItem,
    params::{ServerPath, TenantPath},
    server::{
        self, CreateOwnServer, CreateServer, CreatedServer, DeleteQuery, Server, ServerQuery,
        SuspendQuery, UpdateLimits, UpdateServer,
    },
    table,
    usage::{Usage, UsageQuery},
};
use std::collections::{BTreeMap, BTreeSet};

impl Api {
    /// Checks a further key for the server of a request.
    fn require(&self, context: &Context, server: ServerId, key: ServerKey) -> Result<(), ApiError> {
        let wanted = Wanted::Server(key);
        self.allow(context.caller()?, wanted, About::Server(server)).map(|_| ())
    }

    /// Refuses variables that only administrators may change.
    fn check_editable(
        &self,
        context: &Context,
        server: ServerId,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        if context.caller()?.access.has(AdminRight::ServersWrite) {
            return Ok(());
        }
        let server = self.hub().server(context.scope()?, server)?;
        let blueprint = self.hub().blueprint_of_server(context.scope()?, server.server)?;
        let fixed = blueprint.variables.into_iter();
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
        let scope = context.scope()?;
        Ok(Served::Json(self.hub().change_server(scope, server, change).await?))
    }
}

impl Handle<table::CreateServer> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: CreateServer,
    ) -> Result<Served<CreatedServer>, ApiError> {
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
            placing: Placing { region: body.region, tags: body.tags },
            description: body.description,
            external_id: body.external_id,
            allocation_limit: body.allocation_limit,
            maker: Maker::Administrator,
        };
        let made = self.hub().place_server(&admin.tenant(body.tenant), new).await?;
        Ok(Served::Json(CreatedServer { server: made.0, rejected: made.1 }))
    }
}

impl Handle<table::CreateOwnServer> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        (): (),
        body: CreateOwnServer,
    ) -> Result<Served<Server>, ApiError> {
        let new = NewServer {
            name: body.name,
            node: None,
            blueprint: body.blueprint,
            image: body.image,
            variables: body.variables,
            limits: Limits {
                memory_mib: body.memory_mib,
                swap_mib: Mib(0),
                cpu_millicores: body.cpu_millicores,
                disk_mib: body.disk_mib,
                pids: PIDS_DEFAULT,
            },
            allocations: Vec::new(),
            auto_start: AutoStart::LastState,
            restart: RestartPolicy::default(),
            placing: Placing { region: body.region, tags: BTreeSet::new() },
            description: body.description,
            external_id: None,
            allocation_limit: 0,
            maker: Maker::Member,
        };
        Ok(Served::Json(self.hub().create_server(context.scope()?, new).await?))
    }
}

impl Handle<table::ListServers> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: ServerQuery,
        (): (),
    ) -> Result<Served<Page<Server>>, ApiError> {
        let access = &context.caller()?.access;
        let seen = if access.has(AdminRight::ServersRead) {
            Seen::All
        } else {
            self.hub().seen_by(access)?
        };
        Ok(Served::Json(self.hub().list_servers(&seen, &query)?))
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
        let scope = context.scope()?;
        Ok(Served::Json(self.hub().server(scope, path.server)?))
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
        if body.name.is_some() || body.description.is_some() {
            self.require(&context, path.server, ServerKey::SettingsRename)?;
        }
        let is_startup = body.auto_start.is_some() || body.restart.is_some();
        if is_startup || body.variables.is_some() {
            self.require(&context, path.server, ServerKey::StartupUpdate)?;
        }
        if let Some(variables) = &body.variables {
            self.check_editable(&context, path.server, variables)?;
        }
        if body.external_id.is_some() && !context.caller()?.access.has(AdminRight::ServersWrite) {
            let why = "only an administrator may change `external_id`";
            return Err(ApiError::new(Code::Forbidden, why));
        }
        let UpdateServer { name, description, external_id, variables, auto_start, restart } = body;
        let change = ServerChange {
            name,
            description,
            external_id,
            variables,
            auto_start,
            restart,
            ..ServerChange::default()
        };
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
        let change = ServerChange {
            limits: Some(body.limits),
            allocation_limit: body.allocation_limit,
            ..ServerChange::default()
        };
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
        let scope = context.scope()?;
        let force = query.force.unwrap_or_default();
        // Only who sees all servers of the node can know what force would end.
        if force && !context.caller()?.access.has(AdminRight::ServersWrite) {
            return Err(ApiError::new(Code::Forbidden, "only an administrator may use force"));
        }
        let usual = Deleting::default();
        let deleting = Deleting {
            after_ms: query.after_ms.unwrap_or(usual.after_ms),
            retain_ms: query.retain_ms.unwrap_or(usual.retain_ms),
            force,
        };
        Ok(Served::Json(self.hub().delete_server(scope, path.server, deleting).await?))
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
        let scope = context.scope()?;
        self.require(
            &context,
            path.server,
            match body.action {
                PowerAction::Start => ServerKey::ControlStart,
                PowerAction::Stop | PowerAction::Kill => ServerKey::ControlStop,
                PowerAction::Restart => ServerKey::ControlRestart,
            },
        )?;
        let power = self.hub().power(scope, path.server, body.action, body.expires_in_ms);
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
        let scope = context.scope()?;
        Ok(Served::Json(self.hub().intents(scope, path.server, &query)?))
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
        let scope = context.scope()?;
        Ok(Served::Json(self.hub().activity(scope, path.server, &query)?))
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
        let scope = context.scope()?;
        Ok(Served::Json(self.hub().usage(scope, path.server, &query)?))
    }
}
