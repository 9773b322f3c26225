//! Bits of NaNs, which instruction sets make differently.

use std::fmt::Write;

/// Hides a value from the compiler, so that the program computes and the compiler does not.
fn hide<T: Copy>(value: T) -> T {
    unsafe { std::ptr::read_volatile(&value) }
}

fn main() {
    let mut text = String::new();
    let odd32 = f32::from_bits(0x7fc1_2345);
    let odd64 = f64::from_bits(0xfff8_0000_dead_beef);
    let a32 = [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, odd32, -odd32];
    for x in a32 {
        for y in a32 {
            let (x, y) = (hide(x), hide(y));
            let all = [
                x + y,
                x - y,
                x * y,
                x / y,
                x.min(y),
                x.max(y),
                (x * y).sqrt(),
                x.floor() + y,
            ];
            for value in all {
                write!(text, "{:08x} ", hide(value).to_bits()).unwrap();
            }
            writeln!(text, "{:016x}", hide(f64::from(x) + f64::from(y)).to_bits()).unwrap();
        }
    }
    for x in [odd64, -odd64, f64::NAN, f64::INFINITY] {
        let x = hide(x);
        let all = [
            x + 1.0,
            1.0 - x,
            x * 0.0,
            x / x,
            x.sqrt(),
            x.trunc(),
            -x,
            x.abs(),
            f64::from(x as f32),
        ];
        for value in all {
            write!(text, "{:016x} ", hide(value).to_bits()).unwrap();
        }
        text.push('\n');
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
