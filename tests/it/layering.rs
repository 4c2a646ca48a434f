//! The floors of the house: each imports only floors below it, siblings never each other.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the ground up; rooms of one floor are siblings.
const FLOORS: &[&[&str]] = &[
    &["engine"],
    &["text", "tls"],
    &["data"],
    &["job"],
    &["clock", "memory", "supervisor"],
    &["store"],
    // Weights are read and written by the run that makes them and by the models that serve them.
    &["interop"],
    &["scheduler", "serving", "webhooks"],
    &["http"],
    &["app"],
    &["cli"],
];

/// Crates and who alone may name them.
const KEEPERS: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("tower_http", &["http"]),
    ("metrics_exporter_prometheus", &["http"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustls", &["tls"]),
    ("tokio", &["clock", "memory", "supervisor", "store", "scheduler", "serving", "webhooks", "http", "app", "cli"]),
];

fn floor_of(room: &str) -> usize {
    FLOORS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("no floor for `{room}`"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// `(room, file, code without comments and strings of docs)` of every file of the house: the engine, a crate of its own,
/// and what lies below `src/`.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (ground, root) = (house.join("engine/src"), house.join("src"));
    let mut files = Vec::new();
    sources(&ground, &mut files);
    sources(&root, &mut files);
    let room = |file: &Path| {
        let Ok(path) = file.strip_prefix(&root) else { return "engine".to_owned() };
        let first = path.components().next().expect("a name");
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let read = |file: &Path| {
        let text = fs::read_to_string(file).expect("a source file");
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    files
        .into_iter()
        .map(|file| (room(&file), file.clone(), read(&file)))
        .filter(|(room, ..)| room != "lib" && room != "main")
        .collect()
}

/// The names that follow `prefix` in a text.
fn names_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(prefix).skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn each_floor_imports_only_floors_below() {
    let files = rooms();
    assert!(files.len() > 30, "the walk over src/ finds the house");
    // What the engine imports of the house, the compiler would refuse: its manifest names nothing of it.
    for (room, file, text) in files.iter().filter(|(room, ..)| room != "engine") {
        for other in names_after(text, "crate::").filter(|other| other != room) {
            let file = file.display();
            assert!(!other.is_empty(), "{file}: name rooms one by one, not in braces after `crate::`");
            assert!(floor_of(other) < floor_of(room), "{file}: `{room}` imports `{other}`, which is not below it");
        }
    }
}

#[test]
fn crates_are_named_only_by_their_keepers() {
    for (room, file, text) in rooms() {
        for (name, keepers) in KEEPERS {
            let named = text.contains(&format!("{name}::")) || text.contains(&format!("use {name};"));
            assert!(!named || keepers.contains(&room.as_str()), "{}: only {keepers:?} may name {name}", file.display());
        }
    }
}

#[test]
fn unsafe_code_stays_in_the_kernels() {
    for (_, file, text) in rooms() {
        // `processor` lets safe loops be compiled for the processor that the kernels have found.
        let kernels = file.ancestors().any(|folder| folder.ends_with("engine/src/gemm"));
        let allowed = kernels || file.ends_with("engine/src/processor.rs");
        assert!(allowed || !text.contains("unsafe {"), "{} has unsafe code", file.display());
    }
}
