"""Feed broken and hostile input to what reads data from elsewhere.

    python -m tests.campaigns.fuzz wire --inputs 1000000

Targets: the session loader with everything that computes with a loaded session, the theme loader, the wire decoders of
both directions, the header reader of safetensors files. Inputs are honest ones, mutated: bytes flipped, pieces removed,
repeated and swapped between samples, numbers and words replaced by those that parsers stumble over. With `--atheris`
the mutations are guided by coverage (needs `pip install atheris`).

An input is a finding if anything but the target's own error type comes out, if a list would say something else of a
session than what is in it, or if it takes more than ten seconds of
CPU time.
"""

import argparse
import contextlib
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import msgspec

from tests.scripted import FINISHED, engine_ready, failed, header, record, token_stream
from tuibench.core.results.metrics import METRICS, summarise
from tuibench.core.run.events import PROTOCOL_VERSION, FailureKind, decode, encode
from tuibench.core.run.record import QualityRecord
from tuibench.core.run.spec import LoadRequest, TrialRequest, decode_request
from tuibench.models.local import ModelError
from tuibench.models.weights import read_header
from tuibench.store.catalogue import summarise_session
from tuibench.store.replay import stored_state
from tuibench.store.schema import Annotation, SessionError
from tuibench.store.session import session_from
from tuibench.store.toml_text import array_table, toml_text

_SLOW_S = 10
_GUIDING = (
    "tomllib._parser", "tuibench.toml_input", "tuibench.plain_toml", "tuibench.store.session", "tuibench.store.outline",
    "tuibench.store.plausible",
)  # fmt: skip
"""Modules whose branches guide the mutations."""
_PATH = Path("fuzzed.toml")
_WORDS = [
    b"[[", b"]]", b"[", b"]", b"{", b"}", b'"', b'"""', b"'''", b"\\", b"\\u0000", b"\\ud800", b"\\U0010ffff", b"#",
    b"=", b".", b",", b"\n", b"\r\n", b"\x00", b"\x1b[2J", b"\xff\xfe", b"\xc3", b"nan", b"inf", b"-1", b"0", b"1e999",
    b"9223372036854775808", b"0x" + b"f" * 40, b"1" * 5000, b"true", b"null", b"[[trials]]\n", b"[[quality]]\n",
    b"[[annotations]]\n", b"[[resumed]]\n", b"1979-05-27", b"1979-05-27T00:32:00", b"0001-01-01T00:00:00+23:59",
    b"07:32:00", b"a.b.c=1\n", b"a={b={c=1}}\n", b"[" * 2000, b"{" * 2000, b"\xe2\x80\xae", b"x" * 3000,
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Something that reads input, and its own error types."""

    samples: tuple[bytes, ...]
    read: Callable[[bytes], None]
    errors: tuple[type[Exception], ...]


def _session_samples() -> tuple[bytes, ...]:
    def table(name, value):
        return array_table(name, msgspec.to_builtins(value, builtin_types=(type(FINISHED),)))

    top = toml_text(msgspec.to_builtins(header(), builtin_types=(type(FINISHED),)))
    quality = QualityRecord(
        method="kv-cache", eval_name="t", eval_sha256="00", n_scored=9, perplexity=7.5, kld_mean=0.01, top1=0.9,
        finished=FINISHED,
    )  # fmt: skip
    tables = [
        table("trials", record("baseline")),
        table("trials", record("kv-cache", warmup=True)),
        table("trials", failed("kv-cache", FailureKind.KILLED, message="\x1b[31m")),
        table("annotations", Annotation(name="n", tags=("a",), note="", written=FINISHED)),
        table("quality", quality),
    ]
    return tuple("\n".join([top, *some]).encode() for some in (tables[:1], tables[1:3], tables[3:], tables[:3]))


def _read_session(content: bytes) -> None:
    session = session_from(content, _PATH)
    state = stored_state(session)
    listed = summarise_session(_PATH, session_from(content, _PATH, in_full=False))
    if listed != summarise_session(_PATH, session):
        raise AssertionError(f"listed as {listed}")
    for method in state.methods.values():
        for metric in METRICS:
            summarise(metric, method.measured)


def _read_wire(content: bytes) -> None:
    try:
        decode(content)
    except msgspec.DecodeError:
        decode_request(content)


def _theme_target(folder: Path) -> Target:
    from textual.color import ColorParseError

    from tuibench import paths
    from tuibench.toml_input import TomlInputError
    from tuibench.ui.look.theming import load_theme

    path = folder / "fuzzed.toml"

    def read(content):
        path.write_bytes(content)
        load_theme(path)

    samples = tuple(theme.read_bytes() for theme in sorted(paths.packaged_themes().glob("*.toml"))[:4])
    return Target(samples, read, (TomlInputError, msgspec.ValidationError, ColorParseError, ValueError))


def _weights_target(folder: Path) -> Target:
    path = folder / "model.safetensors"
    text = b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"__metadata__":{"format":"pt"}}'
    sample = len(text).to_bytes(8, "little") + text + bytes(24)

    def read(content):
        path.write_bytes(content)
        read_header(path)

    return Target((sample,), read, (ModelError,))


def target(name: str, folder: Path) -> Target:
    """Return a target by name; `folder` is for those that read files."""
    if name == "session":
        return Target(_session_samples(), _read_session, (SessionError,))
    if name == "theme":
        return _theme_target(folder)
    if name == "weights":
        return _weights_target(folder)
    events = [engine_ready(), *token_stream([1000, 2000])]
    requests = [
        LoadRequest(protocol=PROTOCOL_VERSION, method="a", model_dir="/", n_threads=1),
        TrialRequest(prompt="p", max_new_tokens=3),
    ]
    samples = (*map(encode, events), *map(msgspec.json.encode, requests))
    return Target(samples, _read_wire, (msgspec.DecodeError,))


def mutated(samples: tuple[bytes, ...], rng: random.Random) -> bytes:
    """Return one sample with one to eight changes."""
    content = bytearray(rng.choice(samples))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice((1, 2, 8, 64, 512)))
        match rng.randrange(7):
            case 0:
                content[at:end] = rng.randbytes(rng.choice((1, 2, 4)))
            case 1:
                del content[at:end]
            case 2:
                content[at:at] = rng.choice(_WORDS)
            case 3:
                content[at:end] = rng.choice(_WORDS)
            case 4:
                content[at:at] = content[at:end] * rng.choice((1, 2, 50))
            case 5:
                other = rng.choice(samples)
                start = rng.randrange(len(other))
                content[at:end] = other[start : start + rng.choice((8, 64, 512))]
            case 6:
                del content[at:]
    return bytes(content)


@dataclass
class Report:
    """What came of it."""

    n_inputs: int = 0
    n_read: int = 0
    """Inputs that were accepted, as far as they are whole."""
    slowest_s: float = 0.0
    findings: int = 0

    def __str__(self):
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return (
            f"{self.n_inputs:,} inputs, {self.n_read:,} accepted, {self.findings} findings, "
            f"slowest {self.slowest_s * 1e3:.0f} ms of CPU time, peak RSS {peak_mb:.0f} MiB"
        )


class SlowInputError(BaseException):
    """An input took too long; not caught by any `except Exception`."""


def _too_slow(*_):
    raise SlowInputError


def fuzz(
    name: str, n_inputs: int, limit_s: float = float("inf"), seed: int = 0, findings: Path | None = None
) -> Report:
    """Read `n_inputs` mutated inputs, or as many as the time allows; findings raise, or are saved to a folder."""
    rng, report = random.Random(seed), Report()
    until_s = time.monotonic() + limit_s
    signal.signal(signal.SIGVTALRM, _too_slow)
    with tempfile.TemporaryDirectory() as folder:
        fuzzed = target(name, Path(folder))
        while report.n_inputs < n_inputs and time.monotonic() < until_s:
            started_s = time.process_time()
            content = mutated(fuzzed.samples, rng)
            signal.setitimer(signal.ITIMER_VIRTUAL, _SLOW_S)
            try:
                fuzzed.read(content)
                report.n_read += 1
            except fuzzed.errors:
                pass
            except (Exception, SlowInputError) as error:
                report.findings += 1
                if findings is None:
                    raise AssertionError(f"{name}: {error!r} for {content!r}") from error
                findings.mkdir(parents=True, exist_ok=True)
                (findings / f"{name}-{report.findings}").write_bytes(content)
                print(f"finding {report.findings}: {error!r}", file=sys.stderr)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            report.n_inputs += 1
            report.slowest_s = max(report.slowest_s, time.process_time() - started_s)
    return report


def _guided(name: str, arguments: list[str]) -> None:
    import atheris

    for module in _GUIDING:
        for function_name, function in vars(sys.modules[module]).items():
            if isinstance(function, FunctionType) and function.__module__ == module:
                setattr(sys.modules[module], function_name, atheris.instrument_func(function))
    with tempfile.TemporaryDirectory() as folder:
        fuzzed = target(name, Path(folder))

        def once(content):
            with contextlib.suppress(*fuzzed.errors):
                fuzzed.read(content)

        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, sample in enumerate(fuzzed.samples):
            (corpus / str(number)).write_bytes(sample)
        # The limit is on the wall clock, and a busy machine may stop this process for a while.
        atheris.Setup([sys.argv[0], f"-timeout={60 * _SLOW_S}", "-max_len=8192", *arguments, str(corpus)], once)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("session", "theme", "wire", "weights"))
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    options = parser.parse_args()
    if options.atheris:
        seconds = [f"-max_total_time={int(options.seconds)}"] if options.seconds < float("inf") else []
        _guided(options.target, [f"-runs={options.inputs}", *seconds])
    report = fuzz(options.target, options.inputs, options.seconds, options.seed, Path("findings"))
    print(f"{options.target}: {report}")
    return int(report.findings > 0)


if __name__ == "__main__":
    sys.exit(main())
