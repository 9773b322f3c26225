//! `ciro top` as people see it: on a terminal of its own, which `script` makes.

use crate::network::{CIRO, Network, shared};
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
const ROWS: usize = 30;
const COLUMNS: usize = 120;

/// `ciro top` on a terminal, between two looks at how the terminal is set.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: std::path::PathBuf,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn run(network: &Network, args: &str) -> Terminal {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (before, after, code) = (at("before"), at("after"), at("code"));
        let session = format!(
            "stty rows {ROWS} cols {COLUMNS}; stty -a > {before}; {CIRO} top {args}; echo $? > {code}; stty -a > {after}"
        );
        let mut child = Command::new("script")
            .args(["-q", "-e", "-f", "-c", &session, &output.display().to_string()])
            .current_dir(network.folder.path())
            .env("TERM", "xterm-256color")
            .env_remove("CIRO_SERVER")
            .env_remove("CIRO_API_KEY")
            .env_remove("CIRO_STATE")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let keys = child.stdin.take().unwrap();
        Terminal { child, keys, output, folder }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until what is seen passes.
    fn see(&self, what: &str, passes: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let bytes = std::fs::read(&self.output).unwrap_or_default();
            let seen = screen(&String::from_utf8_lossy(&bytes));
            if passes(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}:\n{seen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end; the exit code of `ciro top`. The terminal has to be as it was.
    fn ended(mut self) -> i32 {
        crate::network::wait(&mut self.child);
        assert!(!self.read("before").is_empty());
        assert_eq!(self.read("after"), self.read("before"), "the terminal is set as it was");
        let output = String::from_utf8_lossy(&std::fs::read(&self.output).unwrap()).into_owned();
        let left = output.rfind("\u{1b}[?1049l").expect("the screen is given back");
        assert!(output.rfind("\u{1b}[?1049h").unwrap() < left && output.rfind("\u{1b}[?25h").is_some());
        self.read("code").trim().parse().unwrap()
    }
}

/// What a terminal shows: moves of the cursor and clearing are followed, other sequences pass.
fn screen(output: &str) -> String {
    let mut rows = vec![vec![' '; COLUMNS]; ROWS];
    let (mut row, mut column) = (0, 0);
    let mut chars = output.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                let mut parameters = String::new();
                let end = loop {
                    match chars.next() {
                        Some(c) if ('@'..='~').contains(&c) => break c,
                        Some(c) => parameters.push(c),
                        None => return String::new(),
                    }
                };
                let numbers: Vec<usize> = parameters.split(';').filter_map(|n| n.parse().ok()).collect();
                match end {
                    'H' => {
                        row = numbers.first().map_or(0, |n| n - 1).min(ROWS - 1);
                        column = numbers.get(1).map_or(0, |n| n - 1);
                    }
                    'J' => rows.iter_mut().for_each(|row| row.fill(' ')),
                    'K' => rows[row][column.min(COLUMNS)..].fill(' '),
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row = (row + 1).min(ROWS - 1),
            c => {
                if let Some(cell) = rows[row].get_mut(column) {
                    *cell = c;
                }
                column += 1;
            }
        }
    }
    let lines = rows.into_iter().map(|row| row.into_iter().collect::<String>().trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn top_shows_what_runs_takes_keys_and_gives_the_terminal_back() {
    let network = shared();
    let id = network.ciro(&["job", "submit", "sleep", "600000", "--label", "for=top", "-o", "id"]).ok();
    let id = id.trim().to_owned();
    let workers = network.ciro(&["worker", "list", "-o", "json"]).json();
    let name = |n: usize| workers["items"][n]["name"].as_str().unwrap().to_owned();
    let mut terminal = Terminal::run(network, "--interval 200ms");
    let seen = terminal.see("the job to run", |seen| seen.contains("sleep=1") && seen.contains(&id));
    for part in
        [&name(0), &name(1), "online", "queue ", "running", "/s accepted", "commands a group", "q quits"]
    {
        assert!(seen.contains(part), "{part}:\n{seen}");
    }
    // One worker by its name, in another order; then a letter that is typed and no key.
    terminal.press("s");
    terminal.see("another order", |seen| seen.contains("(name)"));
    terminal.press("/");
    terminal.see("what is typed", |seen| seen.contains("find: "));
    terminal.press(&format!("{}q", name(0)));
    terminal.see("what is typed", |seen| seen.contains(&format!("find: {}q", name(0))));
    terminal.press("\u{7f}\r");
    terminal
        .see("one worker alone", |seen| seen.contains(&name(0)) && !seen.contains(&format!("{} ", name(1))));
    network.ciro(&["job", "cancel", &id, "--now"]).ok();
    terminal.see("the end of the job", |seen| seen.contains("job.cancelled") && seen.contains(&id));
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);

    let mut interrupted = Terminal::run(network, "");
    interrupted.see("a frame", |seen| seen.contains("q quits"));
    interrupted.press("\u{3}");
    assert_eq!(interrupted.ended(), 130);
}

#[test]
fn top_says_that_the_server_is_away_and_goes_on_by_itself() {
    let mut network = Network::start(&["--workers", "1"]);
    let port = network.url.rsplit(':').next().unwrap().to_owned();
    let mut terminal = Terminal::run(&network, "--interval 200ms");
    terminal.see("a worker", |seen| seen.contains("1 online"));
    network.signal_and_wait("KILL");
    terminal.see("that it is away", |seen| seen.contains("is unreachable since"));
    let folder = network.give_folder();
    let network = Network::start_in(folder, &["--workers", "1", "--port", &port]);
    terminal.see("it to answer again", |seen| seen.contains("ciro top") && !seen.contains("unreachable"));
    network.ciro(&["job", "run", "sleep", "10"]).ok();
    terminal.see("what happens since", |seen| seen.contains("job.completed"));
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn one_frame_is_printed_as_text_and_as_json_with_the_figures_of_the_api() {
    let network = Network::start(&["--workers", "1"]);
    for seconds in ["10", "20"] {
        network.ciro(&["job", "run", "sleep", seconds]).ok();
    }
    network.ciro(&["job", "run", "fail", "3"]).fails(6);
    let frame = network.ciro(&["top", "--once", "--interval", "200ms", "-o", "json"]).json();
    let api = |path: &str| network.ciro(&["api", "GET", path]).json();
    let (status, stats) = (api("/v1/status"), api("/v1/jobs/stats"));
    assert_eq!(frame["jobs"], stats["by_state"]);
    assert_eq!((&frame["jobs"]["completed"], &frame["jobs"]["failed"]), (&2.into(), &1.into()));
    assert_eq!(status["totals"]["failures"]["user"], 1);
    for figure in ["ready_tasks", "delayed_tasks", "open_jobs", "live_attempts", "sessions"] {
        assert_eq!(frame["queue"][figure], status["queue"][figure], "{figure}");
    }
    assert_eq!(frame["writer"]["last_position"], status["writer"]["last_position"]);
    assert_eq!(frame["worker_stats"], api("/v1/workers/stats"));
    let (shown, listed) = (&frame["workers"][0], &api("/v1/workers")["items"][0]);
    assert_eq!((&shown["id"], &shown["used"]), (&listed["id"], &listed["used"]));
    let last = frame["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["id"].as_str().unwrap(), frame["writer"]["last_position"].to_string());

    let text = network.ciro(&["top", "--once", "--interval", "200ms"]).ok();
    for part in ["2 completed · 1 failed", "1 online", "job.failed", shown["name"].as_str().unwrap()] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(network.ciro(&["top"]).fails(2).contains("ciro top --once"));
}
