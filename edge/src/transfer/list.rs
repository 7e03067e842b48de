//! Lists servers on their way, from what lies on the disk: also while no daemon runs.

use super::{Arrival, Came, MoveError};
use crate::{data::DataDirs, store::Desired};
use mamba_core::{desired::Wish, ids::ServerId};
use mamba_wire::node::moving::{MoveLine, MoveWay};
use std::{collections::BTreeMap, fs, io};

/// Lists them by server. `desired` is all that the node holds.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn moves(
    data: &DataDirs,
    desired: &BTreeMap<ServerId, Desired>,
) -> Result<Vec<MoveLine>, MoveError> {
    let wish = |held: &Desired| Some(held.newest()?.envelope.open().ok()?.body);
    let mut lines: BTreeMap<ServerId, MoveLine> = BTreeMap::new();
    for server in arrivals(data)? {
        let lives = desired.get(&server).and_then(wish).is_some_and(|it| it.spec().is_some());
        // What lives here by now came long ago.
        let Some(arrival) = data.arrival(server)?.filter(|_| !lives) else { continue };
        let Arrival { transfer, came, .. } = arrival;
        let way = match came {
            Came::UpTo { bytes, .. } | Came::Whole { bytes } => MoveWay::Coming { bytes },
            Came::Sealed => MoveWay::Sealed,
        };
        lines.insert(server, MoveLine { server, transfer, way });
    }
    for (server, held) in desired {
        if let Some(Wish::Leaving { transfer, to, .. }) = wish(held) {
            let way = MoveWay::Leaving { to };
            lines.insert(*server, MoveLine { server: *server, transfer, way });
        }
    }
    Ok(lines.into_values().collect())
}

/// Returns the servers of which something came from another node at any time.
fn arrivals(data: &DataDirs) -> Result<Vec<ServerId>, MoveError> {
    let failed = |err| MoveError::io("listing", b"arrivals", err);
    let entries = match fs::read_dir(data.arrivals()) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().and_then(|it| it.parse::<ServerId>().ok()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Held;
    use mamba_core::{
        clock::UnixMs,
        desired::{Envelope, Home, Order, SignedEnvelope},
        ids::{NodeId, TenantId, TransferId},
    };
    use mamba_wire::node::moving::Place;

    const TRANSFER: TransferId = TransferId::from_bytes([4; 16]);

    fn server(number: u8) -> ServerId {
        ServerId::from_bytes([number; 16])
    }

    fn held(number: u8, body: Wish) -> (ServerId, Desired) {
        let (server, order) = (server(number), Order::default());
        let envelope = Envelope {
            tenant: TenantId::from_bytes([1; 16]),
            node: NodeId::from_bytes([2; 16]),
            server,
            order,
            home: Home::default(),
            not_before: UnixMs(0),
            force: false,
            body,
        };
        let bytes = envelope.encode().unwrap();
        let envelope = SignedEnvelope { bytes, signature: Vec::new() };
        let held = Held { order, hash: envelope.hash(), not_before: UnixMs(0), envelope };
        (server, Desired { in_force: Some(held), ..Desired::default() })
    }

    #[test]
    fn only_what_is_under_way_is_listed() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDirs::open(root.path(), rustix::process::getuid().as_raw()).unwrap();
        assert_eq!(moves(&data, &BTreeMap::new()).unwrap(), []);
        let spec = || Box::new(crate::supervisor::example());
        let came =
            |bytes| Came::UpTo { place: Some(Place { path: b"a".to_vec(), offset: 0 }), bytes };
        for (number, came) in
            [(1, came(7)), (2, Came::Whole { bytes: 9 }), (3, Came::Sealed), (4, Came::Sealed)]
        {
            let arrival = Arrival { came, ..Arrival::new(TRANSFER, 1, 100) };
            data.keep_arrival(server(number), &arrival).unwrap();
        }
        fs::create_dir(data.arrivals().join("lost+found")).unwrap();
        let to = NodeId::from_bytes([9; 16]);
        let leaving = Wish::Leaving { spec: spec(), transfer: TRANSFER, to };
        // One that lives here, one that was here before and comes back, one that goes.
        let desired = BTreeMap::from([
            held(4, Wish::Exist(spec())),
            held(2, Wish::Moved { to, retain_ms: 1 }),
            held(5, leaving),
            held(6, Wish::Exist(spec())),
        ]);
        let line = |number, way| MoveLine { server: server(number), transfer: TRANSFER, way };
        assert_eq!(
            moves(&data, &desired).unwrap(),
            [
                line(1, MoveWay::Coming { bytes: 7 }),
                line(2, MoveWay::Coming { bytes: 9 }),
                line(3, MoveWay::Sealed),
                line(5, MoveWay::Leaving { to }),
            ]
        );
    }
}
