//! The shape of a reduction: which task reads which. Above the tasks of the split stand reducers,
//! each over at most [`FAN_IN`] neighbours of the level below, level upon level until one is left,
//! the root. Nothing of it is stored: it follows from the number of tasks.
//!
//! Numbers go on level by level: the tasks have 0 to n − 1, the first level begins at n, and the
//! root has the last one.

use crate::spec::MAX_TASKS;
use std::ops::Range;

/// The most results that one reducer reads.
pub const FAN_IN: u32 = 64;

/// Reducers above the tasks of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduction {
    tasks: u32,
}

/// One level of a reduction: numbers and what they stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    /// How many levels below it.
    height: u32,
    members: Range<u32>,
}

impl Reduction {
    /// The reduction of so many tasks, 1 to [`MAX_TASKS`].
    #[must_use]
    pub fn over(tasks: u32) -> Reduction {
        Reduction { tasks: tasks.clamp(1, MAX_TASKS) }
    }

    /// The one whose tasks and reducers together are `total`; `None` where no number of tasks has
    /// so many.
    #[must_use]
    pub fn of_total(total: u32) -> Option<Reduction> {
        // Every task more is one number more at least, so that the sums can be searched.
        let (mut least, mut most) = (1, MAX_TASKS.min(total));
        while least < most {
            let middle = least + (most - least) / 2;
            if Reduction::over(middle).total() < total {
                least = middle + 1;
            } else {
                most = middle;
            }
        }
        Some(Reduction::over(least)).filter(|found| found.total() == total)
    }

    /// Tasks of the split.
    #[must_use]
    pub fn tasks(self) -> u32 {
        self.tasks
    }

    /// Reducers of all levels.
    #[must_use]
    pub fn reducers(self) -> u32 {
        self.total() - self.tasks
    }

    /// Tasks and reducers.
    #[must_use]
    pub fn total(self) -> u32 {
        self.root() + 1
    }

    /// The last reducer, whose result is the job's.
    #[must_use]
    pub fn root(self) -> u32 {
        self.levels().last().map_or(0, |level| level.members.start)
    }

    /// Whether `no` is a reducer.
    #[must_use]
    pub fn is_reducer(self, no: u32) -> bool {
        no >= self.tasks
    }

    /// The level of `no`: 0 for a task, 1 for a reducer directly above tasks.
    #[must_use]
    pub fn level(self, no: u32) -> u32 {
        self.levels().find(|level| level.members.contains(&no)).map_or(0, |level| level.height)
    }

    /// What reducer `no` reads; nothing for a task.
    #[must_use]
    pub fn inputs(self, no: u32) -> Range<u32> {
        let mut below = 0..self.tasks;
        for level in self.levels() {
            if level.members.contains(&no) {
                let first = below.start + (no - level.members.start) * FAN_IN;
                return first..(first + FAN_IN).min(below.end);
            }
            below = level.members;
        }
        0..0
    }

    /// The reducer that reads `no`; `None` for the root.
    #[must_use]
    pub fn reader(self, no: u32) -> Option<u32> {
        let mut below = 0..self.tasks;
        for level in self.levels() {
            if below.contains(&no) {
                return Some(level.members.start + (no - below.start) / FAN_IN);
            }
            below = level.members;
        }
        None
    }

    /// The readers of `no`, the nearest first, the root last.
    pub fn readers(self, no: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(self.reader(no), move |no| self.reader(*no))
    }

    /// Levels of reducers, from the one above the tasks to the root.
    fn levels(self) -> impl Iterator<Item = Level> {
        let above = |below: &Range<u32>| below.end..below.end + below.len().div_ceil(FAN_IN as usize) as u32;
        let first = Level { height: 1, members: above(&(0..self.tasks)) };
        std::iter::successors(Some(first), move |level| {
            (level.members.len() > 1)
                .then(|| Level { height: level.height + 1, members: above(&level.members) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_one_reader_and_the_root_has_none() {
        for tasks in [1, 2, 63, 64, 65, 128, 200, 4_096, 4_097, MAX_TASKS] {
            let tree = Reduction::over(tasks);
            let mut next = 0;
            for no in tasks..tree.total() {
                let inputs = tree.inputs(no);
                assert_eq!(inputs.start, next, "{tasks} tasks: what {no} reads follows what was read");
                assert!(
                    (1..=FAN_IN as usize).contains(&inputs.len()),
                    "{tasks} tasks: {no} reads {inputs:?}"
                );
                for input in inputs.clone() {
                    assert_eq!(tree.reader(input), Some(no), "{tasks} tasks: {input}");
                    assert_eq!(tree.level(input) + 1, tree.level(no), "{tasks} tasks: {input}");
                }
                next = inputs.end;
            }
            assert_eq!(
                (next, tree.reader(next)),
                (tree.root(), None),
                "{tasks} tasks: the root is read by nobody"
            );
            assert!(!tree.is_reducer(tasks - 1) && tree.is_reducer(tasks));
            assert!(tree.inputs(tasks - 1).is_empty());
            assert_eq!(tree.readers(0).last(), Some(tree.root()));
        }
    }

    #[test]
    fn small_jobs_have_one_reducer_and_the_largest_has_three_levels() {
        let shape = |tasks| {
            let tree = Reduction::over(tasks);
            (tree.reducers(), tree.level(tree.root()))
        };
        assert_eq!([shape(1), shape(64), shape(65), shape(4_096)], [(1, 1), (1, 1), (3, 2), (65, 2)]);
        assert_eq!(shape(MAX_TASKS), (1_563 + 25 + 1, 3));
        assert_eq!(Reduction::over(200).inputs(203), 192..200);
        assert_eq!(Reduction::over(200).inputs(204), 200..204);
    }

    #[test]
    fn a_total_has_one_reduction_or_none() {
        let mut last = 1;
        for tasks in (1..=9_000).chain([99_999, MAX_TASKS]) {
            let total = Reduction::over(tasks).total();
            assert_eq!(Reduction::of_total(total), Some(Reduction::over(tasks)));
            let between = last + 1..total.min(last + 4);
            assert!(tasks > 9_000 || between.into_iter().all(|total| Reduction::of_total(total).is_none()));
            last = total;
        }
        assert_eq!(Reduction::of_total(0), None);
        assert_eq!(Reduction::of_total(u32::MAX), None);
    }
}
