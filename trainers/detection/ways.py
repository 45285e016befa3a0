"""The ways of adding composites, and what sets each apart."""

from dataclasses import dataclass
from typing import Literal

from compositor.scenes.law import PRESETS, Law
from trainers.renewal import CHOICES, Choice

Way = Literal[
    "baseline",
    "backgrounds",
    "random",
    "cut_paste_learn",
    "context",
    "matched",
    "matched_hard",
    "layout",
    "renewed",
    "renewed_all",
    "renewed_at_random",
    "random_hard",
    "foreground_hard",
    "synthesizer",
    "synthesizer_discriminator",
]


@dataclass(frozen=True)
class Rules:
    """What sets a way apart.

    Attributes:
        title: Its name in tables and pictures.
        places: Who places an object on its background: Context-DA's network, S, chance, or nobody,
            so that backgrounds are added as they are.
        law: What whole scenes are drawn from, rather than one object placed. A way that has neither
            adds nothing.
        hard: T is asked, and only what is hard for it is kept.
        each: Of each object several placements are tried, until one is hard.
        judged: D plays.
        renews: Which scenes are replaced while T learns, if any are.
        named: It runs only if named: a control, or one that not every T can do.
    """

    title: str
    places: Literal["nobody", "chance", "context", "synthesizer"] | None = None
    law: Law | None = None
    hard: bool = False
    each: bool = False
    judged: bool = False
    renews: Choice | None = None
    named: bool = False

    @property
    def network(self) -> bool:
        """Whether a network of the way's own places its objects."""
        return self.places in ("context", "synthesizer")

    @property
    def proposes(self) -> bool:
        """Whether its proposals are its own, not another way's that are kept if hard."""
        return not self.hard or self.network


MATCHED = PRESETS["matched"]
RULES: dict[Way, Rules] = {
    "baseline": Rules("real images only"),
    "backgrounds": Rules("backgrounds", "nobody"),
    "random": Rules("random", "chance"),
    "cut_paste_learn": Rules("Cut-Paste-Learn", law=PRESETS["cut_paste_learn"]),
    "context": Rules("Context-DA", "context"),
    "matched": Rules("matched", law=MATCHED),
    "matched_hard": Rules("matched, hard", law=MATCHED, hard=True, named=True),
    "layout": Rules("layout", law=PRESETS["layout"], named=True),
    "renewed": Rules("renewed", law=MATCHED, renews=CHOICES["renewed"], named=True),
    "renewed_all": Rules("renewed, all", law=MATCHED, renews=CHOICES["renewed_all"], named=True),
    "renewed_at_random": Rules(
        "renewed, at random", law=MATCHED, renews=CHOICES["renewed_at_random"], named=True
    ),
    "random_hard": Rules("random, hard", "chance", hard=True),
    "foreground_hard": Rules("per foreground, hard", "chance", hard=True, each=True),
    "synthesizer": Rules("S", "synthesizer", hard=True),
    "synthesizer_discriminator": Rules("S + D", "synthesizer", hard=True, judged=True),
}
"""The rules of each way."""
WAYS: tuple[Way, ...] = tuple(way for way, rules in RULES.items() if not rules.named)
