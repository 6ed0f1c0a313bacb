//! What survives a crash: a small file for each symbol, from which the numbers go on as if they had never stopped.
//!
//! [`mod@format`] is what a file says, [`store`] how it is written so that no crash at any moment leaves a wrong one,
//! [`lock`] keeps a second process away, and [`Keeper`] does the writing on a thread of its own.

pub mod disk;
mod error;
pub mod format;
mod keeper;
pub mod lock;
mod name;
#[cfg(test)]
mod resumed;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
pub(crate) mod simulated;
pub mod store;
#[cfg(test)]
pub(crate) mod temporary;

pub use disk::{Disk, SystemDisk};
pub use error::CheckpointError;
pub use format::{Checkpoint, FormatError, Identity};
pub use keeper::{Keeper, KeeperCounts, Kept};
pub use lock::{DirectoryLock, LockError};
pub use store::{LoadError, Loaded, SetAside, Store, StoreError};
