//! The network between everybody: how long a message takes, and what faults make of it.

use super::{Event, World};
use crate::dice::Dice;
use crate::fault::FaultKind;
use crate::plan::Fault;
use crate::wire::{Address, Body, Call, Message};
use ciro_core::command::Said;

impl World<'_> {
    pub(super) fn send_all(&mut self, messages: Vec<Message>) {
        messages.into_iter().for_each(|message| self.send(message));
    }

    pub(super) fn send(&mut self, message: Message) {
        self.count_failures(&message);
        let (from, to) = (message.from, message.to);
        let answer = u64::from(matches!(message.body, Body::Answer(_)));
        let name = [0x4e, rank(from), rank(to), message.call, answer];
        let mut dice = Dice::of(self.plan.seed, &name);
        let mut takes = dice.between(1, 25) * 1_000;
        let mut copies = 1;
        let weather: Vec<Fault> = self.weather.values().copied().collect();
        // What the operator wants, and what it is told, does not go over this network.
        for fault in weather.into_iter().filter(|_| from != Address::Operator && to != Address::Operator) {
            match fault.kind {
                FaultKind::Loss if dice.happens(100 + fault.force / 2) => copies = 0,
                FaultKind::Partition if cuts(&fault, from, to) => copies = 0,
                FaultKind::Duplicate if dice.happens(300) => copies = 2,
                FaultKind::Delay if dice.happens(250) => takes += dice.between(1_000, 9_000) * 1_000,
                FaultKind::Reorder => {
                    takes += dice.below(400) * 1_000;
                    continue;
                }
                _ => continue,
            }
            self.hits.hit(fault.kind);
            self.trace.say(self.now, || {
                format!("{} {} of {from} to {to}: {}", what(&message), message.call, fault.kind.name())
            });
        }
        for copy in 0..copies {
            let at = self.now + takes + copy * dice.between(1, 3_000) * 1_000;
            let last = self.links.entry((from, to)).or_default();
            let overtakes = *last > at;
            *last = at.max(*last);
            if overtakes && self.weather.values().any(|f| f.kind == FaultKind::Reorder) {
                self.hits.hit(FaultKind::Reorder);
            }
            self.at(at, Event::Arrive(Box::new(message.clone())));
        }
    }

    /// A worker in a bad state shows it by what it says.
    pub(super) fn count_failures(&mut self, message: &Message) {
        let (Address::Worker(no), Body::Call(Call::Reports { lines, .. })) = (message.from, &message.body)
        else {
            return;
        };
        let kinds: Vec<FaultKind> =
            self.weather.values().filter(|f| f.worker == no).map(|f| f.kind).collect();
        for (_, said) in lines {
            let shows = match said {
                Said::Failed { .. } => FaultKind::WorkerFails,
                Said::Declined { .. } | Said::Released => FaultKind::WorkerRefuses,
                _ => continue,
            };
            if kinds.contains(&shows) {
                self.hits.hit(shows);
            }
        }
    }
}

pub(super) fn rank(who: Address) -> u64 {
    match who {
        Address::Coordinator => 0,
        Address::Operator => 1,
        Address::Client(no) => 2 + u64::from(no),
        Address::Worker(no) => 100 + u64::from(no),
    }
}

fn cuts(fault: &Fault, from: Address, to: Address) -> bool {
    let worker = Address::Worker(fault.worker);
    let (up, down) = (from == worker, to == worker);
    match fault.force % 3 {
        0 => up || down,
        1 => up,
        _ => down,
    }
}

pub(super) fn what(message: &Message) -> &'static str {
    match &message.body {
        Body::Call(call) => call.name(),
        Body::Answer(Ok(_)) => "answer",
        Body::Answer(Err(_)) => "refusal",
    }
}
