//! A hub, one edge and its games, at places that can fail.

use crate::{
    acts::cast::{self, Cast, NewServer, PASSWORD, Role, Scene},
    api::Api,
    edge::{Edge, EdgeSettings},
    games::Game,
    hub::{Hub, HubPlace, HubPorts},
    report::{Played, seconds},
    stage::Stage,
};
use mamba_core::ids::{NodeId, TenantId};

/// Longest time until a new game answers, on busy cores.
pub(super) const READY_MAX: std::time::Duration = seconds(90);
/// The hub makes no backup by itself: an edge forgets what is in one, and here it must forget nothing
/// that was not looked at.
pub(super) const NO_BACKUP_MINUTES: u32 = 1_440;

/// One hub with one edge, and whose the servers are.
pub(super) struct Set {
    pub(super) cast: Cast,
    pub(super) tenant: TenantId,
    pub(super) node: NodeId,
}

/// Who uses a set: all that is needed for it while the daemons come and go.
pub(super) struct Users {
    pub(super) tenant: TenantId,
    pub(super) node: NodeId,
    pub(super) admin: Api,
    pub(super) owner: Api,
    /// Command line at the edge.
    pub(super) edge: Edge,
    pub(super) roles: Vec<Role>,
}

impl Set {
    /// The edge.
    pub(super) fn edge(&mut self) -> Played<&mut Edge> {
        self.cast.edges.first_mut().ok_or_else(|| "no edge".into())
    }

    /// Those who use it.
    pub(super) fn users(&self) -> Played<Users> {
        Ok(Users {
            tenant: self.tenant,
            node: self.node,
            admin: self.cast.admin.clone(),
            owner: self.cast.owner.clone(),
            edge: self.cast.edges.first().ok_or("no edge")?.remote(),
            roles: self.cast.roles.clone(),
        })
    }
}

/// Makes a hub at a place, enrols an edge, and runs these games on it; all in directories of the name.
pub(super) async fn assemble(
    stage: &mut Stage,
    name: &'static str,
    place: HubPlace,
    edge: EdgeSettings,
    games: &[Game],
) -> Played<Set> {
    let directory = format!("{name}-hub");
    stage.fresh_dir(&directory)?;
    let ports = HubPorts { http: stage.port()?, link: stage.port()? };
    let place = HubPlace { backup_minutes: Some(NO_BACKUP_MINUTES), ..place };
    let mut hub = Hub::prepare_at(stage, &directory, ports, PASSWORD, place)?;
    hub.init().await?;
    hub.start().await?;
    let admin = hub.admin().await?;
    let ((tenant, owner), _) = cast::new_tenant(&hub, &admin).await?;
    let edge = cast::enrolled(stage, &admin, edge).await?;
    let (edge, _) = cast::connected(stage, &admin, edge).await?;
    let node = edge.node().await?;
    let scene = Scene { name, edges: 1, servers: games.len() };
    let cast = Cast { scene, hub, edges: vec![edge], roles: Vec::new(), admin, owner };
    let mut set = Set { cast, tenant, node };
    for (index, &game) in games.iter().enumerate() {
        let name = format!("{name}-{}-{index}", game.blueprint());
        let port = stage.port()?;
        let role = create(&set, game, name, port).await?;
        set.cast.roles.push(role);
    }
    Ok(set)
}

/// Makes a server and wishes it to run.
pub(super) async fn create(set: &Set, game: Game, name: String, port: u16) -> Played<Role> {
    let new = NewServer { tenant: set.tenant, node: set.node, game, name: &name, port };
    let server = cast::create_server(&set.cast.admin, &new).await?.server;
    set.cast.owner.power(server, &cast::start()).await?;
    Ok(Role { game, name, port, edge: 0, server })
}
