//! One input on one line of JSON.
//!
//! ```text
//! {"in":"frame","line":0,"session":3,"ordinal":17,"wall_ns":…,"mono_ns":…,"text":"{\"e\":\"aggTrade\",…}"}
//! {"in":"reply","lane":0,"wall_ns":…,"mono_ns":…,"answer":"trades","trades":[{"a":1,"p":"0.5","q":"2","f":1,"l":1,"T":…,"m":true},…]}
//! {"in":"tick","wall_ns":…,"mono_ns":…}
//! {"in":"link","line":0,"session":3,"change":"opened","wall_ns":…,"mono_ns":…}
//! {"in":"evicted","session":3,"frames":12}
//! {"in":"note","note":{"second":{…}}}
//! ```
//!
//! Frames are written and read by hand, because almost every line is one; everything else is read by serde.

mod read;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod write;

pub use read::{LineError, read};
pub use write::write;
