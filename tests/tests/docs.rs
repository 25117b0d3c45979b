//! Pages that name parts of the interface name what is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn sources(folder: &Path, words: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, words);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            words.extend(split(&text).map(str::to_owned));
        }
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

/// What stands between backticks in the last column of the tables of a page.
fn names(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let ours = rows.filter_map(|row| row.trim_end_matches(['|', ' ']).rsplit(" | ").next());
    let quoted = ours.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let words = quoted
        .flat_map(split)
        .filter(|word| word.len() > 3 && !word.starts_with('_'));
    words.map(str::to_owned).collect()
}

#[test]
fn tables_of_rfc_6458_and_3873_name_what_is_there() {
    let root = Path::new(ROOT);
    let mut words = BTreeSet::new();
    for part in ["sctp-proto/src", "sctp-udp/src"] {
        sources(&root.join(part), &mut words);
    }
    for page in ["docs/rfc6458.md", "docs/observability.md"] {
        let text = fs::read_to_string(root.join(page)).expect("a page");
        let names = names(&text);
        assert!(names.len() > 40, "{page}: {} names", names.len());
        for name in names {
            assert!(
                words.contains(&name),
                "{page} names {name}, which is nowhere"
            );
        }
    }
}
