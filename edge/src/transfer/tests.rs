//! What goes from node to node: listed, written, counted, and what a hostile source may send.

use super::{CHECKPOINT_BYTES, FREE_BYTES_MIN, MoveError, Reader, Writer, check_room, count};
use mamba_wire::node::moving::{BLOCK_BYTES, CHUNK_BYTES, MoveChunk, Part, Parts, Place};
use proptest::prelude::*;
use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

const MOST: u64 = 1 << 30;

/// A folder as games leave them, and worse.
fn fill(top: &Path) {
    fs::create_dir_all(top.join("world/region/deep")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    fs::write(top.join("world.properties"), "name=world\n").unwrap();
    fs::write(top.join("nothing"), "").unwrap();
    let noise: Vec<u8> =
        (0..900_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(top.join("world/region/r.0.0"), &noise).unwrap();
    let odd = OsStr::from_bytes(b"\xff\\ \n..odd");
    fs::write(top.join("world").join(odd), "odd").unwrap();
    let sparse = File::create(top.join("world/sparse")).unwrap();
    sparse.write_all_at(b"far", 3 << 20).unwrap();
    sparse.set_len(9 << 20).unwrap();
    symlink("/etc/passwd", top.join("world/link")).unwrap();
    symlink("..", top.join("world/region/up")).unwrap();
    let script = top.join("run.sh");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o4755)).unwrap();
    let then = UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    File::options()
        .write(true)
        .open(&script)
        .unwrap()
        .set_times(FileTimes::new().set_modified(then))
        .unwrap();
}

fn all(top: &Path, from: Option<&Place>) -> Vec<Parts> {
    let mut reader = Reader::new(top, from).unwrap();
    std::iter::from_fn(|| reader.next_parts().unwrap()).collect()
}

fn digest(top: &Path) -> mamba_wire::node::moving::Digest {
    count(top, || true).unwrap().unwrap()
}

fn copy(chunks: &[Parts], to: &Path) -> Result<(), MoveError> {
    fs::create_dir_all(to).unwrap();
    let mut writer = Writer::new(to, 0, MOST)?;
    chunks.iter().try_for_each(|parts| writer.write(parts))
}

/// CVE-2023-25152 and CVE-2023-25168: links were followed when something was made or removed.
#[test]
fn a_copy_is_the_same_and_follows_no_link() {
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (root.path().join("from"), root.path().join("to"));
    fill(&from);
    let chunks = all(&from, None);
    assert!(chunks.len() > 2, "{}", chunks.len());
    let travelled: Vec<Parts> =
        chunks.iter().map(|it| MoveChunk::pack(it).unwrap().unpack().unwrap()).collect();
    copy(&travelled, &to).unwrap();
    assert_eq!(digest(&to), digest(&from));
    assert!(digest(&from).bytes < 2 << 20, "holes are not counted");
    assert_eq!(fs::read_link(to.join("world/link")).unwrap(), Path::new("/etc/passwd"));
    let sparse = to.join("world/sparse").metadata().unwrap();
    assert_eq!(sparse.len(), 9 << 20);
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());
    let script = to.join("run.sh").metadata().unwrap();
    assert_eq!(script.mode() & 0o7777, 0o755, "no program runs as somebody else");
    assert_eq!((script.mtime(), script.mtime_nsec()), (1_000_000_000, 5));
    assert!(to.join("empty").is_dir());
}

#[test]
fn reading_goes_on_from_every_place() {
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("from");
    fill(&from);
    let chunks = all(&from, None);
    for (index, chunk) in chunks.iter().enumerate() {
        let to = root.path().join(format!("to-{index}"));
        copy(&chunks[..=index], &to).unwrap();
        let Some(place) = &chunk.next else { break };
        copy(&all(&from, Some(place)), &to).unwrap();
        assert_eq!(digest(&to), digest(&from), "from {place:?}");
    }
    assert!(all(&from, Some(&Place { path: b"zzz".to_vec(), offset: 0 })).is_empty());
    assert!(all(&root.path().join("missing"), None).is_empty());
}

#[test]
fn a_change_of_anything_is_another_digest() {
    let root = tempfile::tempdir().unwrap();
    let top = root.path().join("top");
    fill(&top);
    let mut seen = vec![digest(&top).hash];
    let mut check = |what: &str| {
        let hash = digest(&top).hash;
        assert!(!seen.contains(&hash), "{what}");
        seen.push(hash);
    };
    fs::write(top.join("world.properties"), "name=worle\n").unwrap();
    check("content");
    fs::rename(top.join("nothing"), top.join("nothinh")).unwrap();
    check("a name");
    let mut file = File::options().write(true).open(top.join("world/sparse")).unwrap();
    file.set_len((9 << 20) + 1).unwrap();
    check("a size");
    file.seek(SeekFrom::Start(7 << 20)).unwrap();
    file.write_all(b"x").unwrap();
    check("a byte in a hole");
    fs::remove_dir(top.join("empty")).unwrap();
    check("a folder");
    fs::set_permissions(top.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    check("permissions");
    fs::write(top.join("world/zeros"), vec![0; 100_000]).unwrap();
    check("zeros");
    assert_eq!(count(&top, || false).unwrap(), None);
}

/// CVE-2024-27102 (GHSA-494h): paths led out of the server's folder.
#[test]
fn what_a_hostile_source_sends_stays_inside_of_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let file = |path: &[u8]| Part::File { path: path.to_vec(), mode: 0o7777, size: 1 };
    let link =
        |path: &[u8], target: &[u8]| Part::Link { path: path.to_vec(), target: target.to_vec() };
    let bytes = |offset, length| Part::Bytes { offset, bytes: vec![1; length] };
    let block = usize::try_from(BLOCK_BYTES).unwrap();
    let cases = [
        vec![file(b"../outside/x")],
        vec![file(b"/outside")],
        vec![file(b"a/../../outside/x")],
        vec![link(b"out", b"../outside"), file(b"out/x")],
        vec![link(b"out", b"../outside/x"), file(b"out"), bytes(0, 1)],
        vec![link(b"out", b"../outside"), Part::Folder { path: b"out".to_vec(), mode: 0 }],
        vec![link(b"out", b"../outside"), link(b"out/y", b"x")],
        vec![link(b"out", b"")],
        vec![bytes(0, 1)],
        vec![Part::End { modified: (0, 0) }],
        vec![file(b"a"), bytes(1, 1)],
        vec![file(b"a"), bytes(0, block + 1)],
        vec![file(b"a"), Part::Folder { path: b"b".to_vec(), mode: 0 }, bytes(0, 1)],
        vec![file(b"a\0b")],
        vec![file(b"missing/a")],
    ];
    for (number, parts) in cases.into_iter().enumerate() {
        let to = root.path().join(format!("to-{number}"));
        let refused = copy(&[Parts { parts: parts.clone(), next: None }], &to);
        assert!(refused.is_err(), "{parts:?}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{parts:?}");
    }
}

#[test]
fn what_has_no_room_is_refused_with_what_is_missing() {
    for (free_bytes, needed_bytes, fits) in [
        (FREE_BYTES_MIN, 0, true),
        (FREE_BYTES_MIN - 1, 0, false),
        (FREE_BYTES_MIN + 1_000, 1_000, true),
        (FREE_BYTES_MIN + 999, 1_000, false),
        (u64::MAX, u64::MAX, true),
        (1 << 40, u64::MAX, false),
    ] {
        let checked = check_room(free_bytes, needed_bytes);
        assert_eq!(checked.is_ok(), fits, "{free_bytes} {needed_bytes}");
    }
    let text = check_room(700_000_000, 300_000_000).unwrap_err().to_string();
    assert!(text.contains("700000000 bytes left, the data needs 300000000 more"), "{text}");
}

#[test]
fn no_more_is_taken_than_the_server_may_have() {
    let root = tempfile::tempdir().unwrap();
    let most_bytes = 4 * BLOCK_BYTES;
    let mut writer = Writer::new(root.path(), 3 * BLOCK_BYTES, most_bytes).unwrap();
    let block = |offset| Part::Bytes { offset, bytes: vec![1; 65_536] };
    let file = Part::File { path: b"a".to_vec(), mode: 0, size: 1 << 40 };
    writer.write(&Parts { parts: vec![file, block(0)], next: None }).unwrap();
    let over = writer.write(&Parts { parts: vec![block(65_536)], next: None });
    assert!(matches!(over, Err(MoveError::OverLimit { most_bytes: 262_144 })), "{over:?}");
    // Nor more entries than can be there.
    let mut writer = Writer::new(root.path(), 0, most_bytes).unwrap();
    let folder = |at| Part::Folder { path: format!("d{at}").into_bytes(), mode: 0 };
    let many = Parts { parts: (0..513).map(folder).collect(), next: None };
    assert!(matches!(writer.write(&many), Err(MoveError::OverLimit { .. })));
    const { assert!(CHECKPOINT_BYTES > CHUNK_BYTES as u64) };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_folder_is_copied_whole(
        files in prop::collection::btree_map(
            prop::collection::vec("[a-c]{1,2}", 1..4),
            (0_u64..400_000, any::<u8>(), 0_u64..300_000),
            0..12,
        ),
        cut in 0_usize..8,
    ) {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir(&from).unwrap();
        for (names, (offset, byte, length)) in files {
            let path = from.join(names.join("/"));
            let above = path.parent().unwrap();
            // A name may be a file by now.
            if fs::create_dir_all(above).is_ok() && let Ok(file) = File::create(&path) {
                file.write_all_at(&vec![byte; usize::try_from(length).unwrap()], offset).unwrap();
            }
        }
        let chunks = all(&from, None);
        let cut = cut.min(chunks.len().saturating_sub(1));
        let place = chunks.get(cut).and_then(|it| it.next.clone());
        copy(chunks.get(..=cut).unwrap_or_default(), &to).unwrap();
        if let Some(place) = place {
            copy(&all(&from, Some(&place)), &to).unwrap();
        }
        prop_assert_eq!(digest(&to), digest(&from));
    }
}
