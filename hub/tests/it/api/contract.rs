//! Who may do what, and what the contract promises: generated from the table, with the examples.

use super::{
    examples::{CANARY, Entry, Sample, Seed, every},
    world::{Reply, World},
};
use mamba_wire::api::{Code, Permission, Row};
use serde_json::Value;
use uuid::Uuid;

/// Credentials of the one who may ask.
fn entitled(seed: &Seed<'_>, row: &Row) -> Option<String> {
    match row.permission {
        Permission::Public | Permission::Ticket => None,
        Permission::Admin(_) => Some(seed.world.admin.clone()),
        Permission::SettingUp
        | Permission::SignedIn
        | Permission::Tenant(_)
        | Permission::Server(_) => Some(seed.owner.clone()),
    }
}

/// Sends an example as whoever has this token; all its requests have the same id.
async fn send(
    world: &World,
    row: &Row,
    token: Option<&str>,
    target: &str,
    sample: &Sample,
) -> Reply {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("x-request-id", "same")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    world.send(row.method.name(), target, &headers, sample.body.as_deref()).await
}

/// The same request about things that do not exist; `None` when it names nothing by an id.
fn about_nothing(target: &str) -> Option<String> {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let nothing = "01890a5d-ac96-774b-bcce-b302099a8057";
    let replace = |part| if Uuid::try_parse(part).is_ok() { nothing } else { part };
    let other = path.split('/').map(replace).collect::<Vec<_>>().join("/");
    let is_other = other != path;
    is_other.then(|| query.map_or_else(|| other.clone(), |query| format!("{other}?{query}")))
}

#[tokio::test]
async fn every_example_gets_what_its_row_says() {
    let world = World::new().await;
    let mut seed = Seed::new(&world).await;
    for entry in every() {
        let Entry { row, .. } = entry;
        let sample = entry.sample(&seed).await;
        let token = entitled(&seed, &row);
        let reply = send(&world, &row, token.as_deref(), &sample.target, &sample).await;
        match sample.outcome {
            Ok(()) => assert_eq!(reply.status, row.status, "{}: {reply:?}", row.name),
            Err(code) => assert_eq!(reply.problem().code, code, "{}: {reply:?}", row.name),
        }
        // What an account does to itself may have ended its session.
        if row.tag == "account" {
            seed.owner = world.login(&seed.email()).await.access_token;
        }
    }
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_changes_nothing() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let (_, mut stranger) = world.tenant("stranger").await;
    let (mut compared, mut asked) = (0, 0);
    for entry in every() {
        let Entry { row, .. } = entry;
        if !row.needs_token() {
            continue;
        }
        let sample = entry.sample(&seed).await;
        let reply = send(&world, &row, Some(&stranger), &sample.target, &sample).await;
        asked += 1;
        let seen = format!("{:?} {}", reply.headers, reply.body);
        assert!(!seen.contains(CANARY), "{} leaks: {seen}", row.name);
        if matches!(row.permission, Permission::Admin(_)) {
            assert_eq!(reply.problem().code, Code::Forbidden, "{}", row.name);
        } else if let Some(nothing) = about_nothing(&sample.target).filter(|_| !sample.is_shared) {
            let other = send(&world, &row, Some(&stranger), &nothing, &sample).await;
            assert_eq!(reply.problem().code, Code::NotFound, "{}: {reply:?}", row.name);
            assert_eq!(reply.body, other.body, "{}", row.name);
            assert_eq!(told(&reply), told(&other), "{}", row.name);
            compared += 1;
        }
        if row.tag == "account" {
            stranger = world.login("stranger@example.org").await.access_token;
        }
    }
    assert!(compared >= 52 && asked >= 136, "{compared} of {asked}");
}

/// Places of ids in a request, each with the id that another request has there.
fn places(own: &Sample, theirs: &Sample) -> Vec<(Place, String)> {
    let mut found = vec![];
    let parts = |it: &Sample| -> Vec<String> {
        it.target.split(['/', '?', '&', '=']).map(str::to_owned).collect()
    };
    for (at, (mine, other)) in parts(own).iter().zip(parts(theirs)).enumerate() {
        if *mine != other && Uuid::try_parse(&other).is_ok() {
            found.push((Place::Target(at), other));
        }
    }
    let body = |it: &Sample| it.body.as_deref().map(|it| serde_json::from_str(it).unwrap());
    if let (Some(mine), Some(other)) = (body(own), body(theirs)) {
        ids_in(&mine, &other, "", &mut found);
    }
    found
}

enum Place {
    /// Which part of the target.
    Target(usize),
    /// JSON pointer into the body.
    Body(String),
}

fn ids_in(own: &Value, theirs: &Value, at: &str, found: &mut Vec<(Place, String)>) {
    match (own, theirs) {
        (Value::Object(own), Value::Object(theirs)) => {
            for (name, value) in own {
                let other = theirs.get(name).unwrap_or(&Value::Null);
                ids_in(value, other, &format!("{at}/{name}"), found);
            }
        }
        (Value::Array(own), Value::Array(theirs)) => {
            for (index, (value, other)) in own.iter().zip(theirs).enumerate() {
                ids_in(value, other, &format!("{at}/{index}"), found);
            }
        }
        (Value::String(own), Value::String(theirs))
            if own != theirs && Uuid::try_parse(theirs).is_ok() =>
        {
            found.push((Place::Body(at.to_owned()), theirs.clone()));
        }
        _ => {}
    }
}

impl Place {
    /// Puts an id there.
    fn put(&self, sample: &Sample, id: &str) -> Sample {
        let Sample { mut target, mut body, outcome, is_shared } = sample.clone();
        match self {
            Self::Target(at) => {
                let old = target.split(['/', '?', '&', '=']).nth(*at).unwrap().to_owned();
                target = target.replacen(&old, id, 1);
            }
            Self::Body(at) => {
                let mut whole: Value = serde_json::from_str(&body.unwrap()).unwrap();
                *whole.pointer_mut(at).unwrap() = id.into();
                body = Some(whole.to_string());
            }
        }
        Sample { target, body, outcome, is_shared }
    }
}

/// CVE-2025-69198 was of this kind, as GHSA-24wv's: an id was believed because the request around it was
/// allowed. Each id in path, query and body of what a tenant may ask is replaced by that of another tenant:
/// also of what stands below a server or tenant of its own.
#[tokio::test]
async fn an_id_of_another_tenant_is_like_none_wherever_it_stands() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let mut own = Seed::named(&world, "stranger", ("n2", 2)).await;
    let nodes = [seed.node(), own.node()].map(|it| it.to_string());
    let nothing = "01890a5d-ac96-774b-bcce-b302099a8057";
    let (mut in_path, mut in_body) = (0, 0);
    for entry in every() {
        let Entry { row, .. } = entry;
        if !row.needs_token() || matches!(row.permission, Permission::Admin(_)) {
            continue;
        }
        // The clock goes on, for nobody may ask so much in one minute.
        world.clock.advance(1_000);
        let theirs = entry.sample(&seed).await;
        let mine = entry.sample(&own).await;
        // Nodes belong to nobody.
        let places = places(&mine, &theirs).into_iter().filter(|(_, id)| !nodes.contains(id));
        for (place, id) in places {
            let ask = async |id: &str| {
                let sample = place.put(&mine, id);
                send(&world, &row, Some(&own.owner), &sample.target, &sample).await
            };
            let (reply, other) = (ask(&id).await, ask(nothing).await);
            let name = row.name;
            assert_eq!(reply.body.replace(&id, nothing), other.body, "{name}: {reply:?}");
            assert_eq!((reply.status, told(&reply)), (other.status, told(&other)), "{name}");
            assert!(!reply.body.contains(&seed.email()), "{name}: {reply:?}");
            match place {
                Place::Target(_) => in_path += 1,
                Place::Body(_) => in_body += 1,
            }
        }
        if row.tag == "account" {
            own.owner = world.login(&own.email()).await.access_token;
        }
    }
    assert!(in_path >= 59 && in_body >= 3, "{in_path} {in_body}");
}

/// A create whose answer was lost is sent again with the same key: it is made once, and told alike.
#[tokio::test]
async fn what_is_made_with_a_key_is_made_once() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let (mut made, mut freed) = (0, 0);
    for entry in every().into_iter().filter(|entry| entry.row.keyed) {
        let Entry { row, .. } = entry;
        let sample = entry.sample(&seed).await;
        let bearer = format!("Bearer {}", entitled(&seed, &row).unwrap());
        let headers = [
            ("authorization", bearer.as_str()),
            ("idempotency-key", row.name),
            ("x-request-id", "same"),
        ];
        let ask = async |body: Option<&str>| {
            world.send(row.method.name(), &sample.target, &headers, body).await
        };
        let first = ask(sample.body.as_deref()).await;
        let second = ask(sample.body.as_deref()).await;
        assert_eq!((first.status, &first.body), (second.status, &second.body), "{}", row.name);
        let is_replay = second.headers.contains_key("idempotent-replay");
        assert_eq!(is_replay, first.status < 300, "{}: {second:?}", row.name);
        if is_replay {
            let other = sample.body.as_deref().map(|body| format!("{body} "));
            let other = ask(other.as_deref()).await;
            assert_eq!(other.problem().code, Code::KeyReused, "{}", row.name);
            made += 1;
        } else {
            freed += 1;
        }
    }
    assert!(made >= 12 && freed >= 6, "{made} {freed}");
}

/// What of an answer may not differ. The rate limit counts on, and the clock goes on.
fn told(reply: &Reply) -> Vec<(&String, &String)> {
    let differs = |name: &str| name == "date" || name.starts_with("ratelimit-");
    reply.headers.iter().filter(|(name, _)| !differs(name)).collect()
}
