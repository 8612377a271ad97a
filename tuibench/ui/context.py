"""What every screen is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuibench.config import Config
from tuibench.core.run.spec import Method, method_of_server
from tuibench.ui.look.series import SeriesMap
from tuibench.ui.services import Services


@dataclass(slots=True)
class Context:
    """Of these, only the model is ever another."""

    services: Services
    series: SeriesMap
    model: str
    """As the user named it."""
    low_bandwidth: bool = False
    config: Config = field(default_factory=Config)

    def known_methods(self) -> Mapping[str, Method]:
        """Return the methods that are installed, in ladder order, and the servers of the settings file."""
        servers = {endpoint.method: method_of_server(endpoint) for endpoint in self.config.servers}
        return {**self.services.methods(), **servers}

    @property
    def snapshot_s(self) -> float:
        """Least time between two repaints of a run: they cost time on the cores that are measured."""
        return 1.0 if self.low_bandwidth else 1 / 2

    @property
    def frame_s(self) -> float:
        """Time between two repaints of a replay, when nothing is measured."""
        return 1.0 if self.low_bandwidth else 1 / 3

    @property
    def sample_s(self) -> float:
        """Time between two readings of the machine."""
        return 5.0 if self.low_bandwidth else 1.0
