//! Examples: addresses and ports.

use super::{super::world::NO_PAGE, Example, Seed, examples};
use mamba_core::server::PortProtocol;
use mamba_wire::api::{
    Code,
    allocation::{
        AddServerAllocation, AllocationQuery, CreateAllocations, UpdateAllocation,
        UpdateServerAllocation,
    },
    params::{AllocationPath, ServerAllocationPath, ServerPath},
    table,
};

/// The only port of a new server.
async fn own_port(seed: &Seed<'_>) -> ServerAllocationPath {
    let server = seed.new_server().await;
    let shown = seed.world.admin::<table::ShowServer>(&ServerPath { server }, &(), &()).await;
    ServerAllocationPath { server, allocation: shown.ports[0].allocation }
}

examples! {
    CreateAllocations, seed => {
        let body = CreateAllocations {
            node: seed.node(),
            ip: "0.0.0.0".parse().unwrap(),
            port: seed.number(),
            port_last: None,
            protocol: PortProtocol::Udp,
            alias: Some("play.example.org".to_owned()),
            note: None,
        };
        Example::new((), (), body)
    };
    ListAllocations, seed => {
        let query = AllocationQuery { node: Some(seed.node()), limit: Some(5), ..NO_PAGE.into() };
        Example::new((), query, ())
    };
    ShowAllocation, seed => {
        Example::new(AllocationPath { allocation: seed.new_allocation().await }, (), ())
    };
    UpdateAllocation, seed => {
        let body = UpdateAllocation { alias: None, note: Some("spare".to_owned()) };
        Example::new(AllocationPath { allocation: seed.new_allocation().await }, (), body)
    };
    // The node offers no ports for that; what one gets is in the tests of allocations.
    AddServerAllocation, seed => {
        let path = ServerPath { server: seed.new_server().await };
        Example::new(path, (), AddServerAllocation::default()).refused(Code::Conflict)
    };
    UpdateServerAllocation, seed => {
        let body = UpdateServerAllocation { note: Some("query".to_owned()) };
        Example::new(own_port(seed).await, (), body)
    };
    RemoveServerAllocation, seed => {
        Example::new(own_port(seed).await, (), ()).refused(Code::Conflict)
    };
    SetPrimaryAllocation, seed => Example::new(own_port(seed).await, (), ());
    DeleteAllocation, seed => {
        Example::new(AllocationPath { allocation: seed.new_allocation().await }, (), ())
    };
}
