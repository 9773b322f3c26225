//! Primes: how many there are in a range, and proofs that a number is one.
//!
//! `primes count [from=0] [to=10000000]` sieves its task's part of the range, both ends included.
//! `primes prove` reads numbers below 2^128 from the one file under `/in`, one a line, and writes a
//! certificate a line; `primes verify` reads certificates and checks each. `primes merge` makes one
//! result of what such tasks left: `/out/primes.json`, or `/out/certificates.txt` with
//! `/out/certificates.json`, or `/out/verified.json`.
//!
//! A certificate is one line, `number TAB prime TAB steps` or `number TAB composite TAB witness`:
//!
//! - a step, `p:q/a,q/a,…`, proves `p` (Pocklington, and Brillhart, Lehmer and Selfridge): the `q`
//!   are primes that divide p-1, F is what they and their powers make of it, F is at least the cube
//!   root of `p`, each `a` has a^(p-1) = 1 and a^((p-1)/q) - 1 prime to `p`; where F is below the
//!   square root, with p = (c2·F + c1)·F + 1, c1² - 4·c2 is no square. Each `q` from 2^20 on has a
//!   step of its own, further right; smaller ones are divided by everything. Steps are separated by
//!   blanks, the first is the number's own.
//! - a witness is `d` and a factor, or `w` and a base that shows it by Miller's and Rabin's test.
//! - `number TAB unproved TAB reason`: p-1 could not be factored far enough within the bounds here.

#[path = "lib/modular.rs"]
mod modular;
#[path = "lib/random.rs"]
mod random;
#[path = "lib/segment.rs"]
mod segment;
#[path = "lib/task.rs"]
mod task;

use modular::{gcd, root, Modulus};
use random::Random;
use segment::{sieve, Segment};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use task::{bad, Place, Settings};

const SEGMENTS: &str = "segments.tsv";
const CERTIFICATES: &str = "certificates.txt";
const CHECKS: &str = "checks.tsv";
const MAX_TO: u64 = 1_000_000_000_000_000;
/// Below it a number is proved by dividing it.
const SMALL: u128 = 1 << 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("count") => count(&args[1..]),
        Some("prove") => each_line(CERTIFICATES, prove_line),
        Some("verify") => each_line(CHECKS, verify_line),
        Some("merge") => merge(),
        _ => Err(bad(
            "use `primes count [from=N] [to=N]`, `primes prove`, `primes verify` or `primes merge`".into(),
        )),
    };
    task::finish("primes", done);
}

// Counting.

fn count(args: &[String]) -> io::Result<()> {
    let settings = Settings::of(args, &["from", "to"])?;
    let from = settings.whole("from", 0, 0, MAX_TO)?;
    let to = settings.whole("to", 10_000_000, from, MAX_TO)?;
    let (first, end) = Place::read()?.share(to + 1 - from);
    let segment = sieve(from + first, from + end);
    if task::is_split() {
        return task::write(SEGMENTS, segment.line().as_bytes());
    }
    conclude_count(&segment)
}

fn merge_segments(files: &[PathBuf]) -> io::Result<()> {
    let mut segments = Vec::new();
    for path in files {
        for line in task::read_text(path)?.lines() {
            let segment = Segment::parse(line);
            segments
                .push(segment.ok_or_else(|| bad(format!("{}: {:?} is no segment", path.display(), line)))?);
        }
    }
    segments.sort_by_key(|segment| (segment.from, segment.end));
    let mut all = Segment::empty(segments.first().map_or(0, |segment| segment.from));
    for segment in &segments {
        if segment.from != all.end {
            return Err(bad(format!(
                "the ranges do not meet: one ends at {}, the next begins at {}",
                all.end, segment.from
            )));
        }
        all.join(segment);
    }
    if task::is_last_reducer() {
        conclude_count(&all)
    } else {
        task::write(SEGMENTS, all.line().as_bytes())
    }
}

fn conclude_count(all: &Segment) -> io::Result<()> {
    println!("{} primes from {} to {}", all.count, all.from, all.end.max(1) - 1);
    let text = format!(
        "{{\n  \"from\": {},\n  \"to\": {},\n  \"count\": {},\n  \"first\": {},\n  \"last\": {},\n  \"twin_pairs\": {},\n  \"widest_gap\": {},\n  \"widest_gap_after\": {}\n}}\n",
        all.from, all.end.max(1) - 1, all.count, all.first, all.last, all.twins, all.gap, all.gap_at
    );
    task::write("primes.json", text.as_bytes())
}

// Proving.

/// Makes a line of each line of the one file under `/in`.
fn each_line(result: &str, make: fn(&str) -> io::Result<String>) -> io::Result<()> {
    let files = task::files_under(&task::dir("in"))?;
    if files.len() != 1 {
        return Err(bad(format!(
            "one file is read, there are {} under /in",
            files.len()
        )));
    }
    let mut text = String::new();
    for (number, line) in task::read_text(&files[0])?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let made = make(line).map_err(|error| bad(format!("line {} of this part: {}", number + 1, error)))?;
        text.push_str(&made);
        text.push('\n');
    }
    task::write(result, text.as_bytes())?;
    if task::is_split() {
        return Ok(());
    }
    match result {
        CERTIFICATES => conclude_proofs(&text),
        _ => conclude_checks(&text),
    }
}

fn number(text: &str) -> io::Result<u128> {
    text.parse()
        .map_err(|_| bad(format!("{:?} is not a number below 2^128", text)))
}

fn prove_line(line: &str) -> io::Result<String> {
    let n = number(line)?;
    if n < 2 {
        return Err(bad(format!("{} is neither prime nor composite", n)));
    }
    if let Some(witness) = composite(n) {
        return Ok(format!("{}\tcomposite\t{}", n, witness));
    }
    let mut steps = Vec::new();
    Ok(match prove(n, &mut steps) {
        Ok(()) => format!("{}\tprime\t{}", n, steps.join(" ")),
        Err(reason) => format!("{}\tunproved\t{}", n, reason),
    })
}

/// What shows that `n` is composite, where anything does.
fn composite(n: u128) -> Option<String> {
    for d in 2..2_000 {
        if d * d > n {
            return None;
        }
        if n % d == 0 {
            return Some(format!("d {}", d));
        }
    }
    let modulus = Modulus::of(n);
    (2..42)
        .find(|base| modulus.is_witness(*base))
        .map(|base| format!("w {}", base))
}

/// Adds the step that proves `p`, and those that it rests on.
fn prove(p: u128, steps: &mut Vec<String>) -> Result<(), String> {
    let own = format!("{}:", p);
    if p < SMALL || steps.iter().any(|step| step.starts_with(&own)) {
        if steps.is_empty() {
            steps.push(format!("{}:", p));
        }
        return Ok(());
    }
    let mut factors = Vec::new();
    factor(p - 1, &mut factors, p);
    factors.sort_unstable_by(|a, b| b.cmp(a));
    factors.dedup();
    let modulus = Modulus::of(p);
    let mut parts: Vec<String> = Vec::new();
    let at = steps.len();
    steps.push(String::new());
    let mut known = Vec::new();
    for q in factors {
        let length = steps.len();
        if let Err(reason) = prove(q, steps) {
            steps.truncate(length);
            if known.is_empty() {
                return Err(reason);
            }
            continue;
        }
        let a = (2..10_000).find(|a| modulus.shows(*a, q));
        let a = a.ok_or_else(|| format!("no base below 10000 for the factor {} of {} - 1", q, p))?;
        parts.push(format!("{}/{}", q, a));
        known.push(q);
    }
    if !is_enough(p, &known) {
        return Err(format!("{} - 1 is not factored far enough", p));
    }
    steps[at] = format!("{}:{}", p, parts.join(","));
    Ok(())
}

/// Prime factors of `n` that are found within bounds: by division, then by Pollard's rho with
/// Brent's cycle.
fn factor(mut n: u128, factors: &mut Vec<u128>, seed: u128) {
    for d in (2..3).chain((3..10_000).step_by(2)) {
        while n % d == 0 {
            factors.push(d);
            n /= d;
        }
    }
    let mut open = vec![n];
    while let Some(n) = open.pop() {
        if n == 1 {
            continue;
        }
        if composite(n).is_none() {
            factors.push(n);
        } else if let Some(d) = rho(n, seed as u64) {
            open.extend([d, n / d]);
        }
    }
}

/// A proper factor of a composite number.
fn rho(n: u128, seed: u64) -> Option<u128> {
    const TURNS: u64 = 1 << 22;
    const BATCH: u64 = 128;
    let modulus = Modulus::of(n);
    let mut random = Random::named(&[n as u64, (n >> 64) as u64, seed]);
    for _ in 0..4 {
        let add = u128::from(random.next()) % n;
        let step = |x: u128| modulus.add(modulus.times(x, x), add);
        let mut y = u128::from(random.next()) % n;
        let (mut turns, mut length) = (0, 1);
        while turns < TURNS {
            let x = y;
            for _ in 0..length {
                y = step(y);
            }
            let mut done = 0;
            while done < length {
                let back = y;
                let mut product = modulus.one();
                for _ in 0..BATCH.min(length - done) {
                    y = step(y);
                    product = modulus.times(product, x.max(y) - x.min(y));
                }
                let mut d = gcd(product, n);
                if d == n {
                    y = back;
                    d = 1;
                    while d == 1 {
                        y = step(y);
                        d = gcd(x.max(y) - x.min(y), n);
                    }
                }
                if d != 1 && d != n {
                    return Some(d);
                }
                if d == n {
                    turns = TURNS;
                    break;
                }
                done += BATCH;
            }
            turns += length;
            length *= 2;
        }
    }
    None
}

/// Whether these prime factors of p-1 decide about `p`, and it is prime if each has its base.
fn is_enough(p: u128, known: &[u128]) -> bool {
    let mut rest = p - 1;
    for q in known {
        while rest % q == 0 {
            rest /= q;
        }
    }
    let f = (p - 1) / rest;
    // F > R is F > sqrt(p); else the cube root, and the digits of p in base F must not factor.
    if f > rest {
        return true;
    }
    let (c2, c1) = (rest / f, rest % f);
    let is_cube = f.checked_mul(f).map_or(true, |square| square > p / f);
    if !is_cube || f % 2 != 0 {
        return false;
    }
    match (c1 * c1).checked_sub(4 * c2) {
        None => true,
        Some(number) => root(number) * root(number) != number,
    }
}

// Verifying.

fn verify_line(line: &str) -> io::Result<String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (n, claim, proof) = match fields[..] {
        [n, claim, proof] => (number(n)?, claim, proof),
        _ => return Err(bad(format!("{:?} is not `number TAB claim TAB proof`", line))),
    };
    let verdict = match claim {
        "prime" => verify_prime(n, proof),
        "composite" => verify_composite(n, proof),
        "unproved" => Ok(()),
        _ => Err(format!("{:?} is no claim", claim)),
    };
    Ok(match verdict {
        Ok(()) => format!("{}\t{}\tok", n, claim),
        Err(fault) => format!("{}\t{}\twrong: {}", n, claim, fault),
    })
}

fn verify_composite(n: u128, proof: &str) -> Result<(), String> {
    let (what, value) = proof.split_once(' ').ok_or("no witness")?;
    let value: u128 = value.parse().map_err(|_| "the witness is not a number")?;
    let shown = match what {
        "d" => value > 1 && value < n && n % value == 0,
        "w" => n > 3 && n % 2 == 1 && value > 1 && value < n && Modulus::of(n).is_witness(value),
        _ => return Err("a witness is `d` or `w` and a number".into()),
    };
    if shown {
        Ok(())
    } else {
        Err("the witness shows nothing".into())
    }
}

fn verify_prime(n: u128, proof: &str) -> Result<(), String> {
    let mut proved: Vec<u128> = Vec::new();
    let steps: Vec<&str> = proof.split(' ').collect();
    for step in steps.iter().rev() {
        let p = verify_step(step, &proved).map_err(|fault| format!("{} in step {}", fault, step))?;
        proved.push(p);
    }
    if proved.last() == Some(&n) {
        Ok(())
    } else {
        Err("the first step is of another number".into())
    }
}

fn verify_step(step: &str, proved: &[u128]) -> Result<u128, String> {
    let (p, parts) = step.split_once(':').ok_or("no `:`")?;
    let p: u128 = p.parse().map_err(|_| "no number")?;
    if p < SMALL {
        return if is_small_prime(p) {
            Ok(p)
        } else {
            Err(format!("{} is not prime", p))
        };
    }
    if p % 2 == 0 {
        return Err("an even number".into());
    }
    let modulus = Modulus::of(p);
    let mut known = Vec::new();
    for part in parts.split(',') {
        let (q, a) = part.split_once('/').ok_or("a part is not q/a")?;
        let (q, a): (u128, u128) = (
            q.parse().map_err(|_| "no number")?,
            a.parse().map_err(|_| "no number")?,
        );
        let is_prime = if q < SMALL {
            is_small_prime(q)
        } else {
            proved.contains(&q)
        };
        if !is_prime {
            return Err(format!("{} is not proved", q));
        }
        if (p - 1) % q != 0 || a < 2 || a >= p || !modulus.shows(a, q) {
            return Err(format!("the base {} shows nothing about {}", a, q));
        }
        known.push(q);
    }
    if is_enough(p, &known) {
        Ok(p)
    } else {
        Err("the factors are too few".into())
    }
}

fn is_small_prime(n: u128) -> bool {
    let n = n as u32;
    n >= 2 && (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0)
}

// Merging.

fn merge() -> io::Result<()> {
    let segments = task::left_by_tasks(SEGMENTS)?;
    let certificates = task::left_by_tasks(CERTIFICATES)?;
    let checks = task::left_by_tasks(CHECKS)?;
    match (segments.is_empty(), certificates.is_empty(), checks.is_empty()) {
        (false, true, true) => merge_segments(&segments),
        (true, false, true) => {
            let all = end_to_end(&certificates)?;
            task::write(CERTIFICATES, all.as_bytes())?;
            if task::is_last_reducer() {
                conclude_proofs(&all)
            } else {
                Ok(())
            }
        }
        (true, true, false) => {
            let all = end_to_end(&checks)?;
            task::write(CHECKS, all.as_bytes())?;
            if task::is_last_reducer() {
                conclude_checks(&all)
            } else {
                Ok(())
            }
        }
        _ => Err(bad(
            "what is under /in was not left by `count`, or `prove`, or `verify` alone".into(),
        )),
    }
}

fn end_to_end<P: AsRef<Path>>(files: &[P]) -> io::Result<String> {
    let mut all = String::new();
    for path in files {
        all.push_str(&task::read_text(path.as_ref())?);
    }
    Ok(all)
}

/// How many lines have that word in that place.
fn having(text: &str, place: usize, word: &str) -> usize {
    text.lines()
        .filter(|line| line.split('\t').nth(place) == Some(word))
        .count()
}

fn conclude_proofs(text: &str) -> io::Result<()> {
    let mut summary = format!("{{\n  \"numbers\": {}", text.lines().count());
    for claim in ["prime", "composite", "unproved"] {
        let _ = write!(summary, ",\n  \"{}\": {}", claim, having(text, 1, claim));
    }
    summary.push_str("\n}\n");
    print!("{}", summary);
    task::write("certificates.json", summary.as_bytes())
}

/// A wrong certificate is named, and ends the job as failed.
fn conclude_checks(text: &str) -> io::Result<()> {
    let (all, right) = (text.lines().count(), having(text, 2, "ok"));
    let summary = format!("{{\n  \"certificates\": {},\n  \"right\": {}\n}}\n", all, right);
    print!("{}", summary);
    if let Some(wrong) = text.lines().find(|line| line.split('\t').nth(2) != Some("ok")) {
        return Err(bad(format!(
            "{} of {} certificates are wrong; the first: {}",
            all - right,
            all,
            wrong
        )));
    }
    task::write("verified.json", summary.as_bytes())
}
