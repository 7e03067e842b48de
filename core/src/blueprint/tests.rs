//! Tests of rendering a blueprint.

use super::*;
use crate::units::{Mib, Millicores};

fn choices() -> Choices {
    Choices {
        name: "world".into(),
        image: None,
        startup: None,
        variables: BTreeMap::new(),
        limits: Limits {
            memory_mib: Mib(256),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(1_000),
            disk_mib: Mib(1_024),
            pids: 128,
            sharing: crate::server::Sharing::USUAL,
        },
        ports: vec![PortBinding {
            ip: "10.0.0.1".parse().unwrap(),
            port: 4_000,
            protocol: PortProtocol::Udp,
        }],
        auto_start: AutoStart::LastState,
        restart: RestartPolicy::default(),
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
        eula_accepted: false,
    }
}

fn blueprint() -> Blueprint {
    Blueprint::from_json(
        r#"{
            "format": "MAMBA_v1", "key": "game", "name": "Game", "description": "",
            "images": [{"label": "1", "image": "game:1"}, {"label": "2", "image": "game:2"}],
            "startup": "game --name {{MOTD}} -p {{server.build.default.port}} '{{x y}}'",
            "done": [{"contains": "ready "}], "stop": "^C", "stop_grace_ms": 1000,
            "ports": ["udp"], "capabilities": [],
            "variables": [{
                "env": "MOTD", "name": "Message", "description": "", "default": "hello",
                "user_viewable": true, "user_editable": true, "rules": ["required", {"max": 20}]
            }],
            "config_files": [{
                "path": "game.conf", "parser": "properties",
                "replace": [{"key": "motd", "value": "<{{env.MOTD}}> {{SERVER_PORT}}", "if_value": null}]
            }]
        }"#
        .replace(" '{{x y}}'", "")
        .as_str(),
    )
    .unwrap()
}

#[track_caller]
fn check_refused(field: &str, change: impl FnOnce(&mut Choices)) {
    let mut choices = choices();
    change(&mut choices);
    assert_eq!(blueprint().render(choices).expect_err("must be refused").field, field);
}

#[test]
fn built_in_blueprints_are_good_and_render_with_their_defaults() {
    let all = Blueprint::built_in();
    assert_eq!(all.len(), 4);
    for blueprint in all {
        let mut choices = choices();
        let port = choices.ports.remove(0);
        choices.ports = (4_000..)
            .zip(&blueprint.ports)
            .map(|(number, protocol)| PortBinding {
                port: number,
                protocol: *protocol,
                ..port.clone()
            })
            .collect();
        let spec = blueprint.render(choices).expect(&blueprint.key);
        assert!(!spec.startup.contains("{{"), "{}", spec.startup);
    }
}

#[test]
fn users_choose_only_the_variables_that_they_may_edit() {
    let mut blueprint = blueprint();
    for (user_viewable, user_editable, value, expected) in [
        (true, true, Some("mine"), None),
        (true, false, None, None),
        (true, false, Some("hello"), None),
        (true, false, Some("mine"), Some("may only be changed by an administrator")),
        // Whether it is the current value must not be told.
        (false, false, None, None),
        (false, false, Some("hello"), Some("is not a variable of this blueprint")),
        (false, true, Some("mine"), Some("is not a variable of this blueprint")),
    ] {
        blueprint.variables[0].user_viewable = user_viewable;
        blueprint.variables[0].user_editable = user_editable;
        let values = value.map(|it| ("MOTD".to_owned(), it.to_owned())).into_iter().collect();
        let refused = blueprint.check_users_choice(&values, |it, value| value == it.default).err();
        let expected = expected.map(|rule| Invalid::new("variables.MOTD", rule));
        assert_eq!(refused, expected, "{user_viewable} {user_editable} {value:?}");
    }
}

#[test]
fn a_value_reaches_the_shell_only_through_the_environment() {
    let mut choices = choices();
    choices.variables.insert("MOTD".into(), "$(rm -rf /) {{SERVER_IP}}".into());
    let spec = blueprint().render(choices).unwrap_err();
    assert_eq!(spec.field, "variables.MOTD", "too long");
    let mut choices = self::choices();
    choices.variables.insert("MOTD".into(), "$(id) {{X}}".into());
    let spec = blueprint().render(choices).unwrap();
    assert_eq!(spec.startup, "game --name ${MOTD} -p ${SERVER_PORT}");
    assert_eq!(spec.environment["MOTD"], "$(id) {{X}}");
    assert_eq!(spec.config_files[0].replace[0].value, "<$(id) {{X}}> 4000");
}

#[test]
fn choices_that_break_a_rule_name_their_field() {
    check_refused("variables.MOTD", |it| {
        it.variables.insert("MOTD".into(), String::new());
    });
    check_refused("variables.OTHER", |it| {
        it.variables.insert("OTHER".into(), String::new());
    });
    check_refused("image", |it| it.image = Some(Pick::Listed("evil:1".into())));
    check_refused("image", |it| it.image = Some(Pick::Own("-v /:/host".into())));
    check_refused("startup", |it| it.startup = Some(Pick::Listed("rm".into())));
    check_refused("startup", |it| it.startup = Some(Pick::Own(" ".into())));
    check_refused("ports", |it| it.ports.clear());
    check_refused("limits.memory_mib", |it| it.limits.memory_mib = Mib(1));
    check_refused("name", |it| it.name = "\u{7}".into());
}

/// CVE-2026-52855: placeholders could read the daemon's whole config. What is not on the list stays as
/// it is and is told.
#[test]
fn a_placeholder_that_is_not_on_the_list_is_never_filled() {
    for holder in [
        "config.token",
        "server.build.default.secret",
        "server.build.uuid",
        "config.docker.x",
        "x y",
    ] {
        let mut blueprint = blueprint();
        let text = format!("{{{{{holder}}}}}");
        blueprint.startup.push_str(&text);
        blueprint.config_files[0].replace[0].value.clone_from(&text);
        blueprint.check().unwrap();
        let unknown: Vec<_> = blueprint.unknown_placeholders();
        let expected = [("startup", holder), ("config_files.0.replace.0.value", holder)]
            .map(|(field, holder)| (field.to_owned(), holder.to_owned()));
        assert_eq!(unknown, expected);
        let spec = blueprint.render(choices()).unwrap();
        assert!(spec.startup.ends_with(&text), "{}", spec.startup);
        assert_eq!(spec.config_files[0].replace[0].value, text);
        assert_eq!(fill_node_address(&text, "10.0.0.1"), text);
    }
}

#[test]
fn the_node_fills_in_its_own_address_and_nothing_else() {
    let mut blueprint = blueprint();
    blueprint.config_files[0].replace[0].value =
        "{{config.docker.interface}}$2 {{ server.build.default.port }} {{server.build.memory}}"
            .into();
    let spec = blueprint.render(choices()).unwrap();
    let value = &spec.config_files[0].replace[0].value;
    assert_eq!(value, "{{config.docker.interface}}$2 4000 256");
    assert_eq!(fill_node_address(value, "10.0.0.1"), "10.0.0.1$2 4000 256");
}

#[test]
fn a_variable_is_given_in_capitals_too_and_must_be_one_line() {
    let mut blueprint = blueprint();
    blueprint.variables[0].env = "motd".into();
    blueprint.startup = "x".into();
    let spec = blueprint.render(choices()).unwrap();
    assert_eq!(spec.environment["MOTD"], "hello");
    assert_eq!(spec.environment["motd"], "hello");
    let mut choices = choices();
    choices.variables.insert("motd".into(), "a\nop=me".into());
    assert_eq!(blueprint.render(choices).unwrap_err().rule, "must be one line");
}

#[test]
fn a_syntax_error_names_its_line() {
    let err = Blueprint::from_json("{\n\"format\": 1}").unwrap_err();
    assert_eq!(err.field, "line 2");
}

#[test]
fn an_install_script_is_rendered_when_it_was_asked_for() {
    let mut blueprint = blueprint();
    blueprint.variables.push(Variable {
        env: "steam_token".into(),
        name: "Token".into(),
        description: String::new(),
        default: "hunter2".into(),
        user_viewable: true,
        user_editable: true,
        rules: vec![],
        sort: None,
    });
    let mut choices = choices();
    assert_eq!(blueprint.render(choices.clone()).unwrap().install, None);
    choices.install = Some(InstallAsk::new(Default::default(), Default::default()));
    assert_eq!(blueprint.render(choices.clone()).unwrap().install, None, "there is no script");
    blueprint.install = Some(InstallScript {
        image: "debian:12".into(),
        entrypoint: "bash".into(),
        script: "echo {{MOTD}}".into(),
    });
    let install = blueprint.render(choices).unwrap().install.unwrap();
    assert_eq!(install.script, "echo {{MOTD}}", "never looked into");
    let secrets: Vec<&str> = install.secrets.iter().map(String::as_str).collect();
    assert_eq!(secrets, ["STEAM_TOKEN", "steam_token"]);
}

#[test]
fn images_and_start_lines_are_picked_from_the_list_or_by_an_administrator() {
    let mut blueprint = blueprint();
    let line = |label: &str, line: &str| StartupChoice { label: label.into(), line: line.into() };
    blueprint.startups = vec![line("1", &blueprint.startup), line("2", "game {{MOTD}} --safe")];
    blueprint.check().unwrap();
    let render = |image: Option<Pick>, startup: Option<Pick>| {
        let choices = Choices { image, startup, ..choices() };
        let spec = blueprint.render(choices).unwrap();
        (spec.image, spec.startup)
    };
    let (image, first) = render(None, None);
    assert_eq!(image, "game:1");
    let listed = Pick::Listed("game {{MOTD}} --safe".into());
    let (image, second) = render(Some(Pick::Listed("game:2".into())), Some(listed.clone()));
    assert_eq!((image.as_str(), second.as_str()), ("game:2", "game ${MOTD} --safe"));
    let own = Pick::Own("debug {{SERVER_PORT}}".into());
    let (image, third) = render(Some(Pick::Own("mine:1".into())), Some(own));
    assert_eq!((image.as_str(), third.as_str()), ("mine:1", "debug ${SERVER_PORT}"));
    // What a node holds is known again.
    assert_eq!(blueprint.pick_of_startup(&first), None);
    assert_eq!(blueprint.pick_of_startup(&second), Some(listed));
    assert_eq!(blueprint.pick_of_startup(&third), Some(Pick::Own(third)));
    assert_eq!(blueprint.pick_of_image("game:2"), Pick::Listed("game:2".into()));
    assert_eq!(blueprint.pick_of_image("mine:1"), Pick::Own("mine:1".into()));
}

#[test]
fn the_licence_is_agreed_to_in_a_file_where_the_game_has_one() {
    let mut blueprint = blueprint();
    let agreed = Choices { eula_accepted: true, ..choices() };
    assert!(!blueprint.render(agreed.clone()).unwrap().accepts_eula(), "the game knows none");
    blueprint.features = vec!["eula".into()];
    assert!(!blueprint.render(choices()).unwrap().accepts_eula());
    let spec = blueprint.render(agreed).unwrap();
    assert!(spec.accepts_eula());
    assert_eq!(spec.config_files.last().unwrap().path, "eula.txt");
    assert_eq!(spec.config_files.len(), blueprint.config_files.len() + 1);
}
