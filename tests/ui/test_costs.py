"""What the dashboard expects of a run, from the sessions that are there."""

import msgspec

from tests.ui.scripted import FINISHED, MODEL, scored_session
from tuibench import paths
from tuibench.core.run.eta import costs_of
from tuibench.machine.fingerprint import machine_header
from tuibench.store.writer import SessionWriter
from tuibench.ui.services import Services


def save(stem, *, cpu, methods):
    stored = scored_session()
    machine = msgspec.structs.replace(machine_header(), cpu=cpu)
    header = msgspec.structs.replace(stored.header, machine=machine, created=FINISHED, id=stem)
    writer = SessionWriter(paths.sessions_dir() / f"{stem}.toml", header)
    trials = [trial for trial in stored.trials if trial.method in methods]
    for record in trials:
        writer.append(record)
    return costs_of(trials, ())


def test_costs_are_those_of_the_same_model_on_this_processor_method_by_method():
    here = machine_header().cpu
    kept = save("one", cpu=here, methods={"kv-cache"})
    kept |= save("two", cpu=here, methods={"onnx"})
    save("elsewhere", cpu=f"not {here}", methods={"baseline"})
    assert Services().costs(MODEL.name) == kept
    assert Services().costs("another model") == {}
