"""Work spread over processes, its results in order and never far ahead of whoever takes them.

Owns the processes. They start afresh (no connection of the parent is shared) and are ready for
Django before anything that needs its models is imported; hence this module imports none.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import django

Given = TypeVar("Given")
Made = TypeVar("Made")


def spread(make: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """Yield ``make`` of each, in order, made by as many processes as there are processors.

    One result for each process is made ahead, no more.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
    )
    try:
        left = iter(given)
        waiting: deque[Future[Made]] = deque()
        for one in itertools.islice(left, count + 1):
            waiting.append(pool.submit(make, one))
        while waiting:
            made = waiting.popleft().result()
            for one in itertools.islice(left, 1):
                waiting.append(pool.submit(make, one))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    django.setup()
