"""``python -m trainers.voc``: any detector on any classes of a data set in Pascal VOC's layout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compositor.data.cleanup import CleanUp
from compositor.data.read import folder, joining, voc
from compositor.data.read.voc_xml import read_objects
from compositor.data.records import Cutout, Photograph, Records, Skip
from trainers.config import ConfigError
from trainers.detection import command
from trainers.detection.own import TARGET, OwnConfig, Shown, list_test, under
from trainers.detection.scales import clean_up, scales
from trainers.detection.sources import Sources

DESCRIPTION = """Composites for a detector on your own data in Pascal VOC's layout.

--data is a folder with VOC2007/ and the like, each with JPEGImages/, Annotations/ and
ImageSets/Main/. Objects are cut out using their masks in SegmentationObject/, or come from
--cutouts, and are pasted on --backgrounds, or on the data's own pictures."""


def check_sets(name: str, given: Sequence[str]) -> None:
    """Check the sets that an option names.

    Raises:
        ConfigError: One is no year and image set.
    """
    for each in given:
        if not all(each.partition("-")[::2]):
            raise ConfigError(f"{name}: got {each!r}, wanted a set such as 2007-trainval")


@dataclass(frozen=True)
class VOCConfig(OwnConfig):
    """Pastes a data set's objects on pictures, for any detector."""

    output: Path = Path("runs/voc")
    data: Path = Path("VOCdevkit")
    """Folder of the VOC20xx folders."""
    learn: tuple[str, ...] = ("2007-trainval",)
    """Sets to learn from and to cut objects out of: 2007-trainval is ImageSets/*/trainval.txt of
    VOC2007."""
    test: tuple[str, ...] = ("2007-test",)
    """Sets to test on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("learn", "test"):
            check_sets(name, getattr(self, name) or ("",))


SCALES = scales(VOCConfig(target=TARGET))


def read(config: VOCConfig) -> Sources:
    """List the data that a config names."""
    root, learn, test = config.data, sets(config.learn), sets(config.test)
    names = config.names or tuple(voc.kinds(root, learn))
    # Those without an object are T's negatives.
    learnt = voc.photographs(root, learn, names, keep_empty=True)
    tested = voc.photographs(root, test, names, keep_empty=True)
    list_test(config.output, tested.classes, _shown(root, tested))
    objects = (
        cut_out(root, learn, names, clean_up(config))
        if config.cutouts is None
        else folder.cutouts(config.cutouts, names, clean_up(config))
    )
    return Sources(learnt, objects, tested, under(config))


def _shown(root: Path, tested: Records[Photograph]) -> Iterator[tuple[str, list[Shown]]]:
    """The pictures' files, relative to the root, and their objects."""
    for record in tested.records:
        image, annotation, *_ = record.files
        try:
            _, objects = read_objects(annotation, record.name)
        except Skip:  # counted when it was loaded
            continue
        found = [(one.kind, one.box, one.difficult) for one in objects]
        yield str(image.relative_to(root)), found


def sets(given: Sequence[str]) -> list[voc.Set]:
    """Years and image sets."""
    return [(year, name) for year, _, name in (each.partition("-") for each in given)]


def cut_out(
    root: Path, sets: Sequence[voc.Set], names: Sequence[str], rule: CleanUp
) -> Records[Cutout]:
    """The objects of all classes; that a picture shows none of a class is no fault."""
    each = [voc.cutouts(root, sets, name, rule) for name in names]
    return joining.joined(
        [joining.forgiving(one, f"no {one.classes[1]} annotated") for one in each]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    config = command.parse("trainers.voc", DESCRIPTION, SCALES, arguments)
    command.main(config, read, "plain")


if __name__ == "__main__":
    main()
