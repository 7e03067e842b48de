//! Pure: server info of Teeworlds 0.7.
//!
//! First a token is asked for: 4, two zeros, four bytes 0xff, 5, our token and 508 zeros (so that nobody gets more
//! bytes back than he sent). The answer is 4, two zeros, our token, 5 and the game's token. With both the info is
//! asked for: 0x21, its token, ours, four bytes 0xff, `gie3` and a number. Numbers have six bits in their first
//! byte (0x40 is the sign) and seven in each further one; 0x80 says that another follows. The answer has the
//! same head with the tokens the other way round, `inf3`, the number, five texts that end with a zero, and
//! numbers: flags, level, players, slots, clients, most clients. Clients who only watch are people too.

use super::{Next, Players, Rest, Unreadable};

const NO_TOKEN: [u8; 4] = [0xff; 4];
const NUMBER_BYTES_MAX: u32 = 5;

pub(super) fn ask(nonce: [u8; 4]) -> Vec<u8> {
    let mut asked = vec![4, 0, 0];
    asked.extend(NO_TOKEN);
    asked.push(5);
    asked.extend(nonce);
    asked.resize(520, 0);
    asked
}

pub(super) fn read(answer: &[u8], nonce: [u8; 4]) -> Result<Next, Unreadable> {
    let mut rest = Rest(answer);
    if rest.0.first() == Some(&4) {
        rest.expect(&[4, 0, 0])?;
        rest.expect(&nonce)?;
        rest.expect(&[5])?;
        let token = rest.take(4)?;
        return Ok(Next::Send([&[0x21], token, &nonce, &NO_TOKEN, b"gie3\0"].concat()));
    }
    rest.expect(&[0x21])?;
    rest.expect(&nonce)?;
    rest.take(4)?;
    rest.expect(&NO_TOKEN)?;
    rest.expect(b"inf3")?;
    number(&mut rest)?;
    for _ in 0..5 {
        rest.text()?;
    }
    let mut numbers = [0; 6];
    for it in &mut numbers {
        *it = number(&mut rest)?;
    }
    let [_, _, _, _, now, max] = numbers;
    Players::new(now, max).map(Next::Told)
}

/// Reads a number; one below zero is refused, for none of them can be.
fn number(rest: &mut Rest<'_>) -> Result<u64, Unreadable> {
    let first = rest.byte()?;
    let (mut number, mut more) = (u64::from(first & 0x3f), first & 0x80 != 0);
    for index in 0..NUMBER_BYTES_MAX - 1 {
        if !more {
            break;
        }
        let byte = rest.byte()?;
        number |= u64::from(byte & 0x7f) << (6 + 7 * index);
        more = byte & 0x80 != 0;
    }
    if more || first & 0x40 != 0 {
        return Err(Unreadable("a number is none"));
    }
    Ok(number)
}
