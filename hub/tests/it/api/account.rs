//! Accounts over the API: second factors, mails, browsers, policies. Each test names what it is for.

use super::world::{NO_PAGE, PASSWORD, World, from};
use mamba_core::{
    clock::{Clock as _, SystemEntropy},
    db::{DataDir, Store, StoreOptions},
    error::Invalid,
    scope::AdminScope,
    seq::Incarnation,
};
use mamba_hub::{
    backup::restore,
    identity::{
        AccessKey, Client, Identity, IdentityError, IdentityParts, RECOVERY_CODES, Registration,
        SecondFactorPolicy, Settings, disable_second_factor,
    },
    secrets::Vault,
    store::{KIND, META, Meta},
};
use mamba_wire::api::{
    Code, Problem, account,
    auth::{self, SignIn, TokenPurpose, Tokens},
    table,
};
use std::sync::Arc;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

const ADMIN: &str = "admin@example.org";
const OTHER: &str = "another horse battery";

/// Shows what an authenticator app shows now.
pub(super) fn shown(world: &World, secret: &str) -> String {
    let seed = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(seed).build().unwrap();
    app.generate(world.clock.wall().0 / 1_000).to_string()
}

impl World {
    async fn try_login(&self, email: &str, password: &str) -> Result<SignIn, Problem> {
        let body = auth::Login { email: email.to_owned(), password: password.to_owned() };
        self.call::<table::Login>(None, &(), &(), &body).await
    }

    /// Signs in as far as the second factor.
    pub(super) async fn challenge(&self) -> String {
        match self.try_login(ADMIN, PASSWORD).await.unwrap() {
            SignIn::SecondFactor(needed) => needed.challenge,
            SignIn::SignedIn(_) => panic!("signed in without a second factor"),
        }
    }

    pub(super) async fn second_factor(
        &self,
        challenge: &str,
        code: &str,
    ) -> Result<Tokens, Problem> {
        let (challenge, code) = (challenge.to_owned(), code.to_owned());
        let body = auth::SecondFactor { challenge, code };
        self.call::<table::SecondFactor>(None, &(), &(), &body).await
    }

    /// Sets up an app; returns its secret and the recovery codes.
    pub(super) async fn set_up(&self, token: &str) -> (String, Vec<String>) {
        let proof = account::Proof { password: PASSWORD.to_owned() };
        let new = self.call::<table::BeginTotp>(Some(token), &(), &(), &proof).await.unwrap();
        assert!(new.url.starts_with("otpauth://totp/"), "{}", new.url);
        let code = shown(self, &new.secret);
        let body = account::ConfirmTotp { setup: new.setup, code };
        let made = self.call::<table::ConfirmTotp>(Some(token), &(), &(), &body).await.unwrap();
        self.clock.advance(30_000);
        (new.secret, made.codes)
    }

    /// Returns the token in the newest mail to an address.
    pub(super) async fn mailed(&self, to: &str) -> String {
        let mails = self.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
        let newest = mails.into_iter().find(|mail| mail.to == to).unwrap();
        let text = newest.text.unwrap();
        let (_, rest) = text.split_once('#').unwrap_or_else(|| panic!("no token: {text}"));
        rest.split_whitespace().next().unwrap().to_owned()
    }

    async fn subjects(&self, to: &str) -> Vec<String> {
        let mails = self.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
        mails.into_iter().filter(|mail| mail.to == to).map(|mail| mail.subject).collect()
    }
}

/// CVE-2025-69197: a code could be used again within its window.
#[tokio::test]
async fn each_code_signs_in_once_also_at_the_same_moment() {
    let world = World::new().await;
    let (secret, codes) = world.set_up(&world.admin).await;
    assert_eq!(codes.len(), RECOVERY_CODES);
    let (one, two) = (world.challenge().await, world.challenge().await);
    let code = shown(&world, &secret);
    let both = tokio::join!(world.second_factor(&one, &code), world.second_factor(&two, &code));
    assert_eq!([both.0.is_ok(), both.1.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let again = world.second_factor(&world.challenge().await, &code).await.err().unwrap();
    assert_eq!(again.errors[0].field, "code");
    // A challenge that was answered is void, and so is a recovery code.
    let challenge = world.challenge().await;
    world.second_factor(&challenge, &codes[0]).await.unwrap();
    let used = world.second_factor(&challenge, &codes[1]).await.err().unwrap();
    assert_eq!(used.code, Code::NotSignedIn);
    let challenge = world.challenge().await;
    assert!(world.second_factor(&challenge, &codes[0]).await.is_err());
    assert!(world.second_factor(&challenge, &codes[1].to_uppercase()).await.is_ok());
}

/// CVE-2025-69197: also after the hub was started anew, and after it was restored from before the code was
/// used.
#[tokio::test]
async fn a_used_code_stays_used_through_a_restart_and_a_restore() {
    let world = World::new().await;
    let (made_at, restored_at) = (world.clock.wall(), None);
    let meta = Meta { incarnation: Incarnation(1), made_at, restored_at };
    world.hub.store().write(move |txn| txn.put(META, &(), &meta)).await.unwrap();
    let (secret, _) = world.set_up(&world.admin).await;
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("before.backup");
    world.hub.back_up(backup.clone()).await.unwrap();
    let on = |store: Store| {
        Identity::new(IdentityParts {
            store,
            clock: world.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            key: AccessKey::open(dir.path(), &SystemEntropy).unwrap(),
            vault: Vault::in_memory([7; 32]),
            settings: Settings::default(),
        })
    };
    let bring = async |identity: &Identity, code: &str| {
        let client = Client::new("192.0.2.1".parse().unwrap(), "test");
        let reply = identity.login(client.clone(), ADMIN, PASSWORD.to_owned().into()).await;
        let SignIn::SecondFactor(needed) = reply.unwrap() else { panic!("one factor") };
        identity.second_factor(client, &needed.challenge, code).await.map(drop)
    };
    let code = shown(&world, &secret);
    bring(&world.identity, &code).await.unwrap();
    let restarted = on(world.hub.store().clone());
    assert!(matches!(bring(&restarted, &code).await, Err(IdentityError::WrongCode)));
    let target = dir.path().join("restored");
    restore(&backup, &target, world.clock.wall()).await.unwrap();
    let data = DataDir::open(&target, KIND).unwrap();
    let restored = on(Store::open(&data, 0, StoreOptions::EDGE).unwrap());
    assert!(matches!(bring(&restored, &code).await, Err(IdentityError::WrongCode)));
    // Codes that nobody can have used before are good.
    world.clock.advance(90_000);
    bring(&restored, &shown(&world, &secret)).await.unwrap();
}

/// CVE-2021-41129: the step before the second factor let in whoever held another one's.
#[tokio::test]
async fn a_challenge_is_good_for_its_own_step_and_guesses_are_counted() {
    let world = World::new().await;
    let (secret, _) = world.set_up(&world.admin).await;
    let challenge = world.challenge().await;
    let body = account::ConfirmTotp { setup: challenge.clone(), code: shown(&world, &secret) };
    let (_, owner) = world.tenant("acme").await;
    let err = world.call::<table::ConfirmTotp>(Some(&owner), &(), &(), &body).await.err().unwrap();
    assert_eq!(err.code, Code::NotFound);
    for _ in 0..5 {
        let err = world.second_factor(&challenge, "000000").await.err().unwrap();
        assert_eq!(err.code, Code::Invalid);
    }
    let err = world.second_factor(&challenge, &shown(&world, &secret)).await.err().unwrap();
    assert_eq!(err.code, Code::Throttled);
    let err = world.second_factor(&challenge, "000000").await.err().unwrap();
    assert_eq!(err.code, Code::Throttled);
}

#[tokio::test]
async fn the_policy_leaves_nothing_but_setting_up() {
    let settings = Settings { second_factor: SecondFactorPolicy::Admins, ..Settings::default() };
    let world = World::with(settings).await;
    let tokens = world.login(ADMIN).await;
    assert_eq!(tokens.purpose, TokenPurpose::SetUp);
    let token = Some(tokens.access_token.as_str());
    let err = world.call::<table::ListNodes>(token, &(), &NO_PAGE.into(), &()).await.err().unwrap();
    assert_eq!(err.code, Code::Forbidden);
    let err = world.call::<table::ListSessions>(token, &(), &(), &()).await.err().unwrap();
    assert_eq!(err.code, Code::Forbidden);
    let seen = world.call::<table::ShowAccount>(token, &(), &(), &()).await.unwrap();
    assert!(seen.second_factor_required && seen.totp_since.is_none());
    world.set_up(&tokens.access_token).await;
    let body = auth::Refresh { refresh_token: tokens.refresh_token };
    let next = world.call::<table::Refresh>(None, &(), &(), &body).await.unwrap();
    assert_eq!(next.purpose, TokenPurpose::Api);
    let token = Some(next.access_token.as_str());
    assert!(world.call::<table::ListNodes>(token, &(), &NO_PAGE.into(), &()).await.is_ok());
}

#[tokio::test]
async fn an_operator_helps_who_lost_the_second_factor() {
    let settings = Settings { second_factor: SecondFactorPolicy::All, ..Settings::default() };
    let world = World::with(settings).await;
    world.set_up(&world.admin).await;
    world.add_passkey(&world.admin, &mut SoftPasskey::new(true)).await;
    let (now, store) = (world.clock.wall(), world.hub.store());
    let (entropy, scope) = (SystemEntropy, AdminScope::operator("root".to_owned()));
    let disable = async |email: &str| {
        let vault = world.hub.vault().clone();
        disable_second_factor(store, vault, &scope, now, &entropy, email).await
    };
    disable("Admin@example.org").await.unwrap();
    assert!(disable("nobody@example.org").await.is_err());
    let tokens = world.try_login(ADMIN, PASSWORD).await.unwrap().tokens().unwrap();
    assert_eq!(tokens.purpose, TokenPurpose::SetUp);
    let token = Some(tokens.access_token.as_str());
    assert_eq!(world.call::<table::ListPasskeys>(token, &(), &(), &()).await.unwrap().items, []);
    world.set_up(&tokens.access_token).await;
}

#[tokio::test]
async fn a_forgotten_password_is_set_by_mail_once_and_ends_all_sessions() {
    let world = World::new().await;
    let (_, owner) = world.tenant("acme").await;
    let email = "acme@example.org";
    let ask = async |email: &str| {
        let body = auth::RequestReset { email: email.to_owned() };
        world.call::<table::RequestReset>(None, &(), &(), &body).await
    };
    ask(email).await.unwrap();
    ask("nobody@example.org").await.unwrap();
    assert!(world.subjects("nobody@example.org").await.is_empty());
    let token = world.mailed(email).await;
    let body = auth::ResetPassword { token, password: OTHER.to_owned() };
    world.call::<table::ResetPassword>(None, &(), &(), &body).await.unwrap();
    let err = world.call::<table::ResetPassword>(None, &(), &(), &body).await.err().unwrap();
    assert_eq!(err.errors, [Invalid::new("token", "is unknown, used or expired")]);
    assert!(world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await.is_err());
    assert!(world.try_login(email, PASSWORD).await.is_err());
    assert!(world.try_login(email, OTHER).await.is_ok());
    let subjects = world.subjects(email).await;
    assert!(subjects.iter().any(|it| it == "Your password was changed"), "{subjects:?}");
}

/// GHSA-j7f5: changing the address told which addresses have accounts, as often as one liked.
#[tokio::test]
async fn changing_the_address_tells_nothing_and_takes_a_mail() {
    let world = World::new().await;
    let (_, owner) = world.tenant("acme").await;
    let change = async |email: &str| {
        let body =
            account::ChangeAddress { password: PASSWORD.to_owned(), email: email.to_owned() };
        world.call::<table::ChangeAddress>(Some(&owner), &(), &(), &body).await
    };
    change(ADMIN).await.unwrap();
    assert!(world.subjects(ADMIN).await.is_empty());
    change("new@example.org").await.unwrap();
    let token = world.mailed("new@example.org").await;
    let body = auth::MailToken { token };
    world.call::<table::ConfirmAddress>(None, &(), &(), &body).await.unwrap();
    assert!(world.call::<table::ConfirmAddress>(None, &(), &(), &body).await.is_err());
    assert!(world.try_login("acme@example.org", PASSWORD).await.is_err());
    let tokens = world.login("new@example.org").await;
    let token = Some(tokens.access_token.as_str());
    let seen = world.call::<table::ShowAccount>(token, &(), &(), &()).await.unwrap();
    assert!(seen.email_verified_at.is_some());
    assert_eq!(world.subjects("acme@example.org").await[0], "Your address was changed");
    let mut refused = false;
    for _ in 0..6 {
        refused |= change("new@example.org").await.is_err_and(|it| it.code == Code::Throttled);
    }
    assert!(refused);
}

#[tokio::test]
async fn registration_is_by_mail_and_alike_for_known_addresses() {
    let open = Settings { registration: Registration::Open, ..Settings::default() };
    let world = World::with(open).await;
    let register = async |email: &str| {
        let body = auth::Register { email: email.to_owned(), password: PASSWORD.to_owned() };
        world.call::<table::Register>(None, &(), &(), &body).await
    };
    register("New@example.org").await.unwrap();
    register(ADMIN).await.unwrap();
    assert_eq!(world.subjects(ADMIN).await, ["You have an account already"]);
    assert!(world.try_login("new@example.org", PASSWORD).await.is_err());
    let body = auth::MailToken { token: world.mailed("new@example.org").await };
    world.call::<table::ConfirmRegistration>(None, &(), &(), &body).await.unwrap();
    assert!(world.try_login("new@example.org", PASSWORD).await.is_ok());
    assert!(world.call::<table::ConfirmRegistration>(None, &(), &(), &body).await.is_err());
}

/// CVE-2021-41273: a browser could be made to change something by another site.
#[tokio::test]
async fn a_browser_keeps_its_refresh_token_where_no_script_reads_it() {
    let world = World::new().await;
    let login = format!(r#"{{"email":"{ADMIN}","password":"{PASSWORD}"}}"#);
    let origin = ("origin", "http://localhost:8080");
    let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
        world.send("POST", path, headers, Some(body)).await
    };
    let evil = post("/api/v1/auth/login", &[("origin", "https://evil.example")], &login).await;
    assert_eq!(evil.problem().code, Code::Forbidden);
    let reply = post("/api/v1/auth/login", &[origin], &login).await;
    assert!(!reply.body.contains("refresh_token"), "{}", reply.body);
    let cookie = reply.headers["set-cookie"].clone();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    // Without an origin it is no browser, and a cookie proves nothing.
    let bare = post("/api/v1/auth/refresh", &[("cookie", &cookie)], "{}").await;
    assert_eq!(bare.status, 401);
    let next = post("/api/v1/auth/refresh", &[origin, ("cookie", &cookie)], "{}").await;
    assert_eq!(next.status, 200, "{next:?}");
    assert!(next.headers.contains_key("set-cookie"));
    let bearer = format!("Bearer {}", from::<Tokens>(&next.body).access_token);
    let headers = [origin, ("authorization", bearer.as_str())];
    let out = world.send("POST", "/api/v1/auth/logout", &headers, None).await;
    assert_eq!(out.status, 204);
    assert!(out.headers["set-cookie"].contains("Max-Age=0"));
}

#[tokio::test]
async fn sessions_are_listed_with_their_devices_and_ended() {
    let world = World::new().await;
    let login = format!(r#"{{"email":"{ADMIN}","password":"{PASSWORD}"}}"#);
    let headers = [("user-agent", "Firefox on Linux"), ("x-forwarded-for", "192.0.2.7")];
    let reply = world.send("POST", "/api/v1/auth/login", &headers, Some(&login)).await;
    let phone = from::<SignIn>(&reply.body).tokens().unwrap();
    assert_eq!(world.subjects(ADMIN).await, ["Sign-in from a new device"]);
    let seen = world.admin::<table::ListSessions>(&(), &(), &()).await.items;
    let one = seen.iter().find(|it| it.session == phone.me.session).unwrap();
    assert_eq!((one.device.as_str(), one.is_this), ("Firefox on Linux", false));
    assert_eq!(one.address, "192.0.2.7".parse::<std::net::IpAddr>().unwrap());
    world.admin::<table::EndOtherSessions>(&(), &(), &()).await;
    let token = Some(phone.access_token.as_str());
    assert!(world.call::<table::WhoAmI>(token, &(), &(), &()).await.is_err());
    let seen = world.admin::<table::ListSessions>(&(), &(), &()).await.items;
    assert!(seen.len() == 1 && seen[0].is_this);
}

/// Only live sessions were looked at: after a sign-out nothing was told of a new device, and of the
/// same one again.
#[tokio::test]
async fn a_new_device_is_told_once_whatever_was_signed_out_since() {
    let world = World::new().await;
    let login = format!(r#"{{"email":"{ADMIN}","password":"{PASSWORD}"}}"#);
    let sign_in = async |device: &str, peer: &str| {
        world.clock.advance(1_000);
        let headers = [("user-agent", device), ("x-forwarded-for", peer)];
        let reply = world.send("POST", "/api/v1/auth/login", &headers, Some(&login)).await;
        let tokens = from::<SignIn>(&reply.body).tokens().unwrap();
        let token = Some(tokens.access_token.as_str());
        let mails = world.call::<table::ListMails>(token, &(), &NO_PAGE.into(), &()).await.unwrap();
        world.call::<table::Logout>(token, &(), &(), &()).await.unwrap();
        mails.items.iter().filter(|it| it.subject == "Sign-in from a new device").count()
    };
    assert_eq!(sign_in("fox", "192.0.2.7").await, 1, "another one than the first");
    assert_eq!(sign_in("fox", "192.0.2.7").await, 1, "signed out, and the same");
    assert_eq!(sign_in("fox", "192.0.9.9").await, 1, "a new address of the same line");
    assert_eq!(sign_in("wolf", "192.0.2.7").await, 2, "another device");
    assert_eq!(sign_in("fox", "198.51.100.1").await, 3, "another network");
    world.clock.advance(90 * 24 * 3_600_000);
    assert_eq!(sign_in("fox", "192.0.2.7").await, 4, "after a season");
}
