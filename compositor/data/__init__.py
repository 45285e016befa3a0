"""Data sets: read in the layouts that users have, decoded once, written whole or not at all."""

try:
    import PIL as PIL
    import pycocotools as pycocotools
    import scipy as scipy
    import tqdm as tqdm
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"compositor.data needs {error.name}: pip install 'compositor[data]'", name=error.name
    ) from None
