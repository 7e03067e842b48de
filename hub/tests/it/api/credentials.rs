//! Passkeys with a software device, API keys, and signing in at a real OpenID Connect provider.

use super::{
    account::shown,
    world::{NO_PAGE, PASSWORD, TestClock, World, api_key},
};
use mamba_core::{
    access::{AdminRight, Rights},
    clock::{Clock as _, UnixMs},
};
use mamba_hub::{
    identity::{Provider, ProviderKind, SecondFactorPolicy, Settings},
    mail::Secret,
};
use mamba_wire::api::{
    Code, Problem, account,
    auth::{self, SignIn, Tokens},
    table,
};
use std::{collections::BTreeSet, io::BufRead as _, process::Stdio};
use webauthn_authenticator_rs::{
    WebauthnAuthenticator as _, prelude::Url, softpasskey::SoftPasskey,
};

const ADMIN: &str = "admin@example.org";

fn origin() -> Url {
    Url::parse("http://localhost:8080").unwrap()
}

/// What a device signs when it is asked.
pub(super) fn sign_with(device: &mut SoftPasskey, options: serde_json::Value) -> serde_json::Value {
    let options = serde_json::from_value(options).unwrap();
    serde_json::to_value(device.do_authentication(origin(), options).unwrap()).unwrap()
}

impl World {
    pub(super) async fn add_passkey(
        &self,
        token: &str,
        device: &mut SoftPasskey,
    ) -> account::Passkey {
        let proof = account::Proof { password: PASSWORD.to_owned() };
        let begun = self.call::<table::BeginPasskey>(Some(token), &(), &(), &proof).await.unwrap();
        let options = serde_json::from_value(begun.options).unwrap();
        let made = device.do_registration(origin(), options).unwrap();
        let body = account::AddPasskey {
            challenge: begun.challenge,
            name: "laptop".to_owned(),
            credential: serde_json::to_value(made).unwrap(),
        };
        self.call::<table::AddPasskey>(Some(token), &(), &(), &body).await.unwrap()
    }

    async fn passkey_challenge(&self, email: &str) -> auth::PasskeyChallenge {
        let body = auth::BeginPasskeySignIn { email: email.to_owned() };
        self.call::<table::BeginPasskeySignIn>(None, &(), &(), &body).await.unwrap()
    }

    async fn finish_passkey(
        &self,
        challenge: &str,
        credential: &serde_json::Value,
    ) -> Result<Tokens, Problem> {
        let (challenge, credential) = (challenge.to_owned(), credential.clone());
        let body = auth::FinishPasskeySignIn { challenge, credential };
        self.call::<table::FinishPasskeySignIn>(None, &(), &(), &body).await
    }
}

#[tokio::test]
async fn a_passkey_signs_in_as_both_factors_and_each_answer_once() {
    let settings = Settings { second_factor: SecondFactorPolicy::All, ..Settings::default() };
    let world = World::with(settings).await;
    let mut device = SoftPasskey::new(true);
    let added = world.add_passkey(&world.admin, &mut device).await;
    let begun = world.passkey_challenge(ADMIN).await;
    let signed = sign_with(&mut device, begun.options);
    let tokens = world.finish_passkey(&begun.challenge, &signed).await.unwrap();
    let token = Some(tokens.access_token.as_str());
    assert!(world.call::<table::ListNodes>(token, &(), &NO_PAGE.into(), &()).await.is_ok());
    // Neither the same answer again nor an answer to another challenge gets in.
    assert!(world.finish_passkey(&begun.challenge, &signed).await.is_err());
    let other = world.passkey_challenge(ADMIN).await;
    let err = world.finish_passkey(&other.challenge, &signed).await.err().unwrap();
    assert_eq!(err.code, Code::WrongCredentials);
    let path = account::KeyPath { key: added.key };
    let name = account::Rename { name: "phone".to_owned() };
    let renamed = world.call::<table::RenamePasskey>(token, &path, &(), &name).await.unwrap();
    assert!(renamed.name == "phone" && renamed.used_at.is_some());
    world.call::<table::RemovePasskey>(token, &path, &(), &()).await.unwrap();
    assert_eq!(world.call::<table::ListPasskeys>(token, &(), &(), &()).await.unwrap().items, []);
}

/// The password alone sets up the first factor of an account that must have one, and no other.
#[tokio::test]
async fn where_a_passkey_is_the_only_factor_the_password_alone_sets_up_no_other() {
    let settings = Settings { second_factor: SecondFactorPolicy::Admins, ..Settings::default() };
    let world = World::with(settings).await;
    let thief = world.login(ADMIN).await.access_token;
    let thief = Some(thief.as_str());
    let proof = account::Proof { password: PASSWORD.to_owned() };
    // The thief begins while the account has no factor yet.
    let begin_app = async |token| world.call::<table::BeginTotp>(token, &(), &(), &proof).await;
    let begin_passkey =
        async |token| world.call::<table::BeginPasskey>(token, &(), &(), &proof).await;
    let (app, passkey) = (begin_app(thief).await.unwrap(), begin_passkey(thief).await.unwrap());
    let (mut device, mut other) = (SoftPasskey::new(true), SoftPasskey::new(true));
    world.add_passkey(&world.admin, &mut device).await;
    // Whose session added it has proved it, and may add another.
    world.add_passkey(&world.admin, &mut SoftPasskey::new(true)).await;
    let code = |refused: Option<Problem>| {
        let problem = refused.unwrap();
        assert!(problem.detail.contains("sign in with it"), "{problem:?}");
        problem.code
    };
    assert_eq!(code(begin_app(thief).await.err()), Code::Forbidden);
    assert_eq!(code(begin_passkey(thief).await.err()), Code::Forbidden);
    let confirm = account::ConfirmTotp { code: shown(&world, &app.secret), setup: app.setup };
    let confirmed = world.call::<table::ConfirmTotp>(thief, &(), &(), &confirm).await;
    assert_eq!(code(confirmed.err()), Code::Forbidden);
    let options = serde_json::from_value(passkey.options).unwrap();
    let credential = other.do_registration(origin(), options).unwrap();
    let add = account::AddPasskey {
        challenge: passkey.challenge,
        name: "thief's".to_owned(),
        credential: serde_json::to_value(credential).unwrap(),
    };
    let added = world.call::<table::AddPasskey>(thief, &(), &(), &add).await;
    assert_eq!(code(added.err()), Code::Forbidden);
    let listed = world.call::<table::ListNodes>(thief, &(), &NO_PAGE.into(), &()).await;
    assert_eq!(listed.err().unwrap().code, Code::Forbidden);
    // Nor does the password begin a session any more; who does not know it learns nothing.
    let login = async |password: &str| {
        let body = auth::Login { email: ADMIN.to_owned(), password: password.to_owned() };
        world.call::<table::Login>(None, &(), &(), &body).await.err().unwrap()
    };
    let refused = login(PASSWORD).await;
    assert_eq!(refused.code, Code::Forbidden);
    assert!(refused.detail.contains("passkey"), "{refused:?}");
    assert_eq!(login("wrong horse battery").await.code, Code::WrongCredentials);
    // The passkey does, for everything.
    let begun = world.passkey_challenge(ADMIN).await;
    let signed = sign_with(&mut device, begun.options);
    let tokens = world.finish_passkey(&begun.challenge, &signed).await.unwrap();
    let token = Some(tokens.access_token.as_str());
    assert!(world.call::<table::ListNodes>(token, &(), &NO_PAGE.into(), &()).await.is_ok());
    let listed = world.call::<table::ListPasskeys>(token, &(), &(), &()).await.unwrap().items;
    assert_eq!(listed.len(), 2, "none of the thief's: {listed:?}");
    assert!(begin_app(token).await.is_ok());
}

#[tokio::test]
async fn who_has_no_passkey_is_asked_like_who_has_one() {
    let world = World::new().await;
    let ids = async |email: &str| {
        let begun = world.passkey_challenge(email).await;
        begun.options.pointer("/publicKey/allowCredentials").cloned().unwrap()
    };
    let first = ids("nobody@example.org").await;
    assert_eq!(first.as_array().unwrap().len(), 1);
    assert_eq!(ids("nobody@example.org").await, first);
    assert_ne!(ids(ADMIN).await, first);
}

/// GHSA-7v3x: what an API key had opened outlived it. GHSA-pjmh: keys without number.
#[tokio::test]
async fn an_api_key_may_what_it_was_given_from_where_it_may_and_no_longer() {
    let world = World::new().await;
    let new = |networks: &[&str]| account::CreateApiKey {
        admin: BTreeSet::from([AdminRight::NodesRead]),
        rights: Rights::default(),
        networks: networks.iter().map(ToString::to_string).collect(),
        until: Some(world.clock.wall().plus(60_000)),
        ..api_key("script")
    };
    let make = async |networks: &[&str]| {
        world.call::<table::CreateApiKey>(Some(&world.admin), &(), &(), &new(networks)).await
    };
    let made = make(&[]).await.unwrap();
    let token = Some(made.token.as_str());
    assert!(world.call::<table::ListNodes>(token, &(), &NO_PAGE.into(), &()).await.is_ok());
    // What its owner sees in tenants it does not see, and of the account no more than whose it is.
    let tenants = world.call::<table::ListTenants>(token, &(), &NO_PAGE.into(), &()).await.unwrap();
    assert_eq!(tenants.items, []);
    let me = world.call::<table::WhoAmI>(token, &(), &(), &()).await.unwrap();
    assert_eq!((me.email.as_str(), me.tenants.len()), (ADMIN, 0));
    let err = world.call::<table::ListSessions>(token, &(), &(), &()).await.err().unwrap();
    assert_eq!(err.code, Code::Forbidden);
    let err = world.call::<table::EndOtherSessions>(token, &(), &(), &()).await.err().unwrap();
    assert_eq!(err.code, Code::Forbidden);
    let far = make(&["192.0.2.0/24"]).await.unwrap();
    let ask = async |peer: &str| {
        let bearer = format!("Bearer {}", far.token);
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", peer)];
        world.send("GET", "/api/v1/nodes", &headers, None).await.status
    };
    assert_eq!((ask("192.0.2.9").await, ask("198.51.100.9").await), (200, 401));
    let listed = world.admin::<table::ListApiKeys>(&(), &(), &()).await.items;
    assert!(listed[0].used_at.is_some() && !format!("{listed:?}").contains(&made.token[40..]));
    let path = account::ApiKeyPath { key: made.key.key };
    world.admin::<table::DeleteApiKey>(&path, &(), &()).await;
    assert!(world.call::<table::ListNodes>(token, &(), &NO_PAGE.into(), &()).await.is_err());
    world.clock.advance(60_000);
    assert_eq!(ask("192.0.2.9").await, 401);
    let mut refused = false;
    for _ in 0..=25 {
        refused |= make(&[]).await.is_err_and(|err| err.code == Code::Conflict);
    }
    assert!(refused);
}

/// A provider that runs until it is dropped.
struct Issuer {
    child: std::process::Child,
    url: String,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts `oauth2-mock-server` from the folder that `scripts/test` prepares.
fn issuer(now: UnixMs) -> Option<Issuer> {
    let folder = crate::peers::peer("MAMBA_TEST_OIDC")?;
    // It lives in the time of the test.
    let script = "import { OAuth2Server } from 'oauth2-mock-server';\
        const server = new OAuth2Server();\
        await server.issuer.keys.generate('RS256');\
        server.service.on('beforeTokenSigning', (token) => {\
          token.payload.email = 'admin@example.org';\
          token.payload.email_verified = true;\
          token.payload.iat = token.payload.nbf = Number(process.argv[1]);\
          token.payload.exp = token.payload.iat + 300;\
        });\
        await server.start(0, 'localhost');\
        console.log(server.issuer.url);";
    let mut child = std::process::Command::new("node")
        .args(["--input-type=module", "-e", script, &(now.0 / 1_000).to_string()])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("http://localhost:"), "oauth2-mock-server did not start: {url}");
    Some(Issuer { child, url: url.trim().to_owned() })
}

/// Goes to a URL as a browser would, and returns the parameters of where it is sent back to.
async fn visit(url: &str) -> (String, String) {
    let browser =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let reply = browser.get(url).send().await.unwrap();
    let target = Url::parse(reply.headers()["location"].to_str().unwrap()).unwrap();
    assert!(target.as_str().starts_with("http://localhost:8080/auth/callback"), "{target}");
    let get = |name: &str| {
        target.query_pairs().find(|(its, _)| its == name).map(|(_, it)| it.into_owned()).unwrap()
    };
    (get("state"), get("code"))
}

fn mock(issuer: &Issuer) -> Provider {
    Provider {
        id: "mock".to_owned(),
        name: "Mock".to_owned(),
        kind: ProviderKind::Oidc { issuer: issuer.url.clone() },
        client_id: "hub".to_owned(),
        client_secret: Secret("secret".to_owned().into()),
    }
}

/// An address that is proved there and here is the same person: nobody has to link first.
#[tokio::test]
async fn an_address_that_is_proved_there_and_here_links_and_signs_in() {
    let Some(issuer) = issuer(TestClock::default().wall()) else { return };
    let settings = Settings { providers: vec![mock(&issuer)], ..Settings::default() };
    let world = World::with(settings).await;
    let sign_in = async || {
        let begin = auth::BeginVisit { provider: "mock".to_owned() };
        let begun = world.call::<table::BeginVisit>(None, &(), &(), &begin).await.unwrap();
        let (state, code) = visit(&begun.url).await;
        let body = auth::FinishVisit { state, code, binding: begun.binding };
        world.call::<table::FinishVisit>(None, &(), &(), &body).await
    };
    assert_eq!(sign_in().await.err().unwrap().code, Code::Conflict, "not proved here");
    let prove = account::ChangeAddress { password: PASSWORD.to_owned(), email: ADMIN.to_owned() };
    world.admin::<table::ChangeAddress>(&(), &(), &prove).await;
    let body = auth::MailToken { token: world.mailed(ADMIN).await };
    world.call::<table::ConfirmAddress>(None, &(), &(), &body).await.unwrap();
    let SignIn::SignedIn(tokens) = sign_in().await.unwrap() else { panic!("asked for more") };
    assert_eq!(tokens.me.email, ADMIN);
    let linked = async || {
        let links = world.admin::<table::ListLinks>(&(), &(), &()).await.items;
        links.into_iter().map(|it| it.provider).collect::<Vec<_>>()
    };
    assert_eq!(linked().await, ["mock"]);
    let mails = world.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
    assert!(mails.iter().any(|it| it.to == ADMIN && it.subject.contains("provider")), "{mails:?}");
    // The link is used from now on, whatever becomes of the address; and it is one factor, not two.
    let SignIn::SignedIn(_) = sign_in().await.unwrap() else { panic!("asked for more") };
    assert_eq!(linked().await, ["mock"]);
    let (secret, _) = world.set_up(&world.admin).await;
    let SignIn::SecondFactor(needed) = sign_in().await.unwrap() else { panic!("one factor") };
    let tokens = world.second_factor(&needed.challenge, &shown(&world, &secret)).await.unwrap();
    assert_eq!(tokens.me.email, ADMIN);
}

#[tokio::test]
async fn a_real_provider_signs_in_who_linked_it_and_nobody_else() {
    let Some(issuer) = issuer(TestClock::default().wall()) else { return };
    let provider = mock(&issuer);
    let world = World::with(Settings { providers: vec![provider], ..Settings::default() }).await;
    let admin = world.login(ADMIN).await.access_token;
    let begin = auth::BeginVisit { provider: "mock".to_owned() };
    let sign_in = async || {
        let begun = world.call::<table::BeginVisit>(None, &(), &(), &begin).await.unwrap();
        let (state, code) = visit(&begun.url).await;
        auth::FinishVisit { state, code, binding: begun.binding }
    };
    let finish = async |body: &auth::FinishVisit| {
        world.call::<table::FinishVisit>(None, &(), &(), body).await
    };
    // The address is proved there, but not here.
    let err = finish(&sign_in().await).await.err().unwrap();
    assert_eq!(err.code, Code::Conflict, "{err:?}");
    // Another page's visit cannot be ended, and a visit to sign in links nothing.
    let stolen = auth::FinishVisit { binding: "guess".to_owned(), ..sign_in().await };
    assert_eq!(finish(&stolen).await.err().unwrap().code, Code::NotSignedIn);
    let wrong = sign_in().await;
    let linked = world.call::<table::FinishLink>(Some(&admin), &(), &(), &wrong).await;
    assert_eq!(linked.err().unwrap().code, Code::NotSignedIn);
    let begun = world.call::<table::BeginLink>(Some(&admin), &(), &(), &begin).await.unwrap();
    let (state, code) = visit(&begun.url).await;
    let body = auth::FinishVisit { state, code, binding: begun.binding };
    let linked = world.call::<table::FinishLink>(Some(&admin), &(), &(), &body).await.unwrap();
    assert_eq!(linked.provider, "mock");
    let body = sign_in().await;
    let SignIn::SignedIn(tokens) = finish(&body).await.unwrap() else { panic!("asked for more") };
    assert_eq!(tokens.me.email, ADMIN);
    assert_eq!(finish(&body).await.err().unwrap().code, Code::NotSignedIn);
    let path = account::ProviderPath { provider: "mock".to_owned() };
    world.call::<table::RemoveLink>(Some(&admin), &path, &(), &()).await.unwrap();
    assert_eq!(finish(&sign_in().await).await.err().unwrap().code, Code::Conflict);
    // What it says holds five minutes, and one for the difference of clocks.
    world.clock.advance(360_001);
    assert_eq!(finish(&sign_in().await).await.err().unwrap().code, Code::Unavailable);
}
