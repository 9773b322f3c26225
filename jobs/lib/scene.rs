//! A scene as it is written, and as it stands at the moment of one frame.

use crate::json::{self, Fields, Value, What};
use crate::math;
use crate::random::Random;
use crate::shape::{Lamp, Shape, FAR};
use crate::vector::{vector, Vector};
use std::io;

const MAX_SIDE: u64 = 16_384;
const MAX_PIXELS: u64 = 1 << 25;
const MAX_OBJECTS: usize = 10_000;

pub struct Image {
    pub width: u64,
    pub height: u64,
    pub frames: u64,
    pub frames_per_second: u64,
    /// Paths through a pixel are the square of it.
    pub side: u64,
    pub bounces: u64,
    pub exposure: f64,
}

pub struct Scene {
    pub image: Image,
    pub seed: u64,
    camera: Vec<Key<Camera>>,
    below: Vector,
    above: Vector,
    pub materials: Vec<Material>,
    objects: Vec<Object>,
}

/// A state at a frame; between two keys it changes evenly, outside it stays.
struct Key<T> {
    frame: f64,
    state: T,
}

#[derive(Clone, Copy)]
struct Camera {
    from: Vector,
    at: Vector,
    up: Vector,
    /// Height of the view, degrees.
    view: f64,
    aperture: f64,
    /// Distance that is sharp; 0 is that of `at`.
    focus: f64,
}

pub struct Material {
    pub surface: Surface,
    /// A second colour and the size of the squares in which both alternate.
    checker: Option<(Vector, f64)>,
}

/// What light does on a surface.
#[derive(Clone, Copy)]
pub enum Surface {
    Matt(Vector),
    /// With roughness, from 0 to 1.
    Mirror(Vector, f64),
    /// A matt colour under a clear coat, with the coat's index of refraction.
    Gloss(Vector, f64),
    /// With its index of refraction.
    Glass(Vector, f64),
    Light(Vector),
}

struct Object {
    shape: Shape,
    material: usize,
    moves: Vec<Key<Vector>>,
}

// Reading.

impl Scene {
    pub fn parse(text: &str) -> io::Result<Scene> {
        let value = json::parse(text)?;
        let mut fields = value.fields("the scene")?;
        let image = image(fields.need("image")?)?;
        let seed = optional(&mut fields, "seed", |value| value.whole(0, 1 << 53))?.unwrap_or(1);
        let camera = camera(fields.need("camera")?)?;
        let (below, above) = match fields.take("sky") {
            Some(sky) => self::sky(sky)?,
            None => (Vector::ZERO, Vector::ZERO),
        };
        let (names, materials) = materials(fields.need("materials")?)?;
        let list = fields.need("objects")?;
        let items = list.list("objects")?;
        if items.len() > MAX_OBJECTS {
            return Err(list
                .at
                .wrong(format!("{} objects, at most {}", items.len(), MAX_OBJECTS)));
        }
        let objects = items
            .iter()
            .map(|item| object(item, &names))
            .collect::<io::Result<_>>()?;
        fields.end("image, seed, camera, sky, materials, objects")?;
        Ok(Scene {
            image,
            seed,
            camera,
            below,
            above,
            materials,
            objects,
        })
    }
}

fn optional<T>(
    fields: &mut Fields,
    name: &str,
    read: impl Fn(&Value) -> io::Result<T>,
) -> io::Result<Option<T>> {
    fields.take(name).map(read).transpose()
}

fn three(value: &Value, least: f64, most: f64) -> io::Result<Vector> {
    match &value.what {
        What::List(items) if items.len() == 3 => Ok(vector(
            items[0].number(least, most)?,
            items[1].number(least, most)?,
            items[2].number(least, most)?,
        )),
        What::List(items) => Err(value
            .at
            .wrong(format!("expected 3 numbers, found {}", items.len()))),
        _ => Err(value.expected("3 numbers in brackets")),
    }
}

fn place(value: &Value) -> io::Result<Vector> {
    three(value, -1e6, 1e6)
}

fn direction(value: &Value) -> io::Result<Vector> {
    let found = place(value)?;
    if found.length() < 1e-9 {
        return Err(value.at.wrong("a direction has a length"));
    }
    Ok(found.unit())
}

fn color(value: &Value) -> io::Result<Vector> {
    three(value, 0.0, 1.0)
}

fn glow(value: &Value) -> io::Result<Vector> {
    three(value, 0.0, 1e6)
}

fn image(value: &Value) -> io::Result<Image> {
    let mut fields = value.fields("image")?;
    let width = fields.need("width")?.whole(1, MAX_SIDE)?;
    let height = fields.need("height")?.whole(1, MAX_SIDE)?;
    if width * height > MAX_PIXELS {
        return Err(value
            .at
            .wrong(format!("{} pixels, at most {}", width * height, MAX_PIXELS)));
    }
    let samples = optional(&mut fields, "samples", |value| value.whole(1, 1 << 20))?.unwrap_or(64);
    let image = Image {
        width,
        height,
        frames: optional(&mut fields, "frames", |value| value.whole(1, 10_000))?.unwrap_or(1),
        frames_per_second: optional(&mut fields, "frames_per_second", |value| value.whole(1, 120))?
            .unwrap_or(12),
        side: (1..).find(|side| side * side >= samples).unwrap_or(1),
        bounces: optional(&mut fields, "bounces", |value| value.whole(0, 64))?.unwrap_or(8),
        exposure: optional(&mut fields, "exposure", |value| value.number(1e-6, 1e6))?.unwrap_or(1.0),
    };
    fields.end("width, height, samples, bounces, exposure, frames, frames_per_second")?;
    Ok(image)
}

fn camera(value: &Value) -> io::Result<Vec<Key<Camera>>> {
    let mut fields = value.fields("camera")?;
    let camera = Camera {
        from: place(fields.need("from")?)?,
        at: place(fields.need("at")?)?,
        up: optional(&mut fields, "up", direction)?.unwrap_or(vector(0.0, 1.0, 0.0)),
        view: optional(&mut fields, "view", |value| value.number(1.0, 170.0))?.unwrap_or(40.0),
        aperture: optional(&mut fields, "aperture", |value| value.number(0.0, 1e3))?.unwrap_or(0.0),
        focus: optional(&mut fields, "focus", |value| value.number(0.0, 1e6))?.unwrap_or(0.0),
    };
    let keys = keys(&mut fields, "camera.keys", |fields| {
        let key = Camera {
            from: optional(fields, "from", place)?.unwrap_or(camera.from),
            at: optional(fields, "at", place)?.unwrap_or(camera.at),
            view: optional(fields, "view", |value| value.number(1.0, 170.0))?.unwrap_or(camera.view),
            focus: optional(fields, "focus", |value| value.number(0.0, 1e6))?.unwrap_or(camera.focus),
            ..camera
        };
        Ok((key, "frame, from, at, view, focus"))
    })?;
    fields.end("from, at, up, view, aperture, focus, keys")?;
    let all = if keys.is_empty() {
        vec![Key {
            frame: 0.0,
            state: camera,
        }]
    } else {
        keys
    };
    let looks = |key: &Key<Camera>| {
        let ahead = key.state.at - key.state.from;
        ahead.cross(key.state.up).length() > 1e-9
    };
    if !all.iter().all(looks) {
        return Err(value
            .at
            .wrong("the camera must look somewhere, and not along `up`"));
    }
    Ok(all)
}

/// The list of keys, which grow in `frame`.
fn keys<T>(
    fields: &mut Fields,
    of: &'static str,
    read: impl Fn(&mut Fields) -> io::Result<(T, &'static str)>,
) -> io::Result<Vec<Key<T>>> {
    let mut all: Vec<Key<T>> = Vec::new();
    let list = match fields.take("keys") {
        None => return Ok(all),
        Some(list) => list,
    };
    for item in list.list(of)? {
        let mut fields = item.fields(of)?;
        let frame = fields.need("frame")?.number(0.0, 1e6)?;
        if all.last().map_or(false, |last| last.frame >= frame) {
            return Err(item.at.wrong("each key is of a later frame than the one before"));
        }
        let (state, known) = read(&mut fields)?;
        fields.end(known)?;
        all.push(Key { frame, state });
    }
    Ok(all)
}

fn sky(value: &Value) -> io::Result<(Vector, Vector)> {
    let mut fields = value.fields("sky")?;
    let below = glow(fields.need("below")?)?;
    let above = glow(fields.need("above")?)?;
    fields.end("below, above")?;
    Ok((below, above))
}

fn materials(value: &Value) -> io::Result<(Vec<String>, Vec<Material>)> {
    let all = match &value.what {
        What::Object(all) => all,
        _ => return Err(value.expected("materials by name, an object")),
    };
    let mut names = Vec::new();
    let mut materials = Vec::new();
    for (name, value) in all {
        names.push(name.clone());
        materials.push(material(value)?);
    }
    Ok((names, materials))
}

fn material(value: &Value) -> io::Result<Material> {
    let mut fields = value.fields("a material")?;
    let name = fields.need("type")?;
    let white = vector(1.0, 1.0, 1.0);
    let index = |fields: &mut Fields| {
        optional(fields, "index", |value| value.number(1.0, 4.0)).map(|index| index.unwrap_or(1.5))
    };
    let (surface, known) = match name.text()? {
        "diffuse" => (
            Surface::Matt(color(fields.need("color")?)?),
            "type, color, checker",
        ),
        "metal" => {
            let color = color(fields.need("color")?)?;
            let roughness = optional(&mut fields, "roughness", |value| value.number(0.0, 1.0))?;
            (
                Surface::Mirror(color, roughness.unwrap_or(0.0)),
                "type, color, roughness",
            )
        }
        "glossy" => {
            let color = color(fields.need("color")?)?;
            (
                Surface::Gloss(color, index(&mut fields)?),
                "type, color, index, checker",
            )
        }
        "glass" => {
            let color = optional(&mut fields, "color", color)?.unwrap_or(white);
            (Surface::Glass(color, index(&mut fields)?), "type, color, index")
        }
        "light" => (Surface::Light(glow(fields.need("color")?)?), "type, color"),
        other => {
            return Err(name.at.wrong(format!(
                "no material is {:?}; there are diffuse, metal, glossy, glass, light",
                other
            )))
        }
    };
    let checker = match surface {
        Surface::Matt(_) | Surface::Gloss(..) => optional(&mut fields, "checker", checker)?,
        _ => None,
    };
    fields.end(known)?;
    Ok(Material { surface, checker })
}

fn checker(value: &Value) -> io::Result<(Vector, f64)> {
    let mut fields = value.fields("checker")?;
    let found = (
        color(fields.need("color")?)?,
        fields.need("size")?.number(1e-6, 1e6)?,
    );
    fields.end("color, size")?;
    Ok(found)
}

fn object(value: &Value, names: &[String]) -> io::Result<Object> {
    let mut fields = value.fields("an object")?;
    let shape = fields.need("shape")?;
    let (shape, known) = match shape.text()? {
        "sphere" => {
            let center = place(fields.need("center")?)?;
            let radius = fields.need("radius")?.number(1e-6, 1e6)?;
            (
                Shape::Sphere { center, radius },
                "shape, material, keys, center, radius",
            )
        }
        "plane" => {
            let point = place(fields.need("point")?)?;
            let normal = direction(fields.need("normal")?)?;
            (
                Shape::Plane { point, normal },
                "shape, material, keys, point, normal",
            )
        }
        "box" => {
            let (min, max) = (fields.need("min")?, fields.need("max")?);
            let (low, high) = (place(min)?, place(max)?);
            if !(low.x < high.x && low.y < high.y && low.z < high.z) {
                return Err(max.at.wrong("each number of `max` is larger than that of `min`"));
            }
            let turn = optional(&mut fields, "turn", |value| value.number(-360.0, 360.0))?.unwrap_or(0.0);
            let (sine, cosine) = math::sin_cos(turn * std::f64::consts::PI / 180.0);
            let block = Shape::Block {
                center: (low + high) * 0.5,
                half: (high - low) * 0.5,
                cosine,
                sine,
            };
            (block, "shape, material, keys, min, max, turn")
        }
        "triangle" => {
            let points = fields.need("points")?;
            let all = points.list("3 points")?;
            if all.len() != 3 {
                return Err(points.at.wrong(format!("expected 3 points, found {}", all.len())));
            }
            let corner = place(&all[0])?;
            let (u, v) = (place(&all[1])? - corner, place(&all[2])? - corner);
            (Shape::Triangle { corner, u, v }, "shape, material, keys, points")
        }
        "quad" => {
            let corner = place(fields.need("corner")?)?;
            let (u, v) = (place(fields.need("u")?)?, place(fields.need("v")?)?);
            (
                Shape::Quad { corner, u, v },
                "shape, material, keys, corner, u, v",
            )
        }
        other => {
            return Err(shape.at.wrong(format!(
                "no shape is {:?}; there are sphere, plane, box, triangle, quad",
                other
            )))
        }
    };
    if let Shape::Triangle { u, v, .. } | Shape::Quad { u, v, .. } = &shape {
        if u.cross(*v).length() < 1e-12 {
            return Err(value.at.wrong("its sides lie on one line"));
        }
    }
    let named = fields.need("material")?;
    let material = names
        .iter()
        .position(|name| Some(name.as_str()) == named.text().ok());
    let material = material.ok_or_else(|| {
        named
            .at
            .wrong(format!("no such material; there are {}", names.join(", ")))
    })?;
    let moves = keys(&mut fields, "an object's keys", |fields| {
        Ok((place(fields.need("move")?)?, "frame, move"))
    })?;
    fields.end(known)?;
    Ok(Object {
        shape,
        material,
        moves,
    })
}

// Standing.

/// The scene while one frame is taken.
pub struct Moment {
    eye: Vector,
    /// From the eye to the middle of the sharp plane, and half its width and height there.
    ahead: Vector,
    right: Vector,
    up: Vector,
    /// Radius of the lens, along the picture's axes.
    lens: (Vector, Vector),
    things: Vec<Thing>,
    pub lamps: Vec<Lamp>,
}

struct Thing {
    shape: Shape,
    material: usize,
    is_lamp: bool,
}

/// Where a ray met something.
pub struct Hit {
    pub point: Vector,
    /// Of length one, towards where the ray came from.
    pub normal: Vector,
    pub is_inside: bool,
    pub is_lamp: bool,
    material: usize,
}

/// What holds at that frame, and how far towards what comes next.
fn between<T: Copy>(keys: &[Key<T>], frame: f64) -> (T, T, f64) {
    let next = keys
        .iter()
        .position(|key| key.frame > frame)
        .unwrap_or(keys.len());
    if next == 0 || next == keys.len() {
        let only = keys[next.min(keys.len() - 1)].state;
        return (only, only, 0.0);
    }
    let (before, after) = (&keys[next - 1], &keys[next]);
    (
        before.state,
        after.state,
        (frame - before.frame) / (after.frame - before.frame),
    )
}

impl Scene {
    /// How it stands at that frame.
    pub fn at(&self, frame: u64) -> Moment {
        let frame = frame as f64;
        let (a, b, part) = between(&self.camera, frame);
        let eye = a.from.towards(b.from, part);
        let at = a.at.towards(b.at, part);
        let view = a.view + (b.view - a.view) * part;
        let focus = a.focus + (b.focus - a.focus) * part;
        let sharp = if focus > 0.0 { focus } else { (at - eye).length() };
        let ahead = (at - eye).unit();
        let right = ahead.cross(a.up).unit();
        let up = right.cross(ahead);
        let (sine, cosine) = math::sin_cos(view * std::f64::consts::PI / 360.0);
        let high = sharp * sine / cosine;
        let wide = high * self.image.width as f64 / self.image.height as f64;
        let mut things = Vec::new();
        let mut lamps = Vec::new();
        for object in &self.objects {
            let mut shape = object.shape.clone();
            if !object.moves.is_empty() {
                let (a, b, part) = between(&object.moves, frame);
                shape.shift(a.towards(b, part));
            }
            let glows = matches!(self.materials[object.material].surface, Surface::Light(_));
            let is_lamp = glows && matches!(shape, Shape::Sphere { .. } | Shape::Quad { .. });
            if is_lamp {
                lamps.push(Lamp {
                    shape: shape.clone(),
                    material: object.material,
                });
            }
            things.push(Thing {
                shape,
                material: object.material,
                is_lamp,
            });
        }
        let lens = (right * a.aperture, up * a.aperture);
        Moment {
            eye,
            ahead: ahead * sharp,
            right: right * wide,
            up: up * high,
            lens,
            things,
            lamps,
        }
    }

    pub fn sky(&self, towards: Vector) -> Vector {
        self.below.towards(self.above, 0.5 * (towards.y + 1.0))
    }

    /// The surface that was hit, with the colour of that place.
    pub fn surface(&self, hit: &Hit) -> Surface {
        let material = &self.materials[hit.material];
        let (other, size) = match material.checker {
            None => return material.surface,
            Some(checker) => checker,
        };
        // Off the surface, so that a plane between two squares does not flicker.
        let point = (hit.point + hit.normal * 1e-3) * (1.0 / size);
        let square = point.x.floor() + point.y.floor() + point.z.floor();
        match material.surface {
            Surface::Matt(_) if square as i64 & 1 == 1 => Surface::Matt(other),
            Surface::Gloss(_, index) if square as i64 & 1 == 1 => Surface::Gloss(other, index),
            same => same,
        }
    }
}

impl Moment {
    /// A ray through that point of the picture: from where, and a direction of length one.
    pub fn ray(&self, image: &Image, x: f64, y: f64, random: &mut Random) -> (Vector, Vector) {
        let x = 2.0 * x / image.width as f64 - 1.0;
        let y = 1.0 - 2.0 * y / image.height as f64;
        let target = self.eye + self.ahead + self.right * x + self.up * y;
        let mut from = self.eye;
        if self.lens.0 != Vector::ZERO {
            let (u, v) = loop {
                let (u, v) = (random.between(-1.0, 1.0), random.between(-1.0, 1.0));
                if u * u + v * v <= 1.0 {
                    break (u, v);
                }
            };
            from = from + self.lens.0 * u + self.lens.1 * v;
        }
        (from, (target - from).unit())
    }

    pub fn nearest(&self, from: Vector, towards: Vector) -> Option<Hit> {
        let mut best = FAR;
        let mut found = None;
        for thing in &self.things {
            if let Some(distance) = thing.shape.meets(from, towards, best) {
                best = distance;
                found = Some(thing);
            }
        }
        let thing = found?;
        let point = from + towards * best;
        let outward = thing.shape.normal(point);
        let is_inside = outward.dot(towards) > 0.0;
        let normal = if is_inside { outward * -1.0 } else { outward };
        Some(Hit {
            point,
            normal,
            is_inside,
            is_lamp: thing.is_lamp,
            material: thing.material,
        })
    }

    /// Whether anything stands nearer than `distance`.
    pub fn is_blocked(&self, from: Vector, towards: Vector, distance: f64) -> bool {
        let near = distance * (1.0 - 1e-6);
        self.things
            .iter()
            .any(|thing| thing.shape.meets(from, towards, near).is_some())
    }
}
