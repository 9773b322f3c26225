//! A small neural network that reads handwritten-looking digits, and all that belongs to it.
//!
//! - `infer generate [count=2000] [seed=2]` draws digits: `/out/digits.txt`, a line each, the digit,
//!   a tab and 256 hexadecimal numbers, the 16 rows of 16 pixels from 0 (paper) to f (ink). Each is
//!   turned, slanted, stretched, moved, drawn with a pen of its own width, and dirtied.
//! - `infer train [count=12000] [epochs=12] [hidden=48] [seed=1]` draws digits of another seed and
//!   learns from them: `/out/digits.net`.
//! - `infer classify` reads a network and digits, `/in/model` and `/in/digits`, and leaves what it
//!   takes each for, `/out/predictions.tsv`; `infer report` puts several of them together and says
//!   how many are right: `/out/report.json`, with the confusion matrix.
//!
//! A network is the text `CIRONET1`, then numbers of 32 bits, the low byte first: how many layers;
//! for each layer how many numbers go in and out, then for each that comes out its weights and its
//! bias, as floating point. Between layers what is negative becomes zero; the largest of the last
//! layer's numbers is the answer.
//!
//! Sums are taken in one order and functions are our own, so the same network comes out of every
//! training, on every machine, and every machine reads the same.

#[path = "lib/math.rs"]
mod math;
#[path = "lib/network.rs"]
mod network;
#[path = "lib/random.rs"]
mod random;
#[path = "lib/task.rs"]
mod task;

use network::Network;
use random::Random;
use std::fmt::Write;
use std::io;
use std::path::Path;
use task::{bad, Place, Settings};

const SIDE: usize = 16;
const PIXELS: usize = SIDE * SIDE;
const DIGITS: usize = 10;
const PREDICTIONS: &str = "predictions.tsv";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("generate") => generate(&args[1..]),
        Some("train") => train(&args[1..]),
        Some("classify") => classify(),
        Some("report") => report(),
        _ => Err(bad(
            "use `infer generate`, `infer train`, `infer classify` or `infer report`".into(),
        )),
    };
    task::finish("infer", done);
}

// Drawing.

/// Strokes of the digits, in a square from 0 to 1, y downwards.
const STROKES: [&[&[(f64, f64)]]; DIGITS] = [
    &[&[
        (0.5, 0.08),
        (0.28, 0.18),
        (0.2, 0.5),
        (0.28, 0.82),
        (0.5, 0.92),
        (0.72, 0.82),
        (0.8, 0.5),
        (0.72, 0.18),
        (0.5, 0.08),
    ]],
    &[&[(0.32, 0.26), (0.54, 0.08), (0.54, 0.92)]],
    &[&[
        (0.24, 0.28),
        (0.34, 0.12),
        (0.56, 0.08),
        (0.74, 0.2),
        (0.74, 0.38),
        (0.24, 0.92),
        (0.8, 0.92),
    ]],
    &[&[
        (0.24, 0.14),
        (0.5, 0.08),
        (0.72, 0.18),
        (0.72, 0.36),
        (0.46, 0.47),
        (0.74, 0.58),
        (0.76, 0.78),
        (0.52, 0.92),
        (0.22, 0.84),
    ]],
    &[&[(0.62, 0.92), (0.62, 0.08), (0.2, 0.64), (0.84, 0.64)]],
    &[&[
        (0.74, 0.08),
        (0.3, 0.08),
        (0.27, 0.44),
        (0.52, 0.38),
        (0.75, 0.5),
        (0.76, 0.74),
        (0.54, 0.92),
        (0.24, 0.86),
    ]],
    &[&[
        (0.7, 0.1),
        (0.44, 0.2),
        (0.26, 0.5),
        (0.26, 0.76),
        (0.48, 0.92),
        (0.74, 0.8),
        (0.74, 0.6),
        (0.5, 0.48),
        (0.27, 0.62),
    ]],
    &[&[(0.2, 0.08), (0.8, 0.08), (0.42, 0.92)]],
    &[&[
        (0.5, 0.47),
        (0.28, 0.34),
        (0.3, 0.14),
        (0.5, 0.08),
        (0.7, 0.14),
        (0.72, 0.34),
        (0.5, 0.47),
        (0.24, 0.64),
        (0.28, 0.86),
        (0.5, 0.92),
        (0.72, 0.86),
        (0.76, 0.64),
        (0.5, 0.47),
    ]],
    &[&[
        (0.73, 0.38),
        (0.5, 0.52),
        (0.26, 0.4),
        (0.26, 0.2),
        (0.52, 0.08),
        (0.74, 0.24),
        (0.74, 0.5),
        (0.56, 0.8),
        (0.3, 0.92),
    ]],
];

/// One drawn digit, pixels from 0 to 15.
struct Sample {
    digit: usize,
    pixels: [u8; PIXELS],
}

/// The digit of that number in the data set of that seed.
fn draw(seed: u64, number: u64) -> Sample {
    let mut random = Random::named(&[seed, number]);
    let digit = (number % DIGITS as u64) as usize;
    let (sine, cosine) = math::sin_cos(random.between(-0.3, 0.3));
    let slant = random.between(-0.25, 0.25);
    let (wide, high) = (random.between(8.0, 12.0), random.between(10.5, 14.0));
    let (right, down) = (random.between(-1.2, 1.2), random.between(-1.2, 1.2));
    let pen = random.between(0.55, 1.15);
    let shaken = |random: &mut Random| random.between(-0.035, 0.035);
    let mut lines = Vec::new();
    for stroke in STROKES[digit] {
        let points: Vec<(f64, f64)> = stroke
            .iter()
            .map(|(x, y)| {
                let (x, y) = (x - 0.5 + shaken(&mut random), y - 0.5 + shaken(&mut random));
                let (x, y) = ((x - slant * y) * wide, y * high);
                (
                    8.0 + right + x * cosine - y * sine,
                    8.0 + down + x * sine + y * cosine,
                )
            })
            .collect();
        lines.extend(points.windows(2).map(|ends| (ends[0], ends[1])));
    }
    let mut pixels = [0; PIXELS];
    for (at, pixel) in pixels.iter_mut().enumerate() {
        let point = ((at % SIDE) as f64 + 0.5, (at / SIDE) as f64 + 0.5);
        let nearest = lines
            .iter()
            .map(|(a, b)| distance(point, *a, *b))
            .fold(f64::INFINITY, f64::min);
        let ink = (pen + 0.5 - nearest).max(0.0).min(1.0);
        let dirt = random.between(-0.16, 0.16) + if random.unit() < 0.02 { random.unit() } else { 0.0 };
        *pixel = ((ink + dirt).max(0.0).min(1.0) * 15.0 + 0.5) as u8;
    }
    Sample { digit, pixels }
}

/// From a point to a line between two ends.
fn distance(point: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (ux, uy) = (b.0 - a.0, b.1 - a.1);
    let (px, py) = (point.0 - a.0, point.1 - a.1);
    let square = ux * ux + uy * uy;
    let part = if square > 0.0 {
        ((px * ux + py * uy) / square).max(0.0).min(1.0)
    } else {
        0.0
    };
    let (dx, dy) = (px - part * ux, py - part * uy);
    (dx * dx + dy * dy).sqrt()
}

fn generate(args: &[String]) -> io::Result<()> {
    let settings = Settings::of(args, &["count", "seed"])?;
    let seed = settings.whole("seed", 2, 0, u64::MAX)?;
    let (first, end) = Place::read()?.share(settings.whole("count", 2_000, 1, 10_000_000)?);
    let mut text = String::new();
    for number in first..end {
        let sample = draw(seed, number);
        let _ = write!(text, "{}\t", sample.digit);
        text.extend(
            sample
                .pixels
                .iter()
                .filter_map(|pixel| char::from_digit(u32::from(*pixel), 16)),
        );
        text.push('\n');
    }
    task::write("digits.txt", text.as_bytes())
}

// Learning.

fn train(args: &[String]) -> io::Result<()> {
    let settings = Settings::of(args, &["count", "epochs", "hidden", "seed"])?;
    let count = settings.whole("count", 12_000, 10, 1_000_000)?;
    let epochs = settings.whole("epochs", 12, 1, 1_000)?;
    let hidden = settings.whole("hidden", 48, 1, 1_024)? as usize;
    let seed = settings.whole("seed", 1, 0, u64::MAX)?;
    let samples: Vec<Sample> = (0..count).map(|number| draw(seed, number)).collect();
    let mut random = Random::named(&[seed, count, hidden as u64]);
    let mut network = Network::random(&[PIXELS, hidden, DIGITS], &mut random);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    for epoch in 0..epochs {
        for last in (1..order.len()).rev() {
            order.swap(last, (random.next() % (last as u64 + 1)) as usize);
        }
        // Smaller steps towards the end.
        let rate = 0.05 * (1.0 - epoch as f32 / epochs as f32) + 0.001;
        let mut right = 0;
        for number in &order {
            let sample = &samples[*number];
            right += usize::from(network.learn(&input(&sample.pixels), sample.digit, rate));
        }
        println!("epoch {}: {} of {} right", epoch + 1, right, samples.len());
    }
    task::write("digits.net", &network.bytes())
}

fn input(pixels: &[u8; PIXELS]) -> Vec<f32> {
    pixels.iter().map(|pixel| f32::from(*pixel) / 15.0).collect()
}

// Reading.

fn classify() -> io::Result<()> {
    let dir = task::dir("in");
    let model = dir.join("model");
    let bytes = std::fs::read(&model).map_err(|error| {
        bad(format!(
            "{}: {}: the inputs are named model and digits",
            model.display(),
            error
        ))
    })?;
    let network = Network::parse(&bytes).map_err(|fault| bad(format!("{}: {}", model.display(), fault)))?;
    if (network.inputs(), network.outputs()) != (PIXELS, DIGITS) {
        return Err(bad(format!(
            "{} does not make {} numbers of {}",
            model.display(),
            DIGITS,
            PIXELS
        )));
    }
    let mut text = String::new();
    for (number, line) in task::read_text(&dir.join("digits"))?.lines().enumerate() {
        let sample = parse(line).ok_or_else(|| {
            bad(format!(
                "line {} of this part is not a digit, a tab and {} hexadecimal digits",
                number + 1,
                PIXELS
            ))
        })?;
        let (digit, certainty) = network.read(&input(&sample.pixels));
        let _ = writeln!(text, "{}\t{}\t{:.4}", sample.digit, digit, certainty);
    }
    if task::is_split() {
        return task::write(PREDICTIONS, text.as_bytes());
    }
    conclude(&text)
}

fn parse(line: &str) -> Option<Sample> {
    let (digit, drawn) = line.split_once('\t')?;
    let digit = digit.parse().ok().filter(|digit| *digit < DIGITS)?;
    let mut pixels = [0; PIXELS];
    if drawn.len() != PIXELS {
        return None;
    }
    for (pixel, drawn) in pixels.iter_mut().zip(drawn.chars()) {
        *pixel = drawn.to_digit(16)? as u8;
    }
    Some(Sample { digit, pixels })
}

/// Puts predictions end to end, in the order of the tasks.
fn report() -> io::Result<()> {
    let files = task::left_by_tasks(PREDICTIONS)?;
    if files.is_empty() {
        return Err(bad(format!("there is no {} under /in", PREDICTIONS)));
    }
    let mut all = String::new();
    for file in &files {
        all.push_str(&task::read_text(Path::new(file))?);
    }
    if task::is_last_reducer() {
        conclude(&all)
    } else {
        task::write(PREDICTIONS, all.as_bytes())
    }
}

fn conclude(predictions: &str) -> io::Result<()> {
    let mut matrix = [[0_u64; DIGITS]; DIGITS];
    for line in predictions.lines() {
        let mut fields = line
            .split('\t')
            .map(|field| field.parse::<usize>().unwrap_or(DIGITS));
        let (digit, read) = (fields.next().unwrap_or(DIGITS), fields.next().unwrap_or(DIGITS));
        match matrix.get_mut(digit).and_then(|row| row.get_mut(read)) {
            Some(count) => *count += 1,
            None => return Err(bad(format!("{:?} is no prediction", line))),
        }
    }
    let total: u64 = matrix.iter().flatten().sum();
    let right: u64 = (0..DIGITS).map(|digit| matrix[digit][digit]).sum();
    let accuracy = if total == 0 {
        0.0
    } else {
        right as f64 / total as f64
    };
    println!("{} of {} right: accuracy {:.4}", right, total, accuracy);
    println!("digit  read as 0    1    2    3    4    5    6    7    8    9");
    let mut rows = Vec::new();
    for (digit, row) in matrix.iter().enumerate() {
        let cells: String = row.iter().map(|count| format!("{:5}", count)).collect();
        println!("{:5}    {}", digit, cells);
        let cells: Vec<String> = row.iter().map(u64::to_string).collect();
        rows.push(format!("    [{}]", cells.join(", ")));
    }
    let text = format!(
        "{{\n  \"digits\": {},\n  \"right\": {},\n  \"accuracy\": {:.6},\n  \"confusion\": [\n{}\n  ]\n}}\n",
        total,
        right,
        accuracy,
        rows.join(",\n")
    );
    task::write(PREDICTIONS, predictions.as_bytes())?;
    task::write("report.json", text.as_bytes())
}
