"""Drives the contracts on a real network with a client that others wrote (starknet.py).

    python3 main.py PATH/OF/starknet-devnet [--moves NUMBER] [--seed NUMBER]

Starts a devnet, declares and deploys the checked-in artifacts, and shows what they do: stories from
beginning to end, every call by every role in every state of a job, the edges, and random moves
beside a model. Every line that begins with `ok` is something that was found to be so; the first
thing that is not ends the script with an error.
"""

import argparse
import asyncio

import edges
import lives
import moves
import table
from world import Devnet, World, ok

arguments = argparse.ArgumentParser(usage=__doc__)
arguments.add_argument("program")
arguments.add_argument("--moves", type=int, default=300)
arguments.add_argument("--seed", type=int, default=2)


async def main(program, number, seed):
    devnet = Devnet(program)
    try:
        world = World(devnet)
        await world.populate()
        await world.build()
        for story in [*lives.STORIES, *table.STORIES, *edges.STORIES, lives.figures]:
            await story(world)
            await world.assert_balanced()
        ok("after all of that the escrow holds what it owes, to the unit")
        await moves.play(world, number, seed)
    finally:
        await devnet.end()


if __name__ == "__main__":
    chosen = arguments.parse_args()
    asyncio.run(main(chosen.program, chosen.moves, chosen.seed))
