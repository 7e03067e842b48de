//! Ports on addresses of version 6, from the API to what the node is told.

use super::world::{Reply, World, from, new_server};
use mamba_core::{ids::NodeId, server::PortBinding};
use mamba_wire::api::{
    Code, Page, allocation::Allocation, allocation::AllocationQuery, params::ServerPath,
    server::CreateServer, table,
};

/// Asks as it is written, so that the spelling is the test's.
async fn offer(world: &World, node: NodeId, ip: &str, port: u16, last: Option<u16>) -> Reply {
    let bearer = format!("Bearer {}", world.admin);
    let body = serde_json::json!({
        "node": node, "ip": ip, "port": port, "port_last": last, "protocol": "udp",
    });
    let mut body = body;
    if last.is_none() {
        body.as_object_mut().unwrap().remove("port_last");
    }
    let headers = [("authorization", bearer.as_str())];
    world.send("POST", "/api/v1/allocations", &headers, Some(&body.to_string())).await
}

#[tokio::test]
async fn an_address_is_one_however_it_is_spelled() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let made = offer(&world, node, "2001:DB8:0:0::0001", 30_000, Some(30_002)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = from::<Page<Allocation>>(&made.body).items;
    let ports: Vec<_> = made.iter().map(|it| (it.ip.to_string(), it.port)).collect();
    let at = |port| ("2001:db8::1".to_owned(), port);
    assert_eq!(ports, [at(30_000), at(30_001), at(30_002)]);
    for (ip, port, last, field) in [
        // The same in other words, and one that takes it with all others.
        ("2001:db8::1", 30_002, None, "port"),
        ("2001:db8:0000::1", 30_001, Some(30_010), "port"),
        ("::", 30_000, None, "port"),
        // No address that a port can be published on, or none at all.
        ("::ffff:192.0.2.1", 31_000, None, "ip"),
        ("fe80::1", 31_000, None, "ip"),
        ("ff02::1", 31_000, None, "ip"),
        ("[2001:db8::1]", 31_000, None, "ip"),
        ("2001:db8::1/64", 31_000, None, "ip"),
        ("fe80::1%eth0", 31_000, None, "ip"),
        // Ranges are as bounded as those of IPv4.
        ("2001:db8::9", 0, None, "port"),
        ("2001:db8::9", 1, Some(1_001), "port"),
    ] {
        let refused = offer(&world, node, ip, port, last).await.problem();
        let told = (refused.code, refused.errors[0].field.as_str());
        assert_eq!(told, (Code::Invalid, field), "{ip} {port}");
    }
    // Others stand beside it: another address, and IPv4.
    for ip in ["2001:db8::2", "::1", "192.0.2.1", "0.0.0.0"] {
        let made = offer(&world, node, ip, 30_000, None).await;
        let expected = if ip == "0.0.0.0" { 422 } else { 201 };
        assert_eq!(made.status, expected, "{ip}: {}", made.body);
    }
    let all = AllocationQuery { node: Some(node), ..super::world::NO_PAGE.into() };
    let all = world.admin::<table::ListAllocations>(&(), &all, &()).await.items;
    assert_eq!(all.len(), 6);
}

#[tokio::test]
async fn a_server_gets_a_port_of_version_6_and_its_node_is_told_so() {
    let world = World::new().await;
    let node = world.node("n1", 1).await;
    let (acme, owner) = world.tenant("acme").await;
    let made = offer(&world, node, "0:0:0:0:0:0:0:1", 30_000, Some(30_001)).await;
    let made = from::<Page<Allocation>>(&made.body).items;
    let body = CreateServer { allocations: vec![made[1].allocation], ..new_server(node, acme) };
    let server = world.admin::<table::CreateServer>(&(), &(), &body).await.server;
    assert_eq!((server.ports[0].ip.to_string(), server.ports[0].port), ("::1".to_owned(), 30_001));
    let PortBinding { ip, port, .. } = world.wanted(acme, server.server).ports[0].clone();
    assert_eq!((ip, port), ("::1".parse().unwrap(), 30_001));
    // One that is not named is found among them too.
    let next = world.admin::<table::CreateServer>(&(), &(), &new_server(node, acme)).await.server;
    assert_eq!(next.ports[0].port, 30_000);
    let path = ServerPath { server: server.server };
    let shown = world.call::<table::ShowServer>(Some(&owner), &path, &(), &()).await.unwrap();
    assert_eq!(shown.ports[0].ip.to_string(), "::1");
}
