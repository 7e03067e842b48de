//! Pure: XML, edited where the texts stand. Entities are never expanded.
//!
//! A key is the names of the elements from the root on, with dots; `*` is any name, and
//! `name[@attribute='value']` one with that attribute. A value `[attribute='value']` sets an attribute
//! instead of the text.

use super::{DEPTH_MAX, RewriteError, VALUES_MAX, decide, splice};
use mamba_core::server::Replacement;
use quick_xml::{
    Reader,
    escape::{escape, unescape},
    events::{BytesStart, Event},
};
use std::{borrow::Cow, ops::Range};

/// Sets the values.
pub(super) fn rewrite(text: &str, replace: &[Replacement]) -> Result<String, RewriteError> {
    let mut text = text.to_owned();
    for group in replace.chunk_by(|one, other| one.key == other.key) {
        let Some(key) = group.first().map(|it| it.key.as_str()) else { continue };
        let path = parse(key);
        let elements = read(&text)?;
        let mut edits = Vec::new();
        let found: Vec<&Element> = elements.iter().filter(|it| it.is_at(&path)).collect();
        for element in &found {
            set(&text, element, group, &mut edits)?;
        }
        if found.is_empty() {
            edits.extend(insert(&text, key, &elements, &path, group)?);
        }
        text = splice(&text, edits)?;
    }
    Ok(text)
}

fn syntax(error: impl ToString) -> RewriteError {
    RewriteError::Syntax { format: "XML", error: error.to_string() }
}

/// One step of a key.
struct Step {
    name: String,
    attribute: Option<(String, String)>,
}

fn parse(key: &str) -> Vec<Step> {
    let mut steps: Vec<String> = Vec::new();
    for part in key.split('.') {
        // A dot inside of brackets belongs to the value there.
        match steps.last_mut().filter(|last| last.contains('[') && !last.contains(']')) {
            Some(last) => {
                last.push('.');
                last.push_str(part);
            }
            None => steps.push(part.to_owned()),
        }
    }
    let step = |text: String| {
        let found = text.split_once("[@").and_then(|(name, rest)| {
            let (attribute, value) = rest.strip_suffix(']')?.split_once('=')?;
            Some((name.to_owned(), attribute.to_owned(), unquoted(value)?.to_owned()))
        });
        match found {
            Some((name, attribute, value)) => Step { name, attribute: Some((attribute, value)) },
            None => Step { name: text, attribute: None },
        }
    };
    steps.into_iter().map(step).collect()
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|it| text.strip_prefix(it)?.strip_suffix(it))
}

/// An element and where it stands.
struct Element {
    /// Names and attributes from the root on.
    way: Vec<(String, Vec<(String, String)>)>,
    /// Its start tag.
    tag: Range<usize>,
    /// What is inside; `None` for `<a/>`.
    inner: Option<Range<usize>>,
    has_children: bool,
}

impl Element {
    fn is_at(&self, path: &[Step]) -> bool {
        self.way.len() == path.len() && self.begins(path)
    }

    /// Whether its own way is a beginning of the path.
    fn begins(&self, path: &[Step]) -> bool {
        self.way.len() <= path.len()
            && self.way.iter().zip(path).all(|((name, attributes), step)| {
                (step.name == "*" || step.name == *name)
                    && step.attribute.as_ref().is_none_or(|it| attributes.contains(it))
            })
    }
}

fn read(text: &str) -> Result<Vec<Element>, RewriteError> {
    let mut reader = Reader::from_str(text);
    let (mut elements, mut open): (Vec<Element>, Vec<usize>) = (Vec::new(), Vec::new());
    let place = |at: u64| usize::try_from(at).map_err(syntax);
    loop {
        let start = place(reader.buffer_position())?;
        let event = reader.read_event().map_err(syntax)?;
        let end = place(reader.buffer_position())?;
        match event {
            Event::Start(tag) => {
                open.push(elements.len());
                add(&mut elements, &open, &tag, start..end, Some(end..end))?;
            }
            Event::Empty(tag) => {
                open.push(elements.len());
                add(&mut elements, &open, &tag, start..end, None)?;
                open.pop();
            }
            Event::End(_) => {
                if let Some(inner) = open.pop().and_then(|at| elements.get_mut(at)?.inner.as_mut())
                {
                    inner.end = start;
                }
            }
            Event::Eof if open.is_empty() => return Ok(elements),
            Event::Eof => return Err(syntax("an element has no end")),
            _ => {}
        }
    }
}

fn add(
    elements: &mut Vec<Element>,
    open: &[usize],
    tag: &BytesStart<'_>,
    span: Range<usize>,
    inner: Option<Range<usize>>,
) -> Result<(), RewriteError> {
    if elements.len() >= VALUES_MAX || open.len() > DEPTH_MAX {
        return Err(RewriteError::TooManyValues);
    }
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(syntax)?;
        attributes.push((attribute.key.as_ref().to_owned(), attribute.value.into_owned()));
    }
    let parent = open.len().checked_sub(2).and_then(|at| open.get(at)).copied();
    let mut way = Vec::new();
    if let Some(parent) = parent.and_then(|at| elements.get_mut(at)) {
        parent.has_children = true;
        way.clone_from(&parent.way);
    }
    way.push((tag.name().as_ref().to_owned(), attributes));
    elements.push(Element { way, tag: span, inner, has_children: false });
    Ok(())
}

/// Sets the text of an element, or an attribute of it.
fn set(
    text: &str,
    element: &Element,
    group: &[Replacement],
    edits: &mut Vec<(Range<usize>, String)>,
) -> Result<(), RewriteError> {
    let raw = element.inner.clone().map_or("", |inner| &text[inner]);
    let present = unescape(raw).unwrap_or(Cow::Borrowed(raw));
    let Some(new) = decide(group, Some(present.trim()))? else { return Ok(()) };
    if let Some((name, value)) = attribute(&new.text) {
        edits.extend(set_attribute(text, element, name, value));
        return Ok(());
    }
    if element.has_children || present.trim() == new.text.trim() {
        return Ok(());
    }
    let new = escape(new.text.as_str());
    match &element.inner {
        Some(inner) => edits.push((inner.clone(), new.into_owned())),
        None => {
            let name = element.way.last().map_or("", |(name, _)| name.as_str());
            let head = text[element.tag.clone()].trim_end_matches('>').trim_end_matches('/');
            edits.push((element.tag.clone(), format!("{}>{new}</{name}>", head.trim_end())));
        }
    }
    Ok(())
}

/// Reads `[name='value']`.
fn attribute(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix('[')?.strip_suffix(']')?.split_once('=')?;
    let is_name = |it: char| it.is_ascii_alphanumeric() || "_-:".contains(it);
    let value = unquoted(value)?;
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, value))
}

fn set_attribute(
    text: &str,
    element: &Element,
    name: &str,
    value: &str,
) -> Option<(Range<usize>, String)> {
    let new = format!("{name}=\"{}\"", escape(value));
    let (element_name, attributes) = element.way.last()?;
    if attributes.iter().any(|(key, present)| key == name && *present == *escape(value)) {
        return None;
    }
    let start = element.tag.start;
    let tag = &text[element.tag.clone()];
    if attributes.iter().any(|(key, _)| key == name) {
        let pattern = format!("\\s{}\\s*=\\s*(\"[^\"]*\"|'[^']*')", regex::escape(name));
        let found = regex::Regex::new(&pattern).ok()?.find(tag)?;
        return Some((start + found.start() + 1..start + found.end(), new));
    }
    let at = start + 1 + element_name.len();
    Some((at..at, format!(" {new}")))
}

/// Adds the elements that are missing at the end of the deepest one that is there.
fn insert(
    text: &str,
    key: &str,
    elements: &[Element],
    path: &[Step],
    group: &[Replacement],
) -> Result<Option<(Range<usize>, String)>, RewriteError> {
    let Some(new) = decide(group, None)? else { return Ok(None) };
    if attribute(&new.text).is_some() {
        return Ok(None);
    }
    let parent = elements.iter().filter(|it| it.begins(path)).max_by_key(|it| it.way.len());
    let missing = &path[parent.map_or(0, |it| it.way.len())..];
    let is_name = |step: &Step| {
        let is_char = |it: char| it.is_alphanumeric() || "_-:".contains(it);
        step.attribute.is_none()
            && step.name.starts_with(|it: char| it.is_alphabetic() || it == '_')
            && step.name.chars().all(is_char)
    };
    if !missing.iter().all(is_name) {
        return Ok(None);
    }
    let mut tree = escape(new.text.as_str()).into_owned();
    for step in missing.iter().rev() {
        tree = format!("<{0}>{tree}</{0}>", step.name);
    }
    let Some(parent) = parent else {
        // A second root is none.
        return match elements.is_empty() {
            true => Ok(Some((text.len()..text.len(), format!("{tree}\n")))),
            false => Err(RewriteError::NoContainer { key: key.to_owned() }),
        };
    };
    Ok(Some(match &parent.inner {
        Some(inner) => (inner.end..inner.end, tree),
        None => {
            let name = parent.way.last().map_or("", |(name, _)| name.as_str());
            let head = text[parent.tag.clone()].trim_end_matches('>').trim_end_matches('/');
            (parent.tag.clone(), format!("{}>{tree}</{name}>", head.trim_end()))
        }
    }))
}
