"""A program behind the dashboard that does what a test says."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tuibench.core.results.comparison import compare
from tuibench.core.run.events import (
    EngineReady,
    FailureKind,
    FinishReason,
    Memory,
    Phase,
    PhaseStarted,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    WorkerFailed,
)
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import Failure, QualityRecord, TrialRecord
from tuibench.core.run.run_events import RunEnded, RunStarted, TrialEnded, TrialObserved, TrialStarted
from tuibench.core.run.spec import Method, Sampling
from tuibench.core.run.state import Folded, RunState, fold
from tuibench.core.run.trial_state import trial_record
from tuibench.models.local import LocalModel
from tuibench.models.origin.pull_events import Pulled, PullProgress
from tuibench.models.origin.sources import ModelKind, NamedModel
from tuibench.store.export.facts import measured_run
from tuibench.store.schema import MachineHeader, ModelHeader, Session, SessionHeader, Settings
from tuibench.ui.app import TuibenchApp
from tuibench.ui.machine_sampler import Cpus, MachineSample
from tuibench.ui.services import Services

TEXT = (
    "A key-value cache keeps the keys and values that attention computed for earlier tokens , so that each new"
    " token needs one row of work instead of a whole matrix . The price is memory that grows with every token ;"
    " the gain is a decode step whose cost no longer depends on how long the text already is .\n\nWithout it ,"
    " the model reads the whole sequence again for every single token ."
)
WORDS = TEXT.split(" ")
MS = 1_000_000
FINISHED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STEP_MS = {"baseline": 95, "kv-cache": 24, "onnx": 17, "int8-torch": 11}
METHODS = {
    "baseline": Method(
        id="baseline", title="Baseline", explanation="PyTorch, FP32, the whole sequence again for each token.",
        parent=None, precision="fp32",
    ),
    "kv-cache": Method(
        id="kv-cache", title="KV cache", explanation="PyTorch, FP32, keys and values of earlier tokens are kept.",
        parent="baseline", precision="fp32",
    ),
}  # fmt: skip
MODEL = LocalModel(
    name="SmolLM2-135M-Instruct", source="hub", directory=Path("model"), digest="0" * 64, parameters=134_515_008,
    weight_bytes=538_060_032, architecture="LlamaForCausalLM", dtype="F32", context_window=2048,
)  # fmt: skip
HOLD = object()
"""A step of a script at which it waits until the test, or the dashboard, goes on."""


def trial(method, index=0, *, n_expected=48, n_gen=None, warmup=False, base_ms=None, end=True, failure=None):
    """Return the events of one trial, and its record at the end unless it is left open."""
    step_ms = base_ms or STEP_MS.get(method, 20)
    n_gen = n_expected if n_gen is None else n_gen
    ready = EngineReady(
        at_ns=0, load_ns=1800 * MS, parameters=MODEL.parameters, artifact_bytes=MODEL.weight_bytes,
        weight_bytes=MODEL.weight_bytes, facts={"precision": "fp32", "torch": "2.13.0"},
        memory=Memory(peak_rss_bytes=900 << 20),
    )  # fmt: skip
    worker = [
        PhaseStarted(at_ns=0, phase=Phase.LOAD),
        ready,
        TrialAccepted(at_ns=0),
        PromptTokenised(at_ns=1 * MS, n_prompt=31),
    ]
    at_ns = 4 * step_ms * MS
    for token in range(n_gen):
        wobble = (token * 7919) % 13 - 6
        grow = token * 1.6 if method == "baseline" else 0
        at_ns += int((step_ms + grow + wobble * step_ms / 60) * MS) * (2 if token == 20 else 1)
        word = WORDS[token % len(WORDS)]
        worker.append(TokenEmitted(at_ns=at_ns, index=token, token_id=token, text=word if not token else f" {word}"))
    failed = None
    if failure is not None:
        failed = WorkerFailed(at_ns=at_ns, kind=failure, message="the kernel ended the worker: no memory left")
        worker.append(failed)
    elif end:
        worker.append(
            TrialFinished(
                at_ns=at_ns, finish_reason=FinishReason.LENGTH, prefill_ns=4 * step_ms * MS, cpu_ns=2 * at_ns,
                memory=Memory(peak_rss_bytes=1100 << 20),
            )
        )  # fmt: skip
    events = [TrialStarted(method, index, warmup, n_expected), *(TrialObserved(method, event) for event in worker)]
    if end:
        state = fold(RunState(), RunStarted((method,), ()))
        for event in events:
            state = fold(state, event)
        failed_so = None
        if failed is not None:
            failed_so = Failure(
                kind=failed.kind, phase=Phase.DECODE, message=failed.message, log_tail="loading weights\nKilled"
            )
        record = trial_record(
            state.methods[method].trial, fresh=index == 0, observer_cpu_ns=None, validity=(), failure=failed_so,
            finished=FINISHED,
        )  # fmt: skip
        events.append(TrialEnded(record))
    return events


def cancelled(method, index=0, kind=FailureKind.CANCELLED):
    return TrialEnded(TrialRecord(method=method, index=index, failure_kind=kind, finished=FINISHED))


def whole_run(methods=("baseline", "kv-cache"), n_trials=1, **options):
    """Return the events of a run in which nothing goes wrong."""
    turns = trial_order(methods, n_trials)
    events = [RunStarted(tuple(methods), turns)]
    for turn in turns:
        events += trial(turn.method, turn.index, **options)
    return [*events, RunEnded()]


class ScriptedRun:
    """Yields its script, folded; `stop` and `skip` are counted and let a held script go on."""

    def __init__(self, script, path=None):
        self.script = script
        self.session_path = path
        self.spec = None
        self.stopped = self.skipped = 0
        self.closed = False
        self.state = RunState()
        self._go = asyncio.Event()

    def _folded(self, event):
        self.state = fold(self.state, event)
        return Folded(event, self.state)

    async def events(self):
        try:
            for step in self.script:
                if step is HOLD:
                    await self._go.wait()
                    self._go.clear()
                    if self.stopped:
                        yield self._folded(RunEnded(cancelled=True))
                        return
                else:
                    yield self._folded(step)
        finally:
            self.closed = True

    def go_on(self):
        self._go.set()

    def stop(self):
        self.stopped += 1
        self._go.set()

    def skip(self, method=None):  # noqa: ARG002 - there is one
        self.skipped += 1
        self._go.set()


def session(methods=("baseline", "kv-cache"), n_trials=2, dropped=()):
    """Return a stored session."""
    turns = trial_order(methods, n_trials)
    records = [trial(turn.method, turn.index)[-1].record for turn in turns]
    settings = Settings(
        prompt="Explain a KV cache.", prompt_sha256="0" * 64, raw=False, methods=tuple(methods), max_new_tokens=48,
        n_trials=n_trials, n_warmup=1, n_threads=2, order=tuple(turn.method for turn in turns), sampling=Sampling(),
    )  # fmt: skip
    header = SessionHeader(
        schema_version=1, id="sample", name="first look", created=FINISHED, tuibench_version="0", settings=settings,
        model=ModelHeader(
            name=MODEL.name, source="hub", digest="0" * 64, parameters=MODEL.parameters,
            weight_bytes=MODEL.weight_bytes, architecture=MODEL.architecture, dtype=MODEL.dtype,
        ),
        machine=MachineHeader(
            cpu="AMD EPYC 7763", n_cpus=2, n_cpus_effective=2, memory_bytes=8 << 30, kernel="Linux", python="3.11"
        ),
    )  # fmt: skip
    return Session(header=header, trials=tuple(records), dropped=tuple(dropped))


FOUR = ("baseline", "kv-cache", "onnx", "int8-torch")
PARENTS = {"baseline": None, "kv-cache": "baseline", "onnx": "kv-cache", "int8-torch": "kv-cache"}
KLD = {"onnx": 0.0, "int8-torch": 0.02}


def scored_session():
    """Return a session of four methods, three trials each, that differ a little; INT8's differ from token 30 on."""
    stored, trials = session(FOUR, n_trials=3), []
    for number, record in enumerate(stored.trials):
        step_ns = tuple(gap + (number % 3) * MS // 5 for gap in record.step_ns)
        ids = record.token_ids
        if record.method == "int8-torch":
            ids = (*ids[:30], *range(900, 900 + len(ids) - 30))
        trials.append(msgspec.structs.replace(record, step_ns=step_ns, token_ids=ids))
    return msgspec.structs.replace(stored, trials=tuple(trials), quality=tuple(map(scored, KLD)))


def scored(method):
    """Return how near a method is to the reference."""
    kld = KLD[method]
    return QualityRecord(
        method=method, eval_name="text", eval_sha256="0" * 64, n_scored=1000, kld_mean=kld, kld_mean_se=0.001,
        top1=1 - kld, finished=FINISHED,
    )  # fmt: skip


def renamed(stored, old, new):
    """Return a session in which a method has another name."""

    def with_name(records):
        return tuple(
            msgspec.structs.replace(record, method=new) if record.method == old else record for record in records
        )

    settings = stored.header.settings
    methods = tuple(new if method == old else method for method in settings.methods)
    header = msgspec.structs.replace(stored.header, settings=msgspec.structs.replace(settings, methods=methods))
    return msgspec.structs.replace(
        stored, header=header, trials=with_name(stored.trials), quality=with_name(stored.quality)
    )


def compared(n_runs=1, yardstick=None, stored=None):
    """Return the comparison of such sessions, or of another one so many times."""
    runs = [measured_run(stored or scored_session(), f"run {number + 1}") for number in range(n_runs)]
    return compare(runs, parents=PARENTS, yardstick=yardstick)


class ScriptedServices(Services):
    """Answers as it is told; what it is not told is real."""

    def __init__(self, **answers):
        unknown = [name for name in answers if not hasattr(Services, name)]
        assert not unknown, unknown
        vars(self).update(answers)


def answering(services, **answers):
    """Return scripted services with some other answers."""
    return ScriptedServices(**{**vars(services), **answers})


class Program:
    """Services with scripted answers, and what the dashboard asked of them."""

    def __init__(self, script=None, *, model=MODEL, methods=METHODS, sessions=(), n_cpus=2):
        self.run = ScriptedRun(script or whole_run(), Path("20260301-first.toml"))
        self.model = model
        self.specs = []
        self.resumed = None
        self.now_s = 100.0
        self.pulls = []
        self.pull_steps = []
        self.missing_runtimes = {}
        self.added_runtimes = []
        self.sessions = list(sessions)
        self.costs = {}
        self.fits = {}
        self.fits_asked = []
        self.cached = []
        self.named = {}
        self.take_events = []
        self.taken = []
        self.services = ScriptedServices(
            methods=lambda: methods,
            find_model=lambda _name: self.model,
            measure=self._measure,
            pull=self._pull,
            missing_runtime=self.missing_runtimes.get,
            add_runtime=self._add_runtime,
            cpus=lambda: Cpus("AMD EPYC · 2 cores · AVX2", n_cpus, n_cpus),
            sample_machine=lambda: MachineSample((97.0, 34.0), 4 << 30, 8 << 30, 1.25),
            sessions=lambda *_wanted: self.sessions,
            load_session=lambda _path: session(),
            clock_s=lambda: self.now_s,
            own_cpu_s=lambda: 0.0,
            costs=lambda _model: self.costs,
            fits=self._told_fits,
            cached_models=lambda: self.cached,
            named_model=lambda name: self.named.get(name, NamedModel(ModelKind.ABSENT)),
            take=self._take,
        )

    def _measure(self, spec, _model, resume=None):
        self.specs.append(spec)
        self.resumed = resume
        return self.run

    def _told_fits(self, model, _methods, n_tokens):
        self.fits_asked.append((model.name, n_tokens))
        return self.fits

    async def _pull(self, name):
        self.pulls.append(name)
        for step in self.pull_steps:
            if step is HOLD:
                await asyncio.Event().wait()
            if isinstance(step, LocalModel):
                self.model = step
            else:
                yield step

    async def _add_runtime(self, name):
        self.added_runtimes.append(name)
        yield PullProgress("making an environment", 0, None)
        del self.missing_runtimes[name]
        yield Pulled(name)

    async def _take(self, request):
        self.taken.append(request)
        for event in self.take_events:
            if event is HOLD:
                await asyncio.Event().wait()
            yield event

    def app(self, **options):
        return TuibenchApp(model="SmolLM2-135M-Instruct", services=self.services, **options)


async def until(pilot, predicate):
    """Let the app work until something is so: for two minutes, less those in which it was not given the machine."""
    for _ in range(12_000):
        if predicate():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came to pass")


async def start(pilot, prompt="Explain how a KV cache makes decoding faster."):
    """Wait for the first screen, type a prompt, and press F5."""
    screen = pilot.app.screen
    await until(pilot, screen._facts_known.is_set)
    await pilot.pause()
    screen.prompt.text = prompt
    await pilot.press("f5")
