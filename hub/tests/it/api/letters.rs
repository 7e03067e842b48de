//! Letters about access: an invitation from the letter to the first request, and the end of it; and
//! that no log holds what letters, tokens and passwords hold.

use super::world::{NO_PAGE, PASSWORD, World, api_key};
use mamba_core::access::{Role, ServerKey};
use mamba_wire::api::{
    Code, account,
    auth::{self, SignIn},
    console::CreateTicket,
    member::{
        AnswerInvitation, CreateInvitation, InviteSubUser, MemberPath, SubUserPath, UpdateMember,
    },
    params::{ServerPath, TenantPath},
    server::DeleteQuery,
    table,
    tenant::DeleteTenantQuery,
};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

const ADMIN: &str = "admin@example.org";

impl World {
    /// Returns the subject and the token of the newest letter to an address. Letters that follow are made
    /// later: those of one millisecond have no order.
    pub(super) async fn letter(&self, to: &str) -> (String, Option<String>) {
        let mails = self.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
        let newest = mails.into_iter().find(|mail| mail.to == to).unwrap();
        self.clock.advance(1);
        let text = newest.text.unwrap();
        let token = text.split_once('#').and_then(|(_, rest)| rest.split_whitespace().next());
        (newest.subject, token.map(str::to_owned))
    }
}

#[tokio::test]
async fn an_invitation_goes_out_by_mail_and_is_accepted_once_by_whom_it_names() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (_, friend) = world.tenant("friend").await;
    let (_, stranger) = world.tenant("stranger").await;
    let path = TenantPath { tenant: acme };
    let body = CreateInvitation { email: "Friend@example.org".to_owned(), role: Role::Admin };
    world.call::<table::CreateInvitation>(Some(&owner), &path, &(), &body).await.unwrap();
    let (subject, token) = world.letter("friend@example.org").await;
    assert_eq!(subject, "Invitation to acme");
    let answer = AnswerInvitation { token: token.unwrap() };
    let accept =
        async |who: &str| world.call::<table::AcceptInvitation>(Some(who), &(), &(), &answer).await;
    assert_eq!(accept(&stranger).await.err().unwrap().code, Code::NotFound);
    let show = async || world.call::<table::ShowTenant>(Some(&friend), &path, &(), &()).await;
    assert_eq!(show().await.err().unwrap().code, Code::NotFound);
    accept(&friend).await.unwrap();
    assert!(show().await.is_ok());
    assert_eq!(accept(&friend).await.err().unwrap().code, Code::NotFound);
    assert_eq!(world.letter("friend@example.org").await.0, "You have access to acme");
    // Who wants no letters about access gets those that it must act on all the same.
    let none = account::Letters { access: false, servers: false };
    world.call::<table::ChooseLetters>(Some(&stranger), &(), &(), &none).await.unwrap();
    let shown = world.call::<table::ShowAccount>(Some(&stranger), &(), &(), &()).await.unwrap();
    assert_eq!(shown.letters, none);
    let body = CreateInvitation { email: "stranger@example.org".to_owned(), role: Role::Viewer };
    world.call::<table::CreateInvitation>(Some(&owner), &path, &(), &body).await.unwrap();
    let (subject, token) = world.letter("stranger@example.org").await;
    let answer = AnswerInvitation { token: token.unwrap() };
    world.call::<table::AcceptInvitation>(Some(&stranger), &(), &(), &answer).await.unwrap();
    assert_eq!(world.letter("stranger@example.org").await.0, subject);
    // The tenant changes hands: the friend becomes an owner, and the first one leaves.
    let who = async |token: &str| {
        world.call::<table::WhoAmI>(Some(token), &(), &(), &()).await.unwrap().user
    };
    let path_of_friend = MemberPath { tenant: acme, user: who(&friend).await };
    let role = UpdateMember { role: Role::Owner };
    let make = async |by: &str| {
        world.call::<table::UpdateMember>(Some(by), &path_of_friend, &(), &role).await
    };
    assert_eq!(make(&friend).await.err().unwrap().code, Code::Forbidden);
    make(&owner).await.unwrap();
    let path_of_owner = MemberPath { tenant: acme, user: who(&owner).await };
    world.call::<table::RemoveMember>(Some(&friend), &path_of_owner, &(), &()).await.unwrap();
    assert_eq!(world.letter("acme@example.org").await.0, "You have no access to acme any more");
    let last = world.call::<table::RemoveMember>(Some(&friend), &path_of_friend, &(), &()).await;
    assert_eq!(last.err().unwrap().code, Code::Conflict);
    let gone = world.call::<table::ShowTenant>(Some(&owner), &path, &(), &()).await;
    assert_eq!(gone.err().unwrap().code, Code::NotFound);
}

#[tokio::test]
async fn a_sub_user_is_told_when_it_gains_and_loses_a_server() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let server = world.server(node, acme, 30_001).await;
    let (_, friend) = world.tenant("friend").await;
    let path = ServerPath { server };
    let body = InviteSubUser {
        email: "friend@example.org".to_owned(),
        keys: BTreeSet::from([ServerKey::ControlReadConsole]),
    };
    world.call::<table::InviteSubUser>(Some(&owner), &path, &(), &body).await.unwrap();
    let answer = AnswerInvitation { token: world.letter("friend@example.org").await.1.unwrap() };
    world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &answer).await.unwrap();
    let ticket = CreateTicket { write: false };
    let open =
        async || world.call::<table::CreateConsoleTicket>(Some(&friend), &path, &(), &ticket).await;
    open().await.unwrap();
    let me = world.call::<table::WhoAmI>(Some(&friend), &(), &(), &()).await.unwrap();
    // Letters of one millisecond have no order.
    world.clock.advance(1);
    let path_of_friend = SubUserPath { server, user: me.user };
    world.call::<table::RemoveSubUser>(Some(&owner), &path_of_friend, &(), &()).await.unwrap();
    assert_eq!(open().await.err().unwrap().code, Code::NotFound);
    let (subject, token) = world.letter("friend@example.org").await;
    assert!(subject.starts_with("You have no access to ") && token.is_none(), "{subject}");
}

#[tokio::test]
async fn who_loses_a_tenant_or_a_server_to_its_end_is_told() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let (_, friend) = world.tenant("friend").await;
    let server = world.server(node, acme, 30_001).await;
    let path = ServerPath { server };
    let keys = BTreeSet::from([ServerKey::ControlStart]);
    let body = InviteSubUser { email: "friend@example.org".to_owned(), keys };
    let made = world.call::<table::InviteSubUser>(Some(&owner), &path, &(), &body).await.unwrap();
    let accept = async |token: String| {
        let answer = AnswerInvitation { token };
        world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &answer).await.unwrap();
        world.clock.advance(1);
    };
    accept(made.token).await;
    let now = DeleteQuery { after_ms: Some(0), retain_ms: None, force: None };
    world.call::<table::DeleteServer>(Some(&owner), &path, &now, &()).await.unwrap();
    assert_eq!(world.letter("friend@example.org").await.0, "arena is being deleted");
    let (empty, other) = world.tenant("empty").await;
    let path = TenantPath { tenant: empty };
    let body = CreateInvitation { email: "friend@example.org".to_owned(), role: Role::Viewer };
    let made = world.call::<table::CreateInvitation>(Some(&other), &path, &(), &body).await;
    accept(made.unwrap().token).await;
    let named = DeleteTenantQuery { name: Some("empty".to_owned()) };
    world.call::<table::DeleteTenant>(Some(&other), &path, &named, &()).await.unwrap();
    assert_eq!(world.letter("friend@example.org").await.0, "You have no access to empty any more");
    let mails = world.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
    let to_self = mails.iter().filter(|it| it.to == "empty@example.org");
    assert_eq!(to_self.count(), 0, "who does it knows");
}

/// Everything that was logged on this thread, which is the only one of the test's runtime.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Renews an account's recovery codes, of which one is used already, and takes the second factor off it.
/// Returns the codes that were made.
async fn turn_off(world: &World, token: &str, codes: &[String]) -> Vec<String> {
    let full =
        |code: &String| account::FullProof { password: PASSWORD.to_owned(), code: code.clone() };
    let renew = full(&codes[1]);
    let fresh = world.call::<table::RenewRecoveryCodes>(Some(token), &(), &(), &renew).await;
    let fresh = fresh.unwrap().codes;
    let stale = world.call::<table::RemoveTotp>(Some(token), &(), &(), &full(&codes[2])).await;
    assert_eq!(stale.err().unwrap().code, Code::Invalid);
    world.call::<table::RemoveTotp>(Some(token), &(), &(), &full(&fresh[0])).await.unwrap();
    fresh
}

/// Panel 1.11.8: the password that turned two-factor authentication off was in addresses, and so in
/// logs. Goes through what makes and takes secrets, with the log at its most talkative.
#[tokio::test]
async fn no_secret_is_logged() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    let mut secrets = vec![PASSWORD.to_owned(), world.admin.clone()];
    let typed = "a password that is wrong";
    secrets.push(typed.to_owned());
    let wrong = auth::Login { email: ADMIN.to_owned(), password: typed.to_owned() };
    world.call::<table::Login>(None, &(), &(), &wrong).await.err().unwrap();
    let new = account::CreateApiKey {
        rights: mamba_core::access::Rights::default(),
        ..api_key("script")
    };
    let key = world.admin::<table::CreateApiKey>(&(), &(), &new).await;
    world.call::<table::WhoAmI>(Some(&key.token), &(), &(), &()).await.unwrap();
    secrets.push(key.token.rsplit_once('_').unwrap().1.to_owned());
    let tokens = world.login(ADMIN).await;
    let refresh = auth::Refresh { refresh_token: tokens.refresh_token.clone() };
    let next = world.call::<table::Refresh>(None, &(), &(), &refresh).await.unwrap();
    world.clock.advance(60_000);
    let reused = world.call::<table::Refresh>(None, &(), &(), &refresh).await;
    assert_eq!(reused.err().unwrap().code, Code::NotSignedIn);
    for tokens in [tokens, next] {
        secrets.extend([tokens.access_token, tokens.refresh_token.unwrap()]);
    }
    let ask = auth::RequestReset { email: ADMIN.to_owned() };
    world.call::<table::RequestReset>(None, &(), &(), &ask).await.unwrap();
    let token = world.letter(ADMIN).await.1.unwrap();
    let (_, friend) = world.tenant("friend").await;
    let (acme, owner) = world.tenant("acme").await;
    let body = CreateInvitation { email: "friend@example.org".to_owned(), role: Role::Viewer };
    let path = TenantPath { tenant: acme };
    world.call::<table::CreateInvitation>(Some(&owner), &path, &(), &body).await.unwrap();
    let invitation = world.letter("friend@example.org").await.1.unwrap();
    let answer = AnswerInvitation { token: invitation.clone() };
    world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &answer).await.unwrap();
    let proof = account::Proof { password: PASSWORD.to_owned() };
    let totp = world.call::<table::BeginTotp>(Some(&owner), &(), &(), &proof).await.unwrap();
    let seed = totp_rs::Secret::try_from_base32(&totp.secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(seed).build().unwrap();
    let now = mamba_core::clock::Clock::wall(&*world.clock);
    let code = app.generate(now.0 / 1_000).to_string();
    let confirm = account::ConfirmTotp { setup: totp.setup.clone(), code };
    let codes =
        world.call::<table::ConfirmTotp>(Some(&owner), &(), &(), &confirm).await.unwrap().codes;
    let login = auth::Login { email: "acme@example.org".to_owned(), password: PASSWORD.to_owned() };
    let reply = world.call::<table::Login>(None, &(), &(), &login).await.unwrap();
    let SignIn::SecondFactor(needed) = reply else { panic!("no second factor") };
    let body = auth::SecondFactor { challenge: needed.challenge.clone(), code: codes[0].clone() };
    world.call::<table::SecondFactor>(None, &(), &(), &body).await.unwrap();
    secrets.extend(turn_off(&world, &owner, &codes).await);
    secrets.extend([token, friend, owner, invitation, totp.secret, totp.setup, needed.challenge]);
    secrets.extend(codes);
    world.identity.flush().await;
    let text = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(text.contains("a used refresh token came again"), "nothing was logged: {text}");
    for secret in secrets {
        assert!(!text.contains(&secret), "`{secret}` was logged");
    }
}
