//! Pure: who asks something of an edge, and what one must hold to ask it.
//!
//! The hub decides with `core::access` before it asks; the edge decides again by what comes with the
//! request, with the same keys. What is not in the table of [`NodeRequest::needs`] as a key of a
//! server is never done on behalf of an account.

use super::{ConsoleInput, NodeError, NodeRequest, REQUEST, expect};
use crate::{
    frame::{CRITICAL, Frame, FrameError},
    link::v1::Intent,
};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    ids::UserId,
    lifecycle::Actor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A request with who asks: the first frame of its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ask {
    /// Who asks.
    pub by: Asker,
    /// For what.
    pub request: NodeRequest,
}

/// On whose behalf something is asked of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Asker {
    /// The hub's own work.
    Hub,
    /// Who may open the node's local socket, by the name of the operating system's user.
    Operator(String),
    /// An account, through the hub. What it holds was looked up when it asked; the hub ends a stream
    /// whose asker lost the key for it.
    User {
        /// Which.
        user: UserId,
        /// What it holds for the server that it asks about.
        keys: ServerKeys,
    },
}

/// What one must hold to ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Needs {
    /// To be the hub itself, or an operator of the node.
    Trust,
    /// This key for the server.
    Key(ServerKey),
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trust => {
                f.write_str("only the hub itself and an operator of the node may ask this")
            }
            Self::Key(key) => write!(f, "this needs the right `{key}`"),
        }
    }
}

impl NodeRequest {
    /// Returns what one must hold to ask it. A console that is open takes [`ConsoleInput`] only from
    /// who holds [`ConsoleInput::NEEDS`] too.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        Needs::Key(match self {
            Self::Status
            | Self::Servers
            | Self::Server(_)
            | Self::Usage { .. }
            | Self::Outbox
            | Self::Link
            | Self::Facts { .. }
            | Self::Doctor
            | Self::Move { .. }
            | Self::Moves => return Needs::Trust,
            Self::Power { action, .. } => action.key(),
            Self::Console { .. } | Self::InstallLog { .. } => ServerKey::ControlReadConsole,
            Self::Type { .. } => ServerKey::ControlConsole,
            Self::CancelInstall { .. } => ServerKey::SettingsReinstall,
            Self::Gauges { .. } | Self::Recent { .. } => ServerKey::WebsocketConnect,
        })
    }
}

impl ConsoleInput {
    /// What one must hold to type into a console that is open.
    pub const NEEDS: Needs = Needs::Key(ServerKey::ControlConsole);
}

impl Asker {
    /// Checks that it may ask for what needs this.
    ///
    /// # Errors
    /// `Forbidden` with what is missing.
    pub const fn check(&self, needs: Needs) -> Result<(), NodeError> {
        match (self, needs) {
            (Self::Hub | Self::Operator(_), _) => Ok(()),
            (Self::User { keys, .. }, Needs::Key(key)) if keys.contains(key) => Ok(()),
            (Self::User { .. }, _) => Err(NodeError::Forbidden(needs)),
        }
    }

    /// Returns whom trails name.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Hub => Actor::Hub,
            Self::Operator(name) => Actor::Operator(name.clone()),
            Self::User { user, .. } => Actor::User(*user),
        }
    }
}

impl Intent {
    /// Returns who wants it.
    #[must_use]
    pub const fn asker(&self) -> Asker {
        Asker::User { user: self.by, keys: self.keys }
    }

    /// Returns what one must hold to want it.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        Needs::Key(self.action.key())
    }
}

impl Ask {
    /// Encodes it.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        Frame::new(REQUEST, CRITICAL, self)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// When the frame is another or malformed.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        expect(frame, REQUEST)?.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{ConsoleFrom, moving::MoveStep};
    use mamba_core::{
        clock::UnixMs,
        ids::{IntentId, ServerId, TransferId},
        lifecycle::PowerAction,
    };

    const SERVER: ServerId = ServerId::from_bytes([1; 16]);
    const USER: UserId = UserId::from_bytes([2; 16]);

    fn power(action: PowerAction) -> NodeRequest {
        NodeRequest::Power { server: SERVER, action }
    }

    fn requests() -> Vec<(NodeRequest, Option<ServerKey>)> {
        use ServerKey::*;
        let console =
            NodeRequest::Console { server: SERVER, from: ConsoleFrom::Last(1), follow: true };
        let step = NodeRequest::Move {
            server: SERVER,
            transfer: TransferId::from_bytes([3; 16]),
            step: MoveStep::Drop,
        };
        vec![
            (NodeRequest::Status, None),
            (NodeRequest::Servers, None),
            (NodeRequest::Server(SERVER), None),
            (NodeRequest::Usage { server: Some(SERVER) }, None),
            (NodeRequest::Outbox, None),
            (NodeRequest::Link, None),
            (NodeRequest::Facts { server: Some(SERVER) }, None),
            (NodeRequest::Doctor, None),
            (step, None),
            (NodeRequest::Moves, None),
            (power(PowerAction::Start), Some(ControlStart)),
            (power(PowerAction::Stop), Some(ControlStop)),
            (power(PowerAction::Kill), Some(ControlStop)),
            (power(PowerAction::Restart), Some(ControlRestart)),
            (console, Some(ControlReadConsole)),
            (NodeRequest::Type { server: SERVER, line: "stop".to_owned() }, Some(ControlConsole)),
            (NodeRequest::InstallLog { server: SERVER }, Some(ControlReadConsole)),
            (NodeRequest::CancelInstall { server: SERVER }, Some(SettingsReinstall)),
            (NodeRequest::Gauges { server: SERVER, query: None }, Some(WebsocketConnect)),
            (NodeRequest::Recent { server: SERVER }, Some(WebsocketConnect)),
        ]
    }

    #[test]
    fn a_request_needs_its_key_and_no_other_will_do() {
        for (request, key) in requests() {
            let needs = key.map_or(Needs::Trust, Needs::Key);
            assert_eq!(request.needs(), needs, "{request:?}");
            let check = |keys| Asker::User { user: USER, keys }.check(request.needs());
            let refused = Err(NodeError::Forbidden(needs));
            let others = key.map_or(ServerKeys::ALL, |key| ServerKeys::ALL.without(key));
            assert_eq!(check(others), refused, "{request:?}");
            assert_eq!(check(ServerKeys::NONE), refused, "{request:?}");
            if let Some(key) = key {
                assert_eq!(check([key].into_iter().collect()), Ok(()), "{request:?}");
            }
            for trusted in [Asker::Hub, Asker::Operator("root".to_owned())] {
                assert_eq!(trusted.check(request.needs()), Ok(()), "{request:?}");
            }
        }
    }

    #[test]
    fn typing_and_intents_need_their_keys_too() {
        assert_eq!(ConsoleInput::NEEDS, Needs::Key(ServerKey::ControlConsole));
        for (action, key) in [
            (PowerAction::Start, ServerKey::ControlStart),
            (PowerAction::Stop, ServerKey::ControlStop),
            (PowerAction::Kill, ServerKey::ControlStop),
            (PowerAction::Restart, ServerKey::ControlRestart),
        ] {
            let check = |keys| {
                let (intent, expires_at) = (IntentId::from_bytes([4; 16]), UnixMs(1));
                let intent = Intent { intent, server: SERVER, action, by: USER, keys, expires_at };
                intent.asker().check(intent.needs())
            };
            assert_eq!(check([key].into_iter().collect()), Ok(()));
            let refused = check(ServerKeys::ALL.without(key)).unwrap_err();
            assert_eq!(refused.to_string(), format!("this needs the right `{key}`"));
        }
    }
}
