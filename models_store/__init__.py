"""The store of trained versions: their documents, which of them is active, and their signed binaries."""
