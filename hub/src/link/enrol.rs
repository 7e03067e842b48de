//! Enrolment and renewal: certificates for those who prove who they are.

use crate::link::{
    Context,
    backend::{EnrolError, Enrolment, LinkBackend, NodeAccess, Standing},
};
use mamba_core::{clock::draw, error::chain, ids::NodeId};
use mamba_wire::{
    link::enrol::{
        EnrolAnswer, EnrolAsk, EnrolRefused, EnrolReply, EnrolRequest, NAME_BYTES_MAX, PublicKey,
        RenewReply, RenewRequest, renewal_text,
    },
    net::{
        authority::read_csr,
        frames::{FramedReader, FramedWriter},
        keys::is_signed_by,
    },
};
use quinn::{Connection, VarInt};
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;

/// Longest exchange, from the first message to the edge's goodbye.
const EXCHANGE_MS_MAX: u64 = 20_000;

/// Serves one exchange and closes the connection.
pub(super) async fn serve<B: LinkBackend>(context: &Context<B>, connection: Connection) {
    let exchange = exchange(context, &connection);
    match timeout(Duration::from_millis(EXCHANGE_MS_MAX), exchange).await {
        Ok(Ok(())) => connection.close(VarInt::from_u32(0), b"done"),
        Ok(Err(why)) => {
            tracing::info!(peer = %connection.remote_address(), "enrolment: {why}");
            connection.close(VarInt::from_u32(1), why.as_bytes());
        }
        Err(_) => connection.close(VarInt::from_u32(1), b"too slow"),
    }
}

async fn exchange<B: LinkBackend>(
    context: &Context<B>,
    connection: &Connection,
) -> Result<(), String> {
    let (send, receive) = connection.accept_bi().await.map_err(|err| chain(&err))?;
    let (mut reader, mut writer) = (FramedReader::new(receive), FramedWriter::new(send));
    let mut nonce = None;
    loop {
        let Some(frame) = reader.next().await.map_err(|err| chain(&err))? else { return Ok(()) };
        let ask = EnrolAsk::from_frame(&frame).map_err(|err| chain(&err))?;
        let (answer, is_last) = match ask {
            EnrolAsk::Enrol(request) => {
                (enrol(context, request, connection.remote_address()).await, true)
            }
            EnrolAsk::RenewStart(node) if nonce.is_none() => {
                let drawn: [u8; 32] = draw(&*context.entropy);
                nonce = Some((node, drawn));
                (EnrolAnswer::Nonce(drawn), false)
            }
            EnrolAsk::RenewStart(_) => return Err("nonce was already given".to_owned()),
            EnrolAsk::Renew(request) => match nonce.take() {
                Some((node, nonce)) if node == request.node => {
                    (renew(context, &request, &nonce).await, true)
                }
                Some(_) | None => return Err("renewal without a nonce".to_owned()),
            },
        };
        let frame = answer.to_frame().map_err(|err| chain(&err))?;
        writer.send(&frame).await.map_err(|err| chain(&err))?;
        if is_last {
            writer.finish().await.map_err(|err| chain(&err))?;
            // Closing now would drop what is not acknowledged; the edge closes when it has it.
            connection.closed().await;
            return Ok(());
        }
    }
}

async fn enrol<B: LinkBackend>(
    context: &Context<B>,
    request: EnrolRequest,
    peer: SocketAddr,
) -> EnrolAnswer {
    let refused = EnrolAnswer::Refused;
    if request.name_hint.len() > NAME_BYTES_MAX {
        let rule = format!("name has at most {NAME_BYTES_MAX} bytes");
        return refused(EnrolRefused::Invalid(rule));
    }
    let key = match read_csr(&request.csr) {
        Ok(key) => key,
        Err(err) => return refused(EnrolRefused::Invalid(err.to_string())),
    };
    let enrolment = Enrolment {
        secret: request.secret.hash(),
        key,
        name_hint: request.name_hint,
        machine: request.machine,
        peer,
    };
    match context.backend.enrol(enrolment).await {
        Ok(node) => match certify(context, node, key).await {
            Some(renewal) => {
                tracing::info!(%node, %peer, "node enrolled");
                EnrolAnswer::Enrolled(EnrolReply { node, renewal })
            }
            None => refused(EnrolRefused::Busy),
        },
        Err(EnrolError::Token) => refused(EnrolRefused::Token),
        Err(EnrolError::Revoked) => refused(EnrolRefused::Revoked),
        Err(EnrolError::Store(err)) => {
            tracing::warn!("enrolment: {err}");
            refused(EnrolRefused::Busy)
        }
    }
}

async fn renew<B: LinkBackend>(
    context: &Context<B>,
    request: &RenewRequest,
    nonce: &[u8; 32],
) -> EnrolAnswer {
    let access = match context.backend.node(request.node).await {
        Ok(access) => access,
        Err(err) => {
            tracing::warn!("renewal: {err}");
            return EnrolAnswer::Refused(EnrolRefused::Busy);
        }
    };
    match may_renew(request, nonce, access) {
        Err(refused) => EnrolAnswer::Refused(refused),
        Ok(key) => match certify(context, request.node, key).await {
            Some(renewal) => EnrolAnswer::Renewed(renewal),
            None => EnrolAnswer::Refused(EnrolRefused::Busy),
        },
    }
}

/// Decides about a renewal. Who cannot sign with the node's key learns nothing about the node. A
/// node in quarantine keeps its certificate fresh for the day on which it is let in again.
fn may_renew(
    request: &RenewRequest,
    nonce: &[u8; 32],
    access: Option<NodeAccess>,
) -> Result<PublicKey, EnrolRefused> {
    let access = access.ok_or(EnrolRefused::Node)?;
    let text = renewal_text(request.node, nonce, &request.csr);
    if !is_signed_by(access.key, &text, &request.signature) {
        return Err(EnrolRefused::Node);
    }
    match read_csr(&request.csr) {
        Ok(key) if key == access.key => {}
        Ok(_) | Err(_) => return Err(EnrolRefused::Node),
    }
    match access.standing {
        Standing::Active | Standing::Quarantined => Ok(access.key),
        Standing::Revoked => Err(EnrolRefused::Revoked),
    }
}

async fn certify<B: LinkBackend>(
    context: &Context<B>,
    node: NodeId,
    key: PublicKey,
) -> Option<RenewReply> {
    let now = context.clock.wall();
    let leaf = match context.keys.node_ca.issue_node(node, key, now, &*context.entropy) {
        Ok(leaf) => leaf,
        Err(err) => {
            tracing::error!(%node, "certificate: {}", chain(&err));
            return None;
        }
    };
    if let Err(err) = context.backend.certified(node, leaf.valid_until).await {
        tracing::warn!(%node, "certificate: {err}");
        return None;
    }
    Some(RenewReply {
        certificate_chain: leaf.chain.iter().map(|part| part.to_vec()).collect(),
        valid_until: leaf.valid_until,
        hub_ca: context.keys.hub_ca.certificate().to_vec(),
        envelope_key: context.keys.envelopes.public(),
        now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_wire::net::{authority::make_csr, keys::SecretKey};

    #[test]
    fn only_the_nodes_key_renews_and_only_it_learns_of_a_revocation() {
        let (own, other) = ([1; 32], [2; 32]);
        let node = NodeId::from_bytes([3; 16]);
        let check = |seed: [u8; 32], csr_seed, nonce, standing, expected: Result<(), _>| {
            let key = SecretKey::from_seed(seed).unwrap();
            let csr = make_csr(&SecretKey::from_seed(csr_seed).unwrap()).unwrap();
            let signature = key.sign(&renewal_text(node, &[7; 32], &csr));
            let request = RenewRequest { node, csr, signature };
            let record = SecretKey::from_seed(own).unwrap().public();
            let access = NodeAccess { key: record, standing };
            let got = may_renew(&request, &nonce, Some(access)).map(|_| ());
            assert_eq!(got, expected);
        };
        let good = [7; 32];
        check(own, own, good, Standing::Active, Ok(()));
        check(own, own, good, Standing::Quarantined, Ok(()));
        check(own, own, good, Standing::Revoked, Err(EnrolRefused::Revoked));
        check(other, own, good, Standing::Revoked, Err(EnrolRefused::Node));
        check(other, own, good, Standing::Active, Err(EnrolRefused::Node));
        check(own, other, good, Standing::Active, Err(EnrolRefused::Node));
        check(own, own, [8; 32], Standing::Active, Err(EnrolRefused::Node));
    }
}
