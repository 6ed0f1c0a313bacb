use super::*;
use crate::checkpoint::samples::{SampleLane, identity};
use crate::checkpoint::simulated::{Fault, SimulatedDisk};
use io::ErrorKind::{Other, ReadOnlyFilesystem, StorageFull};

const DIRECTORY: &str = "/state";
const NAME: &str = "usdm-ETHUSDT.checkpoint";
/// Simulated crashes, unless `CVD_STREAM_CRASHES` asks for more.
const CRASHES: u64 = 100_000;

fn store(disk: &SimulatedDisk) -> Store<SimulatedDisk> {
    Store::new(disk.clone(), Path::new(DIRECTORY))
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn states(identity: &Identity, count: usize) -> Vec<LaneState> {
    let mut lane = SampleLane::of(identity, 7);
    let mut next = || {
        lane.trade();
        lane.state()
    };
    (0..count).map(|_| next()).collect()
}

/// A disk with two checkpoints, of `states[0]` and `states[1]`.
fn disk_with(identity: &Identity, states: &[LaneState]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let mut store = store(&disk);
    assert_eq!(store.load(identity).unwrap(), None);
    store.save(identity, &states[0], 10).unwrap();
    store.save(identity, &states[1], 20).unwrap();
    disk
}

#[test]
fn the_newest_is_loaded_and_the_one_before_it_kept() {
    let identity = identity(5);
    let states = states(&identity, 3);
    let disk = disk_with(&identity, &states);
    assert_eq!(disk.listing(), [NAME, "usdm-ETHUSDT.checkpoint.previous"]);
    let mut store = store(&disk);
    let loaded = store.load(&identity).unwrap().unwrap();
    assert_eq!((loaded.checkpoint.serial, loaded.checkpoint.saved_at_ms), (2, 20));
    assert_eq!((&loaded.checkpoint.state, loaded.is_previous), (&states[1], false));
    // The count goes on over a restart.
    store.save(&identity, &states[2], 30).unwrap();
    assert_eq!(store.load(&identity).unwrap().unwrap().checkpoint.serial, 3);
}

#[test]
fn where_the_newest_is_damaged_the_previous_is_used_and_the_damaged_one_kept_aside() {
    let identity = identity(5);
    let states = states(&identity, 4);
    let disk = disk_with(&identity, &states);
    for round in 0..3 {
        disk.spoil(&path(NAME), |contents| contents[40] ^= 1);
        let mut store = store(&disk);
        let loaded = store.load(&identity).unwrap().unwrap();
        assert!(loaded.is_previous);
        let now = if round == 0 {
            format!("{NAME}.unreadable")
        } else {
            format!("{NAME}.unreadable-{}", round + 1)
        };
        let reason = FormatError::Damaged.to_string();
        assert_eq!(loaded.unusable, [SetAside { file: path(NAME), reason, now: Some(path(&now)) }]);
        assert!(disk.listing().contains(&now), "{:?}", disk.listing());
        // One that has gone aside is nothing to load.
        assert_eq!(store.load(&identity).unwrap().unwrap().unusable, []);
        store.save(&identity, &states[2], 30).unwrap();
        store.save(&identity, &states[3], 40).unwrap();
    }
    assert_eq!(disk.listing().len(), 5, "{:?}", disk.listing());
}

#[test]
fn a_damaged_previous_one_is_kept_aside_too() {
    let identity = identity(5);
    let states = states(&identity, 2);
    let disk = disk_with(&identity, &states);
    disk.spoil(&path("usdm-ETHUSDT.checkpoint.previous"), Vec::clear);
    let loaded = store(&disk).load(&identity).unwrap().unwrap();
    assert!(!loaded.is_previous);
    assert_eq!(disk.listing(), [NAME, "usdm-ETHUSDT.checkpoint.previous.unreadable"]);
}

#[test]
fn nothing_begins_at_zero_while_there_are_files_that_cannot_be_used() {
    let identity = identity(5);
    let states = states(&identity, 2);
    let disk = disk_with(&identity, &states);
    disk.spoil(&path(NAME), |contents| contents.truncate(100));
    disk.spoil(&path("usdm-ETHUSDT.checkpoint.previous"), |contents| *contents = b"PK".to_vec());
    let before = disk.listing();
    let error = store(&disk).load(&identity).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no checkpoint of usdm ETHUSDT can be used: /state/usdm-ETHUSDT.checkpoint: it is truncated: its end is \
         missing; /state/usdm-ETHUSDT.checkpoint.previous: it is not a checkpoint of cvd-stream. Nothing begins at \
         zero while they may be of use: restore a good copy, run with what they were kept with, give another \
         --state-dir, or move them away to begin anew"
    );
    assert_eq!(disk.listing(), before, "what a person has to look at stays where it is");
}

#[test]
fn what_stands_in_the_way_and_cannot_be_moved_is_never_overwritten() {
    let identity = identity(5);
    let states = states(&identity, 3);
    let disk = disk_with(&identity, &states);
    disk.spoil(&path(NAME), |contents| contents[40] ^= 1);
    let mut store = store(&disk);
    disk.fault_in(0, Fault::Error(ReadOnlyFilesystem));
    let loaded = store.load(&identity).unwrap().unwrap();
    assert_eq!((loaded.unusable[0].now.clone(), loaded.is_previous), (None, true));
    disk.fault_in(0, Fault::Error(ReadOnlyFilesystem));
    let error = store.save(&identity, &states[2], 30).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot keep a checkpoint in /state: cannot set aside a file that cannot be used"
    );
    store.save(&identity, &states[2], 30).unwrap();
    let names = [NAME, "usdm-ETHUSDT.checkpoint.previous", "usdm-ETHUSDT.checkpoint.unreadable"];
    assert_eq!(disk.listing(), names);
}

#[test]
fn a_symbol_that_nobody_went_on_from_begins_anew_and_its_earlier_files_are_kept_aside() {
    let identity = identity(5);
    let states = states(&identity, 4);
    let disk = disk_with(&identity, &states);
    for run in 0..2 {
        let mut store = store(&disk);
        store.save(&identity, &states[2], 30).unwrap();
        let ending = if run == 0 { ".earlier".to_owned() } else { format!(".earlier-{}", run + 1) };
        let aside = |name: String| (path(&name), path(&format!("{name}{ending}")));
        let names = [NAME.to_owned(), format!("{NAME}.previous")];
        assert_eq!(store.take_made_room(), names.map(aside));
        assert_eq!(disk.listing().iter().filter(|name| !name.contains(".earlier")).count(), 1);
        store.save(&identity, &states[3], 40).unwrap();
        assert_eq!(store.take_made_room(), [], "its own files make no room");
        assert_eq!(store.load(&identity).unwrap().unwrap().checkpoint.serial, 2);
    }
    // What is aside is whole: renamed back it is gone on from.
    disk.rename(&path(&format!("{NAME}.earlier")), &path(NAME)).unwrap();
    assert_eq!(store(&disk).load(&identity).unwrap().unwrap().checkpoint.state, states[1]);
}

#[test]
fn another_symbol_has_files_of_its_own() {
    let identity = identity(5);
    let disk = disk_with(&identity, &states(&identity, 2));
    let symbol = crate::units::Symbol::new("BTCUSDT").unwrap();
    assert_eq!(store(&disk).load(&Identity { symbol, ..identity }).unwrap(), None);
}

#[test]
fn an_error_of_the_disk_at_any_step_costs_nothing_that_was_saved_before() {
    let identity = identity(5);
    let states = states(&identity, 40);
    let mut failures = 0;
    for step in 0..8 {
        for kind in [StorageFull, ReadOnlyFilesystem, Other] {
            let disk = disk_with(&identity, &states);
            let mut store = store(&disk);
            store.load(&identity).unwrap();
            disk.fault_in(step, Fault::Error(kind));
            failures += u32::from(store.save(&identity, &states[2], 30).is_err());
            let loaded = store.load(&identity).unwrap().unwrap();
            assert!(loaded.checkpoint.state == states[1] || loaded.checkpoint.state == states[2]);
            disk.crash();
            let loaded = self::store(&disk).load(&identity).unwrap().unwrap();
            assert!(loaded.checkpoint.state == states[1] || loaded.checkpoint.state == states[2]);
        }
    }
    assert_eq!(failures, 21, "there are seven steps");
}

/// What one seed did, to be told when it goes wrong.
struct Story {
    disk: SimulatedDisk,
    identity: Identity,
    states: Vec<LaneState>,
    random: fastrand::Rng,
    /// How many of the states were handed to the store.
    tried: usize,
    /// How many of them were certain to survive.
    acknowledged: usize,
}

impl Story {
    /// Saves one state after the other, through errors of the disk, until the machine stops.
    fn save_until_it_stops(&mut self, mut store: Store<SimulatedDisk>) {
        self.disk.fault_in(self.random.u32(..22), Fault::Stop);
        while self.tried < self.states.len() {
            let state = &self.states[self.tried];
            self.tried += 1;
            match store.save(&self.identity, state, 5) {
                Ok(()) => self.acknowledged = self.tried,
                Err(error) if error.source.to_string().contains("stopped") => return,
                Err(_) => {}
            }
            // Instead of the stop there is an error now and then, and the stop comes later.
            if self.random.u32(..6) == 0 {
                let kind = [StorageFull, ReadOnlyFilesystem, Other][self.random.usize(..3)];
                self.disk.fault_in(self.random.u32(..8), Fault::Error(kind));
            } else if self.random.u32(..3) == 0 {
                self.disk.fault_in(self.random.u32(..15), Fault::Stop);
            }
        }
    }
}

#[test]
fn no_crash_at_any_step_leaves_a_wrong_state_or_an_older_one_than_was_acknowledged() {
    let crashes = std::env::var("CVD_STREAM_CRASHES").map_or(CRASHES, |crashes| crashes.parse().unwrap());
    let identity = identity(4);
    let states = states(&identity, 400);
    let (mut done, mut nothing, mut previous) = (0, 0, 0);
    for seed in 0.. {
        let disk = SimulatedDisk::new(seed);
        let (identity, states) = (identity.clone(), states.clone());
        let random = fastrand::Rng::with_seed(seed + 1_000_000);
        let mut story = Story { disk, identity, states, random, tried: 0, acknowledged: 0 };
        while story.tried + 30 < story.states.len() && done < crashes {
            let mut store = store(&story.disk);
            let told = || format!("seed {seed}, crash {done}: {:?}", story.disk.listing());
            let loaded = store.load(&story.identity).unwrap_or_else(|error| panic!("{}: {error}", told()));
            let survived = match &loaded {
                None => 0,
                Some(loaded) => {
                    assert_eq!(loaded.unusable, [], "{}", told());
                    previous += u64::from(loaded.is_previous);
                    let state = &loaded.checkpoint.state;
                    // Each has one id more than the one before it.
                    let at = state.sequence.ids().checked_sub(1).map(|at| at as usize);
                    let is = at.filter(|at| story.states[*at] == *state);
                    is.unwrap_or_else(|| panic!("{}: a state that was never saved", told())) + 1
                }
            };
            nothing += u64::from(loaded.is_none());
            assert!((story.acknowledged..=story.tried).contains(&survived), "{}: {survived}", told());
            story.save_until_it_stops(store);
            story.disk.crash();
            done += 1;
        }
        if done >= crashes {
            break;
        }
    }
    // All of it happened: nothing there yet, the newest, and the one before it.
    assert!(nothing > done / 200 && previous > done / 50, "{nothing} and {previous} of {done}");
}
