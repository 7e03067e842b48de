//! Examples: addresses and ports.

use super::{Example, examples};
use mamba_core::server::PortProtocol;
use mamba_wire::api::{
    allocation::{AllocationQuery, CreateAllocations},
    params::AllocationPath,
};

examples! {
    CreateAllocations, seed => {
        let body = CreateAllocations {
            node: seed.node(),
            ip: "0.0.0.0".parse().unwrap(),
            port: seed.number(),
            port_last: None,
            protocol: PortProtocol::Udp,
        };
        Example::new((), (), body)
    };
    ListAllocations, seed => {
        let query = AllocationQuery { node: Some(seed.node()), after: None, limit: Some(5) };
        Example::new((), query, ())
    };
    DeleteAllocation, seed => {
        Example::new(AllocationPath { allocation: seed.new_allocation().await }, (), ())
    };
}
