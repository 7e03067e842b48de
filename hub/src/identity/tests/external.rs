//! Names of accounts in another system.

use super::*;
use mamba_wire::api::user::{UpdateUser, User};

const TAKEN: &str = "`external_id`: belongs to another account already";

impl World {
    async fn made(
        &self,
        by: &Caller,
        email: &str,
        name: Option<&str>,
    ) -> Result<User, IdentityError> {
        // Accounts of one millisecond have no order.
        self.advance(1);
        let (email, external_id) = (email.to_owned(), name.map(|it| it.parse().unwrap()));
        let new = NewUser { email, password: None, is_verified: false, external_id };
        self.identity.create_user(by, new).await
    }

    async fn name(&self, by: &Caller, user: UserId, name: &str) -> Result<User, IdentityError> {
        self.identity.update_user(by, user, called(name)).await
    }

    fn found(&self, name: &str) -> Vec<UserId> {
        let query = UserQuery { external_id: Some(name.to_owned()), ..PageQuery::FIRST.into() };
        let page = self.identity.users(&query).unwrap();
        assert_eq!(page.next, None);
        page.items.iter().map(|it| it.user).collect()
    }
}

fn called(name: &str) -> UpdateUser {
    UpdateUser { external_id: Some(name.to_owned()), ..UpdateUser::default() }
}

#[track_caller]
fn refused(result: Result<User, IdentityError>, why: &str) {
    assert_eq!(result.err().unwrap().to_string(), why);
}

#[tokio::test]
async fn at_most_one_account_has_a_name_and_is_found_by_it() {
    let world = world().await;
    let root = world.caller().await;
    let one = world.made(&root, "one@example.org", Some("7")).await.unwrap();
    assert_eq!(one.external_id.as_deref(), Some("7"));
    refused(world.made(&root, "two@example.org", Some("7")).await, TAKEN);
    let two = world.made(&root, "two@example.org", None).await.unwrap();
    assert_eq!(two.external_id, None, "of the account that was refused nothing stayed");
    refused(world.name(&root, two.user, "7").await, TAKEN);
    let length = "`external_id`: must be 1 to 128 bytes long";
    refused(world.name(&root, two.user, &"x".repeat(129)).await, length);
    assert_eq!((world.found("7"), world.found("8")), (vec![one.user], vec![]));
    assert_eq!((world.found(""), world.found("7 ")), (vec![], vec![]));
    // Another name frees the one before, and so does none.
    world.name(&root, one.user, "8").await.unwrap();
    world.name(&root, two.user, "7").await.unwrap();
    assert_eq!((world.found("7"), world.found("8")), (vec![two.user], vec![one.user]));
    assert_eq!(world.name(&root, two.user, "").await.unwrap().external_id, None);
    assert_eq!(world.found("7"), []);
    world.identity.delete_user(&root, one.user).await.unwrap();
    assert_eq!(world.found("8"), []);
    world.name(&root, two.user, "8").await.unwrap();
    assert_eq!(world.found("8"), [two.user]);
}

#[tokio::test]
async fn a_name_stays_whatever_else_is_changed() {
    let world = world().await;
    let root = world.caller().await;
    let user = world.made(&root, "one@example.org", Some("7")).await.unwrap().user;
    let wanted = UpdateUser { email: Some("two@example.org".to_owned()), ..called("8") };
    let both = world.identity.update_user(&root, user, wanted).await.unwrap();
    assert_eq!((both.email.as_str(), both.external_id.as_deref()), ("two@example.org", Some("8")));
    let taken = UpdateUser { email: Some("admin@example.org".to_owned()), ..called("9") };
    let err = world.identity.update_user(&root, user, taken).await.err().unwrap();
    assert!(matches!(err, IdentityError::EmailTaken(_)), "{err}");
    world.identity.lock_user(&root, user).await.unwrap();
    world.identity.require_reset(&root, user).await.unwrap();
    let some = Administration::Some([mamba_core::access::AdminRight::NodesRead].into());
    let shown = world.identity.set_administration(&root, user, some).await.unwrap();
    assert_eq!(shown.external_id.as_deref(), Some("8"));
    assert_eq!((world.found("8"), world.found("9")), (vec![user], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_are_given_a_name_at_once_one_has_it() {
    let world = world().await;
    let root = world.caller().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let email = format!("{number}@example.org");
        let user = world.made(&root, &email, None).await.unwrap().user;
        let (identity, root) = (world.identity.clone(), root.clone());
        tasks.spawn(async move { identity.update_user(&root, user, called("7")).await });
    }
    let mut named = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(user) => named.push(user.user),
            Err(err) => assert_eq!(err.to_string(), TAKEN),
        }
    }
    assert_eq!((named.len(), world.found("7")), (1, named));
}
