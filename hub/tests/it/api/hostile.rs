//! Requests of an attacker, made from the table and the examples.

use super::{
    examples::{Entry, Seed, every},
    world::World,
};
use mamba_core::{
    clock::Clock as _,
    ids::{InstanceId, NodeId},
};
use mamba_hub::link::backend::LinkBackend;
use mamba_wire::{
    api::{Code, ENDPOINTS},
    link::v1::{Hello, NodeState, StateReport},
};
use serde_json::Value;

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

/// Replaces each object of a body in turn by the list of its values; names the path of each.
fn as_lists(value: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let mut nested: Vec<(String, &Value)> = Vec::new();
    match value {
        Value::Object(fields) => {
            out.push((path.to_owned(), fields.values().cloned().collect::<Vec<_>>().into()));
            nested.extend(fields.iter().map(|(name, it)| (name.clone(), it)));
        }
        Value::Array(items) => {
            nested.extend(items.iter().enumerate().map(|(at, it)| (at.to_string(), it)));
        }
        _ => {}
    }
    for (name, inner) in nested {
        let mut lists = Vec::new();
        as_lists(inner, &below(&name), &mut lists);
        for (at, list) in lists {
            let mut whole = value.clone();
            match &mut whole {
                Value::Object(fields) => drop(fields.insert(name.clone(), list)),
                Value::Array(items) => items[name.parse::<usize>().unwrap()] = list,
                _ => unreachable!(),
            }
            out.push((at, whole));
        }
    }
}

/// serde takes a struct from a list, by the order of its fields.
#[tokio::test]
async fn no_object_of_a_body_may_be_a_list() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let bearer = format!("Bearer {}", world.admin);
    let headers = [("authorization", bearer.as_str())];
    let (mut tried, mut nested) = (0, 0);
    for entry in every().into_iter().filter(|entry| entry.row.has_body) {
        let Entry { row, .. } = entry;
        let sample = entry.sample(&seed).await;
        let mut lists = vec![];
        as_lists(&serde_json::from_str(&sample.body.unwrap()).unwrap(), "", &mut lists);
        for (path, body) in lists {
            let expected = if path.is_empty() { "body" } else { &path };
            // Whatever a browser's credential holds is read by another library.
            if path.starts_with("credential") {
                continue;
            }
            let body = body.to_string();
            let reply = world.send(row.method.name(), &sample.target, &headers, Some(&body)).await;
            let problem = reply.problem();
            assert_eq!(problem.code, Code::Invalid, "{} {body}: {problem:?}", row.name);
            assert_eq!(problem.errors[0].field, expected, "{} {body}: {problem:?}", row.name);
            tried += 1;
            nested += usize::from(!path.is_empty());
        }
    }
    assert!(tried >= 78 && nested >= 15, "{tried} {nested}");
}

/// A node connects and says this wherever it may say something.
async fn says(world: &World, node: NodeId, text: &str) {
    let greeting = Hello {
        node,
        instance: InstanceId::from_bytes([1; 16]),
        minors: (0, 0),
        software: text.to_owned(),
        streams: vec![],
        desired: vec![],
        now: world.clock.wall(),
    };
    LinkBackend::hello(&world.hub, node, greeting, world.address).await.unwrap();
    let state = NodeState {
        cpus: 4,
        memory_bytes: 1 << 30,
        disk_bytes: 1 << 40,
        disk_free_bytes: 1 << 39,
        engine: Some(text.to_owned()),
        troubles: vec![text.to_owned()],
        outbox: vec![],
    };
    let report = StateReport { complete: true, servers: vec![], node: state };
    LinkBackend::state(&world.hub, node, report).await.unwrap();
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
    let mut egg = super::install::egg();
    for field in ["name", "description", "author"] {
        egg[field] = hostile.into();
    }
    for field in ["name", "description", "default_value"] {
        egg["variables"][0][field] = hostile.into();
    }
    let blueprint = super::features::import(&world, &egg).await;
    let node = world.node("n7", 7).await;
    says(&world, node, hostile).await;
    let admin = format!("Bearer {}", world.admin);
    for (target, is_told) in [
        (format!("/api/v1/blueprints/{blueprint}"), true),
        (format!("/api/v1/blueprints/{blueprint}/export"), true),
        ("/api/v1/blueprints".to_owned(), true),
        (format!("/api/v1/nodes/{node}"), true),
        ("/api/v1/nodes".to_owned(), true),
    ] {
        let reply = world.send("GET", &target, &[("authorization", &admin)], None).await;
        let kind = &reply.headers["content-type"];
        assert_eq!((reply.status, kind.as_str()), (200, "application/json"), "{target}");
        assert_eq!(reply.body.contains("<img src=x"), is_told, "{target}: {reply:?}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
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
