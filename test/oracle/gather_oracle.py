"""Runs schedules through asyncio and prints what it did with them: the oracle for src/gather.ts.

stdin: a JSON array of schedules (see schedules.ts). stdout: a JSON array of {"gather", "taskGroup"}, each
{"outcome", "atTick", "children"}; taskGroup is null where the schedule wants exceptions returned.
The standard library alone; Python 3.11 or newer, for TaskGroup.
"""

import asyncio
import contextlib
import json
import selectors
import sys


class VirtualSelector(selectors.SelectSelector):
    """Waits for nothing: moves the clock on instead. One tick is one second of the loop."""

    now = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("deadlock: nothing is left that could wake the loop")
        self.now += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.virtual = VirtualSelector()
        super().__init__(self.virtual)
        # Ticks are whole or halves: nothing that is due later may run with what is due now.
        self._clock_resolution = 0.25
        # Exceptions that nobody retrieves are part of the schedules.
        self.set_exception_handler(lambda loop, context: None)

    def time(self):
        return self.virtual.now


class CancelledOnItsOwn(Exception):
    """Stands for a child's own cancellation in a TaskGroup, which would overlook it.

    JavaScript has no cancellation apart from rejection; asyncio.gather raises it like one, and so does ours.
    """


async def run_child(index, child, children, in_group):
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    children[index] = "in flight"
    own = False

    def cancel_on_its_own():
        nonlocal own
        own = True
        me.cancel()

    timer = None
    try:
        if child["result"] == "cancelled":
            timer = loop.call_later(child["delayTicks"], cancel_on_its_own)
            await loop.create_future()
        await asyncio.sleep(child["delayTicks"])
    except asyncio.CancelledError:
        if own:
            children[index] = "finished"
            if in_group:
                raise CancelledOnItsOwn from None
            raise
        if timer:
            timer.cancel()
        children[index] = "cancelled"
        await asyncio.sleep(child["cleanupTicks"])
        if child["onCancel"] == "returns":
            return index
        if child["onCancel"] == "raises":
            raise ValueError(f"child {index} failed to clean up") from None
        raise
    children[index] = "finished"
    if child["result"] == "error":
        raise ValueError(f"child {index} failed")
    return index


def bounded(schedule, children, in_group):
    """The children as coroutines, at most schedule["concurrency"] of them past the gate."""
    gate = asyncio.Semaphore(schedule["concurrency"] or len(schedule["children"]) or 1)

    async def run(index, child):
        await gate.acquire()
        try:
            value = await run_child(index, child, children, in_group)
        except BaseException:
            # In a group, the one that is waiting would start in the loop's turn before the group hears of it.
            if not in_group:
                gate.release()
            raise
        gate.release()
        return value

    return [run(index, child) for index, child in enumerate(schedule["children"])]


async def gather(schedule, children):
    coroutines = bounded(schedule, children, in_group=False)
    return await asyncio.gather(*coroutines, return_exceptions=schedule["returnExceptions"])


async def task_group(schedule, children):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in bounded(schedule, children, in_group=True)]
    return [task.result() for task in tasks]


def describe(result):
    if isinstance(result, BaseExceptionGroup):
        # A group lists them in the order of time.
        return describe(result.exceptions[0])
    if isinstance(result, (asyncio.CancelledError, CancelledOnItsOwn)):
        return {"cancelled": True}
    if isinstance(result, BaseException):
        return {"error": str(result)}
    return {"value": result}


async def observe(schedule, strategy):
    loop = asyncio.get_running_loop()
    children = ["never started"] * len(schedule["children"])
    run = asyncio.create_task(strategy(schedule, children))
    cancel_at = schedule["cancelAtTick"]
    timer = loop.call_later(cancel_at, run.cancel) if cancel_at is not None else None
    try:
        outcome = {"returned": [describe(result) for result in await run]}
    except (Exception, asyncio.CancelledError) as error:
        outcome = {"raised": describe(error)}
    if timer:
        timer.cancel()
    return {"outcome": outcome, "atTick": loop.time(), "children": list(children)}


def run(schedule, strategy):
    with contextlib.closing(VirtualLoop()) as loop, asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(observe(schedule, strategy))


def main():
    answers = [
        {
            "gather": run(schedule, gather),
            "taskGroup": None if schedule["returnExceptions"] else run(schedule, task_group),
        }
        for schedule in json.load(sys.stdin)
    ]
    # Not dump, which encodes in Python and writes token for token.
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
