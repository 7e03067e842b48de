//! How fast a path is found among all endpoints of the contract, as the hub looks it up, and how fast a
//! client makes one.

use criterion::{Criterion, criterion_group};
use mamba_core::ids::ServerId;
use mamba_wire::api::{self, params::ServerPath, table};
use std::{collections::BTreeSet, hint::black_box};

#[expect(
    clippy::expect_used,
    reason = "paths of the contract do not clash: the hub's tests build them"
)]
fn routes(c: &mut Criterion) {
    let paths: BTreeSet<&str> = table::ENDPOINTS.iter().map(|row| row.path).collect();
    let mut router = matchit::Router::new();
    for path in paths {
        router.insert(path, path).expect("a path");
    }
    let server = ServerId::from_bytes([1; 16]);
    let path = ServerPath { server };
    let target = api::target::<table::Power>(&path, &());
    let mut group = c.benchmark_group("contract");
    group.bench_function("find the endpoint of a path with an id", |b| {
        b.iter(|| router.at(black_box(&target)).map(|found| *found.value).ok());
    });
    group.bench_function("find out that there is none", |b| {
        b.iter(|| router.at(black_box("/api/v1/servers/x/nothing/here")).is_err());
    });
    group.bench_function("make a path with an id", |b| {
        b.iter(|| api::target::<table::Power>(black_box(&path), &()));
    });
    group.finish();
}

criterion_group!(benches, routes);
