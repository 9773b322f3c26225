//! The work channel: sessions, the parked call, heartbeats, reports. Workers prove their key once
//! per session; each reports call carries one signature over its receipts.
//! Data moves straight through: the wire's lines become the store's, the writer decides, its
//! verdicts and leases go back.

use super::error::{ApiError, ApiResult};
use super::extract::Json;
use super::problems::Code;
use crate::app::App;
use crate::auth::challenge::{CHALLENGE_MS, unhex};
use crate::auth::{Principal, Scope, mint_session};
use crate::leases;
use axum::extract::State;
use axum::http::StatusCode;
use ciro_api::job::Usage;
use ciro_api::time::Time;
use ciro_api::work::{
    Challenge, Heartbeat, HeartbeatAnswer, MAX_LEASES, MAX_REPORTS, OpenSession, Outcome, Poll, Report,
    Reports, ReportsAnswer, Session, Stop, Verdict, VerdictKind, Work,
};
use ciro_core::command::Said;
use ciro_core::crash::crash_point;
use ciro_core::id::{AttemptId, Hash, SessionId, WorkerId};
use ciro_core::manifest::{
    MAX_LAYER_BYTES, MAX_LAYERS, Manifest, layers_text, report_digest, session_digest, verify_signature,
};
use ciro_store::{Clock, ReportVerdict, SessionInfo};
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The longest text of a failure or a refusal that is kept, bytes.
const MAX_MESSAGE: usize = 4_096;
/// Attempts that one heartbeat may list.
pub(crate) const MAX_HELD: usize = 4_096;

/// The routes of the work channel.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(challenge))
        .routes(routes!(open_session))
        .routes(routes!(poll))
        .routes(routes!(heartbeat))
        .routes(routes!(reports))
}

/// Makes a nonce to be signed.
#[utoipa::path(
    post, path = "/v1/work/challenges", operation_id = "create_work_challenge", tag = "work",
    security(()),
    responses((status = 201, description = "A nonce, good once for a minute.", body = Challenge))
)]
async fn challenge(State(app): State<App>) -> ApiResult<(StatusCode, axum::Json<Challenge>)> {
    let mut chance = [0; 16];
    chance[..8].copy_from_slice(&app.clock.chance().to_le_bytes());
    chance[8..].copy_from_slice(&app.clock.chance().to_le_bytes());
    let nonce = app.challenges.mint(app.now(), chance, |bytes| app.auth.sign("challenge", bytes));
    Ok((StatusCode::CREATED, axum::Json(Challenge { nonce, expires_in_ms: CHALLENGE_MS })))
}

/// Opens a session for a worker that proves its key; its earlier session ends.
///
/// A worker that is not known yet also shows a join token as its bearer token.
#[utoipa::path(
    post, path = "/v1/work/sessions", operation_id = "open_work_session", tag = "work",
    security((), ("bearer" = [])),
    request_body = OpenSession,
    responses((status = 201, description = "The session; its token speaks for the worker from now on.", body = Session))
)]
async fn open_session(
    State(app): State<App>,
    joining: Result<Principal, ApiError>,
    Json(open): Json<OpenSession>,
) -> ApiResult<(StatusCode, axum::Json<Session>)> {
    let tenant =
        joining.ok().filter(|p| p.has(Scope::WorkJoin) || p.has(Scope::WorkersWrite)).map(|p| p.tenant());
    let public_key = prove(&app, &open)?;
    if open.protocol == 0 {
        let detail =
            format!("this coordinator speaks protocol {}, the worker {}", ciro_api::PROTOCOL, open.protocol);
        return Err(ApiError::because(Code::ProtocolTooOld, detail));
    }
    if open.held.len() > MAX_HELD || open.name.len() > 100 {
        return Err(ApiError::because(
            Code::BadParameter,
            format!("at most {MAX_HELD} held attempts, a name of 100 bytes"),
        ));
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| super::error::internal(&error))?;
    let token = mint_session(secret);
    let session_id = SessionId(Uuid::now_v7());
    let opened = app
        .store
        .session_open(ciro_store::OpenSession {
            public_key,
            tenant,
            name: open.name,
            capabilities: open.capabilities,
            worker_id: WorkerId(Uuid::now_v7()),
            session_id,
            token_hash: app.auth.hash(&token),
            held: open.held,
        })
        .await
        .map_err(|error| match error {
            ciro_store::Error::NotFound => ApiError::because(
                Code::Unauthorized,
                "the worker is not known here, or barred; show a join token",
            ),
            other => other.into(),
        })?;
    let session = Session {
        session: session_id,
        worker: opened.worker_id,
        token,
        protocol: ciro_api::PROTOCOL.min(open.protocol),
        heartbeat_ms: app.config.lease.heartbeat_ms(opened.ttl_ms),
        ttl_ms: opened.ttl_ms,
        unknown: opened.unknown,
    };
    Ok((StatusCode::CREATED, axum::Json(session)))
}

/// The key that the worker has proved to hold.
fn prove(app: &App, open: &OpenSession) -> ApiResult<[u8; 32]> {
    let refused = |what: &str| ApiError::because(Code::Unauthorized, what.to_owned());
    let seal = |bytes: &[u8]| app.auth.sign("challenge", bytes);
    let nonce = app.challenges.redeem(&open.nonce, app.now(), seal).ok_or_else(|| {
        refused("the nonce is not one of this coordinator's, is older than a minute, or was used")
    })?;
    let key: [u8; 32] = fixed(&open.public_key).ok_or_else(|| refused("public_key is not 64 hex digits"))?;
    let signature = fixed(&open.signature).ok_or_else(|| refused("signature is not 128 hex digits"))?;
    if verify_signature(&key, &session_digest(&nonce, &key), &signature) {
        Ok(key)
    } else {
        Err(refused("the signature is not this key's over this nonce"))
    }
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text)?.try_into().ok()
}

/// Waits for leases or stops: the one parked call of a worker.
#[utoipa::path(
    post, path = "/v1/work/poll", operation_id = "poll_work", tag = "work",
    security(("bearer" = [])),
    request_body = Poll,
    responses((status = 200, description = "Leases, stops, or nothing after the wait.", body = Work))
)]
async fn poll(
    State(app): State<App>,
    principal: Principal,
    Json(poll): Json<Poll>,
) -> ApiResult<axum::Json<Work>> {
    let session = principal.session()?.session;
    let wait = Duration::from_millis(poll.wait_ms.min(ciro_api::MAX_WAIT_MS));
    let call = ciro_store::Poll { session, max: poll.max.min(MAX_LEASES) };
    let answer = app.store.poll(call, poll.ack)?;
    let work = tokio::select! {
        biased;
        () = app.tasks.draining() => ciro_store::Work::default(),
        answered = tokio::time::timeout(wait, answer) => match answered {
            Ok(Ok(work)) => work?,
            Ok(Err(_)) => return Err(ciro_store::Error::Stopped.into()),
            Err(_) => ciro_store::Work::default(),
        },
    };
    shape(&app, work).await.map(axum::Json)
}

async fn shape(app: &App, work: ciro_store::Work) -> ApiResult<Work> {
    if work.delivery.is_some() {
        crash_point("grant.committed");
    }
    Ok(Work {
        delivery: work.delivery,
        leases: leases::assemble(app, &work.leases).await?,
        stop: stops(work.stop),
        drain: work.drain,
        server_time: Time(app.now()),
    })
}

fn stops(told: Vec<(AttemptId, u64)>) -> Vec<Stop> {
    told.into_iter().map(|(attempt, grace_ms)| Stop { attempt, grace_ms }).collect()
}

/// Renews all leases of the session.
#[utoipa::path(
    post, path = "/v1/work/heartbeat", operation_id = "heartbeat_work", tag = "work",
    security(("bearer" = [])),
    request_body = Heartbeat,
    responses((status = 200, description = "What to stop, and what is not this worker's any more.", body = HeartbeatAnswer))
)]
async fn heartbeat(
    State(app): State<App>,
    principal: Principal,
    Json(beat): Json<Heartbeat>,
) -> ApiResult<axum::Json<HeartbeatAnswer>> {
    let session = principal.session()?.session;
    if beat.attempts.len() > MAX_HELD {
        return Err(ApiError::because(
            Code::BadParameter,
            format!("a heartbeat lists at most {MAX_HELD} attempts"),
        ));
    }
    let progress = |p: &ciro_api::work::Progress| {
        p.cpu_ms.wrapping_mul(1_001).wrapping_add(u64::from(p.done_permille.unwrap_or(0)))
    };
    let held = beat.attempts.iter().map(|p| (p.attempt, progress(p))).collect();
    let answer = app.store.heartbeat(ciro_store::Heartbeat { session, held }, beat.ack).await?;
    Ok(axum::Json(HeartbeatAnswer {
        stop: stops(answer.stop),
        unknown: answer.unknown,
        drain: answer.drain,
        unparked: beat.parked.is_some_and(|max| answer.parked != Some(max.min(MAX_LEASES))),
        ttl_ms: answer.ttl_ms,
        server_time: Time(app.now()),
    }))
}

/// Records what became of attempts, one verdict each, and hands out new leases on request.
#[utoipa::path(
    post, path = "/v1/work/reports", operation_id = "report_work", tag = "work",
    security(("bearer" = [])),
    request_body = Reports,
    responses((status = 200, description = "One verdict per report, in order, and new leases.", body = ReportsAnswer))
)]
async fn reports(
    State(app): State<App>,
    principal: Principal,
    Json(call): Json<Reports>,
) -> ApiResult<axum::Json<ReportsAnswer>> {
    let info = principal.session()?;
    if call.reports.len() > MAX_REPORTS {
        return Err(ApiError::because(
            Code::BadParameter,
            format!("a call carries at most {MAX_REPORTS} reports"),
        ));
    }
    let signed = signed_receipts(info, &call)?;
    let mut named = Vec::with_capacity(call.reports.len());
    let mut lines = Vec::with_capacity(call.reports.len());
    for report in call.reports {
        let attempt = report.attempt;
        match line(report) {
            Ok(line) => {
                lines.push(line);
                named.push((attempt, None));
            }
            Err(why) => named.push((attempt, Some(why))),
        }
    }
    let request = ciro_store::Reports {
        session: info.session,
        reports: lines,
        signed,
        take: call.take.min(MAX_LEASES),
    };
    crash_point("report.parsed");
    let reported = app.store.reports(request, call.ack).await?;
    crash_point("report.committed");
    let mut decided = reported.verdicts.into_iter();
    let verdicts = named.into_iter().map(|(attempt, wrong)| verdict(attempt, wrong, &mut decided)).collect();
    let work = shape(&app, reported.work).await?;
    Ok(axum::Json(ReportsAnswer { verdicts, work }))
}

/// The receipts of a call and the signature that covers them.
fn signed_receipts(info: &SessionInfo, call: &Reports) -> ApiResult<Option<(Vec<Hash>, [u8; 64])>> {
    if call.reports.is_empty() {
        return Ok(None);
    }
    let receipts: Vec<Hash> = call.reports.iter().map(Report::receipt_hash).collect();
    let wrong =
        || ApiError::because(Code::ValidationFailed, "the signature is not the worker's over these receipts");
    let signature = fixed(&call.signature).ok_or_else(wrong)?;
    let digest = report_digest(&info.id.to_string(), &receipts);
    if verify_signature(&info.worker.public_key, &digest, &signature) {
        Ok(Some((receipts, signature)))
    } else {
        Err(wrong())
    }
}

/// A line as the store takes it, or what is wrong with it.
fn line(report: Report) -> Result<ciro_store::Report, String> {
    let layers = layers_text(&report.layers).ok_or_else(|| {
        format!("layers are at most {MAX_LAYERS} names of at most {MAX_LAYER_BYTES} plain characters")
    })?;
    let ran = matches!(report.outcome, Outcome::Succeeded { .. } | Outcome::Failed { .. });
    if !ran && report.usage != Usage::default() {
        return Err("what came to no end of its own has no usage".to_owned());
    }
    let usage = report.usage.into();
    let mut artifacts = Vec::new();
    let said = match report.outcome {
        Outcome::Started => Said::Started,
        Outcome::Succeeded { manifest } => {
            let parsed = Manifest::parse(&manifest).map_err(|error| error.to_string())?;
            if parsed.exit_code != 0 {
                return Err(format!("a success with exit code {}", parsed.exit_code));
            }
            artifacts = parsed.outputs.iter().map(|f| f.blake3).collect();
            Said::Succeeded { hash: Hash::of(manifest.as_bytes()), manifest, usage }
        }
        Outcome::Failed { class, message, exit_code } => {
            Said::Failed { class, message: clip(message), exit_code, usage }
        }
        Outcome::Declined { reason } => Said::Declined { reason: clip(reason) },
        Outcome::Released => Said::Released,
    };
    Ok(ciro_store::Report {
        attempt: report.attempt,
        said,
        artifacts,
        profile: report.profile,
        input: report.input,
        layers: layers.into(),
        price: report.price,
    })
}

fn clip(mut text: String) -> String {
    let end = (0..=MAX_MESSAGE.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text.truncate(end);
    text
}

fn verdict(
    attempt: AttemptId,
    wrong: Option<String>,
    decided: &mut impl Iterator<Item = ReportVerdict>,
) -> Verdict {
    use ciro_core::command::Verdict as Engine;
    let (verdict, detail) = match wrong {
        Some(why) => (VerdictKind::Invalid, Some(why)),
        None => match decided.next() {
            Some(ReportVerdict::Engine(Engine::Accepted)) => (VerdictKind::Accepted, None),
            Some(ReportVerdict::Engine(Engine::Recorded)) => (VerdictKind::Recorded, None),
            Some(ReportVerdict::ArtifactMissing(hash)) => {
                (VerdictKind::ArtifactMissing, Some(hash.to_string()))
            }
            Some(ReportVerdict::WrongProfile) => {
                (VerdictKind::Invalid, Some("it was run under another profile than the job's".to_owned()))
            }
            Some(ReportVerdict::WrongPrice) => {
                (VerdictKind::Invalid, Some("it names another price than its lease".to_owned()))
            }
            Some(ReportVerdict::Engine(Engine::LeaseLost)) | None => (VerdictKind::LeaseLost, None),
        },
    };
    Verdict { attempt, verdict, detail }
}
