"""What two tuibench processes on two machines write to each other: frames, of which channel 0 has messages.

A frame is a line with its channel and its length in bytes, then so many bytes and a line end, since some launchers
(srun) pass on whole lines only. Every other channel is a worker's, whose bytes pass as they are: requests there, events
back. Before the first frame a login shell may write what it likes; `BEGIN` on a line of its own ends that.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.core.machine.fingerprint import MachineHeader

HOST_PROTOCOL = 2
"""Raised whenever two ends of different age could misunderstand each other."""
BEGIN = b"\x02tuibench host\n"
"""With a control character, so that no banner holds it."""
MESSAGES = 0
PATIENCE_S = 60.0
"""Without a word from the other end. A network that fails says nothing, and its connection stays open for hours."""
_MOST_BYTES = 64 << 20


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="message", tag=True):
    pass


class Answer(_Message, frozen=True, kw_only=True):
    """What came of a question."""

    question: int
    value: msgspec.Raw = msgspec.Raw(b"null")
    refused: str | None = None
    """Why there is no value."""


class HostTold(_Message, frozen=True, kw_only=True):
    """The far end runs: its first message."""

    protocol: int
    worker_protocol: int
    tuibench_version: str
    machine: MachineHeader
    cpus: EffectiveCpus
    cache_free_bytes: int | None = None
    private_words: dict[str, str] = {}
    """What no session says, and what stands for it there."""


class WorkerOver(_Message, frozen=True, kw_only=True):
    """A worker has ended, and nothing more will come through its channel."""

    channel: int
    returncode: int | None = None
    oom_kills: int = 0
    """Processes that the kernel killed there for want of memory since it started."""
    refused: str | None = None
    """Why it could not be started, or was ended."""
    log_tail: str = ""


class Noted(_Message, frozen=True, kw_only=True):
    """Something that the user should know."""

    text: str


FromHost = Answer | HostTold | WorkerOver | Noted


class TakeLock(_Message, frozen=True, kw_only=True):
    """Hold the machine's measurement lock until the connection ends; answered when it is held."""

    question: int


class ReadBandwidth(_Message, frozen=True, kw_only=True):
    """Answered with bytes a second."""

    question: int
    n_threads: int
    again: bool


class MemoryRoom(_Message, frozen=True, kw_only=True):
    """Answered with why workers do not fit into memory together, or null."""

    question: int
    peaks_bytes: tuple[int | None, ...]
    parameters: int


class FreeMemory(_Message, frozen=True, kw_only=True):
    """Answered with the bytes that a worker could still have."""

    question: int


class FindModel(_Message, frozen=True, kw_only=True):
    """Answered with the folder of the model that has these weights."""

    question: int
    name: str
    digest: str


class HasReference(_Message, frozen=True, kw_only=True):
    """Answered with whether the FP32 predictions of a text are there."""

    question: int
    model_dir: str
    text: str
    window_tokens: int | None = None


class KeepText(_Message, frozen=True, kw_only=True):
    """Answered with the file that a text is in."""

    question: int
    text: str


class StartWorker(_Message, frozen=True, kw_only=True):
    """Start a worker; its channel begins."""

    channel: int
    log_name: str
    method: str
    """Whose runtime it needs."""


class CloseInput(_Message, frozen=True, kw_only=True):
    """Close a worker's standard input."""

    channel: int


class EndWorker(_Message, frozen=True, kw_only=True):
    """End a worker: its input closes and SIGTERM follows, then SIGKILL."""

    channel: int
    within_s: float


class Alive(_Message, frozen=True, kw_only=True):
    """Somebody is still there: without it for long enough the far end takes the connection for lost."""


Question = TakeLock | ReadBandwidth | MemoryRoom | FreeMemory | FindModel | HasReference | KeepText
ToHost = Question | StartWorker | CloseInput | EndWorker | Alive

_encoder = msgspec.json.Encoder()


class FrameError(Exception):
    """What came is not a frame."""


def frame(channel: int, content: bytes) -> bytes:
    """Return a frame."""
    return b"%d %d\n%b\n" % (channel, len(content), content)


def message_frame(message: FromHost | ToHost) -> bytes:
    """Return the frame of a message."""
    return frame(MESSAGES, _encoder.encode(message))


@dataclass(slots=True)
class Frames:
    """Cuts what comes into frames."""

    _rest: bytes = b""

    def push(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that are whole now: channel and content.

        Raises:
            FrameError: This is not what the other end writes.
        """
        data, found, start = self._rest + chunk, [], 0
        while (line_end := data.find(b"\n", start)) >= 0:
            words = data[start:line_end].split()
            if len(words) != 2 or not all(word.isdigit() for word in words):  # noqa: PLR2004 - channel and length
                raise FrameError(data[start : start + 80].decode(errors="replace"))
            channel, n_bytes = map(int, words)
            if n_bytes > _MOST_BYTES:
                raise FrameError(f"a frame of {n_bytes} bytes")
            end = line_end + 1 + n_bytes
            if len(data) <= end:
                break
            found.append((channel, data[line_end + 1 : end]))
            start = end + 1
        self._rest = data[start:]
        if len(self._rest) > _MOST_BYTES + 80:
            raise FrameError("a frame without end")
        return found
