# ruff: noqa: ARG002 - the methods of `tuibench.engines.base.Engine`
"""Methods that need no model library and fail on request: `sound` works, `faulty` does what the environment says.

`TUIBENCH_TEST_FAULT` names where and what: `load:segfault`, `decode:hang`, …; `TUIBENCH_TEST_STEP_S` is the time that
each call of `sound` takes; `TUIBENCH_TEST_HANG_AT` is the number of the prompt, counted in each worker from 1, at which
`sound` waits for ever.
"""

import ctypes
import os
import resource
import signal
import sys
import time

import numpy as np

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, UnsupportedModelError

_LOGITS = np.arange(4, dtype=np.float32)


def _hang():
    time.sleep(600)


def _endless_output():
    while True:
        os.write(2, b"x" * 65536)


def _not_utf8():
    os.write(1, b"\xff\xfe\x1b[2J\n")
    raise ValueError("bad \x1b[31m bytes")


def _out_of_memory():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(4 << 30)


def _eat_memory():
    """Fill pages until the kernel's killer comes, where a control group has a limit; stop far from the machine's."""
    eaten = [b"x" * (16 << 20) for _ in range(256)]
    raise ValueError(f"nobody objects to {len(eaten)} pieces")


def _exception():
    raise ValueError("it broke")


FAULTS = {
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "out-of-memory": _out_of_memory,
    "eat-memory": _eat_memory,
    "hang": _hang,
    "hold-the-interpreter": lambda: ctypes.PyDLL(None).sleep(600),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "endless-output": _endless_output,
    "not-utf8": _not_utf8,
    "exception": _exception,
    "exit": lambda: os._exit(3),
}


class Sound:
    method = Method(id="sound", title="Sound", explanation="Works.", parent=None, precision="fp32", exact=False)
    n_prompts = 0

    def enter(self, phase):
        time.sleep(float(os.environ.get("TUIBENCH_TEST_STEP_S", "0")))

    def prepare(self, model_dir, progress):
        self.enter("prepare")
        return False

    def load(self, model_dir, n_threads, progress):
        self.enter("load")
        return EngineInfo(parameters=10, artifact_bytes=40, weight_bytes=40, context_window=None)

    def prefill(self, token_ids, max_length):
        self.enter("prefill")
        self.n_prompts += 1
        if str(self.n_prompts) == os.environ.get("TUIBENCH_TEST_HANG_AT"):
            _hang()
        return _LOGITS

    def decode(self, token_id):
        self.enter("decode")
        return _LOGITS

    def score(self, token_ids):
        raise UnsupportedModelError("there is nothing to score")

    def close(self):
        pass


class Faulty(Sound):
    method = Method(id="faulty", title="Faulty", explanation="Fails.", parent=None, precision="fp32", exact=False)

    def enter(self, phase):
        where, _, what = os.environ.get("TUIBENCH_TEST_FAULT", "").partition(":")
        if where == phase:
            print("about to", what, file=sys.stderr, flush=True)
            FAULTS[what]()


class Slower(Sound):
    """Takes ten times as long for a token as `sound` does with a step of 2 ms."""

    method = Method(id="slower", title="Slower", explanation="Slow.", parent=None, precision="fp32", exact=False)

    def decode(self, token_id):
        time.sleep(0.02)
        return _LOGITS
