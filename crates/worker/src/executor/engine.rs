//! The engine of a profile: every setting that a result or a fuel figure depends on, written out,
//! so that an upgrade of the engine cannot change one behind our back.

use ciro_core::spec::Profile;
use wasmtime::{
    Config, Engine, OperatorCost, OptLevel, VariableOperatorCost, WasmBacktraceDetails, WasmFeatures,
};

/// Stack of a guest. Part of the profile, whatever the machine's own stack limit is.
pub(crate) const GUEST_STACK_BYTES: usize = 1 << 20;
/// Address space set aside for a linear memory: all that 32 bits address, so it never moves.
pub(crate) const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// What a module may use; everything else is refused when it is compiled.
fn proposals() -> WasmFeatures {
    WasmFeatures::FLOATS
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::SIMD
}

/// The cost table of `wasm-1`: one unit an instruction, none for those that only mark structure,
/// and one for each byte or element that a bulk instruction moves.
pub(crate) fn cost_table() -> OperatorCost {
    OperatorCost {
        Nop: 0,
        Drop: 0,
        Block: 0,
        Loop: 0,
        Unreachable: 0,
        Return: 0,
        Else: 0,
        End: 0,
        variable: VariableOperatorCost {
            memory_copy_per_byte: 1,
            memory_fill_per_byte: 1,
            memory_init_per_byte: 1,
            memory_grow_per_page: 0,
            table_copy_per_element: 1,
            table_fill_per_element: 1,
            table_init_per_element: 1,
            table_grow_per_element: 1,
            ..VariableOperatorCost::new()
        },
        ..OperatorCost::new()
    }
}

/// Builds the engine of a profile.
pub(crate) fn engine(profile: Profile) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all() - proposals(), false)
        .wasm_features(proposals(), true)
        .consume_fuel(true)
        .operator_cost(cost_table())
        .epoch_interruption(false)
        .cranelift_nan_canonicalization(profile == Profile::Wasm1)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .memory_init_cow(false)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_may_move(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    Engine::new(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_build_and_their_modules_do_not_mix() {
        let digest = |profile| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            engine(profile).unwrap().precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_ne!(digest(Profile::Wasm1), digest(Profile::Wasm1Arch));
    }

    #[test]
    fn the_cost_table_is_the_one_in_the_profile() {
        let table = serde_json::to_value(cost_table()).unwrap();
        let mut free: Vec<&str> = Vec::new();
        for (operator, cost) in table.as_object().unwrap() {
            match cost.as_u64() {
                Some(0) => free.push(operator),
                Some(1) => {}
                _ => assert_eq!(operator, "variable", "{operator} costs {cost}"),
            }
        }
        free.sort_unstable();
        assert_eq!(free, ["Block", "Drop", "Else", "End", "Loop", "Nop", "Return", "Unreachable"]);
    }

    #[test]
    fn what_the_profile_leaves_out_is_refused() {
        // (module (memory i64 1)): a 64-bit memory.
        let memory64 = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 3, 1, 4, 1];
        // (module (memory 1 1 shared)): the threads proposal.
        let shared = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 4, 1, 3, 1, 1];
        // (module (memory 1) (memory 1)): two memories.
        let two = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 5, 2, 0, 1, 0, 1];
        let engine = engine(Profile::Wasm1).unwrap();
        for module in [&memory64[..], &shared[..], &two[..]] {
            assert!(wasmtime::Module::validate(&engine, module).is_err(), "{module:?}");
        }
        let one = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 3, 1, 0, 1];
        wasmtime::Module::validate(&engine, &one).unwrap();
    }
}
