//! Recorded files as a source.
