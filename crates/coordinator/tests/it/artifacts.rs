//! Artifacts: sent in pieces, read in ranges, seen by whoever was granted them.

use crate::env::{Env, declared, until};
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use ciro_api::client::{Error, PutError};
use ciro_core::id::Hash;
use std::fs::File;
use std::io::Cursor;
use std::time::Duration;

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 255) as u8).collect()
}

fn code(error: &Error) -> (u16, &str) {
    (error.status().unwrap_or_default(), error.code().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_stopped_even_behind_a_restart() {
    let mut env = Env::start().await;
    let bytes = sample(3_000_000);
    let new = declared(&bytes);
    let path = format!("/v1/artifacts/{}", new.blake3);
    let declared = env.client.artifact_declare(&new).await.unwrap();
    assert!(!declared.stored && declared.offset == 0 && declared.url == path);

    let there = env.client.artifact_append(&new, 0, Bytes::from(bytes[..1_500_000].to_vec())).await.unwrap();
    assert!(!there.stored && there.offset == 1_500_000);
    let misfit = env.client.artifact_append(&new, 7, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(code(&misfit), (409, "offset_mismatch"));
    let Error::Problem { problem, .. } = misfit else { panic!() };
    assert_eq!(problem.errors[0].detail, "1500000", "the right offset is named");

    env.restart().await;
    let head = env.client.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["upload-offset"]),
        (StatusCode::OK, &"1500000".parse().unwrap())
    );
    let long = [&bytes[1_500_000..], b"x"].concat();
    let too_long = env.client.artifact_append(&new, 1_500_000, Bytes::from(long)).await.unwrap_err();
    assert_eq!(code(&too_long), (413, "body_too_large"));
    let at = env.client.artifact_declare(&new).await.unwrap().offset;
    let stored =
        env.client.artifact_append(&new, at, Bytes::from(bytes[at as usize..].to_vec())).await.unwrap();
    assert!(stored.stored && stored.expires_at.is_some());
    let again = env.client.artifact_append(&new, new.size, Bytes::new()).await.unwrap();
    assert!(again.stored, "a lost answer may be asked for again");

    let whole = env.client.request(Method::GET, &path).send().await.unwrap();
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), bytes);
    let part = env.client.request(Method::GET, &path).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 10-19/3000000");
    assert_eq!(part.bytes().await.unwrap(), bytes[10..20]);
    let outside =
        env.client.request(Method::GET, &path).header("range", "bytes=3000000-").send().await.unwrap();
    assert_eq!(
        (outside.status().as_u16(), &outside.headers()["content-range"]),
        (416, &"bytes */3000000".parse().unwrap())
    );
    let known = env.client.request(Method::GET, &path).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_other_than_declared_are_dropped() {
    let env = Env::start().await;
    let new = declared(b"what was promised");
    env.client.artifact_declare(&new).await.unwrap();
    let refused =
        env.client.artifact_append(&new, 0, Bytes::from_static(b"something else...")).await.unwrap_err();
    assert_eq!(code(&refused), (422, "hash_mismatch"));
    let gone = env.client.artifact_append(&new, 17, Bytes::new()).await.unwrap_err();
    assert_eq!(code(&gone), (404, "artifact_not_found"));
    assert_eq!(env.data_dir().join("uploads").read_dir().unwrap().count(), 0);
    assert_eq!(env.client.artifact_declare(&new).await.unwrap().offset, 0);
    assert_eq!(env.put(b"").await, ciro_core::id::Hash::of(b""), "nothing at all is an artifact too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_only_what_it_sent_itself() {
    let env = Env::start().await;
    let bytes = sample(100_000);
    let new = declared(&bytes);
    env.put(&bytes).await;
    for error in [
        env.stranger.artifact_read(new.blake3, None).await.unwrap_err(),
        env.stranger.artifact_delete(new.blake3).await.unwrap_err(),
        env.stranger.artifact_append(&new, new.size, Bytes::new()).await.unwrap_err(),
    ] {
        assert_eq!(code(&error), (404, "artifact_not_found"));
    }
    let declared = env.stranger.artifact_declare(&new).await.unwrap();
    assert!(!declared.stored && declared.offset == 0, "knowing a hash proves nothing");
    let stored = env.stranger.artifact_put(&new, &mut Cursor::new(bytes.clone()), |_| {}).await.unwrap();
    assert!(stored.stored);

    env.client.artifact_delete(new.blake3).await.unwrap();
    assert_eq!(code(&env.client.artifact_read(new.blake3, None).await.unwrap_err()).0, 404);
    let mut still = env.stranger.artifact_read(new.blake3, Some(0..10)).await.unwrap();
    assert_eq!(still.next().await.unwrap().unwrap(), bytes[..10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_bounded_by_artifact_and_by_tenant() {
    let env = Env::with(|config| {
        config.limits.artifact_bytes = 3 << 20;
        config.limits.tenant_artifact_bytes = 4 << 20;
    })
    .await;
    let huge = declared(&sample((3 << 20) + 1));
    assert_eq!(code(&env.client.artifact_declare(&huge).await.unwrap_err()), (422, "validation_failed"));
    env.put(&sample(3 << 20)).await;
    let second = declared(&sample(2 << 20));
    assert_eq!(code(&env.client.artifact_declare(&second).await.unwrap_err()), (429, "quota_exceeded"));
    env.put(&sample(1_000)).await;
    let small = declared(&sample(1 << 20));
    let mut source = Cursor::new(sample(1 << 20));
    let put = env.client.artifact_put(&small, &mut source, |_| {});
    let PutError::Call(refused) = put.await.unwrap_err() else { panic!("it could not be read") };
    assert_eq!(code(&refused), (429, "quota_exceeded"));
    assert_eq!(files(&env), 2, "what was refused does not stay on the disk");
    env.client.artifact_delete(declared(&sample(3 << 20)).blake3).await.unwrap();
    env.put(&sample(2 << 20)).await;
}

/// Files of the vault.
fn files(env: &Env) -> usize {
    let folders = env.data_dir().join("artifacts").read_dir().unwrap();
    folders.map(|folder| folder.unwrap().path().read_dir().unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_a_row_are_removed_at_the_start_unless_they_are_young() {
    let mut env = Env::start().await;
    let stored = env.put(b"stored").await;
    let place = |hash: Hash| {
        let name = hash.to_string();
        env.data_dir().join("artifacts").join(&name[..2]).join(&name[2..])
    };
    let (old, young) = (Hash::of(b"old"), Hash::of(b"young"));
    for hash in [old, young] {
        std::fs::create_dir_all(place(hash).parent().unwrap()).unwrap();
        std::fs::write(place(hash), b"left by a crash").unwrap();
    }
    let hours_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for hash in [old, stored] {
        File::options().append(true).open(place(hash)).unwrap().set_modified(hours_ago).unwrap();
    }
    let gone = place(old);
    assert!(gone.exists());
    env.restart().await;
    until("the sweep", async || (!gone.exists()).then_some(())).await;
    assert_eq!(files(&env), 2);
    assert!(env.client.artifact_read(stored, None).await.is_ok());
}
