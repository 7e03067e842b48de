//! Tickets of the live feed, and the sockets that they open.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    feed::{self, Viewer},
    identity::Opens,
};
use mamba_wire::api::{
    console,
    feed::{FeedQuery, SEND_BYTES_MAX},
    table,
};
use warp::Reply as _;

impl Handle<table::CreateFeedTicket> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<console::Ticket>, ApiError> {
        let session = context.caller()?.session;
        let ticket = self.give_ticket(Opens::Feed, session, |text| {
            let query = FeedQuery { ticket: Some(text) };
            mamba_wire::api::target::<table::OpenFeed>(&(), &query)
        })?;
        Ok(Served::Json(ticket))
    }
}

impl Handle<table::OpenFeed> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: FeedQuery,
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let (ws, ticket) = self.take_ticket(context, query.ticket, |it| *it == Opens::Feed)?;
        let caller = self.identity().caller(ticket.session)?.filter(|it| !it.is_limited);
        let caller = caller.ok_or_else(ApiError::not_signed_in)?;
        let viewer = Viewer {
            hub: self.hub().clone(),
            identity: self.identity().clone(),
            links: self.parts.links.clone(),
            places: self.parts.feeds.clone(),
            session: ticket.session,
            user: caller.user,
        };
        let upgrade = ws
            .max_message_size(SEND_BYTES_MAX)
            .max_frame_size(SEND_BYTES_MAX)
            .on_upgrade(move |socket| feed::run(socket, viewer));
        Ok(Served::Whole(upgrade.into_response()))
    }
}
