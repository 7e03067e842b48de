//! Config files, links that a game may set as traps, the trash.

use super::*;
use mamba_core::server::{ConfigParser, Replacement, ValueKind};
use std::os::unix::fs::{MetadataExt, symlink};

fn server() -> ServerId {
    ServerId::from_bytes([7; 16])
}

/// Folders that belong to whoever runs the test, so that it needs no rights.
fn dirs(root: &Path) -> DataDirs {
    DataDirs::open(root, rustix::process::getuid().as_raw()).unwrap()
}

fn config(path: &str) -> ConfigFile {
    let replace = vec![Replacement {
        key: "port".into(),
        value: "7".into(),
        kind: ValueKind::Text,
        if_value: None,
    }];
    ConfigFile { path: path.into(), parser: ConfigParser::Properties, replace }
}

#[test]
fn config_files_and_their_folders_are_made_and_values_set() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(root.path());
    let folder = dirs.prepare(server(), &[config("a/b/game.cfg")], None).unwrap();
    let file = folder.join("a/b/game.cfg");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), "port=7");
    fs::write(&file, "name=x\nport=1\n").unwrap();
    dirs.prepare(server(), &[config("a/b/game.cfg")], None).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "name=x\nport=7\n");
}

#[test]
fn a_licence_is_agreed_to_in_the_game_s_own_file_and_again_after_a_wipe() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(root.path());
    let agreed = [mamba_core::blueprint::eula_file()];
    let file = dirs.prepare(server(), &agreed, None).unwrap().join("eula.txt");
    assert_eq!(fs::read_to_string(&file).unwrap(), "eula=true\n");
    // As Minecraft writes it.
    fs::write(&file, "#By changing the setting below to TRUE\n#Mon Nov 23\neula=false\n").unwrap();
    dirs.prepare(server(), &agreed, None).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, "#By changing the setting below to TRUE\n#Mon Nov 23\neula=true\n");
    fs::remove_file(&file).unwrap();
    dirs.prepare(server(), &agreed, None).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "eula=true\n");
}

#[test]
fn a_file_that_needs_no_change_is_not_touched() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(root.path());
    let file = dirs.prepare(server(), &[config("game.cfg")], None).unwrap().join("game.cfg");
    let before = fs::metadata(&file).unwrap().ino();
    dirs.prepare(server(), &[config("game.cfg")], None).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), before);
}

#[test]
fn links_and_pipes_lead_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(root.path());
    let folder = dirs.prepare(server(), &[], None).unwrap();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("game.cfg"), "port=1\n").unwrap();
    symlink(&outside, folder.join("folder")).unwrap();
    symlink(outside.join("game.cfg"), folder.join("link.cfg")).unwrap();
    let pipe = folder.join("pipe.cfg");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
    for path in ["folder/game.cfg", "link.cfg", "pipe.cfg"] {
        let refused = dirs.prepare(server(), &[config(path)], None);
        assert!(matches!(refused, Err(DataError::Config { .. })), "{path}");
    }
    assert_eq!(fs::read_to_string(outside.join("game.cfg")).unwrap(), "port=1\n");
}

#[test]
fn data_moves_to_the_trash_once_and_is_purged() {
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(root.path());
    let folder = dirs.prepare(server(), &[], None).unwrap();
    fs::write(folder.join("world"), "w").unwrap();
    for _ in 0..2 {
        dirs.to_trash(server(), UnixMs(5)).unwrap();
        assert!(!folder.exists());
        assert_eq!(
            fs::read_to_string(dirs.in_trash(server(), UnixMs(5)).join("world")).unwrap(),
            "w"
        );
    }
    for _ in 0..2 {
        dirs.purge(server(), UnixMs(5)).unwrap();
        assert!(!dirs.in_trash(server(), UnixMs(5)).exists());
    }
}
