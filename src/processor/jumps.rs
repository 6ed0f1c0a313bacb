//! When time itself is disturbed: a clock that is set, a process that stood still.

use super::Processor;
use super::run_state::RunState;
use crate::clock::Jump;

impl Processor<'_> {
    /// Once a second: whether the clock was set or nothing ran here, and what follows from it.
    pub(super) fn heed_time(&mut self, state: &mut RunState) {
        let Some(live) = &self.live else { return };
        let was_held_up = std::mem::take(&mut state.held_up);
        match state.steps.tick(live.clock.now()) {
            Some(jump @ Jump::Step { .. }) => self.clock_stepped(state, jump),
            // A blocked reader of the output holds up ticks as well, and is told by itself.
            Some(jump @ Jump::Paused { .. }) if !was_held_up => self.stood_still(jump),
            Some(Jump::Paused { .. }) | None => {}
        }
    }

    /// What was measured with the wall clock is void.
    fn clock_stepped(&mut self, state: &mut RunState, jump: Jump) {
        self.events.time_jumped(jump);
        state.offset.clock_stepped();
        state.lag.clock_stepped();
        if let Some(repair) = &mut self.repair {
            repair.clock_offset(None);
            repair.clock_stepped();
            repair.disturbed(None);
        }
    }

    /// What came meanwhile may be lost.
    fn stood_still(&mut self, jump: Jump) {
        self.events.time_jumped(jump);
        if let Some(repair) = &mut self.repair {
            repair.disturbed(None);
        }
    }
}
