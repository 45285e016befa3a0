"""What the trainers on a data set of one's own have in common."""

from dataclasses import dataclass
from pathlib import Path

from trainers.config import check_distinct
from trainers.detection.config import Config, TargetConfig
from trainers.detection.ways import Way

TARGET = TargetConfig(network="fasterrcnn_resnet50_fpn", learning_rate=1e-3, augmentation="mirror")
"""The detector of the full scale."""


@dataclass(frozen=True)
class OwnConfig(Config):
    """Pastes a data set's objects on pictures, for any detector."""

    # What a detector of one's own takes, not the paper's comparison; Config explains both.
    ways: tuple[Way, ...] = ("baseline", "matched")
    seeds: tuple[int, ...] = (0,)
    names: tuple[str, ...] | None = None
    """Names of the classes to detect; None: all that are annotated."""
    backgrounds: Path | None = None
    """Folder of pictures that show none of the classes; None: paste on the data's own pictures."""
    cutouts: Path | None = None
    """Folder of cut-outs with an alpha channel, one sub-folder per class; None: cut out the data's
    own objects."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.names is not None:
            check_distinct("names", self.names)
