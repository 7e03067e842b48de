//! Game definitions as JSON, and server specs made from them.

use mamba_core::{
    blueprint::{Blueprint, Choices},
    server::{AutoStart, Limits, PortBinding, PortProtocol, RestartPolicy},
    units::{Mib, Millicores},
};

/// Takes a definition. One that is accepted has one meaning, and makes specs or names what is wrong.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(blueprint) = Blueprint::from_json(text) else { return };
    assert_eq!(blueprint.check(), Ok(()), "what is accepted keeps the rules");
    let written = serde_json::to_string(&blueprint).unwrap();
    assert_eq!(Blueprint::from_json(&written).as_ref(), Ok(&blueprint));
    let ports = blueprint.ports.iter().zip(30_000..).map(|(_, port)| PortBinding {
        ip: [127, 0, 0, 1].into(),
        port,
        protocol: PortProtocol::Both,
    });
    let choices = Choices {
        name: "world".to_owned(),
        image: None,
        startup: None,
        variables: Default::default(),
        limits: Limits {
            memory_mib: Mib(256),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(500),
            disk_mib: Mib(512),
            pids: 64,
            sharing: mamba_core::server::Sharing::USUAL,
        },
        ports: ports.collect(),
        auto_start: AutoStart::Always,
        restart: RestartPolicy::default(),
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
        eula_accepted: false,
    };
    if let Ok(spec) = blueprint.render(choices) {
        assert_eq!(spec.check(), Ok(()), "a node would take it");
    }
}
