"""The folder that a run writes to, which no other run may use meanwhile."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from compositor.files import DataError, check_writable, locked


@contextmanager
def claimed(folder: Path, state: PartialState, restart: bool) -> Iterator[None]:
    """Reserve a folder for one run, which may have several processes.

    Args:
        folder: The output folder; it is created if it is missing.
        state: This process's state; every process of the run has to call this.
        restart: Discard an earlier run in the folder.

    Raises:
        DataError: Another run is using the folder, or it cannot be written to. Every process of
            the run raises it.
    """
    refusal: list[str | None] = [None]
    with ExitStack() as stack:
        if state.is_main_process:
            try:
                check_writable(folder)
                stack.enter_context(locked(folder / "lock"))
                earlier = ("checkpoints", "tensorboard", "models/*-seed*") if restart else ()
                for path in (path for name in earlier for path in folder.glob(name)):
                    shutil.rmtree(path)
            except (DataError, OSError) as error:
                refusal = [str(error)]
        # Otherwise the others would wait for a main process that has ended.
        broadcast_object_list(refusal)
        if refusal[0] is not None:
            raise DataError(refusal[0])
        yield
