//! Pure: the contract table.

use super::{
    Endpoint, Method, Page, PageQuery, Permission, Row, activity::ActivityItem, allocation, auth,
    blueprint::Blueprint, console, health, node, params::*, server, tenant, usage,
};
use mamba_core::access::Right;

/// Declares the endpoints, one unit struct each, and what goes through all of them.
macro_rules! endpoints {
    ($(
        #[doc = $summary:literal]
        $name:ident: $method:ident $path:literal, $permission:expr, $status:literal $($keyed:ident)?,
        ($in_path:ty, $in_query:ty, $in_body:ty) -> $out:ty;
    )+) => {
        $(
            #[doc = $summary]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Endpoint for $name {
                const METHOD: Method = Method::$method;
                const PATH: &'static str = $path;
                const SUMMARY: &'static str = $summary.trim_ascii();
                const PERMISSION: Permission = $permission;
                const STATUS: u16 = $status;
                const KEYED: bool = endpoints!(@keyed $($keyed)?);
                type Path = $in_path;
                type Query = $in_query;
                type Body = $in_body;
                type Out = $out;
            }
        )+

        /// All endpoints.
        pub const ENDPOINTS: &[Row] = &[$(Row::of::<$name>(stringify!($name))),+];

        /// Calls the macro `$callback` with the type names of all endpoints in [`api::table`].
        ///
        /// [`api::table`]: crate::api::table
        #[macro_export]
        macro_rules! for_each_endpoint {
            ($callback:ident) => { $callback! { $($name)+ } };
        }
    };
    (@keyed keyed) => { true };
    (@keyed) => { false };
}

endpoints! {
    /// Signs in with address and password.
    Login: Post "/api/v1/auth/login", Permission::Public, 200,
        ((), (), auth::Login) -> auth::Tokens;
    /// Gives new tokens for the newest refresh token of a session.
    Refresh: Post "/api/v1/auth/refresh", Permission::Public, 200,
        ((), (), auth::Refresh) -> auth::Tokens;
    /// Ends the session.
    Logout: Post "/api/v1/auth/logout", Permission::SignedIn, 204,
        ((), (), ()) -> ();
    /// Says who is signed in.
    WhoAmI: Get "/api/v1/me", Permission::SignedIn, 200,
        ((), (), ()) -> auth::Me;

    /// Lists nodes.
    ListNodes: Get "/api/v1/nodes", Permission::Admin, 200,
        ((), PageQuery, ()) -> Page<node::Node>;
    /// Shows a node.
    ShowNode: Get "/api/v1/nodes/{node}", Permission::Admin, 200,
        (NodePath, (), ()) -> node::Node;
    /// Ends a node's right to connect, for ever.
    RevokeNode: Post "/api/v1/nodes/{node}/revoke", Permission::Admin, 200,
        (NodePath, (), ()) -> node::Node;
    /// Lets a node out of quarantine: the daemon that connects next is the node.
    ApproveReplacement: Post "/api/v1/nodes/{node}/approve-replacement", Permission::Admin, 200,
        (NodePath, (), ()) -> node::Node;
    /// Makes a token with which one machine can join, or take the place of a node.
    CreateJoinToken: Post "/api/v1/join-tokens", Permission::Admin, 201,
        ((), (), node::CreateJoinToken) -> node::NewJoinToken;
    /// Lists join tokens that were not used.
    ListJoinTokens: Get "/api/v1/join-tokens", Permission::Admin, 200,
        ((), PageQuery, ()) -> Page<node::JoinToken>;
    /// Withdraws a join token.
    DeleteJoinToken: Delete "/api/v1/join-tokens/{token}", Permission::Admin, 204,
        (TokenPath, (), ()) -> ();

    /// Lists blueprints.
    ListBlueprints: Get "/api/v1/blueprints", Permission::SignedIn, 200,
        ((), PageQuery, ()) -> Page<Blueprint>;
    /// Shows a blueprint.
    ShowBlueprint: Get "/api/v1/blueprints/{blueprint}", Permission::SignedIn, 200,
        (BlueprintPath, (), ()) -> Blueprint;

    /// Makes a tenant and its owner's account.
    CreateTenant: Post "/api/v1/tenants", Permission::Admin, 201 keyed,
        ((), (), tenant::CreateTenant) -> tenant::Tenant;
    /// Lists tenants.
    ListTenants: Get "/api/v1/tenants", Permission::Admin, 200,
        ((), PageQuery, ()) -> Page<tenant::Tenant>;
    /// Shows a tenant.
    ShowTenant: Get "/api/v1/tenants/{tenant}", Permission::Admin, 200,
        (TenantPath, (), ()) -> tenant::Tenant;

    /// Makes a server.
    CreateServer: Post "/api/v1/servers", Permission::Admin, 201 keyed,
        ((), (), server::CreateServer) -> server::Server;
    /// Lists servers.
    ListServers: Get "/api/v1/servers", Permission::Tenant(Right::ServerRead), 200,
        ((), PageQuery, ()) -> Page<server::Server>;
    /// Shows a server.
    ShowServer: Get "/api/v1/servers/{server}", Permission::Tenant(Right::ServerRead), 200,
        (ServerPath, (), ()) -> server::Server;
    /// Changes name and variables of a server.
    UpdateServer: Patch "/api/v1/servers/{server}", Permission::Tenant(Right::ServerUpdate), 200,
        (ServerPath, (), server::UpdateServer) -> server::Server;
    /// Changes the limits of a server.
    UpdateLimits: Patch "/api/v1/servers/{server}/limits", Permission::Admin, 200,
        (ServerPath, (), server::UpdateLimits) -> server::Server;
    /// Deletes a server: it stops, its data goes to the trash and is purged later.
    DeleteServer: Delete "/api/v1/servers/{server}", Permission::Tenant(Right::ServerDelete), 202,
        (ServerPath, server::DeleteQuery, ()) -> server::Server;
    /// Forbids a server to run.
    SuspendServer: Post "/api/v1/servers/{server}/suspend", Permission::Admin, 200,
        (ServerPath, server::SuspendQuery, ()) -> server::Server;
    /// Allows a suspended server to run again.
    UnsuspendServer: Post "/api/v1/servers/{server}/unsuspend", Permission::Admin, 200,
        (ServerPath, (), ()) -> server::Server;
    /// Records a power action for the node.
    Power: Post "/api/v1/servers/{server}/power", Permission::Tenant(Right::ServerPower), 202,
        (ServerPath, (), server::Power) -> server::Intent;
    /// Lists power actions, newest first.
    ListIntents: Get "/api/v1/servers/{server}/intents", Permission::Tenant(Right::ServerRead), 200,
        (ServerPath, PageQuery, ()) -> Page<server::Intent>;
    /// Makes a single-use ticket for the console.
    CreateConsoleTicket: Post "/api/v1/servers/{server}/console-ticket",
        Permission::Tenant(Right::ConsoleRead), 201,
        (ServerPath, (), console::CreateTicket) -> console::Ticket;
    /// Opens the console as a WebSocket.
    OpenConsole: Get "/api/v1/servers/{server}/console", Permission::Ticket, 101,
        (ServerPath, console::ConsoleQuery, ()) -> ();
    /// Lists what happened to a server, newest first.
    ListActivity: Get "/api/v1/servers/{server}/activity",
        Permission::Tenant(Right::ActivityRead), 200,
        (ServerPath, PageQuery, ()) -> Page<ActivityItem>;
    /// Shows what a server used, per hour.
    ShowUsage: Get "/api/v1/servers/{server}/usage", Permission::Tenant(Right::UsageRead), 200,
        (ServerPath, usage::UsageQuery, ()) -> usage::Usage;

    /// Makes an allocation for each port of a range, all or none.
    CreateAllocations: Post "/api/v1/allocations", Permission::Admin, 201 keyed,
        ((), (), allocation::CreateAllocations) -> allocation::NewAllocations;
    /// Lists allocations.
    ListAllocations: Get "/api/v1/allocations", Permission::Admin, 200,
        ((), allocation::AllocationQuery, ()) -> Page<allocation::Allocation>;
    /// Deletes a free allocation.
    DeleteAllocation: Delete "/api/v1/allocations/{allocation}", Permission::Admin, 204,
        (AllocationPath, (), ()) -> ();

    /// Says how the hub is.
    ShowHealth: Get "/api/v1/health", Permission::Public, 200,
        ((), (), ()) -> health::Health;
    /// Says whether the hub can serve.
    ShowHealthz: Get "/healthz", Permission::Public, 200,
        ((), (), ()) -> health::Healthz;
}
