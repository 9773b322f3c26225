//! What a worker finds on its machine, as lines for people: the same in every program that asks.

use crate::golden::Golden;
use crate::start::Detected;

/// A line: what it is about, and what is said of it.
pub type Line = (&'static str, String);

impl Detected {
    /// The machine and the offer as lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let (hardware, said) = (&self.hardware, &self.capabilities);
        let offer = &said.offer;
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let cores = |millis: u64| millis as f64 / 1000.0;
        let (usable, offered) = (cores(hardware.cpu_millis), cores(offer.cpu_millis));
        let mut lines = vec![
            ("architecture", hardware.arch.to_owned()),
            ("cores", format!("{usable} usable, {offered} offered")),
            (
                "memory",
                format!(
                    "{:.1} GiB usable, {:.1} GiB offered",
                    gib(hardware.memory_bytes),
                    gib(offer.memory_bytes)
                ),
            ),
            (
                "disk",
                format!("{:.1} GiB free, {:.1} GiB offered", gib(hardware.disk_bytes), gib(offer.disk_bytes)),
            ),
        ];
        let gpus = hardware.gpus.iter();
        lines.extend(gpus.map(|gpu| ("GPU", format!("{} {}, {} MiB", gpu.vendor, gpu.model, gpu.vram_mib))));
        if hardware.gpus.is_empty() {
            lines.push(("GPU", "none that can be opened and answers".to_owned()));
        }
        let profiles: Vec<&str> = said.profiles.iter().map(|profile| profile.name()).collect();
        lines.push(("profiles", profiles.join(", ")));
        lines.push(("sandbox", self.sandbox.join(", ")));
        lines.extend(self.native_refused.iter().map(|reason| ("native", format!("refused: {reason}"))));
        lines
    }
}

impl Golden {
    /// What was tried as lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = vec![("sandbox", self.layers.join(", "))];
        lines.extend(self.missing_layers.iter().map(|layer| ("missing", layer.clone())));
        for program in self.programs.iter().filter(|program| !program.ok) {
            lines.push(("differs", format!("{}: {}", program.name, program.differences.join("; "))));
        }
        let good = self.programs.iter().filter(|program| program.ok).count();
        lines.push(("programs", format!("{good} of {} as they must be", self.programs.len())));
        lines
    }
}
