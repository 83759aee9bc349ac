//! The table of `docs/supervision.md`: every test that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Cases of the suite that the table follows.
const CASES: usize = 93;

#[test]
fn every_test_that_the_table_of_supervision_names_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(here.join("../../docs/supervision.md")).expect("the document is there");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let cases: BTreeSet<&str> = rows.iter().filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!((rows.len(), cases.len()), (CASES, CASES), "each case has one row");
    for row in rows {
        let named = tests_of(row);
        let cells = row.split('|').map(str::trim).collect::<Vec<_>>();
        assert!(cells.len() == 5 && cells[1..4].iter().all(|cell| !cell.is_empty()), "{row}");
        for (file, test) in named {
            let path = here.join("tests/it").join(format!("{file}.rs"));
            let source =
                fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {file}.rs, named in: {row}"));
            assert!(source.contains(&format!("fn {test}()")), "no {file}::{test}, named in: {row}");
        }
    }
}

/// The tests in the last cell of a row, as file and name.
fn tests_of(row: &str) -> Vec<(&str, &str)> {
    let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
    last.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once("::")).collect()
}
