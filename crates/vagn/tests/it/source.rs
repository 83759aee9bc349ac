//! Reads the product's source as far as the layers need it: which modules a crate has, and which of them each one names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module of a crate's root, and the modules of that root that it names, each with a file that does.
pub(crate) type Graph = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// One source file of a crate, without comments and tests.
pub(crate) struct Source {
    /// Below `src`.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The product files of a crate.
pub(crate) fn sources(name: &str) -> Vec<Source> {
    let src = workspace().join("crates").join(name).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let texts: Vec<(PathBuf, String)> = files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&src).expect("it was found there").with_extension(""), text)
        })
        .collect();
    let only_tests: Vec<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let product_files =
        texts.iter().filter(|(path, _)| !only_tests.iter().any(|tests| path.starts_with(tests)));
    product_files
        .map(|(path, text)| Source { path: path.with_extension("rs"), text: product(text) })
        .collect()
}

/// The modules that a file includes for tests alone.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let is_folder = matches!(path.file_name().and_then(|name| name.to_str()), Some("mod" | "lib" | "main"));
    let folder = if is_folder { path.parent().unwrap() } else { path };
    let after = text.split("#[cfg(test)]\n").skip(1);
    let modules = after.filter_map(|rest| rest.lines().next()?.split_once("mod ")?.1.strip_suffix(';'));
    modules.map(|name| folder.join(name)).collect()
}

/// The modules that a crate has at its root.
pub(crate) fn modules(sources: &[Source]) -> BTreeSet<String> {
    let tops = sources.iter().filter_map(|source| module_path(&source.path).into_iter().next());
    tops.collect()
}

/// Who names whom among the modules at a crate's root. Items of the root that are re-exported count for their module; items
/// that are defined there count for none.
pub(crate) fn graph(sources: &[Source]) -> Graph {
    let modules = modules(sources);
    let exported = exported(sources);
    let mut graph: Graph = modules.iter().map(|module| (module.clone(), BTreeMap::new())).collect();
    for source in sources {
        let at = module_path(&source.path);
        let Some(own) = at.first() else { continue };
        for head in heads_below(&source.text, &at) {
            let other = exported.get(&head).unwrap_or(&head);
            if other != own && modules.contains(other) {
                graph.entry(own.clone()).or_default().entry(other.clone()).or_insert(source.path.clone());
            }
        }
    }
    graph
}

/// A way from a module back to itself, if there is one.
pub(crate) fn circle(graph: &Graph) -> Option<Vec<String>> {
    graph.keys().find_map(|start| way(graph, start, start, &mut BTreeSet::new()))
}

fn way(graph: &Graph, from: &str, to: &str, seen: &mut BTreeSet<String>) -> Option<Vec<String>> {
    for next in graph.get(from)?.keys() {
        if next == to {
            return Some(vec![from.to_owned(), next.clone()]);
        }
        if seen.insert(next.clone())
            && let Some(rest) = way(graph, next, to, seen)
        {
            return Some([vec![from.to_owned()], rest].concat());
        }
    }
    None
}

/// The first names after `prefix`, such as `vagn_wire::`, wherever it stands; of a group, those of each part.
pub(crate) fn heads(text: &str, prefix: &str) -> Vec<String> {
    let mut heads = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let goes_on = text[..at].ends_with(|before: char| is_word(before) || before == ':' || before == '$');
        if !goes_on {
            read_heads(&text[at + prefix.len()..], &mut heads);
        }
    }
    heads
}

/// The first names of paths that begin at the root of the crate, seen from a file at this module path.
fn heads_below(text: &str, at: &[String]) -> Vec<String> {
    let mut found = heads(text, "crate::");
    let mut prefix = String::new();
    for up in 1..=at.len() {
        prefix.push_str("super::");
        let names = heads(text, &prefix).into_iter().filter(|name| name != "super");
        match at.get(..at.len() - up).and_then(<[String]>::first) {
            // It stays within one module of the root.
            Some(top) => found.extend(names.map(|_| top.clone())),
            None => found.extend(names),
        }
    }
    found
}

fn read_heads(rest: &str, heads: &mut Vec<String>) {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        if end > 0 {
            heads.push(rest[..end].to_owned());
        }
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                read_heads(&group[start..at], heads);
                start = at + 1;
            }
            _ => {}
        }
        if letter == '}' && start == at + 1 {
            return;
        }
    }
}

/// Names that the root takes from its modules, with the module of each.
fn exported(sources: &[Source]) -> BTreeMap<String, String> {
    let root = sources.iter().find(|source| source.path == Path::new("lib.rs"));
    let statements = root.map_or("", |root| &root.text).split(';');
    let mut exported = BTreeMap::new();
    for statement in statements.filter_map(|text| text.split_once("use ").map(|(_, path)| path)) {
        let path = statement.trim_start_matches("crate::").trim_start_matches("self::");
        let Some((module, names)) = path.split_once("::") else { continue };
        for name in names.split(|letter| !is_word(letter)) {
            exported.entry(name.to_owned()).or_insert_with(|| module.to_owned());
        }
    }
    exported
}

/// `["door", "tcp"]` for `door/tcp/mod.rs`; nothing for the root.
fn module_path(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main")).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn product(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn paths_are_read_however_they_are_written() {
    let text = "use crate::{door, ingest::{Job, Ingest}, write::Write as W};\nlet x = super::super::storage::Storage;\n\
        use super::queue::Tail; fn f(x: crate::sync::SyncDesk) {} use other_crate::app; use vagn_wire::{decode, Fate};";
    let at = ["door", "tcp"].map(str::to_owned);
    let expected = ["door", "ingest", "write", "sync", "door", "storage"];
    assert_eq!(heads_below(text, &at), expected);
    assert_eq!(heads(text, "vagn_wire::"), ["decode", "Fate"]);
}

#[test]
fn a_circle_is_found_however_long_it_is() {
    let arrow = |from: &str, to: &str| (from.to_owned(), BTreeMap::from([(to.to_owned(), PathBuf::new())]));
    let graph = Graph::from([arrow("a", "b"), arrow("b", "c"), arrow("c", "b")]);
    assert_eq!(circle(&graph), Some(vec!["b".to_owned(), "c".to_owned(), "b".to_owned()]));
    assert_eq!(circle(&Graph::from([arrow("a", "b"), arrow("b", "c")])), None);
}
