//! Examples: the live feed.

use super::{Example, examples};
use mamba_wire::api::{Code, feed::FeedQuery};

examples! {
    CreateFeedTicket, _seed => Example::new((), (), ()).shared();
    // It is no WebSocket; what one gets is in the tests of the feed.
    OpenFeed, _seed => {
        Example::new((), FeedQuery { ticket: Some("0".repeat(64)) }, ()).refused(Code::Malformed)
    };
}
