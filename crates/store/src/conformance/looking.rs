//! Jobs that are to be compared with the chain: when they are due, what is known of both sides then, and
//! that whoever looked at an older state writes nothing.

use super::Told;
use super::payments::from_deposit;
use super::world::{World, spec};
use crate::{Looked, NewIntent};
use ciro_core::amount::Fri;
use ciro_core::command::Command;
use ciro_core::id::JobKey;
use ciro_core::job::SettlementState;
use ciro_core::money::decide::{Sent, SentState};
use ciro_core::time::Timestamp;

pub(super) use super::payments::tune;

fn intent(job: JobKey, generation: u32, now: Timestamp) -> NewIntent {
    NewIntent {
        dedupe: format!("assign:0x1:{generation}"),
        kind: "assign".into(),
        job: Some(job),
        calls: "[]".into(),
        felts: 5,
        l2_gas: 1,
        now,
    }
}

pub(super) async fn who_looked_at_an_older_state_writes_nothing(mut w: World) -> Told {
    let id = w.submit_paid(spec(), from_deposit(100, false, 1)).await?;
    let job = w.key(id).await?;
    let (cursor, due) = w.store.escrows_due(w.now(), 10).await?;
    assert!(cursor.is_none() && due.len() == 1, "a new deposit is looked at");
    let look = &due[0];
    assert_eq!((look.job.id, look.job.settlement.state), (id, SettlementState::Locking));
    assert!(look.chain.is_none() && look.sent.is_empty() && look.trouble.is_none());
    assert_eq!(look.job.escrow.as_ref().and_then(|escrow| escrow.deposit).map(|d| d.id), Some([1; 32]));

    let later = w.now().plus_ms(5_000);
    let looked = Looked {
        job,
        wakes: look.wakes,
        look_at: Some(later),
        trouble: Some("it is not there".into()),
        intent: Some(intent(job, 3, w.now())),
    };
    let older = Looked { wakes: look.wakes + 1, ..looked.clone() };
    assert_eq!(w.store.escrows_looked(vec![older]).await?, 0);
    assert_eq!(w.store.escrows_due(w.now(), 10).await?.1.len(), 1);
    for new in [1, 0] {
        assert_eq!(w.store.escrows_looked(vec![looked.clone()]).await?, new, "an intent is one");
    }
    assert!(w.store.escrows_due(w.now(), 10).await?.1.is_empty());
    // What is asked for will be at risk, and is once the job has begun.
    let exposure = w.store.chain_exposure().await?;
    assert_eq!((exposure.jobs, exposure.amount, exposure.promised), (0, Fri(0), Fri(100)));
    let (_, due) = w.store.escrows_due(later, 10).await?;
    let sent: Vec<_> = due[0].sent.iter().map(|sent| (sent.kind.as_str(), sent.sent)).collect();
    assert_eq!(sent, [("assign", Sent { generation: 3, state: SentState::UnderWay })]);
    assert!(due[0].is_promised() && !look.is_promised());
    let (open, seen) = (w.store.escrows_open().await?, w.store.escrow_seen(job).await?);
    assert_eq!((open.open, open.troubled, seen), (1, 1, (None, Some("it is not there".to_owned()))));

    w.store.escrows_look_now(w.now()).await?;
    assert_eq!(w.store.escrows_due(w.now(), 10).await?.1.len(), 1, "whatever was thought of it");
    w.store.escrows_looked(vec![looked.clone()]).await?;

    // Its money moves, and it is due in the same moment.
    w.store.command(Command::Fund { job }).await?;
    let exposure = w.store.chain_exposure().await?;
    assert_eq!((exposure.jobs, exposure.amount, exposure.promised), (1, Fri(100), Fri(0)));
    let (_, due) = w.store.escrows_due(w.now(), 10).await?;
    assert_eq!((due[0].job.settlement.state, due[0].wakes), (SettlementState::Locked, looked.wakes + 1));
    let done = Looked { wakes: due[0].wakes, look_at: None, trouble: None, intent: None, ..looked };
    w.store.escrows_looked(vec![done]).await?;
    assert_eq!(w.store.escrows_open().await?, crate::OpenEscrows::default());
    Ok(())
}
