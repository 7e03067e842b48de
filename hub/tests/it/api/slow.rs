//! A request that takes too long, on the real router, with a store that does not come to it.

use super::world::{Open, open_world};
use mamba_core::db::{Txn, WriteError};
use mamba_hub::HubError;
use mamba_wire::api::{Code, params::ServerPath, server::UpdateServer, table};
use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

impl Open {
    async fn name(&self) -> String {
        let path = ServerPath { server: self.server };
        self.world.admin::<table::ShowServer>(&path, &(), &()).await.name
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_ends_and_what_it_asked_for_may_still_happen() {
    let open = open_world().await;
    // The writer is busy until it is released.
    let (release, released) = mpsc::channel::<()>();
    let (begun, is_busy) = oneshot::channel();
    let (released, begun) = (Mutex::new(released), Mutex::new(Some(begun)));
    let store = open.world.hub.store().clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let hold = move |_: &mut Txn<'_>| {
            if let Some(begun) = begun.lock().unwrap().take() {
                begun.send(()).unwrap();
            }
            // Gone with the test, at the latest.
            released.lock().unwrap().recv().ok();
            Ok::<_, HubError>(())
        };
        let held: Result<(), WriteError<HubError>> = store.write(hold).await;
        held.unwrap();
    });
    is_busy.await.unwrap();
    let path = ServerPath { server: open.server };
    let body = UpdateServer { name: Some("late".to_owned()), ..UpdateServer::default() };
    // In real time: a paused clock runs ahead of sockets.
    let began = Instant::now();
    let reply = open.world.call::<table::UpdateServer>(Some(&open.owner), &path, &(), &body).await;
    let problem = reply.unwrap_err();
    assert_eq!((problem.code, problem.status), (Code::NoAnswer, 504));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(20), "{took:?}");
    // Reads go on, and what was handed to the store is done once it comes to it.
    assert_ne!(open.name().await, "late");
    release.send(()).unwrap();
    tasks.join_next().await.unwrap().unwrap();
    let renamed = async { while open.name().await != "late" {} };
    tokio::time::timeout(Duration::from_secs(10), renamed).await.expect("it happens");
}
