//! Examples: servers.

use super::{
    super::world::{ALL_SERVERS, NO_PAGE, limits, new_server},
    CANARY, Example, Seed, examples,
};
use mamba_core::{
    lifecycle::PowerAction,
    server::Mount,
    units::{Mib, Millicores},
};
use mamba_wire::api::{
    Code,
    console::{ConsoleQuery, CreateTicket},
    params::{IntentPath, ServerPath, TenantPath},
    runtime::SendCommand,
    server::{
        ChangeBlueprint, CreateOwnServer, DeleteQuery, GiveServer, Mounts, Power, Reinstall,
        ServerQuery, SuspendQuery, UpdateLimits, UpdateServer,
    },
    table,
    transfer::StartTransfer,
    usage::UsageQuery,
};
use std::collections::BTreeMap;

async fn looked_at(seed: &Seed<'_>) -> ServerPath {
    ServerPath { server: seed.server().await }
}

async fn fresh(seed: &Seed<'_>) -> ServerPath {
    ServerPath { server: seed.new_server().await }
}

examples! {
    CreateServer, seed => {
        seed.new_allocation().await;
        Example::new((), (), new_server(seed.node(), seed.tenant))
    };
    // The tenant has no quota.
    CreateOwnServer, seed => {
        let body = CreateOwnServer {
            name: CANARY.to_owned(),
            blueprint: "teeworlds".to_owned(),
            memory_mib: Mib(256),
            cpu_millicores: Millicores(500),
            disk_mib: Mib(512),
            image: None,
            variables: BTreeMap::new(),
            region: None,
            description: None,
            backup_limit: 0,
        };
        Example::new(TenantPath { tenant: seed.tenant }, (), body).refused(Code::Conflict)
    };
    ListServers, seed => {
        let query = ServerQuery { tenant: Some(seed.tenant), ..ALL_SERVERS };
        Example::new((), query, ())
    };
    ShowServer, seed => Example::new(looked_at(seed).await, (), ());
    ShowServerRights, seed => Example::new(looked_at(seed).await, (), ());
    ShowStartup, seed => Example::new(looked_at(seed).await, (), ());
    UpdateServer, seed => {
        let body = UpdateServer { name: Some(CANARY.to_owned()), ..UpdateServer::default() };
        Example::new(fresh(seed).await, (), body)
    };
    // There is no other node, and so nothing to show or cancel.
    StartTransfer, seed => {
        Example::new(fresh(seed).await, (), StartTransfer::default()).refused(Code::Conflict)
    };
    ListTransfers, _seed => Example::new((), NO_PAGE, ());
    ShowTransfer, seed => Example::new(looked_at(seed).await, (), ()).refused(Code::NotFound);
    CancelTransfer, seed => Example::new(fresh(seed).await, (), ()).refused(Code::NotFound);
    UpdateLimits, seed => {
        Example::new(fresh(seed).await, (), UpdateLimits { limits: limits(256), allocation_limit: Some(2), backup_limit: None })
    };
    ShowMounts, seed => Example::new(looked_at(seed).await, (), ());
    SetMounts, seed => {
        let mount = Mount {
            source: "/srv/maps".to_owned(),
            target: "/mnt/maps".to_owned(),
            read_only: true,
        };
        Example::new(fresh(seed).await, (), Mounts { mounts: vec![mount] })
    };
    DeleteServer, seed => {
        let query = DeleteQuery { after_ms: None, retain_ms: None, force: None };
        Example::new(fresh(seed).await, query, ())
    };
    // Its owner has no other tenant.
    GiveServer, seed => {
        let body = GiveServer { tenant: seed.tenant };
        Example::new(fresh(seed).await, (), body).refused(Code::Invalid)
    };
    SuspendServer, seed => {
        Example::new(fresh(seed).await, SuspendQuery { force: None }, ())
    };
    UnsuspendServer, seed => Example::new(fresh(seed).await, (), ());
    // Its blueprint has no install script.
    ReinstallServer, seed => {
        Example::new(fresh(seed).await, (), Reinstall::default()).refused(Code::Conflict)
    };
    ChangeBlueprint, seed => {
        let body = ChangeBlueprint {
            blueprint: "minetest".to_owned(),
            image: None,
            variables: BTreeMap::new(),
            install: None,
        };
        Example::new(fresh(seed).await, (), body)
    };
    // Its game has no licence.
    AcceptEula, seed => Example::new(fresh(seed).await, (), ()).refused(Code::Conflict);
    CancelInstall, seed => {
        Example::new(fresh(seed).await, (), ()).refused(Code::Conflict)
    };
    // Its node is not connected.
    ShowInstallLog, seed => {
        Example::new(looked_at(seed).await, (), ()).refused(Code::NodeOffline)
    };
    Power, seed => {
        let body = Power { action: PowerAction::Stop, expires_in_ms: None };
        Example::new(fresh(seed).await, (), body)
    };
    // Its node is not connected.
    SendCommand, seed => {
        let body = SendCommand { command: "say hi".to_owned() };
        Example::new(looked_at(seed).await, (), body).refused(Code::NodeOffline)
    };
    ShowResources, seed => Example::new(looked_at(seed).await, (), ());
    // Its node is not connected.
    ShowRecentResources, seed => {
        Example::new(looked_at(seed).await, (), ()).refused(Code::NodeOffline)
    };
    ListIntents, seed => Example::new(looked_at(seed).await, NO_PAGE, ());
    CancelIntent, seed => {
        let path = fresh(seed).await;
        let body = Power { action: PowerAction::Stop, expires_in_ms: None };
        let given = seed.world.admin::<table::Power>(&path, &(), &body).await;
        Example::new(IntentPath { server: path.server, intent: given.intent }, (), ())
    };
    CreateConsoleTicket, seed => {
        Example::new(looked_at(seed).await, (), CreateTicket { write: true })
    };
    // It is no WebSocket; what one gets is in the tests of the console.
    OpenConsole, seed => {
        let query = ConsoleQuery { ticket: Some("0".repeat(64)) };
        Example::new(looked_at(seed).await, query, ()).refused(Code::Malformed)
    };
    ListActivity, seed => Example::new(looked_at(seed).await, NO_PAGE, ());
    ShowUsage, seed => {
        Example::new(looked_at(seed).await, UsageQuery { from: None, to: None }, ())
    };
}
