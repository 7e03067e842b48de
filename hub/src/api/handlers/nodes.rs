//! Nodes and join tokens.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::Cut,
    nodes::{Force, NewToken, NodeDetail},
};
use mamba_core::{
    ids::TokenId,
    placement::{Needs, Size},
    units::Mib,
};
use mamba_wire::api::{
    Page, PageQuery,
    node::{
        CreateJoinToken, DeleteNodeQuery, JoinToken, LinkChange, NewJoinToken, Node, NodeLink,
        NodeQuery, NodeSession, Placement, PlacementQuery, Regions, UpdateNode,
    },
    params::{NodePath, TokenPath},
    table,
};

impl Handle<table::ListNodes> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: NodeQuery,
        (): (),
    ) -> Result<Served<Page<Node>>, ApiError> {
        Ok(Served::Json(self.hub().nodes(&context.admin()?, &query)?))
    }
}

impl Handle<table::ShowNode> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        (): (),
        (): (),
    ) -> Result<Served<Node>, ApiError> {
        Ok(Served::Json(self.hub().node_detail(&context.admin()?, path.node)?.node))
    }
}

impl Handle<table::ShowNodeLink> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        (): (),
        (): (),
    ) -> Result<Served<NodeLink>, ApiError> {
        let found = self.hub().node_detail(&context.admin()?, path.node)?;
        let NodeDetail { node: _, key, replaced_at, certificate_until, why, seen, counters } =
            found;
        let session = seen.map(|it| NodeSession {
            connected_at: it.connected_at,
            last_heard: it.last_heard,
            remote: it.remote,
            calendar_ahead_ms: it.calendar_ahead_ms,
        });
        Ok(Served::Json(NodeLink {
            key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            replaced_at,
            certificate_until,
            why,
            session,
            facts: counters.facts,
            repeated: counters.repeated,
            quarantined: counters.quarantined,
        }))
    }
}

impl Handle<table::ListLinkChanges> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<LinkChange>>, ApiError> {
        Ok(Served::Json(self.hub().link_changes(&context.admin()?, path.node, &query)?))
    }
}

impl Handle<table::ShowPlacement> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        query: PlacementQuery,
        (): (),
    ) -> Result<Served<Placement>, ApiError> {
        let PlacementQuery {
            blueprint,
            memory_mib,
            disk_mib,
            cpu_millicores,
            region,
            tags,
            threads,
        } = query;
        let bytes = |size: Option<u32>| Mib(size.unwrap_or_default()).bytes();
        let size = Size {
            memory_bytes: bytes(memory_mib),
            disk_bytes: bytes(disk_mib),
            cpu_millicores: u64::from(cpu_millicores.unwrap_or_default()),
        };
        let names = tags.as_deref().unwrap_or_default().split(',').filter(|it| !it.is_empty());
        let tags = names.map(str::to_owned).collect();
        let needs = Needs { size, region, tags, threads };
        Ok(Served::Json(self.hub().would_place(needs, blueprint.as_deref()).await?))
    }
}

impl Handle<table::ListRegions> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Regions>, ApiError> {
        Ok(Served::Json(self.hub().regions()?))
    }
}

impl Handle<table::UpdateNode> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        (): (),
        body: UpdateNode,
    ) -> Result<Served<Node>, ApiError> {
        let UpdateNode { name, settings } = body;
        let admin = context.admin()?;
        let changed = self.hub().change_node(&admin, path.node, name, settings).await?;
        Ok(Served::Json(changed.node))
    }
}

impl Handle<table::RevokeNode> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        (): (),
        (): (),
    ) -> Result<Served<Node>, ApiError> {
        Ok(Served::Json(self.hub().revoke_node(&context.admin()?, path.node).await?.node))
    }
}

impl Handle<table::DeleteNode> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        query: DeleteNodeQuery,
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let force = if query.force == Some(true) { Force::GiveUp } else { Force::Keep };
        let (admin, typed) = (context.admin()?, query.name.unwrap_or_default());
        self.hub().delete_node(&admin, path.node, typed, force).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::ApproveReplacement> for Api {
    async fn handle(
        &self,
        context: Context,
        path: NodePath,
        (): (),
        (): (),
    ) -> Result<Served<Node>, ApiError> {
        let admin = context.admin()?;
        Ok(Served::Json(self.hub().approve_replacement(&admin, path.node).await?.node))
    }
}

impl Handle<table::CreateJoinToken> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: CreateJoinToken,
    ) -> Result<Served<NewJoinToken>, ApiError> {
        let address = Some(self.parts.public_link_address.clone());
        let CreateJoinToken { name, replaces } = body;
        let new = NewToken { name, replaces, address, ttl_ms: None };
        Ok(Served::Json(self.hub().create_join_token(&context.admin()?, new).await?))
    }
}

impl Handle<table::ListJoinTokens> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<JoinToken>>, ApiError> {
        let cut = Cut::<TokenId>::new(&query)?;
        let mut open = self.hub().join_tokens(&context.admin()?)?;
        open.retain(|it| cut.after.is_none_or(|after| it.id > after));
        open.truncate(cut.fetch());
        Ok(Served::Json(cut.page(open.into_iter().map(|it| (it.id, it)).collect())))
    }
}

impl Handle<table::DeleteJoinToken> for Api {
    async fn handle(
        &self,
        context: Context,
        path: TokenPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        self.hub().delete_join_token(&context.admin()?, path.token).await?;
        Ok(Served::Json(()))
    }
}
