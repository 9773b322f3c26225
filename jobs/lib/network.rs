//! A network of layers, each fully connected with the next; learning by steepest descent, one
//! sample at a time.

use crate::math;
use crate::random::Random;

const MAGIC: &[u8; 8] = b"CIRONET1";
const MAX_LAYERS: usize = 16;
const MAX_WIDTH: usize = 1 << 16;

struct Layer {
    inputs: usize,
    outputs: usize,
    /// For each output its weights.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

pub struct Network {
    layers: Vec<Layer>,
}

impl Layer {
    fn apply(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.weights.chunks(self.inputs).zip(&self.biases);
        rows.map(|(row, bias)| bias + product(row, input)).collect()
    }
}

/// In four sums that are added in the end: one order for all machines, and fast.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f32 = a4
        .remainder()
        .iter()
        .zip(b4.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a4.zip(b4) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

impl Network {
    /// Of these widths, with weights that keep the size of what passes.
    pub fn random(widths: &[usize], random: &mut Random) -> Network {
        let layer = |inputs: usize, outputs: usize, random: &mut Random| {
            let most = (6.0 / (inputs + outputs) as f64).sqrt();
            let weights = (0..inputs * outputs)
                .map(|_| random.between(-most, most) as f32)
                .collect();
            Layer {
                inputs,
                outputs,
                weights,
                biases: vec![0.0; outputs],
            }
        };
        Network {
            layers: widths
                .windows(2)
                .map(|ends| layer(ends[0], ends[1], random))
                .collect(),
        }
    }

    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// What goes into each layer, and what comes out of the last.
    fn pass(&self, input: &[f32]) -> Vec<Vec<f32>> {
        let mut all = vec![input.to_vec()];
        for (number, layer) in self.layers.iter().enumerate() {
            let mut out = layer.apply(&all[number]);
            if number + 1 < self.layers.len() {
                out.iter_mut().for_each(|value| *value = value.max(0.0));
            }
            all.push(out);
        }
        all
    }

    /// The answer, and how certain it is, from 0 to 1.
    pub fn read(&self, input: &[f32]) -> (usize, f32) {
        let shares = softmax(self.pass(input).last().map_or(&[], |out| out));
        let best = largest(&shares);
        (best, shares[best])
    }

    /// One step towards the right answer; says whether the answer was right before.
    pub fn learn(&mut self, input: &[f32], answer: usize, rate: f32) -> bool {
        let all = self.pass(input);
        let mut slope = softmax(all.last().map_or(&[], |out| out));
        let was_right = largest(&slope) == answer;
        slope[answer] -= 1.0;
        for (number, layer) in self.layers.iter_mut().enumerate().rev() {
            let input = &all[number];
            let mut back = vec![0.0; layer.inputs];
            for (output, slope) in slope.iter().enumerate().filter(|(_, slope)| **slope != 0.0) {
                let row = &mut layer.weights[output * layer.inputs..(output + 1) * layer.inputs];
                for ((weight, input), back) in row.iter_mut().zip(input).zip(&mut back) {
                    *back += slope * *weight;
                    *weight -= rate * slope * input;
                }
                layer.biases[output] -= rate * slope;
            }
            // What was negative did not pass, and nothing passes back.
            back.iter_mut()
                .zip(input)
                .filter(|(_, input)| **input <= 0.0)
                .for_each(|(back, _)| *back = 0.0);
            slope = back;
        }
        was_right
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(self.layers.len() as u32).to_le_bytes());
        for layer in &self.layers {
            bytes.extend_from_slice(&(layer.inputs as u32).to_le_bytes());
            bytes.extend_from_slice(&(layer.outputs as u32).to_le_bytes());
            for (row, bias) in layer.weights.chunks(layer.inputs).zip(&layer.biases) {
                row.iter()
                    .chain(Some(bias))
                    .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            }
        }
        bytes
    }

    pub fn parse(bytes: &[u8]) -> Result<Network, String> {
        let mut rest = bytes
            .strip_prefix(&MAGIC[..])
            .ok_or("is not a network: it does not begin with CIRONET1")?;
        let layers = number(&mut rest)?;
        if layers == 0 || layers > MAX_LAYERS {
            return Err(format!("has {} layers, 1 to {} are read", layers, MAX_LAYERS));
        }
        let mut network = Network { layers: Vec::new() };
        for _ in 0..layers {
            let (inputs, outputs) = (number(&mut rest)?, number(&mut rest)?);
            let widths = 1..=MAX_WIDTH;
            let follows = network.layers.is_empty() || network.outputs() == inputs;
            if !follows || !widths.contains(&inputs) || !widths.contains(&outputs) {
                return Err("has layers that do not fit to each other".into());
            }
            if rest.len() < 4 * (inputs + 1) * outputs {
                return Err("ends too early".into());
            }
            let mut layer = Layer {
                inputs,
                outputs,
                weights: Vec::new(),
                biases: Vec::new(),
            };
            for _ in 0..outputs {
                for _ in 0..inputs {
                    layer.weights.push(f32::from_bits(number(&mut rest)? as u32));
                }
                layer.biases.push(f32::from_bits(number(&mut rest)? as u32));
            }
            network.layers.push(layer);
        }
        if rest.is_empty() {
            Ok(network)
        } else {
            Err(format!("has {} bytes behind its end", rest.len()))
        }
    }
}

fn number(rest: &mut &[u8]) -> Result<usize, String> {
    if rest.len() < 4 {
        return Err("ends too early".into());
    }
    let (four, after) = rest.split_at(4);
    *rest = after;
    Ok(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
}

fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

/// Shares of one that grow with the powers of e.
fn softmax(values: &[f32]) -> Vec<f32> {
    let most = values.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f64> = values
        .iter()
        .map(|value| math::exp(f64::from(value - most)))
        .collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}
