"""The commands that talk to a running platform as its drivers do, over HTTP."""
