"""The names of the ways of adding composites."""

from typing import Literal, get_args

Way = Literal[
    "baseline",
    "backgrounds",
    "random",
    "cut_paste_learn",
    "context",
    "matched",
    "matched_hard",
    "renewed",
    "renewed_all",
    "renewed_at_random",
    "random_hard",
    "foreground_hard",
    "synthesizer",
    "synthesizer_discriminator",
]
NAMED = ("matched_hard", "renewed", "renewed_all", "renewed_at_random")
"""Ways that run only if named: controls, and those that not every T can do."""
WAYS: tuple[Way, ...] = tuple(way for way in get_args(Way) if way not in NAMED)


def placed_by_network(way: Way) -> bool:
    """Whether a network of its own, S or Context-DA's, places a way's objects."""
    return way == "context" or way.startswith("synthesizer")
