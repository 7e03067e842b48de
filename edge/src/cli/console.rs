//! Follows a console in the terminal.

use super::{
    CliError, Outcome,
    client::{Client, ClientError, next_answer},
    complain,
};
use mamba_core::{clock::UnixMs, ids::ServerId};
use mamba_wire::node::{
    Answer, ConsoleEvent, ConsoleFrom, ConsoleInput, InstallLog, LineSource, NodeRequest,
};
use std::io::Write as _;
use tokio::sync::mpsc;

/// Typed lines on their way to the daemon. Somebody who pastes more waits.
const TYPED_MAX: usize = 64;

/// Prints the last lines, and with `follow` what comes, until Ctrl-C.
///
/// # Errors
/// When the daemon refuses or goes away, or standard output breaks.
pub(super) async fn print(
    client: &Client,
    server: ServerId,
    lines: u32,
    follow: bool,
    json: bool,
) -> Result<Outcome, CliError> {
    let from = ConsoleFrom::Last(lines);
    let mut stream = client.open(NodeRequest::Console { server, from, follow }).await?;
    while let Some(answer) = next_answer(&mut stream).await? {
        show(&answer, json)?;
    }
    Ok(Outcome::Done)
}

/// Follows the console and sends typed lines, until Ctrl-C or the end of standard input.
///
/// # Errors
/// When the daemon refuses or goes away, or standard output breaks.
pub(super) async fn run(
    client: &Client,
    server: ServerId,
    lines: u32,
    may_type: bool,
    json: bool,
) -> Result<Outcome, CliError> {
    let from = ConsoleFrom::Last(lines);
    let mut stream = client.open(NodeRequest::Console { server, from, follow: true }).await?;
    let mut typed = typed_lines();
    loop {
        tokio::select! {
            answer = next_answer(&mut stream) => match answer? {
                Some(answer) => show(&answer, json)?,
                None => return Ok(Outcome::Done),
            },
            line = typed.recv(), if may_type => {
                let Some(line) = line else { return Ok(Outcome::Done) };
                let frame = ConsoleInput { line }
                    .to_frame()
                    .map_err(|err| ClientError::Broken(err.to_string()))?;
                stream.writer.send(&frame).await.map_err(|err| {
                    ClientError::Broken(mamba_core::error::chain(&err))
                })?;
            }
        }
    }
}

/// Reads standard input on a thread of its own, which ends with the process: a read of the terminal
/// cannot be cancelled.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(TYPED_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn show(answer: &Answer, json: bool) -> Result<(), CliError> {
    let Answer::Console(event) = answer else { return Err(CliError::OtherAnswer) };
    let mut text = String::new();
    if json {
        text = serde_json::to_string(event).map_err(|err| CliError::Store(err.into()))?;
        text.push('\n');
    } else {
        match event {
            ConsoleEvent::Lines { lines, .. } => {
                for line in lines {
                    text.push_str(match line.source {
                        LineSource::Stdout | LineSource::Stderr => "",
                        LineSource::Input => "> ",
                        LineSource::Edge => "[mamba] ",
                        LineSource::Install => "[install] ",
                    });
                    text.push_str(&harmless(&line.text));
                    text.push('\n');
                }
            }
            ConsoleEvent::Gap { first, count } => {
                text = format!("[mamba] {count} lines from line {first} on are not shown\n");
            }
            ConsoleEvent::CaughtUp => {}
            ConsoleEvent::InputRefused(err) => complain(err),
        }
    }
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Pure: the output of an install script.
pub(super) fn install_log(now: UnixMs, log: &InstallLog) -> String {
    let Some(run) = &log.run else { return "no install script was run\n".to_owned() };
    let mut text = if log.is_cut { "[mamba] the beginning is not kept\n" } else { "" }.to_owned();
    for line in &log.lines {
        text.push_str(if line.source == LineSource::Edge { "[mamba] " } else { "" });
        text.push_str(&harmless(&line.text));
        text.push('\n');
    }
    text.push_str(&format!("[mamba] {}\n", super::show::install(now, run)));
    text
}

/// Pure: a line of a game as it may go to a terminal. Colours stay; whatever else could move the
/// cursor, rename the window or fill the clipboard of the operator is made visible.
fn harmless(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(char) = rest.chars().next() {
        let length = colour(rest).unwrap_or(char.len_utf8());
        let (part, after) = rest.split_at(length);
        let is_shown = length > char.len_utf8() || !char.is_control() || char == '\t';
        out.push_str(if is_shown { part } else { "\u{fffd}" });
        rest = after;
    }
    // A colour must not run into what follows.
    if out.contains('\u{1b}') {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// Returns the length of the colour sequence that a text begins with, `ESC [ digits and ; m`.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\u{1b}[")?;
    let end = inner.find(|char: char| !char.is_ascii_digit() && char != ';')?;
    inner[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_game_cannot_command_the_operators_terminal() {
        for (line, expected) in [
            ("plain\ttext \u{fc}", "plain\ttext \u{fc}"),
            ("\u{1b}[1;32mok\u{1b}[0m", "\u{1b}[1;32mok\u{1b}[0m\u{1b}[0m"),
            ("\u{1b}[mx", "\u{1b}[mx\u{1b}[0m"),
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}2J", "\u{fffd}2J"),
            ("\u{1b}", "\u{fffd}"),
            ("\u{1b}[31", "\u{fffd}[31"),
        ] {
            assert_eq!(harmless(line), expected, "{line:?}");
        }
    }
}
