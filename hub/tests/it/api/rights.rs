//! Every right on its own, generated from the contract table: who has all rights but the one that a
//! row wants is refused, and who has only that one is let through.

use super::{
    examples::{Entry, Sample, Seed, every},
    world::{Reply, World},
};
use mamba_core::{
    access::{AdminRight, Administration, Rights, Role, ServerKey, TenantRight, Wanted},
    ids::{RoleId, UserId},
};
use mamba_wire::api::{
    Code, Row,
    member::{AnswerInvitation, CreateInvitation, RolePath, WriteRole},
    params::TenantPath,
    table,
    user::{SetAdministration, UserPath},
};

/// Rights to give to somebody.
enum Given {
    Admin(Administration),
    Role(Rights),
}

/// Returns everything of the same kind but what includes `wanted`, and `wanted` alone.
fn both(wanted: Wanted) -> [Given; 2] {
    match wanted {
        Wanted::Admin(right) => {
            let includes = |it: &AdminRight| *it == right || *it == right.write();
            let all = AdminRight::ALL.iter().copied();
            let others = all.filter(|it| !includes(it)).collect();
            [others, [right].into()].map(|it| Given::Admin(Administration::Some(it)))
        }
        Wanted::Tenant(right) => {
            let mut others = Rights::all();
            others.tenant.remove(&right);
            // Who sees nothing of a server finds none.
            let sees = [ServerKey::WebsocketConnect].into();
            [others, Rights { tenant: [right].into(), server: sees }].map(Given::Role)
        }
        Wanted::Server(key) => {
            let mut others = Rights::all();
            others.server.remove(&key);
            [others, Rights { server: [key].into(), ..Rights::default() }].map(Given::Role)
        }
    }
}

/// Somebody with a role of the seed's tenant, or a part in running the hub, that is changed each time.
struct Insider<'a> {
    world: &'a World,
    user: UserId,
    token: String,
    role: RolePath,
}

impl<'a> Insider<'a> {
    async fn new(seed: &Seed<'a>) -> Self {
        let world = seed.world;
        let (_, token) = world.tenant("insider").await;
        let user = world.call::<table::WhoAmI>(Some(&token), &(), &(), &()).await.unwrap().user;
        let path = TenantPath { tenant: seed.tenant };
        let role = world.admin::<table::CreateRole>(&path, &(), &written(Rights::all())).await.role;
        let body = CreateInvitation { email: "insider@example.org".to_owned(), role };
        let made = world.admin::<table::CreateInvitation>(&path, &(), &body).await;
        let answer = AnswerInvitation { token: made.token };
        world.call::<table::AcceptInvitation>(Some(&token), &(), &(), &answer).await.unwrap();
        let role = RolePath { tenant: seed.tenant, role: id_of(role) };
        Self { world, user, token, role }
    }

    /// Gives these rights in place of those before.
    async fn get(&self, given: Given) {
        let (admin, rights) = match given {
            Given::Admin(admin) => (admin, Rights::default()),
            Given::Role(rights) => (Administration::None, rights),
        };
        let path = UserPath { user: self.user };
        let body = SetAdministration { admin };
        self.world.admin::<table::SetAdministration>(&path, &(), &body).await;
        self.world.admin::<table::UpdateRole>(&self.role, &(), &written(rights)).await;
    }

    async fn ask(&self, row: &Row, sample: &Sample) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str())];
        self.world.send(row.method.name(), &sample.target, &headers, sample.body.as_deref()).await
    }
}

fn written(rights: Rights) -> WriteRole {
    WriteRole { name: "changing".to_owned(), rights }
}

fn id_of(role: Role) -> RoleId {
    match role {
        Role::Custom(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Whether an answer says that exactly this right is missing.
fn lacks(reply: &Reply, wanted: Wanted) -> bool {
    reply.status == 403 && reply.problem().detail.ends_with(&format!("the right `{wanted}`"))
}

#[tokio::test]
async fn each_right_lets_through_what_it_is_for_and_nothing_else_does() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let insider = Insider::new(&seed).await;
    let mut asked = 0;
    for entry in every() {
        let Entry { row, .. } = entry;
        let Some(wanted) = row.permission.wanted() else { continue };
        let about = ["server", "tenant"].iter().any(|name| row.path_names.contains(name));
        // A list of what somebody may see refuses nobody.
        if !about && !matches!(wanted, Wanted::Admin(_)) {
            continue;
        }
        // The clock goes on, for nobody may ask so much in one minute.
        world.clock.advance(1_000);
        let [others, only] = both(wanted);
        insider.get(others).await;
        let sample = entry.sample(&seed).await;
        let reply = insider.ask(&row, &sample).await;
        let is_hidden = reply.status == 404 && reply.problem().code == Code::NotFound;
        assert!(lacks(&reply, wanted) || is_hidden, "{} without: {reply:?}", row.name);
        insider.get(only).await;
        let reply = insider.ask(&row, &sample).await;
        assert!(!lacks(&reply, wanted) && reply.status != 401, "{} with: {reply:?}", row.name);
        let is_there = reply.status != 404 || sample.outcome == Err(Code::NotFound);
        assert!(is_there, "{} with: {reply:?}", row.name);
        asked += 1;
    }
    assert!(asked >= 97, "{asked}");
}

/// What somebody gains through a role ends with the role's rights, and a role gives nobody more than
/// who wrote it has.
#[tokio::test]
async fn a_role_is_bounded_by_who_writes_it_and_acts_at_once() {
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let insider = Insider::new(&seed).await;
    let path = TenantPath { tenant: seed.tenant };
    let writer = Rights {
        tenant: [TenantRight::TenantRead, TenantRight::RoleRead, TenantRight::RoleWrite].into(),
        server: [ServerKey::WebsocketConnect].into(),
    };
    insider.get(Given::Role(writer.clone())).await;
    let token = Some(insider.token.as_str());
    // Its own role is one that it can write, and cannot make say more than itself.
    let mut more = writer.clone();
    more.tenant.insert(TenantRight::MemberWrite);
    for rights in [more, Rights::all()] {
        let body = written(rights);
        let changed = world.call::<table::UpdateRole>(token, &insider.role, &(), &body).await;
        assert_eq!(changed.err().unwrap().code, Code::Forbidden);
        let made = world.call::<table::CreateRole>(token, &path, &(), &body).await;
        assert_eq!(made.err().unwrap().code, Code::Forbidden);
    }
    // A role that says more already is not for it to change or delete.
    let strong = world.admin::<table::CreateRole>(&path, &(), &written(Rights::all())).await;
    let strong = RolePath { tenant: seed.tenant, role: id_of(strong.role) };
    let body = written(Rights::default());
    let weakened = world.call::<table::UpdateRole>(token, &strong, &(), &body).await;
    assert_eq!(weakened.err().unwrap().code, Code::Forbidden);
    let deleted = world.call::<table::DeleteRole>(token, &strong, &(), &()).await;
    assert_eq!(deleted.err().unwrap().code, Code::Forbidden);
    // One that somebody plays cannot be deleted, and one of another tenant is not there.
    let deleted = world.call::<table::DeleteRole>(Some(&seed.owner), &insider.role, &(), &()).await;
    assert_eq!(deleted.err().unwrap().code, Code::Conflict);
    let (other, other_owner) = world.tenant("other").await;
    let foreign = RolePath { tenant: other, role: insider.role.role };
    let shown = world.call::<table::ShowRole>(Some(&other_owner), &foreign, &(), &()).await;
    assert_eq!(shown.err().unwrap().code, Code::NotFound);
    let body = CreateInvitation {
        email: "x@example.org".to_owned(),
        role: Role::Custom(insider.role.role),
    };
    let path = TenantPath { tenant: other };
    let invited =
        world.call::<table::CreateInvitation>(Some(&other_owner), &path, &(), &body).await;
    assert_eq!(invited.err().unwrap().errors[0].field, "role");
    // Who plays it may no more with the next request.
    let path = TenantPath { tenant: seed.tenant };
    let list = async || world.call::<table::ListRoles>(token, &path, &(), &()).await;
    list().await.unwrap();
    let less = Rights { tenant: [TenantRight::TenantRead].into(), ..Rights::default() };
    insider.get(Given::Role(less)).await;
    assert_eq!(list().await.err().unwrap().code, Code::Forbidden);
}

/// Ports beside the one at which players join, and notes, are for those who were given them to see.
#[tokio::test]
async fn ports_are_shown_with_the_right_to_see_them() {
    use mamba_wire::api::{
        allocation::{AddServerAllocation, UpdateServerAllocation},
        params::{ServerAllocationPath, ServerPath},
    };
    let world = World::new().await;
    let seed = Seed::new(&world).await;
    let insider = Insider::new(&seed).await;
    let path = ServerPath { server: seed.server().await };
    let more = AddServerAllocation { allocation: Some(seed.new_allocation().await) };
    let server = world.admin::<table::AddServerAllocation>(&path, &(), &more).await;
    assert_eq!(server.ports.len(), 2);
    let first =
        ServerAllocationPath { server: path.server, allocation: server.ports[0].allocation };
    let note = UpdateServerAllocation { note: Some("rcon is 12345".to_owned()) };
    world.admin::<table::UpdateServerAllocation>(&first, &(), &note).await;
    let see = ServerKey::WebsocketConnect;
    let token = Some(insider.token.as_str());
    for (keys, ports, is_noted) in
        [(vec![see], 1, false), (vec![see, ServerKey::AllocationRead], 2, true)]
    {
        let rights = Rights { server: keys.into_iter().collect(), ..Rights::default() };
        insider.get(Given::Role(rights)).await;
        let shown = world.call::<table::ShowServer>(token, &path, &(), &()).await.unwrap();
        assert_eq!((shown.ports.len(), shown.ports[0].note.is_some()), (ports, is_noted));
        let all = super::world::ALL_SERVERS;
        let listed = world.call::<table::ListServers>(token, &(), &all, &()).await.unwrap().items;
        assert_eq!(listed[0].ports, shown.ports);
    }
    // Who may not see a server does not find it in a list, whatever else it may do with it.
    let rights = Rights { server: [ServerKey::FileRead].into(), ..Rights::default() };
    insider.get(Given::Role(rights)).await;
    let listed =
        world.call::<table::ListServers>(token, &(), &super::world::ALL_SERVERS, &()).await;
    assert_eq!(listed.unwrap().items, []);
}
