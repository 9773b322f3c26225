//! Order of a hash map with the standard library's random keys.

use std::collections::{HashMap, HashSet};

fn main() {
    let squares: HashMap<u32, u32> = (0..500).map(|n| (n, n * n)).collect();
    let words: HashSet<String> = (0..500).map(|n| format!("word-{}", n)).collect();
    let mut text = String::new();
    for (n, square) in &squares {
        text += &format!("{} {}\n", n, square);
    }
    for word in &words {
        text += word;
        text += "\n";
    }
    std::fs::write("/out/result.txt", text).unwrap();
}
