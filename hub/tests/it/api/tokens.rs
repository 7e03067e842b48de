//! Every kind of token at every place that it is not for.

use super::{
    account::shown,
    examples::Seed,
    world::{PASSWORD, Reply, World, api_key, path_of_nothing},
};
use mamba_core::access::{AdminRight, Role};
use mamba_hub::identity::{SecondFactorPolicy, Settings};
use mamba_wire::api::{
    Code, ENDPOINTS, Permission, account, auth,
    console::CreateTicket,
    member::CreateInvitation,
    node::CreateJoinToken,
    params::{ServerPath, TenantPath},
    table,
};
use serde_json::Value;
use std::collections::BTreeSet;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

/// Where a token goes in besides the header: the kinds that belong there, the endpoint, the field, and the
/// body or query with `@` in its place.
const DOORS: &[(&[&str], &str, &str, &str)] = &[
    (&["refresh"], "Refresh", "refresh_token", r#"{"refresh_token":"@"}"#),
    (&["challenge"], "SecondFactor", "challenge", r#"{"challenge":"@","code":"000000"}"#),
    (&["passkey"], "FinishPasskeySignIn", "challenge", r#"{"challenge":"@","credential":null}"#),
    (
        &["new passkey"],
        "AddPasskey",
        "challenge",
        r#"{"challenge":"@","name":"n","credential":null}"#,
    ),
    (&["visit"], "FinishVisit", "state", r#"{"state":"@","code":"c","binding":"b"}"#),
    (&["visit"], "FinishVisit", "binding", r#"{"state":"s","code":"c","binding":"@"}"#),
    (&["visit"], "FinishLink", "state", r#"{"state":"@","code":"c","binding":"b"}"#),
    (&["visit"], "FinishLink", "binding", r#"{"state":"s","code":"c","binding":"@"}"#),
    (&["setup"], "ConfirmTotp", "setup", r#"{"setup":"@","code":"000000"}"#),
    (
        &["confirm"],
        "Confirm",
        "passkey.challenge",
        r#"{"passkey":{"challenge":"@","credential":null}}"#,
    ),
    (
        &["confirm"],
        "CloseAccount",
        "passkey.challenge",
        r#"{"passkey":{"challenge":"@","credential":null}}"#,
    ),
    (&["mail"], "ResetPassword", "token", r#"{"token":"@","password":"a new horse battery"}"#),
    (&["address"], "ConfirmAddress", "token", r#"{"token":"@"}"#),
    (&["registration"], "ConfirmRegistration", "token", r#"{"token":"@"}"#),
    (&["invitation", "letter"], "AcceptInvitation", "token", r#"{"token":"@"}"#),
    (&["invitation", "letter"], "DeclineInvitation", "token", r#"{"token":"@"}"#),
    (&["letter"], "RegisterInvited", "token", r#"{"token":"@","password":"a new horse battery"}"#),
    (&["console"], "OpenConsole", "ticket", "@"),
    (&["feed"], "OpenFeed", "ticket", "@"),
];

/// Tokens that answers give: the field, its endpoints, and what kind it is. What goes out by mail is in no
/// answer.
const GIVEN: &[(&str, &[&str], &str)] = &[
    ("access_token", SIGN_INS, "access"),
    ("refresh_token", SIGN_INS, "refresh"),
    ("challenge", &["Login", "FinishVisit"], "challenge"),
    ("challenge", &["BeginPasskeySignIn"], "passkey"),
    ("challenge", &["BeginPasskey"], "new passkey"),
    ("challenge", &["BeginConfirm"], "confirm"),
    ("setup", &["BeginTotp"], "setup"),
    ("binding", &["BeginVisit", "BeginLink"], "visit"),
    ("token", &["CreateApiKey"], "api key"),
    ("token", &["CreateJoinToken"], "join"),
    ("token", &["CreateInvitation", "InviteSubUser"], "invitation"),
    ("ticket", &["CreateConsoleTicket"], "console"),
    ("ticket", &["CreateFeedTicket"], "feed"),
];
const SIGN_INS: &[&str] =
    &["Login", "SecondFactor", "FinishPasskeySignIn", "FinishVisit", "Refresh"];
/// Kinds that this world cannot make: no provider is known here; what is made at one is tried in
/// `credentials`.
const ELSEWHERE: &[&str] = &["visit"];
/// Fields that are called like a token and hold none: a filter, and which of two answers it is.
const NONE: &[(&str, &str)] =
    &[("ListServers", "state"), ("Login", "state"), ("FinishVisit", "state")];

/// How deep the schemas of bodies and answers are looked through.
const DEPTH: usize = 12;
/// Names of fields that hold a token, in bodies and answers: all of them end so.
const TOKENS: &[&str] = &["token", "ticket", "challenge", "state", "setup", "binding"];

/// Returns fields of one schema that hold a token, by their path.
fn tokens_in(
    document: &Value,
    schema: &Value,
    path: &str,
    depth: usize,
    found: &mut BTreeSet<String>,
) {
    if depth == 0 {
        return;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = document.pointer(target.trim_start_matches('#')).unwrap();
        tokens_in(document, target, path, depth - 1, found);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for it in schema.get(choice).and_then(Value::as_array).into_iter().flatten() {
            tokens_in(document, it, path, depth - 1, found);
        }
    }
    for (name, it) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let is_text = it["type"] == "string"
            || it["type"].as_array().is_some_and(|it| it.contains(&"string".into()));
        if is_text && TOKENS.iter().any(|end| name.ends_with(end)) {
            found.insert(path.clone());
        }
        tokens_in(document, it, &path, depth - 1, found);
    }
}

/// The list of doors, and of what gives tokens, is that of the contract: a new one is missing here.
#[test]
fn every_field_of_the_contract_that_holds_a_token_is_tried() {
    let document = Value::Object(mamba_wire::api::openapi::document("test").0);
    let (mut doors, mut given) = (BTreeSet::new(), BTreeSet::new());
    for row in ENDPOINTS {
        let operation = &document["paths"][row.path][row.method.name().to_lowercase()];
        let of = |schema: &Value| {
            let mut found = BTreeSet::new();
            tokens_in(&document, schema, "", DEPTH, &mut found);
            found.into_iter().map(|it| (row.name, it))
        };
        let schema = |it: &Value| it["content"]["application/json"]["schema"].clone();
        doors.extend(of(&schema(&operation["requestBody"])));
        given.extend(of(&schema(&operation["responses"][row.status.to_string()])));
        let query = row.query_names.iter().filter(|it| TOKENS.contains(it));
        doors.extend(query.map(|it| (row.name, (*it).to_owned())));
    }
    let named = |it: (&'static str, &str)| (it.0, it.1.to_owned());
    // A visit's own state is one.
    doors.retain(|it| it.0 == "FinishVisit" || !NONE.contains(&(it.0, &*it.1)));
    given.retain(|it| !NONE.contains(&(it.0, &*it.1)));
    let tried: BTreeSet<_> = DOORS.iter().map(|(_, name, field, _)| named((name, field))).collect();
    assert_eq!(doors, tried);
    let known =
        GIVEN.iter().flat_map(|(field, names, _)| names.iter().map(|it| named((it, field))));
    assert_eq!(given, known.collect());
}

/// Brings a token to a door, as somebody who is signed in, from an address of its own: attempts are
/// counted.
async fn knock(
    world: &World,
    bearer: &str,
    number: usize,
    (method, path): (&str, &str),
    body: &str,
) -> Reply {
    let from = format!("198.51.{}.{}", number / 250, number % 250);
    let bearer = format!("Bearer {bearer}");
    let mut headers = vec![("x-forwarded-for", from.as_str())];
    if body.starts_with('{') {
        headers.push(("authorization", &bearer));
        return world.send(method, path, &headers, Some(body)).await;
    }
    headers.extend([
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ]);
    world.send(method, &format!("{path}?ticket={body}"), &headers, None).await
}

/// Returns method and path of an endpoint.
fn door(name: &str, server: &str) -> (&'static str, String) {
    let row = ENDPOINTS.iter().find(|row| row.name == name).unwrap();
    (row.method.name(), row.path.replace("{server}", server))
}

/// Makes a token of each kind, and returns them with the seed of the app that the challenge is for. What a
/// friend begins is for the friend.
async fn one_of_each(
    world: &World,
    seed: &Seed<'_>,
    friend: &str,
) -> (Vec<(&'static str, String)>, String) {
    let (secret, _) = world.set_up(&world.admin).await;
    let tokens = world.login(&seed.email()).await;
    let path = ServerPath { server: seed.server().await };
    let ticket = CreateTicket { write: true };
    let console = world.admin::<table::CreateConsoleTicket>(&path, &(), &ticket).await.ticket;
    let feed = world.admin::<table::CreateFeedTicket>(&(), &(), &()).await.ticket;
    let join = CreateJoinToken { name: "kind".to_owned(), replaces: None };
    let join = world.admin::<table::CreateJoinToken>(&(), &(), &join).await.token;
    let tenant = TenantPath { tenant: seed.tenant };
    let guest = CreateInvitation { email: "friend@example.org".to_owned(), role: Role::Viewer };
    let invitation = world.admin::<table::CreateInvitation>(&tenant, &(), &guest).await.token;
    let reset = auth::RequestReset { email: seed.email() };
    world.call::<table::RequestReset>(None, &(), &(), &reset).await.unwrap();
    let mail = world.mailed(&seed.email()).await;
    let letter = world.mailed("friend@example.org").await;
    let challenge = world.challenge().await;
    let refresh = tokens.refresh_token.clone().unwrap();
    let key = api_key("kind");
    let key = world.admin::<table::CreateApiKey>(&(), &(), &key).await.token;
    world.add_passkey(friend, &mut SoftPasskey::new(true)).await;
    let mine = Some(friend);
    let proof = account::Proof { password: PASSWORD.to_owned() };
    let setup = world.call::<table::BeginTotp>(mine, &(), &(), &proof).await.unwrap().setup;
    let new = world.call::<table::BeginPasskey>(mine, &(), &(), &proof).await.unwrap().challenge;
    let confirm = world.call::<table::BeginConfirm>(mine, &(), &(), &()).await.unwrap().challenge;
    let begin = auth::BeginPasskeySignIn { email: seed.email() };
    let passkey = world.call::<table::BeginPasskeySignIn>(None, &(), &(), &begin).await.unwrap();
    let kinds = vec![
        ("access", tokens.access_token),
        ("refresh", refresh),
        ("console", console),
        ("feed", feed),
        ("join", join),
        ("mail", mail),
        ("invitation", invitation),
        ("letter", letter),
        ("challenge", challenge),
        ("api key", key),
        ("setup", setup),
        ("new passkey", new),
        ("confirm", confirm),
        ("passkey", passkey.challenge),
    ];
    (kinds, secret)
}

/// CVE-2026-54593 (GHSA-8r6w): a token without a purpose opened what another kind was for.
#[tokio::test]
async fn every_kind_of_token_opens_only_what_it_is_for() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let (_, friend) = world.tenant("friend").await;
    let (kinds, secret) = one_of_each(&world, &seed, &friend).await;
    let is_tried = |kind: &str| kinds.iter().any(|(its, _)| *its == kind);
    assert!(GIVEN.iter().all(|(.., kind)| is_tried(kind) || ELSEWHERE.contains(kind)));
    // What an API key opens is in the test below.
    let in_header = kinds.iter().filter(|(kind, _)| !["access", "api key"].contains(kind));
    for row in ENDPOINTS.iter().filter(|row| row.needs_token()) {
        let (target, body) = (path_of_nothing(row.path), row.has_body.then_some("{}"));
        for (kind, token) in in_header.clone() {
            let bearer = format!("Bearer {token}");
            // The clock stands: each asks from where nobody asked much.
            let from = format!("203.0.113.{}", kind.len());
            let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", &from)];
            let reply = world.send(row.method.name(), &target, &headers, body).await;
            assert_eq!(reply.status, 401, "{} with a {kind} token: {reply:?}", row.name);
        }
    }
    let (mut number, server) = (0, seed.server().await.to_string());
    for (own, name, _, body) in DOORS {
        let (method, path) = door(name, &server);
        for (kind, token) in kinds.iter().filter(|(kind, _)| !own.contains(kind)) {
            number += 1;
            let body = body.replace('@', token);
            let reply = knock(&world, &friend, number, (method, &path), &body).await;
            let code = reply.problem().code;
            let refusals = [
                Code::NotSignedIn,
                Code::WrongCredentials,
                Code::NotFound,
                Code::Invalid,
                Code::Forbidden,
            ];
            assert!(refusals.contains(&code), "{name} with a {kind} token: {reply:?}");
        }
    }
    assert!(number >= 240, "{number}");
    // They were good, and still are where they belong; only tickets are used up wherever they go in.
    let code = shown(&world, &secret);
    for kind in ["refresh", "challenge", "invitation", "mail"] {
        let (_, token) = kinds.iter().find(|(its, _)| *its == kind).unwrap();
        let (_, name, _, body) = DOORS.iter().find(|(own, ..)| own.contains(&kind)).unwrap();
        let body = body.replace('@', token).replace("000000", &code);
        let (method, path) = door(name, &server);
        number += 1;
        let reply = knock(&world, &friend, number, (method, &path), &body).await;
        assert!(reply.status < 300, "{kind}: {reply:?}");
    }
}

#[tokio::test]
async fn an_api_key_reaches_nothing_that_is_the_accounts_own() {
    let world = World::new().await;
    let body = account::CreateApiKey {
        admin: AdminRight::ALL.iter().copied().collect(),
        ..api_key("all")
    };
    let key = world.admin::<table::CreateApiKey>(&(), &(), &body).await.token;
    let bearer = format!("Bearer {key}");
    let mut refused = 0;
    for row in ENDPOINTS.iter().filter(|row| row.needs_token()) {
        let (target, body) = (path_of_nothing(row.path), row.has_body.then_some("{}"));
        let headers = [("authorization", bearer.as_str())];
        let reply = world.send(row.method.name(), &target, &headers, body).await;
        let needs_right = row.permission.wanted().is_some();
        // What it may read of who it is and what everybody may see.
        let open = [
            "WhoAmI",
            "ListTenants",
            "ListBlueprints",
            "ShowBlueprint",
            "ListRegions",
            "ListPermissions",
        ];
        let is_open = needs_right || open.contains(&row.name);
        if !is_open {
            assert_eq!(reply.problem().code, Code::Forbidden, "{}: {reply:?}", row.name);
            refused += 1;
        }
        assert!(!is_open || ![401, 403].contains(&reply.status), "{}: {reply:?}", row.name);
    }
    assert!(refused >= 33, "{refused}");
}

#[tokio::test]
async fn a_token_for_setting_up_a_second_factor_opens_nothing_else() {
    let settings = Settings { second_factor: SecondFactorPolicy::All, ..Settings::default() };
    let world = World::with(settings).await;
    let bearer = format!("Bearer {}", world.admin);
    // It would end the session.
    for row in ENDPOINTS.iter().filter(|row| row.needs_token() && row.name != "Logout") {
        let (target, body) = (path_of_nothing(row.path), row.has_body.then_some("{}"));
        let headers = [("authorization", bearer.as_str())];
        let reply = world.send(row.method.name(), &target, &headers, body).await;
        let is_refused = reply.status == 403 && reply.body.contains("set up a second factor first");
        assert_eq!(is_refused, row.permission != Permission::SettingUp, "{}: {reply:?}", row.name);
    }
}
