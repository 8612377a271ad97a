"""Entry of the worker process: `python -m tuibench.worker`, started by the supervisor, never by hand."""

from time import perf_counter_ns

_STARTED_NS = perf_counter_ns()  # before the other imports: they belong to the load time

import faulthandler  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

from tuibench.core.run.events import PROTOCOL_VERSION, WorkerStarted  # noqa: E402
from tuibench.machine.thread_pools import worker_environment  # noqa: E402
from tuibench.models.lean_transformers import import_lean  # noqa: E402
from tuibench.worker.first_request import first_request  # noqa: E402
from tuibench.worker.pipe import EventWriter, RequestReader, claim_stdout  # noqa: E402
from tuibench.worker.stall_detector import StallDetector  # noqa: E402


def main() -> None:
    """Serve the parent until it closes standard input."""
    faulthandler.enable()  # a crash in native code leaves its Python stack in the log
    emit = EventWriter(claim_stdout())
    emit(WorkerStarted(at_ns=_STARTED_NS, protocol=PROTOCOL_VERSION, pid=os.getpid()))
    import_lean()
    # os._exit: no native library may keep a process alive whose parent is gone.
    requests = RequestReader(on_end=lambda: os._exit(0))

    try:
        load = first_request(requests)
        emit.gather_ns = load.gather_ns
        os.environ |= worker_environment(load.n_threads)
        from tuibench.worker.serve import HEARTBEAT_S, beat, serve  # noqa: PLC0415 - numpy, which starts a pool of threads

        standstill = StallDetector(HEARTBEAT_S)
        beat(emit, standstill)
        serve(load, requests, emit, _STARTED_NS, standstill)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        from tuibench.worker.serve import report_failure  # noqa: PLC0415 - as above

        report_failure(error, emit)
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
