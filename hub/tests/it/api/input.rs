//! Bad input, and what every answer carries.

use super::world::{PASSWORD, World, from};
use mamba_core::clock::{Clock as _, SystemClock};
use mamba_wire::api::{BODY_BYTES_MAX, Code, Page, health, tenant::Tenant};

/// One request of the administrator and the refusal that it must meet.
async fn check(
    world: &World,
    (method, path): (&str, &str),
    body: Option<&str>,
    code: Code,
    field: &str,
) {
    let bearer = format!("Bearer {}", world.admin);
    let reply = world.send(method, path, &[("authorization", &bearer)], body).await;
    let problem = reply.problem();
    assert_eq!(problem.code, code, "{method} {path}: {problem:?}");
    let named = problem.errors.first().map_or("", |err| err.field.as_str());
    assert_eq!(named, field, "{method} {path}: {problem:?}");
}

#[tokio::test]
async fn bad_input_is_refused_by_field_and_leaves_nothing_behind() {
    let world = World::new().await;
    let tenants = ("POST", "/api/v1/tenants");
    let unknown = r#"{"name":"a","owner":{"email":"a@b","password":"p","admin":true}}"#;
    check(&world, tenants, Some(unknown), Code::Invalid, "owner.admin").await;
    let short = r#"{"name":"a","owner":{"email":"a@b","password":"p"}}"#;
    check(&world, tenants, Some(short), Code::Invalid, "owner.password").await;
    check(&world, tenants, Some("{"), Code::Malformed, "").await;
    check(&world, tenants, Some(&"x".repeat(BODY_BYTES_MAX + 1)), Code::TooLarge, "").await;
    check(&world, tenants, None, Code::NotJson, "").await;
    check(&world, ("POST", "/api/v1/auth/logout"), Some("{}"), Code::Malformed, "").await;
    let list = |query: &'static str| ("GET", query);
    check(&world, list("/api/v1/tenants?limit=0"), None, Code::Invalid, "query.limit").await;
    check(&world, list("/api/v1/tenants?limit=201"), None, Code::Invalid, "query.limit").await;
    check(&world, list("/api/v1/tenants?limit=x"), None, Code::Invalid, "query.limit").await;
    check(&world, list("/api/v1/tenants?colour=red"), None, Code::Invalid, "query.colour").await;
    check(&world, list("/api/v1/tenants?after=zz"), None, Code::Invalid, "query.after").await;
    check(&world, list("/api/v1/servers/none"), None, Code::Invalid, "path.server").await;
    check(&world, list("/api/v1/nowhere"), None, Code::NotFound, "").await;
    check(&world, list("/api/v1/blueprints/none"), None, Code::NotFound, "").await;
    check(&world, ("PUT", "/api/v1/tenants"), None, Code::MethodNotAllowed, "").await;
    let bearer = format!("Bearer {}", world.admin);
    let reply = world.send("GET", "/api/v1/tenants", &[("authorization", &bearer)], None).await;
    assert_eq!(from::<Page<Tenant>>(&reply.body).items, []);
}

#[tokio::test]
async fn every_answer_is_marked_and_protected() {
    let world = World::new().await;
    for (method, path, status) in [
        ("GET", "/api/v1/health", 200),
        ("GET", "/api/v1/nowhere", 404),
        ("DELETE", "/healthz", 405),
    ] {
        let reply = world.send(method, path, &[("x-request-id", "my-id_1.2")], None).await;
        assert_eq!(reply.status, status, "{reply:?}");
        for (name, value) in [
            ("x-request-id", "my-id_1.2"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(reply.headers.get(name).map(String::as_str), Some(value), "{path} {name}");
        }
        assert_eq!(
            reply.headers.get("allow").map(String::as_str),
            (status == 405).then_some("GET, HEAD")
        );
    }
    let odd = world.send("GET", "/healthz", &[("x-request-id", "a b")], None).await;
    assert_eq!(odd.headers["x-request-id"].len(), 32);
    let head = world.send("HEAD", "/api/v1/health", &[], None).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_ne!(head.headers["content-length"], "0");
}

#[tokio::test]
async fn health_tells_what_works() {
    let world = World::new().await;
    world.clock.advance(1_500);
    let reply = world.send("GET", "/api/v1/health", &[], None).await;
    let health: health::Health = from(&reply.body);
    assert!(health.ok && health.store.ok && health.link.ok, "{health:?}");
    // The first sign-in took one of them.
    assert_eq!((health.uptime_ms, health.nodes_connected), (1_501, 0));
    world.hub.store().close().await;
    let reply = world.send("GET", "/api/v1/health", &[], None).await;
    let health: health::Health = from(&reply.body);
    assert_eq!((reply.status, health.ok, health.store.ok), (503, false, false));
    assert_eq!(world.send("GET", "/healthz", &[], None).await.status, 503);
    let bearer = format!("Bearer {}", world.admin);
    let reply = world.send("GET", "/api/v1/me", &[("authorization", &bearer)], None).await;
    assert_eq!(reply.problem().code, Code::Unavailable);
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_key_makes_a_create_happen_once() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.admin);
    let body = |name: &str| {
        format!(r#"{{"name":"{name}","owner":{{"email":"{name}@b","password":"{PASSWORD}"}}}}"#)
    };
    let post = async |key: &str, body: &str| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        world.send("POST", "/api/v1/tenants", &headers, Some(body)).await
    };
    let first = post("k1", &body("a")).await;
    let again = post("k1", &body("a")).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!(again.headers["idempotent-replay"], "true");
    assert_eq!(post("k1", &body("b")).await.problem().code, Code::KeyReused);
    assert_eq!(post("k2", &body("a")).await.problem().code, Code::Conflict);
    // A refusal frees its key: the corrected request may use it.
    assert_eq!(post("k2", &body("c")).await.status, 201);
    for key in ["", "with blank", &"k".repeat(129)] {
        assert_eq!(post(key, &body("d")).await.problem().errors[0].field, "idempotency-key");
    }
    world.clock.advance(mamba_wire::api::KEY_TTL_MS);
    assert_eq!(post("k9", &body("e")).await.problem().code, Code::NotSignedIn);
}

/// CVE-2019-1020002 (GHSA-fg52): the time of a refusal told which accounts exist. Whoever is asked for, a
/// password is hashed: what is left out would be some hundred times faster.
#[tokio::test]
async fn a_refusal_takes_as_long_whoever_is_asked_for() {
    let world = World::new().await;
    let (_, owner) = world.tenant("factor").await;
    world.set_up(&owner).await;
    world.tenant("plain").await;
    let clock = SystemClock::new().unwrap();
    let mut took = [0, 0, 0];
    for _ in 0..12 {
        for (index, name) in ["nobody", "plain", "factor"].into_iter().enumerate() {
            let body = format!(r#"{{"email":"{name}@example.org","password":"wrong"}}"#);
            let began = clock.boot();
            let reply = world.send("POST", "/api/v1/auth/login", &[], Some(&body)).await;
            took[index] += clock.boot().since(began);
            assert_eq!(reply.problem().code, Code::WrongCredentials, "{name}");
        }
        // Attempts are counted for a quarter of an hour.
        world.clock.advance(900_000);
    }
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*least > 0 && *most <= 3 * *least, "milliseconds: {took:?}");
}

/// CVE-2019-1020002 (GHSA-fg52): the answer told which accounts exist.
#[tokio::test]
async fn unknown_and_wrong_answer_alike() {
    let world = World::new().await;
    let (_, owner) = world.tenant("factor").await;
    world.set_up(&owner).await;
    let login = async |email: &str| {
        let body = format!(r#"{{"email":"{email}","password":"wrong"}}"#);
        let headers = [("x-request-id", "same")];
        world.send("POST", "/api/v1/auth/login", &headers, Some(&body)).await
    };
    let wrong = login("admin@example.org").await;
    assert_eq!(wrong.problem().code, Code::WrongCredentials);
    assert_eq!(wrong.body, login("nobody@example.org").await.body);
    // A second factor shows only behind the right password.
    let factor = login("factor@example.org").await;
    assert_eq!((&factor.body, factor.headers.len()), (&wrong.body, wrong.headers.len()));
    assert_eq!(factor.headers["content-length"], wrong.headers["content-length"]);
    for _ in 0..4 {
        login("nobody@example.org").await;
    }
    let throttled = login("nobody@example.org").await;
    assert_eq!(throttled.problem().code, Code::Throttled);
    assert_eq!(throttled.headers["retry-after"], "900");
}
