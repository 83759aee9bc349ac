//! Figures for metrics: kept in memory, so that a scrape never waits for the disk.

use crate::entry::Entry;
use crate::{Kind, Object, Registry, RegistryError, Role, Token};

/// Numbers of things in the registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Keys of vehicles and gateways that are in force.
    pub devices: u64,
    /// Tokens that were not revoked, in the order of [`Role::ALL`].
    pub tokens: [u64; Role::ALL.len()],
    /// Sessions that have not been removed.
    pub sessions: u64,
    /// Shares that have not been removed.
    pub shares: u64,
}

impl Figures {
    /// Counts everything.
    pub(crate) fn count(registry: &Registry) -> Result<Self, RegistryError> {
        let mut figures = Self::default();
        Kind::ALL.iter().try_for_each(|kind| figures.recount(registry, *kind))?;
        Ok(figures)
    }

    /// Counts anew what these puts may have changed.
    pub(crate) fn follow(&mut self, registry: &Registry, kinds: &[Kind]) -> Result<(), RegistryError> {
        let touched = Kind::ALL.into_iter().filter(|kind| kinds.contains(kind));
        for kind in touched {
            self.recount(registry, kind)?;
        }
        Ok(())
    }

    fn recount(&mut self, registry: &Registry, kind: Kind) -> Result<(), RegistryError> {
        match kind {
            Kind::Device => self.devices = registry.devices_in_force()?,
            Kind::Token => self.tokens = tokens(registry)?,
            Kind::Session => self.sessions = registry.count(Kind::Session)?,
            Kind::Share => self.shares = registry.count(Kind::Share)?,
            Kind::Cluster => {}
        }
        Ok(())
    }
}

fn tokens(registry: &Registry) -> Result<[u64; Role::ALL.len()], RegistryError> {
    let mut counts = [0; Role::ALL.len()];
    registry.each(Kind::Token, |key, revision, value| {
        // Not through a list, which counts what makes no sense.
        let object = Object { value: value.to_vec(), revision };
        let token = Token::from_json(key, &object, None).filter(|token| token.revoked_ms.is_none());
        if let Some(token) = token {
            counts[token.role as usize] += 1;
        }
    })?;
    Ok(counts)
}
