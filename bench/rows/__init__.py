"""The rows of the bench: each measures one claim and returns its figures."""
