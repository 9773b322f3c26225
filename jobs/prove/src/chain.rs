//! The chain, and the rules by which a table of its steps is checked.
//!
//! A link is `h' = P(h) + h` over the numbers modulo 2^128 - 45 * 2^40 + 1, where P is 127 rounds of
//! `x -> (x + c)^3`, each with a constant of its own (MiMC, made one-way as Davies and Meyer do).
//! In the table a link takes 128 rows of two columns: `x` on its way through the rounds, and the
//! `h` that is added in the last row.

use winterfell::crypto::{Digest, Hasher, hashers::Blake3_256};
use winterfell::math::{FieldElement, StarkField, ToElements, fields::f128::BaseElement};
use winterfell::{
    Air, AirContext, Assertion, EvaluationFrame, ProofOptions, TraceInfo, TraceTable, TransitionConstraintDegree,
};

/// Rows of a link: rounds, and one that adds.
pub(crate) const ROWS: usize = 128;
pub(crate) const MAX_LINKS: u64 = (1 << 13) - 1;

/// What is claimed: so many links lead from one number to the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) start: BaseElement,
    pub(crate) links: u64,
    pub(crate) result: BaseElement,
}

impl ToElements<BaseElement> for Claim {
    fn to_elements(&self) -> Vec<BaseElement> {
        vec![self.start, BaseElement::from(self.links as u32), self.result]
    }
}

/// Constants that nobody could choose: from the hash of their number.
pub(crate) fn constants() -> Vec<BaseElement> {
    let constant = |round: usize| {
        let hash = Blake3_256::<BaseElement>::hash(format!("ciro prove round {round}").as_bytes());
        let bytes = hash.as_bytes();
        let low: [u8; 16] = std::array::from_fn(|at| bytes[at]);
        BaseElement::new(u128::from_le_bytes(low) % BaseElement::MODULUS)
    };
    (0..ROWS).map(constant).collect()
}

fn cube(x: BaseElement) -> BaseElement {
    x * x * x
}

/// So many links from `start`.
pub(crate) fn walk(start: BaseElement, links: u64) -> BaseElement {
    let constants = constants();
    let mut h = start;
    for _ in 0..links {
        h += constants[..ROWS - 1].iter().fold(h, |x, c| cube(x + *c));
    }
    h
}

/// The table of a claim: its length is a power of two, and holds the row behind the last link.
pub(crate) fn table(start: BaseElement, links: u64) -> TraceTable<BaseElement> {
    let constants = constants();
    let length = ((links as usize + 1) * ROWS).next_power_of_two();
    let mut table = TraceTable::new(2, length);
    table.fill(
        |row| row.fill(start),
        |number, row| {
            let round = number % ROWS;
            if round == ROWS - 1 {
                let sum = row[0] + row[1];
                row.fill(sum);
            } else {
                row[0] = cube(row[0] + constants[round]);
            }
        },
    );
    table
}

/// The rules.
pub(crate) struct ChainAir {
    context: AirContext<BaseElement>,
    claim: Claim,
}

impl Air for ChainAir {
    type BaseField = BaseElement;
    type PublicInputs = Claim;

    fn new(info: TraceInfo, claim: Claim, options: ProofOptions) -> Self {
        let degrees = vec![
            TransitionConstraintDegree::with_cycles(3, vec![ROWS]),
            TransitionConstraintDegree::with_cycles(1, vec![ROWS]),
        ];
        ChainAir { context: AirContext::new(info, degrees, 3, options), claim }
    }

    fn evaluate_transition<E: FieldElement + From<BaseElement>>(
        &self,
        frame: &EvaluationFrame<E>,
        periodic: &[E],
        result: &mut [E],
    ) {
        let (constant, adds) = (periodic[0], periodic[1]);
        let (now, next) = (frame.current(), frame.next());
        let turned = now[0] + constant;
        let round = turned * turned * turned;
        result[0] = next[0] - (round + adds * (now[0] + now[1] - round));
        result[1] = next[1] - (now[1] + adds * now[0]);
    }

    fn get_periodic_column_values(&self) -> Vec<Vec<BaseElement>> {
        let mut adds = vec![BaseElement::ZERO; ROWS];
        adds[ROWS - 1] = BaseElement::ONE;
        vec![constants(), adds]
    }

    fn get_assertions(&self) -> Vec<Assertion<BaseElement>> {
        let end = self.claim.links as usize * ROWS;
        vec![
            Assertion::single(0, 0, self.claim.start),
            Assertion::single(1, 0, self.claim.start),
            Assertion::single(0, end, self.claim.result),
        ]
    }

    fn context(&self) -> &AirContext<BaseElement> {
        &self.context
    }
}
