"""What the trainers' dataclass configs have in common."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

AT_LEAST_0, AT_LEAST_1, AT_LEAST_2 = (0, math.inf), (1, math.inf), (2, math.inf)
PART = (0, 1)
SEEDS = (0, 2**31 - 1)
"""Least and largest seed that every random number generator accepts."""


class ConfigError(ValueError):
    """Settings that no run can have."""


def check_limits(config: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Check a config's numbers.

    Args:
        config: A dataclass.
        limits: The least and largest value of each, both allowed, by :func:`flatten`'s names.

    Raises:
        ConfigError: A number is outside its limits, or is not finite.
    """
    values = flatten(plain(config))
    for name, (least, most) in limits.items():
        given = values[name] if isinstance(values[name], list) else [values[name]]
        for number in given:
            # A comparison with NaN is false.
            if number is not None and not (least <= number <= most and number != math.inf):
                wanted = (
                    f"{least} or more" if most == math.inf else f"a number in [{least}, {most}]"
                )
                raise ConfigError(f"{name}: got {number}, wanted {wanted}")


def check_distinct(name: str, values: Sequence[Any]) -> None:
    """Check a setting that takes several values.

    Raises:
        ConfigError: There is none, or one twice.
    """
    if not values or len(set(values)) < len(values):
        raise ConfigError(f"{name}: got {list(values)}, wanted one or more, none twice")


def plain(config: Any) -> dict[str, Any]:
    """A config as plain values for JSON and checkpoints, with paths as text."""

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: convert(inner) for key, inner in value.items()}
        if isinstance(value, tuple):
            return [convert(inner) for inner in value]
        return str(value) if isinstance(value, Path) else value

    values: dict[str, Any] = convert(asdict(config))
    return values


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries, joining their names with dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
