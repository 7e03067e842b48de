//! Accounts that administrators make, change and delete; who may not; and what ends with an account.

use super::world::{NO_PAGE, PASSWORD, World, api_key};
use mamba_core::{
    access::{AdminRight, Administration, Role, ServerKey},
    audit::Change,
    clock::{Clock as _, SystemEntropy},
    ids::{TenantId, UserId},
    scope::AdminScope,
};
use mamba_hub::identity::{IdentityError, NewAccount, create_account, delete_account};
use mamba_wire::api::{
    Code, Problem, account,
    audit::AuditQuery,
    auth,
    member::{AnswerInvitation, CreateInvitation, InviteSubUser, MemberPath, UpdateMember},
    params::{ServerPath, TenantPath},
    table,
    user::{CreateUser, SetAdministration, UpdateUser, User, UserPath},
};

use AdminRight::{ServersWrite, TenantsWrite, UsersWrite};

const OTHER: &str = "another horse battery";

fn named(email: &str) -> CreateUser {
    CreateUser { email: email.to_owned(), password: None, is_verified: false, external_id: None }
}

fn moved(email: &str) -> UpdateUser {
    UpdateUser { email: Some(email.to_owned()), ..UpdateUser::default() }
}

impl World {
    pub(super) async fn make(&self, email: &str, password: Option<&str>) -> User {
        let body = CreateUser { password: password.map(str::to_owned), ..named(email) };
        self.admin::<table::CreateUser>(&(), &(), &body).await
    }

    /// An administrator with these rights, and its token.
    pub(super) async fn helper(&self, name: &str, rights: &[AdminRight]) -> (UserPath, String) {
        let email = format!("{name}@example.org");
        let path = UserPath { user: self.make(&email, Some(PASSWORD)).await.user };
        let admin = Administration::Some(rights.iter().copied().collect());
        self.admin::<table::SetAdministration>(&path, &(), &SetAdministration { admin }).await;
        (path, self.login(&email).await.access_token)
    }

    async fn reset(&self, token: &str) -> Result<(), Problem> {
        let body = auth::ResetPassword { token: token.to_owned(), password: OTHER.to_owned() };
        self.call::<table::ResetPassword>(None, &(), &(), &body).await
    }

    async fn enters(&self, email: &str, password: &str) -> bool {
        let body = auth::Login { email: email.to_owned(), password: password.to_owned() };
        self.call::<table::Login>(None, &(), &(), &body).await.is_ok()
    }

    async fn delete(&self, token: &str, user: UserId) -> Result<(), Problem> {
        self.call::<table::DeleteUser>(Some(token), &UserPath { user }, &(), &()).await
    }

    /// What the installation's trail tells of events of a kind, newest first.
    pub(super) async fn told(&self, event: &str) -> Vec<Vec<Change>> {
        let trail = self.admin::<table::ListHubAudit>(&(), &AuditQuery::ALL, &()).await;
        let fitting = trail.items.into_iter().filter(|it| it.entry.event == event);
        fitting.map(|it| it.entry.changes).collect()
    }

    /// Makes an account a member of a tenant.
    async fn let_in(&self, tenant: TenantId, owner: &str, email: &str, role: Role) {
        let body = CreateInvitation { email: email.to_owned(), role };
        let path = TenantPath { tenant };
        let made = self.call::<table::CreateInvitation>(Some(owner), &path, &(), &body).await;
        let token = self.login(email).await.access_token;
        let answer = AnswerInvitation { token: made.unwrap().token };
        self.call::<table::AcceptInvitation>(Some(&token), &(), &(), &answer).await.unwrap();
    }
}

fn code_of(result: Result<impl Sized, Problem>) -> Code {
    result.err().unwrap().code
}

#[tokio::test]
async fn an_account_without_a_password_gets_a_letter_that_sets_it_once() {
    let world = World::new().await;
    let made = world.make("New@Example.org", None).await;
    assert_eq!((made.email.as_str(), made.email_verified_at), ("new@example.org", None));
    for password in ["", "!", PASSWORD] {
        assert!(!world.enters(&made.email, password).await);
    }
    let token = world.mailed(&made.email).await;
    world.reset(&token).await.unwrap();
    assert!(world.enters(&made.email, OTHER).await);
    assert_eq!(code_of(world.reset(&token).await), Code::Invalid);
    let path = UserPath { user: made.user };
    let shown = world.admin::<table::ShowUser>(&path, &(), &()).await;
    assert!(shown.email_verified_at.is_some(), "who read the letter has the address");
    let twice = named(&made.email);
    let again = world.call::<table::CreateUser>(Some(&world.admin), &(), &(), &twice).await;
    assert_eq!(code_of(again), Code::Conflict);
    for (email, password, field) in [("nowhere", None, "email"), ("a@b", Some("short"), "password")]
    {
        let body = CreateUser { password: password.map(str::to_owned), ..named(email) };
        let refused = world.call::<table::CreateUser>(Some(&world.admin), &(), &(), &body).await;
        assert_eq!(refused.err().unwrap().errors[0].field, field);
    }
}

#[tokio::test]
async fn a_new_address_is_unproved_and_old_letters_open_nothing() {
    let world = World::new().await;
    let made = world.make("typo@example.org", None).await;
    let path = UserPath { user: made.user };
    let stale = world.mailed("typo@example.org").await;
    let body = UpdateUser { is_verified: Some(true), ..moved("right@example.org") };
    let changed = world.admin::<table::UpdateUser>(&path, &(), &body).await;
    assert!(changed.email == "right@example.org" && changed.email_verified_at.is_some());
    assert_eq!(code_of(world.reset(&stale).await), Code::Invalid);
    let changed = world.admin::<table::UpdateUser>(&path, &(), &moved("third@example.org")).await;
    assert_eq!(changed.email_verified_at, None);
    let taken = world
        .call::<table::UpdateUser>(Some(&world.admin), &path, &(), &moved("admin@example.org"))
        .await;
    assert_eq!(code_of(taken), Code::Conflict);
    // A change that its owner began does not undo what an administrator decided.
    world.admin::<table::RequireReset>(&path, &(), &()).await;
    world.reset(&world.mailed("third@example.org").await).await.unwrap();
    let body = auth::Login { email: "third@example.org".to_owned(), password: OTHER.to_owned() };
    let tokens = world.call::<table::Login>(None, &(), &(), &body).await.unwrap().tokens().unwrap();
    let body =
        account::ChangeAddress { password: OTHER.to_owned(), email: "mine@example.org".to_owned() };
    let token = Some(tokens.access_token.as_str());
    world.call::<table::ChangeAddress>(token, &(), &(), &body).await.unwrap();
    let begun = world.mailed("mine@example.org").await;
    world.admin::<table::UpdateUser>(&path, &(), &moved("last@example.org")).await;
    let body = auth::MailToken { token: begun };
    let confirmed = world.call::<table::ConfirmAddress>(None, &(), &(), &body).await;
    assert_eq!(code_of(confirmed), Code::Invalid);
    assert_eq!(world.told("user:account.email-changed").await.len(), 3);
}

#[tokio::test]
async fn a_required_reset_ends_password_and_sessions_until_the_letter_is_used() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let me = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await.unwrap();
    let path = UserPath { user: me.user };
    for _ in 0..2 {
        world.clock.advance(1);
        let shown = world.admin::<table::RequireReset>(&path, &(), &()).await;
        assert_eq!(shown.sessions, 0);
    }
    assert!(!world.enters("acme@example.org", PASSWORD).await);
    let of_owner = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await;
    assert_eq!(code_of(of_owner), Code::NotSignedIn);
    world.reset(&world.mailed("acme@example.org").await).await.unwrap();
    assert!(world.enters("acme@example.org", OTHER).await);
    let tenant = world.admin::<table::ShowTenant>(&TenantPath { tenant: acme }, &(), &()).await;
    assert_eq!(tenant.name, "acme");
}

/// Take-over: who may change accounts, and no more, became whoever it liked by changing an address.
#[tokio::test]
async fn nobody_takes_over_or_ends_an_account_that_may_do_more() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let (of_helper, helper) = world.helper("helper", &[UsersWrite]).await;
    let (of_other, _) = world.helper("other", &[UsersWrite, TenantsWrite]).await;
    let me = world.call::<table::WhoAmI>(Some(&world.admin), &(), &(), &()).await.unwrap();
    let of_root = UserPath { user: me.user };
    let edit = async |by: &str, path: &UserPath| {
        let body = UpdateUser { is_verified: Some(true), ..UpdateUser::default() };
        world.call::<table::UpdateUser>(Some(by), path, &(), &body).await
    };
    for path in [&of_root, &of_other] {
        assert_eq!(code_of(edit(&helper, path).await), Code::Forbidden);
        assert_eq!(code_of(world.delete(&helper, path.user).await), Code::Forbidden);
        let reset = world.call::<table::RequireReset>(Some(&helper), path, &(), &()).await;
        assert_eq!(code_of(reset), Code::Forbidden);
    }
    // An owner has its tenant, and a sub-user its server: that is more than rights over accounts.
    let me = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await.unwrap();
    let of_owner = UserPath { user: me.user };
    assert_eq!(code_of(edit(&helper, &of_owner).await), Code::Forbidden);
    let server = world.server(node, acme, 30_001).await;
    let of_friend = UserPath { user: world.make("friend@example.org", Some(PASSWORD)).await.user };
    assert!(edit(&helper, &of_friend).await.is_ok());
    let keys = [ServerKey::ControlStart].into();
    let body = InviteSubUser { email: "friend@example.org".to_owned(), keys };
    let path = ServerPath { server };
    let made = world.call::<table::InviteSubUser>(Some(&owner), &path, &(), &body).await.unwrap();
    let friend = world.login("friend@example.org").await.access_token;
    let answer = AnswerInvitation { token: made.token };
    world.call::<table::AcceptInvitation>(Some(&friend), &(), &(), &answer).await.unwrap();
    assert_eq!(code_of(edit(&helper, &of_friend).await), Code::Forbidden);
    let (_, strong) = world.helper("strong", &[UsersWrite, TenantsWrite, ServersWrite]).await;
    assert!(edit(&strong, &of_friend).await.is_ok());
    assert_eq!(code_of(edit(&strong, &of_root).await), Code::Forbidden);
    // Nobody does to itself what asks for more when one does it in the own account.
    for path in [&of_helper] {
        assert_eq!(code_of(edit(&helper, path).await), Code::Conflict);
        assert_eq!(code_of(world.delete(&helper, path.user).await), Code::Conflict);
    }
    // A key of root is not root in person.
    let body =
        account::CreateApiKey { admin: AdminRight::ALL.iter().copied().collect(), ..api_key("k") };
    let (second, _) = world.helper("second", &[]).await;
    let admin = SetAdministration { admin: Administration::Root };
    world.admin::<table::SetAdministration>(&second, &(), &admin).await;
    let key = world.admin::<table::CreateApiKey>(&(), &(), &body).await.token;
    assert_eq!(code_of(world.delete(&key, second.user).await), Code::Forbidden);
    assert!(world.delete(&key, of_friend.user).await.is_ok());
}

#[tokio::test]
async fn the_only_owner_gives_its_tenants_away_first_and_the_last_root_stays() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let me = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await.unwrap();
    let refused = world.delete(&world.admin, me.user).await.err().unwrap();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.detail.contains("only owner of `acme`"), "{}", refused.detail);
    world.make("heir@example.org", Some(PASSWORD)).await;
    world.let_in(acme, &owner, "heir@example.org", Role::Viewer).await;
    let refused = world.delete(&world.admin, me.user).await.err().unwrap();
    assert_eq!(refused.code, Code::Conflict, "a viewer is no owner");
    let heir = world.login("heir@example.org").await;
    let path = MemberPath { tenant: acme, user: heir.me.user };
    let role = UpdateMember { role: Role::Owner };
    world.call::<table::UpdateMember>(Some(&owner), &path, &(), &role).await.unwrap();
    world.delete(&world.admin, me.user).await.unwrap();
    let members = world
        .call::<table::ListMembers>(
            Some(&heir.access_token),
            &TenantPath { tenant: acme },
            &NO_PAGE,
            &(),
        )
        .await
        .unwrap();
    assert_eq!(members.items.len(), 1);
    // Who has the machine is bound by the same.
    let (store, now) = (world.hub.store(), world.clock.wall());
    let operator = AdminScope::operator("test".to_owned());
    let delete = async |email: &str| {
        let vault = world.hub.vault().clone();
        delete_account(store, vault, &operator, now, &SystemEntropy, email).await
    };
    let last = delete("admin@example.org").await;
    assert!(matches!(last, Err(IdentityError::Refused(_))), "{last:?}");
    let only = delete("heir@example.org").await;
    assert!(
        matches!(&only, Err(IdentityError::OnlyOwner(names)) if names == &["acme"]),
        "{only:?}"
    );
    let new =
        NewAccount { email: "Made@example.org".to_owned(), password: PASSWORD.to_owned().into() };
    create_account(store, &operator, now, &SystemEntropy, new).await.unwrap();
    assert!(world.enters("made@example.org", PASSWORD).await);
    delete("made@example.org").await.unwrap();
    assert!(!world.enters("made@example.org", PASSWORD).await);
    assert_eq!(world.hub.verify_audit().unwrap().breaks, []);
}

#[tokio::test]
async fn everything_of_an_account_ends_with_it_and_the_trail_says_who_it_was() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let user = world.make("gone@example.org", Some(PASSWORD)).await.user;
    world.let_in(acme, &owner, "gone@example.org", Role::Admin).await;
    let token = world.login("gone@example.org").await;
    let bearer = token.access_token.as_str();
    let (_, codes) = world.set_up(bearer).await;
    assert!(!codes.is_empty());
    let key = api_key("script");
    let key = world.call::<table::CreateApiKey>(Some(bearer), &(), &(), &key).await.unwrap();
    let ssh_key = account::AddSshKey {
        name: "laptop".to_owned(),
        public_key:
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICJBBAx+aJxHZasHzFLZNw/C2ym+4UHs4ii2HU9fF+W/"
                .to_owned(),
    };
    world.call::<table::AddSshKey>(Some(bearer), &(), &(), &ssh_key).await.unwrap();
    let body = auth::RequestReset { email: "gone@example.org".to_owned() };
    world.clock.advance(1);
    world.call::<table::RequestReset>(None, &(), &(), &body).await.unwrap();
    let reset = world.mailed("gone@example.org").await;
    world.clock.advance(1);
    world.delete(&world.admin, user).await.unwrap();
    for token in [bearer, &key.token] {
        let who = world.call::<table::WhoAmI>(Some(token), &(), &(), &()).await;
        assert_eq!(code_of(who), Code::NotSignedIn);
    }
    let refresh = auth::Refresh { refresh_token: token.refresh_token.clone() };
    let refreshed = world.call::<table::Refresh>(None, &(), &(), &refresh).await;
    assert_eq!(code_of(refreshed), Code::NotSignedIn);
    assert_eq!(code_of(world.reset(&reset).await), Code::Invalid);
    let path = UserPath { user };
    let shown = world.call::<table::ShowUser>(Some(&world.admin), &path, &(), &()).await;
    assert_eq!(code_of(shown), Code::NotFound);
    let mails = world.admin::<table::ListMails>(&(), &NO_PAGE.into(), &()).await.items;
    let own: Vec<_> = mails.iter().filter(|it| it.to == "gone@example.org").collect();
    assert_eq!(own.len(), 1, "only the farewell is left: {own:?}");
    assert_eq!(own[0].subject, "Your account is closed");
    let told = world.told("user:delete").await;
    let was = |field: &str, text: &str| Change::new(field, Some(text), None::<String>);
    assert_eq!(told.len(), 1);
    for change in [
        Change::set("account", user.to_string()),
        was("email", "gone@example.org"),
        was("api-keys", "1"),
        was("ssh-keys", "1"),
    ] {
        assert!(told[0].contains(&change), "{change:?} in {told:?}");
    }
    let path = TenantPath { tenant: acme };
    let trail = world.call::<table::ListAudit>(Some(&owner), &path, &AuditQuery::ALL, &());
    let left = trail.await.unwrap().items.into_iter().find(|it| it.entry.event == "member:delete");
    assert!(left.unwrap().entry.changes.contains(&was("email", "gone@example.org")));
    // Nothing of it is in the way of another account with the same address and keys.
    world.make("gone@example.org", Some(PASSWORD)).await;
    let next = world.login("gone@example.org").await.access_token;
    world.call::<table::AddSshKey>(Some(&next), &(), &(), &ssh_key).await.unwrap();
    let me = world.call::<table::WhoAmI>(Some(&next), &(), &(), &()).await.unwrap();
    assert!(me.tenants.is_empty() && me.user != user);
    assert_eq!(world.hub.verify_audit().unwrap().breaks, []);
}
