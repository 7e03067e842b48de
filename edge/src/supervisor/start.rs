//! The steps of a start, in order: network, data, container, console, process.

use super::{
    Parts,
    entry::Seen,
    operation::{Hold, StepError, blocking, runtime_step, store_step},
};
use crate::{
    console::DoneMatcher,
    data::DataError,
    runtime::{
        Attached, ContainerSpec, Runtime, RuntimeError,
        subnet::{Subnet, SubnetPool, routes},
    },
    store::Run,
};
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    error::chain,
    ids::{NodeId, ServerId, TenantId},
    lifecycle::plan::Fingerprint,
    server::ServerSpec,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Longest preparation of the data: giving a large tree to the game's user takes minutes.
const DATA_MS_MAX: u64 = 600_000;
/// Longest wait for one call of the engine. Starts take half a second on an idle machine; on one
/// that boots with a hundred servers they take a hundred times that.
pub(super) const ENGINE_MS_MAX: u64 = 60_000;
/// Longest wait for the store to give a tenant its network, which only the first start of a tenant
/// needs. A disk in order takes milliseconds.
const ASSIGN_MS_MAX: u64 = 10_000;
/// Networks tried when others on the machine have taken the addresses.
const SUBNETS_TRIED_MAX: usize = 8;

/// The network that a container needs.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) node: NodeId,
    pub(super) tenant: TenantId,
    /// The tenant's network as remembered, so that a start needs no store.
    pub(super) subnet: Option<Subnet>,
    pub(super) pool: SubnetPool,
}

/// Everything that a start needs to know.
#[derive(Clone, Debug)]
pub(super) struct StartPlan {
    pub(super) net: Net,
    pub(super) server: ServerId,
    pub(super) order: Order,
    pub(super) spec: Arc<ServerSpec>,
    pub(super) fingerprint: Fingerprint,
    pub(super) power: u64,
}

/// A process that was started.
pub(super) struct Started {
    pub(super) run: Run,
    pub(super) seen: Seen,
    pub(super) subnet: Subnet,
    pub(super) session: Session,
}

/// A console that is attached and not yet read.
pub(super) struct Session {
    pub(super) attached: Attached,
    /// Resolves when the game says that it is ready. `None` when it is, or never says so.
    pub(super) ready: Option<oneshot::Receiver<UnixMs>>,
}

/// Starts a server. Cancelled or failed, it may leave a container behind, with or without a process:
/// whoever looks finds it.
pub(super) async fn start<R: Runtime>(
    parts: Parts<R>,
    plan: StartPlan,
    hold: &Hold,
) -> Result<Box<Started>, StepError> {
    let (server, spec) = (plan.server, &plan.spec);
    let (data, files) = (parts.data.clone(), spec.config_files.clone());
    let subnet = network(&parts, &plan.net).await?;
    let address = subnet.gateway().to_string();
    let wanted = spec.mounts.clone();
    let prepare = move || {
        let data_dir = data.prepare(server, &files, Some(&address))?;
        Ok::<_, DataError>((data_dir, data.mounts(&wanted)?))
    };
    let (data_dir, mounts) = blocking("prepare data", DATA_MS_MAX, prepare).await?;
    let container = ContainerSpec {
        node: plan.net.node,
        tenant: plan.net.tenant,
        server,
        generation: plan.order.generation,
        image: spec.image.clone(),
        startup: spec.startup.clone(),
        entry: spec.entry,
        environment: spec.environment.clone(),
        limits: spec.limits,
        ports: spec.ports.clone(),
        capabilities: spec.capabilities.clone(),
        data_dir,
        mounts,
        uid: parts.data.uid(),
        stop_grace_ms: spec.stop_grace_ms,
    };
    let runtime = &*parts.runtime;
    let create = runtime_step("create container", ENGINE_MS_MAX, runtime.create(&container));
    let id = hold.whole(create).await?;
    // Before the start, so that no line is missed.
    let attached = runtime_step("attach console", ENGINE_MS_MAX, runtime.attach(&id)).await?;
    let ready = arm(&parts, server, spec);
    hold.whole(runtime_step("start container", ENGINE_MS_MAX, runtime.start(&id))).await?;
    let seen = runtime_step("inspect container", ENGINE_MS_MAX, runtime.inspect(&id)).await?;
    let run = Run {
        container: id,
        order: plan.order,
        fingerprint: plan.fingerprint,
        limits: spec.limits,
        power: plan.power,
        started_at: parts.calendar.now(),
        is_ready: spec.done.is_empty(),
    };
    Ok(Box::new(Started { run, seen: seen.into(), subnet, session: Session { attached, ready } }))
}

/// Watches the console for the game's word that it is ready.
pub(super) fn arm<R>(
    parts: &Parts<R>,
    server: ServerId,
    spec: &ServerSpec,
) -> Option<oneshot::Receiver<UnixMs>> {
    if spec.done.is_empty() {
        return None;
    }
    match DoneMatcher::new(&spec.done) {
        Ok(matcher) => Some(parts.consoles.sink(server).arm(matcher)),
        // The check of the spec compiled it; without it the server only stays `starting`.
        Err(err) => {
            tracing::error!(%server, error = %chain(&err), "done pattern does not compile");
            None
        }
    }
}

/// Makes sure of the tenant's network.
pub(super) async fn network<R: Runtime>(parts: &Parts<R>, net: &Net) -> Result<Subnet, StepError> {
    let (mut known, mut refused) = (net.subnet, None);
    for _ in 0..SUBNETS_TRIED_MAX {
        let subnet = match known.take() {
            Some(subnet) => subnet,
            None => {
                let assign = parts.store.subnet(net.tenant, net.pool, refused, foreign());
                store_step("assign network", ASSIGN_MS_MAX, assign).await?
            }
        };
        let call = parts.runtime.ensure_network(net.node, net.tenant, subnet);
        match tokio::time::timeout(Duration::from_millis(ENGINE_MS_MAX), call).await {
            Ok(Ok(())) => return Ok(subnet),
            Ok(Err(RuntimeError::SubnetTaken(_))) => refused = Some(subnet),
            Ok(Err(err)) => return Err(StepError::engine("create network", &err)),
            Err(_) => return Err(StepError::timed_out("create network", ENGINE_MS_MAX)),
        }
    }
    let error = format!("{SUBNETS_TRIED_MAX} networks in a row are taken by others");
    Err(StepError::new("create network", error))
}

/// Networks that this machine routes to already. Without the list, the engine's refusal is enough.
fn foreign() -> Vec<Subnet> {
    std::fs::read_to_string("/proc/net/route").map(|text| routes(&text)).unwrap_or_default()
}
