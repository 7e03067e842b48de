//! One line typed, and one look at what a server uses, over HTTP, with a node that is played by the test.

use super::world::{Open, open_world};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    clock::UnixMs,
    lifecycle::ServerState,
};
use mamba_wire::{
    api::{
        Code, LinkState,
        params::ServerPath,
        runtime::{RecentResources, Resources, SendCommand},
        table,
    },
    net::frames::FrameStream,
    node::{
        Answer, Ask, ConsoleInput, Gauges, MOMENTS_MAX, Moment, NodeError, NodeReply, NodeRequest,
    },
};

impl Open {
    async fn command(&self, token: &str, line: &str) -> Result<(), Code> {
        let path = ServerPath { server: self.server };
        let body = SendCommand { command: line.to_owned() };
        let done = self.world.call::<table::SendCommand>(Some(token), &path, &(), &body).await;
        done.map_err(|problem| problem.code)
    }

    async fn resources(&self) -> Resources {
        let path = ServerPath { server: self.server };
        self.world.call::<table::ShowResources>(Some(&self.owner), &path, &(), &()).await.unwrap()
    }

    /// Asks for the recent past, while a node replies.
    async fn recent(&self, token: &str, played: NodeReply) -> Result<RecentResources, Code> {
        let path = ServerPath { server: self.server };
        let mut node = self.world.door.expect(1 << 16);
        let asking = self.world.call::<table::ShowRecentResources>(Some(token), &path, &(), &());
        let (told, ()) = tokio::join!(asking, reply(&mut node, played));
        told.map_err(|problem| problem.code)
    }
}

async fn tell(node: &mut FrameStream, answer: Answer) {
    reply(node, NodeReply::Ok(Box::new(answer))).await;
}

async fn reply(node: &mut FrameStream, reply: NodeReply) {
    node.writer.send(&reply.to_frame().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_line_is_typed_when_the_node_says_so() {
    let open = open_world().await;
    let mut node = open.world.door.expect(1 << 16);
    let (done, ()) =
        tokio::join!(open.command(&open.owner, "say hi"), tell(&mut node, Answer::Accepted));
    assert_eq!(done, Ok(()));
    // Who may only type needs no right to read: the node is asked for nothing else.
    let keys = [ServerKey::WebsocketConnect, ServerKey::ControlConsole];
    let friend = open.world.friend(&open.owner, open.server, keys).await;
    let mut node = open.world.door.expect(1 << 16);
    let (done, ()) = tokio::join!(open.command(&friend, "list"), tell(&mut node, Answer::Accepted));
    assert_eq!(done, Ok(()));
    let asked = open.world.door.asked.lock().unwrap().clone();
    let request = |line: &str| NodeRequest::Type { server: open.server, line: line.to_owned() };
    let owner = open.asker(&open.owner, ServerKeys::ALL).await;
    let friend = open.asker(&friend, keys.into_iter().collect()).await;
    let expected = [(owner, request("say hi")), (friend, request("list"))];
    assert_eq!(asked, expected.map(|(by, request)| Ask { by, request }));
}

#[tokio::test]
async fn a_line_that_is_not_typed_says_why() {
    let open = open_world().await;
    assert_eq!(open.command(&open.owner, "say hi").await, Err(Code::NodeOffline));
    let lacking = NodeError::Forbidden(ConsoleInput::NEEDS);
    for (refusal, code) in [
        (NodeError::NotRunning, Code::Conflict),
        (NodeError::Busy, Code::Unavailable),
        (lacking, Code::Forbidden),
    ] {
        let mut node = open.world.door.expect(1 << 16);
        let play = reply(&mut node, NodeReply::Err(refusal));
        let (done, ()) = tokio::join!(open.command(&open.owner, "say hi"), play);
        assert_eq!(done, Err(code));
    }
    // What is no line, and who may not type, does not reach the node.
    for line in ["", "two\nlines", "\u{3}", &"x".repeat(4_097)] {
        assert_eq!(open.command(&open.owner, line).await, Err(Code::Invalid), "{line:?}");
    }
    let keys = [ServerKey::WebsocketConnect, ServerKey::ControlReadConsole];
    let friend = open.world.friend(&open.owner, open.server, keys).await;
    assert_eq!(open.command(&friend, "op friend").await, Err(Code::Forbidden));
    assert_eq!(open.world.door.asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn resources_are_the_nodes_look_with_its_age_or_what_the_hub_knows() {
    let open = open_world().await;
    let away = open.resources().await;
    assert_eq!((away.gauges, away.age_ms, away.state), (None, None, None));
    assert_eq!(away.freshness.link, LinkState::Unreachable);
    let look = Gauges {
        server: open.server,
        at: UnixMs(open.world.hub.now().0 - 1_500),
        state: ServerState::Running,
        memory_bytes: Some(64 << 20),
        cpu_millicores: Some(250),
        sent_bytes_per_s: Some(10),
        disk: None,
        players: None,
    };
    let mut node = open.world.door.expect(1 << 16);
    let (seen, ()) = tokio::join!(open.resources(), tell(&mut node, Answer::Gauges(look)));
    assert_eq!((seen.gauges, seen.age_ms), (Some(look), Some(1_500)));
    assert_eq!(seen.state, Some(ServerState::Running));
    // A node speaks for the server that it was asked about, and for no other.
    let other = Gauges { server: mamba_core::ids::ServerId::from_bytes([9; 16]), ..look };
    let mut node = open.world.door.expect(1 << 16);
    let (seen, ()) = tokio::join!(open.resources(), tell(&mut node, Answer::Gauges(other)));
    assert_eq!(seen.gauges, None);
}

#[tokio::test]
async fn the_recent_past_is_the_nodes_word_for_who_may_look() {
    let open = open_world().await;
    let moment = Moment {
        at: UnixMs(7),
        memory_bytes: Some(64 << 20),
        cpu_millicores: None,
        sent_bytes_per_s: Some(10),
        disk_bytes: Some(4_096),
    };
    let told = |count| NodeReply::Ok(Box::new(Answer::Recent(vec![moment; count])));
    let keys = [ServerKey::WebsocketConnect];
    let friend = open.world.friend(&open.owner, open.server, keys).await;
    let seen = open.recent(&friend, told(2)).await.unwrap();
    assert_eq!((seen.server, seen.moments), (open.server, vec![moment; 2]));
    let by = open.asker(&friend, keys.into_iter().collect()).await;
    let request = NodeRequest::Recent { server: open.server };
    assert_eq!(*open.world.door.asked.lock().unwrap(), [Ask { by, request }]);
    // A node from before this request does not know it, and no node remembers more than it may.
    for (played, code) in [
        (NodeReply::Err(NodeError::Unsupported), Code::Unavailable),
        (told(MOMENTS_MAX + 1), Code::Unavailable),
        (NodeReply::Ok(Box::new(Answer::Accepted)), Code::Unavailable),
    ] {
        assert_eq!(open.recent(&open.owner, played).await.err(), Some(code));
    }
    // Who sees nothing of the server is told of none, and its node is not asked.
    let asked = open.world.door.asked.lock().unwrap().len();
    let (_, stranger) = open.world.tenant("other").await;
    let path = ServerPath { server: open.server };
    let refused =
        open.world.call::<table::ShowRecentResources>(Some(&stranger), &path, &(), &()).await;
    assert_eq!(refused.unwrap_err().code, Code::NotFound);
    assert_eq!(open.world.door.asked.lock().unwrap().len(), asked);
}
