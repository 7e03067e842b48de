//! Pure: a small part of Markdown, read into structure. Nothing in it becomes markup: `<b>` is five
//! letters of text.
//!
//! Blocks are divided by empty lines: `# title` once, `## heading`, `### subheading`, lines that begin with
//! `- ` or `1. ` as points, anything else as a paragraph. A line that goes on below a point belongs to it.
//! In a line there are `**strong**`, `*emphasis*` and `[text](address)`; a sign without its partner is text.

use mamba_wire::api::legal::{Block, Inline};

/// A text, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    /// From the line that begins with `# `.
    pub(super) title: Option<String>,
    pub(super) blocks: Vec<Block>,
}

/// A link that leads where it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadLink {
    /// Line, from 1.
    pub(super) line: usize,
    /// Where it leads.
    pub(super) to: String,
}

/// What a block is, by its first line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Title,
    Heading,
    Subheading,
    Point,
    Step,
    Paragraph,
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<Document, BadLink> {
    let mut document = Document::default();
    let mut open: Option<(Kind, usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (kind, rest) = kind_of(line.trim());
        if line.trim().is_empty() {
            close(&mut document, open.take())?;
        } else if let (Kind::Paragraph, Some((_, _, so_far))) = (kind, &mut open) {
            so_far.push(' ');
            so_far.push_str(rest);
        } else {
            close(&mut document, open.take())?;
            let begun = (kind, index + 1, rest.to_owned());
            // A heading is one line.
            match kind {
                Kind::Title | Kind::Heading | Kind::Subheading => {
                    close(&mut document, Some(begun))?;
                }
                Kind::Point | Kind::Step | Kind::Paragraph => open = Some(begun),
            }
        }
    }
    close(&mut document, open)?;
    Ok(document)
}

fn kind_of(line: &str) -> (Kind, &str) {
    let marks = [
        ("# ", Kind::Title),
        ("## ", Kind::Heading),
        ("### ", Kind::Subheading),
        ("- ", Kind::Point),
    ];
    for (mark, kind) in marks {
        if let Some(rest) = line.strip_prefix(mark) {
            return (kind, rest.trim());
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    match line[digits..].strip_prefix(". ") {
        Some(rest) if (1..=3).contains(&digits) => (Kind::Step, rest.trim()),
        _ => (Kind::Paragraph, line),
    }
}

fn close(document: &mut Document, block: Option<(Kind, usize, String)>) -> Result<(), BadLink> {
    let Some((kind, line, text)) = block else { return Ok(()) };
    let inlines = inlines(&text).map_err(|to| BadLink { line, to })?;
    let blocks = &mut document.blocks;
    match (kind, blocks.last_mut()) {
        (Kind::Title, _) if document.title.is_none() => document.title = Some(text),
        (Kind::Title | Kind::Heading, _) => blocks.push(Block::Heading(inlines)),
        (Kind::Subheading, _) => blocks.push(Block::Subheading(inlines)),
        (Kind::Paragraph, _) => blocks.push(Block::Paragraph(inlines)),
        (Kind::Point, Some(Block::Points(points))) => points.push(inlines),
        (Kind::Point, _) => blocks.push(Block::Points(vec![inlines])),
        (Kind::Step, Some(Block::Steps(steps))) => steps.push(inlines),
        (Kind::Step, _) => blocks.push(Block::Steps(vec![inlines])),
    }
    Ok(())
}

/// Reads one line. Fails with where a link leads that must not.
fn inlines(text: &str) -> Result<Vec<Inline>, String> {
    let mut found: Vec<Inline> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let special = strong(rest).or_else(|| emphasis(rest)).or_else(|| link(rest));
        if let Some((inline, length)) = special {
            if let Inline::Link { to, .. } = &inline
                && !is_good_address(to)
            {
                return Err(to.clone());
            }
            found.push(inline);
            rest = &rest[length..];
            continue;
        }
        match found.last_mut() {
            Some(Inline::Text(text)) => text.push(first),
            _ => found.push(Inline::Text(first.to_string())),
        }
        rest = &rest[first.len_utf8()..];
    }
    Ok(found)
}

/// Returns what stands between two signs at the beginning, and how many bytes that takes.
fn between<'a>(text: &'a str, open: &str, end: &str) -> Option<(&'a str, usize)> {
    let inner = text.strip_prefix(open)?;
    let (inner, _) = inner.split_once(end)?;
    let is_word = !inner.is_empty() && inner.trim() == inner;
    is_word.then_some((inner, open.len() + inner.len() + end.len()))
}

fn strong(text: &str) -> Option<(Inline, usize)> {
    between(text, "**", "**").map(|(inner, length)| (Inline::Strong(inner.to_owned()), length))
}

fn emphasis(text: &str) -> Option<(Inline, usize)> {
    between(text, "*", "*").map(|(inner, length)| (Inline::Emphasis(inner.to_owned()), length))
}

fn link(text: &str) -> Option<(Inline, usize)> {
    let (label, length) = between(text, "[", "](")?;
    let (to, _) = text[length..].split_once(')')?;
    let link = Inline::Link { text: label.to_owned(), to: to.trim().to_owned() };
    Some((link, length + to.len() + 1))
}

/// Whether a link may lead there: to the web, to a mailbox, or to a page of this panel.
fn is_good_address(to: &str) -> bool {
    let is_clean = !to.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\');
    let is_page = to.starts_with('/') && !to.starts_with("//");
    let is_known = ["https://", "http://", "mailto:"].iter().any(|scheme| to.starts_with(scheme));
    is_clean && (is_page || is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Inline {
        Inline::Text(text.to_owned())
    }

    #[test]
    fn blocks_are_told_apart() {
        let read = read(
            "# Terms\n\nOne\ntwo.\n\n## Rules\n- first\n  goes on\n- second\n\n1. a\n2. b\n### Deep\n2024. was",
        );
        let document = read.unwrap();
        assert_eq!(document.title.as_deref(), Some("Terms"));
        assert_eq!(
            document.blocks,
            [
                Block::Paragraph(vec![text("One two.")]),
                Block::Heading(vec![text("Rules")]),
                Block::Points(vec![vec![text("first goes on")], vec![text("second")]]),
                Block::Steps(vec![vec![text("a")], vec![text("b")]]),
                Block::Subheading(vec![text("Deep")]),
                Block::Paragraph(vec![text("2024. was")]),
            ]
        );
    }

    #[test]
    fn lines_are_read_and_markup_is_text() {
        let link = |text: &str, to: &str| Inline::Link { text: text.into(), to: to.into() };
        for (line, expected) in [
            ("<script>alert(1)</script>", vec![text("<script>alert(1)</script>")]),
            ("a **b** c", vec![text("a "), Inline::Strong("b".into()), text(" c")]),
            ("*b*", vec![Inline::Emphasis("b".into())]),
            ("2 * 3 * 4 ** 5", vec![text("2 * 3 * 4 ** 5")]),
            ("[x](/status) y", vec![link("x", "/status"), text(" y")]),
            ("[x](mailto:a@b.c)", vec![link("x", "mailto:a@b.c")]),
            ("[x] (y)", vec![text("[x] (y)")]),
            ("[x](", vec![text("[x](")]),
            ("ü *ü*", vec![text("ü "), Inline::Emphasis("ü".into())]),
        ] {
            assert_eq!(inlines(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn links_lead_to_the_web_to_mailboxes_and_to_pages_of_the_panel() {
        for to in ["javascript:alert", "//evil.example", "data:text/html,x", "/\\evil", "x"] {
            let bad = read(&format!("\n\na [x]({to})")).unwrap_err();
            assert_eq!(bad, BadLink { line: 3, to: to.to_owned() });
        }
    }
}
