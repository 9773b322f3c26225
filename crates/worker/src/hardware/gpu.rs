//! GPUs. One counts when its driver's devices can be opened by this user and the driver answers
//! for it; anything less would be an offer that no program could use.

use ciro_core::resources::Gpu;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QUERY: [&str; 2] = ["--query-gpu=pci.bus_id,name,memory.total", "--format=csv,noheader,nounits"];
/// A driver that does not answer in that time is broken.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// NVIDIA's, in the order of the driver's own tool.
pub(crate) fn usable() -> Vec<Gpu> {
    if !opens(Path::new("/dev/nvidiactl")) {
        return Vec::new();
    }
    let Some(answer) = ask() else {
        tracing::warn!("an NVIDIA driver is there, but nvidia-smi does not answer; no GPU is offered");
        return Vec::new();
    };
    let listed = answer.lines().filter_map(parse);
    listed.filter(|(bus_id, _)| device_opens(bus_id)).map(|(_, gpu)| gpu).collect()
}

fn opens(device: &Path) -> bool {
    OpenOptions::new().read(true).write(true).open(device).is_ok()
}

/// Asks the driver's tool, which is killed when it hangs. Its answer fits into a pipe's buffer.
fn ask() -> Option<String> {
    let mut tool = Command::new("nvidia-smi");
    tool.args(QUERY).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = tool.spawn().ok()?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `00000000:17:00.0, NVIDIA H100 PCIe, 81559`
fn parse(line: &str) -> Option<(String, Gpu)> {
    let mut fields = line.split(',').map(str::trim);
    let (bus_id, model, vram_mib) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
    let gpu = Gpu { vendor: "nvidia".into(), model: model.to_owned(), vram_mib };
    Some((bus_id.to_lowercase(), gpu))
}

/// The driver names a GPU's device by its minor number, and its folder by the bus with a domain of
/// four digits where the tool prints eight.
fn device_opens(bus_id: &str) -> bool {
    let Some((domain, rest)) = bus_id.split_once(':') else {
        return false;
    };
    let domain = &domain[domain.len().saturating_sub(4)..];
    let information = format!("/proc/driver/nvidia/gpus/{domain}:{rest}/information");
    let Ok(text) = fs::read_to_string(information) else {
        return false;
    };
    let minor = text.lines().find_map(|line| line.strip_prefix("Device Minor:")).map(str::trim);
    minor.is_some_and(|minor| opens(Path::new(&format!("/dev/nvidia{minor}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_lines_are_read_and_what_cannot_be_opened_is_absent() {
        let (bus_id, gpu) = parse("00000000:3B:00.0, Tesla T4, 15360").unwrap();
        assert_eq!(
            (bus_id.as_str(), gpu.model.as_str(), gpu.vram_mib),
            ("00000000:3b:00.0", "Tesla T4", 15_360)
        );
        assert!(parse("No devices were found").is_none());
        assert!(!device_opens("00000000:ff:1f.7"));
    }
}
