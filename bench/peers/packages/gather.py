"""Fetches one task in a process of its own and prints what that took, as bench/peers/contenders/run.ts does.

gather.py httpx|aiohttp <task as JSON>
"""

import asyncio
import importlib
import json
import resource
import sys
import time


async def with_httpx(httpx, task):
    """The lesson's program: one client, one gather. A semaphore bounds it; as many connections are kept."""
    concurrency = task["concurrency"]
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    semaphore = asyncio.Semaphore(concurrency)

    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def fetch_post(post_id):
            async with semaphore:
                response = await client.get(f"{task['origin']}{task['path']}{post_id}")
            response.raise_for_status()
            data = response.json()
            if not data:
                raise ValueError(f"No data for post {post_id}")
            return data

        return await asyncio.gather(*map(fetch_post, ids(task)), return_exceptions=True)


async def with_aiohttp(aiohttp, task):
    """The same on aiohttp, whose connector bounds the requests in flight by itself."""
    connector = aiohttp.TCPConnector(limit=task["concurrency"])

    async with aiohttp.ClientSession(connector=connector) as session:

        async def fetch_post(post_id):
            async with session.get(f"{task['origin']}{task['path']}{post_id}") as response:
                response.raise_for_status()
                return await response.json()

        return await asyncio.gather(*map(fetch_post, ids(task)), return_exceptions=True)


def ids(task):
    return range(1, task["posts"] + 1)


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss_bytes():
    with open("/proc/self/status") as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024


async def main():
    library, task = sys.argv[1], json.loads(sys.argv[2])
    module = importlib.import_module(library)
    fetch_all = {"httpx": with_httpx, "aiohttp": with_aiohttp}[library]

    called_at_ms = time.time() * 1000
    cpu_before = cpu_seconds()
    start = time.perf_counter()
    posts = await fetch_all(module, task)
    report = {
        "seconds": time.perf_counter() - start,
        "cpuSeconds": cpu_seconds() - cpu_before,
        "peakRssBytes": peak_rss_bytes(),
        "calledAtMs": called_at_ms,
    }
    for post in posts:
        if isinstance(post, BaseException):
            raise post
    print(json.dumps(report | {"count": len(posts), "sumOfIds": sum(post["id"] for post in posts)}))


asyncio.run(main())
