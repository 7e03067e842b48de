//! Who may do what: generated from the contract table.

use super::world::{ALL_SERVERS, PASSWORD, World, ids, path_of_nothing};
use mamba_core::access::{Rights, ServerKey};
use mamba_hub::identity::{ACCESS_TTL_MS, REFRESH_TTL_MS};
use mamba_wire::api::{Code, ENDPOINTS, Permission, Row, auth, params::ServerPath, table};

/// A body that is not even read before it is known who asks.
fn body(row: &Row) -> Option<&'static str> {
    row.has_body.then_some("{\"unread\":true}")
}

#[tokio::test]
async fn every_endpoint_refuses_who_is_not_signed_in() {
    let world = World::new().await;
    let (_, ended) = world.tenant("ended").await;
    world.call::<table::Logout>(Some(&ended), &(), &(), &()).await.unwrap();
    let expired = world.admin.clone();
    world.clock.advance(ACCESS_TTL_MS);
    let mut seen = 0;
    for row in ENDPOINTS.iter().filter(|row| row.needs_token()) {
        let path = path_of_nothing(row.path);
        for value in [
            None,
            Some(String::new()),
            Some("Bearer".to_owned()),
            Some("Bearer garbage".to_owned()),
            Some(format!("Basic {expired}")),
            Some(format!("Bearer {expired}")),
            Some(format!("Bearer {ended}")),
        ] {
            let headers: Vec<_> =
                value.as_deref().map(|value| ("authorization", value)).into_iter().collect();
            let reply = world.send(row.method.name(), &path, &headers, body(row)).await;
            assert_eq!(reply.status, 401, "{} {value:?}: {reply:?}", row.name);
            assert_eq!(reply.problem().code, Code::NotSignedIn);
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
            seen += 1;
        }
    }
    assert!(seen >= 952, "{seen}");
}

/// Pelican GHSA-43h8 and GHSA-4wxv: an action of administrators did not ask who does it.
#[tokio::test]
async fn endpoints_of_administrators_refuse_owners() {
    let world = World::new().await;
    let (_, owner) = world.tenant("acme").await;
    let bearer = format!("Bearer {owner}");
    for row in ENDPOINTS.iter().filter(|row| matches!(row.permission, Permission::Admin(_))) {
        let path = path_of_nothing(row.path);
        let headers = [("authorization", bearer.as_str())];
        let reply = world.send(row.method.name(), &path, &headers, body(row)).await;
        assert_eq!(reply.problem().code, Code::Forbidden, "{}", row.name);
    }
}

/// CVE-2026-61609: attempts from everywhere were counted together, so that one attacker locked out
/// everybody.
#[tokio::test]
async fn guessing_behind_a_proxy_locks_out_the_guesser_and_nobody_else() {
    let world = World::new().await;
    let login = async |forwarded: &str, password: &str| {
        let body = format!(r#"{{"email":"admin@example.org","password":"{password}"}}"#);
        let headers = [("x-forwarded-for", forwarded)];
        world.send("POST", "/api/v1/auth/login", &headers, Some(&body)).await.status
    };
    for attempt in 0..5 {
        // What a client writes itself stands before the proxy's entry.
        let forwarded = format!("198.51.100.{attempt}, 192.0.2.66");
        assert_eq!(login(&forwarded, "wrong").await, 401);
    }
    assert_eq!(login("192.0.2.66", PASSWORD).await, 429);
    assert_eq!(login("192.0.2.1, 192.0.2.66", PASSWORD).await, 429);
    assert_eq!(login("192.0.2.66, 192.0.2.1", PASSWORD).await, 200);
}

#[tokio::test]
async fn lists_hold_what_the_caller_may_see() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let (other, _) = world.tenant("other").await;
    let own = world.server(node, acme, 30_001).await;
    let foreign = world.server(node, other, 30_002).await;
    let seen =
        world.call::<table::ListServers>(Some(&owner), &(), &ALL_SERVERS, &()).await.unwrap();
    assert_eq!(ids(&seen, |it| it.server), [own]);
    let all = world.admin::<table::ListServers>(&(), &ALL_SERVERS, &()).await;
    assert_eq!(ids(&all, |it| it.server), [own, foreign]);
}

#[tokio::test]
async fn a_client_stays_signed_in_by_refreshing() {
    let world = World::new().await;
    let mut tokens = world.login("admin@example.org").await;
    for _ in 0..3 {
        world.clock.advance(REFRESH_TTL_MS - 1);
        let body = auth::Refresh { refresh_token: tokens.refresh_token.clone() };
        tokens = world.call::<table::Refresh>(None, &(), &(), &body).await.unwrap();
    }
    let me = world.call::<table::WhoAmI>(Some(&tokens.access_token), &(), &(), &()).await.unwrap();
    assert_eq!(me, tokens.me);
    world.clock.advance(REFRESH_TTL_MS);
    let body = auth::Refresh { refresh_token: tokens.refresh_token };
    let err = world.call::<table::Refresh>(None, &(), &(), &body).await.err().unwrap();
    assert_eq!(err.code, Code::NotSignedIn);
}

#[tokio::test]
async fn everybody_is_told_exactly_what_they_may_do_with_a_server() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let path = ServerPath { server: world.server(node, acme, 30_001).await };
    let keys = [ServerKey::WebsocketConnect, ServerKey::ControlStop];
    let friend = world.friend(&owner, path.server, keys).await;
    let (_, stranger) = world.tenant("other").await;
    let told = world.call::<table::ShowServerRights>(Some(&friend), &path, &(), &()).await;
    assert_eq!(told.unwrap(), Rights { tenant: [].into(), server: keys.into() });
    for all in [&owner, &world.admin] {
        let told = world.call::<table::ShowServerRights>(Some(all), &path, &(), &()).await;
        assert_eq!(told.unwrap(), Rights::all());
    }
    let told = world.call::<table::ShowServerRights>(Some(&stranger), &path, &(), &()).await;
    assert_eq!(told.unwrap_err().code, Code::NotFound);
}
