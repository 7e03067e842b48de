//! Tickets of sockets: what stands in for a token where a browser cannot send a header.
//!
//! Single-use, alive for [`TICKET_TTL_MS`], bound to one session and one purpose. Kept hashed
//! and in memory: a restart of the hub outlives every ticket.

use super::sessions::{hash_of, hex, unhex};
use mamba_core::{
    clock::BootMs,
    ids::{ServerId, SessionId},
};
use mamba_wire::api::console::TICKET_TTL_MS;
use std::collections::BTreeMap;

/// Tickets that wait to be used. At some 100 bytes each they take 1 MiB; above it new ones are
/// refused until old ones expire.
const TICKETS_MAX: usize = 10_000;
/// Tickets of one session that wait to be used: as many sockets as anybody opens at once.
const TICKETS_PER_SESSION_MAX: usize = 32;

/// What a ticket opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// A console.
    Console {
        /// Of this server.
        server: ServerId,
        /// Whether one may type.
        can_write: bool,
    },
    /// The live feed.
    Feed,
}

/// What a ticket allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What it opens.
    pub opens: Opens,
    /// On behalf of this session.
    pub session: SessionId,
}

/// Why no ticket was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many tickets are waiting to be used")]
pub struct TicketError;

/// Pure: the tickets that wait to be used.
#[derive(Debug, Default)]
pub struct Tickets {
    waiting: BTreeMap<[u8; 32], (Ticket, BootMs)>,
}

impl Tickets {
    /// Gives a ticket for a secret of 256 random bits; returns its text.
    ///
    /// # Errors
    /// When too many wait.
    pub fn give(
        &mut self,
        now: BootMs,
        secret: [u8; 32],
        ticket: Ticket,
    ) -> Result<String, TicketError> {
        self.waiting.retain(|_, (_, until)| now < *until);
        let own = self.waiting.values().filter(|(other, _)| other.session == ticket.session);
        if self.waiting.len() >= TICKETS_MAX || own.count() >= TICKETS_PER_SESSION_MAX {
            return Err(TicketError);
        }
        self.waiting.insert(hash_of(&secret), (ticket, now.plus(TICKET_TTL_MS)));
        Ok(hex(&secret))
    }

    /// Takes a ticket; it cannot be taken again, also when it opens something else.
    pub fn take(
        &mut self,
        now: BootMs,
        text: &str,
        fits: impl FnOnce(&Opens) -> bool,
    ) -> Option<Ticket> {
        let (ticket, until) = self.waiting.remove(&hash_of(&unhex(text)?))?;
        (now < until && fits(&ticket.opens)).then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(server: u8) -> Ticket {
        let server = ServerId::from_bytes([server; 16]);
        let opens = Opens::Console { server, can_write: true };
        Ticket { opens, session: SessionId::from_bytes([9; 16]) }
    }

    #[test]
    fn a_ticket_opens_its_console_once_and_in_time() {
        let mut tickets = Tickets::default();
        let give = |tickets: &mut Tickets, secret: u8| {
            tickets.give(BootMs(0), [secret; 32], ticket(1)).unwrap()
        };
        let take = |tickets: &mut Tickets, now: u64, text: &str, wanted: u8| {
            tickets.take(BootMs(now), text, |opens| *opens == ticket(wanted).opens)
        };
        let text = give(&mut tickets, 1);
        assert_eq!(text.len(), 64);
        assert_eq!(take(&mut tickets, 1, &text, 1), Some(ticket(1)));
        assert_eq!(take(&mut tickets, 1, &text, 1), None);
        let late = give(&mut tickets, 2);
        assert_eq!(take(&mut tickets, TICKET_TTL_MS, &late, 1), None);
        let elsewhere = give(&mut tickets, 3);
        assert_eq!(take(&mut tickets, 1, &elsewhere, 2), None);
        assert_eq!(take(&mut tickets, 1, &elsewhere, 1), None);
        let feed = give(&mut tickets, 4);
        assert_eq!(tickets.take(BootMs(1), &feed, |opens| *opens == Opens::Feed), None);
        for broken in ["", "zz", &"z".repeat(64), &"ü".repeat(32)] {
            assert_eq!(take(&mut tickets, 1, broken, 1), None);
        }
    }

    #[test]
    fn tickets_are_bounded_and_expired_ones_make_room() {
        let mut tickets = Tickets::default();
        let secret = |index: usize| {
            let mut secret = [0; 32];
            secret[..8].copy_from_slice(&index.to_be_bytes());
            secret
        };
        for index in 0..TICKETS_PER_SESSION_MAX {
            tickets.give(BootMs(0), secret(index), ticket(1)).unwrap();
        }
        assert_eq!(tickets.give(BootMs(1), secret(99), ticket(1)), Err(TicketError));
        assert!(tickets.give(BootMs(TICKET_TTL_MS), secret(99), ticket(1)).is_ok());
        assert_eq!(tickets.waiting.len(), 1);
    }
}
