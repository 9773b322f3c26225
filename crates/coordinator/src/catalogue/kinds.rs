//! The table of kinds: what each name runs, what it must be given, and what it gets where the
//! client did not say. A program has modes, named by its first argument; the first one in the
//! table is meant where the client names none.

use super::{INFER, MONTECARLO, Module, PRIMES, PROVE, RENDER, TROUBLE, WORDCOUNT};
use ciro_api::kind::KindInfo;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// What a catalogue name stands for.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    about: &'static str,
    needs: &'static str,
    example: &'static str,
    /// What runs unless the client brings a module.
    pub(super) program: Option<&'static Program>,
    /// What of the client's own may run under this name.
    pub(super) own: Own,
    /// Memory where the client did not say, bytes.
    pub(super) memory_bytes: u64,
    /// Thousandths of a core where the client did not say.
    pub(super) cpu_millis: u64,
}

/// What a client may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Nothing,
    /// A WebAssembly module.
    Module,
    /// A program of the worker's architecture.
    Native,
    /// Either.
    Any,
}

impl Own {
    pub(super) fn takes_module(self) -> bool {
        matches!(self, Own::Module | Own::Any)
    }

    pub(super) fn takes_native(self) -> bool {
        matches!(self, Own::Native | Own::Any)
    }
}

/// A program that comes with the coordinator.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) module: &'static LazyLock<Module>,
    modes: &'static [Mode],
}

/// One of the things that a program can do.
#[derive(Debug)]
pub(super) struct Mode {
    /// The program's first argument.
    pub(super) name: &'static str,
    pub(super) takes_args: bool,
    /// How many inputs it reads.
    pub(super) inputs: RangeInclusive<usize>,
    pub(super) splits: Splits,
    /// Arguments of the reducer that makes one result of the tasks'; without one the client
    /// chooses.
    pub(super) reduce: Option<&'static [&'static str]>,
}

/// How the work of a mode can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splits {
    Any,
    /// Ranges of its input: tasks that differ in their number only would all do the same.
    Ranges,
    /// Tasks that know their number: a range of its input would mean nothing.
    Numbers,
    /// Not at all.
    Never,
}

impl Program {
    /// The mode that the first of these arguments names, else the first of all.
    pub(super) fn mode(&self, args: &[String]) -> &'static Mode {
        let named = args.first().and_then(|name| self.modes.iter().find(|mode| mode.name == name));
        named.unwrap_or(&self.modes[0])
    }
}

impl Kind {
    pub(super) fn named(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Every name, for the refusal of any other.
    pub(super) fn names() -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
    }

    fn info(&self) -> KindInfo {
        KindInfo {
            name: self.name.to_owned(),
            about: self.about.to_owned(),
            needs: self.needs.to_owned(),
            example: self.example.to_owned(),
            module: self.program.map(|program| program.module.hash),
            takes_module: self.own.takes_module(),
            takes_native: self.own.takes_native(),
            memory_bytes: self.memory_bytes,
            cpu_millis: self.cpu_millis,
        }
    }
}

/// Every kind as clients see it, in the order of the table.
pub fn kinds() -> Vec<KindInfo> {
    KINDS.iter().map(Kind::info).collect()
}

/// Arguments of a reducer that has none of its own.
type Reduce = Option<&'static [&'static str]>;

const fn mode(name: &'static str, inputs: RangeInclusive<usize>, splits: Splits, reduce: Reduce) -> Mode {
    Mode { name, takes_args: true, inputs, splits, reduce }
}

const WORDCOUNT_PROGRAM: Program = Program {
    module: &WORDCOUNT,
    modes: &[Mode { takes_args: false, ..mode("map", 1..=1, Splits::Ranges, Some(&["reduce"])) }],
};

const MONTECARLO_PROGRAM: Program =
    Program { module: &MONTECARLO, modes: &[mode("price", 0..=0, Splits::Numbers, Some(&["combine"]))] };

const PRIMES_PROGRAM: Program = Program {
    module: &PRIMES,
    modes: &[
        mode("count", 0..=0, Splits::Numbers, Some(&["merge"])),
        mode("prove", 1..=1, Splits::Ranges, Some(&["merge"])),
        mode("verify", 1..=1, Splits::Ranges, Some(&["merge"])),
    ],
};

const RENDER_PROGRAM: Program =
    Program { module: &RENDER, modes: &[mode("trace", 1..=1, Splits::Numbers, Some(&["assemble"]))] };

const INFER_PROGRAM: Program = Program {
    module: &INFER,
    modes: &[
        mode("classify", 2..=2, Splits::Ranges, Some(&["report"])),
        mode("train", 0..=0, Splits::Never, None),
        mode("generate", 0..=0, Splits::Numbers, None),
    ],
};

const PROVE_PROGRAM: Program = Program {
    module: &PROVE,
    modes: &[mode("prove", 0..=0, Splits::Never, None), mode("verify", 2..=2, Splits::Never, None)],
};

/// Those that misbehave on purpose: whatever is given, in whatever way.
macro_rules! trouble {
    ($name:literal) => {
        Program { module: &TROUBLE, modes: &[mode($name, 0..=usize::MAX, Splits::Any, None)] }
    };
}

const MIB: u64 = 1 << 20;

/// What programs of the client's own get.
const OWN: Kind = Kind {
    name: "",
    about: "",
    needs: "a module or a native program of your own",
    example: "",
    program: None,
    own: Own::Any,
    memory_bytes: 256 * MIB,
    cpu_millis: 1_000,
};

/// A kind that runs a program of ours.
const fn ours(name: &'static str, program: &'static Program, memory_bytes: u64) -> Kind {
    Kind { name, program: Some(program), own: Own::Nothing, memory_bytes, ..OWN }
}

/// A kind of work for which no program is here: the client's runs under its name.
const fn theirs(name: &'static str, about: &'static str, example: &'static str) -> Kind {
    Kind { name, about, example, ..OWN }
}

const fn render(name: &'static str, example: &'static str) -> Kind {
    Kind {
        about: "traces a scene into a picture, or an animation",
        needs: "one input, the scene (JSON)",
        example,
        ..ours(name, &RENDER_PROGRAM, 256 * MIB)
    }
}

const fn infer(name: &'static str, example: &'static str) -> Kind {
    Kind {
        about: "reads digits with a small neural network; trains one; draws digits to try it on",
        needs: "two inputs, `model` and `digits`; nothing to `train` and to `generate`",
        example,
        ..ours(name, &INFER_PROGRAM, 256 * MIB)
    }
}

const fn prove(name: &'static str, example: &'static str) -> Kind {
    Kind {
        about: "proves that a chain of hashes was walked (STARK), and checks such a proof",
        needs: "nothing to prove; two inputs, `claim` and `proof`, to `verify`",
        example,
        ..ours(name, &PROVE_PROGRAM, 512 * MIB)
    }
}

static KINDS: [Kind; 25] = [
    Kind {
        own: Own::Module,
        needs: "a module of your own",
        ..theirs("wasm", "a WebAssembly program (WASI preview 1)", "ciro job run ./program.wasm 30")
    },
    Kind {
        own: Own::Native,
        needs: "an executable of your own, or a program of the worker's system",
        ..theirs(
            "native",
            "a program of the worker's architecture, in a sandbox",
            "ciro job run native --program /usr/bin/bc --input sums.bc -- -q /in/sums.bc",
        )
    },
    Kind {
        about: "counts the words of a text",
        needs: "one input",
        example: "ciro job run wordcount --input book.txt --split lines:10000",
        ..ours("wordcount", &WORDCOUNT_PROGRAM, 256 * MIB)
    },
    Kind {
        about: "prices an option by simulation, with its error bars",
        needs: "nothing; settings as name=value",
        example: "ciro job run montecarlo option=asian-call strike=105 paths=10000000 --split array:16",
        ..ours("montecarlo", &MONTECARLO_PROGRAM, 64 * MIB)
    },
    Kind {
        about: "counts the primes of a range; proves that numbers are prime; checks such proofs",
        needs: "nothing to count; one input of numbers to `prove`, of certificates to `verify`",
        example: "ciro job run primes from=0 to=1000000000 --split array:16",
        ..ours("primes", &PRIMES_PROGRAM, 128 * MIB)
    },
    render(
        "render",
        "ciro job run render --input jobs/scenes/spheres.json --split grid:4x4 --output picture",
    ),
    infer(
        "infer",
        "ciro job run infer --input model=jobs/models/digits.net --input digits=digits.txt --split lines:500 \
         --split-input digits",
    ),
    prove("prove", "ciro job run prove start=1 links=1023 --output proof"),
    Kind {
        about: "waits",
        needs: "nothing; milliseconds",
        example: "ciro job run sleep 2000",
        cpu_millis: 100,
        ..ours("sleep", &trouble!("sleep"), 64 * MIB)
    },
    Kind {
        about: "fails",
        needs: "nothing; an exit code, or `trap`",
        example: "ciro job run fail 3",
        ..ours("fail", &trouble!("fail"), 64 * MIB)
    },
    Kind {
        about: "computes for ever",
        needs: "nothing",
        example: "ciro job run spin --wall 2s",
        ..ours("spin", &trouble!("spin"), 64 * MIB)
    },
    Kind {
        about: "takes memory for ever",
        needs: "nothing",
        example: "ciro job run oom",
        ..ours("oom", &trouble!("oom"), 64 * MIB)
    },
    Kind {
        about: "writes for ever, or so many bytes",
        needs: "nothing; `stdout`, `stderr` or `file`, and bytes",
        example: "ciro job run spam stdout 1000",
        ..ours("spam", &trouble!("spam"), 64 * MIB)
    },
    theirs("Custom", "any program of your own", "ciro job run ./program.wasm --kind Custom"),
    Kind {
        own: Own::Any,
        ..render("Render3D", "ciro job run Render3D --input jobs/scenes/spheres.json --split grid:4x4")
    },
    Kind {
        own: Own::Any,
        ..infer(
            "AIInference",
            "ciro job run AIInference generate count=1000 --split array:4 --collect concat",
        )
    },
    Kind { own: Own::Any, ..prove("ZKProof", "ciro job run ZKProof links=255 --output proof") },
    theirs("VideoProcessing", "work on video", "ciro job run ./program.wasm --kind VideoProcessing"),
    theirs("ComputerVision", "work on pictures", "ciro job run ./program.wasm --kind ComputerVision"),
    theirs("NLP", "work on language", "ciro job run ./program.wasm --kind NLP"),
    theirs("AudioProcessing", "work on sound", "ciro job run ./program.wasm --kind AudioProcessing"),
    theirs(
        "TimeSeriesAnalysis",
        "work on series of measurements",
        "ciro job run ./program.wasm --kind TimeSeriesAnalysis",
    ),
    theirs("MultimodalAI", "work on several media", "ciro job run ./program.wasm --kind MultimodalAI"),
    theirs(
        "ReinforcementLearning",
        "learning by trial",
        "ciro job run ./program.wasm --kind ReinforcementLearning",
    ),
    theirs("SpecializedAI", "other models", "ciro job run ./program.wasm --kind SpecializedAI"),
];
