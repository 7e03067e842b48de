//! Pure: `A2S_INFO`, as Source and many games on Steam answer it.
//!
//! Every datagram begins with four bytes 0xff. Asked is `T`, `Source Engine Query` and a zero; a game may answer
//! `A` with a challenge of four bytes, with which it is asked again. The answer is `I`: protocol, four texts that
//! end with a zero (name, map, folder, game), the game's number (two bytes), and a byte each for who plays, how
//! many may, and how many of those who play are programs. An answer in several parts begins with
//! 0xfe and is none of this.

use super::{Next, Players, Rest, Unreadable};

const HEAD: [u8; 4] = [0xff; 4];

pub(super) fn ask(challenge: Option<&[u8]>) -> Vec<u8> {
    let mut asked = HEAD.to_vec();
    asked.extend(b"TSource Engine Query\0");
    asked.extend(challenge.unwrap_or_default());
    asked
}

pub(super) fn read(answer: &[u8]) -> Result<Next, Unreadable> {
    let mut rest = Rest(answer);
    rest.expect(&HEAD)?;
    match rest.byte()? {
        b'A' => Ok(Next::Send(ask(Some(rest.take(4)?)))),
        b'I' => {
            rest.byte()?;
            for _ in 0..4 {
                rest.text()?;
            }
            rest.take(2)?;
            let (now, max, programs) = (rest.byte()?, rest.byte()?, rest.byte()?);
            Players::new(u64::from(now.saturating_sub(programs)), u64::from(max)).map(Next::Told)
        }
        _ => Err(Unreadable("it is another answer")),
    }
}
