//! Pure: dotted paths into a tree: `a.b[0].c`, `list.0.x`, `servers.*.address`.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A key; a number may also be an index.
    Key(String),
    /// An index in brackets.
    Index(usize),
    /// Every entry.
    Any,
}

impl Part {
    /// Returns the index that it may mean in a list.
    pub(super) fn index(&self) -> Option<usize> {
        match self {
            Self::Key(text) => text.parse().ok(),
            Self::Index(index) => Some(*index),
            Self::Any => None,
        }
    }

    /// Returns the key that it may mean in a map.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Key(text) => Some(text.clone()),
            Self::Index(index) => Some(index.to_string()),
            Self::Any => None,
        }
    }
}

/// Reads a path. `~1` in a name stands for a dot.
pub(super) fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for piece in text.split('.') {
        let (name, indexes) = match piece.find('[') {
            Some(at) if indexes(&piece[at..]).is_some() => piece.split_at(at),
            _ => (piece, ""),
        };
        match name {
            "" if !indexes.is_empty() => {}
            "*" => parts.push(Part::Any),
            name => parts.push(Part::Key(name.replace("~1", "."))),
        }
        parts.extend(self::indexes(indexes).unwrap_or_default());
    }
    parts
}

/// Reads `[0][*]`. `None` for anything else.
fn indexes(text: &str) -> Option<Vec<Part>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (inner, behind) = rest.strip_prefix('[')?.split_once(']')?;
        parts.push(if inner == "*" { Part::Any } else { Part::Index(inner.parse().ok()?) });
        rest = behind;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_keys_indexes_and_wildcards() {
        let key = |text: &str| Part::Key(text.to_owned());
        for (text, expected) in [
            ("a.b", vec![key("a"), key("b")]),
            ("a[0][12].b", vec![key("a"), Part::Index(0), Part::Index(12), key("b")]),
            ("[3]", vec![Part::Index(3)]),
            ("servers.*.x", vec![key("servers"), Part::Any, key("x")]),
            ("list[*]", vec![key("list"), Part::Any]),
            ("a[x].b", vec![key("a[x]"), key("b")]),
            ("a~1b", vec![key("a.b")]),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(key("7").index(), Some(7));
    }
}
