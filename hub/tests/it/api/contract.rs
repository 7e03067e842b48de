//! Who may do what, and what the contract promises: generated from the table, with the examples.

use super::{
    examples::{CANARY, Entry, Sample, Seed, every},
    world::{Reply, World},
};
use mamba_wire::api::{Code, Permission, Row};
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
    assert!(compared >= 8 && asked >= 25, "{compared} of {asked}");
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
    assert!(made >= 10 && freed >= 3, "{made} {freed}");
}

/// What of an answer may not differ. The rate limit counts on, and the clock goes on.
fn told(reply: &Reply) -> Vec<(&String, &String)> {
    let differs = |name: &str| name == "date" || name.starts_with("ratelimit-");
    reply.headers.iter().filter(|(name, _)| !differs(name)).collect()
}
