//! Step-up: what outlives a session is for who proved a short while ago to be there.

use super::{
    account::shown,
    credentials::sign_with,
    world::{PASSWORD, World, api_key, path_of_nothing},
};
use mamba_core::access::{AdminRight, Role};
use mamba_hub::identity::PRESENCE_MS;
use mamba_wire::api::{
    Code, ENDPOINTS, Problem, Row,
    account::{Confirmation, CreateApiKey},
    auth,
    member::{AnswerInvitation, CreateInvitation},
    params::TenantPath,
    table,
};
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

fn password() -> Confirmation {
    Confirmation::Password(PASSWORD.to_owned())
}

fn new_key() -> CreateApiKey {
    CreateApiKey { admin: AdminRight::ALL.iter().copied().collect(), ..api_key("script") }
}

impl World {
    async fn confirm(&self, token: &str, proof: Confirmation) -> Result<(), Problem> {
        self.call::<table::Confirm>(Some(token), &(), &(), &proof).await
    }

    /// Whether somebody counts as there: may make a key.
    async fn is_there(&self, token: &str) -> bool {
        match self.call::<table::CreateApiKey>(Some(token), &(), &(), &new_key()).await {
            Ok(_) => true,
            Err(problem) => {
                assert_eq!(problem.code, Code::ConfirmFirst, "{problem:?}");
                false
            }
        }
    }

    async fn close(&self, token: &str, proof: Confirmation) -> Result<(), Problem> {
        self.call::<table::CloseAccount>(Some(token), &(), &(), &proof).await
    }
}

/// Asks for each row about nothing, with a body that nobody has read yet.
async fn ask(world: &World, row: &Row, token: &str) -> Option<Code> {
    let bearer = format!("Bearer {token}");
    let body = row.has_body.then_some("{\"unread\":true}");
    let path = path_of_nothing(row.path);
    let headers = [("authorization", bearer.as_str())];
    let reply = world.send(row.method.name(), &path, &headers, body).await;
    (reply.status >= 400).then(|| reply.problem().code)
}

#[tokio::test]
async fn rows_that_want_a_proof_refuse_who_gave_none_lately_and_others_do_not_ask() {
    let world = World::new().await;
    // What ends the session that asks is tried by others.
    let ends = ["Logout", "EndOtherSessions"];
    let rows = || ENDPOINTS.iter().filter(|it| it.needs_token() && !ends.contains(&it.name));
    let key = world.admin::<table::CreateApiKey>(&(), &(), &new_key()).await.token;
    let mut seen = 0;
    for row in rows() {
        let fresh = ask(&world, row, &world.admin).await;
        assert_ne!(fresh, Some(Code::ConfirmFirst), "{}", row.name);
        if row.confirmed {
            assert_eq!(ask(&world, row, &key).await, Some(Code::Forbidden), "{}", row.name);
        }
    }
    world.clock.advance(PRESENCE_MS);
    for row in rows() {
        let stale = ask(&world, row, &world.admin).await;
        assert_eq!(stale == Some(Code::ConfirmFirst), row.confirmed, "{}: {stale:?}", row.name);
        seen += usize::from(row.confirmed);
    }
    assert!(seen >= 4, "{seen}");
}

#[tokio::test]
async fn a_proof_counts_in_its_session_and_for_ten_minutes() {
    let world = World::new().await;
    let other = world.login("admin@example.org").await;
    let token = world.admin.as_str();
    assert!(world.is_there(token).await);
    world.clock.advance(PRESENCE_MS);
    assert!(!world.is_there(token).await && !world.is_there(&other.access_token).await);
    // To stay signed in is not to be there.
    let body = auth::Refresh { refresh_token: other.refresh_token };
    let other = world.call::<table::Refresh>(None, &(), &(), &body).await.unwrap().access_token;
    world.confirm(token, password()).await.unwrap();
    assert!(world.is_there(token).await && !world.is_there(&other).await);
    world.clock.advance(PRESENCE_MS - 1);
    let token = world.login("admin@example.org").await.access_token;
    assert!(world.is_there(&token).await, "to sign in is a proof");
    assert!(!world.is_there(&other).await);
}

#[tokio::test]
async fn each_proof_that_the_account_has_counts_and_no_other() {
    let world = World::new().await;
    world.tenant("stranger").await;
    let mut tokens = world.login("admin@example.org").await;
    let code = async |token: &str, proof| world.confirm(token, proof).await.err().map(|it| it.code);
    let token = tokens.access_token.as_str();
    let refused = code(token, Confirmation::Code("000000".to_owned())).await;
    assert_eq!(refused, Some(Code::NotFound), "there is no app");
    let begun = world.call::<table::BeginConfirm>(Some(token), &(), &(), &()).await;
    assert_eq!(begun.err().unwrap().code, Code::NotFound, "there is no passkey");
    let (secret, recovery) = world.set_up(token).await;
    let mut device = SoftPasskey::new(true);
    world.add_passkey(token, &mut device).await;
    let wrong = Confirmation::Password("wrong horse battery".to_owned());
    assert_eq!(code(token, wrong).await, Some(Code::WrongCredentials));
    for way in ["password", "app", "recovery code"] {
        world.clock.advance(PRESENCE_MS);
        let body = auth::Refresh { refresh_token: tokens.refresh_token };
        tokens = world.call::<table::Refresh>(None, &(), &(), &body).await.unwrap();
        let token = tokens.access_token.as_str();
        assert!(!world.is_there(token).await);
        let proof = match way {
            "password" => password(),
            "app" => Confirmation::Code(shown(&world, &secret)),
            _ => Confirmation::Code(recovery[0].clone()),
        };
        assert_eq!(code(token, proof.clone()).await, None, "{way}");
        assert!(world.is_there(token).await);
        let again = code(token, proof).await;
        assert_eq!(again, (way != "password").then_some(Code::Invalid), "{way}");
    }
    let token = tokens.access_token.as_str();
    // A passkey signs for this session's account, once.
    let stranger = world.login("stranger@example.org").await.access_token;
    let begun = world.call::<table::BeginConfirm>(Some(token), &(), &(), &()).await.unwrap();
    let credential = sign_with(&mut device, begun.options);
    let challenge = begun.challenge;
    let proof = Confirmation::Passkey(auth::FinishPasskeySignIn { challenge, credential });
    let stolen = world.confirm(&stranger, proof.clone()).await.err().unwrap().code;
    assert_eq!(stolen, Code::WrongCredentials);
    assert_eq!(code(token, proof.clone()).await, None);
    assert_eq!(code(token, proof).await, Some(Code::WrongCredentials));
    for _ in 0..6 {
        let wrong = Confirmation::Password("wrong horse battery".to_owned());
        assert!(code(token, wrong).await.is_some());
    }
    assert_eq!(code(token, password()).await, Some(Code::Throttled));
}

#[tokio::test]
async fn an_account_is_closed_by_who_proves_to_be_its_owner() {
    let world = World::new().await;
    let (acme, owner) = world.tenant("acme").await;
    let (_, guest) = world.tenant("guest").await;
    let refused = world.close(&owner, password()).await.err().unwrap();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.detail.contains("only owner of `acme`"), "{}", refused.detail);
    // It gives its tenant away.
    let body = CreateInvitation { email: "guest@example.org".to_owned(), role: Role::Owner };
    let path = TenantPath { tenant: acme };
    let made = world.call::<table::CreateInvitation>(Some(&owner), &path, &(), &body).await;
    let answer = AnswerInvitation { token: made.unwrap().token };
    world.call::<table::AcceptInvitation>(Some(&guest), &(), &(), &answer).await.unwrap();
    let wrong = Confirmation::Password("wrong horse battery".to_owned());
    let refused = world.close(&owner, wrong).await.err().unwrap();
    assert_eq!(refused.code, Code::WrongCredentials);
    world.close(&owner, password()).await.unwrap();
    let gone = world.call::<table::WhoAmI>(Some(&owner), &(), &(), &()).await;
    assert_eq!(gone.err().unwrap().code, Code::NotSignedIn);
    let body = auth::Login { email: "acme@example.org".to_owned(), password: PASSWORD.to_owned() };
    let login = world.call::<table::Login>(None, &(), &(), &body).await;
    assert_eq!(login.err().unwrap().code, Code::WrongCredentials);
    let root = world.close(&world.admin, password()).await.err().unwrap();
    assert_eq!(root.code, Code::Conflict, "the last root stays");
}
