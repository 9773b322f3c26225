//! Finds the entries that make a batch revert. Pure: whoever drives it estimates what [`Bisect::ask`]
//! names and tells how it came out.
//!
//! The calls of a transaction run one behind the other, so that a batch fails at its first entry that
//! fails behind those before it, and every longer one fails too. That entry is found by halving, which
//! takes log₂(n) estimates; it is taken out and the rest is tried again. Entries that only fail
//! together are found as well: the later one is taken out.

/// An entry that cannot go with those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Its place among the entries.
    pub entry: usize,
    /// Why, in the contract's words.
    pub reason: String,
}

/// The search.
#[derive(Debug)]
pub struct Bisect {
    /// Entries that are not known as poison, in order.
    left: Vec<usize>,
    /// The first `good` of them pass together.
    good: usize,
    /// The first `bad` of them do not, and why.
    bad: Option<(usize, String)>,
    poison: Vec<Poison>,
    /// How many of `left` the last question named.
    asked: usize,
}

/// What the search ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sorted {
    /// Entries that pass together, in their order.
    pub passing: Vec<usize>,
    /// Those that do not pass with them.
    pub poison: Vec<Poison>,
}

impl Bisect {
    /// A search among `entries` of them.
    #[must_use]
    pub fn new(entries: usize) -> Bisect {
        Bisect { left: (0..entries).collect(), good: 0, bad: None, poison: Vec::new(), asked: 0 }
    }

    /// The entries to estimate together next; `None` when all is known.
    pub fn ask(&mut self) -> Option<&[usize]> {
        self.asked = match &self.bad {
            None => self.left.len(),
            Some((bad, _)) => self.good + (bad - self.good) / 2,
        };
        (self.asked > self.good).then(|| self.left.get(..self.asked)).flatten()
    }

    /// How the estimate came out: `Err` with the reason when it would revert.
    pub fn answer(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.good = self.asked,
            Err(reason) => self.bad = Some((self.asked, reason)),
        }
        match &self.bad {
            // All before it pass, and with it they do not.
            Some((bad, reason)) if *bad == self.good + 1 => {
                let poison = Poison { entry: self.left.remove(self.good), reason: reason.clone() };
                self.poison.push(poison);
                self.bad = None;
            }
            _ => {}
        }
    }

    /// What is known now.
    #[must_use]
    pub fn sorted(self) -> Sorted {
        let mut passing = self.left;
        passing.truncate(self.good);
        Sorted { passing, poison: self.poison }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search against a rule that says which entry fails behind which others.
    fn search(entries: usize, fails: impl Fn(&[usize], usize) -> bool) -> (Sorted, usize) {
        let (mut bisect, mut estimates) = (Bisect::new(entries), 0);
        while let Some(asked) = bisect.ask() {
            let run = asked.iter().enumerate().find(|(i, entry)| fails(&asked[..*i], **entry));
            let outcome = run.map_or(Ok(()), |(_, entry)| Err(format!("E{entry}")));
            estimates += 1;
            bisect.answer(outcome);
        }
        (bisect.sorted(), estimates)
    }

    #[test]
    fn every_set_of_poison_is_found_exactly() {
        for entries in 0..=9_usize {
            for mask in 0..1_usize << entries {
                let (sorted, _) = search(entries, |_, entry| mask >> entry & 1 == 1);
                let poison: Vec<usize> = sorted.poison.iter().map(|poison| poison.entry).collect();
                let expected =
                    |bit| (0..entries).filter(move |entry| mask >> entry & 1 == bit).collect::<Vec<_>>();
                assert_eq!((sorted.passing, poison), (expected(0), expected(1)), "{entries} {mask:b}");
                assert!(sorted.poison.iter().all(|poison| poison.reason == format!("E{}", poison.entry)));
            }
        }
    }

    #[test]
    fn of_two_that_fail_together_the_later_one_goes() {
        let (sorted, estimates) = search(100, |before, entry| entry == 70 && before.contains(&20));
        assert_eq!(sorted.poison, [Poison { entry: 70, reason: "E70".into() }]);
        assert_eq!(sorted.passing.len(), 99);
        assert!(estimates <= 9, "{estimates}");
    }
}
