//! Whether the funnel of a chunk, its rows and its reject table tell the same.

use std::collections::BTreeMap;

use super::{Fault, Faults, MAKE_AGAIN, without};
use crate::core::{End, FatalError, Funnel, ItemPath, StageCounts};
use crate::engine::ChunkLine;
use crate::io::{Leave, RejectLine, RejectReader, RejectRow};
use crate::pipelines::run_dir::RunDir;

/// How often something was given for an end: stage, whether it failed, reason.
type Reasons = BTreeMap<(String, bool, String), u64>;

/// Compares the counts of a chunk with its table and rows; gives the rows of the table.
pub(super) fn check(
    dir: &RunDir,
    line: &ChunkLine,
    rows: &[Option<ItemPath>],
    faults: &mut Faults,
) -> u64 {
    let path = dir.reject_table(line.chunk);
    let name = format!("rejects/{:05}.parquet", line.chunk);
    if let Err(what) = line.funnel.check() {
        let what = format!("chunk {}: {what}", line.chunk);
        faults.push(Fault::of("ledger", what, MAKE_AGAIN));
    }
    // Rows that could not be read were named already; without them nothing adds up.
    let are_all = rows.len() as u64 == line.rows;
    let rows: Option<Vec<&ItemPath>> = rows.iter().map(Option::as_ref).collect();
    let rows = rows.filter(|_| are_all);
    let mut tally = Tally {
        stages: line.funnel.stages.iter().map(|(name, _)| &**name).collect(),
        funnel: Funnel::default(),
        unfit: None,
    };
    let expected = line.funnel.rejected() + line.funnel.failed();
    let (mut reasons, mut count) = (Reasons::new(), 0);
    let mut is_read = true;
    if path.is_file() {
        let read = read_table(&path, &mut reasons, &mut count, rows.as_deref(), &mut tally);
        if let Err(error) = read {
            let what = format!("cannot be read: {}", without(&error, &path));
            faults.push(Fault::of(&*name, what, MAKE_AGAIN));
            is_read = false;
        }
    } else if expected > 0 {
        let what = format!("the table of {expected} rejected and failed items is missing");
        faults.push(Fault::of(&*name, what, MAKE_AGAIN));
        is_read = false;
    } else if let Some(rows) = &rows {
        tally.roots(rows, &[]);
    }
    if !is_read {
        return count;
    }
    let stated = reasons_of(&line.funnel);
    let mut differs = false;
    for key in stated
        .keys()
        .chain(reasons.keys().filter(|key| !stated.contains_key(*key)))
    {
        let of = |counts: &Reasons| counts.get(key).copied().unwrap_or(0);
        if of(&stated) != of(&reasons) {
            differs = true;
            let (stage, failed, reason) = key;
            let outcome = if *failed { "failed" } else { "rejected" };
            let what = format!("items of stage {stage} that are {outcome} for {reason}");
            let fault = Fault::of(&*name, what, MAKE_AGAIN);
            faults.push(fault.differs(of(&stated), of(&reasons)));
        }
    }
    // A missing line would be missing at every stage before.
    if !differs && rows.is_some() {
        compare(&tally, line, &name, faults);
    }
    count
}

fn compare(tally: &Tally<'_>, line: &ChunkLine, name: &str, faults: &mut Faults) {
    if let Some(what) = &tally.unfit {
        faults.push(Fault::of(name, what.clone(), MAKE_AGAIN));
        return;
    }
    for (stage, stated) in &line.funnel.stages {
        let found = tally.funnel.stages.iter().find(|(known, _)| known == stage);
        let none = StageCounts::default();
        let found = found.map_or(&none, |(_, counts)| counts);
        let numbers = [
            ("received", stated.received, found.received),
            ("passed", stated.passed, found.passed),
            ("emitted", stated.emitted, found.emitted),
        ];
        for (what, stated, found) in numbers {
            if stated != found {
                let what = format!("items that stage {stage} {what}, by the ends of all items");
                let fault = Fault::of(name, what, MAKE_AGAIN);
                faults.push(fault.differs(stated, found));
                return;
            }
        }
    }
}

fn reasons_of(funnel: &Funnel) -> Reasons {
    let mut reasons = Reasons::new();
    for (stage, counts) in &funnel.stages {
        let rejected = counts.rejected.iter().map(|(name, n)| (false, name, n));
        let failed = counts.failed.iter().map(|(name, n)| (true, name, n));
        for (failed, reason, n) in rejected.chain(failed) {
            reasons.insert((stage.clone(), failed, reason.clone()), *n);
        }
    }
    reasons
}

/// Counts from the ends of items, one manifest row after the other.
struct Tally<'a> {
    stages: Vec<&'a str>,
    funnel: Funnel,
    unfit: Option<String>,
}

impl Tally<'_> {
    /// Adds all manifest rows that have rows only, and one with these rejects.
    fn roots(&mut self, rows: &[&ItemPath], rejects: &[RejectLine]) {
        let mut at = 0;
        loop {
            let first = rows.get(at).map(|path| path.row());
            let Some(root) = first else { break };
            let end = rows[at..]
                .iter()
                .take_while(|path| path.row() == root)
                .count()
                + at;
            self.root(&rows[at..end], &[]);
            at = end;
        }
        if !rejects.is_empty() {
            self.root(&[], rejects);
        }
    }

    fn root(&mut self, rows: &[&ItemPath], rejects: &[RejectLine]) {
        let kept = rows.iter().map(|path| End::kept(path));
        let ends: Vec<End<'_>> = kept.chain(rejects.iter().map(RejectLine::end)).collect();
        match Funnel::of_ends(&self.stages, &ends) {
            Ok(funnel) => self.funnel.merge(&funnel),
            Err(what) => {
                self.unfit.get_or_insert(what);
            }
        }
    }
}

fn read_table(
    path: &std::path::Path,
    reasons: &mut Reasons,
    count: &mut u64,
    rows: Option<&[&ItemPath]>,
    tally: &mut Tally<'_>,
) -> Result<(), FatalError> {
    let mut rows = rows.unwrap_or_default();
    let mut open: Vec<RejectLine> = Vec::new();
    let mut close = |lines: &mut Vec<RejectLine>, next: u32, tally: &mut Tally<'_>| {
        // Manifest rows without rejects come first, then the one that has these.
        let Some(root) = lines.first().map(|line| line.path.row()) else {
            return;
        };
        let split = |rows: &[&ItemPath], row: u32| rows.partition_point(|path| path.row() < row);
        let (before, rest) = rows.split_at(split(rows, root));
        tally.roots(before, &[]);
        let (mine, rest) = rest.split_at(rest.partition_point(|path| path.row() == root));
        tally.root(mine, lines);
        let (between, rest) = rest.split_at(split(rest, next));
        tally.roots(between, &[]);
        rows = rest;
        lines.clear();
    };
    for row in RejectReader::open(path)? {
        let RejectRow { line, .. } = row?;
        *count += 1;
        let failed = line.outcome == Leave::Failed;
        let key = (line.stage.clone(), failed, line.reason.clone());
        *reasons.entry(key).or_default() += 1;
        let root = line.path.row();
        if open.first().is_some_and(|first| first.path.row() != root) {
            close(&mut open, root, tally);
        }
        open.push(line);
    }
    close(&mut open, u32::MAX, tally);
    Ok(())
}
