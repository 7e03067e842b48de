//! Asks games over their own protocols, as a player's client does.

use crate::report::Played;
use mamba_core::server::PortProtocol;
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

/// Longest wait for one answer of a game.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Armagetron drops the first packet after a nap; it is asked again after this.
const NAP_TIMEOUT: Duration = Duration::from_millis(500);
/// How often.
const NAP_ATTEMPTS: u32 = 8;
/// Largest answer of the games.
const ANSWER_BYTES_MAX: usize = 2_048;

/// One of the built-in games.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Game {
    Openttd,
    Armagetronad,
    Minetest,
    Teeworlds,
}

impl Game {
    pub(crate) const ALL: [Self; 4] =
        [Self::Openttd, Self::Armagetronad, Self::Minetest, Self::Teeworlds];

    /// Short name of its blueprint.
    pub(crate) fn blueprint(self) -> &'static str {
        match self {
            Self::Openttd => "openttd",
            Self::Armagetronad => "armagetronad",
            Self::Minetest => "minetest",
            Self::Teeworlds => "teeworlds",
        }
    }

    /// What it listens on.
    pub(crate) fn protocol(self) -> PortProtocol {
        match self {
            Self::Openttd => PortProtocol::Both,
            Self::Armagetronad | Self::Minetest | Self::Teeworlds => PortProtocol::Udp,
        }
    }

    /// Memory limit in MiB; the games take 5 to 60.
    pub(crate) fn memory_mib(self) -> u32 {
        match self {
            Self::Openttd | Self::Minetest => 256,
            Self::Armagetronad | Self::Teeworlds => 96,
        }
    }

    /// A console line, and what a line of the answer begins with. `None` when the game answers
    /// nothing.
    pub(crate) fn console(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Openttd => Some(("echo \"how are you\"", "how are you")),
            Self::Armagetronad => Some(("PLAYERS", "[0] PLAYERS: Listed 0 players.")),
            Self::Minetest | Self::Teeworlds => None,
        }
    }

    /// Asks the server for its name; minetest tells none, so its answer only proves that it lives.
    pub(crate) async fn query(self, port: u16) -> Played<Option<String>> {
        let asked = async {
            match self {
                Self::Openttd => openttd(port).await.map(Some),
                Self::Armagetronad => armagetronad(port).await.map(Some),
                Self::Minetest => minetest(port).await.map(|()| None),
                Self::Teeworlds => teeworlds(port).await.map(Some),
            }
        };
        let limit = ANSWER_TIMEOUT + NAP_TIMEOUT * NAP_ATTEMPTS;
        tokio::time::timeout(limit, asked)
            .await
            .map_err(|_| "no answer".into())
            .flatten()
            .map_err(|err| format!("{} on port {port}: {err}", self.blueprint()).into())
    }
}

/// Sends a packet and returns the answer to it.
async fn ask(socket: &UdpSocket, packet: &[u8], within: Duration) -> Played<Vec<u8>> {
    socket.send(packet).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let length = tokio::time::timeout(within, socket.recv(&mut answer))
        .await
        .map_err(|_| "no answer over UDP")??;
    answer.truncate(length);
    Ok(answer)
}

async fn udp(port: u16) -> Played<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect((Ipv4Addr::LOCALHOST, port)).await?;
    Ok(socket)
}

/// Reads the text up to the next NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn begins(answer: &[u8], with: &[u8]) -> Played {
    if answer.starts_with(with) {
        Ok(())
    } else {
        Err(format!("strange answer {answer:02x?}").into())
    }
}

/// Game info over TCP: a counted packet of type 7 asks, one of type 6 answers.
async fn openttd(port: u16) -> Played<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(&[3, 0, 7]).await?;
    let length = usize::from(stream.read_u16_le().await?);
    let mut answer = vec![0; length.saturating_sub(2)];
    stream.read_exact(&mut answer).await?;
    begins(&answer, &[6])?;
    // Before the name come list and settings whose length depends on the version: the name is the
    // last text before the revision, which is the first that begins with a digit and holds a dot.
    let texts: Vec<String> = answer
        .split(|byte| *byte == 0)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    let revision = texts.iter().position(|text| {
        text.contains('.') && text.starts_with(|first: char| first.is_ascii_digit())
    });
    let name = revision.and_then(|at| texts.get(at.checked_sub(1)?));
    name.cloned().ok_or_else(|| format!("no name in {answer:02x?}").into())
}

/// Small info wakes it, big info holds the name; its strings come with each two bytes swapped.
async fn armagetronad(port: u16) -> Played<String> {
    let socket = udp(port).await?;
    let mut attempt = 0;
    loop {
        match ask(&socket, &[0, 0x34, 0, 0, 0, 0, 0, 0], NAP_TIMEOUT).await {
            Ok(answer) => break begins(&answer, &[0, 0x32])?,
            Err(err) if attempt == NAP_ATTEMPTS => return Err(err),
            Err(_) => attempt += 1,
        }
    }
    let mut answer = ask(&socket, &[0, 0x35, 0, 0, 0, 0, 0, 0], ANSWER_TIMEOUT).await?;
    // Answers to earlier attempts may be on the way.
    while answer.starts_with(&[0, 0x32]) {
        answer = ask(&socket, &[0, 0x35, 0, 0, 0, 0, 0, 0], ANSWER_TIMEOUT).await?;
    }
    begins(&answer, &[0, 0x33])?;
    let words = answer.get(6..).unwrap_or_default().chunks(2);
    let swapped: Vec<u8> = words.flat_map(|word| word.iter().rev().copied()).collect();
    // The name is the first of its texts, behind numbers of a length that depends on the version.
    let is_text =
        |text: &&[u8]| text.len() > 3 && text.iter().all(|byte| (b' '..0x7f).contains(byte));
    let name = swapped.split(|byte| *byte == 0).find(is_text).ok_or("answer without a name")?;
    Ok(text(name))
}

/// Asks for a peer id and says goodbye.
async fn minetest(port: u16) -> Played {
    let socket = udp(port).await?;
    let hello = [0x4f, 0x45, 0x74, 0x03, 0, 0, 0, 1];
    let answer = ask(&socket, &hello, ANSWER_TIMEOUT).await?;
    begins(&answer, &hello[..4])?;
    let peer = answer.get(12..14).ok_or("answer without a peer id")?;
    let goodbye = [&hello[..4], peer, &[0, 0, 3]].concat();
    socket.send(&goodbye).await?;
    Ok(())
}

/// Protocol 0.7: a token first, then the info that a server browser asks for.
async fn teeworlds(port: u16) -> Played<String> {
    const TOKEN_PADDING: usize = 508;
    let socket = udp(port).await?;
    // Any four bytes do.
    let mine = &(std::process::id() ^ u32::from(port)).to_le_bytes();
    let request =
        [&[4, 0, 0, 0xff, 0xff, 0xff, 0xff, 5], mine.as_slice(), &[0; TOKEN_PADDING]].concat();
    let answer = ask(&socket, &request, ANSWER_TIMEOUT).await?;
    begins(answer.get(3..).unwrap_or_default(), mine)?;
    let theirs = answer.get(8..12).ok_or("answer without a token")?;
    let request = [&[0x21], theirs, mine.as_slice(), b"\xff\xff\xff\xffgie3\0"].concat();
    let answer = ask(&socket, &request, ANSWER_TIMEOUT).await?;
    begins(answer.get(9..).unwrap_or_default(), b"\xff\xff\xff\xffinf3")?;
    // Version, then name.
    let rest = answer.get(18..).unwrap_or_default();
    let version = rest.iter().position(|byte| *byte == 0).ok_or("answer without a version")?;
    Ok(text(rest.get(version + 1..).unwrap_or_default()))
}
