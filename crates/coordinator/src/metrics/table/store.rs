//! The database, its one writer and its readers, and the bytes beside it.

use super::{Part, counter, gauge, seconds, sizes};
use crate::metrics::Seen;
use ciro_store::Figures;

fn figures<'a>(seen: &Seen<'a>) -> &'a Figures {
    seen.app.store.figures()
}

pub(super) const PART: Part = Part {
    title: "Database and artifacts",
    metrics: &[
        gauge("ciro_writer_queued", "Commands that wait for the writer", |s| Some(figures(s).queued())),
        counter(
            "ciro_writer_turned_away",
            "Commands that were turned away because the queue was full",
            |s| Some(figures(s).turned_away.get()),
        ),
        seconds("ciro_writer_queue_wait_seconds", "Wait of the first command of each group", |s| {
            figures(s).queue_wait_us.view()
        }),
        counter("ciro_writer_groups", "Groups that the writer finished", |s| s.then.queue.map(|q| q.groups)),
        counter("ciro_writer_commands", "Commands in those groups", |s| s.then.queue.map(|q| q.commands)),
        counter("ciro_writer_rolled_back", "Groups that were rolled back", |s| {
            Some(figures(s).rolled_back.get())
        }),
        sizes("ciro_writer_group_commands", "Commands of a group", |s| figures(s).group_commands.view()),
        sizes("ciro_writer_group_rows", "Rows of a group", |s| figures(s).group_rows.view()),
        seconds("ciro_writer_group_seconds", "From a group's beginning to its answers", |s| {
            figures(s).group_us.view()
        }),
        seconds("ciro_writer_flush_seconds", "Statements that write a group's rows", |s| {
            figures(s).flush_us.view()
        }),
        seconds("ciro_writer_commit_seconds", "COMMIT of a group, until the disk has it", |s| {
            figures(s).commit_us.view()
        }),
        gauge("ciro_writer_longest_group_seconds", "Longest group since the start", |s| {
            s.then.queue.map(|q| q.longest_group_ms)
        })
        .of_ms(),
        seconds("ciro_reader_wait_seconds", "Wait of a read for a connection", |s| {
            figures(s).read_wait_us.view()
        }),
        seconds("ciro_reader_read_seconds", "A read on its connection", |s| figures(s).read_us.view()),
        gauge("ciro_reader_queued", "Reads that wait for a connection", |s| {
            Some(s.app.store.reads_waiting() as u64)
        }),
        counter("ciro_reader_turned_away", "Reads that were turned away because too many waited", |s| {
            Some(figures(s).reads_turned_away.get())
        }),
        gauge("ciro_database_bytes", "Size of the database file", |s| Some(s.then.files.database)),
        gauge("ciro_database_log_bytes", "Size of its write-ahead log", |s| Some(s.then.files.log)),
        seconds("ciro_database_checkpoint_seconds", "Folding the write-ahead log into the file", |s| {
            figures(s).checkpoint_us.view()
        }),
        counter("ciro_database_checkpoint_failures", "Foldings that failed and are tried again", |s| {
            Some(figures(s).checkpoint_failures.get())
        }),
        gauge(
            "ciro_artifacts_stored",
            "Artifacts that are stored, counted once in `retention.every_ms`",
            |s| Some(s.app.metrics.artifacts_stored.get()),
        ),
        gauge("ciro_artifacts_stored_bytes", "Bytes of those", |s| {
            Some(s.app.metrics.artifacts_stored_bytes.get())
        }),
        counter("ciro_artifacts_received_bytes", "Bytes of artifacts that were sent and kept", |s| {
            Some(s.app.metrics.artifact_bytes.get())
        }),
        counter("ciro_artifacts_collected", "Artifacts that were let go because nothing needed them", |s| {
            Some(s.app.metrics.artifacts_collected.get())
        }),
        gauge("ciro_artifacts_uploads", "Uploads that are under way", |s| {
            Some(s.app.artifacts.uploads().under_way().0 as u64)
        }),
        gauge("ciro_disk_free_bytes", "What is free on the disk of the artifacts", |s| {
            s.then.disk.map(|disk| disk.free)
        }),
        gauge("ciro_disk_bytes", "Size of that disk", |s| s.then.disk.map(|disk| disk.size)),
        counter("ciro_logs_received_bytes", "Bytes that were appended to logs of attempts", |s| {
            Some(s.app.metrics.log_bytes.get())
        }),
    ],
};
