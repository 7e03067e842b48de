//! Every kind of token at every place that it is not for.

use super::{
    account::shown,
    examples::Seed,
    world::{Reply, World, path_of_nothing},
};
use mamba_core::access::{AdminRight, Rights, Role};
use mamba_hub::identity::{SecondFactorPolicy, Settings};
use mamba_wire::api::{
    Code, ENDPOINTS, Permission, account, auth,
    console::CreateTicket,
    member::CreateInvitation,
    node::CreateJoinToken,
    params::{ServerPath, TenantPath},
    table,
};

/// Where a token goes in besides the header: the kind that belongs there, the path, and the body or
/// query with `@` in its place.
const DOORS: &[(&str, &str, &str)] = &[
    ("refresh", "/api/v1/auth/refresh", r#"{"refresh_token":"@"}"#),
    ("challenge", "/api/v1/auth/second-factor", r#"{"challenge":"@","code":"000000"}"#),
    ("passkey", "/api/v1/auth/passkey/finish", r#"{"challenge":"@","credential":null}"#),
    ("visit", "/api/v1/auth/visit/finish", r#"{"state":"@","code":"c","binding":"b"}"#),
    ("setup", "/api/v1/account/totp/confirm", r#"{"setup":"@","code":"000000"}"#),
    ("confirm", "/api/v1/account/confirm", r#"{"passkey":{"challenge":"@","credential":null}}"#),
    (
        "mail",
        "/api/v1/auth/password-reset/confirm",
        r#"{"token":"@","password":"a new horse battery"}"#,
    ),
    ("address", "/api/v1/auth/confirm-address", r#"{"token":"@"}"#),
    ("invitation", "/api/v1/invitations/accept", r#"{"token":"@"}"#),
    ("invitation", "/api/v1/invitations/decline", r#"{"token":"@"}"#),
    ("console", "/api/v1/servers/SERVER/console", "@"),
    ("feed", "/api/v1/feed", "@"),
];

/// Brings a token to a door, as somebody who is signed in, from an address of its own: attempts are
/// counted.
async fn knock(world: &World, bearer: &str, number: usize, path: &str, body: &str) -> Reply {
    let from = format!("198.51.{}.{}", number / 250, number % 250);
    let bearer = format!("Bearer {bearer}");
    let mut headers = vec![("x-forwarded-for", from.as_str())];
    if body.starts_with('{') {
        headers.push(("authorization", &bearer));
        return world.send("POST", path, &headers, Some(body)).await;
    }
    headers.extend([
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ]);
    world.send("GET", &format!("{path}?ticket={body}"), &headers, None).await
}

/// CVE-2026-54593 (GHSA-8r6w): a token without a purpose opened what another kind was for.
#[tokio::test]
async fn every_kind_of_token_opens_only_what_it_is_for() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let (secret, _) = world.set_up(&world.admin).await;
    let (_, friend) = world.tenant("friend").await;
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
    let challenge = world.challenge().await;
    let refresh = tokens.refresh_token.clone().unwrap();
    let kinds = [
        ("access", &tokens.access_token),
        ("refresh", &refresh),
        ("console", &console),
        ("feed", &feed),
        ("join", &join),
        ("mail", &mail),
        ("invitation", &invitation),
        ("challenge", &challenge),
    ];
    for row in ENDPOINTS.iter().filter(|row| row.needs_token()) {
        let (target, body) = (path_of_nothing(row.path), row.has_body.then_some("{}"));
        for (kind, token) in &kinds[1..] {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str())];
            let reply = world.send(row.method.name(), &target, &headers, body).await;
            assert_eq!(reply.status, 401, "{} with a {kind} token: {reply:?}", row.name);
        }
    }
    let mut number = 0;
    for (own, path, body) in DOORS {
        let target = path.replace("SERVER", &seed.server().await.to_string());
        for (kind, token) in kinds.iter().filter(|(kind, _)| kind != own) {
            number += 1;
            let reply = knock(&world, &friend, number, &target, &body.replace('@', token)).await;
            let code = reply.problem().code;
            let refusals = [
                Code::NotSignedIn,
                Code::WrongCredentials,
                Code::NotFound,
                Code::Invalid,
                Code::Forbidden,
            ];
            assert!(refusals.contains(&code), "{path} with a {kind} token: {reply:?}");
        }
    }
    // They were good, and still are where they belong; only tickets are used up wherever they go in.
    let used = [
        ("refresh", refresh, String::new()),
        ("challenge", challenge, shown(&world, &secret)),
        ("invitation", invitation, String::new()),
        ("mail", mail, String::new()),
    ];
    for (kind, token, code) in used {
        let (_, path, body) = DOORS.iter().find(|(own, ..)| *own == kind).unwrap();
        let body = body.replace('@', &token).replace("000000", &code);
        number += 1;
        let reply = knock(&world, &friend, number, path, &body).await;
        assert!(reply.status < 300, "{kind}: {reply:?}");
    }
}

#[tokio::test]
async fn an_api_key_reaches_nothing_that_is_the_accounts_own() {
    let world = World::new().await;
    let body = account::CreateApiKey {
        name: "all".to_owned(),
        admin: AdminRight::ALL.iter().copied().collect(),
        rights: Rights::all(),
        tenant: None,
        networks: vec![],
        until: None,
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
        let open = ["WhoAmI", "ListTenants", "ListBlueprints", "ShowBlueprint"];
        let is_open = needs_right || open.contains(&row.name);
        if !is_open {
            assert_eq!(reply.problem().code, Code::Forbidden, "{}: {reply:?}", row.name);
            refused += 1;
        }
        assert!(!is_open || ![401, 403].contains(&reply.status), "{}: {reply:?}", row.name);
    }
    assert!(refused >= 25, "{refused}");
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
