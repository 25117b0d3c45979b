//! What an HTML page shows: the objects a browser would fetch with it.

/// Link relations whose target is part of the page.
const FETCHED: [&str; 5] = ["stylesheet", "icon", "preload", "modulepreload", "manifest"];

/// The links of `html` that are part of the page: every `src`, and `href` of `link` elements that
/// a browser loads. In their order, as they are written but for character references `&amp;`.
pub(super) fn links(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end..]);
            continue;
        }
        let (name, attributes, after) = element(rest);
        rest = after;
        let value = |wanted: &str| {
            attributes
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, v)| *v)
        };
        let loaded = || {
            value("rel").is_some_and(|relations| {
                relations.split_ascii_whitespace().any(|relation| {
                    FETCHED
                        .iter()
                        .any(|kind| relation.eq_ignore_ascii_case(kind))
                })
            })
        };
        let link = if name.eq_ignore_ascii_case("link") {
            value("href").filter(|_| loaded())
        } else {
            value("src")
        };
        found.extend(link.map(|link| link.replace("&amp;", "&")));
        // What looks like an element in a script or style sheet is none.
        for raw in ["script", "style"] {
            if name.eq_ignore_ascii_case(raw) {
                rest = skip_raw(rest, raw);
            }
        }
    }
    found
}

/// Name and attributes of the element that begins here (after `<`), and what follows it.
fn element(text: &str) -> (&str, Vec<(&str, &str)>, &str) {
    let space = |c: char| c.is_ascii_whitespace() || c == '/';
    let (name, mut rest) = cut(text, |c| space(c) || c == '>');
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(space);
        if rest.is_empty() || rest.starts_with('>') {
            return (name, attributes, rest.strip_prefix('>').unwrap_or(rest));
        }
        let (attribute, after) = cut(rest, |c| space(c) || c == '=' || c == '>');
        let Some(value) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            // A stray `=` would otherwise be looked at for ever.
            rest = if attribute.is_empty() {
                &rest[1..]
            } else {
                after
            };
            continue;
        };
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (value, after) = cut(&value[1..], |c| c == quote);
                (value, after.strip_prefix(quote).unwrap_or(after))
            }
            _ => cut(value, |c| c.is_ascii_whitespace() || c == '>'),
        };
        attributes.push((attribute, value));
        rest = after;
    }
}

fn cut(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// What follows the end tag of a raw text element.
fn skip_raw<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(start) = rest.find("</") {
        rest = &rest[start + 2..];
        if rest
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
        {
            return rest;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_browser_fetches() {
        let html = r#"<!doctype html><LINK rel="stylesheet" href='a.css'><link rel=canonical href=/no>
            <link href=b.ico rel="shortcut ICON"/><!-- <img src=no> --><img alt="a > b" src = "c.png">
            <script>if (a < b) x = '<img src="no">'</script><script src=d.js></script>
            <a href=no>text</a><img src="e?x&amp;y"><video src=f.mp4 =></video><img src=g"#;
        assert_eq!(
            links(html),
            ["a.css", "b.ico", "c.png", "d.js", "e?x&y", "f.mp4", "g"]
        );
    }

    proptest! {
        #[test]
        fn ends_on_any_text(text in "[<>/='\" a-c!-]{0,80}") {
            links(&text);
        }
    }
}
