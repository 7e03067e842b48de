//! Accounts and sessions on a real store, with a clock that is set by hand.

mod external;
mod takeover;

use super::*;
use mamba_core::{
    access::{Administration, Role},
    clock::{BootId, BootMs, SystemEntropy, UnixMs},
    db::{DataDir, StoreKind, StoreOptions},
    ids::TenantId,
    quota::Quota,
};
use mamba_wire::api::{PageQuery, account::CreateApiKey, auth::Membership, user::UserQuery};
use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};
use zeroize::Zeroizing;

const KIND: StoreKind = StoreKind { name: "identity-test", version: 1 };
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn wall(&self) -> UnixMs {
        UnixMs(1_800_000_000_000 + self.0.load(Ordering::Relaxed))
    }
    fn boot(&self) -> BootMs {
        BootMs(self.0.load(Ordering::Relaxed))
    }
    fn boot_id(&self) -> BootId {
        BootId([0; 16])
    }
}

struct World {
    identity: Identity,
    clock: Arc<TestClock>,
    dir: tempfile::TempDir,
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn new_account(email: &str) -> NewAccount {
    NewAccount { email: email.to_owned(), password: secret("correct horse battery") }
}

fn new_key(name: &str) -> CreateApiKey {
    CreateApiKey {
        name: name.to_owned(),
        admin: Default::default(),
        rights: Default::default(),
        tenant: None,
        networks: Vec::new(),
        until: None,
    }
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("hub"), KIND).unwrap();
    let options = StoreOptions { runs_twice: true, ..StoreOptions::EDGE };
    let store = Store::open(&data, 0, options).unwrap();
    let clock = Arc::new(TestClock(AtomicU64::new(0)));
    let now = clock.wall();
    create_admin(&store, now, &SystemEntropy, new_account("Admin@Example.org")).await.unwrap();
    let identity = open(store, &clock, data.path(), Settings::default());
    World { identity, clock, dir }
}

fn open(
    store: Store,
    clock: &Arc<TestClock>,
    data: &std::path::Path,
    settings: Settings,
) -> Identity {
    Identity::new(IdentityParts {
        store,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        key: AccessKey::open(data, &SystemEntropy).unwrap(),
        vault: Vault::in_memory([7; 32]),
        settings,
    })
}

impl World {
    async fn login(&self) -> Result<mamba_wire::api::auth::Tokens, IdentityError> {
        self.login_as(PEER, " admin@example.ORG", "correct horse battery").await
    }

    async fn caller(&self) -> Caller {
        let tokens = self.login().await.unwrap();
        self.identity.authenticate(PEER, &tokens.access_token).unwrap()
    }

    async fn login_as(
        &self,
        peer: IpAddr,
        email: &str,
        password: &str,
    ) -> Result<mamba_wire::api::auth::Tokens, IdentityError> {
        let reply = self.identity.login(Client::new(peer, "test"), email, secret(password)).await?;
        Ok(reply.tokens().unwrap())
    }

    async fn refresh(
        &self,
        tokens: &mamba_wire::api::auth::Tokens,
    ) -> Result<mamba_wire::api::auth::Tokens, IdentityError> {
        let token = tokens.refresh_token.clone().unwrap();
        self.identity.refresh(Client::new(PEER, "test"), &token).await
    }

    fn advance(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_session_lives_until_logout_and_its_tokens_with_it() {
    let world = world().await;
    let tokens = world.login().await.unwrap();
    let caller = world.identity.authenticate(PEER, &tokens.access_token).unwrap();
    assert_eq!(
        (caller.email.as_str(), &caller.access.admin),
        ("admin@example.org", &Administration::Root.rights())
    );
    world.advance(ACCESS_TTL_MS);
    assert!(world.identity.authenticate(PEER, &tokens.access_token).is_err());
    let next = world.refresh(&tokens).await.unwrap();
    assert_eq!(world.identity.authenticate(PEER, &next.access_token).unwrap(), caller);
    let mut ended = world.identity.ended();
    world.identity.logout(&caller).await.unwrap();
    assert!(ended.has_changed().unwrap());
    ended.mark_unchanged();
    assert!(world.identity.authenticate(PEER, &next.access_token).is_err());
    assert!(world.refresh(&next).await.is_err());
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_the_session() {
    let world = world().await;
    let first = world.login().await.unwrap();
    let second = world.refresh(&first).await.unwrap();
    let again = world.refresh(&first).await.unwrap();
    assert_eq!(again.refresh_token, second.refresh_token);
    world.advance(RETRY_MS + 1);
    assert!(world.refresh(&first).await.is_err());
    assert!(world.identity.authenticate(PEER, &second.access_token).is_err());
    assert!(world.refresh(&second).await.is_err());
}

#[tokio::test]
async fn a_copied_refresh_token_is_no_retry_and_a_made_up_one_ends_nothing() {
    let world = world().await;
    let first = world.login().await.unwrap();
    let token = first.refresh_token.clone().unwrap();
    let made_up = format!("{}.1.{}", first.me.session, "0".repeat(64));
    let here = || Client::new(PEER, "test");
    assert!(world.identity.refresh(here(), &made_up).await.is_err());
    let second = world.refresh(&first).await.unwrap();
    let thief = Client::new("192.0.2.66".parse().unwrap(), "test");
    assert!(world.identity.refresh(thief, &token).await.is_err());
    assert!(world.identity.authenticate(PEER, &second.access_token).is_err());
}

#[tokio::test]
async fn a_session_ends_however_often_it_is_refreshed() {
    let world = world().await;
    let mut tokens = world.login().await.unwrap();
    for _ in 0..3 {
        world.advance(REFRESH_TTL_MS - 1);
        tokens = world.refresh(&tokens).await.unwrap();
    }
    assert_eq!(tokens.refresh_until, UnixMs(1_800_000_000_000 + SESSION_TTL_MS));
    world.advance(3);
    assert!(world.identity.authenticate(PEER, &tokens.access_token).is_err());
    assert!(world.refresh(&tokens).await.is_err());
}

#[tokio::test]
async fn unknown_and_wrong_answer_alike_and_are_throttled_alike() {
    let world = world().await;
    for email in ["admin@example.org", "nobody@example.org"] {
        for _ in 0..5 {
            let err = world.login_as(PEER, email, "wrong").await.err().unwrap();
            assert!(matches!(err, IdentityError::WrongCredentials), "{email}: {err}");
        }
        let err = world.login_as(PEER, email, "wrong").await.err().unwrap();
        assert!(matches!(err, IdentityError::Throttled { .. }), "{email}: {err}");
    }
    assert!(matches!(world.login().await, Err(IdentityError::Throttled { .. })));
    world.advance(15 * 60_000);
    assert!(world.login().await.is_ok());
}

#[tokio::test]
async fn sessions_of_one_account_are_bounded() {
    let world = world().await;
    let first = world.login().await.unwrap();
    for _ in 0..SESSIONS_PER_USER_MAX {
        world.advance(1);
        world.login().await.unwrap();
    }
    assert!(world.identity.authenticate(PEER, &first.access_token).is_err());
}

#[tokio::test]
async fn a_tenant_and_its_owner_are_made_together_or_not_at_all() {
    let world = world().await;
    let new = |email: &str| NewTenant {
        name: "Acme".to_owned(),
        quota: Quota::default(),
        owner: new_account(email),
        external_id: None,
    };
    let by = world.caller().await;
    let (id, tenant) = world.identity.create_tenant(&by, new("owner@example.org")).await.unwrap();
    assert_eq!(world.identity.tenant(id).unwrap(), Some(tenant));
    let err = world.identity.create_tenant(&by, new("OWNER@example.org")).await.err().unwrap();
    assert!(matches!(err, IdentityError::EmailTaken(_)), "{err}");
    assert_eq!(world.identity.tenant(TenantId::from_bytes([0; 16])).unwrap(), None);
    let tokens = world.login_as(PEER, "owner@example.org", "correct horse battery").await.unwrap();
    assert_eq!(tokens.me.admin, Administration::None);
    let expected = Membership { tenant: id, name: "Acme".to_owned(), role: Role::Owner };
    assert_eq!(tokens.me.tenants, [expected]);
}

#[tokio::test]
async fn bad_accounts_are_refused_by_field() {
    let world = world().await;
    let by = world.caller().await;
    for (email, password, field) in [
        ("nobody", "correct horse battery", "owner.email"),
        ("a b@c", "correct horse battery", "owner.email"),
        ("a@b@c", "correct horse battery", "owner.email"),
        ("a@b", "short", "owner.password"),
    ] {
        let owner = NewAccount { email: email.to_owned(), password: secret(password) };
        let (name, quota, external_id) = ("Acme".to_owned(), Quota::default(), None);
        let new = NewTenant { name, quota, owner, external_id };
        match world.identity.create_tenant(&by, new).await {
            Err(IdentityError::Invalid(err)) => assert_eq!(err.field, field),
            other => panic!("{email}: {:?}", other.map(|_| ())),
        }
    }
}

/// Makes the owner of a tenant and returns who it is and its first tokens.
async fn owner(world: &World, by: &Caller, email: &str) -> (UserId, mamba_wire::api::auth::Tokens) {
    let owner = new_account(email);
    let (name, quota, external_id) = (email.to_owned(), Quota::default(), None);
    let new = NewTenant { name, quota, owner, external_id };
    world.identity.create_tenant(by, new).await.unwrap();
    let tokens = world.login_as(PEER, email, "correct horse battery").await.unwrap();
    (tokens.me.user, tokens)
}

#[tokio::test]
async fn a_locked_account_is_let_in_nowhere_until_it_is_unlocked() {
    let world = world().await;
    let admin = world.caller().await;
    let (user, tokens) = owner(&world, &admin, "owner@example.org").await;
    let caller = world.identity.authenticate(PEER, &tokens.access_token).unwrap();
    let key = world.identity.create_api_key(&caller, new_key("k")).await.unwrap().token;
    assert!(world.identity.authenticate(PEER, &key).is_ok());
    let mut ended = world.identity.ended();

    let shown = world.identity.lock_user(&admin, user).await.unwrap();
    assert_eq!((shown.sessions, shown.locked_at), (0, Some(world.clock.wall())));
    assert!(ended.has_changed().unwrap(), "open consoles are told");
    ended.mark_unchanged();
    for token in [&tokens.access_token, &key] {
        let refused = world.identity.authenticate(PEER, token);
        assert!(matches!(refused, Err(IdentityError::NotSignedIn)), "{refused:?}");
    }
    let wrong = world.login_as(PEER, "owner@example.org", "wrong").await.err().unwrap();
    assert!(matches!(wrong, IdentityError::WrongCredentials), "told to nobody else: {wrong:?}");
    let right =
        world.login_as(PEER, "owner@example.org", "correct horse battery").await.err().unwrap();
    assert!(matches!(right, IdentityError::Forbidden(_)), "{right:?}");
    assert!(world.refresh(&tokens).await.is_err());

    let shown = world.identity.unlock_user(&admin, user).await.unwrap();
    assert_eq!(shown.locked_at, None);
    assert!(world.login_as(PEER, "owner@example.org", "correct horse battery").await.is_ok());
    assert!(world.identity.authenticate(PEER, &key).is_ok());
}

#[tokio::test]
async fn nobody_locks_itself_or_who_may_do_more() {
    let world = world().await;
    let root = world.caller().await;
    let own = world.identity.lock_user(&root, root.user).await;
    assert!(matches!(own, Err(IdentityError::Refused(_))), "{own:?}");
    let (user, _) = owner(&world, &root, "helper@example.org").await;
    let mut helper = Caller { user, ..root.clone() };
    helper.access.admin = [mamba_core::access::AdminRight::UsersWrite].into();
    let refused = world.identity.lock_user(&helper, root.user).await;
    assert!(matches!(refused, Err(IdentityError::Forbidden(_))), "{refused:?}");
    let (other, _) = owner(&world, &root, "other@example.org").await;
    assert!(world.identity.lock_user(&helper, other).await.unwrap().locked_at.is_some());
    let nobody = UserId::from_bytes([9; 16]);
    let missing = world.identity.lock_user(&root, nobody).await;
    assert!(matches!(missing, Err(IdentityError::NotFound(_))), "{missing:?}");
}

#[tokio::test]
async fn accounts_are_listed_by_a_part_of_their_address() {
    let world = world().await;
    let root = world.caller().await;
    for email in ["a@one.example", "b@two.example", "c@one.example"] {
        // Accounts of one millisecond have no order.
        world.advance(1);
        owner(&world, &root, email).await;
    }
    let list = |email: Option<&str>, after: Option<String>| {
        let query = UserQuery {
            email: email.map(str::to_owned),
            ..PageQuery { after, limit: Some(2) }.into()
        };
        let page = world.identity.users(&query).unwrap();
        let found: Vec<String> = page.items.iter().map(|it| it.email.clone()).collect();
        (found, page.next)
    };
    let (first, next) = list(None, None);
    assert_eq!(first, ["admin@example.org", "a@one.example"]);
    let (second, next) = list(None, next);
    assert_eq!((second.len(), next), (2, None));
    let (found, next) = list(Some(" ONE.example"), None);
    assert_eq!((found, next), (vec!["a@one.example".to_owned(), "c@one.example".to_owned()], None));
}
