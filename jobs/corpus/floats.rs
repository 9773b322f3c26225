//! Long float computations: rounding at every step, transcendental functions, conversions.

use std::fmt::Write;

fn main() {
    let mut text = String::new();
    let (mut x, mut sum) = (0.1_f64, 0.0_f64);
    for step in 0..200_000_u32 {
        x = 3.9 * x * (1.0 - x);
        sum += (x * f64::from(step)).sin() * (-x).exp() + (1.0 + x).ln();
        if step % 20_000 == 0 {
            writeln!(text, "{:016x} {:016x} {}", x.to_bits(), sum.to_bits(), sum).unwrap();
        }
    }
    let mut single = 1.0_f32;
    for step in 1..10_000_u32 {
        single = (single * 1.000_1 + step as f32).powf(0.999);
    }
    writeln!(
        text,
        "{:08x} {} {}",
        single.to_bits(),
        sum as i32,
        (sum * 1e30) as i64
    )
    .unwrap();
    std::fs::write("/out/result.txt", text).unwrap();
}
