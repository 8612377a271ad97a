"""What types cannot say of a session: numbers that belong together, sizes that an honest session has.

Code that reads sessions computes with them: a record that passed here divides by no zero and indexes nothing missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from tuibench.core.run.plan import MAX_TURNS
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import AXES
from tuibench.core.run.users import steps_of
from tuibench.store.schema import SessionHeader

_MAX_METHODS = 256


def check_header(header: SessionHeader) -> None:
    """Check the top of a file.

    Raises:
        msgspec.ValidationError: It is none that this program could have written.
    """
    settings = header.settings
    _require(header.created.tzinfo is not None, "`created` has no time zone")
    _require(len(settings.methods) <= _MAX_METHODS, "too many methods")
    _require(len(settings.order) <= MAX_TURNS, "too many turns")
    _require(len(set(settings.methods)) == len(settings.methods), "a method is named twice")
    sweep, order = settings.sweep, settings.order
    _require(bool(order) or sweep is not None, "`order` is missing")
    if sweep is not None:
        order = sweep.order
        _require(0 < sweep.axes.n_shapes <= len(order), "the axes of the sweep make no shape, or more than turns")
        _require(len(sweep.order_shapes) == len(order) <= MAX_TURNS, "the turns of the sweep do not fit each other")
        numbers = (*sweep.order_shapes, 0)
        _require(min(numbers) >= 0 and max(numbers) < sweep.axes.n_shapes, "`order_shapes` names no shape")
        _require(min(min(getattr(sweep.axes, name), default=0) for name in AXES) >= 0, "an axis is negative")
    _require(set(order) <= set(settings.methods), "`order` names a method that `methods` lacks")
    counts = (settings.max_new_tokens, settings.n_trials, settings.n_warmup, settings.n_threads, settings.sampling.seed)
    _require(min(counts) >= 0, "a setting is negative")


def check_record(record: TrialRecord) -> None:
    """Check a trial.

    Raises:
        msgspec.ValidationError: Its parts do not fit each other.
    """
    check_text(record.token_ids, record.piece_chars, record.text)
    check_times(record)
    numbers = [value for value in msgspec.structs.astuple(record) if type(value) is int]
    _require(min(numbers) >= 0, "a number is negative")


def check_text(token_ids: Sequence[int], piece_chars: Sequence[int], text: str) -> None:
    """Check what a trial said, as `check_record` does."""
    # A server hands out pieces of text and no tokens.
    _require(not token_ids or len(piece_chars) == len(token_ids), "`piece_chars` and `token_ids` differ in length")
    _require(min(piece_chars, default=0) >= 0, "`piece_chars` holds a negative length")
    _require(sum(piece_chars) <= len(text), "`piece_chars` exceeds the text")


def check_times(record: TrialRecord) -> None:
    """Check what a speed is computed from, as `check_record` does."""
    _require(record.finished.tzinfo is not None, "`finished` has no time zone")
    if record.users_ttft_ns or record.users_n_gen:
        _check_users(record)
        return
    n_pieces = len(record.piece_chars if record.text_only else record.token_ids)
    _require(len(record.step_ns) >= n_pieces - 1, "`step_ns` has too few gaps for its tokens")
    _require(record.n_told is None or record.text_only, "`n_told` counts what `token_ids` has")
    _require(min(record.step_ns, default=0) >= 0, "a gap between tokens is negative")
    _require(record.ttft_ns != 0, "`ttft_ns` is zero")


def _check_users(record: TrialRecord) -> None:
    """Check who had which token, as `check_times` does."""
    n_users, n_steps = len(record.users_ttft_ns), len(record.step_ns) + 1
    _require(record.ttft_ns is not None, "`ttft_ns` of several users is missing")
    _require(len(record.users_n_gen) == n_users, "`users_n_gen` and `users_ttft_ns` differ in length")
    told = record.piece_chars if record.text_only else record.token_ids
    _require(sum(record.users_n_gen) == len(told), "`users_n_gen` counts other tokens than `token_ids`")
    _require(len(record.users_n_told) in {0, n_users}, "`users_n_told` and `users_ttft_ns` differ in length")
    _require(min(record.users_n_gen, default=0) > 0, "a user has no token")
    numbers = (*record.step_ns, *record.users_ttft_ns, *record.users_first, *record.step_users)
    _require(min(numbers, default=0) >= 0, "a number of a user is negative")
    if record.step_users:
        fits = len(record.step_users) == n_steps and not record.users_first
    else:
        fits = len(record.users_first) == n_users and max(record.users_first) < n_steps
    _require(fits, "the users do not fit the steps")
    counts = [len(steps_of(record, user)) for user in range(n_users)]
    _require(counts == list(record.users_n_gen), "the users' tokens do not fit the steps")


def check_quality(record: QualityRecord) -> None:
    """Check a method's quality.

    Raises:
        msgspec.ValidationError: Its parts do not fit each other.
    """
    _require(record.finished.tzinfo is not None, "`finished` has no time zone")
    numbers = (getattr(record, name) for name in record.__struct_fields__)
    finite = all(math.isfinite(value) for value in numbers if isinstance(value, int | float))
    _require(finite, "a figure is not a finite number")
    _require(record.failed or (record.kld_mean is not None and record.top1 is not None), "figures are missing")
    by_depth = (record.depth_klds, record.depth_kld_ses, record.depth_top1s)
    _require(all(len(each) == len(record.depths) for each in by_depth), "figures by position differ in number")
    _require(all(math.isfinite(value) for each in by_depth for value in each), "a figure is not a finite number")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise msgspec.ValidationError(otherwise)
