//! Replays every corpus as a plain test: what once found a bug finds it again.

use std::{fs, path::Path};

#[test]
fn the_corpora_hold_no_surprise() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in sctp_fuzz::TARGETS {
        target(&[]);
        let inputs = fs::read_dir(corpora.join(name)).expect("each target has a corpus");
        let mut count = 0;
        for input in inputs {
            let path = input.expect("a folder can be read").path();
            // Shown by the test runner if the target panics.
            println!("{}", path.display());
            target(&fs::read(&path).expect("an input can be read"));
            count += 1;
        }
        assert!(count > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn every_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let found = fs::read_dir(programs)
        .expect("a folder can be read")
        .count();
    assert_eq!(found, sctp_fuzz::TARGETS.len());
}
