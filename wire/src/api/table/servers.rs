//! Pure: game servers, what is asked of them and what became of it.

use super::prelude::*;
use crate::api::{activity::ActivityItem, console, runtime, server, startup, transfer, usage};
use mamba_core::access::Rights;

endpoints! {
    /// Game servers, what is asked of them and what became of it.
    SERVERS "servers" for_each_server_endpoint;

    /// Makes a server.
    CreateServer: Post "/api/v1/servers", Permission::Admin(AdminRight::ServersWrite), 201 keyed,
        ((), (), server::CreateServer) -> server::CreatedServer;
    /// Makes a server within the tenant's quota, which must limit everything.
    CreateOwnServer: Post "/api/v1/tenants/{tenant}/servers", Permission::Tenant(TenantRight::ServerCreate), 201 keyed,
        (TenantPath, (), server::CreateOwnServer) -> server::Server, [Conflict];
    /// Lists servers.
    ListServers: Get "/api/v1/servers", Permission::Server(ServerKey::WebsocketConnect), 200,
        ((), server::ServerQuery, ()) -> Page<server::Server>;
    /// Shows a server.
    ShowServer: Get "/api/v1/servers/{server}", Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, (), ()) -> server::Server;
    /// Says what the caller may do with a server, and with the tenant that owns it.
    ShowServerRights: Get "/api/v1/servers/{server}/rights", Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, (), ()) -> Rights;
    /// Shows how a server starts: its line, its image, and what can be chosen for them.
    ShowStartup: Get "/api/v1/servers/{server}/startup", Permission::Server(ServerKey::StartupRead), 200,
        (ServerPath, (), ()) -> startup::Startup;
    /// Changes name (`settings.rename`) and variables (`startup.update`) of a server.
    UpdateServer: Patch "/api/v1/servers/{server}", Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, (), server::UpdateServer) -> server::Server, [Conflict];
    /// Changes the limits of a server.
    UpdateLimits: Patch "/api/v1/servers/{server}/limits", Permission::Admin(AdminRight::ServersWrite), 200,
        (ServerPath, (), server::UpdateLimits) -> server::Server, [Conflict];
    /// Shows the folders of its node that a server sees besides its own data.
    ShowMounts: Get "/api/v1/servers/{server}/mounts", Permission::Admin(AdminRight::MountsRead), 200,
        (ServerPath, (), ()) -> server::Mounts;
    /// Sets them, below folders that the node's own settings allow; they are there from the next start.
    SetMounts: Put "/api/v1/servers/{server}/mounts", Permission::Admin(AdminRight::MountsWrite), 200,
        (ServerPath, (), server::Mounts) -> server::Mounts, [Conflict];
    /// Deletes a server: it stops, its data goes to the trash and is purged later.
    DeleteServer: Delete "/api/v1/servers/{server}", Permission::Tenant(TenantRight::ServerDelete), 202,
        (ServerPath, server::DeleteQuery, ()) -> server::Server, [Conflict];
    /// Gives a server to another tenant, in which the caller may make servers.
    GiveServer: Post "/api/v1/servers/{server}/owner", Permission::Tenant(TenantRight::ServerDelete), 200 keyed,
        (ServerPath, (), server::GiveServer) -> server::Server;
    /// Forbids a server to run.
    SuspendServer: Post "/api/v1/servers/{server}/suspend", Permission::Admin(AdminRight::ServersWrite), 200,
        (ServerPath, server::SuspendQuery, ()) -> server::Server, [Conflict];
    /// Allows a suspended server to run again.
    UnsuspendServer: Post "/api/v1/servers/{server}/unsuspend", Permission::Admin(AdminRight::ServersWrite), 200,
        (ServerPath, (), ()) -> server::Server, [Conflict];
    /// Records a power action for the node; needs `control.start`, `.stop` or `.restart`.
    Power: Post "/api/v1/servers/{server}/power", Permission::Server(ServerKey::WebsocketConnect), 202,
        (ServerPath, (), server::Power) -> server::Intent, [Conflict];
    /// Types a line into the console of a running server; done once its node has passed it on. Sent twice it is typed twice.
    SendCommand: Post "/api/v1/servers/{server}/command", Permission::Server(ServerKey::ControlConsole), 204,
        (ServerPath, (), runtime::SendCommand) -> (), [Conflict, NodeOffline, NoAnswer];
    /// Shows what a server uses just now, with how long ago its node looked.
    ShowResources: Get "/api/v1/servers/{server}/resources", Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, (), ()) -> runtime::Resources;
    /// Shows what a server used in the last ten minutes, as its node remembers it; oldest first.
    ShowRecentResources: Get "/api/v1/servers/{server}/resources/recent",
        Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, (), ()) -> runtime::RecentResources, [NodeOffline, NoAnswer];
    /// Runs the server's install script again; a server that runs is stopped for it.
    ReinstallServer: Post "/api/v1/servers/{server}/reinstall",
        Permission::Server(ServerKey::SettingsReinstall), 202,
        (ServerPath, (), server::Reinstall) -> server::Server, [Conflict];
    /// Makes a server from another blueprint, or from a newer version of its own; its files and ports stay.
    ChangeBlueprint: Put "/api/v1/servers/{server}/blueprint",
        Permission::Admin(AdminRight::ServersWrite), 200,
        (ServerPath, (), server::ChangeBlueprint) -> server::Server, [Conflict];
    /// Agrees to the licence of the server's game: its `eula.txt` says so from the next start on.
    AcceptEula: Post "/api/v1/servers/{server}/eula", Permission::Server(ServerKey::FileCreate), 200,
        (ServerPath, (), ()) -> server::Server, [Conflict];
    /// Ends the server's install script; the server has to be installed again then.
    CancelInstall: Post "/api/v1/servers/{server}/install/cancel",
        Permission::Server(ServerKey::SettingsReinstall), 202,
        (ServerPath, (), ()) -> server::Server, [Conflict];
    /// Shows the output of the newest run of the server's install script, from its node.
    ShowInstallLog: Get "/api/v1/servers/{server}/install/log",
        Permission::Server(ServerKey::ControlReadConsole), 200,
        (ServerPath, (), ()) -> server::InstallLog, [NodeOffline, NoAnswer];
    /// Moves a server with its data to another node; it is stopped for that and starts there again.
    StartTransfer: Post "/api/v1/servers/{server}/transfer", Permission::Admin(AdminRight::ServersWrite), 202 keyed,
        (ServerPath, (), transfer::StartTransfer) -> transfer::Transfer;
    /// Lists the moves of servers between nodes that are not over.
    ListTransfers: Get "/api/v1/transfers", Permission::Admin(AdminRight::ServersRead), 200,
        ((), PageQuery, ()) -> Page<transfer::Transfer>;
    /// Shows how far the newest move of a server is.
    ShowTransfer: Get "/api/v1/servers/{server}/transfer", Permission::Admin(AdminRight::ServersRead), 200,
        (ServerPath, (), ()) -> transfer::Transfer;
    /// Cancels the move of a server while it still belongs to its node, on which it goes on.
    CancelTransfer: Delete "/api/v1/servers/{server}/transfer", Permission::Admin(AdminRight::ServersWrite), 200,
        (ServerPath, (), ()) -> transfer::Transfer, [Conflict];
    /// Lists power actions, newest first.
    ListIntents: Get "/api/v1/servers/{server}/intents", Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, PageQuery, ()) -> Page<server::Intent>;
    /// Takes back a power action that the node does not have yet; needs the key that asking for it needs.
    CancelIntent: Delete "/api/v1/servers/{server}/intents/{intent}",
        Permission::Server(ServerKey::WebsocketConnect), 200,
        (IntentPath, (), ()) -> server::Intent, [Conflict];
    /// Makes a single-use ticket for the console.
    CreateConsoleTicket: Post "/api/v1/servers/{server}/console-ticket",
        Permission::Server(ServerKey::ControlReadConsole), 201,
        (ServerPath, (), console::CreateTicket) -> console::Ticket;
    /// Opens the console as a WebSocket.
    OpenConsole: Get "/api/v1/servers/{server}/console", Permission::Ticket, 101,
        (ServerPath, console::ConsoleQuery, ()) -> ();
    /// Lists what happened to a server, newest first.
    ListActivity: Get "/api/v1/servers/{server}/activity",
        Permission::Server(ServerKey::ActivityRead), 200,
        (ServerPath, PageQuery, ()) -> Page<ActivityItem>;
    /// Shows what a server used, per hour.
    ShowUsage: Get "/api/v1/servers/{server}/usage", Permission::Server(ServerKey::WebsocketConnect), 200,
        (ServerPath, usage::UsageQuery, ()) -> usage::Usage;
}
