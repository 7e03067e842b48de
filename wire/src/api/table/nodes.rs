//! Pure: machines that run servers, and the tokens with which they join.

use super::prelude::*;
use crate::api::node;

endpoints! {
    /// Machines that run servers, and the tokens with which they join.
    NODES "nodes" for_each_node_endpoint;

    /// Lists nodes, oldest first; with a filter a page may be short and have a next one all the same.
    ListNodes: Get "/api/v1/nodes", Permission::Admin(AdminRight::NodesRead), 200,
        ((), node::NodeQuery, ()) -> Page<node::Node>;
    /// Shows a node.
    ShowNode: Get "/api/v1/nodes/{node}", Permission::Admin(AdminRight::NodesRead), 200,
        (NodePath, (), ()) -> node::Node;
    /// Shows the key and the last session of a node, and what came from it.
    ShowNodeLink: Get "/api/v1/nodes/{node}/link", Permission::Admin(AdminRight::NodesRead), 200,
        (NodePath, (), ()) -> node::NodeLink;
    /// Lists the last changes of a node's link, newest first.
    ListLinkChanges: Get "/api/v1/nodes/{node}/link/changes", Permission::Admin(AdminRight::NodesRead), 200,
        (NodePath, PageQuery, ()) -> Page<node::LinkChange>;
    /// Says where a server would be placed, and why other nodes could not take it; nothing is made.
    ShowPlacement: Get "/api/v1/placement", Permission::Admin(AdminRight::ServersWrite), 200,
        ((), node::PlacementQuery, ()) -> node::Placement;
    /// Names the regions in which servers can be made.
    ListRegions: Get "/api/v1/regions", Permission::SignedIn, 200,
        ((), (), ()) -> node::Regions;
    /// Changes name and settings of a node.
    UpdateNode: Patch "/api/v1/nodes/{node}", Permission::Admin(AdminRight::NodesWrite), 200,
        (NodePath, (), node::UpdateNode) -> node::Node, [Conflict];
    /// Ends a node's right to connect, for ever.
    RevokeNode: Post "/api/v1/nodes/{node}/revoke", Permission::Admin(AdminRight::NodesWrite), 200,
        (NodePath, (), ()) -> node::Node, [Conflict];
    /// Deletes a node without servers, when its name is typed; with `force` also one that is lost with what it holds.
    DeleteNode: Delete "/api/v1/nodes/{node}", Permission::Admin(AdminRight::NodesWrite), 204,
        (NodePath, node::DeleteNodeQuery, ()) -> (), [Conflict];
    /// Lets a node out of quarantine: the daemon that connects next is the node.
    ApproveReplacement: Post "/api/v1/nodes/{node}/approve-replacement", Permission::Admin(AdminRight::NodesWrite), 200,
        (NodePath, (), ()) -> node::Node, [Conflict];
    /// Makes a token with which one machine can join, or take the place of a node.
    CreateJoinToken: Post "/api/v1/join-tokens", Permission::Admin(AdminRight::NodesWrite), 201 keyed,
        ((), (), node::CreateJoinToken) -> node::NewJoinToken, [Conflict, NotFound];
    /// Lists join tokens that were not used.
    ListJoinTokens: Get "/api/v1/join-tokens", Permission::Admin(AdminRight::NodesRead), 200,
        ((), PageQuery, ()) -> Page<node::JoinToken>;
    /// Withdraws a join token.
    DeleteJoinToken: Delete "/api/v1/join-tokens/{token}", Permission::Admin(AdminRight::NodesWrite), 204,
        (TokenPath, (), ()) -> ();
}
