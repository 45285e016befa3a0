"""Selection: which composites are hard for a detector."""

try:
    import torchvision as torchvision
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"compositor.selection needs {error.name}: pip install 'compositor[data]'", name=error.name
    ) from None
