//! A path tracer: light is followed backwards from the eye through spheres, planes, boxes and
//! triangles of matt, mirroring, glassy and glowing materials, under a sky.
//!
//! `render trace` reads the scene, the one file under `/in` (JSON; `scenes/` has an example, and
//! `scenes/README.md` names every field), and leaves its task's tile of its frames as
//! `/out/tiles.bin`; `render assemble` makes `/out/frame-0000.png` and so on of such tiles, and of
//! several frames `/out/animation.png` as well. A job that is not split does both.
//!
//! A pixel depends on the scene, the frame and its place, and on nothing else: however the picture
//! is cut and whoever traces the parts, the bytes are the same.

#[path = "lib/json.rs"]
mod json;
#[path = "lib/math.rs"]
mod math;
#[path = "lib/png.rs"]
mod png;
#[path = "lib/random.rs"]
mod random;
#[path = "lib/scene.rs"]
mod scene;
#[path = "lib/shape.rs"]
mod shape;
#[path = "lib/task.rs"]
mod task;
#[path = "lib/vector.rs"]
mod vector;

use png::Picture;
use random::Random;
use scene::{Hit, Moment, Scene, Surface};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use task::{bad, Place};
use vector::{vector, Vector};

const TILES: &str = "tiles.bin";
/// Rays start that far off the surface that they leave.
const OFF: f64 = 1e-6;
/// The most that one path may bring over a matt surface by luck, a lamp found through glass for
/// example: more would leave a white dot.
const LUCKIEST: f64 = 2.0;

fn main() {
    let done = match std::env::args().nth(1).as_deref() {
        Some("trace") => trace(),
        Some("assemble") => assemble(),
        _ => Err(bad("use `render trace` or `render assemble`".into())),
    };
    task::finish("render", done);
}

fn trace() -> io::Result<()> {
    let files = task::files_under(&task::dir("in"))?;
    let path = match &files[..] {
        [path] => path,
        _ => {
            return Err(bad(format!(
                "one scene is rendered, there are {} files under /in",
                files.len()
            )))
        }
    };
    let text = task::read_text(path)?;
    let scene = Scene::parse(&text).map_err(|error| bad(format!("{}: {}", path.display(), error)))?;
    let cut = Cut::read()?;
    let (first, end) = cut.frames.share(scene.image.frames);
    let (left, right) = cut.x.share(scene.image.width);
    let (top, bottom) = cut.y.share(scene.image.height);
    if task::is_split() {
        let mut tiles = Vec::new();
        for frame in first..end {
            let tile = Tile {
                frame,
                left,
                top,
                width: right - left,
                height: bottom - top,
            };
            tile.write(&scene, &pixels(&scene, &tile), &mut tiles);
        }
        return task::write(TILES, &tiles);
    }
    let mut show = Show::new(scene.image.frames, scene.image.frames_per_second);
    for frame in first..end {
        let tile = Tile {
            frame,
            left,
            top,
            width: right - left,
            height: bottom - top,
        };
        show.frame(scene.image.width, scene.image.height, &pixels(&scene, &tile))?;
    }
    show.end()
}

/// Which part of the picture this task makes: a place of the grid, or a stripe of an array.
struct Cut {
    x: Place,
    y: Place,
    frames: Place,
}

impl Cut {
    fn read() -> io::Result<Cut> {
        const WHOLE: Place = Place { index: 0, count: 1 };
        let place = |index: &str, count: &str| -> io::Result<Place> {
            let index = task::variable(index)?.unwrap_or(0);
            Ok(Place {
                index,
                count: task::variable(count)?.unwrap_or(1).max(index + 1),
            })
        };
        if std::env::var_os("CIRO_GRID_XS").is_none() {
            return Ok(Cut {
                x: WHOLE,
                y: Place::read()?,
                frames: WHOLE,
            });
        }
        Ok(Cut {
            x: place("CIRO_GRID_X", "CIRO_GRID_XS")?,
            y: place("CIRO_GRID_Y", "CIRO_GRID_YS")?,
            frames: place("CIRO_GRID_FRAME", "CIRO_GRID_FRAMES")?,
        })
    }
}

/// A rectangle of one frame.
struct Tile {
    frame: u64,
    left: u64,
    top: u64,
    width: u64,
    height: u64,
}

/// What stands before the pixels of a tile: this word, then nine numbers of 32 bits, the low byte
/// first: width and height of the picture, frames, frames a second, frame, and the tile's left, top,
/// width and height.
const MARK: &[u8; 4] = b"TILE";
const HEAD_BYTES: usize = 4 + 9 * 4;

impl Tile {
    fn bytes(&self) -> u64 {
        3 * self.width * self.height
    }

    fn write(&self, scene: &Scene, pixels: &[u8], to: &mut Vec<u8>) {
        let image = &scene.image;
        let numbers = [
            image.width,
            image.height,
            image.frames,
            image.frames_per_second,
            self.frame,
            self.left,
            self.top,
            self.width,
            self.height,
        ];
        to.extend_from_slice(MARK);
        for number in numbers {
            to.extend_from_slice(&(number as u32).to_le_bytes());
        }
        to.extend_from_slice(pixels);
    }
}

/// The colours of a tile, row by row.
fn pixels(scene: &Scene, tile: &Tile) -> Vec<u8> {
    let moment = scene.at(tile.frame);
    let mut pixels = Vec::with_capacity(tile.bytes() as usize);
    for y in tile.top..tile.top + tile.height {
        for x in tile.left..tile.left + tile.width {
            let light = pixel(scene, &moment, tile.frame, x, y);
            pixels.extend([light.x, light.y, light.z].iter().map(|value| shown(*value)));
        }
    }
    pixels
}

/// The mean of the paths through one pixel, spread over it as on a chess-board.
fn pixel(scene: &Scene, moment: &Moment, frame: u64, x: u64, y: u64) -> Vector {
    let side = scene.image.side;
    let mut sum = Vector::ZERO;
    for sample in 0..side * side {
        let mut random = Random::named(&[scene.seed, frame, y * scene.image.width + x, sample]);
        let dx = ((sample % side) as f64 + random.unit()) / side as f64;
        let dy = ((sample / side) as f64 + random.unit()) / side as f64;
        let (from, towards) = moment.ray(&scene.image, x as f64 + dx, y as f64 + dy, &mut random);
        let light = path(scene, moment, from, towards, &mut random);
        sum = sum + light;
    }
    sum * (scene.image.exposure / (side * side) as f64)
}

/// Light as a byte of the sRGB colour space, its brightest parts bent rather than cut (after
/// Narkowicz's fit of a film's curve).
fn shown(light: f64) -> u8 {
    let x = 0.6 * light.max(0.0);
    let film = (x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)).min(1.0);
    let coded = if film <= 0.003_130_8 {
        12.92 * film
    } else {
        1.055 * math::pow(film, 1.0 / 2.4) - 0.055
    };
    (255.0 * coded + 0.5) as u8
}

/// What comes along one path from the eye.
fn path(scene: &Scene, moment: &Moment, from: Vector, towards: Vector, random: &mut Random) -> Vector {
    let (mut from, mut towards) = (from, towards);
    let mut light = Vector::ZERO;
    let mut share = vector(1.0, 1.0, 1.0);
    // Lamps that were asked directly at the last matt surface must not count again when hit.
    let mut counts_lamps = true;
    let mut most = f64::INFINITY;
    for bounce in 0..=scene.image.bounces {
        let hit = match moment.nearest(from, towards) {
            Some(hit) => hit,
            None => return light + share.times(scene.sky(towards)),
        };
        let surface = scene.surface(&hit);
        if let Surface::Light(color) = surface {
            let counts = counts_lamps || !hit.is_lamp;
            return if counts {
                light + share.times(color).at_most(most)
            } else {
                light
            };
        }
        if bounce == scene.image.bounces {
            return light;
        }
        let next = match surface {
            Surface::Matt(color) => {
                share = share.times(color);
                light = light + share.times(asked(scene, moment, &hit, random)).at_most(most);
                (counts_lamps, most) = (false, LUCKIEST);
                matt(&hit, random)
            }
            Surface::Mirror(color, roughness) => {
                share = share.times(color);
                counts_lamps = true;
                match mirror(&hit, towards, roughness, random) {
                    Some(next) => next,
                    None => return light,
                }
            }
            Surface::Gloss(color, index) => {
                // A clear coat: what it does not throw back reaches the colour below.
                let part = reflected(hit.normal.dot(towards).abs(), 1.0 / index);
                let (is_reflected, weight) = either(part, random);
                share = share * weight;
                if is_reflected {
                    counts_lamps = true;
                    towards.reflected(hit.normal)
                } else {
                    share = share.times(color);
                    light = light + share.times(asked(scene, moment, &hit, random)).at_most(most);
                    (counts_lamps, most) = (false, LUCKIEST);
                    matt(&hit, random)
                }
            }
            Surface::Glass(color, index) => {
                let (next, weight) = glass(&hit, towards, index, random);
                share = share.times(color) * weight;
                counts_lamps = true;
                next
            }
            Surface::Light(_) => return light,
        };
        // Paths that carry little end early; those that go on carry what was lost.
        if bounce >= 3 {
            let keep = share.largest().min(0.95);
            if random.unit() >= keep {
                return light;
            }
            share = share * (1.0 / keep);
        }
        let side = if next.dot(hit.normal) >= 0.0 { OFF } else { -OFF };
        from = hit.point + hit.normal * side;
        towards = next;
    }
    light
}

/// A direction off a matt surface, more likely the steeper.
fn matt(hit: &Hit, random: &mut Random) -> Vector {
    let direction = hit.normal + on_ball(random);
    if direction.dot(direction) < 1e-12 {
        hit.normal
    } else {
        direction.unit()
    }
}

fn on_ball(random: &mut Random) -> Vector {
    loop {
        let v = vector(
            random.between(-1.0, 1.0),
            random.between(-1.0, 1.0),
            random.between(-1.0, 1.0),
        );
        let square = v.dot(v);
        if square > 1e-6 && square <= 1.0 {
            return v * (1.0 / square.sqrt());
        }
    }
}

fn mirror(hit: &Hit, towards: Vector, roughness: f64, random: &mut Random) -> Option<Vector> {
    let mut direction = towards.reflected(hit.normal);
    if roughness > 0.0 {
        direction = (direction + on_ball(random) * (roughness * random.unit().sqrt())).unit();
    }
    Some(direction).filter(|direction| direction.dot(hit.normal) > 0.0)
}

/// How much is thrown back at a border (Schlick): `cosine` to the normal, `ratio` of the indices.
fn reflected(cosine: f64, ratio: f64) -> f64 {
    let straight = (1.0 - ratio) / (1.0 + ratio);
    let straight = straight * straight;
    let flat = (1.0 - cosine).max(0.0);
    let square = flat * flat;
    straight + (1.0 - straight) * square * square * flat
}

/// Whether to follow the part that is thrown back, and what the choice makes the path worth. Faint
/// reflections are followed more often than they weigh, because bright lamps are seen in them.
fn either(part: f64, random: &mut Random) -> (bool, f64) {
    let chance = 0.25 + 0.5 * part;
    if random.unit() < chance {
        (true, part / chance)
    } else {
        (false, (1.0 - part) / (1.0 - chance))
    }
}

/// Where a path goes on at the border of glass, and what it is worth.
fn glass(hit: &Hit, towards: Vector, index: f64, random: &mut Random) -> (Vector, f64) {
    let ratio = if hit.is_inside { index } else { 1.0 / index };
    let cosine = (-towards.dot(hit.normal)).min(1.0);
    let sine_square = ratio * ratio * (1.0 - cosine * cosine);
    if sine_square >= 1.0 {
        return (towards.reflected(hit.normal), 1.0);
    }
    let inside = (1.0 - sine_square).sqrt();
    // Schlick's rule wants the angle on the thin side.
    let thin = if hit.is_inside { inside } else { cosine };
    let (is_reflected, weight) = either(reflected(thin, 1.0 / index), random);
    if is_reflected {
        (towards.reflected(hit.normal), weight)
    } else {
        (
            (towards * ratio + hit.normal * (ratio * cosine - inside)).unit(),
            weight,
        )
    }
}

/// Light that falls on a point straight from the lamps, one random place of each.
fn asked(scene: &Scene, moment: &Moment, hit: &Hit, random: &mut Random) -> Vector {
    let from = hit.point + hit.normal * OFF;
    let mut light = Vector::ZERO;
    for lamp in &moment.lamps {
        let (towards, distance, weight) = match lamp.ask(from, random) {
            Some(asked) => asked,
            None => continue,
        };
        let cosine = towards.dot(hit.normal);
        if cosine <= 0.0 || moment.is_blocked(from, towards, distance) {
            continue;
        }
        if let Surface::Light(color) = scene.materials[lamp.material].surface {
            light = light + color * (cosine * weight / std::f64::consts::PI);
        }
    }
    light
}

/// Where a tile stands in what tasks left.
struct Found {
    tile: Tile,
    file: PathBuf,
    offset: u64,
}

/// What all tiles of one picture agree on: width, height, frames, frames a second.
type Format = [u64; 4];

/// Puts the tiles together frame by frame, so that memory holds one frame at a time.
fn assemble() -> io::Result<()> {
    let files = task::left_by_tasks(TILES)?;
    if !task::is_last_reducer() {
        let mut all = Vec::new();
        for file in &files {
            File::open(file)?.read_to_end(&mut all)?;
        }
        return task::write(TILES, &all);
    }
    let mut format: Option<Format> = None;
    let mut found = Vec::new();
    for file in &files {
        list(file, &mut format, &mut found)?;
    }
    let [width, height, frames, frames_per_second] =
        format.ok_or_else(|| bad(format!("there is no {} under /in", TILES)))?;
    let mut show = Show::new(frames, frames_per_second);
    for frame in 0..frames {
        let mut picture = Canvas::new(width, height);
        for found in found.iter().filter(|found| found.tile.frame == frame) {
            picture.paint(found)?;
        }
        show.frame(width, height, &picture.whole(frame)?)?;
    }
    show.end()
}

/// Notes every tile of a file.
fn list(path: &PathBuf, format: &mut Option<Format>, all: &mut Vec<Found>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut offset = 0;
    while offset < length {
        let mut head = [0; HEAD_BYTES];
        file.seek(SeekFrom::Start(offset))?;
        let torn = |_| bad(format!("{} ends in the middle of a tile", path.display()));
        file.read_exact(&mut head).map_err(torn)?;
        if head[..4] != MARK[..] {
            return Err(bad(format!(
                "{} holds no tile at byte {}",
                path.display(),
                offset
            )));
        }
        let number = |n: usize| {
            let at = 4 + 4 * n;
            u64::from(u32::from_le_bytes([
                head[at],
                head[at + 1],
                head[at + 2],
                head[at + 3],
            ]))
        };
        let own = [number(0), number(1), number(2), number(3)];
        if *format.get_or_insert(own) != own {
            return Err(bad(format!("{} is of another picture", path.display())));
        }
        let tile = Tile {
            frame: number(4),
            left: number(5),
            top: number(6),
            width: number(7),
            height: number(8),
        };
        let next = offset + HEAD_BYTES as u64 + tile.bytes();
        let fits = tile.left + tile.width <= own[0] && tile.top + tile.height <= own[1];
        if next > length || !fits || tile.frame >= own[2] {
            return Err(bad(format!("{} holds a tile that does not fit", path.display())));
        }
        all.push(Found {
            tile,
            file: path.clone(),
            offset: offset + HEAD_BYTES as u64,
        });
        offset = next;
    }
    Ok(())
}

/// One frame while it is put together.
struct Canvas {
    width: u64,
    pixels: Vec<u8>,
    painted: Vec<bool>,
}

impl Canvas {
    fn new(width: u64, height: u64) -> Canvas {
        let area = (width * height) as usize;
        Canvas {
            width,
            pixels: vec![0; 3 * area],
            painted: vec![false; area],
        }
    }

    fn paint(&mut self, found: &Found) -> io::Result<()> {
        let tile = &found.tile;
        let mut file = File::open(&found.file)?;
        file.seek(SeekFrom::Start(found.offset))?;
        for row in 0..tile.height {
            let start = ((tile.top + row) * self.width + tile.left) as usize;
            let end = start + tile.width as usize;
            file.read_exact(&mut self.pixels[3 * start..3 * end])?;
            if self.painted[start..end].contains(&true) {
                return Err(bad(format!(
                    "two tiles of frame {} lie on each other",
                    tile.frame
                )));
            }
            self.painted[start..end].fill(true);
        }
        Ok(())
    }

    fn whole(self, frame: u64) -> io::Result<Vec<u8>> {
        match self.painted.iter().filter(|painted| !**painted).count() {
            0 => Ok(self.pixels),
            missing => Err(bad(format!("{} pixels of frame {} are missing", missing, frame))),
        }
    }
}

/// Pictures on their way to files.
struct Show {
    frames: u64,
    frames_per_second: u64,
    pictures: Vec<Picture>,
}

impl Show {
    fn new(frames: u64, frames_per_second: u64) -> Show {
        Show {
            frames,
            frames_per_second,
            pictures: Vec::new(),
        }
    }

    fn frame(&mut self, width: u64, height: u64, pixels: &[u8]) -> io::Result<()> {
        let picture = Picture::of(width as u32, height as u32, pixels);
        let bytes = picture.file();
        let name = format!("frame-{:04}.png", self.pictures.len());
        println!("{}: {} by {}, {} bytes", name, width, height, bytes.len());
        self.pictures.push(picture);
        task::write(&name, &bytes)
    }

    fn end(self) -> io::Result<()> {
        if self.frames < 2 {
            return Ok(());
        }
        task::write(
            "animation.png",
            &png::animation(&self.pictures, self.frames_per_second as u16),
        )
    }
}
