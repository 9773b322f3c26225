//! Who is believed: judges what the nodes showed, against what was configured and against each
//! other. Pure. The order of the endpoints is the order of trust: where two contradict each other
//! and nothing else decides, the earlier one is believed.

use super::probe::Sight;
use crate::network::ChainId;
use starknet_rust_core::types::Felt;

/// The versions of the JSON-RPC specification that are spoken here.
const SPEC: &str = "0.10.";

/// What is thought of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not looked at, or it did not answer when it was.
    Unknown,
    /// It may be asked.
    Good,
    /// It is not asked, because of this.
    Demoted(String),
}

/// Judges each sight (`None`: no answer): chain, specification, then how far its head is behind.
/// With three or more, the second highest head is what the others are measured by, so that one
/// node that claims too much cannot have the honest ones demoted.
pub(super) fn judge(wanted: Option<ChainId>, max_lag: u64, sights: &[Option<&Sight>]) -> Vec<Standing> {
    let chain = wanted.or_else(|| sights.iter().flatten().map(|sight| sight.chain).next());
    let fits = |sight: &Sight| misfit(sight, chain).is_none();
    let mut heads: Vec<u64> = sights
        .iter()
        .flatten()
        .filter(|sight| fits(sight))
        .map(|sight| sight.head.map_or(0, |head| head.number))
        .collect();
    heads.sort_unstable_by(|a, b| b.cmp(a));
    let measure = heads.get(usize::from(heads.len() > 2)).copied().unwrap_or_default();
    sights.iter().map(|sight| one(*sight, chain, measure, max_lag)).collect()
}

fn one(sight: Option<&Sight>, chain: Option<ChainId>, measure: u64, max_lag: u64) -> Standing {
    let Some(sight) = sight else { return Standing::Unknown };
    if let Some(words) = misfit(sight, chain) {
        return Standing::Demoted(words);
    }
    let head = sight.head.map_or(0, |head| head.number);
    if measure.saturating_sub(head) > max_lag {
        return Standing::Demoted(format!(
            "its head {head} is {} blocks behind the others' ({max_lag} are permitted)",
            measure - head
        ));
    }
    if head.saturating_sub(measure) > max_lag {
        return Standing::Demoted(format!("it claims the head {head}, and the others are at {measure}"));
    }
    Standing::Good
}

fn misfit(sight: &Sight, chain: Option<ChainId>) -> Option<String> {
    match chain {
        Some(chain) if chain != sight.chain => {
            return Some(format!("it serves the chain {}, and {chain} is meant", sight.chain));
        }
        _ => {}
    }
    (!sight.spec.starts_with(SPEC))
        .then(|| format!("it speaks JSON-RPC specification {}, and {SPEC}x is needed", sight.spec))
}

/// Demotes those that have another block at `number` than most of the others; without a majority,
/// than the first. `hashes` has one entry an endpoint, `None` where it is not asked or not known.
pub(super) fn agree(standings: &mut [Standing], number: u64, hashes: &[Option<Felt>]) {
    let votes = |hash: &Felt| hashes.iter().flatten().filter(|other| *other == hash).count();
    let Some(first) = hashes.iter().flatten().next() else { return };
    // Of those with the most votes the first one.
    let believed =
        hashes.iter().flatten().fold(first, |best, hash| if votes(hash) > votes(best) { hash } else { best });
    for (standing, hash) in standings.iter_mut().zip(hashes) {
        if let Some(hash) = hash.filter(|hash| hash != believed) {
            *standing = Standing::Demoted(format!(
                "its block {number} is {hash:#x}, and the others have {believed:#x}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::probe::Head;
    use super::*;

    fn sight(chain: ChainId, spec: &str, number: u64) -> Sight {
        Sight { chain, spec: spec.into(), head: Some(Head { number, hash: Felt::from(number) }) }
    }

    fn at(number: u64) -> Sight {
        sight(ChainId::SEPOLIA, "0.10.2", number)
    }

    fn names(standings: &[Standing]) -> String {
        let letter = |standing: &Standing| match standing {
            Standing::Unknown => '?',
            Standing::Good => '+',
            Standing::Demoted(_) => '-',
        };
        standings.iter().map(letter).collect()
    }

    #[test]
    fn each_lie_is_found() {
        let good = at(100);
        let table = [
            (vec![Some(at(100)), None], "+?"),
            (vec![Some(sight(ChainId::MAINNET, "0.10.2", 100)), Some(at(100))], "-+"),
            (vec![Some(sight(ChainId::SEPOLIA, "0.9.0", 100)), Some(at(100))], "-+"),
            (vec![Some(at(95)), Some(at(100))], "++"),
            (vec![Some(at(94)), Some(at(100))], "-+"),
            (vec![Some(at(9_999)), Some(at(100)), Some(at(99))], "-++"),
            (vec![Some(at(1)), Some(at(100)), Some(at(99))], "-++"),
            (vec![Some(Sight { head: None, ..good }), Some(at(3))], "++"),
        ];
        for (sights, expected) in table {
            let seen: Vec<_> = sights.iter().map(Option::as_ref).collect();
            assert_eq!(names(&judge(Some(ChainId::SEPOLIA), 5, &seen)), expected, "{sights:?}");
        }
    }

    #[test]
    fn without_a_chain_in_the_settings_the_first_one_decides() {
        let (first, second) = (sight(ChainId::MAINNET, "0.10.0", 1), at(1));
        assert_eq!(names(&judge(None, 5, &[None, Some(&first), Some(&second)])), "?+-");
    }

    #[test]
    fn who_has_another_block_is_demoted() {
        let felts =
            |hashes: &[u8]| hashes.iter().map(|hash| (*hash > 0).then(|| Felt::from(*hash))).collect();
        for (hashes, expected) in
            [([1, 1, 1], "+++"), ([2, 1, 1], "-++"), ([1, 2, 0], "+-+"), ([0, 0, 0], "+++")]
        {
            let hashes: Vec<Option<Felt>> = felts(&hashes);
            let mut standings = vec![Standing::Good; 3];
            agree(&mut standings, 7, &hashes);
            assert_eq!(names(&standings), expected, "{hashes:?}");
        }
    }
}
