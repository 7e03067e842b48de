//! Tags, limits and the contract itself, over HTTP.

use super::{
    examples::Seed,
    world::{Reply, World, from},
};
use mamba_hub::api::RequestLimits;
use mamba_wire::api::{Code, ENDPOINTS, server::Server};

struct Client<'a> {
    world: &'a World,
    bearer: String,
}

impl Client<'_> {
    async fn send(
        &self,
        method: &str,
        path: &str,
        extra: &[(&str, &str)],
        body: Option<&str>,
    ) -> Reply {
        let mut headers = vec![("authorization", self.bearer.as_str())];
        headers.extend(extra);
        self.world.send(method, path, &headers, body).await
    }
}

fn client<'a>(world: &'a World, token: &str) -> Client<'a> {
    Client { world, bearer: format!("Bearer {token}") }
}

#[tokio::test]
async fn a_change_based_on_an_older_version_is_refused() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let owner = client(&world, &seed.owner);
    let path = format!("/api/v1/servers/{}", seed.server().await);
    let read = owner.send("GET", &path, &[], None).await;
    let first = read.headers["etag"].clone();
    let again = owner.send("GET", &path, &[("if-none-match", &first)], None).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.headers["etag"], first);

    let rename = async |name: &str, tag: &str| {
        let body = format!(r#"{{"name":"{name}"}}"#);
        owner.send("PATCH", &path, &[("if-match", tag)], Some(&body)).await
    };
    let changed = rename("mine", &first).await;
    assert_eq!((changed.status, from::<Server>(&changed.body).name.as_str()), (200, "mine"));
    let second = changed.headers["etag"].clone();
    assert_eq!(rename("lost", &first).await.problem().code, Code::PreconditionFailed);
    assert_eq!(rename("lost", "").await.problem().code, Code::PreconditionFailed);
    let read = owner.send("GET", &path, &[("if-none-match", &first)], None).await;
    assert_eq!((read.status, from::<Server>(&read.body).name.as_str()), (200, "mine"));
    assert_eq!(read.headers["etag"], second, "an answer to a change has the tag of what it made");
    // What lies below an object is a change of it, too.
    let admin = client(&world, &world.admin);
    let suspend = format!("{path}/suspend");
    let late = admin.send("POST", &suspend, &[("if-match", &first)], None).await;
    assert_eq!(late.problem().code, Code::PreconditionFailed);
    assert_eq!(admin.send("POST", &suspend, &[("if-match", &second)], None).await.status, 200);
    assert_eq!(rename("late", &second).await.problem().code, Code::PreconditionFailed);
    assert_eq!(rename("any", "*").await.status, 200);
    // A stranger learns as little as without the header, and a create has nothing to compare with.
    let (_, stranger) = world.tenant("stranger").await;
    let hidden =
        client(&world, &stranger).send("PATCH", &path, &[("if-match", "*")], Some("{}")).await;
    assert_eq!(hidden.problem().code, Code::NotFound);
    let body = r#"{"name":"x"}"#;
    let create = admin.send("POST", "/api/v1/join-tokens", &[("if-match", "*")], Some(body)).await;
    assert_eq!(create.problem().errors[0].field, "if-match");
}

/// Their tag was that of the tenant or server above, which no change of theirs alters.
#[tokio::test]
async fn what_lies_below_has_a_version_of_its_own_or_none() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let admin = client(&world, &world.admin);
    let tenant = format!("/api/v1/tenants/{}", seed.tenant);
    let role = r#"{"name":"first","rights":{"tenant":[],"server":[]}}"#;
    let made = admin.send("POST", &format!("{tenant}/roles"), &[], Some(role)).await;
    let made: serde_json::Value = from(&made.body);
    let id = made["role"]["custom"].as_str().unwrap_or_else(|| panic!("{made}"));
    let path = format!("{tenant}/roles/{id}");
    let tag = admin.send("GET", &path, &[], None).await.headers["etag"].clone();
    let write = async |name: &str, tag: &str| {
        let body = role.replace("first", name);
        admin.send("PATCH", &path, &[("if-match", tag)], Some(&body)).await
    };
    let changed = write("second", &tag).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(write("lost", &tag).await.problem().code, Code::PreconditionFailed);
    let stale = admin.send("DELETE", &path, &[("if-match", &tag)], None).await;
    assert_eq!(stale.problem().code, Code::PreconditionFailed);
    let of_tenant = admin.send("GET", &tenant, &[], None).await.headers["etag"].clone();
    assert_eq!(write("lost", &of_tenant).await.problem().code, Code::PreconditionFailed);
    let fresh = [("if-match", changed.headers["etag"].as_str())];
    assert_eq!(admin.send("DELETE", &path, &fresh, None).await.status, 204);

    let members = admin.send("GET", &format!("{tenant}/members"), &[], None).await;
    let members: serde_json::Value = from(&members.body);
    let path = format!("{tenant}/members/{}", members["items"][0]["user"].as_str().unwrap());
    let other = [("if-match", of_tenant.as_str())];
    let removed = admin.send("DELETE", &path, &other, None).await;
    assert_eq!(removed.problem().code, Code::PreconditionFailed);

    let guest = r#"{"email":"guest@example.org","role":"viewer"}"#;
    let path = format!("{tenant}/invitations");
    let made: serde_json::Value = from(&admin.send("POST", &path, &[], Some(guest)).await.body);
    let id = made["invitation"]["invitation"].as_str().unwrap();
    let revoked = admin.send("DELETE", &format!("{path}/{id}"), &other, None).await;
    assert_eq!(revoked.problem().errors[0].field, "if-match");

    let allocation = seed.new_allocation().await;
    let path = format!("/api/v1/allocations/{allocation}");
    let tag = admin.send("GET", &path, &[], None).await.headers["etag"].clone();
    for (note, status) in [("mine", 200), ("lost", 412)] {
        let body = format!(r#"{{"note":"{note}"}}"#);
        let reply = admin.send("PATCH", &path, &[("if-match", &tag)], Some(&body)).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
}

#[tokio::test]
async fn of_many_changes_based_on_one_version_one_is_made() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let owner = client(&world, &seed.owner);
    let path = format!("/api/v1/servers/{}", seed.server().await);
    let tag = owner.send("GET", &path, &[], None).await.headers["etag"].clone();
    let headers = [("if-match", tag.as_str())];
    let names: Vec<String> = (0..16).map(|name| format!(r#"{{"name":"n{name}"}}"#)).collect();
    let all = names.iter().map(|body| owner.send("PATCH", &path, &headers, Some(body)));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(all).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![412; 15]].concat());
}

#[tokio::test]
async fn who_asks_too_much_waits_and_nobody_else_does() {
    let limits = RequestLimits { per_address: 30, per_account: 10 };
    let world = World::limited(limits).await;
    let from_elsewhere = [("x-forwarded-for", "192.0.2.7")];
    let admin = client(&world, &world.admin);
    let mut last = None;
    for left in (0..10).rev() {
        let reply = admin.send("GET", "/api/v1/me", &from_elsewhere, None).await;
        assert_eq!((reply.status, reply.headers["ratelimit-limit"].as_str()), (200, "10"));
        assert_eq!(reply.headers["ratelimit-remaining"], left.to_string());
        last = Some(reply);
    }
    assert_eq!(last.unwrap().headers["ratelimit-reset"], "60");
    let reply = admin.send("GET", "/api/v1/me", &from_elsewhere, None).await;
    assert_eq!(reply.problem().code, Code::Throttled);
    assert_eq!(
        (reply.headers["retry-after"].as_str(), reply.headers["ratelimit-remaining"].as_str()),
        ("6", "0")
    );
    // Without an account only the address counts, and each by itself.
    for _ in 0..30 - 11 {
        assert_eq!(world.send("GET", "/healthz", &from_elsewhere, None).await.status, 200);
    }
    let reply = world.send("GET", "/healthz", &from_elsewhere, None).await;
    assert_eq!(reply.problem().code, Code::Throttled);
    let other = [("x-forwarded-for", "192.0.2.8")];
    assert_eq!(world.send("GET", "/healthz", &other, None).await.status, 200);
    world.clock.advance(6_000);
    assert_eq!(admin.send("GET", "/api/v1/me", &other, None).await.status, 200);
}

#[tokio::test]
async fn the_contract_and_its_page_are_served() {
    let world = World::new().await;
    let reply = world.send("GET", "/api/openapi.json", &[], None).await;
    let contract: serde_json::Value = from(&reply.body);
    for row in ENDPOINTS {
        let method = row.method.name().to_lowercase();
        assert_eq!(contract["paths"][row.path][&method]["operationId"], row.name);
    }
    for (path, kind) in [
        ("/api-docs", "text/html; charset=utf-8"),
        ("/api-docs/page.js", "text/javascript; charset=utf-8"),
        ("/api-docs/page.css", "text/css; charset=utf-8"),
    ] {
        let reply = world.send("GET", path, &[], None).await;
        assert_eq!((reply.status, reply.headers["content-type"].as_str()), (200, kind));
        let policy = &reply.headers["content-security-policy"];
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    }
}
