//! The registry beside a model: a map of objects, with the rules for revisions and names.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::in_memory;
use crate::{Kind, Object, PutError, Registry};

/// Objects of the model: revision and value by kind and key.
#[derive(Debug, Default)]
struct Model {
    objects: BTreeMap<(Kind, String), (u64, Vec<u8>)>,
    revision: u64,
}

#[derive(Debug, Clone)]
struct Step {
    kind: Kind,
    key: u8,
    /// The revision that the object has, or another one.
    is_right: bool,
    /// Name of the vehicle, and whether it is revoked; `None` removes the object.
    value: Option<(u8, bool)>,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(Kind::Device), Just(Kind::Device), Just(Kind::Token), Just(Kind::Share)];
    let value = prop::option::weighted(0.8, (0..4_u8, prop::bool::weighted(0.3)));
    (kind, 0..6_u8, prop::bool::weighted(0.8), value).prop_map(|(kind, key, is_right, value)| Step {
        kind,
        key,
        is_right,
        value,
    })
}

fn json((name, is_revoked): (u8, bool)) -> Vec<u8> {
    let revoked = if is_revoked { "5" } else { "null" };
    format!("{{\"vehicle_id\":\"v{name}\",\"revoked_ms\":{revoked}}}").into_bytes()
}

impl Model {
    fn revision_of(&self, step: &Step) -> u64 {
        self.objects.get(&(step.kind, step.key.to_string())).map_or(0, |(revision, _)| *revision)
    }

    /// Returns true when another device in force has the name.
    fn is_taken(&self, step: &Step) -> bool {
        let Some((name, false)) = step.value else { return false };
        step.kind == Kind::Device
            && self.objects.iter().any(|((kind, key), (_, value))| {
                *kind == Kind::Device && *key != step.key.to_string() && *value == json((name, false))
            })
    }

    fn apply(&mut self, step: &Step) {
        let key = (step.kind, step.key.to_string());
        let was_there = self.objects.contains_key(&key);
        if was_there || step.value.is_some() {
            self.revision += 1;
        }
        match step.value {
            Some(value) => self.objects.insert(key, (self.revision, json(value))),
            None => self.objects.remove(&key),
        };
    }
}

fn check(registry: &Registry, model: &Model) {
    assert_eq!(registry.revision(), model.revision);
    for kind in Kind::ALL {
        let expected: Vec<_> = model
            .objects
            .iter()
            .filter(|((of, _), _)| *of == kind)
            .map(|((_, key), (revision, value))| (key.as_str(), *revision, value.clone()))
            .collect();
        let found = registry.list(kind).unwrap();
        let found: Vec<_> =
            found.iter().map(|(key, object)| (&**key, object.revision, object.value.clone())).collect();
        assert_eq!(found, expected);
        assert_eq!(registry.count(kind).unwrap(), expected.len() as u64);
    }
    let in_force: Vec<_> = model
        .objects
        .iter()
        .filter(|((kind, _), (_, value))| *kind == Kind::Device && value.ends_with(b"null}"))
        .map(|((_, key), (_, value))| (key, value))
        .collect();
    assert_eq!(registry.devices_in_force().unwrap(), in_force.len() as u64);
    for (key, value) in in_force {
        let name = String::from_utf8(value[15..17].to_vec()).unwrap();
        assert_eq!(registry.key_of(Kind::Device, &name).unwrap().as_deref(), Some(key.as_str()));
    }
}

proptest! {
    #[test]
    fn holds_what_the_model_holds(steps in prop::collection::vec(step(), 1..80)) {
        let registry = in_memory();
        let mut model = Model::default();
        for step in &steps {
            let found = model.revision_of(step);
            let given = if step.is_right { found } else { found + 7 };
            let value = step.value.map(json);
            let done = registry.put_if(step.kind, &step.key.to_string(), given, value.as_deref());
            match done {
                Err(PutError::Conflict(at)) => prop_assert!(!step.is_right && at == found),
                Err(PutError::NameTaken { .. }) => prop_assert!(step.is_right && model.is_taken(step)),
                Ok(revision) => {
                    prop_assert!(step.is_right && !model.is_taken(step));
                    model.apply(step);
                    prop_assert_eq!(revision, model.revision);
                }
                Err(other) => panic!("{other}"),
            }
        }
        check(&registry, &model);
    }
}

#[test]
fn writes_all_puts_of_a_transaction_or_none() {
    let registry = in_memory();
    let put = |key, revision| crate::Put { kind: Kind::Token, key, revision, value: Some(b"{}") };
    assert!(matches!(registry.put_all(&[put("a", 0), put("b", 3)]), Err(PutError::Conflict(0))));
    assert_eq!(registry.get(Kind::Token, "a").unwrap(), None);
    assert_eq!(registry.put_all(&[put("a", 0), put("b", 0)]).unwrap(), 2);
    assert_eq!(registry.get(Kind::Token, "b").unwrap(), Some(Object { value: b"{}".to_vec(), revision: 2 }));
}

#[test]
fn refuses_keys_and_values_out_of_bounds() {
    let registry = in_memory();
    for (key, value) in [("", 1), (&*"k".repeat(257), 1), ("k", crate::VALUE_MAX + 1)] {
        let refused = registry.put_if(Kind::Token, key, 0, Some(&vec![b' '; value]));
        assert!(matches!(refused, Err(PutError::Invalid(_))), "{} {value}", key.len());
    }
    assert_eq!(registry.write_errors(), 0, "a refusal is no error of the disk");
}
