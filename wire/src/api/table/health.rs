//! Pure: how the hub is.

use super::prelude::*;
use crate::api::{health, openapi};

endpoints! {
    /// How the hub is.
    HEALTH "health" for_each_health_endpoint;

    /// Says how the hub is.
    ShowHealth: Get "/api/v1/health", Permission::Public, 200,
        ((), (), ()) -> health::Health;
    /// Says whether the hub is ready for requests: its store can write and nodes can connect.
    ShowReadyz: Get "/readyz", Permission::Public, 200,
        ((), (), ()) -> health::Healthz;
    /// Says whether the hub can serve.
    ShowHealthz: Get "/healthz", Permission::Public, 200,
        ((), (), ()) -> health::Healthz;
    /// Shows this contract as an OpenAPI document.
    ShowContract: Get "/api/openapi.json", Permission::Public, 200,
        ((), (), ()) -> openapi::Document;
}
