//! Pure: addresses and ports that nodes can give to servers.

use super::prelude::*;
use crate::api::{allocation, server};

endpoints! {
    /// Addresses and ports that nodes can give to servers.
    ALLOCATIONS "allocations" for_each_allocation_endpoint;

    /// Makes an allocation for each port of a range, all or none.
    CreateAllocations: Post "/api/v1/allocations", Permission::Admin(AdminRight::AllocationsWrite), 201 keyed,
        ((), (), allocation::CreateAllocations) -> allocation::NewAllocations;
    /// Lists allocations.
    ListAllocations: Get "/api/v1/allocations", Permission::Admin(AdminRight::AllocationsRead), 200,
        ((), allocation::AllocationQuery, ()) -> Page<allocation::Allocation>;
    /// Shows an allocation.
    ShowAllocation: Get "/api/v1/allocations/{allocation}", Permission::Admin(AdminRight::AllocationsRead), 200,
        (AllocationPath, (), ()) -> allocation::Allocation;
    /// Changes what people are told about an allocation.
    UpdateAllocation: Patch "/api/v1/allocations/{allocation}",
        Permission::Admin(AdminRight::AllocationsWrite), 200,
        (AllocationPath, (), allocation::UpdateAllocation) -> allocation::Allocation;
    /// Gives a server one more port.
    AddServerAllocation: Post "/api/v1/servers/{server}/allocations",
        Permission::Server(ServerKey::AllocationCreate), 201 keyed,
        (ServerPath, (), allocation::AddServerAllocation) -> server::Server, [Conflict];
    /// Writes a note on a port of a server.
    UpdateServerAllocation: Patch "/api/v1/servers/{server}/allocations/{allocation}",
        Permission::Server(ServerKey::AllocationUpdate), 200,
        (ServerAllocationPath, (), allocation::UpdateServerAllocation) -> server::Server;
    /// Takes a port from a server.
    RemoveServerAllocation: Delete "/api/v1/servers/{server}/allocations/{allocation}",
        Permission::Server(ServerKey::AllocationDelete), 200,
        (ServerAllocationPath, (), ()) -> server::Server, [Conflict];
    /// Makes a port of a server its primary one.
    SetPrimaryAllocation: Post "/api/v1/servers/{server}/allocations/{allocation}/primary",
        Permission::Server(ServerKey::AllocationUpdate), 200,
        (ServerAllocationPath, (), ()) -> server::Server, [Conflict];
    /// Deletes a free allocation.
    DeleteAllocation: Delete "/api/v1/allocations/{allocation}", Permission::Admin(AdminRight::AllocationsWrite), 204,
        (AllocationPath, (), ()) -> (), [Conflict];
}
