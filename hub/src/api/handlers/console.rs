//! Console tickets, and the sockets that they open.

use crate::{
    api::{Api, ApiError, Context, Handle, Served, resolve::About},
    identity::{Opens, Ticket},
    relay::{self, Visit},
};
use mamba_core::{
    access::{ServerKey, Wanted},
    clock::draw,
    ids::SessionId,
};
use mamba_wire::api::{
    Code,
    console::{self, ConsoleQuery, CreateTicket, SEND_BYTES_MAX, TICKET_TTL_MS},
    params::ServerPath,
    table, target,
};
use warp::{
    Reply as _,
    http::{HeaderMap, header},
    ws::Ws,
};

impl Handle<table::CreateConsoleTicket> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: CreateTicket,
    ) -> Result<Served<console::Ticket>, ApiError> {
        let caller = context.caller()?;
        self.hub().node_of(context.scope()?, path.server)?;
        if body.write {
            let wanted = Wanted::Server(ServerKey::ControlConsole);
            self.allow(caller, wanted, About::Server(path.server))?;
        }
        let opens = Opens::Console { server: path.server, can_write: body.write };
        let ticket = self.give_ticket(opens, caller.session, |text| {
            target::<table::OpenConsole>(&path, &ConsoleQuery { ticket: Some(text) })
        })?;
        Ok(Served::Json(ticket))
    }
}

impl Handle<table::OpenConsole> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: ConsoleQuery,
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let (ws, ticket) = self.take_ticket(
            context,
            query.ticket,
            |opens| matches!(opens, Opens::Console { server, .. } if *server == path.server),
        )?;
        let is_typist = matches!(ticket.opens, Opens::Console { can_write: true, .. });
        let caller = self.identity().caller(ticket.session)?;
        let caller = caller.ok_or_else(ApiError::not_signed_in)?;
        let wanted = Wanted::Server(ServerKey::ControlReadConsole);
        let scope = self.allow(&caller, wanted, About::Server(path.server))?;
        let scope = scope.ok_or_else(|| ApiError::not_found("server"))?;
        let node = self.hub().node_of(&scope, path.server)?;
        let held = scope.keys();
        let keys = if is_typist { held } else { held.without(ServerKey::ControlConsole) };
        let visit = Visit {
            hub: self.hub().clone(),
            identity: self.identity().clone(),
            links: self.parts.links.clone(),
            consoles: self.parts.consoles.clone(),
            scope,
            node,
            server: path.server,
            session: ticket.session,
            user: caller.user,
            keys,
        };
        let upgrade = ws
            .max_message_size(SEND_BYTES_MAX)
            .max_frame_size(SEND_BYTES_MAX)
            .on_upgrade(move |socket| relay::run(socket, visit));
        Ok(Served::Whole(upgrade.into_response()))
    }
}

impl Api {
    /// Makes a ticket. `target` says where the socket with a ticket's text is.
    pub(super) fn give_ticket(
        &self,
        opens: Opens,
        session: SessionId,
        target: impl FnOnce(String) -> String,
    ) -> Result<console::Ticket, ApiError> {
        let now = self.clock().boot();
        let ticket = Ticket { opens, session };
        let text = self.tickets().give(now, draw(self.entropy()), ticket).map_err(|err| {
            let mut answer = ApiError::new(Code::Throttled, err.to_string());
            answer.retry_after_s = Some(TICKET_TTL_MS / 1_000);
            answer
        })?;
        let expires_at = self.clock().wall().plus(TICKET_TTL_MS);
        Ok(console::Ticket { target: target(text.clone()), ticket: text, expires_at })
    }

    /// Takes the ticket of a request for a socket. What does not use it up is checked first.
    pub(super) fn take_ticket(
        &self,
        context: Context,
        text: Option<String>,
        fits: impl FnOnce(&Opens) -> bool,
    ) -> Result<(Ws, Ticket), ApiError> {
        let Some(ws) = context.ws else {
            return Err(ApiError::new(Code::Malformed, "this endpoint is a WebSocket"));
        };
        if !is_own_origin(&context.headers) {
            return Err(ApiError::new(Code::Forbidden, "the page is from another origin"));
        }
        let now = self.clock().boot();
        let ticket = text.and_then(|text| self.tickets().take(now, &text, fits));
        Ok((ws, ticket.ok_or_else(ApiError::not_signed_in)?))
    }
}

/// Whether a browser's page, if it is one, comes from this hub. Programs send no origin.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    origin.is_some() && origin == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_open_a_console() {
        for (origin, host, expected) in [
            (None, "hub:8080", true),
            (Some("http://hub:8080"), "hub:8080", true),
            (Some("https://hub"), "hub", true),
            (Some("https://evil.example"), "hub", false),
            (Some("http://hub.evil.example"), "hub", false),
            (Some("null"), "hub", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_own_origin(&headers), expected, "{origin:?}");
        }
    }
}
