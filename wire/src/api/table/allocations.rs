//! Pure: addresses and ports that nodes can give to servers.

use super::prelude::*;
use crate::api::allocation;

endpoints! {
    /// Addresses and ports that nodes can give to servers.
    ALLOCATIONS "allocations" for_each_allocation_endpoint;

    /// Makes an allocation for each port of a range, all or none.
    CreateAllocations: Post "/api/v1/allocations", Permission::Admin(AdminRight::AllocationsWrite), 201 keyed,
        ((), (), allocation::CreateAllocations) -> allocation::NewAllocations;
    /// Lists allocations.
    ListAllocations: Get "/api/v1/allocations", Permission::Admin(AdminRight::AllocationsRead), 200,
        ((), allocation::AllocationQuery, ()) -> Page<allocation::Allocation>;
    /// Deletes a free allocation.
    DeleteAllocation: Delete "/api/v1/allocations/{allocation}", Permission::Admin(AdminRight::AllocationsWrite), 204,
        (AllocationPath, (), ()) -> (), [Conflict];
}
