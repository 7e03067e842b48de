//! One working request for each endpoint: what the generated tests are made from.
//!
//! An endpoint without an entry does not compile (`every` below needs it). To add one, write a line
//! in the file of its area:
//!
//! ```text
//! ShowServer, seed => Example::new(ServerPath { server: seed.server().await }, (), ());
//! ```
//!
//! `seed` belongs to a tenant of its own, whose every name holds [`CANARY`]; its functions make what
//! the request is about, for that tenant. A request that changes or ends something makes that thing
//! anew. What else an example says is in [`Example`].

mod account;
mod audit;
mod allocations;
mod blueprints;
mod feed;
mod health;
mod hub;
mod mail;
mod members;
mod nodes;
mod public;
mod registries;
mod servers;
mod tenants;
mod users;

use super::world::{World, new_server};
use mamba_core::ids::{AllocationId, NodeId, ServerId, TenantId};
use mamba_wire::api::{Code, Endpoint, RequestBody, Row, target};
use std::{
    cell::{Cell, OnceCell},
    future::Future,
    pin::Pin,
};

/// In every name of what a seed makes: nobody else may ever read it.
pub(super) const CANARY: &str = "canary-7d1f";

/// A request that works for who may make it.
pub(super) struct Example<E: Endpoint> {
    path: E::Path,
    query: E::Query,
    body: E::Body,
    outcome: Result<(), Code>,
    is_shared: bool,
}

impl<E: Endpoint> Example<E> {
    pub(super) fn new(path: E::Path, query: E::Query, body: E::Body) -> Self {
        Self { path, query, body, outcome: Ok(()), is_shared: false }
    }

    /// Says that even who may ask is refused, because the test's world lacks something.
    pub(super) fn refused(mut self, code: Code) -> Self {
        self.outcome = Err(code);
        self
    }

    /// Says that what it names belongs to nobody: other tenants see it too.
    pub(super) fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }
}

/// Gives the example of an endpoint.
pub(super) trait Exemplary: Endpoint + Sized {
    async fn example(seed: &Seed<'_>) -> Example<Self>;
}

/// Declares examples: `Endpoint, seed => expression;`.
macro_rules! examples {
    ($($name:ident, $seed:ident => $example:expr;)+) => { $(
        impl super::Exemplary for mamba_wire::api::table::$name {
            async fn example($seed: &super::Seed<'_>) -> super::Example<Self> {
                $example
            }
        }
    )+ };
}
use examples;

/// A tenant with things, made as they are asked for.
pub(super) struct Seed<'a> {
    pub(super) world: &'a World,
    /// Name of the tenant, and of its owner's address.
    name: &'static str,
    pub(super) tenant: TenantId,
    /// Access token of the tenant's owner.
    pub(super) owner: String,
    node: NodeId,
    server: OnceCell<ServerId>,
    number: Cell<u16>,
}

impl<'a> Seed<'a> {
    /// Makes the tenant and a node.
    pub(super) async fn new(world: &'a World) -> Self {
        Self::named(world, CANARY, ("n1", 1)).await
    }

    /// Makes another tenant, and another node with a key of its own.
    pub(super) async fn named(
        world: &'a World,
        name: &'static str,
        (node, key): (&str, u8),
    ) -> Self {
        let node = world.node(node, key).await;
        let (tenant, owner) = world.tenant(name).await;
        // Names that hold a number are never those of another seed.
        let (server, number) = (OnceCell::new(), Cell::new(30_000 + u16::from(key) * 1_000));
        Self { world, name, tenant, owner, node, server, number }
    }

    /// E-mail address of the owner.
    pub(super) fn email(&self) -> String {
        format!("{}@example.org", self.name)
    }

    /// A node on which everything is.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// A number that was not given before: a free port, or part of a name.
    pub(super) fn number(&self) -> u16 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    /// A server that is only looked at.
    pub(super) async fn server(&self) -> ServerId {
        match self.server.get() {
            Some(server) => *server,
            None => {
                let server = self.new_server().await;
                *self.server.get_or_init(|| server)
            }
        }
    }

    /// A server that may be changed or deleted.
    pub(super) async fn new_server(&self) -> ServerId {
        self.new_allocation().await;
        let body = mamba_wire::api::server::CreateServer {
            name: CANARY.to_owned(),
            ..new_server(self.node, self.tenant)
        };
        let made = self.world.admin::<mamba_wire::api::table::CreateServer>(&(), &(), &body);
        made.await.server.server
    }

    /// A free allocation.
    pub(super) async fn new_allocation(&self) -> AllocationId {
        self.world.allocate(self.node, self.number()).await[0].allocation
    }
}

/// An example as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) target: String,
    pub(super) body: Option<String>,
    /// What who may ask gets.
    pub(super) outcome: Result<(), Code>,
    pub(super) is_shared: bool,
}

/// One endpoint with its example, not yet made.
pub(super) struct Entry {
    pub(super) row: Row,
    make: for<'a> fn(&'a Seed<'a>) -> Pin<Box<dyn Future<Output = Sample> + 'a>>,
}

impl Entry {
    fn of<E: Exemplary>() -> Self {
        Self { row: Row::of::<E>(), make: |seed| Box::pin(sample::<E>(seed)) }
    }

    /// Makes what the example is about, and the request.
    pub(super) async fn sample(&self, seed: &Seed<'_>) -> Sample {
        (self.make)(seed).await
    }
}

async fn sample<E: Exemplary>(seed: &Seed<'_>) -> Sample {
    let Example { path, query, body, outcome, is_shared } = E::example(seed).await;
    let body = E::Body::EXPECTED.then(|| serde_json::to_string(&body).unwrap());
    Sample { target: target::<E>(&path, &query), body, outcome, is_shared }
}

/// Every endpoint of the contract with its example.
pub(super) fn every() -> Vec<Entry> {
    let mut entries = vec![];
    macro_rules! add {
        ($($name:ident)+) => {
            $(entries.push(Entry::of::<mamba_wire::api::table::$name>());)+
        };
    }
    mamba_wire::for_each_endpoint!(add);
    entries
}
