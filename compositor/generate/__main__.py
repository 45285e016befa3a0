"""``python -m compositor.generate``: a labelled data set from cut-outs and backgrounds."""

from collections.abc import Sequence
from dataclasses import replace

import tyro

from compositor import _command
from compositor.generate import finish
from compositor.generate.config import Config
from compositor.generate.run import MakeShards, generate
from compositor.generate.shards import Shards
from compositor.scenes.law import PRESETS

DESCRIPTION = """Generate a labelled data set: cut-outs pasted on backgrounds.

    python -m compositor.generate --cutouts objects/ --backgrounds photographs/ --output scenes

Installed, it is compositor-generate, too. Repeat the command to resume what was stopped. --preset
NAME comes first and sets the law below: plain (the default), matched (sizes, aspects and numbers of
annotated pictures), layout (whole layouts, each scene's from one annotated picture),
cut_paste_learn (the rules of Cut, Paste and Learn) or paper (one object a picture, artefacts)."""


def parse(arguments: Sequence[str] | None = None) -> Config:
    """The config that a command line names: a preset is one of its law."""
    unnamed = Config(tyro.MISSING, tyro.MISSING)
    presets = {name: replace(unnamed, law=law) for name, law in PRESETS.items()}
    return _command.parse("compositor.generate", DESCRIPTION, "--preset", presets, arguments)


def main(arguments: Sequence[str] | None = None, make_shards: MakeShards | None = None) -> None:
    """Generate; an error that the user can fix is one line, not a traceback.

    Args:
        arguments: The command line's; None: this process's.
        make_shards: As for :func:`compositor.generate.generate`.
    """
    config = parse(arguments)
    with _command.one_line(ValueError):  # as a detector's errors are
        output = generate(config, make_shards=make_shards)
    if left := len(Shards(output, config.count).missing()):
        print(f"wrote {output}; {left} shards of other launches are still missing")
    elif not (output / finish.REPORT).exists():
        print(f"wrote {output}; another launch is writing the formats")
    else:
        print(finish.line(output))


if __name__ == "__main__":
    main()
