//! Pure: what changed, told as it happens.

use super::prelude::*;
use crate::api::{console, feed};

endpoints! {
    /// What changed, told as it happens.
    FEED "feed" for_each_feed_endpoint;

    /// Makes a single-use ticket for the live feed.
    CreateFeedTicket: Post "/api/v1/feed-ticket", Permission::SignedIn, 201,
        ((), (), ()) -> console::Ticket;
    /// Opens the live feed as a WebSocket.
    OpenFeed: Get "/api/v1/feed", Permission::Ticket, 101,
        ((), feed::FeedQuery, ()) -> ();
}
