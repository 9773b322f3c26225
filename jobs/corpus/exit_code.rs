//! An exit code of the program's own: a failure whose code is reported as it is.

fn main() {
    println!("before");
    std::fs::write("/out/result.txt", "written, but not a result").unwrap();
    std::process::exit(7);
}
