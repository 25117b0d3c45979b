//! A folder as an HTML page.

use std::{fmt::Write, io, path::Path};

use super::path::{RequestPath, encode, is_served};
use crate::conditional::http_date;

/// Entries shown; a larger folder says that there are more.
const MOST_ENTRIES: usize = 10_000;

struct Entry {
    name: String,
    is_folder: bool,
    length: u64,
    modified: String,
}

/// Blocking.
pub(super) fn html(root: &Path, folder: &Path, path: &RequestPath) -> io::Result<String> {
    let (entries, cut) = entries(root, folder)?;
    let title = escape(&path.display());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;\
         padding:0 1rem;color-scheme:light dark}}table{{border-collapse:collapse;width:100%}}\
         td{{padding:.15rem .5rem;border-top:1px solid #8884}}td+td{{text-align:right;\
         font-variant-numeric:tabular-nums;color:gray}}a{{text-decoration:none}}</style>\n\
         <h1>{title}</h1>\n<table>\n"
    );
    if !path.is_root() {
        page.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
    }
    for entry in entries {
        let slash = if entry.is_folder { "/" } else { "" };
        let url: String = encode(&entry.name).collect();
        let size = if entry.is_folder {
            String::new()
        } else {
            entry.length.to_string()
        };
        // `./` keeps a name with a colon from being read as a scheme.
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{}{slash}\">{}{slash}</a><td>{size}<td>{}",
            escape(&url),
            escape(&entry.name),
            entry.modified
        );
    }
    page.push_str("</table>\n");
    if cut {
        let _ = writeln!(page, "<p>Only the first {MOST_ENTRIES} entries are shown.");
    }
    Ok(page)
}

/// Folders first, then by name.
fn entries(root: &Path, folder: &Path) -> io::Result<(Vec<Entry>, bool)> {
    let mut entries = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Passes over links that lead nowhere, or out of the root.
        let Ok(metadata) = entry.path().metadata() else {
            continue;
        };
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let is_inside = !is_link
            || entry
                .path()
                .canonicalize()
                .is_ok_and(|target| target.starts_with(root));
        let is_kind = metadata.is_dir() || metadata.is_file();
        if !(is_served(&name) && is_inside && is_kind) {
            continue;
        }
        if entries.len() == MOST_ENTRIES {
            return Ok((sorted(entries), true));
        }
        let modified = metadata
            .modified()
            .ok()
            .and_then(http_date)
            .unwrap_or_default();
        entries.push(Entry {
            name,
            is_folder: metadata.is_dir(),
            length: metadata.len(),
            modified,
        });
    }
    Ok((sorted(entries), false))
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| (!a.is_folder, &a.name).cmp(&(!b.is_folder, &b.name)));
    entries
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_are_text_and_no_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
