//! Who takes an account over, and what of it survives: guessed codes, planted keys, policies.

use super::*;
use crate::{
    audit,
    mail::{self, Shown},
};
use mamba_core::{
    audit::HUB_CHAIN,
    db::{Snapshot as _, Span},
};
use mamba_wire::api::account::AddSshKey;

const OWNER: &str = "owner@example.org";
const PASSWORD: &str = "correct horse battery";
const OTHER: &str = "another horse battery";
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICJBBAx+aJxHZasHzFLZNw/C2ym+4UHs4ii2HU9fF+W/";

fn client() -> Client {
    Client::new(PEER, "test")
}

impl World {
    /// Signs in somebody without a second factor.
    async fn as_caller(&self, email: &str, password: &str) -> Caller {
        let tokens = self.login_as(PEER, email, password).await.unwrap();
        self.identity.authenticate(PEER, &tokens.access_token).unwrap()
    }

    /// Sets up an authenticator app and returns what shows its codes.
    async fn set_up(&self, caller: &Caller, password: &str) -> impl Fn() -> String {
        let begun = self.identity.begin_totp(client(), caller, secret(password)).await.unwrap();
        let seed = totp_rs::Secret::try_from_base32(&begun.secret).unwrap();
        let app = totp_rs::Builder::new().with_secret(seed).build().unwrap();
        let clock = self.clock.clone();
        let shown = move || app.generate(clock.wall().0 / 1_000).to_string();
        self.identity.confirm_totp(caller, &begun.setup, &shown()).await.unwrap();
        self.advance(30_000);
        shown
    }

    /// The newest letter to somebody: its subject, and the token in its link.
    fn newest(&self, to: &str) -> (String, Option<String>) {
        let all = mail::list(&self.identity.inner.store, None, 100, Shown::Whole).unwrap();
        let mail = all.into_iter().find(|it| it.to == to).unwrap();
        let token = mail
            .text
            .unwrap()
            .split_once('#')
            .map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default().to_owned());
        (mail.subject, token)
    }

    /// Sets a new password by mail.
    async fn reset(&self, email: &str, password: &str) {
        self.advance(1);
        self.identity.request_reset(client(), email).await.unwrap();
        let token = self.newest(email).1.unwrap();
        self.identity.reset_password(client(), &token, secret(password)).await.unwrap();
    }

    async fn events(&self) -> Vec<String> {
        self.identity.flush().await;
        let span = Span::prefix(&(HUB_CHAIN,));
        let all = self.identity.inner.store.read(|view| view.range(audit::ENTRIES, span, 1_000));
        let event = |(_, entry): (_, audit::Entry)| audit::told(&entry).unwrap().event;
        all.unwrap().into_iter().map(event).collect()
    }
}

/// With a session and the password, six digits could be guessed 1,200 times a minute.
#[tokio::test]
async fn codes_are_guessed_five_times_wherever_they_are_asked_for() {
    let world = world().await;
    let caller = world.caller().await;
    let shown = world.set_up(&caller, PASSWORD).await;
    let remove = async |code: &str| {
        world.identity.remove_totp(client(), &caller, secret(PASSWORD), code).await
    };
    let renew = async |code: &str| {
        let password = secret(PASSWORD);
        world.identity.renew_recovery_codes(client(), &caller, password, code).await
    };
    assert!(renew(&shown()).await.is_ok());
    world.advance(30_000);
    for _ in 0..3 {
        assert!(matches!(remove("000000").await, Err(IdentityError::WrongCode)));
    }
    for _ in 0..2 {
        assert!(matches!(renew("000000").await, Err(IdentityError::WrongCode)));
    }
    for err in [remove(&shown()).await.err(), renew(&shown()).await.err()] {
        assert!(matches!(err, Some(IdentityError::Throttled { .. })), "{err:?}");
    }
    assert!(world.events().await.iter().any(|it| it == "auth:fail"));
    world.advance(15 * 60_000);
    remove(&shown()).await.unwrap();
}

/// Whoever made the account knows its first password, and could leave ways in behind.
#[tokio::test]
async fn a_password_set_by_mail_voids_what_was_made_before_the_address_was_proved() {
    let world = world().await;
    let admin = world.caller().await;
    owner(&world, &admin, OWNER).await;
    let planter = world.as_caller(OWNER, PASSWORD).await;
    let planted = world.identity.create_api_key(&planter, new_key("planted")).await.unwrap();
    // Letters of one millisecond have no order.
    world.advance(1);
    let ssh = AddSshKey { name: "planted".to_owned(), public_key: SSH_KEY.to_owned() };
    world.identity.add_ssh_key(&planter, ssh).await.unwrap();
    assert_eq!(world.newest(OWNER).0, "New SSH key for your account");
    drop(world.set_up(&planter, PASSWORD).await);

    world.reset(OWNER, OTHER).await;
    assert!(world.identity.authenticate(PEER, &planted.token).is_err());
    let caller = world.as_caller(OWNER, OTHER).await;
    assert!(world.identity.api_keys(&caller).unwrap().is_empty());
    assert!(world.identity.ssh_keys(&caller).unwrap().is_empty());

    // From now on the address is proved: what the owner makes stays, and so does its app.
    world.advance(1);
    let own = world.identity.create_api_key(&caller, new_key("own")).await.unwrap();
    assert_eq!(world.newest(OWNER).0, "New API key for your account");
    drop(world.set_up(&caller, OTHER).await);
    world.reset(OWNER, PASSWORD).await;
    assert!(world.identity.authenticate(PEER, &own.token).is_ok());
    let again = world.identity.login(client(), OWNER, secret(PASSWORD)).await.unwrap();
    assert!(again.tokens().is_none(), "the second factor is asked for");
}

/// Reading an administrator's mail is not enough, whether or not the address was ever proved.
#[tokio::test]
async fn the_app_of_an_administrator_outlives_a_password_set_by_mail() {
    let world = world().await;
    let caller = world.caller().await;
    drop(world.set_up(&caller, PASSWORD).await);
    world.reset("admin@example.org", OTHER).await;
    let reply = world.identity.login(client(), "admin@example.org", secret(OTHER)).await.unwrap();
    assert!(reply.tokens().is_none());
}

/// A key that was made before the policy stayed whole.
#[tokio::test]
async fn keys_of_an_account_that_lacks_a_factor_are_as_limited_as_its_sessions() {
    let world = world().await;
    let caller = world.caller().await;
    let key = world.identity.create_api_key(&caller, new_key("old")).await.unwrap().token;
    let settings = Settings { second_factor: SecondFactorPolicy::All, ..Settings::default() };
    let store = world.identity.inner.store.clone();
    let strict = open(store, &world.clock, world.dir.path(), settings);
    assert!(!world.identity.authenticate(PEER, &key).unwrap().is_limited);
    assert!(strict.authenticate(PEER, &key).unwrap().is_limited);
    drop(world.set_up(&caller, PASSWORD).await);
    assert!(!strict.authenticate(PEER, &key).unwrap().is_limited);
}

/// Who asked for mails from many places kept the owner from asking, also from home.
#[tokio::test]
async fn strangers_do_not_keep_the_owner_from_a_new_password() {
    let world = world().await;
    world.login().await.unwrap();
    let ask = async |peer: IpAddr| {
        world.identity.request_reset(Client::new(peer, "test"), "admin@example.org").await
    };
    let mut refused = 0;
    for last in 0..=100 {
        refused += usize::from(ask(IpAddr::from([198, 51, 100, last])).await.is_err());
    }
    assert_eq!(refused, 1);
    assert!(ask(IpAddr::from([203, 0, 113, 1])).await.is_err());
    ask(PEER).await.unwrap();
}
