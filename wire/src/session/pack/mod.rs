//! Pure: usage facts as they go over the line, where each says only what it does not share with the one
//! before it of the same server.
//!
//! Both ends keep what was said last of each server, for the length of a session: frames of a stream
//! arrive in order, or the session ends. What comes out is byte for byte what went in; the chain hash,
//! which both ends go on with, tells when it is not.
//!
//! A batch is its facts one after the other, each with a byte of flags first. Numbers are little endian
//! base 128; a difference `d` is sent as `2d`, or `-2d - 1` when it is negative.
//!
//! | flags | meaning | then |
//! |---|---|---|
//! | 0xff | as it is: not a measured span, or too odd | length, body |
//! | 0xfe | the first one of a server | tenant, server, start, length of the span, 7 quantities |
//! | else | bit 7: not the server after that of the fact before | number of the server |
//! | | bit 6: it does not follow the span before it, as long as that | difference of its start to the end before, length |
//! | | bits 0 to 3: a used quantity is not as predicted | difference, for each bit from the lowest |
//! | | bit 4: an allocated one is not | three differences |
//!
//! Servers are numbered from 0 in the order in which they came up. Predicted is what was used in the
//! span before, as much of it as this one is long. The first fact of a batch follows server 0.

#[cfg(test)]
mod tests;

use crate::link::v1::{BATCH_FACTS_MAX, SERVERS_MAX};
use mamba_core::{
    clock::UnixMs,
    fact::{FACT_BYTES_MAX, Meter, UsageBody, UsageFact},
    ids::{ServerId, TenantId},
};
use std::collections::BTreeMap;

const RAW: u8 = 0xff;
const NEW: u8 = 0xfe;
const ELSEWHERE: u8 = 1 << 7;
const OTHER_SPAN: u8 = 1 << 6;
const ALLOCATED: u8 = 1 << 4;
/// Meters with a bit of their own; the others are those that are allocated.
const USED: usize = 4;

/// What comes is not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch of packed facts is malformed")]
pub struct BadPack;

/// What both ends know of the facts that went over the line.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The last fact of each server, by its number.
    last: Vec<UsageFact>,
}

/// The sending end.
#[derive(Clone, Debug, Default)]
pub(super) struct Packer {
    known: Known,
    numbers: BTreeMap<(TenantId, ServerId), usize>,
}

/// The receiving end.
#[derive(Clone, Debug, Default)]
pub(super) struct Unpacker {
    known: Known,
}

impl Packer {
    /// Packs a batch of encoded facts.
    pub(super) fn pack(&mut self, bodies: &[Vec<u8>]) -> Vec<u8> {
        let (mut out, mut expected) = (Vec::new(), 0);
        for body in bodies {
            match measured(body) {
                Some(fact) => self.pack_fact(&fact, body, &mut expected, &mut out),
                None => put_raw(body, &mut out),
            }
        }
        out
    }

    fn pack_fact(
        &mut self,
        fact: &UsageFact,
        body: &[u8],
        expected: &mut usize,
        out: &mut Vec<u8>,
    ) {
        let who = (fact.tenant, fact.server);
        match self.numbers.get(&who).copied() {
            Some(number) => {
                self.known.put(number, *expected, fact, out);
                *expected = number + 1;
            }
            None if self.known.last.len() < SERVERS_MAX => {
                let number = self.known.last.len();
                put_new(fact, out);
                self.numbers.insert(who, number);
                self.known.last.push(fact.clone());
                *expected = number + 1;
            }
            None => put_raw(body, out),
        }
    }
}

impl Unpacker {
    /// Returns the encoded facts of a batch, at most one more than may be in one.
    ///
    /// # Errors
    /// The bytes are not a batch; what is known of servers is not to be used any more.
    pub(super) fn unpack(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BadPack> {
        let (mut rest, mut bodies, mut expected) = (Reader(bytes), Vec::new(), 0);
        while !rest.0.is_empty() && bodies.len() <= BATCH_FACTS_MAX {
            let flags = rest.byte()?;
            if flags == RAW {
                let length = usize::try_from(rest.number()?).map_err(|_| BadPack)?;
                bodies.push(rest.take(length)?.to_vec());
                continue;
            }
            let fact = if flags == NEW {
                expected = self.known.last.len();
                let fact = take_new(&mut rest)?;
                if expected >= SERVERS_MAX {
                    return Err(BadPack);
                }
                self.known.last.push(fact.clone());
                fact
            } else {
                self.known.take(flags, &mut expected, &mut rest)?
            };
            expected += 1;
            bodies.push(fact.encode().map_err(|_| BadPack)?);
        }
        Ok(bodies)
    }
}

impl Known {
    /// Writes a fact as what it does not share with the last one of its server, and keeps it.
    fn put(&mut self, number: usize, expected: usize, fact: &UsageFact, out: &mut Vec<u8>) {
        let Some(last) = self.last.get_mut(number) else { return };
        let mut flags = 0;
        let mut tail = Vec::new();
        if number != expected {
            flags |= ELSEWHERE;
            put_number(number as u128, &mut tail);
        }
        let (length, length_before) = (length(fact), length(last));
        if (fact.from, length) != (last.to, length_before) {
            flags |= OTHER_SPAN;
            put_difference(u128::from(fact.from.0), u128::from(last.to.0), &mut tail);
            put_number(length.into(), &mut tail);
        }
        let off: Vec<(u128, u128)> = Meter::ALL
            .into_iter()
            .map(|meter| (quantity(fact, meter), predicted(last, meter, length)))
            .collect();
        let (used, allocated) = off.split_at(USED);
        for (bit, (is, predicted)) in used.iter().enumerate() {
            if is != predicted {
                flags |= 1 << bit;
                put_difference(*is, *predicted, &mut tail);
            }
        }
        if allocated.iter().any(|(is, predicted)| is != predicted) {
            flags |= ALLOCATED;
            for (is, predicted) in allocated {
                put_difference(*is, *predicted, &mut tail);
            }
        }
        out.push(flags);
        out.extend(tail);
        *last = fact.clone();
    }

    /// Reads what [`Known::put`] wrote. `expected` becomes the number of the server.
    fn take(
        &mut self,
        flags: u8,
        expected: &mut usize,
        rest: &mut Reader<'_>,
    ) -> Result<UsageFact, BadPack> {
        if flags & !(ELSEWHERE | OTHER_SPAN | ALLOCATED | 0x0f) != 0 {
            return Err(BadPack);
        }
        if flags & ELSEWHERE != 0 {
            *expected = usize::try_from(rest.number()?).map_err(|_| BadPack)?;
        }
        let last = self.last.get_mut(*expected).ok_or(BadPack)?;
        let (mut from, mut length) = (last.to, length(last));
        if flags & OTHER_SPAN != 0 {
            let at = rest.difference(last.to.0.into())?;
            from = UnixMs(u64::try_from(at).map_err(|_| BadPack)?);
            length = rest.number()?.try_into().map_err(|_| BadPack)?;
        }
        let to = UnixMs(from.0.checked_add(length).ok_or(BadPack)?);
        let mut fact = UsageFact { from, to, ..last.clone() };
        for (bit, meter) in Meter::ALL.into_iter().enumerate() {
            let is_off = flags & if bit < USED { 1 << bit } else { ALLOCATED } != 0;
            let predicted = predicted(last, meter, length);
            let value = if is_off { rest.difference(predicted)? } else { predicted };
            set(&mut fact, meter, value);
        }
        *last = fact.clone();
        Ok(fact)
    }
}

/// The fact in a body, when it is one that can be packed and nothing is lost by that.
fn measured(body: &[u8]) -> Option<UsageFact> {
    let fact = UsageFact::decode(body).ok()?;
    let is_span = fact.to >= fact.from && matches!(fact.body, UsageBody::Measured(_));
    (is_span && fact.encode().is_ok_and(|again| again == body)).then_some(fact)
}

fn length(fact: &UsageFact) -> u64 {
    fact.to.since(fact.from)
}

fn quantity(fact: &UsageFact, meter: Meter) -> u128 {
    match &fact.body {
        UsageBody::Measured(quantities) => quantities.of(meter),
        UsageBody::Gap(_) | UsageBody::ClockStep { .. } => 0,
    }
}

fn set(fact: &mut UsageFact, meter: Meter, value: u128) {
    if let UsageBody::Measured(quantities) = &mut fact.body {
        *quantities.of_mut(meter) = value;
    }
}

/// What a span of this length would have if it was like the last one.
fn predicted(last: &UsageFact, meter: Meter, length_ms: u64) -> u128 {
    let (before, whole) = (quantity(last, meter), length(last));
    if whole == length_ms {
        return before;
    }
    let part = before.checked_mul(length_ms.into()).and_then(|it| it.checked_div(whole.into()));
    part.unwrap_or_default()
}

fn put_raw(body: &[u8], out: &mut Vec<u8>) {
    out.push(RAW);
    put_number(body.len() as u128, out);
    out.extend_from_slice(body);
}

fn put_new(fact: &UsageFact, out: &mut Vec<u8>) {
    out.push(NEW);
    out.extend_from_slice(&fact.tenant.to_bytes());
    out.extend_from_slice(&fact.server.to_bytes());
    put_number(fact.from.0.into(), out);
    put_number(length(fact).into(), out);
    Meter::ALL.into_iter().for_each(|meter| put_number(quantity(fact, meter), out));
}

fn take_new(rest: &mut Reader<'_>) -> Result<UsageFact, BadPack> {
    let tenant = TenantId::from_bytes(rest.array()?);
    let server = ServerId::from_bytes(rest.array()?);
    let from = u64::try_from(rest.number()?).map_err(|_| BadPack)?;
    let length = u64::try_from(rest.number()?).map_err(|_| BadPack)?;
    let (from, to) = (UnixMs(from), UnixMs(from.checked_add(length).ok_or(BadPack)?));
    let body = UsageBody::Measured(mamba_core::fact::Quantities::default());
    let mut fact = UsageFact { tenant, server, from, to, body };
    for meter in Meter::ALL {
        set(&mut fact, meter, rest.number()?);
    }
    Ok(fact)
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put_number(mut number: u128, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Differences are taken around the end of the numbers, so that every one has a form.
fn put_difference(is: u128, predicted: u128, out: &mut Vec<u8>) {
    let difference = is.wrapping_sub(predicted).cast_signed();
    put_number(((difference << 1) ^ (difference >> 127)).cast_unsigned(), out);
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BadPack> {
        if length > FACT_BYTES_MAX {
            return Err(BadPack);
        }
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadPack)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadPack> {
        self.take(N)?.try_into().map_err(|_| BadPack)
    }

    fn byte(&mut self) -> Result<u8, BadPack> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u128, BadPack> {
        let mut number = 0_u128;
        for place in 0..19 {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            let shifted = part << (7 * place);
            if shifted >> (7 * place) != part {
                return Err(BadPack);
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BadPack)
    }

    fn difference(&mut self, predicted: u128) -> Result<u128, BadPack> {
        let sent = self.number()?;
        let difference = (sent >> 1) ^ (sent & 1).wrapping_neg();
        Ok(predicted.wrapping_add(difference))
    }
}
