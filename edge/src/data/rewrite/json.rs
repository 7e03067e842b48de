//! Pure: JSON, edited where the values stand, so that everything else keeps its bytes. Comments and a
//! comma too many, which some games write, are read over.

use super::{
    DEPTH_MAX, RewriteError, VALUES_MAX, decide,
    path::{Part, parse},
    splice,
    tree::typed,
};
use mamba_core::server::Replacement;
use serde_json::Value;
use std::ops::Range;

/// Sets the values.
pub(super) fn rewrite(text: &str, replace: &[Replacement]) -> Result<String, RewriteError> {
    let is_new = text.trim().is_empty();
    let mut text = if is_new { "{}".to_owned() } else { text.to_owned() };
    for group in replace.chunk_by(|one, other| one.key == other.key) {
        let Some(key) = group.first().map(|it| it.key.as_str()) else { continue };
        let root = Parser { text: &text, at: 0, values: 0 }.document()?;
        let mut edits = Vec::new();
        Edit { text: &text, key, group }.walk(&root, &parse(key), &mut edits)?;
        text = splice(&text, edits)?;
    }
    if is_new {
        // Nobody's layout is kept, so it gets a readable one.
        let value: Value = serde_json::from_str(&text).map_err(|err| syntax(err.to_string()))?;
        text = serde_json::to_string_pretty(&value).map_err(|err| syntax(err.to_string()))?;
        text.push('\n');
    }
    Ok(text)
}

fn syntax(error: String) -> RewriteError {
    RewriteError::Syntax { format: "JSON", error }
}

/// One group of replacements at work.
struct Edit<'a> {
    text: &'a str,
    key: &'a str,
    group: &'a [Replacement],
}

impl Edit<'_> {
    fn walk(
        &self,
        node: &Node,
        path: &[Part],
        edits: &mut Vec<(Range<usize>, String)>,
    ) -> Result<(), RewriteError> {
        let Some((part, rest)) = path.split_first() else { return self.set(node, edits) };
        match (&node.kind, part) {
            (Kind::Object(entries), Part::Any) => {
                entries.iter().try_for_each(|(_, child)| self.walk(child, rest, edits))
            }
            (Kind::Array(items), Part::Any) => {
                items.iter().try_for_each(|child| self.walk(child, rest, edits))
            }
            (Kind::Object(entries), part) => {
                let name = part.key().unwrap_or_default();
                // As parsers do: of a key given twice the last counts.
                match entries.iter().rfind(|(key, _)| *key == name) {
                    Some((_, child)) => self.walk(child, rest, edits),
                    None => self.insert(node, &quoted(&name), rest, edits),
                }
            }
            (Kind::Array(items), part) => {
                let no_index = || RewriteError::NoContainer { key: self.key.to_owned() };
                let index = part.index().ok_or_else(no_index)?;
                match items.get(index) {
                    Some(child) => self.walk(child, rest, edits),
                    None if index == items.len() => self.insert(node, "", rest, edits),
                    None => Ok(()),
                }
            }
            (Kind::Scalar, _) if &self.text[node.span.clone()] == "null" => {
                self.replace_null(node, path, edits)
            }
            (Kind::Scalar, _) => Err(RewriteError::NoContainer { key: self.key.to_owned() }),
        }
    }

    fn set(
        &self,
        node: &Node,
        edits: &mut Vec<(Range<usize>, String)>,
    ) -> Result<(), RewriteError> {
        let raw = &self.text[node.span.clone()];
        let present: Value = match node.kind {
            Kind::Scalar => serde_json::from_str(raw).map_err(|err| syntax(err.to_string()))?,
            Kind::Object(_) | Kind::Array(_) => Value::Null,
        };
        let shown = match &present {
            Value::String(text) => text.as_str(),
            _ => raw,
        };
        if let Some(new) = decide(self.group, Some(shown))? {
            let new = typed(&present, &new);
            if new != present {
                edits.push((node.span.clone(), new.to_string()));
            }
        }
        Ok(())
    }

    /// Adds an entry behind the last one, in the layout of the others.
    fn insert(
        &self,
        node: &Node,
        key: &str,
        rest: &[Part],
        edits: &mut Vec<(Range<usize>, String)>,
    ) -> Result<(), RewriteError> {
        let Some(value) = self.chain(rest)? else { return Ok(()) };
        let colon = if key.is_empty() { "" } else { ": " };
        let entry = format!("{key}{colon}{value}");
        match &node.last {
            Some(last) => {
                let gap = &self.text[last.gap.clone()];
                let gap = if gap.trim().is_empty() { gap } else { " " };
                edits.push((last.end..last.end, format!(",{gap}{entry}")));
            }
            None => edits.push((node.span.start + 1..node.span.start + 1, entry)),
        }
        Ok(())
    }

    fn replace_null(
        &self,
        node: &Node,
        path: &[Part],
        edits: &mut Vec<(Range<usize>, String)>,
    ) -> Result<(), RewriteError> {
        if let Some(value) = self.chain(path)? {
            edits.push((node.span.clone(), value.to_string()));
        }
        Ok(())
    }

    /// The new value inside the maps that are missing around it. `None`: nothing is to be added.
    fn chain(&self, rest: &[Part]) -> Result<Option<Value>, RewriteError> {
        let Some(new) = decide(self.group, None)? else { return Ok(None) };
        let mut value = typed(&Value::Null, &new);
        for part in rest.iter().rev() {
            let Some(name) = part.key() else { return Ok(None) };
            value = match part {
                Part::Index(0) => Value::Array(vec![value]),
                Part::Index(_) => return Ok(None),
                Part::Key(_) | Part::Any => Value::Object([(name, value)].into_iter().collect()),
            };
        }
        Ok(Some(value))
    }
}

fn quoted(name: &str) -> String {
    Value::String(name.to_owned()).to_string()
}

/// A value and where it stands.
struct Node {
    span: Range<usize>,
    kind: Kind,
    last: Option<Last>,
}

/// The last entry of a map or list.
struct Last {
    /// Where it ends.
    end: usize,
    /// What stands before it, from the bracket or comma on.
    gap: Range<usize>,
}

enum Kind {
    Scalar,
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl Parser<'_> {
    fn document(mut self) -> Result<Node, RewriteError> {
        self.skip()?;
        let root = self.value(0)?;
        self.skip()?;
        if self.at < self.text.len() { Err(self.wrong("more than one value")) } else { Ok(root) }
    }

    fn wrong(&self, what: &str) -> RewriteError {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = before.iter().filter(|it| **it == b'\n').count() + 1;
        syntax(format!("{what} in line {line}"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads over blanks and comments.
    fn skip(&mut self) -> Result<(), RewriteError> {
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.len() - rest.trim_start().len();
            let rest = &self.text[self.at..];
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").ok_or_else(|| self.wrong("a comment without end"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, RewriteError> {
        self.values += 1;
        if self.values > VALUES_MAX || depth > DEPTH_MAX {
            return Err(RewriteError::TooManyValues);
        }
        match self.peek() {
            Some(b'{') => self.entries(depth, b'}'),
            Some(b'[') => self.entries(depth, b']'),
            Some(b'"') => Ok(scalar(self.string()?)),
            _ => {
                let start = self.at;
                let is_end = |it: char| it.is_whitespace() || ",]}/:\"".contains(it);
                let length = self.text[start..].find(is_end);
                self.at = length.map_or(self.text.len(), |length| start + length);
                let raw = &self.text[start..self.at];
                if serde_json::from_str::<Value>(raw).is_err() {
                    return Err(self.wrong("a value was expected"));
                }
                Ok(scalar(start..self.at))
            }
        }
    }

    fn entries(&mut self, depth: usize, close: u8) -> Result<Node, RewriteError> {
        let start = self.at;
        let (mut map, mut list, mut last) = (Vec::new(), Vec::new(), None);
        self.at += 1;
        loop {
            let gap = self.at;
            self.skip()?;
            if self.peek() == Some(close) {
                break;
            }
            let gap = gap..self.at;
            let key = if close == b'}' { Some(self.name()?) } else { None };
            let child = self.value(depth + 1)?;
            last = Some(Last { end: self.at, gap });
            match key {
                Some(key) => map.push((key, child)),
                None => list.push(child),
            }
            self.skip()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(it) if it == close => break,
                _ => return Err(self.wrong("a comma or bracket was expected")),
            }
        }
        self.at += 1;
        let kind = if close == b'}' { Kind::Object(map) } else { Kind::Array(list) };
        Ok(Node { span: start..self.at, kind, last })
    }

    /// Reads a key and its colon.
    fn name(&mut self) -> Result<String, RewriteError> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key was expected"));
        }
        let span = self.string()?;
        let name = serde_json::from_str(&self.text[span]).map_err(|err| syntax(err.to_string()))?;
        self.skip()?;
        if self.peek() != Some(b':') {
            return Err(self.wrong("a colon was expected"));
        }
        self.at += 1;
        self.skip()?;
        Ok(name)
    }

    fn string(&mut self) -> Result<Range<usize>, RewriteError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(b'\n') | None => return Err(self.wrong("a text without end")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(start..self.at)
    }
}

fn scalar(span: Range<usize>) -> Node {
    Node { span, kind: Kind::Scalar, last: None }
}
