//! The map file of the setting `map.pmtiles`: without one that can be read the service does not start.

use std::path::Path;

use vagn_api::map::Archive;

use super::finding::Finding;

/// Looks at the map file, if one is set.
pub(super) fn check(path: &Path) -> Vec<Finding> {
    if path.as_os_str().is_empty() {
        return Vec::new();
    }
    let named = format!("map file {}", path.display());
    let finding = match Archive::open(path) {
        Ok(_) => Finding::ok(named),
        Err(err) => {
            let remedy = "name a PMTiles file that the service's user may read with map.pmtiles, or none";
            Finding::fail(format!("{named}: {err}"), remedy)
        }
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn a_map_file_that_is_set_must_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base.pmtiles");
        assert_eq!(check(Path::new("")), []);
        assert_eq!(check(&path)[0].level(), Level::Fail);
        std::fs::write(&path, "PMTiles\x03").unwrap();
        assert_eq!(check(&path)[0].level(), Level::Ok);
    }
}
