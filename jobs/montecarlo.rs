//! Prices an option by simulation: a share follows geometric Brownian motion, each path is walked
//! once with its random numbers and once with their negatives (antithetic variates), and the mean
//! of the discounted payoffs comes with its standard error and 95 % interval.
//!
//! `montecarlo price [name=value …]` simulates its task's share of the paths, `montecarlo combine`
//! makes `/out/price.json` of what the tasks left. Settings and their defaults:
//!
//! - `option=european-call`, or `european-put`, `asian-call`, `asian-put` (on the arithmetic mean
//!   of the prices after each step), `barrier-call`, `barrier-put` (worth nothing once the price
//!   after a step is at or beyond `barrier`, below or above the spot: down-and-out, up-and-out)
//! - `spot=100 strike=100 rate=0.05 volatility=0.2 years=1 barrier=80`
//! - `paths=1000000` (pairs count as two), `steps=` 1 for European options, else 12
//! - `seed=1`
//!
//! Pairs are simulated in blocks of [`BLOCK`], each with random numbers of its own. What is carried
//! to the end is one line a block, and they are added in the order of the blocks: the result does
//! not depend on how many tasks, workers or reducers there were, down to the last bit.

#[path = "lib/math.rs"]
mod math;
#[path = "lib/random.rs"]
mod random;
#[path = "lib/task.rs"]
mod task;

use random::Random;
use std::fmt::Write;
use std::io;
use task::{bad, Place, Settings};

/// Pairs of paths that are summed together.
const BLOCK: u64 = 8_192;
const MAX_PATHS: u64 = 1 << 34;
/// What a task leaves: the settings, then a line a block.
const SUMS: &str = "sums.tsv";
const RESULT: &str = "price.json";
const KNOWN: [&str; 10] = [
    "option",
    "spot",
    "strike",
    "rate",
    "volatility",
    "years",
    "barrier",
    "paths",
    "steps",
    "seed",
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("price") => price(&args[1..]),
        Some("combine") => combine(),
        _ => Err(bad(
            "use `montecarlo price [name=value …]` or `montecarlo combine`".into(),
        )),
    };
    task::finish("montecarlo", done);
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    European,
    Asian,
    Barrier,
}

/// What is priced.
struct Deal {
    style: Style,
    is_call: bool,
    spot: f64,
    strike: f64,
    rate: f64,
    volatility: f64,
    years: f64,
    barrier: f64,
    pairs: u64,
    steps: u64,
    seed: u64,
}

impl Deal {
    fn of(settings: &Settings) -> io::Result<Deal> {
        let name = settings.text("option").unwrap_or("european-call");
        let (style, is_call) = match name {
            "european-call" => (Style::European, true),
            "european-put" => (Style::European, false),
            "asian-call" => (Style::Asian, true),
            "asian-put" => (Style::Asian, false),
            "barrier-call" => (Style::Barrier, true),
            "barrier-put" => (Style::Barrier, false),
            _ => {
                return Err(bad(format!(
                    "option={} is none of european-call, european-put, asian-call, asian-put, barrier-call, barrier-put",
                    name
                )))
            }
        };
        let steps = if style == Style::European { 1 } else { 12 };
        let deal = Deal {
            style,
            is_call,
            spot: settings.number("spot", 100.0, 1e-6, 1e12)?,
            strike: settings.number("strike", 100.0, 1e-6, 1e12)?,
            rate: settings.number("rate", 0.05, -1.0, 1.0)?,
            volatility: settings.number("volatility", 0.2, 1e-6, 5.0)?,
            years: settings.number("years", 1.0, 1e-6, 100.0)?,
            barrier: settings.number("barrier", 80.0, 1e-6, 1e12)?,
            pairs: settings.whole("paths", 1_000_000, 4, MAX_PATHS)? / 2,
            steps: settings.whole("steps", steps, 1, 100_000)?,
            seed: settings.whole("seed", 1, 0, u64::MAX)?,
        };
        if deal.style == Style::Barrier && deal.barrier == deal.spot {
            return Err(bad(
                "the barrier is at the spot: the option is worth nothing".into()
            ));
        }
        Ok(deal)
    }

    /// In one line, so that sums of different deals are never mixed.
    fn text(&self) -> String {
        let style = match self.style {
            Style::European => "european",
            Style::Asian => "asian",
            Style::Barrier => "barrier",
        };
        format!(
            "option={}-{} spot={} strike={} rate={} volatility={} years={} barrier={} paths={} steps={} seed={}",
            style,
            if self.is_call { "call" } else { "put" },
            self.spot,
            self.strike,
            self.rate,
            self.volatility,
            self.years,
            self.barrier,
            2 * self.pairs,
            self.steps,
            self.seed
        )
    }

    fn blocks(&self) -> u64 {
        (self.pairs + BLOCK - 1) / BLOCK
    }

    fn payoff(&self, price: f64) -> f64 {
        let gain = if self.is_call {
            price - self.strike
        } else {
            self.strike - price
        };
        gain.max(0.0)
    }

    /// The value where a formula is known (Black and Scholes).
    fn formula(&self) -> Option<f64> {
        if self.style != Style::European {
            return None;
        }
        let spread = self.volatility * self.years.sqrt();
        let drift = (self.rate + 0.5 * self.volatility * self.volatility) * self.years;
        let d1 = (math::ln(self.spot / self.strike) + drift) / spread;
        let d2 = d1 - spread;
        let strike = self.strike * math::exp(-self.rate * self.years);
        let call = self.spot * math::normal_below(d1) - strike * math::normal_below(d2);
        Some(if self.is_call {
            call
        } else {
            call - self.spot + strike
        })
    }
}

/// Standard normal numbers by Marsaglia's polar method, two at a time.
struct Normals {
    random: Random,
    spare: Option<f64>,
}

impl Normals {
    fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.random.unit() - 1.0, 2.0 * self.random.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * math::ln(square) / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }
}

/// One path so far.
struct Walk {
    log_price: f64,
    sum: f64,
    is_out: bool,
}

impl Walk {
    fn new(deal: &Deal) -> Walk {
        Walk {
            log_price: math::ln(deal.spot),
            sum: 0.0,
            is_out: false,
        }
    }

    fn step(&mut self, deal: &Deal, change: f64) {
        self.log_price += change;
        if deal.style == Style::European {
            return;
        }
        let price = math::exp(self.log_price);
        self.sum += price;
        self.is_out |= if deal.barrier < deal.spot {
            price <= deal.barrier
        } else {
            price >= deal.barrier
        };
    }

    fn payoff(&self, deal: &Deal) -> f64 {
        match deal.style {
            Style::European => deal.payoff(math::exp(self.log_price)),
            Style::Asian => deal.payoff(self.sum / deal.steps as f64),
            Style::Barrier if self.is_out => 0.0,
            Style::Barrier => deal.payoff(math::exp(self.log_price)),
        }
    }
}

/// Number, mean and sum of squared deviations of the pairs' mean payoffs.
#[derive(Clone, Copy)]
struct Sums {
    count: f64,
    mean: f64,
    squares: f64,
}

const NOTHING: Sums = Sums {
    count: 0.0,
    mean: 0.0,
    squares: 0.0,
};

impl Sums {
    /// Welford's way: no difference of large numbers.
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }

    /// Chan's way of putting two such sums together.
    fn join(self, other: Sums) -> Sums {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        Sums {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares + other.squares + apart * apart * self.count * other.count / count,
        }
    }
}

fn simulate(deal: &Deal, block: u64) -> Sums {
    let mut normals = Normals {
        random: Random::named(&[deal.seed, block]),
        spare: None,
    };
    let step = deal.years / deal.steps as f64;
    let drift = (deal.rate - 0.5 * deal.volatility * deal.volatility) * step;
    let spread = deal.volatility * step.sqrt();
    let mut sums = NOTHING;
    for _ in 0..BLOCK.min(deal.pairs - block * BLOCK) {
        let (mut one, mut other) = (Walk::new(deal), Walk::new(deal));
        for _ in 0..deal.steps {
            let chance = spread * normals.next();
            one.step(deal, drift + chance);
            other.step(deal, drift - chance);
        }
        sums.add(0.5 * (one.payoff(deal) + other.payoff(deal)));
    }
    sums
}

fn price(args: &[String]) -> io::Result<()> {
    let deal = Deal::of(&Settings::of(args, &KNOWN)?)?;
    let place = Place::read()?;
    let (first, end) = place.share(deal.blocks());
    let blocks: Vec<(u64, Sums)> = (first..end)
        .map(|block| (block, simulate(&deal, block)))
        .collect();
    if task::is_split() {
        return task::write(SUMS, sums_text(&deal.text(), &blocks).as_bytes());
    }
    conclude(&deal, &blocks)
}

/// A decimal number of Rust says exactly which double is meant.
fn sums_text(deal: &str, blocks: &[(u64, Sums)]) -> String {
    let mut text = format!("{}\n", deal);
    for (block, sums) in blocks {
        let _ = writeln!(text, "{}\t{}\t{}\t{}", block, sums.count, sums.mean, sums.squares);
    }
    text
}

/// Puts the sums of several files in the order of their blocks.
fn combine() -> io::Result<()> {
    let mut deal: Option<String> = None;
    let mut blocks = Vec::new();
    for path in task::left_by_tasks(SUMS)? {
        let text = task::read_text(&path)?;
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        if deal.get_or_insert_with(|| head.into()) != head {
            return Err(bad(format!("{} is of another deal: {}", path.display(), head)));
        }
        for line in lines {
            let sums = parse(line).ok_or_else(|| {
                bad(format!(
                    "{}: {:?} is not `block count mean squares`",
                    path.display(),
                    line
                ))
            })?;
            blocks.push(sums);
        }
    }
    let deal = deal.ok_or_else(|| bad(format!("there is no {} under /in", SUMS)))?;
    blocks.sort_by_key(|(block, _)| *block);
    if !task::is_last_reducer() {
        return task::write(SUMS, sums_text(&deal, &blocks).as_bytes());
    }
    let settings: Vec<String> = deal.split(' ').map(str::to_owned).collect();
    conclude(&Deal::of(&Settings::of(&settings, &KNOWN)?)?, &blocks)
}

fn parse(line: &str) -> Option<(u64, Sums)> {
    let mut fields = line.split('\t');
    let block = fields.next()?.parse().ok()?;
    let mut number = || fields.next()?.parse::<f64>().ok();
    Some((
        block,
        Sums {
            count: number()?,
            mean: number()?,
            squares: number()?,
        },
    ))
}

fn conclude(deal: &Deal, blocks: &[(u64, Sums)]) -> io::Result<()> {
    let complete = blocks
        .iter()
        .enumerate()
        .all(|(n, (block, _))| n as u64 == *block);
    if !complete || blocks.len() as u64 != deal.blocks() {
        return Err(bad(format!(
            "{} blocks came, {} make the result: a task's sums are missing or there twice",
            blocks.len(),
            deal.blocks()
        )));
    }
    let sums = blocks.iter().fold(NOTHING, |all, (_, sums)| all.join(*sums));
    let discount = math::exp(-deal.rate * deal.years);
    let value = discount * sums.mean;
    let error = discount * (sums.squares / (sums.count - 1.0) / sums.count).sqrt();
    let half = 1.959_963_984_540_054 * error;
    let mut text = String::from("{\n");
    for setting in deal.text().split(' ') {
        let (name, given) = setting.split_once('=').unwrap_or((setting, ""));
        let quote = if name == "option" { "\"" } else { "" };
        let _ = writeln!(text, "  \"{}\": {}{}{},", name, quote, given, quote);
    }
    if let Some(formula) = deal.formula() {
        let _ = writeln!(text, "  \"black_scholes\": {},", formula);
    }
    let _ = writeln!(text, "  \"price\": {},\n  \"standard_error\": {},", value, error);
    let _ = writeln!(
        text,
        "  \"interval_95\": [{}, {}]\n}}",
        value - half,
        value + half
    );
    println!("{} +- {} (95 %)", value, half);
    task::write(RESULT, text.as_bytes())
}
