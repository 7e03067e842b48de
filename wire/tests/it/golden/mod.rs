//! The sent form of every message, byte for byte.
//!
//! `v1.0.txt` holds one line per sample: its name and its bytes in hexadecimal. Once a version is
//! released its file is never edited; a change of a message then needs a new file and code that
//! reads both. A sample without a line fails and prints the line to add.

mod link;
mod node;
mod samples;

use std::collections::BTreeMap;

const RECORDED: &str = include_str!("v1.0.txt");

/// Tells whether bytes are read as a certain message.
type Reads = dyn Fn(&[u8]) -> bool;

/// One sample: its name, its bytes, and whether reading the bytes gives the message back.
struct Sample {
    name: String,
    bytes: Vec<u8>,
    reads_back: Box<Reads>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_message_has_its_recorded_form() {
    let lines = RECORDED.lines().filter_map(|line| line.split_once(' '));
    let recorded = lines.collect::<BTreeMap<_, _>>();
    let samples = link::samples().into_iter().chain(node::samples()).collect::<Vec<_>>();
    let differing = samples
        .iter()
        .filter(|it| recorded.get(it.name.as_str()) != Some(&hex(&it.bytes).as_str()))
        .map(|it| format!("{} {}\n", it.name, hex(&it.bytes)))
        .collect::<String>();
    assert!(differing.is_empty(), "not as recorded, or not recorded:\n{differing}");
    assert_eq!(recorded.len(), samples.len(), "a recorded message is not tested any more");
}

#[test]
fn every_recorded_form_is_still_read() {
    let lines = RECORDED.lines().filter_map(|line| line.split_once(' '));
    let recorded = lines.collect::<BTreeMap<_, _>>();
    for sample in link::samples().into_iter().chain(node::samples()) {
        let bytes = unhex(recorded[sample.name.as_str()]);
        assert!((sample.reads_back)(&bytes), "{} is read as something else", sample.name);
    }
}
