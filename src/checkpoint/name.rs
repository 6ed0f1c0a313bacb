//! The names of files.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::snapshot::Market;
use crate::units::Symbol;

/// Lower case too, because there are systems to which `a` and `A` are one file.
const ENCODED: AsciiSet = {
    let mut set = NON_ALPHANUMERIC.remove(b'_').remove(b'-');
    let mut letter = b'a';
    while letter <= b'z' {
        set = set.add(letter);
        letter += 1;
    }
    set
};
/// File systems take names of 255 bytes; the endings need some.
const LONGEST: usize = 180;

/// Where the checkpoint of a symbol is kept, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) current: PathBuf,
    pub(super) previous: PathBuf,
    pub(super) temporary: PathBuf,
}

impl Names {
    pub(super) fn of(directory: &Path, market: Market, symbol: &Symbol) -> Self {
        let mut name = utf8_percent_encode(symbol.as_str(), &ENCODED).to_string();
        if name.len() > LONGEST {
            // What is inside tells whose it is; two that share a name would be refused, not mixed.
            name.truncate(LONGEST);
            name = format!("{name}~{:08x}", crc32fast::hash(symbol.as_str().as_bytes()));
        }
        let current = directory.join(format!("{market}-{name}.checkpoint"));
        let (previous, temporary) = (with(&current, ".previous"), with(&current, ".tmp"));
        Self { current, previous, temporary }
    }
}

/// A path with something more at its end.
pub(super) fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(market: Market, symbol: &str) -> String {
        let names = Names::of(Path::new("/d"), market, &Symbol::new(symbol).unwrap());
        names.current.file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn every_symbol_has_a_name_of_its_own_that_every_file_system_takes() {
        assert_eq!(name(Market::UsdM, "ethusdt"), "usdm-ETHUSDT.checkpoint");
        assert_eq!(name(Market::CoinM, "BTCUSD_PERP"), "coinm-BTCUSD_PERP.checkpoint");
        assert_eq!(name(Market::Spot, "币USDT"), "spot-%E5%B8%81USDT.checkpoint");
        assert_ne!(name(Market::Spot, "ä"), name(Market::Spot, "Ä"));
        let (long, other) = ("币".repeat(32), format!("{}安", "币".repeat(31)));
        assert_ne!(name(Market::Spot, &long), name(Market::Spot, &other));
        assert!(name(Market::Spot, &long).len() < 220);
        let names = Names::of(Path::new("/d"), Market::Spot, &Symbol::new("A").unwrap());
        assert_eq!(names.previous, Path::new("/d/spot-A.checkpoint.previous"));
        assert_eq!(names.temporary, Path::new("/d/spot-A.checkpoint.tmp"));
    }
}
