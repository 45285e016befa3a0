"""What the trainers' dataclass configs have in common."""

from dataclasses import asdict
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """Settings that no run can have."""


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
