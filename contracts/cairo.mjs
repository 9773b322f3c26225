// Drives the compiler that the package `wasm-cairo` carries (Cairo 2.8.2). `cargo xtask` calls it:
//
//   node cairo.mjs PACKAGE compile SRC CONTRACT OUT
//   node cairo.mjs PACKAGE test MODULE TESTS
//
// PACKAGE is the folder of the installed package. The first compiles one contract and writes its
// Sierra and its ABI into the folder OUT; the compiler takes one text, so the modules are put into
// each other. The second runs the file TESTS as a module inside the file MODULE, which uses nothing
// but the core library, and prints a line for each test.

import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The branch that falls through is `usize::MAX`, which the compiler writes with the 32 bits of its own host. */
const FALL_THROUGH_32 = '0xffffffff';
const FALL_THROUGH_64 = '0xffffffffffffffff';

/** What the compiler calls every crate, and what ours is called. */
const [ANY_CRATE, OUR_CRATE] = ['astro::', 'ciro::'];

function fail(reason) {
  console.error(`error: ${reason}`);
  process.exit(1);
}

/** The text of a crate: each `pub mod name;` of its `lib.cairo` becomes the file `name.cairo`. */
function bundle(folder) {
  const read = (name) => readFileSync(join(folder, `${name}.cairo`), 'utf8');
  return read('lib').replace(/^(.*mod (\w+));$/gm, (_, head, name) => `${head} {\n${read(name)}\n}`);
}

/** Leaves out every contract but one: the compiler wants exactly one, the others' interfaces stay. */
function only(contract, text) {
  const head = /#\[starknet::contract\]\s*pub mod (\w+) \{/g;
  const parts = [];
  let from = 0;
  for (let match = head.exec(text); match; match = head.exec(text)) {
    if (match[1] === contract) continue;
    const end = closing(text, head.lastIndex);
    parts.push(text.slice(from, match.index));
    from = head.lastIndex = end;
  }
  return parts.join('') + text.slice(from);
}

/** Behind the brace that closes the one before `from`. */
function closing(text, from) {
  let [at, depth] = [from, 1];
  for (; depth > 0; at += 1) {
    if (at >= text.length) fail('a brace is not closed');
    if (text[at] === '{') depth += 1;
    if (text[at] === '}') depth -= 1;
  }
  return at;
}

function compile(cairo, source, contract, out) {
  const text = only(contract, bundle(source));
  const answer = cairo.compileStarknetContract(text, true, false);
  let compiled;
  try {
    compiled = JSON.parse(answer);
  } catch {
    fail(`${contract} does not compile: ${answer.slice(0, 2000)}`);
  }
  const { abi, sierra_program, entry_points_by_type, contract_class_version } = compiled;
  const found = sierra_program.filter((felt) => felt === FALL_THROUGH_32).length;
  if (found !== 1) fail(`${contract}: the mark of falling through was found ${found} times, not once`);
  const ours = JSON.parse(JSON.stringify(abi).replaceAll(ANY_CRATE, OUR_CRATE));
  const sierra = {
    sierra_program: sierra_program.map((felt) => (felt === FALL_THROUGH_32 ? FALL_THROUGH_64 : felt)),
    sierra_program_debug_info: { type_names: [], libfunc_names: [], user_func_names: [] },
    contract_class_version,
    entry_points_by_type,
    abi: ours,
  };
  writeFileSync(join(out, `${contract}.sierra.json`), `${JSON.stringify(sierra)}\n`);
  writeFileSync(join(out, `${contract}.abi.json`), `${JSON.stringify(ours, null, 2)}\n`);
}

/** With a contract in it the text is too much for the 32 bits of the compiler's memory. */
function test(cairo, module, tests) {
  const text = `${readFileSync(module, 'utf8')}\n#[cfg(test)]\nmod tests {\n${readFileSync(tests, 'utf8')}}\n`;
  console.log(cairo.runTests(text, true, '', false, false, true, 'None', false, false).replaceAll(ANY_CRATE, OUR_CRATE));
}

const works = { compile, test };
const [, , folder, work, ...rest] = process.argv;
if (rest.length + 1 !== works[work]?.length) fail('usage: see the head of this file');
const cairo = await import(pathToFileURL(resolve(folder, 'wasm-cairo.js')));
await cairo.default({ module_or_path: readFileSync(join(folder, 'wasm-cairo_bg.wasm')) });
works[work](cairo, ...rest);
