//! Requests of an attacker, made from the table and the examples.

use super::{
    examples::{Entry, Seed, every},
    world::World,
};
use mamba_wire::api::{Code, ENDPOINTS};

/// Names and values that must never become a path, a template or a line of a log.
const HOSTILE: &[&str] = &[
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%5c%2e%2e%5cwindows",
    "%2fetc%2fpasswd",
    "..%00.json",
    "%00",
    "%ff%fe",
    "en.json%0aset-cookie:%20a=b",
    "%24%7bjndi:ldap:%2f%2fx%7d",
    "%7b%7bconfig%7d%7d",
    "%3cimg%20src=x%20onerror=alert(1)%3e",
];

/// CVE-2025-49132 (GHSA-24wv): a public endpoint took names of files from its parameters.
#[tokio::test]
async fn hostile_names_and_values_reach_nothing() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let bearer = format!("Bearer {}", seed.owner);
    for row in ENDPOINTS {
        let headers = if row.needs_token() { vec![("authorization", &*bearer)] } else { vec![] };
        let body = row.has_body.then_some("{}");
        for hostile in HOSTILE {
            let fill = |part: &str| {
                if part.starts_with('{') { (*hostile).to_owned() } else { part.to_owned() }
            };
            let path = row.path.split('/').map(fill).collect::<Vec<_>>().join("/");
            let unknown = format!("{path}?locale={hostile}&namespace={hostile}");
            let mut targets = vec![unknown];
            targets.extend((path != row.path).then(|| path.clone()));
            targets.extend(row.query_names.iter().map(|name| format!("{path}?{name}={hostile}")));
            for target in targets {
                let reply = world.send(row.method.name(), &target, &headers, body).await;
                assert!(reply.status < 500, "{target}: {reply:?}");
                let is_text_allowed = reply.status < 300 && !target.contains("locale=");
                assert!(reply.status >= 400 || is_text_allowed, "{target}: {reply:?}");
                assert!(!reply.body.contains("root:x:0"), "{target}");
                assert!(!reply.headers.contains_key("set-cookie"), "{target}");
            }
        }
    }
}

/// CVE-2021-41273 (GHSA-wwgq): a page of another site made the browser change something.
#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let cookie = format!("token={0}; session={0}; access_token={0}", seed.owner);
    for entry in every().into_iter().filter(|entry| entry.row.is_change()) {
        let Entry { row, .. } = entry;
        let sample = entry.sample(&seed).await;
        // What a form of another page can send: cookies, and no header of its own choice.
        let form = [
            ("cookie", cookie.as_str()),
            ("origin", "https://evil.example"),
            ("content-type", "text/plain"),
        ];
        let reply =
            world.send(row.method.name(), &sample.target, &form, sample.body.as_deref()).await;
        assert!((400..500).contains(&reply.status), "{}: {reply:?}", row.name);
    }
}

/// CVE-2024-34067 (GHSA-384w): text of a user became markup on somebody's page.
#[tokio::test]
async fn hostile_text_is_only_ever_told_as_json() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let bearer = format!("Bearer {}", seed.owner);
    let headers = [("authorization", bearer.as_str())];
    let path = format!("/api/v1/servers/{}", seed.new_server().await);
    let hostile = "<img src=x onerror=alert(1)>";
    let body = serde_json::json!({ "name": hostile }).to_string();
    for (method, target, body) in [
        ("PATCH", path.as_str(), Some(body.as_str())),
        ("GET", path.as_str(), None),
        ("GET", "/api/v1/servers", None),
        ("GET", &format!("{path}/activity"), None),
        ("GET", "/api/v1/%3cimg%20src=x%20onerror=alert(1)%3e", None),
        ("POST", "/api/v1/servers", Some("{\"<img src=x onerror=alert(1)>\":1}")),
    ] {
        let reply = world.send(method, target, &headers, body).await;
        let kind = &reply.headers["content-type"];
        assert!(kind.starts_with("application/") && kind.ends_with("json"), "{target}: {kind}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert!(reply.headers["content-security-policy"].contains("default-src 'none'"));
    }
}

/// GHSA-2497, CVE-2025-69199 (GHSA-8w7m): messages, and here bodies, without a limit.
#[tokio::test]
async fn no_endpoint_reads_more_than_the_limit() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.admin);
    for row in ENDPOINTS.iter().filter(|row| row.has_body) {
        let large = format!("{{\"x\":\"{}\"}}", "y".repeat(row.body_bytes_max));
        let headers = [("authorization", bearer.as_str())];
        let target = super::world::path_of_nothing(row.path);
        let reply = world.send(row.method.name(), &target, &headers, Some(&large)).await;
        let code = reply.problem().code;
        assert!([Code::TooLarge, Code::NotFound].contains(&code), "{}: {reply:?}", row.name);
    }
}
