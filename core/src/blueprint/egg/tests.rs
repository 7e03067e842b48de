//! Eggs with each oddity of real ones.

use super::*;
use crate::{
    blueprint::Rule,
    server::{ConfigParser, DoneMatch, StopMethod, ValueKind},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A small egg with every field in its usual place.
fn plain() -> Value {
    serde_json::from_str(include_str!("fixtures/plain.json")).unwrap()
}

/// The small egg with one field changed, by JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut egg = plain();
    *egg.pointer_mut(pointer).unwrap() = value;
    egg
}

#[track_caller]
fn read(egg: &Value) -> Imported {
    let imported = import(egg.to_string().as_bytes()).unwrap();
    verify(&imported.blueprint).unwrap();
    imported
}

#[track_caller]
fn check_note(imported: &Imported, path: &str, text: &str) {
    let found = imported.notes.iter().any(|it| it.path == path && it.text.contains(text));
    assert!(found, "no note on {path} with {text}: {:#?}", imported.notes);
}

#[track_caller]
fn check_refused(bytes: &[u8], field: &str, rule: &str) {
    let err = import(bytes).unwrap_err();
    assert_eq!(err.field, field, "{err}");
    assert!(err.rule.contains(rule), "{err}");
}

#[test]
fn every_fixture_is_read_and_means_the_same_after_export() {
    for (name, format, bytes) in [
        ("plain", "PTDL_v2", include_bytes!("fixtures/plain.json").as_slice()),
        ("old list of images", "PTDL_v1", include_bytes!("fixtures/old.json")),
        ("yaml", "PLCN_v3", include_bytes!("fixtures/pelican.yaml")),
        ("all oddities at once", "PLCN_v3", include_bytes!("fixtures/odd.json")),
    ] {
        let imported = import(bytes).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(imported.format, format, "{name}");
        verify(&imported.blueprint).unwrap_or_else(|err| panic!("{name}: {err}"));
    }
}

/// Oddities 1, 2, 4, 8 and 10 of YAML eggs.
#[test]
fn a_yaml_egg_keeps_typed_scalars_and_block_texts() {
    let imported = import(include_bytes!("fixtures/pelican.yaml")).unwrap();
    let it = &imported.blueprint;
    assert_eq!(it.done, [DoneMatch::Contains(")! For help, type ".into())]);
    assert_eq!((it.startup.as_str(), it.startups.len()), ("game {{PORT}} & wait", 2));
    assert_eq!(it.variables[0].default, "20");
    assert_eq!(it.variables[1].default, "true");
    assert_eq!(it.variables[0].rules.len(), 3);
    assert_eq!(it.config_files[0].parser, ConfigParser::Yaml);
    let kinds: Vec<_> = it.config_files[0].replace.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [ValueKind::Json, ValueKind::Json, ValueKind::Text]);
    let script = &it.install.as_ref().unwrap().script;
    assert_eq!(script, "#!/bin/ash\necho \"{{X}}\" | sed -e 's/{{/${/g'\n");
    assert_eq!(it.features, ["eula", "java_version", "pid_limit"]);
    check_note(&imported, "variables.0.default_value", "taken as the text `20`");
    check_note(&imported, "config.files./config.yml", "is taken as `config.yml`");
}

/// Oddities 2, 3, 5, 6 and 9.
#[test]
fn an_odd_egg_is_read_with_notes() {
    let imported = import(include_bytes!("fixtures/odd.json")).unwrap();
    let it = &imported.blueprint;
    assert!(it.features.is_empty() && it.file_denylist.is_empty() && it.tags.is_empty());
    assert_eq!(it.images[0].image, "ghcr.io/ptero-eggs/yolks:wine_latest");
    assert_eq!(it.images[0].label, it.images[0].image);
    assert_eq!(it.variables.len(), 1, "one name, two definitions");
    assert_eq!((it.variables[0].default.as_str(), it.variables[0].sort), ("b", Some(3)));
    assert_eq!(
        it.done,
        [DoneMatch::Regex("^up( now)?$".into()), DoneMatch::Contains(" up".into())]
    );
    check_note(&imported, "docker_images.1", "names no tag");
    check_note(&imported, "docker_images.0", "blanks around it");
    check_note(&imported, "variables.0.sort", "given twice");
    check_note(&imported, "variables.1", "`WINDOWS_INSTALL` is given twice");
    check_note(&imported, "config.stop", "0x18");
    check_note(&imported, "scripts.installation.script", "CRLF");
    check_note(&imported, "image", "picture");
    check_note(&imported, "oops", "not known");
    check_note(&imported, "startup", "`{{CLIENT_MODS}}`");
}

#[test]
fn stops_of_real_eggs_mean_what_their_authors_meant() {
    for (text, expected) in [
        ("^C", StopMethod::Signal(crate::server::Signal::Int)),
        ("^^C", StopMethod::Signal(crate::server::Signal::Int)),
        ("^c", StopMethod::Signal(crate::server::Signal::Int)),
        ("^SIGKILL", StopMethod::Signal(crate::server::Signal::Kill)),
        ("^X", StopMethod::Command("\u{18}".into())),
        ("c_shutdown()", StopMethod::Command("c_shutdown()".into())),
        (
            "/shutdown 3 SIGTERM Server shutting down...",
            StopMethod::Command("/shutdown 3 SIGTERM Server shutting down...".into()),
        ),
        ("", StopMethod::Runtime),
    ] {
        let it = read(&with("/config/stop", json!(text))).blueprint;
        assert_eq!(it.stop, text);
        assert_eq!(StopMethod::parse(&it.stop), expected, "{text}");
    }
}

#[test]
fn lists_and_inner_json_may_be_empty_in_every_way() {
    for empty in [json!(null), json!([]), json!({}), json!("")] {
        for pointer in ["/features", "/file_denylist", "/config/files", "/config/logs"] {
            read(&with(pointer, empty.clone()));
        }
        let it = read(&with("/config/startup", empty.clone())).blueprint;
        assert!(it.done.is_empty());
        let it = read(&with("/scripts/installation", empty)).blueprint;
        assert_eq!(it.install, None);
    }
}

#[test]
fn a_condition_is_kept_with_its_values() {
    let files = json!({ "a.yml": { "parser": "yml", "find": {
        "servers.*.address": { "regex:^(127\\.0\\.0\\.1)(:\\d{1,5})?$": "{{config.docker.interface}}$2", "x": 1 },
    } } });
    let it = read(&with("/config/files", json!(files.to_string()))).blueprint;
    let replace = &it.config_files[0].replace;
    assert_eq!(replace[0].if_value.as_deref(), Some("regex:^(127\\.0\\.0\\.1)(:\\d{1,5})?$"));
    assert_eq!((replace[1].value.as_str(), replace[1].kind), ("1", ValueKind::Json));
}

#[test]
fn rules_are_read_in_every_form() {
    let check = |rules: Value, expected: &[&str]| {
        let it = read(&with("/variables/0/rules", rules)).blueprint;
        let texts: Vec<_> = it.variables[0].rules.iter().map(Rule::to_laravel).collect();
        assert_eq!(texts, expected);
    };
    check(json!("required|string|max:20|"), &["required", "string", "max:20"]);
    check(json!(["Nullable", "", "int"]), &["nullable", "integer"]);
    check(json!({}), &[]);
    check(json!("regex:/^a|b$/i|max:2"), &["regex:/(?i)^a|b$/", "max:2"]);
    check(json!("required|uuid"), &["required", "uuid"]);
}

#[test]
fn what_has_no_meaning_is_refused_by_its_path() {
    let refused = |pointer: &str, value: Value, field: &str, rule: &str| {
        check_refused(with(pointer, value).to_string().as_bytes(), field, rule);
    };
    refused("/meta/version", json!("PTDL_v9"), "meta.version", "must be one of PTDL_v1");
    refused("/name", json!(null), "name", "must not be empty");
    refused("/startup", json!(""), "startup", "must not be empty");
    refused("/docker_images", json!({}), "docker_images", "at least one image");
    refused("/docker_images", json!({ "a": "b c" }), "images.0.image", "without blanks");
    refused("/config/files", json!("{"), "config.files", "must hold JSON");
    refused("/config/startup", json!(7), "config.startup", "must be a map");
    refused("/config/startup", json!("{\"done\":\"regex:(\"}"), "done.0", "regular expression");
    refused(
        "/config/files",
        json!({ "a": { "parser": "hocon", "find": {} } }),
        "config.files.a.parser",
        "must be one of file",
    );
    refused(
        "/config/files",
        json!({ "../../etc/passwd": { "parser": "file", "find": {} } }),
        "config_files.0.path",
        "without `..`",
    );
    refused("/variables/0/env_variable", json!("1X"), "variables.0.env_variable", "letters");
    refused("/variables/0/rules", json!("max:many"), "variables.0.rules", "needs a number");
    refused("/variables/0/user_viewable", json!("perhaps"), "variables.0.user_viewable", "true");
    refused("/variables", json!(vec![json!({}); 600]), "variables", "must be at most 256");
    let script = "x".repeat(super::super::SCRIPT_BYTES_MAX + 1);
    refused("/scripts/installation/script", json!(script), "install.script", "must be at most");
}

#[test]
fn damaged_files_are_refused_by_their_line() {
    check_refused(b"", "file", "must not be empty");
    check_refused(b"{\"name\":\n\"a\",,}", "line 2", "is not JSON");
    check_refused(b"{} {}", "line 1", "is not JSON");
    check_refused(b"name: [a\nb: }", "line 2", "is not YAML");
    check_refused(b"\xff\xfe{\x00}\x00", "file", "must be UTF-8; byte 0 is not");
    check_refused(b"[1]", "file", "must hold fields");
    check_refused(&vec![b' '; EGG_BYTES_MAX + 1], "file", "must be at most");
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    check_refused(deep.as_bytes(), "line 1", "nested deeper");
}

#[test]
fn a_byte_order_mark_is_left_out() {
    let mut bytes = vec![0xef, 0xbb, 0xbf];
    bytes.extend(plain().to_string().into_bytes());
    check_note(&import(&bytes).unwrap(), "file", "byte order mark");
}

/// CVE-2026-52857 and its kind: a small file that becomes a large one in memory.
#[test]
fn aliases_that_multiply_are_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..20 {
        let row = format!("*a{},", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    let err = import(bomb.as_bytes()).unwrap_err();
    assert!(err.rule.contains("is not YAML"), "{err}");
}

#[test]
fn built_in_blueprints_survive_export() {
    for blueprint in Blueprint::built_in() {
        verify(blueprint).unwrap();
    }
}

#[test]
fn a_difference_is_named_by_its_path() {
    let one = read(&plain()).blueprint;
    let mut other = one.clone();
    other.variables[0].default = "other".into();
    other.images.pop();
    other.stop = "^C".into();
    assert_eq!(differences(&one, &one), Vec::<String>::new());
    assert_eq!(differences(&one, &other), ["images.1", "stop", "variables.0.default"]);
}

proptest! {
    /// Whatever bytes come, the answer is a definition that survives export, or an error.
    #[test]
    fn no_change_of_a_byte_breaks_the_importer(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        yaml in any::<bool>(),
    ) {
        let mut bytes = if yaml {
            include_bytes!("fixtures/pelican.yaml").to_vec()
        } else {
            include_bytes!("fixtures/odd.json").to_vec()
        };
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(imported) = import(&bytes) {
            prop_assert_eq!(verify(&imported.blueprint), Ok(()));
        }
    }

    /// Text of any kind in the fields that people fill stays what it was.
    #[test]
    fn texts_survive_export(done in "[ -~\u{e4}]{0,40}", default in "\\PC{0,40}", label in "[!-~]{1,20}") {
        let mut egg = with("/config/startup", json!(json!({ "done": done }).to_string()));
        egg["variables"][0]["default_value"] = json!(default);
        egg["docker_images"] = json!({ label: "game:1" });
        if let Ok(imported) = import(egg.to_string().as_bytes()) {
            prop_assert_eq!(verify(&imported.blueprint), Ok(()));
        } else {
            prop_assert!(done.starts_with("regex:"));
        }
    }
}

/// Eggs that people use, unchanged: their names tell the repository each is from.
const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/blueprint/egg/fixtures/real");

/// What was read of an egg, in one line.
fn told(file: &str, imported: &Imported) -> String {
    let it = &imported.blueprint;
    let script = it.install.as_ref().map_or(0, |it| it.script.lines().count());
    let keys: usize = it.config_files.iter().map(|it| it.replace.len()).sum();
    let (number, _) = file.split_once('_').unwrap();
    format!(
        "{number} {} {} images={} startups={} variables={} rules={} files={} keys={keys} done={} \
         features={} script={script} notes={}\n",
        imported.format,
        it.key,
        it.images.len(),
        it.startups.len(),
        it.variables.len(),
        it.variables.iter().map(|it| it.rules.len()).sum::<usize>(),
        it.config_files.len(),
        it.done.len(),
        it.features.len(),
        imported.notes.len(),
    )
}

/// Every egg is read as what its file says, and means the same after it was written and read again:
/// in both formats, and once more from what that gave.
#[test]
fn every_real_egg_means_the_same_after_export_and_import() {
    let mut files: Vec<_> = std::fs::read_dir(REAL).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 24);
    let mut all = String::new();
    for path in files {
        let file = path.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let raw = read::read(&bytes, &mut Notes::default()).unwrap();
        let imported = import(&bytes).unwrap_or_else(|err| panic!("{file}: {err}"));
        let it = &imported.blueprint;
        assert_eq!(it.name, raw["name"].as_str().unwrap().trim(), "{file}");
        let variables = raw.get("variables").and_then(Value::as_array);
        let named: std::collections::BTreeSet<&str> = variables
            .map(|all| all.iter().map(|it| it["env_variable"].as_str().unwrap().trim()).collect())
            .unwrap_or_default();
        let read: std::collections::BTreeSet<&str> =
            it.variables.iter().map(|it| it.env.as_str()).collect();
        assert_eq!(read, named, "{file}");
        verify(it).unwrap_or_else(|err| panic!("{file}: {err}"));
        let again = import(to_ptdl_v2(it).as_bytes()).unwrap().blueprint;
        assert_eq!(differences(it, &again), [""; 0], "{file}");
        assert_eq!(to_ptdl_v2(&again), to_ptdl_v2(it), "{file}: the second export is the first");
        all.push_str(&told(file, &imported));
    }
    let expected = std::fs::read_to_string(format!("{REAL}.txt")).unwrap_or_default();
    assert!(all == expected, "what is read of the eggs changed:\n{all}");
}
