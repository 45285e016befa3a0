"""``python -m compositor.generate``: a labelled data set from cut-outs and backgrounds."""

import argparse
import sys
from collections.abc import Sequence

import tyro

from compositor.files import DataError
from compositor.generate import finish
from compositor.generate.config import Config
from compositor.generate.run import MakeShards, generate
from compositor.generate.shards import Shards
from compositor.scenes.law import PRESETS

DESCRIPTION = """Generate a labelled data set: cut-outs pasted on backgrounds.

    python -m compositor.generate --cutouts objects/ --backgrounds photographs/ --output scenes

Installed, it is compositor-generate, too. Repeat the command to resume what was stopped. --preset
NAME comes first and sets the law below: plain (the default), matched (sizes, aspects and numbers of
annotated pictures), cut_paste_learn (the rules of Cut, Paste and Learn) or paper (one object a
picture, artefacts)."""


def parse(arguments: Sequence[str] | None = None) -> Config:
    """Turn a command line into a config: a preset's law, then the options that override it."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", choices=PRESETS, default="plain")
    chosen, rest = chooser.parse_known_args(arguments)
    return tyro.cli(
        Config,
        prog="python -m compositor.generate",
        description=DESCRIPTION,
        default=Config(tyro.MISSING, tyro.MISSING, law=PRESETS[chosen.preset]),
        args=rest,
    )


def main(arguments: Sequence[str] | None = None, make_shards: MakeShards | None = None) -> None:
    """Generate; an error that the user can fix is one line, not a traceback.

    Args:
        arguments: The command line's; None: this process's.
        make_shards: As for :func:`compositor.generate.generate`.
    """
    config = parse(arguments)
    try:
        output = generate(config, make_shards=make_shards)
    # A detector's errors are ValueErrors.
    except (DataError, ValueError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:  # not about a path that the user named
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    left = len(Shards(output, config.count).missing())
    missing = f"wrote {output}; {left} shards of other launches are still missing"
    print(missing if left else finish.line(output))


if __name__ == "__main__":
    main()
