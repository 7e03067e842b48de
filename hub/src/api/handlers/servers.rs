//! Servers, what is asked of them and what became of it.

use crate::{
    api::{Api, ApiError, Context, Handle, Served, pages::Asked, resolve::About},
    control::{Deleting, Maker, NewServer, Placing, Seen, ServerChange},
    external::ExternalId,
};
use mamba_core::{
    access::{AdminRight, Rights, ServerKey, Wanted},
    blueprint::{Blueprint, Pick, Variable},
    error::Invalid,
    ids::ServerId,
    server::{AutoStart, Limits, PIDS_DEFAULT},
    units::Mib,
};
use mamba_wire::api::{
    Code, Page, PageQuery,
    activity::ActivityItem,
    params::{ServerPath, TenantPath},
    server::{
        CreateOwnServer, CreateServer, CreatedServer, DeleteQuery, Server, ServerQuery,
        SuspendQuery, UpdateLimits, UpdateServer,
    },
    startup::Startup,
    table,
    usage::{Usage, UsageQuery},
};
use std::collections::BTreeMap;

impl Api {
    /// Checks a further key for the server of a request.
    pub(super) fn require(
        &self,
        context: &Context,
        server: ServerId,
        key: ServerKey,
    ) -> Result<(), ApiError> {
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
        let current = |it: &Variable, value: &str| {
            server.variables.get(&it.env).is_some_and(|current| current == value)
        };
        Ok(blueprint.check_users_choice(variables, current)?)
    }

    /// Leaves out of a server what the caller may not see: without `allocation.read` every port but the
    /// one at which players join, and its note; variables without `startup.read`, and those that the
    /// blueprint's author hides from users.
    pub(super) fn shown_to(
        &self,
        context: &Context,
        mut server: Server,
    ) -> Result<Server, ApiError> {
        if context.caller()?.access.has(AdminRight::ServersRead) {
            return Ok(server);
        }
        if self.require(context, server.server, ServerKey::AllocationRead).is_err() {
            server.ports.truncate(1);
            server.ports.iter_mut().for_each(|port| port.note = None);
        }
        if server.variables.is_empty() {
            return Ok(server);
        }
        if self.require(context, server.server, ServerKey::StartupRead).is_err() {
            server.variables.clear();
            return Ok(server);
        }
        let open = self.hub().viewable_variables(&server)?;
        server.variables.retain(|name, _| open.contains(name));
        Ok(server)
    }

    /// Returns what a caller picks of a blueprint's list; administrators may pick what they like.
    fn pick(
        &self,
        context: &Context,
        server: ServerId,
        text: String,
        listed: impl Fn(&Blueprint, &str) -> bool,
    ) -> Result<Pick, ApiError> {
        if !context.caller()?.access.has(AdminRight::ServersWrite) {
            return Ok(Pick::Listed(text));
        }
        let blueprint = self.hub().blueprint_of_server(context.scope()?, server)?;
        Ok(if listed(&blueprint, &text) { Pick::Listed(text) } else { Pick::Own(text) })
    }

    /// Refuses to change an image that an administrator set although the blueprint does not list it.
    fn check_image_is_listed(&self, context: &Context, server: ServerId) -> Result<(), ApiError> {
        if !self.hub().startup(context.scope()?, server)?.image_is_own {
            return Ok(());
        }
        let why = "the image was set by an administrator, who alone may change it";
        Err(ApiError::new(Code::Conflict, why))
    }

    async fn change(
        &self,
        context: &Context,
        server: ServerId,
        change: ServerChange,
    ) -> Result<Served<Server>, ApiError> {
        let scope = context.scope()?;
        let server = self.hub().change_server(scope, server, change).await?;
        Ok(Served::Json(self.shown_to(context, server)?))
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
            external_id: body.external_id.as_deref().map(str::parse).transpose()?,
            allocation_limit: body.allocation_limit,
            backup_limit: body.backup_limit,
            skip_scripts: body.skip_scripts,
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
        let limits = Limits {
            memory_mib: body.memory_mib,
            swap_mib: Mib(0),
            cpu_millicores: body.cpu_millicores,
            disk_mib: body.disk_mib,
            pids: PIDS_DEFAULT,
            sharing: mamba_core::server::Sharing::USUAL,
        };
        let new = NewServer {
            image: body.image,
            variables: body.variables,
            placing: Placing { region: body.region, ..Placing::default() },
            description: body.description,
            backup_limit: body.backup_limit,
            maker: Maker::Member,
            ..NewServer::new(body.name, body.blueprint, limits)
        };
        let server = self.hub().create_server(context.scope()?, new).await?;
        Ok(Served::Json(self.shown_to(&context, server)?))
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
        let asked = Asked { access: context.caller()?.access.clone(), query };
        let (live, now) = (self.hub().live(), self.hub().now());
        let json = self.pages.page(live, now, asked, |Asked { access, query }| {
            let seen = if access.has(AdminRight::ServersRead) {
                Seen::All
            } else {
                self.hub().seen_by(access)?
            };
            let mut page = self.hub().list_servers(&seen, query)?;
            let shown = page.items.into_iter().map(|server| self.shown_to(&context, server));
            page.items = shown.collect::<Result<_, _>>()?;
            Ok(page)
        });
        Ok(Served::Ready(json?))
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
        let server = self.hub().server(context.scope()?, path.server)?;
        Ok(Served::Json(self.shown_to(&context, server)?))
    }
}

impl Handle<table::ShowServerRights> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Rights>, ApiError> {
        let scope = context.scope()?;
        let over = self.hub().rights_in(scope, &context.caller()?.access)?;
        Ok(Served::Json(Rights { server: scope.keys().iter().collect(), ..over }))
    }
}

impl Handle<table::ShowStartup> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Startup>, ApiError> {
        Ok(Served::Json(self.hub().startup(context.scope()?, path.server)?))
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
        if is_startup || body.variables.is_some() || body.startup.is_some() {
            self.require(&context, path.server, ServerKey::StartupUpdate)?;
        }
        if let Some(variables) = &body.variables {
            self.check_editable(&context, path.server, variables)?;
        }
        if body.image.is_some() {
            self.require(&context, path.server, ServerKey::StartupDockerImage)?;
        }
        let is_admin = context.caller()?.access.has(AdminRight::ServersWrite);
        if body.image.is_some() && !is_admin {
            self.check_image_is_listed(&context, path.server)?;
        }
        if (body.external_id.is_some() || body.skip_scripts.is_some()) && !is_admin {
            let why = "only an administrator may change `external_id` and `skip_scripts`";
            return Err(ApiError::new(Code::Forbidden, why));
        }
        let UpdateServer { name, description, external_id, variables, .. } = body;
        let UpdateServer { auto_start, restart, skip_scripts, .. } = body;
        let image = body.image.map(|image| {
            self.pick(&context, path.server, image, |it, image| {
                it.images.iter().any(|choice| choice.image == image)
            })
        });
        let startup = body.startup.map(|line| {
            self.pick(&context, path.server, line, |it, line| {
                it.startup == line || it.startups.iter().any(|choice| choice.line == line)
            })
        });
        let change = ServerChange {
            name,
            description,
            external_id: external_id.as_deref().map(ExternalId::or_none).transpose()?,
            variables,
            auto_start,
            restart,
            image: image.transpose()?,
            startup: startup.transpose()?,
            skip_scripts,
            ..ServerChange::default()
        };
        self.change(&context, path.server, change).await
    }
}

impl Handle<table::AcceptEula> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let change = ServerChange { accept_eula: true, ..ServerChange::default() };
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
            backup_limit: body.backup_limit,
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
        let server = self.hub().delete_server(scope, path.server, deleting).await?;
        Ok(Served::Json(self.shown_to(&context, server)?))
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
