//! Answers as games give them, and as nobody should believe them.

use super::*;
use proptest::prelude::*;

const NONCE: [u8; 4] = [0x13, 0x1c, 0x5d, 0xdd];
/// Said by the game itself, with tokens `00f54067` and [`NONCE`].
const TEEWORLDS: &[u8] =
    b"!\x13\x1c\x5d\xdd\x00\xf5\x40\x67\xff\xff\xff\xffinf3\x000.7.5\0X\0\0dm1\0DM\0\x00\x01\x00\x08\x00\x08";
const SOURCE: &[u8] =
    b"\xff\xff\xff\xffI\x11Name \xff<b>\0de_dust2\0csgo\0Counter-Strike\0\xda\x02\x0c\x10\x02dl\0\x011.0\0";

fn told(query: Query, answer: &[u8]) -> Result<Next, Unreadable> {
    Asking::begin(query, 25_565, NONCE).0.read(answer)
}

fn players(now: u32, max: u32) -> Result<Next, Unreadable> {
    Ok(Next::Told(Players { now, max }))
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn minecraft(json: &str) -> Vec<u8> {
    let packet = [vec![0], varint(json.len()), json.as_bytes().to_vec()].concat();
    [varint(packet.len()), packet].concat()
}

#[test]
fn a_blueprint_says_how_its_game_is_asked() {
    for (features, expected) in [
        (&[][..], None),
        (&["pid_limit"], None),
        (&["eula", "java_version", "pid_limit"], Some(Query::Minecraft)),
        (&["gsl_token"], Some(Query::Source)),
        (&["steam_disk_space"], Some(Query::Source)),
        (&["query:teeworlds"], Some(Query::Teeworlds)),
        (&["eula", "query:none"], None),
        (&["eula", "query:unheard"], None),
        (&["eula", "query:source"], Some(Query::Source)),
    ] {
        let features: Vec<String> = features.iter().map(ToString::to_string).collect();
        assert_eq!(Query::of(&features), expected, "{features:?}");
    }
    assert!(Query::is_told_by("query:none") && Query::is_told_by("query:minecraft"));
    assert!(!Query::is_told_by("query:x") && !Query::is_told_by("minecraft"));
}

#[test]
fn minecraft_tells_its_players() {
    let (_, asked) = Asking::begin(Query::Minecraft, 25_565, NONCE);
    assert_eq!(asked, b"\x12\0\xff\xff\xff\xff\x0f\x09localhost\x63\xdd\x01\x01\0");
    let json = r#"{"version":{"name":"1.21","protocol":767},"description":{"text":"§c<script>"},
        "players":{"max":20,"online":3,"sample":[{"name":"x","id":"y"}]},"favicon":"data:image/png;base64,AA"}"#;
    let answer = minecraft(json);
    for cut in [0, 1, 2, 40, answer.len() - 1] {
        assert_eq!(told(Query::Minecraft, &answer[..cut]), Ok(Next::More), "{cut} bytes");
    }
    assert_eq!(told(Query::Minecraft, &answer), players(3, 20));
}

#[test]
fn what_minecraft_cannot_mean_is_not_believed() {
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    for json in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"players":null}"#,
        r#"{"players":{"online":3}}"#,
        r#"{"players":{"online":-1,"max":20}}"#,
        r#"{"players":{"online":1.5,"max":20}}"#,
        r#"{"players":{"online":"3","max":20}}"#,
        r#"{"players":{"online":3,"max":99999999}}"#,
        r#"{"players":{"online":18446744073709551615,"max":1}}"#,
        r#"{"players":{"online":3,"max":20}"#,
        &deep,
    ] {
        let told = told(Query::Minecraft, &minecraft(json));
        assert!(told.is_err(), "{}: {told:?}", json.get(..40).unwrap_or(json));
    }
    for answer in [
        // A length without end, one that is too much, another packet, a text longer than its packet.
        &b"\xff\xff\xff\xff\xff\x01"[..],
        b"\xff\xff\xff\xff\x0f",
        b"\x02\x01\x00",
        b"\x03\x00\x7fx",
        b"\x01\x00",
        b"\x00",
        &[0xff; ANSWER_BYTES_MAX + 1],
    ] {
        let told = told(Query::Minecraft, answer);
        assert!(told.is_err(), "{:02x?}: {told:?}", &answer[..answer.len().min(8)]);
    }
}

#[test]
fn source_tells_its_players_without_programs_and_after_a_challenge() {
    let (mut asking, asked) = Asking::begin(Query::Source, 27_015, NONCE);
    assert_eq!(asked, b"\xff\xff\xff\xffTSource Engine Query\0");
    let again = asking.read(b"\xff\xff\xff\xffA\x01\x02\x03\x04").unwrap();
    let expected = b"\xff\xff\xff\xffTSource Engine Query\0\x01\x02\x03\x04";
    assert_eq!(again, Next::Send(expected.to_vec()));
    assert_eq!(asking.read(SOURCE), players(10, 16));
    let only_programs = b"\xff\xff\xff\xffI\x11\0\0\0\0\x00\x00\x02\x10\x09";
    assert_eq!(told(Query::Source, only_programs), players(0, 16));
}

#[test]
fn a_game_that_challenges_for_ever_is_left() {
    let (mut asking, _) = Asking::begin(Query::Source, 27_015, NONCE);
    for _ in 0..DATAGRAMS_MAX {
        assert!(matches!(asking.read(b"\xff\xff\xff\xffA\x01\x02\x03\x04"), Ok(Next::Send(_))));
    }
    assert!(asking.read(SOURCE).is_err());
}

#[test]
fn teeworlds_tells_its_clients_to_whom_it_gave_a_token() {
    let (mut asking, asked) = Asking::begin(Query::Teeworlds, 8_303, NONCE);
    assert_eq!(
        (asked.len(), &asked[..12]),
        (520, &b"\x04\0\0\xff\xff\xff\xff\x05\x13\x1c\x5d\xdd"[..])
    );
    let again = asking.read(b"\x04\0\0\x13\x1c\x5d\xdd\x05\x00\xf5\x40\x67").unwrap();
    let expected = b"!\x00\xf5\x40\x67\x13\x1c\x5d\xdd\xff\xff\xff\xffgie3\0";
    assert_eq!(again, Next::Send(expected.to_vec()));
    assert_eq!(asking.read(TEEWORLDS), players(0, 8));
    let mut many = TEEWORLDS.to_vec();
    // Two of a number's bytes: 0x80 says that another follows.
    many.splice(many.len() - 2.., [0x05, 0x80, 0x01]);
    assert_eq!(told(Query::Teeworlds, &many), players(5, 64));
    for (place, byte) in
        [(1, 0), (13, b'x'), (TEEWORLDS.len() - 1, 0x48), (TEEWORLDS.len() - 1, 0x80)]
    {
        let mut other = TEEWORLDS.to_vec();
        other[place] = byte;
        assert!(told(Query::Teeworlds, &other).is_err(), "byte {place}");
    }
    assert!(told(Query::Teeworlds, b"\x04\0\0\0\0\0\0\x05\x00\xf5\x40\x67").is_err(), "of another");
}

#[test]
fn no_answer_that_is_cut_is_believed() {
    for (query, answer) in [(Query::Source, SOURCE), (Query::Teeworlds, TEEWORLDS)] {
        // Source has more behind what is read.
        let end = if query == Query::Source { answer.len() - 8 } else { answer.len() };
        for cut in 0..end {
            assert!(told(query, &answer[..cut]).is_err(), "{query:?} at {cut}");
        }
    }
    assert!(told(Query::Source, &[0xff; DATAGRAM_BYTES_MAX + 1]).is_err());
}

proptest! {
    #[test]
    fn nothing_that_a_game_says_does_harm(answer in proptest::collection::vec(any::<u8>(), 0..600), place in 0..60_usize, byte: u8) {
        for (query, good) in [(Query::Minecraft, minecraft(r#"{"players":{"online":3,"max":20}}"#)), (Query::Source, SOURCE.to_vec()), (Query::Teeworlds, TEEWORLDS.to_vec())] {
            for answer in [answer.clone(), { let mut near = good.clone(); let place = place % near.len(); near[place] = byte; near }] {
                let (mut asking, _) = Asking::begin(query, 1, NONCE);
                if let Ok(Next::Told(players)) = asking.read(&answer) {
                    prop_assert!(u64::from(players.now) <= PLAYERS_MAX && u64::from(players.max) <= PLAYERS_MAX);
                }
            }
        }
    }
}
