//! Pure: what the engine's answers mean.

use crate::runtime::RuntimeError;
use bollard::errors::Error;
use mamba_core::error::chain;

/// Translates a failed call.
pub(super) fn translate(step: &'static str, err: Error) -> RuntimeError {
    match err {
        Error::DockerResponseServerError { status_code, message } => {
            refusal(step, status_code, message)
        }
        Error::DockerStreamError { error } => refusal(step, 500, error),
        Error::JsonDataError { .. }
        | Error::JsonSerdeError { .. }
        | Error::URLParseError { .. } => RuntimeError::Refused { step, error: chain(&err) },
        // What is left are failures to connect, to send and to read.
        err => RuntimeError::Unreachable(chain(&err)),
    }
}

/// Translates the engine's own words. Statuses alone do not do: a taken port and a full disk are
/// both a 500, and which words come differs little between versions 20.10 and 29.
fn refusal(step: &'static str, status: u16, message: String) -> RuntimeError {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["no space left on device", "disk quota exceeded"]) {
        RuntimeError::DiskFull(message)
    } else if says(&["port is already allocated", "address already in use"]) {
        RuntimeError::PortTaken(message)
    } else if says(&["pool overlaps"]) {
        RuntimeError::SubnetTaken(message)
    } else if status == 404 && says(&["no such container"]) {
        RuntimeError::NoSuchContainer
    } else if says(&["is not running"]) {
        RuntimeError::NotRunning
    } else {
        RuntimeError::Refused { step, error: message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let check = |status_code, message: &str, expected: fn(String) -> RuntimeError| {
            let err = Error::DockerResponseServerError { status_code, message: message.to_owned() };
            assert_eq!(translate("start", err), expected(message.to_owned()), "{message}");
        };
        let refused = |error| RuntimeError::Refused { step: "start", error };
        check(404, "No such container: abc", |_| RuntimeError::NoSuchContainer);
        check(409, "Cannot kill container: abc: Container abc is not running", |_| {
            RuntimeError::NotRunning
        });
        check(
            500,
            "driver failed programming external connectivity on endpoint x: Bind for \
             127.0.0.1:4000 failed: port is already allocated",
            RuntimeError::PortTaken,
        );
        check(
            500,
            "driver failed programming external connectivity on endpoint x: Error starting \
             userland proxy: listen udp4 127.0.0.1:4000: bind: address already in use",
            RuntimeError::PortTaken,
        );
        check(
            500,
            "mkdir /var/lib/docker/overlay2/x: no space left on device",
            RuntimeError::DiskFull,
        );
        check(403, "Pool overlaps with other one on this address space", RuntimeError::SubnetTaken);
        check(404, "network mamba-x not found", refused);
        check(400, "invalid mount config for type \"bind\"", refused);
    }

    #[test]
    fn a_broken_connection_is_not_a_refusal() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for err in [
            Error::IOError { err: io },
            Error::RequestTimeoutError,
            Error::SocketNotFoundError("/run/docker.sock".to_owned()),
        ] {
            let got = translate("start", err);
            assert!(matches!(got, RuntimeError::Unreachable(_)), "{got:?}");
        }
    }
}
