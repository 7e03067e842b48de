//! Tests of the permission table and its one decision.

use super::*;
use crate::ids::{RoleId, ServerId, TenantId};
use std::collections::BTreeMap;

const OWN: TenantId = TenantId::from_bytes([1; 16]);
const PARENT: TenantId = TenantId::from_bytes([2; 16]);
const OTHER: TenantId = TenantId::from_bytes([3; 16]);
const SERVER: ServerId = ServerId::from_bytes([4; 16]);
const LINEAGE: &[TenantId] = &[OWN, PARENT];

fn member(tenant: TenantId, role: Role) -> Access {
    let tenants = BTreeMap::from([(tenant, role.rights().unwrap())]);
    Access { tenants, ..Access::default() }
}

fn sub_user(tenant: TenantId, keys: &[ServerKey]) -> Access {
    let grant = Grant { tenant, keys: keys.iter().copied().collect() };
    Access { servers: BTreeMap::from([(SERVER, grant)]), ..Access::default() }
}

fn admin(rights: &[AdminRight]) -> Access {
    Access { admin: rights.iter().copied().collect(), ..Access::default() }
}

/// Appendix A of what peers do, word for word.
#[test]
fn server_keys_are_those_of_pterodactyl_and_one_more() {
    let expected = "websocket.connect control.console control.start control.stop control.restart \
        user.create user.read user.update user.delete file.create file.read file.read-content \
        file.update file.delete file.archive file.sftp backup.create backup.read backup.delete \
        backup.download backup.restore allocation.read allocation.create allocation.update \
        allocation.delete startup.read startup.update startup.docker-image database.create \
        database.read database.update database.delete database.view_password schedule.create \
        schedule.read schedule.update schedule.delete settings.rename settings.reinstall \
        activity.read control.read-console";
    let names: Vec<&str> = ServerKey::ALL.iter().map(|key| key.name()).collect();
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(names.len(), 41);
}

#[test]
fn names_parse_and_are_what_json_holds() {
    for key in ServerKey::ALL {
        assert_eq!(key.name().parse(), Ok(*key));
        assert_eq!(serde_json::to_value(key).unwrap(), key.name());
        assert!(key.description().ends_with('.') && key.name().starts_with(key.group()));
    }
    for right in TenantRight::ALL {
        assert_eq!(right.name().parse(), Ok(*right));
    }
    for right in AdminRight::ALL {
        assert_eq!(right.name().parse(), Ok(*right));
        assert_eq!(right.group(), right.write().group());
    }
    let groups = ServerKey::ALL.iter().map(|it| it.group());
    let groups = groups.chain(TenantRight::ALL.iter().map(|it| it.group()));
    for group in groups.chain(AdminRight::ALL.iter().map(|it| it.group())) {
        assert!(about_group(group).ends_with('.'), "{group}");
    }
    assert_eq!("control.fly".parse::<ServerKey>(), Err(UnknownKey("control.fly".to_owned())));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn decisions_follow_the_table() {
    use ServerKey::{ControlReadConsole, ControlStart, FileUpdate, WebsocketConnect};
    use TenantRight::{MemberWrite, ServerDelete, TenantDelete, TenantRead};
    use Verdict::{Allowed, Forbidden, NotFound};
    let server = |key| Wanted::Server(key);
    let tenant = |right| Wanted::Tenant(right);
    let is = |wanted| Forbidden(wanted);
    let (on_server, on_tenant) = (Object::Server(SERVER, LINEAGE), Object::Tenant(LINEAGE));
    for (case, access, wanted, object, expected) in [
        ("nobody", Access::default(), server(WebsocketConnect), on_server, NotFound),
        ("nobody", Access::default(), tenant(TenantRead), on_tenant, NotFound),
        ("owner", member(OWN, Role::Owner), server(FileUpdate), on_server, Allowed),
        ("owner", member(OWN, Role::Owner), tenant(TenantDelete), on_tenant, Allowed),
        ("stranger", member(OTHER, Role::Owner), server(WebsocketConnect), on_server, NotFound),
        ("stranger", member(OTHER, Role::Owner), tenant(TenantRead), on_tenant, NotFound),
        (
            "admin",
            member(OWN, Role::Admin),
            tenant(TenantDelete),
            on_tenant,
            is(tenant(TenantDelete)),
        ),
        ("billing", member(OWN, Role::Billing), server(WebsocketConnect), on_server, NotFound),
        (
            "billing",
            member(OWN, Role::Billing),
            tenant(MemberWrite),
            on_tenant,
            is(tenant(MemberWrite)),
        ),
        ("support", member(OWN, Role::Support), server(ControlStart), on_server, Allowed),
        (
            "support",
            member(OWN, Role::Support),
            server(FileUpdate),
            on_server,
            is(server(FileUpdate)),
        ),
        ("viewer", member(OWN, Role::Viewer), server(ControlReadConsole), on_server, Allowed),
        (
            "viewer",
            member(OWN, Role::Viewer),
            server(ControlStart),
            on_server,
            is(server(ControlStart)),
        ),
        ("above", member(PARENT, Role::Owner), server(FileUpdate), on_server, Allowed),
        ("above", member(PARENT, Role::Viewer), server(WebsocketConnect), on_server, NotFound),
        (
            "above",
            member(PARENT, Role::Support),
            server(ControlStart),
            on_server,
            is(server(ControlStart)),
        ),
        ("sub-user", sub_user(OWN, &[ControlStart]), server(ControlStart), on_server, Allowed),
        (
            "sub-user",
            sub_user(OWN, &[ControlStart]),
            server(FileUpdate),
            on_server,
            is(server(FileUpdate)),
        ),
        (
            "sub-user",
            sub_user(OWN, &[ControlStart]),
            tenant(ServerDelete),
            on_server,
            is(tenant(ServerDelete)),
        ),
        ("sub-user", sub_user(OWN, &[ControlStart]), tenant(TenantRead), on_tenant, NotFound),
        (
            "sub-user of a former owner",
            sub_user(OTHER, &[ControlStart]),
            server(ControlStart),
            on_server,
            NotFound,
        ),
        ("hub", admin(&[AdminRight::ServersRead]), server(WebsocketConnect), on_server, Allowed),
        (
            "hub",
            admin(&[AdminRight::ServersRead]),
            server(ControlStart),
            on_server,
            is(server(ControlStart)),
        ),
        ("hub", admin(&[AdminRight::ServersWrite]), tenant(ServerDelete), on_server, Allowed),
        ("hub", admin(&[AdminRight::NodesWrite]), server(WebsocketConnect), on_server, NotFound),
        ("hub", admin(&[AdminRight::TenantsWrite]), tenant(TenantRead), on_tenant, Allowed),
        (
            "hub",
            admin(&[AdminRight::NodesWrite]),
            Wanted::Admin(AdminRight::NodesRead),
            Object::Hub,
            Allowed,
        ),
        (
            "hub",
            admin(&[AdminRight::NodesRead]),
            Wanted::Admin(AdminRight::NodesWrite),
            Object::Hub,
            is(Wanted::Admin(AdminRight::NodesWrite)),
        ),
        (
            "owner",
            member(OWN, Role::Owner),
            Wanted::Admin(AdminRight::NodesRead),
            Object::Hub,
            is(Wanted::Admin(AdminRight::NodesRead)),
        ),
        (
            "mixed up",
            member(OWN, Role::Owner),
            server(ControlStart),
            on_tenant,
            is(server(ControlStart)),
        ),
    ] {
        assert_eq!(access.decide(wanted, object), expected, "{case}: {wanted} {object:?}");
    }
}

/// Whatever is allowed to anybody, each right on its own: no role lets more than its list.
#[test]
fn built_in_roles_allow_what_they_list_and_nothing_else() {
    for role in Role::BUILT_IN {
        let (access, rights) = (member(OWN, role), role.rights().unwrap());
        for key in ServerKey::ALL {
            let verdict = access.decide(Wanted::Server(*key), Object::Server(SERVER, LINEAGE));
            assert_eq!(verdict == Verdict::Allowed, rights.server.contains(key), "{role:?} {key}");
        }
        for right in TenantRight::ALL {
            let verdict = access.decide(Wanted::Tenant(*right), Object::Tenant(LINEAGE));
            let expected = rights.tenant.contains(right);
            assert_eq!(verdict == Verdict::Allowed, expected, "{role:?} {right}");
        }
    }
    assert_eq!(Role::Custom(RoleId::from_bytes([0; 16])).rights(), None);
}

#[test]
fn nobody_gives_what_it_does_not_have() {
    let support = member(OWN, Role::Support);
    let rights = |role: Role| role.rights().unwrap();
    assert_eq!(support.lacks(LINEAGE, &rights(Role::Support)), None);
    assert!(support.lacks(LINEAGE, &rights(Role::Admin)).is_some());
    assert!(member(OWN, Role::Admin).lacks(LINEAGE, &rights(Role::Owner)).is_some());
    assert!(member(OTHER, Role::Owner).lacks(LINEAGE, &rights(Role::Viewer)).is_some());
    assert_eq!(member(PARENT, Role::Owner).lacks(LINEAGE, &rights(Role::Owner)), None);
    assert_eq!(admin(AdminRight::ALL).lacks(LINEAGE, &Rights::all()), None);
}

#[test]
fn rights_over_the_installation_are_given_by_who_has_them() {
    let some = |rights: &[AdminRight]| Administration::Some(rights.iter().copied().collect());
    use AdminRight::{NodesRead, NodesWrite, UsersWrite};
    for (given, own, is_root, expected) in [
        (Administration::None, &[][..], false, true),
        (some(&[NodesRead]), &[NodesWrite], false, true),
        (some(&[NodesWrite]), &[NodesRead], false, false),
        (some(&[NodesRead, UsersWrite]), &[NodesRead], false, false),
        (Administration::Root, AdminRight::ALL, false, false),
        (Administration::Root, AdminRight::ALL, true, true),
    ] {
        assert_eq!(given.is_within(&admin(own), is_root), expected, "{given:?} by {own:?}");
    }
}

#[test]
fn an_api_key_never_allows_more_than_its_account() {
    let mut access = member(OWN, Role::Support);
    access.tenants.insert(OTHER, Rights::all());
    access.admin = [AdminRight::NodesRead].into();
    let all_admin = Administration::Root.rights();
    let narrowed = access.clone().narrowed(&all_admin, &Rights::all(), None);
    assert_eq!(narrowed, access);
    let start = Rights { server: [ServerKey::ControlStart].into(), ..Rights::default() };
    let narrowed = access.narrowed(&all_admin, &start, Some(OWN));
    assert_eq!((narrowed.admin.len(), narrowed.tenants.len()), (0, 1));
    assert_eq!(
        narrowed.with_server(SERVER, LINEAGE),
        ServerKeys::from_iter([ServerKey::ControlStart])
    );
    assert!(narrowed.with_server(SERVER, &[OTHER]).is_empty());
    let reading = Rights { server: [ServerKey::FileRead].into(), ..Rights::default() };
    let typist = sub_user(OTHER, &[ServerKey::ControlConsole]);
    assert_eq!(typist.narrowed(&all_admin, &reading, None), Access::default());
}
