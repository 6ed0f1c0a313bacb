//! The comparison of many symbols and the sums of groups, at the pace that inputs tell: so a recording of them gives the
//! same records again.

use std::time::Duration;

use crate::config::TableConfig;
use crate::groups::Group;
use crate::movers::{Movers, Ranking};
use crate::pipeline::Pipeline;
use crate::report::Reporter;
use crate::roster::GroupSpec;
use crate::snapshot::Market;
use crate::source::{Input, Note};
use crate::units::Symbol;

/// What is told of many symbols together.
#[derive(Debug)]
pub struct Board {
    ranking: Ranking,
    groups: Vec<GroupSpec>,
    every: Duration,
    movers: Movers,
}

impl Board {
    /// Before the first second.
    pub fn new(table: &TableConfig, groups: Vec<GroupSpec>) -> Self {
        let ranking = Ranking { by: table.by, top: table.top.unwrap_or(TableConfig::ROWS) };
        Self { ranking, groups, every: table.every, movers: Movers::new(table.every) }
    }

    /// The settings that name these symbols of a market.
    pub(super) fn named_by<'s>(
        &self,
        market: Market,
        symbols: impl Iterator<Item = &'s Symbol>,
    ) -> &'static str {
        let is_grouped = |symbol: &Symbol| {
            let mut members = self.groups.iter().flat_map(|group| &group.members);
            members.any(|member| member.market == market && member.symbol == *symbol)
        };
        let (grouped, others): (Vec<_>, Vec<_>) = symbols.partition(|symbol| is_grouped(symbol));
        match (grouped.as_slice(), others.as_slice()) {
            ([], _) => "--symbol",
            (_, []) => "--group",
            _ => "--symbol and --group",
        }
    }

    /// What a recording keeps of it; `None` as long as that is nothing.
    pub(super) fn movers(&self) -> Option<&Movers> {
        Some(&self.movers).filter(|movers| movers.have_begun())
    }

    /// Goes on from what a recording has kept, at the pace that was asked for here.
    pub(super) fn go_on(&mut self, kept: Option<Movers>) {
        self.movers = kept.map_or_else(|| Movers::new(self.every), |kept| kept.every(self.every));
    }

    /// An input is digested: tells what is due.
    #[inline]
    pub(super) fn after(&mut self, input: &Input, pipeline: &Pipeline, reporter: &mut Reporter) {
        if let Input::Note(Note::Second(now)) = input
            && (reporter.shows_movers() || !self.groups.is_empty())
        {
            let is_picked = |lane, instrument: &_| reporter.is_picked(lane, instrument);
            if let Some(mut interval) = self.movers.second(*now, pipeline.totals(), self.ranking, is_picked) {
                interval.lanes.disconnected = pipeline.disconnected();
                reporter.movers(&interval);
                self.tell_groups(pipeline, reporter, Some(now.wall_ms()));
            }
        }
    }

    /// Tells what the groups add up to.
    pub(super) fn tell_groups(&self, pipeline: &Pipeline, reporter: &mut Reporter, at_ms: Option<i64>) {
        for GroupSpec { name, members } in &self.groups {
            reporter.group(&Group::of(name, members, |instrument| pipeline.totals_of(instrument)), at_ms);
        }
    }
}

#[cfg(test)]
mod tests;
