//! What a worker says of an attempt, and attempts that are taken away.
//! Invariant: a report changes something only while its attempt is live and is the worker's own;
//! the same report again is answered the same, anything else is `lease_lost`.

use super::end::{Ending, end_attempt};
use super::{Change, Context, Evidence, Rows};
use crate::amount::Fri;
use crate::attempt::{Attempt, AttemptState, Outcome, Signed};
use crate::command::{Refusal, Revocation, Said, Verdict};
use crate::event::JobEvent;
use crate::id::{AttemptKey, WorkerKey};
use crate::mutant::{Mutant, planted};
use crate::retry::FailureClass;

/// A report as it came.
pub(super) struct Told<'a> {
    pub(super) attempt: AttemptKey,
    pub(super) worker: WorkerKey,
    pub(super) said: &'a Said,
    pub(super) price: Fri,
    pub(super) signed: Option<&'a Signed>,
}

pub(super) fn report(rows: &Rows<'_>, told: &Told<'_>, cx: &Context<'_>) -> Result<Change, Refusal> {
    let Told { attempt: key, worker, said, price, signed } = *told;
    // What is said of an attempt that never was proves nothing, and to keep it would have no bound.
    let Some(attempt) = named(rows, key) else { return Ok(answer(Verdict::LeaseLost)) };
    if attempt.worker != worker && !planted(Mutant::NoFenceCheck) {
        return Ok(lease_lost(key, worker, said));
    }
    let goes_on = || rows.task(key.task).is_ok_and(|task| !task.state.is_ended());
    let revived = planted(Mutant::RevivedAttempt) && attempt.state == AttemptState::Lost && goes_on();
    if !attempt.state.is_live() && !revived {
        let repeated = says_again(attempt, said);
        return Ok(repeated.map_or_else(|| lease_lost(key, worker, said), answer));
    }
    // Receipt and row would not say the same.
    if attempt.price != price {
        return Err(Refusal::WrongPrice);
    }
    match said {
        Said::Started if attempt.state == AttemptState::Leased => started(rows, attempt, cx),
        Said::Started => Ok(answer(Verdict::Recorded)),
        said => {
            let (ending, verdict) = ending(said);
            let mut change = end_attempt(rows, attempt, &ending, cx)?;
            change.verdict = Some(verdict);
            if let Some(ended) = change.attempts.iter_mut().find(|a| a.key == attempt.key) {
                ended.signed = signed.cloned();
            }
            Ok(change)
        }
    }
}

/// The attempt that a report is about: that of its fence.
fn named<'a>(rows: &Rows<'a>, key: AttemptKey) -> Option<&'a Attempt> {
    let live = planted(Mutant::NoFenceCheck).then(|| rows.live_attempts(key.task).next()).flatten();
    live.or_else(|| rows.attempt(key).ok())
}

pub(super) fn revoke(
    rows: &Rows<'_>,
    key: AttemptKey,
    why: Revocation,
    cx: &Context<'_>,
) -> Result<Change, Refusal> {
    let attempt = rows.attempt(key)?;
    if !attempt.state.is_live() {
        return Err(Refusal::AlreadyEnded);
    }
    let (state, class, message) = match why {
        Revocation::Expired => (AttemptState::Lost, Some(FailureClass::Lost), "the lease ran out"),
        Revocation::Forgotten => {
            (AttemptState::Lost, Some(FailureClass::Lost), "the worker restarted without it")
        }
        Revocation::Stalled => {
            (AttemptState::Failed, Some(FailureClass::Infra), "neither progress nor CPU time moved")
        }
        Revocation::Undelivered => (AttemptState::Released, None, "the lease was never acknowledged"),
        Revocation::Removed => (AttemptState::Released, None, "the worker was removed"),
        Revocation::Restored => (AttemptState::Lost, None, "the database was restored from a backup"),
    };
    let outcome = Outcome { class, message: message.into(), ..Outcome::default() };
    end_attempt(rows, attempt, &Ending { state, class, outcome }, cx)
}

fn answer(verdict: Verdict) -> Change {
    Change { verdict: Some(verdict), ..Change::default() }
}

/// The verdict that an identical report got the first time.
fn says_again(attempt: &Attempt, said: &Said) -> Option<Verdict> {
    let outcome = attempt.outcome.as_ref();
    match said {
        Said::Succeeded { hash, .. } => {
            let same = outcome.and_then(|o| o.manifest_hash) == Some(*hash);
            (same && attempt.state == AttemptState::Accepted).then_some(Verdict::Accepted)
        }
        Said::Failed { class, .. } => {
            let same = outcome.and_then(|o| o.class) == Some(*class);
            (same && attempt.state == AttemptState::Failed).then_some(Verdict::Recorded)
        }
        Said::Declined { .. } => (attempt.state == AttemptState::Declined).then_some(Verdict::Recorded),
        Said::Released => (attempt.state == AttemptState::Released).then_some(Verdict::Recorded),
        Said::Started => None,
    }
}

fn lease_lost(key: AttemptKey, worker: WorkerKey, said: &Said) -> Change {
    let evidence = match said {
        Said::Succeeded { manifest, .. } => {
            Some(Evidence { attempt: key, worker, manifest: manifest.clone() })
        }
        _ => None,
    };
    Change { evidence, verdict: Some(Verdict::LeaseLost), ..Change::default() }
}

fn started(rows: &Rows<'_>, attempt: &Attempt, cx: &Context<'_>) -> Result<Change, Refusal> {
    let job = rows.job()?.next(cx.now);
    let mut running = attempt.clone();
    running.state = AttemptState::Running;
    running.started_at = Some(cx.now);
    let event = JobEvent::Started { task: attempt.key.task.no, fence: attempt.key.fence };
    Ok(Change {
        job: Some(job),
        attempts: vec![running],
        event: Some(event),
        verdict: Some(Verdict::Recorded),
        ..Change::default()
    })
}

/// How an attempt ends by what its worker said. `Started` is not an end and is handled before.
fn ending(said: &Said) -> (Ending, Verdict) {
    match said {
        Said::Succeeded { hash, manifest, usage } => {
            let outcome = Outcome {
                manifest_hash: Some(*hash),
                manifest: Some(manifest.clone()),
                exit_code: Some(0),
                usage: *usage,
                ..Outcome::default()
            };
            let ending = Ending { state: AttemptState::Accepted, class: None, outcome };
            (ending, Verdict::Accepted)
        }
        Said::Failed { class, message, exit_code, usage } => {
            let outcome = Outcome {
                class: Some(*class),
                message: message.clone(),
                exit_code: *exit_code,
                usage: *usage,
                ..Outcome::default()
            };
            let ending = Ending { state: AttemptState::Failed, class: Some(*class), outcome };
            (ending, Verdict::Recorded)
        }
        Said::Declined { reason } => {
            let outcome = Outcome { message: reason.clone(), ..Outcome::default() };
            (Ending { state: AttemptState::Declined, class: None, outcome }, Verdict::Recorded)
        }
        Said::Released | Said::Started => {
            let outcome = Outcome::default();
            (Ending { state: AttemptState::Released, class: None, outcome }, Verdict::Recorded)
        }
    }
}
