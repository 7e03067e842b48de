//! Tests of the server specification and its states.

use super::*;

fn spec() -> ServerSpec {
    ServerSpec {
        name: "world".into(),
        image: "mamba/minetest:1".into(),
        startup: "exec game".into(),
        entry: Entry::Shell,
        environment: BTreeMap::new(),
        done: vec![DoneMatch::Contains("listening on ".into())],
        stop: StopMethod::Signal(Signal::Int),
        stop_grace_ms: 10_000,
        limits: Limits {
            memory_mib: Mib(256),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(1_000),
            disk_mib: Mib(1_024),
            pids: 128,
            sharing: Sharing::USUAL,
        },
        ports: vec![PortBinding {
            ip: "127.0.0.1".parse().unwrap(),
            port: 30_000,
            protocol: PortProtocol::Udp,
        }],
        capabilities: vec![],
        auto_start: AutoStart::LastState,
        restart: RestartPolicy::default(),
        config_files: vec![],
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
    }
}

#[track_caller]
fn check_refused(field: &str, change: impl FnOnce(&mut ServerSpec)) {
    let mut spec = spec();
    change(&mut spec);
    assert_eq!(spec.check().expect_err("must be refused").field, field);
}

#[test]
fn a_good_spec_is_accepted() {
    assert_eq!(spec().check(), Ok(()));
}

#[test]
fn each_rule_names_its_field() {
    check_refused("name", |spec| spec.name.clear());
    check_refused("name", |spec| spec.name = "a\nb".into());
    check_refused("image", |spec| spec.image = "a b".into());
    check_refused("startup", |spec| spec.startup = " ".into());
    check_refused("environment.A-B", |spec| {
        spec.environment.insert("A-B".into(), String::new());
    });
    check_refused("done.0", |spec| spec.done = vec![DoneMatch::Regex("(".into())]);
    check_refused("stop", |spec| spec.stop = StopMethod::Command("a\nb".into()));
    check_refused("stop_grace_ms", |spec| spec.stop_grace_ms = 600_001);
    check_refused("limits.memory_mib", |spec| spec.limits.memory_mib = Mib(1));
    check_refused("limits.cpu_millicores", |spec| spec.limits.cpu_millicores = Millicores(0));
    check_refused("ports.0.port", |spec| spec.ports[0].port = 0);
    check_refused("ports.1.port", |spec| {
        let mut again = spec.ports[0].clone();
        again.protocol = PortProtocol::Both;
        spec.ports.push(again);
    });
    check_refused("restart.delay_ms_max", |spec| spec.restart.delay_ms_max = 1);
    for path in ["/etc/passwd", "../x", "a/../b", "a//b", "", "a/./b", "a\\b"] {
        check_refused("config_files.0.path", |spec| {
            let file =
                ConfigFile { path: path.into(), parser: ConfigParser::File, replace: vec![] };
            spec.config_files.push(file);
        });
    }
}

#[test]
fn stop_values_of_known_eggs_are_understood() {
    let int = StopMethod::Signal(Signal::Int);
    for (text, expected) in [
        ("^C", int.clone()),
        ("^^C", int.clone()),
        ("^c", int),
        ("^SIGKILL", StopMethod::Signal(Signal::Kill)),
        ("SIGTERM", StopMethod::Signal(Signal::Term)),
        ("^X", StopMethod::Command("\u{18}".into())),
        ("", StopMethod::Runtime),
        ("stop", StopMethod::Command("stop".into())),
        ("c", StopMethod::Command("c".into())),
        ("/shutdown 0", StopMethod::Command("/shutdown 0".into())),
    ] {
        assert_eq!(StopMethod::parse(text), expected, "{text}");
    }
}
