//! Pure: Minecraft's Server List Ping.
//!
//! Numbers are `VarInt`s: seven bits a byte, the lowest first, the highest bit set while more follow. Each
//! packet is its length, its number and its fields; a text is its length in bytes and UTF-8. Asked is with a
//! handshake (number 0: version, host, port, 1 for status) and a request (number 0); answered is number 0 with
//! JSON, of which only `players` is read.

use super::{Next, Players, Rest, Unreadable};
use serde::Deserialize;

/// Bytes of the longest `VarInt`.
const VARINT_BYTES_MAX: u32 = 5;
/// Version -1: whoever asks does not know which the game has.
const ANY_VERSION: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];
/// Name that it is asked for by; proxies have one game for each.
const HOST: &[u8; 9] = b"localhost";

pub(super) fn ask(port: u16) -> Vec<u8> {
    let mut handshake = vec![0];
    handshake.extend(ANY_VERSION);
    handshake.push(9);
    handshake.extend(HOST);
    handshake.extend(port.to_be_bytes());
    handshake.push(1);
    let mut asked = vec![18];
    asked.extend(handshake);
    asked.extend([1, 0]);
    asked
}

#[derive(Deserialize)]
struct Status {
    players: Counted,
}

#[derive(Deserialize)]
struct Counted {
    online: u64,
    max: u64,
}

pub(super) fn read(answer: &[u8]) -> Result<Next, Unreadable> {
    let mut rest = Rest(answer);
    let Some(bytes) = varint(&mut rest)? else { return Ok(Next::More) };
    if bytes > super::ANSWER_BYTES_MAX {
        return Err(Unreadable("too long"));
    }
    let Some(packet) = rest.0.get(..bytes) else { return Ok(Next::More) };
    let mut rest = Rest(packet);
    let number = varint(&mut rest)?;
    let text = varint(&mut rest)?;
    let (Some(0), Some(text)) = (number, text) else {
        return Err(Unreadable("it is another answer"));
    };
    let text = rest.take(text)?;
    let status: Status =
        serde_json::from_slice(text).map_err(|_| Unreadable("it does not tell its players"))?;
    // Some tell no limit as -1, which is no number of players and refused above.
    Players::new(status.players.online, status.players.max).map(Next::Told)
}

/// Reads a number, `None` while it has not come whole.
fn varint(rest: &mut Rest<'_>) -> Result<Option<usize>, Unreadable> {
    let mut number = 0_u64;
    for index in 0..VARINT_BYTES_MAX {
        let Ok(byte) = rest.byte() else { return Ok(None) };
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(usize::try_from(number).ok());
        }
    }
    Err(Unreadable("a number has no end"))
}
