"""A promise about speed or memory, on any device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """One promise and its measurement."""

    what: str
    wanted: float
    measured: float
    at_least: bool = True
    aim: float | None = None  # beyond what is promised

    @property
    def passed(self) -> bool:
        """Whether the promise is kept."""
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "MISS"
        bound = "at least" if self.at_least else "at most"
        aim = "" if self.aim is None else f", aim {self.aim:.3g}"
        wanted = f"wanted {bound} {self.wanted:.3g}{aim}"
        return f"{verdict}: {self.what}: {self.measured:.3g} ({wanted})"
