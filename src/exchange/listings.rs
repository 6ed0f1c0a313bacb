//! What the exchange lists now: it changes while it runs, and a listing keeps its number for ever.

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::market::Listing;
use crate::units::Symbol;

/// Every listing there ever was. Cheap to clone; the clones see one list.
#[derive(Debug, Clone)]
pub(super) struct Listings {
    entries: Arc<RwLock<Vec<Entry>>>,
}

/// One of them, by its number.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) listing: Listing,
    /// It has not been taken off the list.
    pub(super) is_listed: bool,
}

impl Listings {
    pub(super) fn new(listings: Vec<Listing>) -> Self {
        let entries = listings.into_iter().map(|listing| Entry { listing, is_listed: true }).collect();
        Self { entries: Arc::new(RwLock::new(entries)) }
    }

    /// All of them, those that are listed no more included. While this is held, nothing is listed.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.entries.read().expect("no thread panics with the list in hand, because nothing in it can")
    }

    /// The number of a symbol, be it listed or not any more.
    pub(super) fn index_of(&self, symbol: &Symbol) -> Option<usize> {
        self.read().iter().position(|entry| entry.listing.symbol == *symbol)
    }

    /// The numbers of those that are listed now.
    pub(super) fn listed(&self) -> Vec<usize> {
        let entries = self.read();
        entries.iter().enumerate().filter(|(_, entry)| entry.is_listed).map(|(index, _)| index).collect()
    }

    /// Lists one more, or again under the number it had.
    pub(super) fn list(&self, listing: Listing) {
        let mut entries = self.write();
        match entries.iter_mut().find(|entry| entry.listing.symbol == listing.symbol) {
            Some(entry) => *entry = Entry { listing, is_listed: true },
            None => entries.push(Entry { listing, is_listed: true }),
        }
    }

    /// Takes one off the list.
    pub(super) fn delist(&self, index: usize) {
        if let Some(entry) = self.write().get_mut(index) {
            entry.is_listed = false;
        }
    }

    pub(super) fn set_status(&self, index: usize, status: &str) {
        if let Some(entry) = self.write().get_mut(index) {
            status.clone_into(&mut entry.listing.status);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.entries.write().expect("no thread panics with the list in hand, because nothing in it can")
    }
}
