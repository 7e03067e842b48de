//! Tests of the contract table and its encodings.

use super::*;
use mamba_core::ids::{NodeId, ServerId};
use std::collections::BTreeSet;

#[test]
fn every_row_keeps_the_rules_of_the_table() {
    let mut seen = BTreeSet::new();
    let outside = ["/healthz", "/readyz", "/api/openapi.json"];
    for row in ENDPOINTS {
        let at = format!("{} {} {}", row.name, row.method.name(), row.path);
        assert!(seen.insert((row.method, row.path)), "twice: {at}");
        assert!(row.path.starts_with("/api/v1/") || outside.contains(&row.path), "{at}");
        let names: Vec<&str> = row
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        assert_eq!(names, row.path_names, "{at}");
        assert!(!row.has_body || (row.is_change() && row.method != Method::Delete), "{at}");
        assert!(!row.keyed || (row.method == Method::Post && row.has_body), "{at}");
        assert!(row.summary.ends_with('.') && !row.summary.starts_with(' '), "{at}");
        assert!([101, 200, 201, 202, 204].contains(&row.status), "{at}");
    }
}

/// A client that lost the answer to a create must be able to ask again without making it twice.
#[test]
fn what_makes_something_takes_a_key() {
    // Single-use tickets that end by themselves after some seconds: one too many is nothing.
    let tickets = ["CreateConsoleTicket", "CreateFeedTicket"];
    for row in ENDPOINTS.iter().filter(|row| row.status == 201) {
        assert_eq!(row.keyed, !tickets.contains(&row.name), "{}", row.name);
    }
}

/// An API key is no person who could be there: it must not be able to ask at all. And what only looks
/// needs no proof.
#[test]
fn what_is_confirmed_is_the_accounts_own_and_changes_something() {
    let confirmed: Vec<&str> =
        ENDPOINTS.iter().filter(|row| row.confirmed).map(|row| row.name).collect();
    assert_eq!(confirmed, ["RemovePasskey", "CreateApiKey", "BeginLink", "AddSshKey"]);
    for row in ENDPOINTS.iter().filter(|row| row.confirmed) {
        assert!(row.is_change() && row.permission == Permission::SignedIn, "{}", row.name);
        assert!(row.codes().contains(&Code::ConfirmFirst), "{}", row.name);
    }
}

/// A right that nothing asks for would say something that is not true.
#[test]
fn every_right_is_asked_for_somewhere() {
    let wanted: BTreeSet<Wanted> =
        ENDPOINTS.iter().filter_map(|row| row.permission.wanted()).collect();
    for right in TenantRight::ALL {
        assert!(wanted.contains(&Wanted::Tenant(*right)), "{right}");
    }
    let over_tenants = TenantRight::ALL.iter().filter(|it| wanted.contains(&Wanted::Tenant(**it)));
    let over_tenants: BTreeSet<AdminRight> = over_tenants.map(|it| it.included_in()).collect();
    // Reading every server stands behind each key that only lets look.
    let over_servers = AdminRight::ServersRead;
    for right in AdminRight::ALL {
        let is_wanted = wanted.contains(&Wanted::Admin(*right))
            || over_tenants.contains(right)
            || *right == over_servers;
        assert!(is_wanted, "{right}");
    }
}

#[test]
fn what_is_public_is_a_short_list() {
    let public: Vec<&str> = ENDPOINTS
        .iter()
        .filter(|row| matches!(row.permission, Permission::Public | Permission::Ticket))
        .map(|row| row.name)
        .collect();
    assert_eq!(
        public,
        [
            "Login",
            "SecondFactor",
            "Refresh",
            "Register",
            "ConfirmRegistration",
            "RequestReset",
            "ResetPassword",
            "ConfirmAddress",
            "BeginPasskeySignIn",
            "FinishPasskeySignIn",
            "ListProviders",
            "BeginVisit",
            "FinishVisit",
            "RegisterInvited",
            "OpenConsole",
            "OpenFeed",
            "ShowHealth",
            "ShowReadyz",
            "ShowHealthz",
            "ShowContract",
            "ShowStatus",
            "ShowLegal"
        ]
    );
}

#[test]
fn targets_are_filled_and_escaped() {
    let server = ServerId::from_bytes([1; 16]);
    assert_eq!(
        target::<table::ShowServer>(&params::ServerPath { server }, &()),
        format!("/api/v1/servers/{server}")
    );
    let query = allocation::AllocationQuery {
        node: Some(NodeId::from_bytes([2; 16])),
        port: None,
        taken: None,
        sort: None,
        after: Some("a b&c=ü".into()),
        limit: None,
    };
    let text = target::<table::ListAllocations>(&(), &query);
    let (_, raw) = text.split_once('?').unwrap();
    assert!(raw.ends_with("&after=a%20b%26c%3D%C3%BC"), "{raw}");
    let pairs = decode_query(raw).unwrap();
    let get =
        |name: &str| pairs.iter().find(|(its, _)| its == name).map(|(_, value)| value.clone());
    assert_eq!(allocation::AllocationQuery::read(&get), Ok(query));
}

#[test]
fn broken_queries_are_refused_by_name() {
    for (raw, field) in [("a=%", "query"), ("a=%zz", "query"), ("a=1&a=2", "query.a")] {
        assert_eq!(decode_query(raw).unwrap_err().field, field, "{raw}");
    }
    assert!(decode_query(&"a&".repeat(40)).is_err());
    let get = |name: &str| (name == "limit").then(|| "-1".to_owned());
    assert_eq!(PageQuery::read(&get).unwrap_err().field, "limit");
    assert_eq!(params::ServerPath::read(&|_| None).unwrap_err().rule, "must be given");
}

#[test]
fn request_bodies_refuse_unknown_fields() {
    let body = r#"{"email":"a","password":"b","admin":true}"#;
    let err = serde_json::from_str::<auth::Login>(body).err().unwrap();
    assert!(err.to_string().contains("unknown field `admin`"), "{err}");
}

#[test]
fn console_messages_have_their_documented_form() {
    use crate::node::LineSource;
    use console::{ConsoleMessage, ConsoleSend, Gap, Line};
    use mamba_core::{clock::UnixMs, lifecycle::ServerState, seq::LineNumber};
    let line =
        Line { n: LineNumber(3), at: UnixMs(5), source: LineSource::Stdout, text: "hi".to_owned() };
    for (message, text) in [
        (
            ConsoleMessage::Lines(vec![line]),
            r#"{"lines":[{"n":3,"at":5,"source":"stdout","text":"hi"}]}"#,
        ),
        (
            ConsoleMessage::Gap(Gap { first: LineNumber(4), count: 2 }),
            r#"{"gap":{"first":4,"count":2}}"#,
        ),
        (ConsoleMessage::CaughtUp(true), r#"{"caught_up":true}"#),
        (ConsoleMessage::State(ServerState::Running), r#"{"state":"running"}"#),
        (ConsoleMessage::Error("no".to_owned()), r#"{"error":"no"}"#),
    ] {
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<ConsoleMessage>(text).unwrap(), message);
    }
    let send: ConsoleSend = serde_json::from_str(r#"{"input":"list"}"#).unwrap();
    assert_eq!(send, ConsoleSend::Input("list".to_owned()));
}

#[test]
fn problems_carry_code_title_and_status() {
    let problem = Problem::new(Code::NotFound, "no server", "r1");
    assert_eq!(
        serde_json::to_value(&problem).unwrap(),
        serde_json::json!({
            "type": "urn:mamba:problem:not_found", "title": "There is no such thing",
            "status": 404, "detail": "no server", "code": "not_found", "request_id": "r1",
        })
    );
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.text());
    }
}

#[test]
fn the_published_contract_is_whole() {
    use serde_json::Value;
    let document = Value::Object(openapi::document("1.2.3").0);
    let text = document.to_string();
    let mut references = 0;
    for rest in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = rest.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "`{name}` is not there");
        references += 1;
    }
    assert!(references > 100, "{references}");
    assert!(!text.contains("[`") && !text.contains("$defs"), "links of rustdoc, or loose schemas");
    for row in ENDPOINTS {
        let it = &document["paths"][row.path][row.method.name().to_lowercase()];
        let at = row.name;
        assert_eq!((&it["operationId"], &it["tags"][0]), (&at.into(), &row.tag.into()));
        assert_eq!(
            it["security"].as_array().unwrap().is_empty(),
            row.permission == Permission::Public
        );
        assert_eq!(it["requestBody"].is_object(), row.has_body, "{at}");
        let parameters = it["parameters"].as_array().unwrap();
        for name in row.path_names.iter().chain(row.query_names) {
            let found = parameters.iter().find(|it| it["name"] == *name);
            let is_ticket = row.permission == Permission::Ticket && *name == "ticket";
            assert!(is_ticket || found.is_some_and(|it| it["description"] != ""), "{at}: {name}");
        }
        assert!(it["responses"][row.status.to_string()].is_object(), "{at}");
        for code in row.codes() {
            let told = &it["responses"][code.status().to_string()];
            let about = told["description"].as_str().unwrap();
            assert!(about.contains(code.text()), "{at}: {}", code.text());
            assert!(told["content"]["application/problem+json"].is_object(), "{at}");
        }
    }
}

#[test]
fn an_operation_of_the_contract_looks_like_this() {
    let document = openapi::document("1.2.3").0;
    let it = &document["paths"]["/api/v1/join-tokens/{token}"]["delete"];
    let golden = include_str!("golden_operation.json");
    let expected: serde_json::Value = serde_json::from_str(golden).unwrap();
    assert_eq!(*it, expected, "{}", serde_json::to_string_pretty(it).unwrap());
}

#[test]
fn a_change_knows_the_object_that_it_changes() {
    for (name, object) in [
        ("UpdateServer", Some("ShowServer")),
        ("SuspendServer", Some("ShowServer")),
        ("LimitTenant", Some("ShowTenant")),
        ("DeleteTenant", Some("ShowTenant")),
        ("AddServerAllocation", Some("ShowServer")),
        ("SetAdministration", Some("ShowUser")),
        ("UpdateUser", Some("ShowUser")),
        ("DeleteUser", Some("ShowUser")),
        ("RequireReset", Some("ShowUser")),
        ("UpdateRole", Some("ShowRole")),
        ("DeleteRole", Some("ShowRole")),
        ("UpdateMember", Some("ShowMember")),
        ("RemoveMember", Some("ShowMember")),
        ("UpdateSubUser", Some("ShowSubUser")),
        ("RemoveSubUser", Some("ShowSubUser")),
        ("UpdateAllocation", Some("ShowAllocation")),
        // What it would be compared with is not what it changes.
        ("CreateRole", None),
        ("CreateInvitation", None),
        ("RevokeInvitation", None),
        ("CancelIntent", None),
        ("CreateConsoleTicket", None),
        ("StartTransfer", None),
        ("CreateServer", None),
        ("ShowServer", None),
        ("Login", None),
    ] {
        let row = ENDPOINTS.iter().find(|row| row.name == name).unwrap();
        assert_eq!(row.object().map(|object| object.name), object, "{name}");
    }
}
