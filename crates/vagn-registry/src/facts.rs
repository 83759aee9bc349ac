//! Facts of a cluster: the identity of its registry, and its nodes with their numbers.

use redb::ReadableDatabase;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::file::{self, META, NODE_MARK};
use crate::secret::{hex, random};
use crate::wrapping::Wrapping;
use crate::{Kind, Object, PutError, Registry, RegistryError};

/// Begins the keys of [`NodeEntry`]; its number follows.
const NODE: &str = "node-";

/// Identity of a cluster's registry. It is written last when the bucket is made, so one that has it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Random text by which the registry is known again in another bucket.
    pub id: String,
    /// [Mark](Registry::key_mark) of the key that wraps secrets; `None` where they are in clear.
    pub wrapped_by: Option<String>,
}

/// A node, as it was at its last start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    /// Number that no other node has, from 1 on. Sequences of sealed answers begin with it.
    pub number: u16,
    /// Name of the node.
    pub name: Box<str>,
    /// Random number by which it knows its entry again.
    pub mark: u64,
    /// Mark of its key that wraps secrets.
    pub wrapped_by: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct NodeJson {
    name: Box<str>,
    mark: u64,
    #[serde(default)]
    wrapped_by: Option<String>,
}

impl About {
    /// Makes one for a registry that begins.
    pub fn new(wrapped_by: Option<String>) -> Self {
        Self { id: hex(&random::<16>()), wrapped_by }
    }

    /// Reads it from its JSON.
    pub fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

impl Entry for About {
    const KIND: Kind = Kind::Cluster;

    fn key(&self) -> String {
        Registry::ABOUT.to_owned()
    }

    fn to_json(&self, _: Option<&Wrapping>) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts can always be written")
    }

    fn from_json(_: &str, object: &Object, _: Option<&Wrapping>) -> Option<Self> {
        Self::read(&object.value)
    }
}

impl Entry for NodeEntry {
    const KIND: Kind = Kind::Cluster;

    fn key(&self) -> String {
        format!("{NODE}{}", self.number)
    }

    fn to_json(&self, _: Option<&Wrapping>) -> Vec<u8> {
        let json = NodeJson { name: self.name.clone(), mark: self.mark, wrapped_by: self.wrapped_by.clone() };
        serde_json::to_vec(&json).expect("numbers and texts can always be written")
    }

    fn from_json(key: &str, object: &Object, _: Option<&Wrapping>) -> Option<Self> {
        let number = key.strip_prefix(NODE)?.parse().ok()?;
        let NodeJson { name, mark, wrapped_by } = serde_json::from_slice(&object.value).ok()?;
        Some(Self { number, name, mark, wrapped_by })
    }
}

impl Registry {
    /// Key of [`About`], among the facts of a cluster.
    pub const ABOUT: &'static str = "about";

    /// Returns a mark that tells a wrapping key from others, and nothing of the key; `None` for none.
    pub fn key_mark(wrapping_key: Option<&[u8; 32]>) -> Option<String> {
        let text = wrapping_key.map(|key| [&b"vagn registry key"[..], key].concat());
        text.map(|text| hex(&digest(&SHA256, &text).as_ref()[..16]))
    }

    /// Returns the identity of this registry; `None` until there is a copy of a cluster's.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn about(&self) -> Result<Option<About>, RegistryError> {
        Ok(self.read(Self::ABOUT)?.map(|(about, _)| about))
    }

    /// Returns [`About`] as an object: its key, and its JSON.
    pub fn about_json(about: &About) -> (&'static str, Vec<u8>) {
        (Self::ABOUT, about.to_json(None))
    }

    /// Lists the nodes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn nodes(&self) -> Result<Vec<NodeEntry>, RegistryError> {
        let mut nodes = Vec::new();
        self.each(Kind::Cluster, |key, revision, value| {
            nodes.extend(NodeEntry::from_json(key, &Object { value: value.to_vec(), revision }, None));
        })?;
        Ok(nodes)
    }

    /// Returns the number that the node of this name has by this file; `None` until it took one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn node_number(&self, name: &str) -> Result<Option<u16>, RegistryError> {
        Ok(self.own_entry(name)?.map(|node| node.number))
    }

    fn own_entry(&self, name: &str) -> Result<Option<NodeEntry>, RegistryError> {
        let mark = self.node_mark()?;
        Ok(self.nodes()?.into_iter().find(|node| mark != 0 && node.mark == mark && &*node.name == name))
    }

    fn node_mark(&self) -> Result<u64, RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(META)?;
        Ok(table.get(NODE_MARK)?.map_or(0, |mark| mark.value()))
    }

    /// Sees to it that the node has an entry with the mark of its key, and returns its number: the one that it has, or one
    /// by chance that is free. The least that is free may be that of a node whose entry was lost with the end of a bucket.
    ///
    /// # Errors
    /// The registry cannot be written, or all numbers are taken.
    pub fn enter_node(&self, name: &str, wrapped_by: Option<&str>) -> Result<u16, PutError> {
        if let Some(own) = self.own_entry(name)? {
            let wrapped_by = wrapped_by.map(str::to_owned);
            if own.wrapped_by != wrapped_by {
                self.update(&own.key(), |node: &mut NodeEntry| {
                    node.wrapped_by.clone_from(&wrapped_by);
                    true
                })?;
            }
            return Ok(own.number);
        }
        let mark = u64::from_be_bytes(random()).max(1);
        {
            // Before the entry: one that is there and not known again would only be a number less.
            let _in_order = self.inner.writing.lock();
            file::set_number(&self.inner.db, NODE_MARK, mark)?;
        }
        loop {
            let taken: std::collections::BTreeSet<_> =
                self.nodes()?.into_iter().map(|node| node.number).collect();
            let from = u16::from_be_bytes(random()).max(1);
            let number = (from..=u16::MAX).chain(1..from).find(|number| !taken.contains(number));
            let number = number.ok_or(PutError::Full { kind: Kind::Cluster })?;
            let wrapped_by = wrapped_by.map(str::to_owned);
            match self.add(&NodeEntry { number, name: name.into(), mark, wrapped_by }) {
                // Another node took it meanwhile.
                Err(PutError::Exists { .. }) => {}
                entered => return entered.map(|_| number),
            }
        }
    }

    /// Calls `take` with kind, key and JSON of each object, those of the cluster's nodes last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn each_object(&self, mut take: impl FnMut(Kind, &str, &[u8])) -> Result<(), RegistryError> {
        Kind::ALL.iter().try_for_each(|kind| self.each(*kind, |key, _, value| take(*kind, key, value)))
    }
}
