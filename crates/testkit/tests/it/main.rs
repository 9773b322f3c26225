//! What users rely on when things go wrong, tried on the real programs: kills, pauses, power cuts,
//! broken disks, and the main job from the door to the result.

mod backup;
mod batch;
mod cache;
mod crash;
mod crew;
mod deploy;
mod disk;
mod e2e;
mod fair;
mod follow;
mod kinds;
mod misfortune;
mod model;
mod native;
mod network;
mod overload;
mod pause;
mod payments;
mod points;
mod postgres;
mod power;
mod programs;
mod promises;
mod recovery;
mod roll;
mod settings;
mod settings_cli;
mod text;
mod transfer;
mod webhooks;
